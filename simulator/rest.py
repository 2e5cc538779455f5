"""The venue's REST endpoints over the synthetic market."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Protocol

from simulator import wire
from simulator.market.candles import DAY_MS, FIXED_MS, INTERVALS, Bar, next_open_time, open_time, resample
from simulator.market.market import Market
from simulator.market.symbol import Agg, SymbolMarket, Trade
from simulator.market.ticker import Day, day_of
from simulator.publisher import second_bar
from simulator.rest_params import ApiError, Query, exchange_info, invalid_symbol, symbol_info
from simulator.store import Store

DEPTH_MAX = 5000
ROWS_MAX = 1000


class Backend(Protocol):
    """What serves REST: the synthetic market or a recording."""

    async def rest(self, path: str, query: Query) -> bytes:
        """Body of GET /api/v3/{path}. Raises ApiError; KeyError for a path it does not have."""


class SyntheticRest:
    """Everything answered from the market and its history on disk."""

    def __init__(self, market: Market, store: Store, weight_limit: int) -> None:
        self.market = market
        self.store = store
        self.weight_limit = weight_limit
        self.days: dict[str, Day] = {}
        self.infos: dict[str, Any] = {}
        self.paths: dict[str, Callable[[Query], str | bytes]] = {
            "ping": lambda _: "{}",
            "time": lambda _: f'{{"serverTime":{self.market.at_us // 1000}}}',
            "depth": self.depth,
            "exchangeInfo": self.exchange_info,
            "trades": self.trades,
            "historicalTrades": self.historical_trades,
            "aggTrades": self.agg_trades,
            "klines": self.klines,
            "ticker/24hr": self.ticker,
            "ticker/bookTicker": self.book_ticker,
            "ticker/price": self.price,
        }

    async def rest(self, path: str, query: Query) -> bytes:
        body = self.paths[path](query)
        return body.encode() if isinstance(body, str) else body

    def symbol(self, query: Query) -> SymbolMarket:
        found = self.market.symbols.get(query.text("symbol"))
        if found is None:
            raise invalid_symbol()
        return found

    def several(self, query: Query) -> tuple[list[SymbolMarket], bool]:
        """The symbols asked for, and whether the reply is a list."""
        names = query.symbols()
        if names is None:
            return self.market.order, True
        if any(name not in self.market.symbols for name in names):
            raise invalid_symbol()
        return [self.market.symbols[name] for name in names], "symbol" not in query.values

    # --- endpoints ----------------------------------------------------------------------------------

    def depth(self, query: Query) -> bytes:
        return wire.depth_snapshot(self.symbol(query), query.limit(100, DEPTH_MAX))

    def exchange_info(self, query: Query) -> bytes:
        markets, _ = self.several(query)
        return exchange_info([self.info(each) for each in markets], self.market.at_us // 1000, self.weight_limit)

    def info(self, market: SymbolMarket) -> Any:
        i = market.instrument
        if i.symbol not in self.infos:
            self.infos[i.symbol] = symbol_info(
                i.symbol, i.base, i.quote, wire.dec(i.tick_e8), wire.dec(i.step_e8), notional="5.00000000"
            )
        return self.infos[i.symbol]

    def trades(self, query: Query) -> str:
        market = self.symbol(query)
        return _trades(market, list(market.trades)[-query.limit(500, ROWS_MAX) :])

    def historical_trades(self, query: Query) -> str:
        market = self.symbol(query)
        limit = query.limit(500, ROWS_MAX)
        from_id = query.number("fromId")
        if from_id is None:
            return _trades(market, list(market.trades)[-limit:])
        return _trades(market, self.trades_from(market, from_id, limit))

    def trades_from(self, market: SymbolMarket, from_id: int, limit: int) -> list[Trade]:
        """Trades with id >= from_id, from disk where memory does not reach back so far."""
        held = market.trades
        if not held or from_id >= held[0].id:
            first = max(0, from_id - held[0].id) if held else 0
            return [held[i] for i in range(first, min(first + limit, len(held)))]
        return self.store.trades(self.store.saved[market.instrument.symbol].number, from_id, limit)

    def agg_trades(self, query: Query) -> str:
        instrument = self.symbol(query).instrument
        return "[" + ",".join(wire.rest_agg_trade(instrument, agg) for agg in self.aggs(query)) + "]"

    def aggs(self, query: Query) -> list[Agg]:
        """Aggregates from an id on, from disk where memory does not reach back so far; or of a stretch of time."""
        market = self.symbol(query)
        limit = query.limit(500, ROWS_MAX)
        from_id, start, end = query.number("fromId"), query.number("startTime"), query.number("endTime")
        if from_id is not None and (not market.aggs or from_id < market.aggs[0].id):
            return self.store.aggs(self.store.saved[market.instrument.symbol].number, from_id, limit)
        if from_id is not None:
            return [agg for agg in market.aggs if agg.id >= from_id][:limit]
        found = [
            agg
            for agg in market.aggs
            if (start is None or agg.time_us >= start * 1000) and (end is None or agg.time_us < (end + 1) * 1000)
        ]
        return found[:limit] if start is not None else found[-limit:]

    def klines(self, query: Query) -> str:
        market = self.symbol(query)
        interval = query.text("interval")
        if interval not in INTERVALS:
            raise ApiError(-1120, "Invalid interval.")
        limit = query.limit(500, ROWS_MAX)
        start, end = query.number("startTime"), query.number("endTime")
        bars = self.bars(market, interval, start, end, limit)
        return "[" + ",".join(wire.kline_row(market.instrument, bar, interval) for bar in bars) + "]"

    def bars(
        self, market: SymbolMarket, interval: str, start_ms: int | None, end_ms: int | None, limit: int
    ) -> list[Bar]:
        """Candles whose open time lies in [start, end], the open one last; the newest when no start is given."""
        now_ms = market.at_us // 1000
        end_ms = now_ms if end_ms is None else min(end_ms, now_ms)
        if interval == "1s":
            return _seconds(market, start_ms, end_ms, limit)
        if start_ms is None:
            size_ms = FIXED_MS.get(interval, 31 * DAY_MS)
            first = open_time(interval, max(0, end_ms - size_ms * limit))
        else:
            opened = open_time(interval, start_ms)
            first = opened if opened == start_ms else next_open_time(interval, opened)
        minutes = self.minutes(market, first, next_open_time(interval, open_time(interval, end_ms)))
        found = [bar for bar in resample(interval, minutes) if bar.open_ms <= end_ms]
        return found[:limit] if start_ms is not None else found[-limit:]

    def minutes(self, market: SymbolMarket, from_ms: int, before_ms: int) -> list[Bar]:
        held = [bar for bar in (*market.bars, market.bar) if from_ms <= bar.open_ms < before_ms]
        oldest = market.bars[0].open_ms if market.bars else market.bar.open_ms
        if from_ms >= oldest:
            return held
        number = self.store.saved[market.instrument.symbol].number
        older = self.store.bars(number, from_ms, min(before_ms, oldest), 10**6, newest=False)
        return [*older, *held]

    def ticker(self, query: Query) -> str:
        markets, many = self.several(query)
        now_us = self.market.at_us
        rows = [wire.rest_ticker(each, day_of(each, self.days), now_us) for each in markets]
        return "[" + ",".join(rows) + "]" if many else rows[0]

    def book_ticker(self, query: Query) -> str:
        markets, many = self.several(query)
        rows = [wire.rest_book_ticker(each) for each in markets]
        return "[" + ",".join(rows) + "]" if many else rows[0]

    def price(self, query: Query) -> str:
        markets, many = self.several(query)
        rows = [
            json.dumps(
                {"symbol": each.instrument.symbol, "price": wire.dec(each.bar.c * each.instrument.tick_e8)},
                separators=(",", ":"),
            )
            for each in markets
        ]
        return "[" + ",".join(rows) + "]" if many else rows[0]


def _trades(market: SymbolMarket, trades: list[Trade]) -> str:
    return "[" + ",".join(wire.rest_trade(market.instrument, trade) for trade in trades) + "]"


def _seconds(market: SymbolMarket, start_ms: int | None, end_ms: int, limit: int) -> list[Bar]:
    """One-second candles, as far back as trades are kept in memory."""
    first = open_time("1s", end_ms - (limit - 1) * 1000) if start_ms is None else -(-start_ms // 1000) * 1000
    count = min(limit, max(0, (end_ms - first) // 1000 + 1))
    return [second_bar(market, first + i * 1000) for i in range(count)]
