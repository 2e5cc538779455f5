"""Binance USD-M's dialect: routes, weights, bans, and what was sent."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import Any

from simulator.dialect import Desk, Limits, Request, Segment
from simulator.faults import Fault
from simulator.market.symbol import Sink
from simulator.rest_params import ApiError, Query, Reply, error_body, not_found
from simulator.usdm import wire
from simulator.usdm.instruments import make_instrument
from simulator.usdm.limits import API, IpLimits
from simulator.usdm.publisher import Publisher, trade_frames
from simulator.usdm.rest import Endpoints
from simulator.usdm.session import RoutedSession, open_session

STREAMS_MAX = 1024
TOO_MANY = -1003


class Usdm:
    """See `dialect.Dialect`."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.limits = Limits(
            messages_per_s_max=10,
            ping_interval_s=180.0,
            pong_timeout_s=600.0,
            max_age_s=desk.config.connection_max_age_s,
        )
        self.publisher = Publisher(desk.hub, desk.market)
        self.endpoints = Endpoints(desk)
        self.of_ip: dict[str, IpLimits] = {}

    @property
    def sink(self) -> Sink:
        return self.publisher

    def open(self, path: str, query: str, number: int) -> RoutedSession | None:
        del number
        return open_session(path, query, STREAMS_MAX)

    def joined(self, stream: str) -> Sequence[bytes] | None:
        """No stream begins with anything."""
        del stream
        return ()

    async def apply(self, fault: Fault) -> int:
        """Ids never count anew here, and snapshots are made when they are asked for."""
        del fault
        return 0

    # --- REST ---------------------------------------------------------------------------------------

    async def rest(self, request: Request) -> Reply:
        path = request.path
        if path not in self.endpoints.paths:
            return not_found()
        if request.method != "GET":
            return Reply(405, b"", (("Allow", "GET"),))
        limits = self.of_ip.get(request.ip)
        if limits is None:
            config = self.desk.config
            limits = self.of_ip[request.ip] = IpLimits(bool(config.rest_weight_per_min_max), config.ban_s)
        refusal = limits.spend(path, request.values, time.time())
        used = (("X-MBX-USED-WEIGHT-1M", str(limits.weight.used)),) if path.startswith(API) else ()
        if (fault := self.desk.faults.take("rest", time.monotonic(), path=path, venue=self.desk.name)) is not None:
            return self._refuse(fault.fault.status, fault.fault.retry_after_s, "Refused on request.", used)
        if refusal is not None:
            return self._refuse(refusal.status, refusal.retry_after_s, refusal.message, used)
        try:
            body = self.endpoints.paths[path](Query(request.values))
        except ApiError as error:
            return error.reply(used)
        return Reply(200, body.encode() if isinstance(body, str) else body, used)

    def _refuse(self, status: int, retry_after_s: int, message: str, used: tuple[tuple[str, str], ...]) -> Reply:
        headers = (*used, ("Retry-After", str(retry_after_s))) if status in (418, 429, 503) else used
        return Reply(status, error_body(TOO_MANY if status in (418, 429) else -1000, message), headers)

    # --- control ------------------------------------------------------------------------------------

    def status(self) -> dict[str, Any]:
        return {
            "symbols": list(self.desk.market.symbols),
            "used_weight": {ip: limits.weight.used for ip, limits in self.of_ip.items()},
        }

    def sent(self, values: dict[str, str]) -> Any:
        """`symbol`, and `stream` trade, aggTrade or depth, `from` an id of the wire, `limit`. Without `stream` the last
        ids. Depth: [U, u, pu, time in ms] of each event of `@depth@100ms`; trades with those of the insurance fund."""
        market = self.endpoints.symbol(Query(values))
        names = self.publisher.of(market)
        start, limit = Query(values).number("from") or 0, Query(values).limit(1000, 1_000_000)
        out: dict[str, Any] = {
            "symbol": market.instrument.symbol,
            "time_us": market.at_us,
            "update_id": wire.update_id(market.update_id),
            "flushed_update_id": wire.update_id(market.flushed_id),
            "trade_id": wire.id_at(market, market.trade_id),
            "agg_id": market.agg_id,
        }
        stream = values.get("stream", "")
        if stream == "depth":
            out["updates"] = [row for row in names.updates if row[1] >= start][:limit]
        elif stream == "trade":
            # One before: a special trade may be the first asked for.
            found = self.endpoints.trades_since(market, max(0, start - 1), limit + 1)
            rows = [row.decode() for row in trade_frames(market, found)]
            out["trades"] = [row for row in rows if json.loads(row)["t"] >= start][:limit]
        elif stream == "aggTrade":
            aggs = [agg for agg in market.aggs if agg.id >= start][:limit]
            out["aggs"] = [wire.agg_trade(market, agg).decode() for agg in aggs]
        return out


SEGMENT = Segment("usdm", "/usdm", make_instrument, Usdm, lambda stream: stream.partition("@")[2] or stream)
