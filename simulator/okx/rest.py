"""OKX's REST endpoints over the synthetic market."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from typing import Any

from simulator.dialect import Desk
from simulator.faults import ALL
from simulator.market import derivatives
from simulator.market.candles import DAY_MS, HOUR_MS, MINUTE_MS
from simulator.market.symbol import SymbolMarket
from simulator.market.ticker import Day, day_of
from simulator.okx import wire
from simulator.okx.bars import BARS, SIZES_MS, several
from simulator.okx.instruments import describe, family_of, index_of, kind_of, number
from simulator.okx.publisher import Publisher
from simulator.okx.quotas import RUBIK
from simulator.rest_params import ApiError

OF_STATISTICS = ("SWAP", "FUTURES")
PERIODS_MS = {"5m": 5 * MINUTE_MS, "1H": HOUR_MS, "1D": DAY_MS}


class Arguments:
    """The query of a request."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self.values = values

    def text(self, name: str) -> str:
        if not (value := self.values.get(name, "")):
            raise ApiError(50014, f"Parameter {name} can not be empty.")
        return value

    def number(self, name: str, default: int) -> int:
        value = self.values.get(name, "")
        if not value:
            return default
        if not value.isdigit():
            raise ApiError(51000, f"Parameter {name} error")
        return int(value)

    def limit(self, default: int, most: int) -> int:
        return max(1, min(most, self.number("limit", default)))


