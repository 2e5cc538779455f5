"""Binance book frames and snapshots with their levels, of all segments: the fastest decoding we know, strict about
numbers.

`bookTicker` and the ids-only envelopes of a book frame are elsewhere (`normalise`, `protocol`).
"""

# ruff: noqa: N815  field names are the venue's own

from __future__ import annotations

import msgspec
from msgspec import Struct

from marketdata.codec import UNDECODABLE
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


class DepthReply(Struct, gc=False):
    """`/api/v3/depth`, source: rest-api.md, Order book; `/fapi/v1/depth` and `/dapi/v1/depth` with their times."""

    lastUpdateId: int
    bids: list[tuple[str, str]]
    asks: list[tuple[str, str]]
    E: int = 0


_decode_combined = msgspec.json.Decoder(CombinedDepth).decode
_decode_bare = msgspec.json.Decoder(DepthMsg).decode
_decode_reply = msgspec.json.Decoder(DepthReply).decode

_NUMBERS = b'0123456789.,"[]'
_RESTS_MAX = 20_000
_plain_rests: set[bytes] = set()
"""What remains of a frame without digits and list punctuation: its field names and stream name. A frame whose rest was
seen in a checked one holds nothing but digits and dots in its levels, so that it need not be checked again; what is
made of digits and dots and yet no number is refused by whoever turns it into one."""


def parse_book(frame: bytes) -> BookFrame:
    """A diff-depth frame, with or without the combined-stream envelope.

    Raises UnparsableFrame, also when a level is not in plain decimal notation.
    """
    try:
        msg = _decode_combined(frame).data if b'"stream"' in frame else _decode_bare(frame)
    except UNDECODABLE as exc:
        raise UnparsableFrame(f"not a depthUpdate of Binance: {exc}") from None
    rest = frame.translate(None, _NUMBERS)
    if rest not in _plain_rests:
        _check_plain(msg.b)
        _check_plain(msg.a)
        if len(_plain_rests) >= _RESTS_MAX:
            _plain_rests.clear()
        _plain_rests.add(rest)
    if msg.u < msg.U:
        raise UnparsableFrame(f"depthUpdate with first id {msg.U} above its last {msg.u}")
    return BookFrame(BookEnvelope(msg.U, msg.u, msg.pu, msg.E * 1000), msg.b, msg.a)


def parse_snapshot(body: bytes) -> SnapshotFrame:
    """A reply to a segment's `depth`. The limit it was asked with is not in it: 0.

    Raises UnparsableFrame, also when a level is not in plain decimal notation.
    """
    try:
        msg = _decode_reply(body)
    except UNDECODABLE as exc:
        raise UnparsableFrame(f"not a depth reply of Binance: {exc}") from None
    _check_plain(msg.bids)
    _check_plain(msg.asks)
    return SnapshotFrame(SnapshotEnvelope(msg.lastUpdateId, msg.E * 1000), msg.bids, msg.asks, 0)


def _check_plain(levels: list[Level]) -> None:
    """Raises UnparsableFrame unless every price and quantity is digits with at most one dot."""
    for level in levels:
        for number in level:
            whole, dot, fraction = number.partition(".")
            if not (number.isascii() and whole.isdigit() and (fraction.isdigit() if dot else True)):
                raise UnparsableFrame(f"book level {level!r} is not in plain decimal notation")
