"""The market's events as frames of USD-M's streams, at their paces.

The market changes its book every 100 ms, so what is due in between waits for the next of these, or where none comes for
the end of the second. Aggregates are sent as they are made, while the venue gathers for 100 ms and merges those of one
price and side.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence

from simulator.hub import Hub
from simulator.market.candles import INTERVALS, Bar, merge, next_open_time, open_time
from simulator.market.derivatives import Liquidation, Liquidations
from simulator.market.market import Market
from simulator.market.symbol import Agg, Depth, SymbolMarket, Trade
from simulator.market.ticker import Day, day_of
from simulator.publisher import current_bar
from simulator.usdm import wire

PARTIAL_LEVELS = (5, 10, 20)
SLOWER_US = {"": 250_000, "@500ms": 500_000}
"""Paces of books beside that of `@100ms`, by the end of their streams' names."""
KLINES_US = 250_000
ALL_MARK_PRICES = ("!markPrice@arr@1s", "!markPrice@arr")
ALL_BEST, CONTRACTS = "!bookTicker", "!contractInfo"
CONTRACTS_EVERY_MIN = 10
UPDATES_KEPT = 50_000


class Pace:
    """Every so often, on average: what comes a little late does not put off the next."""

    def __init__(self, every_us: int) -> None:
        self.every_us = every_us
        self.due_us = 0

    def due(self, time_us: int) -> bool:
        return time_us >= self.due_us

    def told(self, time_us: int) -> None:
        late_us = time_us - self.due_us
        self.due_us = time_us + self.every_us - (late_us if late_us < self.every_us else 0)


class Slower:
    """Depth streams with a pace of their own, changes and whole tops: changes gathered, events chained by `pu`."""

    def __init__(self, low: str, suffix: str, every_us: int) -> None:
        self.name = f"{low}@depth{suffix}"
        self.partial = partial_names(low, suffix)
        self.pace = Pace(every_us)
        self.previous = self.first_id = 0
        self.keys: tuple[set[int], set[int]] = (set(), set())

    def add(self, depth: Depth) -> None:
        if not self.first_id:
            self.first_id = depth.first_id
            self.previous = self.previous or depth.first_id - 1
        for keys, changed in zip(self.keys, (depth.bids, depth.asks), strict=True):
            keys.update(ticks for ticks, _ in changed)

    def take(self, market: SymbolMarket, last_id: int, time_us: int) -> tuple[Depth, int]:
        """What was gathered, with its levels as they are now, and the event before."""
        bids = tuple((p, market.bids.get(-p)) for p in sorted(self.keys[0], reverse=True))
        asks = tuple((p, market.asks.get(p)) for p in sorted(self.keys[1]))
        depth, previous = Depth(self.first_id, last_id, time_us, bids, asks), self.previous
        self.previous, self.first_id = last_id, 0
        self.pace.told(time_us)
        for keys in self.keys:
            keys.clear()
        return depth, previous


def partial_names(low: str, suffix: str) -> tuple[tuple[int, str], ...]:
    """(levels, stream) of the books' tops of one pace."""
    return tuple((count, f"{low}@depth{count}{suffix}") for count in PARTIAL_LEVELS)


def trade_frames(market: SymbolMarket, trades: Sequence[Trade]) -> Iterator[bytes]:
    """Trades in order, and the special ones behind the last of their aggregate. Whole aggregates are given."""
    for place, trade in enumerate(trades):
        yield wire.trade(market, trade)
        ended = place + 1 == len(trades) or trades[place + 1].agg_id != trade.agg_id
        if ended and wire.has_special(trade.agg_id):
            yield wire.special_trade(market, trade)


class Names:
    """Stream names and pace of one symbol."""

    def __init__(self, symbol: str) -> None:
        low = symbol.lower()
        self.trade = f"{low}@trade"
        self.agg_trade = f"{low}@aggTrade"
        self.book_ticker = f"{low}@bookTicker"
        self.depth = f"{low}@depth@100ms"
        self.slower = tuple(Slower(low, suffix, every_us) for suffix, every_us in SLOWER_US.items())
        self.partial = partial_names(low, "@100ms")
        self.ticker = f"{low}@ticker"
        self.mini_ticker = f"{low}@miniTicker"
        self.mark_price = f"{low}@markPrice@1s"
        self.slow_mark_price = f"{low}@markPrice"
        self.force_order = f"{low}@forceOrder"
        self.klines = tuple((interval, f"{low}@kline_{interval}") for interval in INTERVALS if interval != "1s")
        self.klines_pace = Pace(KLINES_US)
        self.told_klines: dict[str, int] = {}
        self.previous = 0
        self.updates: deque[tuple[int, int, int, int]] = deque(maxlen=UPDATES_KEPT)
        self.liquidation: Liquidation | None = None


