"""Deribit book frames with their levels, and REST books. Levels stay in the venue's unit (USD of inverse contracts)."""

from __future__ import annotations

import re

import msgspec
from msgspec import Raw

from marketdata.codec import UNDECODABLE
from marketdata.decimals import plain
from marketdata.errors import UnparsableFrame
from marketdata.types import Level
from venues.contract import BookEnvelope, BookFrame, SnapshotEnvelope, SnapshotFrame
from venues.deribit.messages import BookIds, BookMsg, Notification
from venues.json_numbers import levels

_decode_ids = msgspec.json.Decoder(Notification[BookIds]).decode
_decode_book = msgspec.json.Decoder(Notification[BookMsg]).decode


class _Reply(msgspec.Struct):
    result: BookMsg


_decode_reply = msgspec.json.Decoder(_Reply).decode
_DELETE = re.compile(rb'\["delete",([^,\]]+),[^,\]]+\]')
_EXPONENT = re.compile(rb"\d[\d.]*e[+-]?\d+")
_SPACE = b" \t\r\n"


def book_envelope(frame: bytes) -> BookEnvelope:
    """Ids of a `book.{i}.{interval}` frame. Raises UnparsableFrame."""
    try:
        params = _decode_ids(frame).params
    except UNDECODABLE as exc:
        raise UnparsableFrame(f"not a book frame of Deribit: {exc}") from None
    return _envelope(params.channel, params.data)


def parse_book(frame: bytes) -> BookFrame:
    """A `book.{i}.{interval}` frame with its levels; a deleted level has size zero. Raises UnparsableFrame."""
    try:
        params = _decode_book(frame).params
    except UNDECODABLE as exc:
        raise UnparsableFrame(f"not a book frame of Deribit: {exc}") from None
    msg = params.data
    return BookFrame(_envelope(params.channel, msg), actions(msg.bids), actions(msg.asks))


def _envelope(channel: str, ids: BookIds) -> BookEnvelope:
    if channel.split(".", 2)[1:2] != [ids.instrument_name]:
        raise UnparsableFrame(f"the channel is {channel!r} but its payload says {ids.instrument_name!r}")
    if ids.type and ids.type not in ("snapshot", "change"):
        raise UnparsableFrame(f"a book frame of type {ids.type[:40]!r}")
    is_snapshot = ids.type == "snapshot" or (not ids.type and ids.prev_change_id is None)
    prev = None if is_snapshot else ids.prev_change_id
    return BookEnvelope(ids.change_id, ids.change_id, prev, ids.timestamp * 1000, is_snapshot)


def actions(raw: Raw) -> list[Level]:
    """[action, price, amount] arrays as levels. Raises UnparsableFrame, also on an action we do not know."""
    text = bytes(raw).translate(None, _SPACE)
    if b'"delete"' in text:
        text = _DELETE.sub(rb"[\1,0]", text)
    text = text.replace(b'["new",', b"[").replace(b'["change",', b"[")
    if b"e" in text:
        text = _EXPONENT.sub(_plain, text)  # a few of them would make the decoding of all levels slow
    return levels(Raw(text))


def _plain(found: re.Match[bytes]) -> bytes:
    return plain(found[0].decode()).encode()


def parse_snapshot(body: bytes) -> SnapshotFrame:
    """A reply to `public/get_order_book`. The depth it was asked with is not in it: 0. Raises UnparsableFrame."""
    try:
        msg = _decode_reply(body).result
    except UNDECODABLE as exc:
        raise UnparsableFrame(f"not an order book reply of Deribit: {exc}") from None
    envelope = SnapshotEnvelope(msg.change_id, msg.timestamp * 1000)
    return SnapshotFrame(envelope, levels(msg.bids), levels(msg.asks), 0)
