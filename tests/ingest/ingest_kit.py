"""What tests of ingest's connections share: a Host that keeps what is published, and frames of Binance spot's shape."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ingest.lines import Group, Host
from ingest.metrics import Metrics
from ingest.records import Record, Records
from marketdata.raw import Headers, from_kafka
from runtime.config.stores import Environment
from venues import find_venue
from venues.contract import Stream, VenueProtocol

VENUE = find_venue("binance", "spot")
RECV_NS = 1_700_000_000_000_000_000


def frame(stream: str, at_ms: int = 1_700_000_000_000, n: int = 1) -> bytes:
    """One data frame of a stream, laid out as the venue does."""
    low, _, kind = stream.partition("@")
    symbol = low.upper()
    bodies = {
        "trade": f'"e":"trade","E":{at_ms},"s":"{symbol}","t":{n},"p":"1.5","q":"2","T":{at_ms},"m":true,"M":true',
        "aggTrade": f'"e":"aggTrade","E":{at_ms},"s":"{symbol}","a":{n},"p":"1.5","q":"2","f":{n},"l":{n},'
        f'"T":{at_ms},"m":true,"M":true',
        "bookTicker": f'"u":{n},"s":"{symbol}","b":"1.4","B":"1","a":"1.6","A":"1"',
        "ticker": f'"e":"24hrTicker","E":{at_ms},"s":"{symbol}","c":"1.5"',
        "depth@100ms": f'"e":"depthUpdate","E":{at_ms},"s":"{symbol}","U":{n},"u":{n},"b":[["1.4","1"]],"a":[]',
    }
    return f'{{"stream":"{stream}","data":{{{bodies[kind]}}}}}'.encode()


def streams(*names: str) -> list[Stream]:
    """Streams by the venue's names."""
    kinds = {"trade": "trade", "aggTrade": "agg_trade", "bookTicker": "bbo", "ticker": "ticker", "depth@100ms": "book"}
    return [Stream(n, kinds[n.split("@", 1)[1]], n.split("@")[0].upper()) for n in names]


class Log:
    """Published records, in order."""

    def __init__(self) -> None:
        self.records: list[Record] = []

    def add(self, record: Record) -> None:
        self.records.append(record)

    def kinds(self, topic: str = "", key: str = "") -> list[str]:
        """`kind` or `kind:channel` of each record of a topic and key."""
        out = []
        for r in self.records:
            if topic in ("", r.topic) and key in ("", r.key.decode()) and r.headers:
                h = self.headers(r)
                out.append(f"{h.kind}:{h.channel}" if h.channel else h.kind)
        return out

    def of(self, kind: str) -> list[Record]:
        return [r for r in self.records if r.headers and self.headers(r).kind == kind]

    @staticmethod
    def headers(record: Record) -> Headers:
        return from_kafka([(k, v) for k, v in record.headers])


def make_host(
    log: Log,
    covered: Callable[[str, Group], bool] = lambda _c, _g: False,
    protocol: VenueProtocol = VENUE.protocol,
    heartbeat_interval_s: float = 1.0,
    **hooks: Any,
) -> Host:
    return Host(
        protocol=protocol,
        records=Records(Environment(), "binance", "spot"),
        publish=log.add,
        metrics=Metrics(),
        market=("binance", "spot"),
        heartbeat_interval_s=heartbeat_interval_s,
        patience_s={},
        sharers=hooks.get("sharers", {}),
        covered=covered,
        on_book=hooks.get("on_book", lambda *_: None),
        on_book_connected=hooks.get("on_book_connected", lambda *_: None),
        on_book_disconnected=hooks.get("on_book_disconnected", lambda *_: None),
        books_anchored=hooks.get("books_anchored", lambda _: True),
        on_instruments=hooks.get("on_instruments", lambda: None),
    )
