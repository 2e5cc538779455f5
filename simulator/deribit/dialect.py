"""Deribit under `/deribit`: JSON-RPC at `/ws/api/v2`, the same methods as GET `/api/v2/public/...`."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from simulator.deribit.books import FAST, INTERVALS
from simulator.deribit.instruments import instrument
from simulator.deribit.methods import Methods, call
from simulator.deribit.publisher import RESOLUTIONS, VOLATILITY_BASES, Publisher
from simulator.deribit.session import (
    CALLS_BURST,
    CALLS_PER_S,
    LISTING,
    LISTINGS_BURST,
    LISTINGS_PER_S,
    TOO_MANY,
    Credits,
    Method,
    RpcError,
    Session,
    envelope,
    error_body,
)
from simulator.dialect import Desk, Limits, Request, Segment
from simulator.faults import Fault, matches
from simulator.rest_params import Reply
from simulator.sent import market_of, trades_from

INSTRUMENT_STREAMS = ("state", "creation")
KINDS = ("any", "future", "option", "spot", "future_combo", "option_combo")
CURRENCIES = ("any", "BTC", "ETH", "USDC", "USDT", "EURR")
CREDIT_WAIT_S = 1
CONNECTIONS_MAX = 32
"""Per address, HTTP requests in flight included."""


class Deribit:
    """Implements `dialect.Dialect`."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.limits = Limits(connections_max=CONNECTIONS_MAX)
        self.publisher = Publisher(desk.hub, desk.market)
        self.methods = Methods(desk.market, self.publisher)
        self.credits: dict[tuple[str, bool], Credits] = {}
        """By address, those of listings apart."""
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
        if fault.kind == "instrument_state":
            return self.put(fault.symbol, fault.state)
        return self.publisher.books.reset(fault.stream) if fault.kind == "sequence_reset" else 0

    def put(self, symbols: str, state: str) -> int:
        """Have instruments be in a state from now on, and tell so."""
        chosen = [each for name, each in self.desk.market.symbols.items() if matches(symbols, name)]
        for market in chosen:
            self.publisher.states.forced[market.instrument.symbol] = state
            self.publisher.news(market, self.desk.market.at_us)
        return len(chosen)

    def refused(self, channel: str) -> bool:
        """A test asked for this subscription to be dropped: it is missing from the reply, as at the venue."""
        taken = self.desk.faults.take("drop_subscription", time.monotonic(), venue=self.desk.name, stream=channel)
        return taken is not None

    def exists(self, channel: str) -> bool:
        """Whether the venue knows a channel; what it does not know it drops without a word."""
        kind, _, rest = channel.partition(".")
        name, _, interval = rest.rpartition(".")
        if kind in ("book", "trades", "ticker", "perpetual") and interval in INTERVALS:
            return self.traded(name) or (kind == "trades" and _is_about_many(name)) or self.is_window(channel)
        if kind == "quote":
            return self.traded(rest)
        if kind == "chart":
            return name.startswith("trades.") and self.traded(name[7:]) and interval in RESOLUTIONS
        if kind == "deribit_volatility_index":
            return rest in {f"{base.lower()}_usd" for base in VOLATILITY_BASES if base in self.publisher.bases}
        if kind == "deribit_price_index":
            return rest in {f"{base.lower()}_usd" for base in self.publisher.bases}
        if kind == "instrument":
            what, _, about = rest.partition(".")
            return what in INSTRUMENT_STREAMS and _is_about_many(about)
        return channel == "platform_state"

    def traded(self, symbol: str) -> bool:
        return symbol in self.desk.market.symbols and not self.publisher.states.ended(symbol)

    def is_window(self, channel: str) -> bool:
        found = self.publisher.books.grouped.get(channel)
        return found is not None and self.traded(found[0].instrument.symbol)

    # --- REST ---------------------------------------------------------------------------------------

    async def rest(self, request: Request) -> Reply:
        now_us = self.desk.market.at_us
        struck = self.desk.faults.take("rest", time.monotonic(), path=request.path, venue=self.desk.name)
        if struck is not None:
            return _refused(struck.fault.status, struck.fault.retry_after_s, now_us)
        name = request.path.removeprefix("/api/v2/")
        is_listing = name == LISTING
        fresh = Credits(LISTINGS_BURST, LISTINGS_PER_S) if is_listing else Credits(CALLS_BURST, CALLS_PER_S)
        bucket = self.credits.setdefault((request.ip, is_listing), fresh)
        if not bucket.spend(time.monotonic()):
            return _refused(429, CREDIT_WAIT_S, now_us)
        try:
            body = f'"result":{call(self.methods.table, name, dict(request.values))}'
        except RpcError as error:
            return Reply(400, envelope(error_body(error), None, now_us))
        return Reply(200, envelope(body, None, now_us))

    # --- control ------------------------------------------------------------------------------------

    def status(self) -> dict[str, Any]:
        return {"symbols": list(self.desk.market.symbols), "books": [symbol for symbol, _ in self.publisher.books.held]}

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
            "change_id": self.publisher.books.last_change.get((i.symbol, FAST), 0),
        }
        if values.get("stream") == "trade":
            out["trades"] = self.methods.trade_rows(market, trades_from(self.desk, market, values))
        elif values.get("stream") == "book":
            out["updates"] = self.publisher.books.updates.rows(i.symbol, values)
        return out


def _is_about_many(name: str) -> bool:
    """`{kind}.{currency}`."""
    kind, _, currency = name.partition(".")
    return kind in KINDS and currency in CURRENCIES


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
