"""Memory that 1,000 symbols cost in the normalise and books applications: their live objects, well filled.

Each measurement is a process of its own, which holds the objects of a few symbols and then of many; the difference of
its resident size is what the symbols cost. Kafka's and RocksDB's buffers come on top, and do not depend on symbols.
"""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from collections.abc import Callable

from bench.book_load import SNAPSHOT_LEVELS, BookLoad
from bench.harness import Figure, figure
from bench.ingest import resident_mb
from deploy.local import servers
from marketdata import raw, topics
from marketdata.codec import encoder
from marketdata.keys import Key
from processors.book_core import LiveBook
from processors.metrics import Metrics
from processors.normalise_core import Normaliser
from processors.normalise_feed import Feed, FeedState
from processors.outputs import SourceRecord
from runtime.config.processors import Books

FEW, MANY = 20, 1_000
FRAMES = 60
"""Of a symbol and channel, for what remembers the last ids."""
BOOK_FRAMES = 10
T0_MS = 1_700_000_000_000


def record(topic: str, kind: str, channel: str, symbol: str, value: bytes, number: int) -> SourceRecord:
    at_ms = T0_MS + number
    headers = raw.to_kafka(raw.Headers(kind, channel, str(at_ms * 1_000_000), "bench-0-1", str(number)))
    if kind == "snapshot":
        headers.append((raw.LIMIT_HEADER, b"%d" % SNAPSHOT_LEVELS))
    return SourceRecord(topic, 0, number, Key("binance", "spot", symbol).encode(), value, headers, at_ms)


def connected(topic: str, channel: str, symbol: str) -> SourceRecord:
    value = raw.encode_value(raw.ConnectedValue("ws://bench", [channel], "start"))
    return record(topic, "connected", "", symbol, value, 0)


def trade(symbol: str, number: int) -> bytes:
    return (
        f'{{"stream":"{symbol.lower()}@trade","data":{{"e":"trade","E":{T0_MS + number},"s":"{symbol}",'
        f'"t":{4_000_000_000 + number},"p":"61{number:03d}.12000000","q":"0.{number + 1:08d}",'
        f'"T":{T0_MS + number},"m":true,"M":true}}}}'
    ).encode()


def bbo(symbol: str, number: int) -> bytes:
    return (
        f'{{"stream":"{symbol.lower()}@bookTicker","data":{{"u":{70_000_000_000 + number},"s":"{symbol}",'
        f'"b":"61{number:03d}.12000000","B":"1.{number:08d}","a":"61{number:03d}.13000000","A":"2.{number:08d}"}}}}'
    ).encode()


class Feeds:
    """What normalise keeps of a symbol whose trades and best quotes are captured."""

    def __init__(self) -> None:
        self.normaliser = Normaliser(Metrics("bench", None), encoder("json"))
        self.kept: list[Feed] = []

    def add(self, symbol: str) -> None:
        for topic, channel, frame in ((topics.RAW_TRADE, "trade", trade), (topics.RAW_BBO, "bbo", bbo)):
            feed = Feed(Key("binance", "spot", symbol).encode(), FeedState())
            self.normaliser.handle(feed, connected(topic.name, channel, symbol))
            for number in range(FRAMES):
                value = frame(symbol, number)
                if not self.normaliser.handle(feed, record(topic.name, "frame", channel, symbol, value, number)):
                    raise RuntimeError(f"nothing came of {value!r}")
            self.kept.append(feed)


class LiveBooks:
    """What books keeps of a symbol, anchored with 1,000 levels a side."""

    def __init__(self) -> None:
        self.kept: list[LiveBook] = []
        self.settings = Books()

    def add(self, symbol: str) -> None:
        load, name = BookLoad(1, 20, seed=len(self.kept)), topics.RAW_BOOK.name
        book = LiveBook(Key("binance", "spot", symbol).encode(), self.settings, "json", lambda _: None)
        book.handle(connected(name, "book", symbol))
        book.handle(record(name, "snapshot", "book", symbol, load.snapshot(0), 1))
        for number in range(BOOK_FRAMES):
            book.handle(record(name, "frame", "book", symbol, load.frame(0), 2 + number))
        if book.state != "ok":
            raise RuntimeError(f"book is {book.state}: {book.feed.reason}")
        self.kept.append(book)


KINDS: dict[str, Callable[[], Feeds | LiveBooks]] = {"normalise": Feeds, "books": LiveBooks}


def measure(kind: str) -> float:
    """MB per 1,000 symbols, in this process."""
    holder = KINDS[kind]()
    for number in range(FEW):
        holder.add(f"SYM{number}USDT")
    gc.collect()
    before_mb = resident_mb(os.getpid())
    for number in range(FEW, MANY):
        holder.add(f"SYM{number}USDT")
    gc.collect()
    return (resident_mb(os.getpid()) - before_mb) * 1_000 / (MANY - FEW)


def run() -> list[Figure]:
    """One run each: memory hardly depends on what else the machine does."""
    notes = {
        "normalise": f"trade and bbo, {FRAMES} frames each",
        "books": f"{SNAPSHOT_LEVELS} levels a side, {BOOK_FRAMES} updates",
    }
    figures = []
    for kind, note in notes.items():
        command = [sys.executable, "-m", "bench.processor_memory", kind]
        told = subprocess.run(command, cwd=servers.REPO, check=True, capture_output=True, text=True)
        name = f"{kind}_memory_per_1000_symbols"
        figures.append(figure(name, [float(told.stdout)], "MB", higher_is_better=False, note=note))
    return figures


if __name__ == "__main__":
    print(measure(sys.argv[1]))
