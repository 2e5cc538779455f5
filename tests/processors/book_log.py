"""Raw-book records for tests, made as ingest makes them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from marketdata.codec import decode
from marketdata.raw import ConnectedValue, DisconnectedValue, Headers, HeartbeatValue, encode_value, to_kafka
from marketdata.types import AnyRecord
from processors.book_core import LiveBook
from processors.outputs import Output, SourceRecord
from runtime.config.processors import Books

Levels = Sequence[tuple[str, str]]
START_MS = 1_700_000_000_000


class BookLog:
    """Builds the records of one key one after the other; the clock is set by hand, in milliseconds."""

    def __init__(self, key: str = "binance.spot.BTCUSDT", conn: str = "pod-1-1", now_ms: int = START_MS) -> None:
        self.key = key.encode()
        self.symbol = key.rpartition(".")[2]
        self.conn = conn
        self.now_ms = now_ms
        self.records: list[SourceRecord] = []

    def raw(self, kind: str, value: bytes, conn: str = "", extra: tuple[tuple[str, bytes], ...] = ()) -> SourceRecord:
        offset = len(self.records)
        headers = to_kafka(Headers(kind, "book", f"{self.now_ms}000000", conn or self.conn, str(offset + 1)))
        record = SourceRecord("raw.book", 0, offset, self.key, value, [*headers, *extra], self.now_ms)
        self.records.append(record)
        return record

    def connected(self, conn: str = "", overlaps: bool = False) -> SourceRecord:
        return self.raw("connected", encode_value(ConnectedValue("ws://x", ["book"], "start", overlaps)), conn)

    def disconnected(self, conn: str = "") -> SourceRecord:
        return self.raw("disconnected", encode_value(DisconnectedValue("closed 1006", ["book"])), conn)

    def heartbeat(self) -> SourceRecord:
        return self.raw("heartbeat", encode_value(HeartbeatValue(self.now_ms * 1000)))

    def frame(self, first: int, last: int, bids: Levels = (), asks: Levels = (), conn: str = "") -> SourceRecord:
        data = {"e": "depthUpdate", "E": self.now_ms, "s": self.symbol, "U": first, "u": last, "b": bids, "a": asks}
        frame = {"stream": f"{self.symbol.lower()}@depth@100ms", "data": data}
        return self.raw("frame", json.dumps(frame, separators=(",", ":")).encode(), conn)

    def snapshot(self, last_id: int, bids: Levels, asks: Levels, limit: int = 0) -> SourceRecord:
        body = json.dumps({"lastUpdateId": last_id, "bids": bids, "asks": asks}, separators=(",", ":")).encode()
        return self.raw("snapshot", body, extra=(("limit", b"%d" % limit),) if limit else ())


def live_book(settings: Books | None = None, key: str = "binance.spot.BTCUSDT") -> tuple[LiveBook, list[str]]:
    """A fresh book and the list its events are counted into."""
    events: list[str] = []
    return LiveBook(key.encode(), settings or Books(top_interval_ms=0), "json", events.append), events


def run(book: LiveBook, records: Iterable[SourceRecord]) -> list[Output]:
    return [output for record in records for output in book.handle(record)]


def of_topic(outputs: Iterable[Output], topic: str) -> list[AnyRecord]:
    return [decode(output.value) for output in outputs if output.topic == topic]


def recorded(path: Path) -> tuple[dict[str, BookLog], list[dict[str, str]]]:
    """A recorded Binance spot session as raw.book logs per symbol, and its bookTicker payloads."""
    logs: dict[str, BookLog] = {}
    tickers = []
    times = (path.parent / (path.name.removesuffix(".jsonl") + ".recv.txt")).read_text().split()
    for line, seconds in zip(path.read_bytes().splitlines(), times, strict=True):
        message = json.loads(line)
        body = None
        if "_rest" in message:
            symbol = message["_rest"].partition("symbol=")[2].partition("&")[0]
            body = line[line.index(b'"body":') + 7 : -1]
        elif "@depth" in message["stream"]:
            symbol = message["data"]["s"]
        else:
            if message["stream"].endswith("@bookTicker"):
                tickers.append(message["data"])
            continue
        log = logs.setdefault(symbol, BookLog(f"binance.spot.{symbol}"))
        log.now_ms = int(float(seconds) * 1000)
        if not log.records:
            log.connected()
        if body is None:
            log.raw("frame", line)
        else:
            log.raw("snapshot", body, extra=(("limit", b"1000"),))
    return logs, tickers
