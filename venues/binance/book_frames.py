"""Binance book frames and snapshots with their levels, of all segments: the fastest decoding we know, strict about
numbers.

`bookTicker` and the ids-only envelopes of a book frame are elsewhere (`normalise`, `protocol`).
"""

# ruff: noqa: N815  field names are the venue's own

from __future__ import annotations

import re

import msgspec
from msgspec import UNSET, Struct, UnsetType

from marketdata.codec import UNDECODABLE
from marketdata.decimals import plain
from marketdata.errors import UnparsableFrame
from marketdata.types import Level
from venues.contract import BookEnvelope, BookFrame, SnapshotEnvelope, SnapshotFrame


class DepthMsg(Struct, gc=False):
    """`<s>@depth`, source: web-socket-streams.md, Diff. Depth Stream."""

    E: int
    U: int
    u: int
    b: list[tuple[str, str]]
    a: list[tuple[str, str]]
    pu: int | None = None
    """Futures only: `u` of the event before."""


class CombinedDepth(Struct, gc=False):
    data: DepthMsg


_Side = list[tuple[str, str]] | None | UnsetType
"""Null and left out mean empty, see `_sides`."""


class OneSidedDepthMsg(Struct, gc=False):
    """The same where a side may be missing, which costs time to allow for."""

    E: int
    U: int
    u: int
    b: _Side = UNSET
    a: _Side = UNSET
    pu: int | None = None


class CombinedOneSidedDepth(Struct, gc=False):
    data: OneSidedDepthMsg


class DepthReply(Struct, gc=False):
    """`/api/v3/depth`, source: rest-api.md, Order book; `/fapi/v1/depth` and `/dapi/v1/depth` with their times."""

    lastUpdateId: int
    bids: _Side = UNSET
    asks: _Side = UNSET
    E: int = 0


_decode_combined = msgspec.json.Decoder(CombinedDepth).decode
_decode_bare = msgspec.json.Decoder(DepthMsg).decode
_decode_combined_one_sided = msgspec.json.Decoder(CombinedOneSidedDepth).decode
_decode_bare_one_sided = msgspec.json.Decoder(OneSidedDepthMsg).decode
_decode_reply = msgspec.json.Decoder(DepthReply).decode

_is_decimal = re.compile(r"[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?").fullmatch
_NUMBERS = b'0123456789.,"[]'
_RESTS_MAX = 20_000
_plain_rests: set[bytes] = set()
"""What remains of a frame without digits and list punctuation: its field names and stream name. A frame whose rest was
seen in a checked one holds nothing but digits and dots in its levels, so that it need not be checked again; what is
made of digits and dots and yet no number is refused by whoever turns it into one."""


def parse_book(frame: bytes) -> BookFrame:
    """A diff-depth frame, with or without the combined-stream envelope.

    Raises UnparsableFrame, also when a level's number is none.
    """
    try:
        msg = _decode_combined(frame).data if b'"stream"' in frame else _decode_bare(frame)
    except UNDECODABLE:
        msg = _read_one_sided(frame)  # or not a depthUpdate: says what is wrong
    rest = frame.translate(None, _NUMBERS)
    if rest not in _plain_rests:
        _make_plain(msg, rest)
    if msg.u < msg.U:
        raise UnparsableFrame(f"depthUpdate with first id {msg.U} above its last {msg.u}")
    return BookFrame(BookEnvelope(msg.U, msg.u, msg.pu, msg.E * 1000), msg.b, msg.a)


def parse_snapshot(body: bytes) -> SnapshotFrame:
    """A reply to a segment's `depth`. The limit it was asked with is not in it: 0.

    Raises UnparsableFrame, also when a level's number is none.
    """
    try:
        msg = _decode_reply(body)
    except UNDECODABLE as exc:
        raise UnparsableFrame(f"not a depth reply of Binance: {exc}") from None
    bids, asks = _sides(msg.bids, msg.asks)
    return SnapshotFrame(SnapshotEnvelope(msg.lastUpdateId, msg.E * 1000), _in_plain(bids), _in_plain(asks), 0)


def _read_one_sided(frame: bytes) -> DepthMsg:
    try:
        wrapped = b'"stream"' in frame
        msg = _decode_combined_one_sided(frame).data if wrapped else _decode_bare_one_sided(frame)
    except UNDECODABLE as exc:
        raise UnparsableFrame(f"not a depthUpdate of Binance: {exc}") from None
    return DepthMsg(msg.E, msg.U, msg.u, *_sides(msg.b, msg.a), msg.pu)


def _sides(bids: _Side, asks: _Side) -> tuple[list[Level], list[Level]]:
    """A side that is null or left out is empty. Raises UnparsableFrame where both are left out: then it is something
    else that is told."""
    if bids is UNSET and asks is UNSET:
        raise UnparsableFrame("a book of Binance without sides")
    return bids or [], asks or []


def _make_plain(msg: DepthMsg, rest: bytes) -> None:
    """Write out exponents in the levels of a fresh message; `rest` is remembered where there are none."""
    bids, asks = _in_plain(msg.b), _in_plain(msg.a)
    if bids is not msg.b or asks is not msg.a:
        msg.b, msg.a = bids, asks
        return
    if len(_plain_rests) >= _RESTS_MAX:
        _plain_rests.clear()
    _plain_rests.add(rest)


def _in_plain(levels: list[Level]) -> list[Level]:
    """`levels` themselves where all numbers are digits with at most one dot, else with exponents written out. Raises
    UnparsableFrame on what is no such number."""
    for level in levels:
        for number in level:
            whole, dot, fraction = number.partition(".")
            if not (number.isascii() and whole.isdigit() and (fraction.isdigit() if dot else True)):
                return [(_written_out(price), _written_out(quantity)) for price, quantity in levels]
    return levels


def _written_out(number: str) -> str:
    if _is_decimal(number) is None:
        raise UnparsableFrame(f"{number[:40]!r} in a book level is not a number we accept")
    return plain(number)
