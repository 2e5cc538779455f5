"""OKX book frames and snapshots: ids, levels, checksums."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import itemgetter
from zlib import crc32

import msgspec

from marketdata.book import LevelBook
from marketdata.codec import UNDECODABLE
from marketdata.decimals import plain
from marketdata.errors import UnparsableFrame
from marketdata.types import Level
from venues.contract import BookEnvelope, BookFrame, SnapshotEnvelope, SnapshotFrame
from venues.okx import messages as m

CHECKSUM_LEVELS = 25
"""Levels a side that the checksum is made of."""

_decode_frame = msgspec.json.Decoder(m.BookFrameMsg, strict=False).decode
_decode_ids = msgspec.json.Decoder(m.BookIdsFrame, strict=False).decode
_decode_reply = msgspec.json.Decoder(m.Reply[m.BookMsg], strict=False).decode
_decode_reply_ids = msgspec.json.Decoder(m.Reply[m.BookIds], strict=False).decode
_price_and_size: Callable[[list[str]], Level] = itemgetter(0, 1)

_NUMBERS = b'0123456789.,"[]'
_RESTS_MAX = 20_000
_plain_rests: set[bytes] = set()
"""What remains of a frame without digits and list punctuation. A frame whose rest was seen in one in plain notation
holds nothing but digits and dots in its levels, so that there is nothing to rewrite; what is made of digits and dots
and yet no number is refused by whoever turns it into one."""


def parse_book(frame: bytes) -> BookFrame:
    """A frame of `books` or `books-l2-tbt`; levels that are not in plain notation are rewritten. Raises
    UnparsableFrame."""
    try:
        action, data = msgspec.structs.astuple(_decode_frame(frame))
        (msg,) = data
        bids, asks = list(map(_price_and_size, msg.bids or ())), list(map(_price_and_size, msg.asks or ()))
    except (*UNDECODABLE, ValueError, IndexError) as exc:
        raise UnparsableFrame(f"not a book frame of OKX: {exc}") from None
    rest = frame.translate(None, _NUMBERS)
    if rest not in _plain_rests:
        as_sent = bids, asks
        bids, asks = _plain(bids), _plain(asks)
        if as_sent == (bids, asks):
            if len(_plain_rests) >= _RESTS_MAX:
                _plain_rests.clear()
            _plain_rests.add(rest)
    return BookFrame(_envelope(action, msg), bids, asks, msg.checksum or None)


def book_envelope(frame: bytes) -> BookEnvelope:
    """The ids of such a frame. Raises UnparsableFrame."""
    try:
        msg = _decode_ids(frame)
        (ids,) = msg.data
    except (*UNDECODABLE, ValueError) as exc:
        raise UnparsableFrame(f"not a book frame of OKX: {exc}") from None
    return _envelope(msg.action, ids)


def _envelope(action: str, ids: m.BookMsg | m.BookIds) -> BookEnvelope:
    """Raises UnparsableFrame on a frame that nothing could be proved of.

    A missing `prevSeqId` is neither 0 nor -1: the update cannot be chained, and what follows it will not chain either.
    Without `seqId` (before 2022-06) the time is the id, and the checksum must be there, which 0 says that it is not.
    """
    is_snapshot = action == "snapshot"
    if not is_snapshot and action != "update":
        raise UnparsableFrame(f"a book frame whose action is {action[:40]!r}")
    if ids.seqId is None:
        if not ids.checksum:
            raise UnparsableFrame("a book frame with neither seqId nor checksum")
        return BookEnvelope(ids.ts, ids.ts, None, ids.ts * 1000, is_snapshot)
    if is_snapshot:
        return BookEnvelope(ids.seqId, ids.seqId, None, ids.ts * 1000, True)
    if ids.prevSeqId is None:
        raise UnparsableFrame(f"book update {ids.seqId} does not name its predecessor")
    return BookEnvelope(ids.seqId, ids.seqId, ids.prevSeqId, ids.ts * 1000)


def parse_snapshot(body: bytes) -> SnapshotFrame:
    """A reply to `/api/v5/market/books`. The depth it was asked with is not in it: 0.

    Raises UnparsableFrame, also for replies recorded before 2022-06, which have no `seqId` to join the stream with.
    """
    msg, bids, asks = read_levels(body)
    if msg.seqId is None:
        raise UnparsableFrame("a book without seqId")
    return SnapshotFrame(SnapshotEnvelope(msg.seqId, msg.ts * 1000), bids, asks, 0)


def read_levels(body: bytes) -> tuple[m.BookMsg, list[Level], list[Level]]:
    """A REST book with or without ids, its bids and asks. Raises UnparsableFrame."""
    try:
        (msg,) = _decode_reply(body).data
        bids, asks = list(map(_price_and_size, msg.bids or ())), list(map(_price_and_size, msg.asks or ()))
    except (*UNDECODABLE, ValueError, IndexError) as exc:
        raise UnparsableFrame(f"not a book of OKX: {exc}") from None
    return msg, _plain(bids), _plain(asks)


def snapshot_envelope(body: bytes) -> SnapshotEnvelope:
    """The id of such a reply. Raises UnparsableFrame."""
    try:
        (ids,) = _decode_reply_ids(body).data
    except (*UNDECODABLE, ValueError) as exc:
        raise UnparsableFrame(f"not a book of OKX: {exc}") from None
    if ids.seqId is None:
        raise UnparsableFrame("a book without seqId")
    return SnapshotEnvelope(ids.seqId, ids.ts * 1000)


def _plain(levels: Sequence[Level]) -> list[Level]:
    """Raises UnparsableFrame on what is no number."""
    return [(plain(price), plain(size)) for price, size in levels]


# --- checksum ----------------------------------------------------------------------------------------


def checksum(bids: Sequence[Level], asks: Sequence[Level]) -> int:
    """CRC-32 of the best levels as a signed 32-bit number: `bid:size:ask:size:..`, level by level, in the venue's own
    spelling; where one side has no more levels the other goes on alone."""
    parts: list[str] = []
    for i in range(CHECKSUM_LEVELS):
        for side in (bids, asks):
            if i < len(side):
                parts += side[i]
    unsigned = crc32(":".join(parts).encode())
    return unsigned - (1 << 32) if unsigned >> 31 else unsigned


def verify_checksum(frame: BookFrame, book: LevelBook) -> bool | None:
    """See `Venue.verify_checksum`. Since 2026-06-23 the venue sends 0, which means none."""
    if frame.checksum is None:
        return None
    return frame.checksum == checksum(book.bids.levels(CHECKSUM_LEVELS), book.asks.levels(CHECKSUM_LEVELS))
