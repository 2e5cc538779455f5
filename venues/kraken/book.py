"""Kraken books: frames, the rules by which they go on, and the checksum.

The venue's steps (https://docs.kraken.com/exchange/guides/websockets/book-checksum-v2):

1. The first frame after a subscription is a snapshot of `DEPTH` levels a side: it becomes the book.
2. An update's quantities are absolute, zero removes; the same price may come several times: in the order they stand.
3. After each frame each side is cut to the best `DEPTH`: of levels that fall out nothing more is told.
4. `checksum` is the CRC-32 of the best ten levels: another value than ours means that the book is wrong.
5. Then: unsubscribe and subscribe, which brings a new snapshot.

There are no sequence numbers, so that nothing but step 4 shows a loss. As ids we take the venue's time in microseconds.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import lru_cache
from itertools import chain
from typing import Final
from zlib import crc32

import msgspec

from marketdata.book import LevelBook
from marketdata.book_feed import Verdict
from marketdata.codec import UNDECODABLE
from marketdata.decimals import plain
from marketdata.errors import UnparsableFrame
from marketdata.types import Level
from venues.contract import BookEnvelope, BookFrame, SnapshotEnvelope, SnapshotFrame
from venues.json_numbers import number
from venues.kraken import messages as m

DEPTH: Final = 25
"""Levels a side that we subscribe; the venue has 10, 25, 100, 500 and 1000."""

CHECKSUM_LEVELS: Final = 10

_read_book = msgspec.json.Decoder(m.BookFrameMsg).decode
_read_ids = msgspec.json.Decoder(m.BookIdsFrame).decode
_read_pairs = msgspec.json.Decoder(m.PairsReply).decode
_read_depth = msgspec.json.Decoder(m.DepthMsg).decode

_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d+))?Z")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class TimeSequence:
    """Answers for `marketdata.book_feed.BookFeed`: on one connection every update continues the book."""

    chains_across_connections = False
    consecutive_ids = False

    def check(self, last_id: int, first: int, last: int, prev: int | None) -> Verdict:  # noqa: ARG002
        return Verdict.APPLY

    def bridge(self, snapshot_id: int, first: int, last: int, prev: int | None) -> Verdict:  # noqa: ARG002
        return Verdict.APPLY


def time_us(text: str | None) -> int:
    """Microseconds since 1970 of an RFC 3339 time in UTC, exactly (further digits are cut); 0 for none.

    Raises UnparsableFrame.
    """
    if not text:
        return 0
    found = _TIME.fullmatch(text)
    if found is None:
        raise UnparsableFrame(f"{text[:40]!r} is not a time")
    return _seconds(found[1]) * 1_000_000 + int((found[2] or "")[:6].ljust(6, "0"))


@lru_cache(maxsize=64)
def _seconds(text: str) -> int:
    try:
        return int((datetime.fromisoformat(text + "+00:00") - _EPOCH).total_seconds())
    except ValueError:
        raise UnparsableFrame(f"{text!r} is not a time") from None


def book_envelope(frame: bytes) -> BookEnvelope:
    """Of a `book` frame. Raises UnparsableFrame."""
    try:
        msg = _read_ids(frame)
    except UNDECODABLE as exc:
        raise UnparsableFrame(f"not a book frame of Kraken: {exc}") from None
    return _envelope(msg.type, msg.data[0].timestamp)


def parse_book(frame: bytes) -> BookFrame:
    """A `book` frame with its levels, in the venue's digits. Raises UnparsableFrame."""
    try:
        msg = _read_book(frame)
    except UNDECODABLE as exc:
        raise UnparsableFrame(f"not a book frame of Kraken: {exc}") from None
    book = msg.data[0]
    return BookFrame(_envelope(msg.type, book.timestamp), _levels(book.bids), _levels(book.asks), book.checksum)


def _envelope(kind: str, timestamp: m.Text) -> BookEnvelope:
    if kind not in ("snapshot", "update"):
        raise UnparsableFrame(f"a book frame of type {kind[:40]!r}")
    event_us = time_us(timestamp)
    return BookEnvelope(event_us, event_us, None, event_us, kind == "snapshot")


def _levels(entries: list[m.LevelMsg]) -> list[Level]:
    out = [(number(entry.price), number(entry.qty)) for entry in entries]
    if not all(chain.from_iterable(out)):
        raise UnparsableFrame("a level without price or quantity")
    return out


def parse_snapshot(body: bytes) -> SnapshotFrame:
    """A reply to `/0/public/Depth`: without id and time, so that no update continues it. Raises UnparsableFrame."""
    try:
        (entry,) = (_read_pairs(body).result or {}).values()
        msg = _read_depth(entry)
    except (*UNDECODABLE, ValueError) as exc:
        raise UnparsableFrame(f"not a depth reply of Kraken: {exc}") from None
    bids = [(plain(price), plain(volume)) for price, volume, _ in msg.bids]
    asks = [(plain(price), plain(volume)) for price, volume, _ in msg.asks]
    return SnapshotFrame(SnapshotEnvelope(0, 0), bids, asks, 0)


def verify_checksum(frame: BookFrame, book: LevelBook) -> bool | None:
    """Step 4. The digits are the venue's own: trailing zeros count."""
    if frame.checksum is None:
        return None
    return checksum(book.asks.levels(CHECKSUM_LEVELS), book.bids.levels(CHECKSUM_LEVELS)) == frame.checksum


def checksum(asks: list[Level], bids: list[Level]) -> int:
    """Of the best levels, best first: all digits of prices and quantities without point and leading zeros, asks before
    bids. A side of fewer than ten levels counts with what it has."""
    numbers = chain.from_iterable(chain(asks, bids))
    return crc32("".join(text.replace(".", "").lstrip("0") for text in numbers).encode())
