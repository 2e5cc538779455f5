"""Kraken spot under `/kraken`: `/kraken/v2` speaks WebSocket v2, `/kraken/0/public/...` REST."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from simulator.dialect import Desk, Limits, Request, Segment
from simulator.faults import Fault
from simulator.kraken import wire
from simulator.kraken.instruments import asset_pair, assets, instrument, names
from simulator.kraken.publisher import Publisher
from simulator.kraken.session import Session
from simulator.limits import Window
from simulator.market.symbol import SymbolMarket
from simulator.rest_params import Reply
from simulator.sent import market_of, trades_from

DEPTH_MAX = 500
REQUESTS_PER_S = 15
"""A counter that drains: about so many calls at once are tolerated."""


class Kraken:
    """Implements `dialect.Dialect`."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.limits = Limits(connection_attempts_max=150, connection_attempts_window_s=600.0)
        self.publisher = Publisher(desk.hub, desk.market)
        self.windows: dict[str, Window] = {}
        self.by_name = {
            name: market for market in desk.market.order for name in names(market.instrument)
        } | desk.market.symbols
        self.paths: dict[str, Callable[[dict[str, str]], Any]] = {
            "/0/public/AssetPairs": self.asset_pairs,
            "/0/public/Assets": lambda _: assets([each.instrument for each in desk.market.order]),
            "/0/public/Time": lambda _: {"unixtime": desk.market.at_us // 1_000_000},
            "/0/public/SystemStatus": lambda _: {"status": "online", "timestamp": wire.time_text(desk.market.at_us)},
            "/0/public/Depth": self.depth,
        }

    @property
    def sink(self) -> Publisher:
        return self.publisher

    def open(self, path: str, query: str, number: int) -> Session | None:
        del query
        if path not in ("/v2", "/v2/"):
            return None
        return Session(number, self.desk.market.symbols, lambda: self.desk.market.at_us)

    def joined(self, stream: str) -> Sequence[bytes]:
        return self.publisher.joined(stream)

    async def apply(self, fault: Fault) -> int:
        """There are no ids to reset: the venue would start its books again."""
        return self.publisher.reset(fault.stream) if fault.kind == "sequence_reset" else 0

    # --- REST ---------------------------------------------------------------------------------------

    async def rest(self, request: Request) -> Reply:
        struck = self.desk.faults.take("rest", time.monotonic(), path=request.path, venue=self.desk.name)
        if struck is not None:
            return refusal(struck.fault.status, struck.fault.retry_after_s)
        if request.method not in ("GET", "POST"):
            return body([f"EGeneral:Invalid arguments:{request.method}"], None)
        window = self.windows.setdefault(request.ip, Window(REQUESTS_PER_S, 1.0))
        if not window.add(time.monotonic()):
            return body(["EAPI:Rate limit exceeded"], None)
        answer = self.paths.get(request.path)
        if answer is None:
            return body(["EGeneral:Unknown method"], None)
        try:
            return body([], answer(request.values))
        except LookupError:
            return body(["EQuery:Unknown asset pair"], None)

    def asset_pairs(self, values: dict[str, str]) -> dict[str, Any]:
        asked = values.get("pair", "")
        chosen = [self.by_name[name] for name in asked.split(",")] if asked else self.desk.market.order
        return {names(each.instrument)[0]: asset_pair(each.instrument) for each in chosen}

    def depth(self, values: dict[str, str]) -> dict[str, Any]:
        market: SymbolMarket = self.by_name[values.get("pair", "")]
        i, now_s = market.instrument, self.desk.market.at_us // 1_000_000
        count = min(int(values.get("count", "100")), DEPTH_MAX)

        def rows(pairs: Any) -> list[list[Any]]:
            return [[wire.price_text(i, abs(key)), wire.qty_text(i, qty), now_s] for key, qty in pairs]

        return {names(i)[0]: {"asks": rows(market.asks.levels(count)), "bids": rows(market.bids.levels(count))}}

    # --- control ------------------------------------------------------------------------------------

    def status(self) -> dict[str, Any]:
        return {"symbols": list(self.desk.market.symbols), "books": [f"{s}@{d}" for s, d in self.publisher.views]}

    def sent(self, values: dict[str, str]) -> Any:
        """`symbol`, and `stream` trade (`from` a trade id) or book (`depth`; `from` a time in us, the frames' own, for
        there are no ids), `limit`; without `stream` the last ids."""
        market = market_of(self.desk, values)
        out: dict[str, Any] = {
            "symbol": market.instrument.symbol,
            "time_us": market.at_us,
            "trade_id": market.trade_id,
            "first_trade_id": market.instrument.first_trade_id,
        }
        if values.get("stream") == "trade":
            found = trades_from(self.desk, market, values)
            out["trades"] = [wire.trades("update", market.instrument, [trade]).decode() for trade in found]
        elif values.get("stream") == "book":
            topic = f"book.{values.get('depth', '10')}.{market.instrument.symbol}"
            out["updates"] = self.publisher.updates.rows(topic, values)
        return out


def body(errors: list[str], result: Any) -> Reply:
    return Reply(200, wire.compact({"error": errors} | ({} if errors else {"result": result})))


def refusal(status: int, retry_after_s: int) -> Reply:
    """What the front end answers with, in the API's words."""
    return Reply(
        status, wire.compact({"error": ["EGeneral:Too many requests"]}), (("Retry-After", str(retry_after_s)),)
    )


SEGMENT = Segment(
    name="kraken",
    prefix="/kraken",
    instrument=instrument,
    dialect=Kraken,
    stream_kind=lambda stream: stream.partition(".")[0],
)
