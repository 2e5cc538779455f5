"""OKX's dialect: its two public routes, REST limits, and what was sent."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import Any

from simulator.dialect import Desk, Limits, Request, Segment
from simulator.faults import Fault
from simulator.limits import Window
from simulator.market.symbol import Sink
from simulator.okx import wire
from simulator.okx.instruments import kind_of, make_instrument
from simulator.okx.publisher import Publisher
from simulator.okx.quotas import QUOTAS, WINDOW_S
from simulator.okx.rest import Arguments, Endpoints
from simulator.okx.session import OkxSession
from simulator.rest_params import ApiError, Reply, not_found

ROUTES = {"/ws/v5/public": "public", "/ws/v5/business": "business"}
OF_CONTRACTS = ("mark-price", "open-interest", "mark-price-candle1m")
TOO_MANY, UNAVAILABLE = "50011", "50001"


class Okx:
    """See `dialect.Dialect`."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        limited = bool(desk.config.connection_attempts_per_5_min_max)
        self.limits = Limits(connection_attempts_max=3 if limited else 0, connection_attempts_window_s=1.0)
        self.publisher = Publisher(desk.hub, desk.market)
        self.endpoints = Endpoints(desk, self.publisher)
        self.windows: dict[tuple[str, ...], Window] = {}

    @property
    def sink(self) -> Sink:
        return self.publisher

    def exists(self, channel: str, name: str) -> bool:
        """Whether a channel has an instrument (an index) of this name."""
        if channel.startswith("index-"):
            return name in self.publisher.indexes
        found = self.desk.market.symbols.get(name)
        if found is None:
            return False
        kind = kind_of(name)
        return kind == "SWAP" if channel == "funding-rate" else kind != "SPOT" or channel not in OF_CONTRACTS

    def open(self, path: str, query: str, number: int) -> OkxSession | None:
        del query
        route = ROUTES.get(path)
        return None if route is None else OkxSession(route, number, self.exists)

    def joined(self, stream: str) -> Sequence[bytes] | None:
        return self.publisher.joined(stream)

    async def apply(self, fault: Fault) -> int:
        if fault.kind == "stale_snapshot":
            return self.endpoints.keep(fault.symbol)
        return self.publisher.reset(fault.stream) if fault.kind == "sequence_reset" else 0

    # --- REST ---------------------------------------------------------------------------------------

    async def rest(self, request: Request) -> Reply:
        path, values = request.path, request.values
        if path not in self.endpoints.paths:
            return not_found()
        quota = QUOTAS[path]
        key = (request.ip, path, values.get(quota.apart, ""))
        limit = quota.requests_max if self.desk.config.rest_weight_per_min_max else 0
        if not self.windows.setdefault(key, Window(limit, WINDOW_S)).add(time.monotonic()):
            return _reply(429, TOO_MANY, "Too Many Requests")
        if (fault := self.desk.faults.take("rest", time.monotonic(), path=path, venue=self.desk.name)) is not None:
            status = fault.fault.status
            reply = _reply(status, TOO_MANY if status == 429 else UNAVAILABLE, "Refused on request.")
            return reply._replace(headers=(("Retry-After", str(fault.fault.retry_after_s)),))
        try:
            return _reply(200, "0", "", self.endpoints.paths[path](Arguments(values)))
        except ApiError as error:
            return _reply(error.status, str(error.code), str(error))

    # --- control ------------------------------------------------------------------------------------

    def status(self) -> dict[str, Any]:
        return {"symbols": list(self.desk.market.symbols)}

    def sent(self, values: dict[str, str]) -> Any:
        """`symbol`, and `stream` trades-all, trades or books, `from` an id, `limit`. Without `stream` the last ids.
        Books: [prevSeqId, seqId, time in ms] of each update somebody followed; `from` is then a seqId."""
        query = Arguments(values)
        market = self.desk.market.symbols.get(query.text("symbol"))
        if market is None:
            raise ApiError(51001, "Instrument ID doesn't exist.")
        start, limit, stream = query.number("from", 0), query.limit(1000, 1_000_000), values.get("stream", "")
        names = self.publisher.of(market)
        out: dict[str, Any] = {
            "symbol": market.instrument.symbol,
            "time_us": market.at_us,
            "trade_id": market.trade_id,
            "seq_id": self.publisher.seq(market),
            "last_seq_id": names.last_seq,
        }
        if stream == "books":
            out["updates"] = [row for row in names.updates if row[1] >= start][:limit]
        elif stream == "trades-all":
            found = [item for item in market.trades if item.id >= start][:limit]
            out["trades"] = [wire.trade_row(market.instrument, item) for item in found]
        elif stream == "trades":
            aggs = [agg for agg in market.aggs if agg.last >= start][:limit]
            out["trades"] = [wire.trades(market, agg, 0).decode() for agg in aggs]
        return out


def _reply(status: int, code: str, message: str, data: Any = ()) -> Reply:
    body = {"code": code, "msg": message, "data": list(data)}
    return Reply(status, json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode())


SEGMENT = Segment("okx", "/okx", make_instrument, Okx, lambda stream: stream.partition(":")[0])
