"""When a live book is published: at a pace while it is good, and once when it stops being so."""

from __future__ import annotations

from collections.abc import Callable

from marketdata.book import LevelBook
from marketdata.book_json import BookWriter
from marketdata.topics import MD_BOOK, MD_BOOK_SNAPSHOT
from marketdata.types import BookState
from processors.outputs import Output
from runtime.config.processors import Books

BOOK, DEEP = MD_BOOK.name, MD_BOOK_SNAPSHOT.name


class Proof:
    """What a book stands on: the newest update in it, and when it was last proven right."""

    __slots__ = ("clock_us", "epoch", "event_time_us", "update_id", "verified_ns", "verified_us")

    def __init__(self) -> None:
        self.epoch = 0
        self.update_id = ""
        """Id of the last update that was ever in the book."""
        self.event_time_us = 0
        self.verified_ns = ""
        """Our clock when the book was last proven right."""
        self.verified_us = 0
        """The venue's clock at that moment."""
        self.clock_us = 0
        """The venue's clock by the newest heartbeat."""

    def verified(self, recv_ns: str, event_time_us: int) -> None:
        """Something received then showed that the book is right; 0: the venue gave it no time."""
        self.verified_ns = recv_ns
        if event_time_us:
            self.event_time_us = event_time_us
        self.verified_us = max(self.verified_us, event_time_us or self.clock_us)


class BookPublisher:
    """The publishing of one key's book."""

    def __init__(self, key: bytes, writer: BookWriter, settings: Books, count: Callable[[str], None]) -> None:
        self._key = key
        self._writer = writer
        self._settings = settings
        self._count = count
        self.published: BookState | None = None
        """State of the newest md.book record; None before the first."""
        self.top_owed = False
        self.top_due_ms = 0
        self.deep_owed = False
        self.deep_due_ms = 0

    @property
    def owes(self) -> bool:
        """Whether the book changed since it was last published."""
        return self.top_owed or self.deep_owed

    def good(self, book: LevelBook, proof: Proof, now_ms: int, recv_ns: str, out: list[Output]) -> None:
        """The book is right: publish what is due."""
        fresh = self.published != "ok"
        self.published = "ok"
        if fresh:
            self._count("became_ok")
        settings = self._settings
        if fresh or (self.top_owed and now_ms >= self.top_due_ms):
            out.append(Output(BOOK, self._good(False, settings.top_levels, book, proof, recv_ns), self._key))
            self.top_owed = False
            self.top_due_ms = now_ms + settings.top_interval_ms
            self.deep_owed = True
        if fresh or (self.deep_owed and now_ms >= self.deep_due_ms):
            out.append(Output(DEEP, self._good(True, settings.deep_levels, book, proof, recv_ns), self._key))
            self.deep_owed = False
            self.deep_due_ms = now_ms + settings.deep_interval_ms

    def bad(self, state: BookState, reason: str, proof: Proof, recv_ns: str, out: list[Output]) -> None:
        """The book is not right: say so where the newest record says otherwise, or there is none."""
        if self.published is not None and self.published != "ok":
            return
        self.published = state
        self.top_owed = self.deep_owed = False
        self._count(f"became_{state}")
        for topic, deep in ((BOOK, False), (DEEP, True)):
            out.append(Output(topic, self._bad(deep, state, reason, proof, recv_ns), self._key))

    def view(self, levels: int, state: BookState, reason: str, book: LevelBook, proof: Proof) -> bytes:
        """The book as it is now, for someone who asked; 0: all levels."""
        if state == "ok" and self.published == "ok":
            return self._good(True, levels, book, proof, proof.verified_ns)
        return self._bad(True, state, reason, proof, proof.verified_ns)

    def _good(self, deep: bool, levels: int, book: LevelBook, proof: Proof, recv_ns: str) -> bytes:
        return self._writer.good(
            deep, levels, book, recv_ns, proof.update_id, proof.epoch, proof.event_time_us, proof.verified_ns
        )

    def _bad(self, deep: bool, state: BookState, reason: str, proof: Proof, recv_ns: str) -> bytes:
        return self._writer.bad(
            deep, state, reason, recv_ns, proof.update_id, proof.epoch, proof.event_time_us, proof.verified_ns
        )