class Publisher:
    """The market's sink."""

    def __init__(self, hub: Hub, market: Market) -> None:
        self.hub = hub
        self.market = market
        self.names = {symbol: Names(symbol) for symbol in market.symbols}
        self.days: dict[str, Day] = {}
        self.liquidations = Liquidations()
        self.arrays: dict[str, list[bytes]] = {}
        self.second = 0

    def of(self, market: SymbolMarket) -> Names:
        return self.names[market.instrument.symbol]

    def send(self, stream: str, data: bytes) -> None:
        self.hub.publish(stream, lambda _: data)

    def on_trades(self, market: SymbolMarket, trades: list[Trade], aggs: list[Agg]) -> None:
        names, subscribers = self.of(market), self.hub.subscribers
        if names.trade in subscribers:
            for data in trade_frames(market, trades):
                self.send(names.trade, data)
        if names.agg_trade in subscribers:
            for agg in aggs:
                self.send(names.agg_trade, wire.agg_trade(market, agg))
        found = self.liquidations.note(market, trades)
        if found is not None and (names.liquidation is None or found.qty > names.liquidation.qty):
            names.liquidation = found  # at most one a second is told: the largest

    def on_best(self, market: SymbolMarket, time_us: int) -> None:
        name = self.of(market).book_ticker
        if name in self.hub.subscribers:
            self.send(name, wire.book_ticker(market, time_us))

    def on_depth(self, market: SymbolMarket, depth: Depth) -> None:
        names, subscribers = self.of(market), self.hub.subscribers
        previous = names.previous or depth.first_id - 1
        ids = (wire.update_id(depth.first_id), wire.update_id(depth.last_id), wire.update_id(previous))
        names.updates.append((*ids, depth.time_us // 1000))
        names.previous = depth.last_id
        if names.depth in subscribers:
            self.send(names.depth, wire.depth_update(market, depth, previous))
        self._partial(market, depth, previous, names.partial)
        for slower in names.slower:
            slower.add(depth)
            if slower.pace.due(depth.time_us):
                self._slower(market, slower, depth.last_id, depth.time_us)
        self._open_klines(market, names, depth.time_us)

    def _slower(self, market: SymbolMarket, slower: Slower, last_id: int, time_us: int) -> None:
        depth, previous = slower.take(market, last_id, time_us)
        if slower.name in self.hub.subscribers:
            self.send(slower.name, wire.depth_update(market, depth, previous))
        self._partial(market, depth, previous, slower.partial)

    def on_slow_depth(self, market: SymbolMarket, depth: Depth) -> None:
        """No stream here has this pace."""

    def _partial(self, market: SymbolMarket, depth: Depth, previous: int, names: Iterable[tuple[int, str]]) -> None:
        for count, name in names:
            if name in self.hub.subscribers:
                self.send(name, wire.partial_depth(market, depth, previous, count))

    def on_minute(self, market: SymbolMarket, closed: Bar, time_us: int) -> None:
        """Every candle that ends here is sent once more, closed; trades or not. Contracts are told of now and then."""
        if closed.open_ms // 60_000 % CONTRACTS_EVERY_MIN == 0 and CONTRACTS in self.hub.subscribers:
            self.send(CONTRACTS, wire.contract_info(market, time_us))
        for interval, name in self.of(market).klines:
            if name not in self.hub.subscribers:
                continue
            opened = open_time(interval, closed.open_ms)
            if next_open_time(interval, opened) == time_us // 1000:
                whole = merge(opened, [bar for bar in market.bars if bar.open_ms >= opened]) or closed
                self.send(name, wire.kline(market, whole, interval, time_us, closed=True))

    def on_second(self, market: SymbolMarket, time_us: int) -> None:
        names = self.of(market)
        for slower in names.slower:
            if slower.first_id and market.update_id == market.flushed_id and slower.pace.due(time_us):
                self._slower(market, slower, market.flushed_id, time_us)
        self._open_klines(market, names, time_us)
        if ALL_BEST in self.hub.subscribers and time_us // 1_000_000 % 5 == 0:
            self.send(ALL_BEST, wire.book_ticker(market, time_us))
        self._contract(market, names, time_us)
        self._tickers(market, names, time_us)

    def _open_klines(self, market: SymbolMarket, names: Names, time_us: int) -> None:
        """Candles with trades that were not told of yet."""
        if not names.klines_pace.due(time_us):
            return
        told = False
        for interval, name in names.klines:
            if name in self.hub.subscribers and names.told_klines.get(interval) != market.trade_id and market.bar.count:
                names.told_klines[interval] = market.trade_id
                bar = current_bar(market, interval)
                self.send(name, wire.kline(market, bar, interval, time_us, closed=False))
                told = True
        if told:
            names.klines_pace.told(time_us)

    def _contract(self, market: SymbolMarket, names: Names, time_us: int) -> None:
        third = time_us // 1_000_000 % 3 == 0
        if {names.mark_price, names.slow_mark_price, *ALL_MARK_PRICES} & self.hub.subscribers.keys():
            mark = wire.mark_price(market, time_us)
            self.send(names.mark_price, mark)
            if third:
                self.send(names.slow_mark_price, mark)
            self._gather(ALL_MARK_PRICES[0], mark)
        if names.liquidation is not None:
            order, names.liquidation = wire.force_order(market, names.liquidation), None
            self.send(names.force_order, order)
            self.send("!forceOrder@arr", order)
        if time_us // 1_000_000 != self.second:
            self.second = time_us // 1_000_000
            gathered, self.arrays = self.arrays, {}
            for stream, items in gathered.items():
                self.send(stream, b"[" + b",".join(items) + b"]")
                if third and stream == ALL_MARK_PRICES[0]:
                    self.send(ALL_MARK_PRICES[1], b"[" + b",".join(items) + b"]")

    def _gather(self, stream: str, data: bytes) -> None:
        self.arrays.setdefault(stream, []).append(data)

    def _tickers(self, market: SymbolMarket, names: Names, time_us: int) -> None:
        subscribers = self.hub.subscribers
        every = {"!ticker@arr", "!miniTicker@arr"} & subscribers.keys()
        if (time_us // 1_000_000 % 2 and not every) or not (
            every or names.ticker in subscribers or names.mini_ticker in subscribers
        ):
            return
        day = day_of(market, self.days)
        full, mini = wire.ticker(market, day, time_us), wire.mini_ticker(market, day, time_us)
        if not time_us // 1_000_000 % 2:
            self.send(names.ticker, full)
            self.send(names.mini_ticker, mini)
        self._gather("!ticker@arr", full)
        self._gather("!miniTicker@arr", mini)
