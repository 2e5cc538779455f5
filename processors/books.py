"""The order-book application: raw.book in, live books out. `python -m processors.books`.

One stage keeps the books (`processors.book_core`), a second answers what consumers ask for through
control.book_request from the books that live in this process: its topic has the same keys and partitions, so the
consumer group hands both partitions of a key to the same process.
"""

from __future__ import annotations

from functools import partial

import msgspec

from marketdata.codec import Encoding, encoder
from marketdata.control import BookRequest
from marketdata.errors import ConfigError, UnparsableFrame
from marketdata.keys import parse_key
from marketdata.topics import (
    CONTROL_BOOK_REQUEST,
    CONTROL_SNAPSHOT,
    MD_BOOK,
    MD_BOOK_DELTA,
    MD_BOOK_REPLY,
    MD_BOOK_SNAPSHOT,
    MD_FEED_STATUS,
    MD_GAP,
    RAW_BOOK,
)
from marketdata.types import BookSnapshot
from processors.app import Definition, Stage, run
from processors.book_core import LiveBook
from processors.metrics import Metrics
from processors.outputs import Output, SourceRecord
from runtime.config import Config
from runtime.config.processors import Books
from runtime.service import start

NAME = "books"
STATES = ("ok", "resyncing", "stale", "crossed")

_decode_request = msgspec.json.Decoder(BookRequest).decode


class NoBook:
    """Stands where a key cannot have a book."""

    def __init__(self, why: str) -> None:
        self._why = why

    def handle(self, source: SourceRecord) -> list[Output]:  # noqa: ARG002 (LiveBook's signature)
        raise UnparsableFrame(self._why)

    def dump(self) -> bytes:
        return b""


class BookShelf:
    """All books of this process by key, and how they are made, saved and asked for."""

    def __init__(self, settings: Books, encoding: Encoding, metrics: Metrics) -> None:
        self._settings = settings
        self._encoding: Encoding = encoding
        self._encode = encoder(encoding)
        self._events = metrics.counts["events"]
        self.books: dict[bytes, LiveBook] = {}
        for state in STATES:
            metrics.gauges[f"state_{state}"] = (f"Books whose state is {state}", partial(self.in_state, state))

    def in_state(self, state: str) -> int:
        return sum(1 for book in list(self.books.values()) if book.published == state)

    def new(self, key: bytes) -> LiveBook | NoBook:
        """A book never seen; for a key that names no venue of ours, something that refuses every record."""
        try:
            book = self.books[key] = LiveBook(key, self._settings, self._encoding, self._count)
        except (UnparsableFrame, ConfigError, UnicodeDecodeError) as exc:
            return NoBook(str(exc))
        return book

    def load(self, key: bytes, blob: bytes) -> LiveBook | NoBook:
        book = self.new(key)
        if isinstance(book, LiveBook):
            book.load(blob)
        return book

    def _count(self, event: str) -> None:
        self._events[event] += 1

    def answer(self, source: SourceRecord) -> list[Output]:
        """The live book for a control.book_request. Raises UnparsableFrame for a request that is none."""
        key = parse_key(source.key)
        try:
            request = _decode_request(source.value)
        except (msgspec.MsgspecError, UnicodeDecodeError) as exc:
            raise UnparsableFrame(f"not a book request: {exc}") from None
        book = self.books.get(source.key)
        self._events["book_requests"] += 1
        if book is not None:
            return [Output(MD_BOOK_REPLY.name, book.view(max(request.levels, 0)), source.key)]
        unknown = BookSnapshot(
            exchange=key.exchange,
            market=key.market,
            symbol=key.symbol,
            state="resyncing",
            reason="no record of this book since this process started",
            update_id="",
            bids=[],
            asks=[],
        )
        return [Output(MD_BOOK_REPLY.name, self._encode(unknown), source.key)]


def definition(config: Config, metrics: Metrics) -> Definition:
    """The application, for `processors.app.run` and for benchmarks."""
    shelf = BookShelf(config.processors.books, config.kafka.encoding, metrics)
    books: Stage[LiveBook | NoBook] = Stage(
        sources=(RAW_BOOK,), handle=lambda book, source: book.handle(source), new=shelf.new, load=shelf.load,
        dump=lambda book: book.dump(),
    )  # fmt: skip
    requests: Stage[None] = Stage(
        sources=(CONTROL_BOOK_REQUEST,), handle=lambda _, source: shelf.answer(source), new=lambda _: None,
        load=lambda _key, _blob: None, dump=lambda _: b"",
    )  # fmt: skip
    return Definition(
        name=NAME,
        stages=(books, requests),
        outputs=(
            MD_BOOK, MD_BOOK_SNAPSHOT, MD_BOOK_DELTA, MD_BOOK_REPLY, MD_GAP, MD_FEED_STATUS, CONTROL_SNAPSHOT,
        ),
        metrics=metrics,
        commit_interval_s=config.processors.books.commit_interval_s,
    )  # fmt: skip


def main() -> None:
    service = start("processors.books")
    run(service, definition(service.config, Metrics(NAME)))


if __name__ == "__main__":
    main()
