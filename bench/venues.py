"""Every venue market and channel on one core: what telling frames apart, normalising and the whole core can take.

    classify   ingest: what a frame is
    envelope   ingest: ids of a book frame without its levels
    normalise  frame bytes to records with the instrument's metadata; of books: levels decoded, in base coin
    core       a raw record as Kafka hands it over, through `processors.normalise` to validated, encoded records; of
               books through `processors.books`: sequence, levels, checksum, and the records it publishes at its paces

`python -m bench.venues [market...]` for some of them, as `binance_spot`. Frames are the simulator's (`venue_frames`).
"""

from __future__ import annotations

import gc
import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from bench.harness import Figure, figure, write
from bench.venue_frames import CASES, SNAPSHOT_LEVELS, T0_US, Case, Frames, make
from marketdata import raw, topics
from marketdata.codec import encoder
from marketdata.keys import Key
from marketdata.units import units_of
from processors.book_core import LiveBook
from processors.metrics import Metrics
from processors.normalise_core import Normaliser
from processors.normalise_feed import Feed, FeedState
from processors.outputs import Output, SourceRecord
from runtime.config.processors import Books
from venues.contract import Context, Data

RUNS = 3
RUN_CPU_S = 0.05
"""A run goes over the frames again until it took so long."""
STEP_MS = 5
"""Between two records of a channel, for the paces at which books are published."""
REJECTED_MAX = 0.01
"""Share of records: the odd price of a thin option may be off the last one by more than a factor."""
CONN = "bench-0-1"
COLUMNS = ("classify", "envelope", "normalise", "core")

Work = Callable[[], int]
"""Does its frames once; how many they were."""


def best_rates(prepare: Callable[[], Work]) -> list[float]:
    """Frames per second of CPU of each run; what `prepare` does is not measured."""
    out = []
    for _ in range(RUNS):
        gc.collect()
        done, took_s = 0, 0.0
        while took_s < RUN_CPU_S:
            work = prepare()
            begin_s = time.process_time()
            done += work()
            took_s += time.process_time() - begin_s
        out.append(done / took_s)
    return out


class Channel:
    """One channel's frames and the ways they go."""

    def __init__(self, case: Case, frames: Frames, name: str) -> None:
        self.case, self.name, self.all = case, name, frames
        self.venue = frames.venue
        self.frames = frames.channels[name]
        self.contexts = {
            symbol: Context(case.exchange, case.market, symbol, "1700000000000000000", instrument)
            for symbol, (instrument, _) in frames.instruments.items()
        }
        self.topic = topics.CHANNEL_TOPICS[name].name
        self.clock_us = T0_US if name == "book" else frames.end_us
        """Of heartbeats: no record may lie ahead of it, and no book far behind."""
        self.encode = encoder("json")

    # --- single steps -------------------------------------------------------------------------------

    def classify(self) -> int:
        classify = self.venue.protocol.classify
        for _, frame in self.frames:
            if type(classify(frame)) is not Data:
                raise RuntimeError(f"not market data: {frame[:200]!r}")
        return len(self.frames)

    def envelope(self) -> int:
        envelope = self.venue.protocol.book_envelope
        for _, frame in self.frames:
            envelope(frame)
        return len(self.frames)

    def normalise(self) -> int:
        """Not every frame has a record to give: a ticker without a trade has none."""
        normalise, contexts, made = self.venue.normalisers[self.name], self.contexts, 0
        for symbol, frame in self.frames:
            made += len(normalise(frame, contexts[symbol]))
        if not made:
            raise RuntimeError(f"no records from {self.case.name} {self.name}")
        return len(self.frames)

    def levels(self) -> int:
        parse = self.venue.parse_book
        if not self.venue.converts_books:
            for _, frame in self.frames:
                parse(frame)
            return len(self.frames)
        units = {symbol: units_of(context.instrument, "the book") for symbol, context in self.contexts.items()}
        for symbol, frame in self.frames:
            _, bids, asks, _ = parse(frame)
            base = units[symbol].levels
            base(bids), base(asks)
        return len(self.frames)

    # --- the whole core -----------------------------------------------------------------------------

    def key(self, symbol: str) -> bytes:
        return Key(self.case.exchange, self.case.market, symbol).encode()

    def record(
        self, kind: str, symbol: str, value: bytes, number: int = 0, extra: Sequence[tuple[str, bytes]] = ()
    ) -> SourceRecord:
        at_ms = self.clock_us // 1000 + number * STEP_MS
        channel = self.name if kind in ("frame", "snapshot") else ""
        headers = raw.to_kafka(raw.Headers(kind, channel, str(at_ms * 1_000_000), CONN, str(number)))
        return SourceRecord(self.topic, 0, number, self.key(symbol), value, [*headers, *extra], at_ms)

    def beginning(self, symbol: str) -> list[SourceRecord]:
        """What stands in the log before the first frame of a key."""
        connected = raw.encode_value(raw.ConnectedValue("ws://bench", [self.name], "start"))
        return [
            self.record("connected", symbol, connected),
            self.record("instrument", symbol, self.all.instruments[symbol][1]),
            self.record("heartbeat", symbol, raw.encode_value(raw.HeartbeatValue(self.clock_us))),
        ]

    def records(self) -> list[SourceRecord]:
        """The frames as raw records, snapshots where they came."""
        records = []
        waiting = list(self.all.snapshots) if self.name == "book" else []
        limit = [(raw.LIMIT_HEADER, b"%d" % SNAPSHOT_LEVELS)]
        for number, (symbol, frame) in enumerate(self.frames, 1):
            for of, body, _ in [each for each in waiting if each[2] < number]:
                records.append(self.record("snapshot", of, body, number, limit))
            waiting = [each for each in waiting if each[2] >= number]
            records.append(self.record("frame", symbol, frame, number))
        return records

    def core(self) -> Callable[[], Work]:
        return self.book_core() if self.name == "book" else self.record_core()

    def record_core(self) -> Callable[[], Work]:
        records, metrics = self.records(), Metrics("bench", None)
        normaliser = Normaliser(metrics, self.encode)

        def prepare() -> Work:
            feeds = {self.key(symbol): Feed(self.key(symbol), FeedState()) for symbol in self.contexts}
            for symbol in self.contexts:
                for record in self.beginning(symbol):
                    normaliser.handle(feeds[self.key(symbol)], record)
            return lambda: play(records, lambda record: normaliser.handle(feeds[record.key], record))

        prepare()()
        if sum(metrics.counts["dead_letters"].values()) > len(records) * REJECTED_MAX:
            raise RuntimeError(f"{self.case.name} {self.name} rejected: {dict(metrics.counts['dead_letters'])}")
        return prepare

    def book_core(self) -> Callable[[], Work]:
        records, counts, settings = self.records(), Counter[str](), Books()

        def count(event: str) -> None:
            counts[event] += 1

        def live() -> dict[bytes, LiveBook]:
            books = {}
            for symbol in self.contexts:
                key = self.key(symbol)
                books[key] = LiveBook(key, settings, "json", count)
                for record in self.beginning(symbol):
                    books[key].handle(record)
            return books

        def prepare() -> Work:
            books = live()
            return lambda: play(records, lambda record: books[record.key].handle(record))

        books = live()
        play(records, lambda record: books[record.key].handle(record))
        wrong = {key.decode(): book.feed.reason for key, book in books.items() if book.state != "ok"}
        if wrong or counts["checksum_failed"] or counts["crossed"]:
            raise RuntimeError(f"books of {self.case.name} went wrong: {wrong} {dict(counts)}")
        return prepare


