"""The book application Kafka to Kafka on one core: 20-level frames in, books out, zstd everywhere.

`*_top` publishes md.book for every frame and nothing else; the others are the default settings, where every frame is
also passed on as md.book_delta and each second of a book (ten frames) a 400-level md.book_snapshot is published.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from bench.book_load import SNAPSHOT_LEVELS, BookLoad
from bench.harness import Figure, figure
from bench.processor_run import Input, Rate, broker, make_config, measure, publish
from marketdata import raw, topics

RUNS = 3
LEVELS = 20
FRAMES_PER_S = 10
"""Of one symbol, by the log's time: a 100 ms stream."""

TOP_ONLY = {
    "MARKETPRISM_PROCESSORS__BOOKS__DELTAS": "false",
    "MARKETPRISM_PROCESSORS__BOOKS__DEEP_INTERVAL_MS": "1000000000",
    "MARKETPRISM_PROCESSORS__BOOKS__WINDOW_LEVELS": "40",
}
CASES: tuple[tuple[str, int, int, dict[str, str], float | None], ...] = (
    ("book_app_50_symbols_top", 50, 120_000, TOP_ONLY, 22_000.0),
    ("book_app_1000_symbols_top", 1000, 120_000, TOP_ONLY, 17_000.0),
    ("book_app_50_symbols", 50, 100_000, {}, None),
    ("book_app_1000_symbols", 1000, 100_000, {}, None),
)


class Log:
    """raw.book as ingest writes it for `symbols` books, one frame of each in turn."""

    def __init__(self, symbols: int, frames: int) -> None:
        self._symbols = symbols
        self._frames = frames
        self._begin_ms = int(time.time() * 1000) - frames * 1000 // (symbols * FRAMES_PER_S) - 60_000

    def time_ms(self, number: int) -> int:
        return self._begin_ms + number * 1000 // (self._symbols * FRAMES_PER_S)

    def records(self) -> Iterator[Input]:
        load = BookLoad(self._symbols, LEVELS)
        keys = [f"binance.spot.{symbol}".encode() for symbol in load.symbols]
        connected = raw.encode_value(raw.ConnectedValue("ws://bench", ["book"], "start"))
        limit = (raw.LIMIT_HEADER, b"%d" % SNAPSHOT_LEVELS)
        number = 0
        for i, key in enumerate(keys):
            yield key, connected, self._headers("connected", number)
            yield key, load.snapshot(i), [*self._headers("snapshot", number + 1), limit]
            number += 2
        for i, frame in load.round_robin(self._frames):
            yield keys[i], frame, self._headers("frame", number)
            number += 1

    def _headers(self, kind: str, number: int) -> list[tuple[str, bytes]]:
        recv_ns = self.time_ms(number) * 1_000_000
        return raw.to_kafka(raw.Headers(kind, "book", str(recv_ns), "bench-0-1", str(number)))


def measured(symbols: int, frames: int, env: dict[str, str]) -> Rate:
    with tempfile.TemporaryDirectory() as name, broker(Path(name)) as bootstrap:
        config = make_config(bootstrap, Path(name))
        log = Log(symbols, frames)
        records = publish(config, topics.RAW_BOOK, log.records(), log.time_ms)
        return measure("processors.books", config, Path(name), records, env)


def run() -> list[Figure]:
    figures = []
    for name, symbols, frames, env, bar in CASES:
        rates = [measured(symbols, frames, env) for _ in range(RUNS)]
        note = f"{LEVELS} level changes a frame; CPU of all threads of the process; 2 partitions, zstd, linger 5 ms"
        figures.append(figure(name, [r.per_cpu_s for r in rates], "frames per CPU second", bar, note=note))
        figures.append(figure(f"{name}_wall", [r.per_s for r in rates], "frames/s", None, note="as the clock saw it"))
    return figures
