"""The market's events as Deribit's notifications. Trades, books and tickers are told in batches of 100 ms."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from simulator.deribit import wire
from simulator.deribit.batches import Batches
from simulator.deribit.books import FAST, INTERVALS, SLOW, Books, Pace
from simulator.deribit.figures import NO_BEST, Figures, coins_e8, index_of, volatility_index
from simulator.deribit.instruments import describe, parse, settlement_currency
from simulator.deribit.states import ENDED, States
from simulator.hub import Hub
from simulator.market.candles import MINUTE_MS, Bar, merge
from simulator.market.derivatives import Liquidations
from simulator.market.listing import limit_depth
from simulator.market.market import Market
from simulator.market.symbol import Agg, Depth, SymbolMarket, Trade
from simulator.market.ticker import Day, day_of

RESOLUTIONS = {str(minutes): minutes for minutes in (1, 3, 5, 10, 15, 30, 60, 120, 180, 360, 720)} | {"1D": 1440}
"""Minutes by name."""
BATCH_US, SECOND_US = 100_000, 1_000_000
VOLATILITY_BASES = ("BTC", "ETH")
TRADE_ID_FACTOR = 4_096
"""Ids are unique per currency: the instrument's place is part of them."""


def compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))


class Publisher:
    """The market's sink. An instrument that is over is silent whatever its market does."""

    def __init__(self, hub: Hub, market: Market) -> None:
        self.hub = hub
        self.market = market
        for each in market.order:
            limit_depth(each)
        self.books = Books(hub, market)
        self.states = States(market)
        self.days: dict[str, Day] = {}
        self.pending: dict[str, list[wire.Print]] = {}
        self.batches = Batches()
        self.directions: dict[str, tuple[int, int]] = {}
        self.coins: dict[str, tuple[int, int]] = {}
        """Coins in 1e-8 traded in the minute that opened then, where a trade of it was heard."""
        self.liquidations = Liquidations()
        self.told: dict[str, tuple[int, int]] = {}
        self.bases = {parse(each.instrument.symbol).base: each for each in reversed(market.order)}

    def send(self, channel: str, data: str) -> None:
        if channel in self.hub.subscribers:
            frame = wire.subscription(channel, data)
            self.hub.publish(channel, lambda _: frame)

    def figures(self, market: SymbolMarket) -> Figures:
        state = self.states.of[market.instrument.symbol]
        return Figures(market, day_of(market, self.days), market.at_us, state)

    def joined(self, channel: str) -> Sequence[bytes]:
        """Books begin with a snapshot, states with none; tickers and quotes say at once how things stand."""
        if channel in self.books.grouped:
            return (self.books.window(channel),)
        kind, _, rest = channel.partition(".")
        market = self.market.symbols.get(rest.rpartition(".")[0] if kind != "quote" else rest)
        if market is None:
            return ()
        if kind == "book":
            return (self.books.snapshot(market, channel),)
        if kind == "ticker":
            return (wire.subscription(channel, self.figures(market).ticker()),)
        if kind == "perpetual" and parse(market.instrument.symbol).perpetual:
            return (wire.subscription(channel, self.figures(market).perpetual()),)
        if kind == "quote":
            return (wire.subscription(channel, wire.quote(market.instrument, market.best, market.at_us // 1000)),)
        return ()

    def on_depth(self, market: SymbolMarket, depth: Depth) -> None:
        """The batch: trades first, then the book they changed, then the figures."""
        self._batches(depth.time_us)
        if self.states.ended(market.instrument.symbol):
            return
        self._trades(market)
        self.books.advance(market, depth, FAST)
        self._figures(market, FAST)

    def on_slow_depth(self, market: SymbolMarket, depth: Depth) -> None:
        if not self.states.ended(market.instrument.symbol):
            self.books.advance(market, depth, SLOW)
            self._figures(market, SLOW)

    def _figures(self, market: SymbolMarket, pace: Pace) -> None:
        """Tickers, and what perpetuals have beside them."""
        symbol = market.instrument.symbol
        for interval in pace:
            if (channel := f"ticker.{symbol}.{interval}") in self.hub.subscribers:
                self.send(channel, self.figures(market).ticker())
            if (channel := f"perpetual.{symbol}.{interval}") in self.hub.subscribers and parse(symbol).perpetual:
                self.send(channel, self.figures(market).perpetual())

    # --- states -------------------------------------------------------------------------------------

    def news(self, market: SymbolMarket, time_us: int) -> None:
        """Tell a change of state. What is there anew is told whole, what is over loses its book."""
        symbol, now_ms = market.instrument.symbol, time_us // 1000
        before = self.states.move(symbol, now_ms)
        if before is None:
            return
        ended = self.states.ended(symbol)
        if before in ENDED and not ended:
            self._about(market, "creation", compact(describe(market.instrument) | self.states.fields(symbol)))
        if ended:
            self._trades(market)
            self.books.clear(market, time_us)
            self.send(f"quote.{symbol}", wire.quote(market.instrument, NO_BEST, now_ms))
            self._figures(market, INTERVALS)
        told = {"timestamp": now_ms, "state": self.states.of[symbol], "instrument_name": symbol}
        self._about(market, "state", compact(told))

    def _about(self, market: SymbolMarket, what: str, data: str) -> None:
        for kind, currency in kinds_of(market):
            self.send(f"instrument.{what}.{kind}.{currency}", data)

    # --- trades -------------------------------------------------------------------------------------

    def on_trades(self, market: SymbolMarket, trades: list[Trade], aggs: list[Agg]) -> None:
        del aggs
        if self.states.ended(market.instrument.symbol):
            return
        found = self.liquidations.note(market, trades)
        flag = "" if found is None else ("T", "M", "MT")[found.id % 3]
        self.pending.setdefault(market.instrument.symbol, []).extend(self.prints(market, trades, flag))
        self._count_coins(market, trades)

    def prints(self, market: SymbolMarket, trades: Sequence[Trade], flag: str) -> list[wire.Print]:
        symbol = market.instrument.symbol
        before, last = self.directions.get(symbol, (trades[0].price, wire.ZERO_PLUS))
        out = []
        for trade in trades:
            last = wire.tick_direction(before, last, trade.price)
            before = trade.price
            out.append(wire.Print(trade, trade_id(market, trade), last, flag))
        self.directions[symbol] = (before, last)
        return out

    def trade_rows(self, market: SymbolMarket, prints: Sequence[wire.Print]) -> list[str]:
        figures = self.figures(market)
        iv = figures.iv() if figures.is_option else ""
        return [wire.trade(market.instrument, item, figures.index, figures.mark, iv) for item in prints]

    def _trades(self, market: SymbolMarket) -> None:
        """An instrument's own channels at once; those of a second, and those of many instruments, gather."""
        symbol = market.instrument.symbol
        prints = self.pending.pop(symbol, None)
        own = [f"trades.{symbol}.{interval}" for interval in FAST]
        gathered = [(f"trades.{symbol}.{interval}", SECOND_US) for interval in SLOW]
        gathered += [
            (f"trades.{kind}.{currency}.{interval}", BATCH_US if interval in FAST else SECOND_US)
            for kind, currency in kinds_of(market)
            for interval in INTERVALS
        ]
        gathered = [(channel, span_us) for channel, span_us in gathered if channel in self.hub.subscribers]
        if not prints or not (gathered or any(channel in self.hub.subscribers for channel in own)):
            return
        rows = self.trade_rows(market, prints)
        for channel in own:
            self.send(channel, f"[{','.join(rows)}]")
        for channel, span_us in gathered:
            self.batches.add(channel, rows, market.at_us + span_us)

    def _batches(self, now_us: int) -> None:
        for channel, rows in self.batches.due(now_us):
            self.send(channel, f"[{','.join(rows)}]")

    def on_best(self, market: SymbolMarket, time_us: int) -> None:
        symbol = market.instrument.symbol
        if not self.states.ended(symbol):
            self.send(f"quote.{symbol}", wire.quote(market.instrument, market.best, time_us // 1000))

    # --- candles ------------------------------------------------------------------------------------

    def _count_coins(self, market: SymbolMarket, trades: Sequence[Trade]) -> None:
        symbol, opened = market.instrument.symbol, market.bar.open_ms
        held = self.coins.get(symbol)
        if held is None or held[0] != opened:
            inside = [trade for trade in market.trades if trade.time_us >= opened * 1000]
            self.coins[symbol] = (opened, sum(coins_e8(market.instrument, trade) for trade in inside))
        else:
            self.coins[symbol] = (opened, held[1] + sum(coins_e8(market.instrument, trade) for trade in trades))

    def chart(self, market: SymbolMarket, bar: Bar, opened_ms: int) -> str:
        """A candle; a one-minute candle's volume is the sum of its trades' coins."""
        i = market.instrument
        prices = [wire.number(ticks * i.tick_e8) for ticks in (bar.o, bar.h, bar.l, bar.c)]
        coins, dollars = self.figures(market).volumes(bar.volume, bar.quote)
        held = self.coins.get(i.symbol)
        if bar.count and held is not None and held[0] == bar.open_ms == opened_ms:
            coins = wire.number(held[1])
        return wire.chart(opened_ms, prices, coins, dollars)

    def _charts(self, market: SymbolMarket, last: Bar) -> None:
        symbol = market.instrument.symbol
        for resolution, minutes in RESOLUTIONS.items():
            channel = f"chart.trades.{symbol}.{resolution}"
            if channel not in self.hub.subscribers or self.told.get(channel) == (last.open_ms, last.count):
                continue
            self.told[channel] = (last.open_ms, last.count)
            length = minutes * MINUTE_MS
            opened = last.open_ms // length * length
            bars = [bar for bar in market.bars if opened <= bar.open_ms < last.open_ms] if opened < last.open_ms else []
            self.send(channel, self.chart(market, merge(opened, [*bars, last]) or last, opened))

    def on_minute(self, market: SymbolMarket, closed: Bar, time_us: int) -> None:
        """The last word on the closed candle, then the next one filled from it; at eight o'clock settlement."""
        if not self.states.ended(market.instrument.symbol):
            self._charts(market, closed)
            self._charts(market, market.bar)
        self.news(market, time_us)

    def on_second(self, market: SymbolMarket, time_us: int) -> None:
        """Candles, and the figures of a coin by the first instrument it has."""
        self._batches(time_us)
        self.news(market, time_us)
        if not self.states.ended(market.instrument.symbol):
            self._charts(market, market.bar)
        base = parse(market.instrument.symbol).base
        if self.bases[base] is not market:
            return
        now_ms, name = time_us // 1000, f"{base.lower()}_usd"
        index = wire.decimal(index_of(market.seed, base, time_us), 2)
        self.send("platform_state", f'{{"price_index":"{name}","locked":false}}')
        self.send(f"deribit_price_index.{name}", f'{{"index_name":"{name}","price":{index},"timestamp":{now_ms}}}')
        if base in VOLATILITY_BASES:
            value = wire.decimal(volatility_index(market.seed, base, time_us), 4)
            data = f'{{"timestamp":{now_ms},"volatility":{value},"index_name":"{name}"}}'
            self.send(f"deribit_volatility_index.{name}", data)


def kinds_of(market: SymbolMarket) -> list[tuple[str, str]]:
    """Kind and currency in the names of channels that are about many instruments."""
    listing = parse(market.instrument.symbol)
    return [(kind, currency) for kind in ("any", listing.kind) for currency in ("any", settlement_currency(listing))]


def trade_id(market: SymbolMarket, trade: Trade) -> str:
    """Unique within a currency; those of ETH carry its name."""
    value = trade.id * TRADE_ID_FACTOR + market.instrument.index % TRADE_ID_FACTOR
    base = parse(market.instrument.symbol).base
    return f"{base}-{value}" if base == "ETH" else str(value)