class Endpoints:
    """Bodies' `data` by path. Raises ApiError."""

    def __init__(self, desk: Desk, publisher: Publisher) -> None:
        self.desk = desk
        self.market = desk.market
        self.publisher = publisher
        self.days: dict[str, Day] = {}
        self.kept: dict[str, dict[str, Any]] = {}
        """Books as they were when the fault `stale_snapshot` was asked for."""
        self.paths: dict[str, Callable[[Arguments], list[Any]]] = {
            "/api/v5/public/time": lambda _: [{"ts": str(self.now_us // 1000)}],
            "/api/v5/public/instruments": self.instruments,
            "/api/v5/public/open-interest": lambda query: self._by_type(query, self.in_families, wire.interest_row),
            "/api/v5/public/mark-price": lambda query: self._by_type(query, self.typed, wire.mark_row),
            "/api/v5/public/funding-rate": self.funding,
            "/api/v5/public/funding-rate-history": self.funding_history,
            "/api/v5/market/books": self.books,
            "/api/v5/market/ticker": lambda query: [self._ticker(self.symbol(query))],
            "/api/v5/market/tickers": self.tickers,
            "/api/v5/market/trades": self.trades,
            "/api/v5/market/history-trades": self.trades,
            "/api/v5/market/candles": self.candles,
            "/api/v5/market/history-candles": self.candles,
            f"{RUBIK}contracts/long-short-account-ratio": lambda query: self.ratio(query, "accounts"),
            f"{RUBIK}contracts/long-short-account-ratio-contract": lambda query: self.ratio(query, "accounts"),
            f"{RUBIK}contracts/long-short-account-ratio-contract-top-trader": lambda query: self.ratio(query, "top"),
            f"{RUBIK}contracts/long-short-position-ratio-contract-top-trader": lambda query: self.ratio(query, "sizes"),
            f"{RUBIK}contracts/open-interest-history": self.interest_history,
            f"{RUBIK}taker-volume-contract": self.taker_volume,
        }  # fmt: skip

    @property
    def now_us(self) -> int:
        return self.market.at_us

    def symbol(self, query: Arguments) -> SymbolMarket:
        found = self.market.symbols.get(query.text("instId"))
        if found is None:
            raise ApiError(51001, "Instrument ID, Instrument ID code, or Spread ID doesn't exist.", 200)
        return found

    def typed(self, query: Arguments) -> list[SymbolMarket]:
        """Of `instType`, and of `instFamily` or `uly`; one alone where `instId` is given."""
        kind = query.text("instType")
        if kind not in ("SPOT", "SWAP", "FUTURES", "OPTION", "MARGIN"):
            raise ApiError(51000, "Parameter instType error")
        found = [each for each in self.market.order if kind_of(each.instrument.symbol) == kind]
        for name, named in (("instFamily", family_of), ("uly", index_of)):
            if name in query.values:
                found = [each for each in found if named(each.instrument.symbol) == query.values[name]]
        if "instId" in query.values:
            found = [each for each in found if each is self.symbol(query)]
        return found

    def in_families(self, query: Arguments) -> list[SymbolMarket]:
        """The same; options are told by family alone."""
        if query.values.get("instType") == "OPTION" and not {"instFamily", "uly"} & query.values.keys():
            raise ApiError(50015, "Either parameter uly or instFamily is required")
        return self.typed(query)

    # --- public -------------------------------------------------------------------------------------

    def instruments(self, query: Arguments) -> list[Any]:
        return [describe(each.instrument) for each in self.in_families(query)]

    def _by_type(
        self,
        query: Arguments,
        found: Callable[[Arguments], list[SymbolMarket]],
        row: Callable[[SymbolMarket, int], str],
    ) -> list[Any]:
        if query.values.get("instType") in ("SPOT", "MARGIN"):
            raise ApiError(51000, "Parameter instType error")
        return [json.loads(row(each, self.now_us)) for each in found(query)]

    def swap(self, query: Arguments) -> SymbolMarket:
        market = self.symbol(query)
        if kind_of(market.instrument.symbol) != "SWAP":
            raise ApiError(51000, "Parameter instId error")
        return market

    def funding(self, query: Arguments) -> list[Any]:
        return [json.loads(wire.funding_row(self.swap(query), self.now_us))]

    def funding_history(self, query: Arguments) -> list[Any]:
        """Newest first; `after` asks for settlements before a time."""
        market = self.swap(query)
        rows = []
        at_us = min(query.number("after", self.now_us // 1000) * 1000, self.now_us)
        for _ in range(query.limit(100, 400)):
            told = derivatives.funding(market, at_us)
            rates = {"fundingRate": f"{told.previous_rate:.16f}", "realizedRate": f"{told.previous_rate:.16f}"}
            name = {"instId": market.instrument.symbol, "instType": "SWAP", "method": "current_period"}
            rows.append({**name, "formulaType": "withRate", **rates, "fundingTime": wire.ms(told.previous_time_us)})
            at_us = told.previous_time_us - 1
        return rows

    # --- market -------------------------------------------------------------------------------------

    def books(self, query: Arguments) -> list[Any]:
        market = self.symbol(query)
        count = max(1, min(wire.BOOK_LEVELS, query.number("sz", 1)))
        told = self._stale(market.instrument.symbol) or self._book(market, count)
        return [told | {side: told[side][:count] for side in ("asks", "bids")}]

    def _book(self, market: SymbolMarket, count: int) -> dict[str, Any]:
        asks, bids, seq_id = self.publisher.snapshot(market)
        sides = {
            name: json.loads(wire.levels(market.instrument, list(levels.items())[:count]))
            for name, levels in (("asks", asks), ("bids", bids))
        }
        return {**sides, "ts": wire.ms(self.now_us), "seqId": seq_id}

    def keep(self, symbol: str) -> int:
        """Serve these books as they are now for as long as the fault `stale_snapshot` is at work: how many."""
        found = [each for each in self.market.order if symbol in (ALL, each.instrument.symbol)]
        self.kept |= {each.instrument.symbol: self._book(each, wire.BOOK_LEVELS) for each in found}
        return len(found)

    def _stale(self, symbol: str) -> dict[str, Any] | None:
        if symbol not in self.kept:
            return None
        if self.desk.faults.take("stale_snapshot", time.monotonic(), symbol=symbol, venue=self.desk.name) is None:
            del self.kept[symbol]
            return None
        return self.kept[symbol]

    def _ticker(self, market: SymbolMarket) -> Any:
        return json.loads(wire.ticker_row(market, day_of(market, self.days), self.now_us))

    def tickers(self, query: Arguments) -> list[Any]:
        return [self._ticker(each) for each in self.typed(query)]

    def trades(self, query: Arguments) -> list[Any]:
        """Newest first; `after` asks for ids before one."""
        market = self.symbol(query)
        before = query.number("after", market.trade_id + 1)
        count = query.limit(100, 500)
        held = market.trades
        if held and before - count < held[0].id:
            found = self.desk.store.trades(self.desk.history_number(market.instrument.symbol), before - count, count)
            found += [item for item in held if (not found or item.id > found[-1].id)]
        else:
            found = list(held)[-(count + market.trade_id + 1 - before) :]
        found = [item for item in found if before - count <= item.id < before]
        return [json.loads(wire.trade_row(market.instrument, item)) for item in reversed(found)]

    def candles(self, query: Arguments) -> list[Any]:
        """Newest first; `after` asks for candles before a time, `before` for those since."""
        market = self.symbol(query)
        bar = query.values.get("bar", "1m")
        if bar not in BARS:
            raise ApiError(51000, "Parameter bar error")
        after, before = query.number("after", 1 << 62), query.number("before", -1)
        first_ms = market.bar.open_ms - SIZES_MS[bar] * 300
        oldest = market.bars[0].open_ms if market.bars else market.bar.open_ms
        number_ = self.desk.history_number(market.instrument.symbol)
        older = self.desk.store.bars(number_, first_ms, oldest, 10**6, newest=False) if first_ms < oldest else []
        made = several(bar, [*older, *market.bars, market.bar])
        rows = [
            json.loads(
                wire.candle_row(market.instrument, each, closed=each.open_ms + SIZES_MS[bar] <= self.now_us // 1000)
            )
            for each in made
            if before < each.open_ms < after
        ]
        return rows[::-1][: query.limit(100, 300)]

    # --- statistics ---------------------------------------------------------------------------------

    def _times(self, query: Arguments) -> list[int]:
        """Newest first, in ms."""
        period = query.values.get("period", "5m")
        size = PERIODS_MS.get(period) or SIZES_MS.get(period)
        if size is None:
            raise ApiError(51000, "Parameter period error")
        end = min(query.number("end", self.now_us // 1000), self.now_us // 1000) // size * size
        begin = query.number("begin", 0)
        return [at for back in range(query.limit(100, 100)) if (at := end - back * size) >= begin]

    def _named(self, query: Arguments) -> SymbolMarket:
        """By `instId`, or the first contract of a coin (`ccy`)."""
        if "ccy" not in query.values:
            market = self.symbol(query)
            if kind_of(market.instrument.symbol) not in OF_STATISTICS:
                raise ApiError(51000, "Parameter instId error")
            return market
        for each in self.market.order:
            if kind_of(each.instrument.symbol) in OF_STATISTICS and each.instrument.base == query.values["ccy"]:
                return each
        raise ApiError(51000, "Parameter ccy error")

    def ratio(self, query: Arguments, kind: str) -> list[Any]:
        market = self._named(query)
        rows = []
        for at in self._times(query):
            long = derivatives.long_share(market, kind, at * 1000)
            rows.append([str(at), f"{long / (1 - long):.16f}"])
        return rows

    def interest_history(self, query: Arguments) -> list[Any]:
        market = self._named(query)
        return [[str(at), *wire.interest(market, at * 1000)] for at in self._times(query)]

    def taker_volume(self, query: Arguments) -> list[Any]:
        """[time, sold, bought] as far as candles are kept; `unit` 0 coins, 1 contracts, 2 dollars."""
        market = self._named(query)
        size = PERIODS_MS.get(query.values.get("period", "5m"), PERIODS_MS["5m"])
        unit = query.number("unit", 1)
        rows = []
        for at in self._times(query):
            bars = [bar for bar in (*market.bars, market.bar) if at <= bar.open_ms < at + size]
            buy, whole = sum(bar.taker for bar in bars), sum(bar.volume for bar in bars)
            rows.append([str(at), *(self._amount(market, steps, at, unit) for steps in (whole - buy, buy))])
        return rows

    def _amount(self, market: SymbolMarket, steps: int, at_ms: int, unit: int) -> str:
        if unit == 1:
            return wire.sz(market.instrument, steps)
        coins, dollars = derivatives.value_e8(market, steps, derivatives.index_ticks(market, at_ms * 1000))
        return number(coins if unit == 0 else dollars)
