"""Book core on one core: a frame decoded, checked, sequenced and applied, and the top 20 out as JSON."""

from __future__ import annotations

from bench.book_load import BookLoad
from bench.harness import Figure, figure, one_core, rates
from marketdata.book import LevelBook
from marketdata.book_feed import BookFeed, Outcome
from marketdata.book_json import BookWriter
from marketdata.errors import InvariantError
from marketdata.keys import Key
from venues.binance.book_frames import parse_book, parse_snapshot
from venues.binance.book_sync import SpotSequence

FRAMES = 20_000
RUNS = 12
CASES = (
    ("book_core_50_symbols", 50, 20, 45_000.0),
    ("book_core_1000_symbols", 1000, 20, 30_000.0),
    ("book_core_50_symbols_40_levels", 50, 40, None),
)


class Books:
    """Anchored books and the frames that go on from there."""

    def __init__(self, symbols: int, levels: int) -> None:
        load = BookLoad(symbols, levels)
        self.snapshots = [load.snapshot(i) for i in range(symbols)]
        self.frames = list(load.round_robin(FRAMES))
        self.keys = [Key("binance", "spot", symbol) for symbol in load.symbols]

    def anchored(self) -> list[tuple[BookFeed[bytes], LevelBook, BookWriter]]:
        books = []
        for key, body in zip(self.keys, self.snapshots, strict=True):
            feed: BookFeed[bytes] = BookFeed(SpotSequence())
            feed.connected("c")
            feed.snapshot(0, body)
            levels = LevelBook()
            _, bids, asks, _ = parse_snapshot(body)
            levels.replace(bids, asks, 1000)
            books.append((feed, levels, BookWriter(key)))
        for i, frame in self.frames[: len(books)]:  # the first frame joins the snapshot: not the path we measure
            (first, last, prev, time_us, _), bids, asks, _ = parse_book(frame)
            books[i][0].update(first, last, prev, time_us, frame, "c")
            books[i][1].apply(bids, asks)
        return books

    def run(self) -> int:
        """Everything after the first frame of each symbol; returns how many frames."""
        books = self.prepared
        done = 0
        for i, frame in self.frames[len(books) :]:
            feed, levels, writer = books[i]
            (first, last, prev, time_us, _), bids, asks, _ = parse_book(frame)
            checked = levels.check(bids, asks)
            if feed.update(first, last, prev, time_us, frame, "c") is not Outcome.APPLY:
                raise InvariantError(f"frame {first}-{last} did not continue its book")
            levels.put(checked)
            if problem := levels.problem():
                raise InvariantError(problem)
            writer.good(False, 20, levels, "1700000000000000000", str(last), 0, time_us, "1700000000000000000")
            done += 1
        return done

    def prepare(self) -> None:
        self.prepared = self.anchored()


def run() -> list[Figure]:
    figures = []
    with one_core():
        for name, symbols, levels, bar in CASES:
            books = Books(symbols, levels)
            runs = []
            for _ in range(RUNS):
                books.prepare()
                runs += rates(books.run, runs=1)
            figures.append(
                figure(name, runs, "frames per CPU second", bar, note=f"{levels} level changes a frame, top 20 a side")
            )
    return figures
