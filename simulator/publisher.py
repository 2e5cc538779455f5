"""Turns the synthetic market's events into the frames of Binance spot's streams, at the venue's paces."""

from __future__ import annotations

from functools import partial

from simulator import wire
from simulator.hub import Hub
from simulator.market.candles import INTERVALS, Bar, merge, next_open_time, open_time
from simulator.market.symbol import Agg, Depth, SymbolMarket, Trade
from simulator.market.ticker import Day, day_of

PARTIAL_LEVELS = (5, 10, 20)
ALL_MINI_TICKERS = "!miniTicker@arr"


class Names:
    """Stream names of one symbol, made once."""

    def __init__(self, symbol: str) -> None:
        low = symbol.lower()
        self.trade = f"{low}@trade"
        self.agg_trade = f"{low}@aggTrade"
        self.book_ticker = f"{low}@bookTicker"
        self.depth = f"{low}@depth@100ms"
        self.slow_depth = (f"{low}@depth", f"{low}@depth@1000ms")
        self.partial = tuple((count, f"{low}@depth{count}@100ms") for count in PARTIAL_LEVELS)
        self.slow_partial = tuple((count, f"{low}@depth{count}") for count in PARTIAL_LEVELS)
        self.ticker = f"{low}@ticker"
        self.mini_ticker = f"{low}@miniTicker"
        self.klines = tuple((interval, f"{low}@kline_{interval}") for interval in INTERVALS)
        self.told_ticker: tuple[int, ...] = ()
        self.told_klines: dict[str, int] = {}


def current_bar(market: SymbolMarket, interval: str) -> Bar:
    """The open candle of an interval, from the bars kept and the open one."""
    opened = open_time(interval, market.bar.open_ms)
    if interval == "1m" or opened == market.bar.open_ms:
        return market.bar
    bars = []
    for bar in reversed(market.bars):
        if bar.open_ms < opened:
            break
        bars.append(bar)
    bars.reverse()
    return merge(opened, [*bars, market.bar]) or market.bar


def second_bar(market: SymbolMarket, opened_ms: int) -> Bar:
    """The one-second candle opened at `opened_ms`, from the trades kept."""
    inside: list[Trade] = []
    before: Trade | None = None
    for trade in reversed(market.trades):
        if trade.time_us < opened_ms * 1000:
            before = trade
            break
        if trade.time_us < (opened_ms + 1000) * 1000:
            inside.append(trade)
    bar = Bar(opened_ms, before.price if before else market.bar.c)
    for trade in reversed(inside):
        quote = trade.price * trade.qty * market.instrument.quote_factor
        bar.add(trade.id, trade.price, trade.qty, quote, trade.buyer_is_maker)
    return bar


class Publisher:
    """The market's sink."""

    def __init__(self, hub: Hub) -> None:
        self.hub = hub
        self.names: dict[str, Names] = {}
        self.days: dict[str, Day] = {}
        self.mini: dict[str, tuple[SymbolMarket, Day]] = {}
        self.mini_second = 0

    def of(self, market: SymbolMarket) -> Names:
        symbol = market.instrument.symbol
        names = self.names.get(symbol)
        if names is None:
            names = self.names[symbol] = Names(symbol)
        return names

    def on_trades(self, market: SymbolMarket, trades: list[Trade], aggs: list[Agg]) -> None:
        names = self.of(market)
        for trade in trades:
            self.hub.publish(names.trade, partial(wire.trade, market, trade))
        for agg in aggs:
            self.hub.publish(names.agg_trade, partial(wire.agg_trade, market, agg))

    def on_best(self, market: SymbolMarket, time_us: int) -> None:
        del time_us  # the stream carries none
        self.hub.publish(self.of(market).book_ticker, partial(wire.book_ticker, market))

    def on_depth(self, market: SymbolMarket, depth: Depth) -> None:
        names = self.of(market)
        self.hub.publish(names.depth, partial(wire.depth_update, market, depth))
        self._partial(market, names.partial)

    def on_slow_depth(self, market: SymbolMarket, depth: Depth) -> None:
        names = self.of(market)
        for name in names.slow_depth:
            self.hub.publish(name, partial(wire.depth_update, market, depth))
        self._partial(market, names.slow_partial)

    def _partial(self, market: SymbolMarket, names: tuple[tuple[int, str], ...]) -> None:
        for count, name in names:
            self.hub.publish(name, partial(wire.depth_snapshot, market, count))

    def on_minute(self, market: SymbolMarket, closed: Bar, time_us: int) -> None:
        """Every candle that ends here is sent once more, closed; trades or not."""
        now_ms = time_us // 1000
        for interval, name in self.of(market).klines:
            if name not in self.hub.subscribers or interval == "1s":
                continue
            opened = open_time(interval, closed.open_ms)
            if next_open_time(interval, opened) != now_ms:
                continue
            bars = [bar for bar in market.bars if bar.open_ms >= opened]
            whole = merge(opened, bars) or closed
            self._kline(market, name, interval, whole, time_us, closed=True)

    def on_second(self, market: SymbolMarket, time_us: int) -> None:
        """Tickers each second and open candles every second one, when something changed."""
        names = self.of(market)
        self._tickers(market, names, time_us)
        even = not time_us // 1_000_000 % 2
        for interval, name in names.klines:
            if name not in self.hub.subscribers:
                continue
            if interval == "1s":
                opened = time_us // 1_000_000 * 1000 - 1000
                self._kline(market, name, interval, second_bar(market, opened), time_us, closed=True)
            elif even and market.bar.count and names.told_klines.get(interval) != market.trade_id:
                names.told_klines[interval] = market.trade_id
                self._kline(market, name, interval, current_bar(market, interval), time_us, closed=False)

    def _kline(self, market: SymbolMarket, name: str, interval: str, bar: Bar, time_us: int, *, closed: bool) -> None:
        self.hub.publish(name, lambda unit: wire.kline(market, bar, interval, time_us, unit, closed=closed))

    def _tickers(self, market: SymbolMarket, names: Names, time_us: int) -> None:
        subscribers = self.hub.subscribers
        wants_all = ALL_MINI_TICKERS in subscribers
        if not (wants_all or names.ticker in subscribers or names.mini_ticker in subscribers):
            return
        state = (market.trade_id, *market.best)
        if state == names.told_ticker:
            return
        traded = not names.told_ticker or names.told_ticker[0] != market.trade_id
        names.told_ticker = state
        day = day_of(market, self.days)
        self.hub.publish(names.ticker, lambda unit: wire.ticker(market, day, time_us, unit))
        if traded:
            self.hub.publish(names.mini_ticker, lambda unit: wire.mini_ticker(market, day, time_us, unit))
            if wants_all:
                self.mini[market.instrument.symbol] = (market, day)
        if wants_all and self.mini and time_us // 1_000_000 != self.mini_second:
            self.mini_second = time_us // 1_000_000
            self._all_mini_tickers(time_us)

    def _all_mini_tickers(self, time_us: int) -> None:
        changed, self.mini = self.mini, {}

        def make(unit: int) -> bytes:
            return b"[" + b",".join(wire.mini_ticker(m, day, time_us, unit) for m, day in changed.values()) + b"]"

        self.hub.publish(ALL_MINI_TICKERS, make)