def play(records: Sequence[SourceRecord], handle: Callable[[SourceRecord], Sequence[Output]]) -> int:
    """Every record in order; how many they were."""
    for record in records:
        handle(record)
    return len(records)


def figures_of(case: Case, frames: Frames) -> list[Figure]:
    """The figures of one market."""
    figures = []
    for name, found in frames.channels.items():
        channel = Channel(case, frames, name)
        is_book = name == "book"
        steps: dict[str, Callable[[], Work]] = {"classify": lambda channel=channel: channel.classify}  # type: ignore[misc]
        if is_book:
            steps["envelope"] = lambda channel=channel: channel.envelope  # type: ignore[misc]
        decode = channel.levels if is_book else channel.normalise
        steps["normalise"] = lambda decode=decode: decode  # type: ignore[misc]
        steps["core"] = channel.core()
        size = sum(len(frame) for _, frame in found) // len(found)
        note = f"{len(found)} frames of {size} bytes, {len(case.symbols)} symbols"
        for step, prepare in steps.items():
            figures.append(
                figure(f"{case.name}_{name}_{step}", best_rates(prepare), "frames per CPU second", note=note)
            )
    return figures


def table(case: Case, frames: Frames, figures: Sequence[Figure]) -> str:
    """The figures for reading: best of the runs, in thousands."""
    value = {figure.name: figure.value for figure in figures}
    lines = [f"{case.name:16}{'bytes':>8}" + "".join(f"{column:>12}" for column in COLUMNS)]
    for name, found in frames.channels.items():
        cells = [value.get(f"{case.name}_{name}_{column}") for column in COLUMNS]
        size = sum(len(frame) for _, frame in found) // len(found)
        texts = ("" if cell is None else f"{cell / 1000:.1f} k" for cell in cells)
        lines.append(f"  {name:14}{size:8}" + "".join(f"{text:>12}" for text in texts))
    return "\n".join(lines)


def run(wanted: Sequence[str] = ()) -> list[Figure]:
    """All figures; the tables go to stderr as they come."""
    figures: list[Figure] = []
    for case in CASES:  # on any core: one thread that never waits, and its CPU time is counted
        if wanted and case.name not in wanted:
            continue
        frames = make(case)
        found = figures_of(case, frames)
        print(table(case, frames, found), file=sys.stderr, flush=True)
        figures += found
    return figures


def main(wanted: list[str]) -> Any:
    unknown = sorted(set(wanted) - {case.name for case in CASES})
    if unknown:
        return f"no market {', '.join(unknown)}; there are: {', '.join(case.name for case in CASES)}"
    figures = run(wanted)
    for each in figures:
        print(json.dumps(asdict(each)))
    write("venues", figures)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
