"""The levels of one live book: read as the venue writes them, kept in base coin, compared with the venue's checksum."""

from __future__ import annotations

from collections.abc import Sequence

from marketdata.book import WHOLE, LevelBook
from marketdata.types import Level
from marketdata.units import Units, units_of
from runtime.config.processors import Books
from venues.contract import BookFrame, Venue

IN_STREAM = b"stream"
"""Origin of a full book that came in the stream rather than from REST."""

Sides = tuple[Sequence[Level], Sequence[Level]]
"""Bids and asks."""


class BookLevels:
    """The levels, and what is needed to read more of them."""

    def __init__(self, venue: Venue, settings: Books) -> None:
        self._venue = venue
        self._form = (settings.levels_max, settings.window_levels, venue.book_depth)
        self.book = LevelBook(*self._form)
        """In base coin."""
        self.wire: LevelBook | None = None
        """The same book as the venue spells it, where levels are converted and frames carry checksums."""
        self.units: Units | None = None
        """Of a venue that quotes contracts; None until the instrument is known."""

    def dump(self) -> tuple[bytes, bytes]:
        """The book, and the same as the venue spells it (b"" for none)."""
        return self.book.dump(), self.wire.dump() if self.wire else b""

    def load(self, book: bytes, wire: bytes) -> None:
        """Become what `dump` wrote."""
        self.book = LevelBook.load(book, *self._form)
        self.wire = LevelBook.load(wire, *self._form) if wire else None

    def base(self, levels: Sequence[Level]) -> Sequence[Level]:
        """Levels of a venue that quotes contracts, in base coin. Raises BadData `no_instrument`."""
        return (self.units or units_of(None, "the book")).levels(levels)

    def read(self, payload: bytes) -> Sides:
        """The levels of a frame that was kept, in base coin."""
        _, bids, asks, _ = self._venue.parse_book(payload)
        return self._converted(bids, asks)

    def apply(self, payload: bytes) -> None:
        """Change what a frame that was kept says."""
        _, bids, asks, _ = self._venue.parse_book(payload)
        if self.wire is not None:
            self.wire.apply(bids, asks)
        self.book.apply(*self._converted(bids, asks))

    def replace(self, payload: bytes) -> None:
        """Become a full book: its origin, a blank, its frame."""
        origin, _, body = payload.partition(b" ")
        if origin == IN_STREAM:
            _, bids, asks, checksum = self._venue.parse_book(body)
            limit = self._venue.book_depth or WHOLE
        else:
            _, bids, asks, asked = self._venue.parse_snapshot(body)
            limit, checksum = asked or int(origin), None
        if self._venue.converts_books and (checksum is not None or self.wire is not None):
            self.wire = LevelBook(*self._form)
            self.wire.replace(bids, asks, limit)
        self.book.replace(*self._converted(bids, asks), limit)

    def contradicts(self, frame: BookFrame) -> bool:
        """Whether the checksum of the frame is not that of the book, which is the one right after it."""
        verify = self._venue.verify_checksum
        book = self.wire if self._venue.converts_books else self.book
        return verify is not None and book is not None and verify(frame, book) is False

    def _converted(self, bids: Sequence[Level], asks: Sequence[Level]) -> Sides:
        return (self.base(bids), self.base(asks)) if self._venue.converts_books else (bids, asks)
