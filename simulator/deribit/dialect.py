"""Deribit under `/deribit`: JSON-RPC at `/ws/api/v2`, the same methods as GET `/api/v2/public/...`."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from simulator.deribit.instruments import instrument
from simulator.deribit.methods import Methods, call
from simulator.deribit.publisher import INTERVALS, RESOLUTIONS, VOLATILITY_BASES, Publisher
from simulator.deribit.session import (
    CALLS_BURST,
    CALLS_PER_S,
    TOO_MANY,
    Credits,
    Method,
    RpcError,
    Session,
    envelope,
    error_body,
)
from simulator.dialect import Desk, Limits, Request, Segment
from simulator.faults import Fault
from simulator.rest_params import Reply
from simulator.sent import market_of, trades_from

INSTRUMENT_STREAMS = ("state", "creation")
STATE_KINDS = ("any", "future", "option", "spot", "future_combo", "option_combo")
STATE_CURRENCIES = ("any", "BTC", "ETH", "USDC", "USDT", "EURR")
CREDIT_WAIT_S = 1


class Deribit:
    """Implements `dialect.Dialect`."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.limits = Limits()
        self.publisher = Publisher(desk.hub, desk.market)
        self.methods = Methods(desk.market, self.publisher)
        self.credits: dict[str, Credits] = {}
        self.shared: dict[str, Method] = {name: self._method(name) for name in self.methods.table}

    def _method(self, name: str) -> Method:
        return lambda params: call(self.methods.table, name, params)

    @property
    def sink(self) -> Publisher:
        return self.publisher

    def open(self, path: str, query: str, number: int) -> Session | None:
        del query, number
        if path not in ("/ws/api/v2", "/ws/api/v2/"):
            return None
        return Session(self.shared, self.exists, self.refused, lambda: self.desk.market.at_us)

    def joined(self, stream: str) -> Sequence[bytes]:
        return self.publisher.joined(stream)

    async def apply(self, fault: Fault) -> int:
        return self.publisher.reset(fault.stream) if fault.kind == "sequence_reset" else 0

    def refused(self, channel: str) -> bool:
        """A test asked for this subscription to be dropped: it is missing from the reply, as at the venue."""
        taken = self.desk.faults.take("drop_subscription", time.monotonic(), venue=self.desk.name, stream=channel)
        return taken is not None

    def exists(self, channel: str) -> bool:
        """Whether the venue knows a channel; what it does not know it drops without a word."""
        kind, _, rest = channel.partition(".")
        symbols = self.desk.market.symbols
        if kind in ("book", "trades", "ticker"):
            name, _, interval = rest.rpartition(".")
            return name in symbols and interval in INTERVALS
        if kind == "quote":
            return rest in symbols
        if kind == "chart":
            head, _, resolution = rest.rpartition(".")
            return head.startswith("trades.") and head[7:] in symbols and resolution in RESOLUTIONS
        if kind == "deribit_volatility_index":
            return rest in {f"{base.lower()}_usd" for base in VOLATILITY_BASES if base in self.publisher.bases}
        if kind == "deribit_price_index":
            return rest in {f"{base.lower()}_usd" for base in self.publisher.bases}
        if kind == "instrument":
            parts = rest.split(".")
            if len(parts) != 3:
                return False
            return parts[0] in INSTRUMENT_STREAMS and parts[1] in STATE_KINDS and parts[2] in STATE_CURRENCIES
        return channel == "platform_state"

    # --- REST ---------------------------------------------------------------------------------------

    async def rest(self, request: Request) -> Reply:
        now_us = self.desk.market.at_us
        struck = self.desk.faults.take("rest", time.monotonic(), path=request.path, venue=self.desk.name)
        if struck is not None:
            return _refused(struck.fault.status, struck.fault.retry_after_s, now_us)
        bucket = self.credits.setdefault(request.ip, Credits(CALLS_BURST, CALLS_PER_S))
        if not bucket.spend(time.monotonic()):
            return _refused(429, CREDIT_WAIT_S, now_us)
        try:
            body = f'"result":{call(self.methods.table, request.path.removeprefix("/api/v2/"), dict(request.values))}'
        except RpcError as error:
            return Reply(400, envelope(error_body(error), None, now_us))
        return Reply(200, envelope(body, None, now_us))

    # --- control ------------------------------------------------------------------------------------

    def status(self) -> dict[str, Any]:
        return {"symbols": list(self.desk.market.symbols), "books": list(self.publisher.books)}

    def sent(self, values: dict[str, str]) -> Any:
        """`symbol`, and `stream` trade (`from` a trade_seq) or book (`from` a change_id), `limit`; without `stream` the
        last ids."""
        market = market_of(self.desk, values)
        i = market.instrument
        out: dict[str, Any] = {
            "symbol": i.symbol,
            "time_us": market.at_us,
            "trade_seq": market.trade_id,
            "first_trade_seq": i.first_trade_id,
            "change_id": self.publisher.last_change.get(i.symbol, 0),
        }
        if values.get("stream") == "trade":
            out["trades"] = self.methods.trade_rows(market, trades_from(self.desk, market, values))
        elif values.get("stream") == "book":
            out["updates"] = self.publisher.updates.rows(i.symbol, values)
        return out


def _refused(status: int, retry_after_s: int, now_us: int) -> Reply:
    return Reply(
        status, envelope(error_body(RpcError(*TOO_MANY)), None, now_us), (("Retry-After", str(retry_after_s)),)
    )


SEGMENT = Segment(
    name="deribit",
    prefix="/deribit",
    instrument=instrument,
    dialect=Deribit,
    stream_kind=lambda stream: stream.partition(".")[0],
)
