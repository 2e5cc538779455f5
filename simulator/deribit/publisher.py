"""The market's events as Deribit's notifications. Trades, books and tickers are told in batches of 100 ms."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from simulator.deribit import wire
from simulator.deribit.figures import Figures, coins_e8, index_of, volatility_index
from simulator.deribit.instruments import parse
from simulator.faults import matches
from simulator.hub import Hub
from simulator.market.candles import MINUTE_MS, Bar, merge
from simulator.market.derivatives import Liquidations
from simulator.market.listing import limit_depth
from simulator.market.market import Market
from simulator.market.symbol import Agg, Depth, SymbolMarket, Trade
from simulator.market.ticker import Day, day_of
from simulator.market.view import WholeView
from simulator.sent import Updates

INTERVALS = ("100ms", "raw")
RESOLUTIONS = ("1", "3", "5", "10", "15", "30", "60", "120", "180", "360", "720")
CHANGE_ID_BASE = 100_000_000_000
RESET_STEP = 7_000_000_000
VOLATILITY_BASES = ("BTC", "ETH")
SETTLEMENT_MS = 8 * 3_600_000
DAY_MS = 86_400_000
TRADE_ID_FACTOR = 4_096
"""Ids are unique per currency: the instrument's place is part of them."""


class Shown:
    """What was told of a book: its levels and the id of the last change."""

    def __init__(self, market: SymbolMarket, change_id: int) -> None:
        self.view = WholeView(market)
        self.change_id = change_id


class Publisher:
    """The market's sink."""

    def __init__(self, hub: Hub, market: Market) -> None:
        self.hub = hub
        self.market = market
        for each in market.order:
            limit_depth(each)
        self.change_id = CHANGE_ID_BASE + sum(each.update_id for each in market.order)
        self.last_change: dict[str, int] = {}
        self.books: dict[str, Shown] = {}
        self.days: dict[str, Day] = {}
        self.pending: dict[str, list[wire.Print]] = {}
        self.directions: dict[str, tuple[int, int]] = {}
        self.coins: dict[str, tuple[int, int]] = {}
        """Coins in 1e-8 traded in the minute that opened then, where a trade of it was heard."""
        self.liquidations = Liquidations()
        self.told: dict[str, tuple[int, int]] = {}
        self.updates = Updates()
        self.bases = {parse(each.instrument.symbol).base: each for each in reversed(market.order)}

    def send(self, channel: str, data: str) -> None:
        if channel in self.hub.subscribers:
            frame = wire.subscription(channel, data)
            self.hub.publish(channel, lambda _: frame)

    def figures(self, market: SymbolMarket) -> Figures:
        return Figures(market, day_of(market, self.days), market.at_us)

    # --- books --------------------------------------------------------------------------------------

    def shown(self, market: SymbolMarket) -> Shown:
        symbol = market.instrument.symbol
        held = self.books.get(symbol)
        if held is None:
            held = self.books[symbol] = Shown(market, self.last_change.setdefault(symbol, self.change_id))
        return held

    def snapshot(self, market: SymbolMarket, channel: str) -> bytes:
        """The book as last told: one per subscription."""
        held = self.shown(market)
        i, view = market.instrument, held.view
        data = wire.book_snapshot(i, held.change_id, market.at_us // 1000, view.bids, view.asks)
        return wire.subscription(channel, data)

    def joined(self, channel: str) -> Sequence[bytes]:
        """Books begin with a snapshot, states with none; tickers and quotes say at once how things stand."""
        kind, _, rest = channel.partition(".")
        market = self.market.symbols.get(rest.rpartition(".")[0] if kind != "quote" else rest)
        if market is None:
            return ()
        if kind == "book":
            return (self.snapshot(market, channel),)
        if kind == "ticker":
            return (wire.subscription(channel, self.figures(market).ticker()),)
        if kind == "quote":
            return (wire.subscription(channel, wire.quote(market.instrument, market.best, market.at_us // 1000)),)
        return ()

    def reset(self, pattern: str) -> int:
        """Change ids count anew from far below; books go on from a snapshot in mid-stream."""
        chosen = [
            (market, f"book.{symbol}.{interval}")
            for symbol, market in self.market.symbols.items()
            for interval in INTERVALS
            if f"book.{symbol}.{interval}" in self.hub.subscribers
        ]
        chosen = [(market, channel) for market, channel in chosen if matches(pattern, channel)]
        if chosen:
            self.change_id -= RESET_STEP
        for market, channel in chosen:
            held = self.shown(market)
            held.change_id = self.last_change[market.instrument.symbol] = self.change_id
            frame = self.snapshot(market, channel)
            self.hub.publish(channel, partial(_constant, frame))
        return len(chosen)

    def on_depth(self, market: SymbolMarket, depth: Depth) -> None:
        """The batch: trades first, then the book they changed, then the figures."""
        symbol = market.instrument.symbol
        self._trades(market)
        self.change_id += depth.last_id - depth.first_id + 1
        self._book(market, depth)
        tickers = [f"ticker.{symbol}.{interval}" for interval in INTERVALS]
        if any(channel in self.hub.subscribers for channel in tickers):
            data = self.figures(market).ticker()
            for channel in tickers:
                self.send(channel, data)

    def _book(self, market: SymbolMarket, depth: Depth) -> None:
        symbol = market.instrument.symbol
        channels = [f"book.{symbol}.{interval}" for interval in INTERVALS]
        if not any(self.hub.wanted(channel) for channel in channels):
            self.books.pop(symbol, None)
            self.last_change[symbol] = self.change_id
            return
        held = self.books.get(symbol)
        if held is None:  # joined without a snapshot
            self.shown(market).change_id = self.last_change[symbol] = self.change_id
            return
        changes = held.view.advance(depth)
        if not changes.bids and not changes.asks:
            return
        previous, held.change_id = held.change_id, self.change_id
        self.last_change[symbol] = self.change_id
        ids = (self.change_id, previous)
        self.updates.note(symbol, previous, self.change_id, depth.time_us // 1000)
        data = wire.book_change(market.instrument, *ids, depth.time_us // 1000, changes.bids, changes.asks)
        for channel in channels:
            self.send(channel, data)

    # --- trades -------------------------------------------------------------------------------------

    def on_trades(self, market: SymbolMarket, trades: list[Trade], aggs: list[Agg]) -> None:
        del aggs
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
        symbol = market.instrument.symbol
        prints = self.pending.pop(symbol, None)
        channels = [f"trades.{symbol}.{interval}" for interval in INTERVALS]
        if not prints or not any(channel in self.hub.subscribers for channel in channels):
            return
        data = f"[{','.join(self.trade_rows(market, prints))}]"
        for channel in channels:
            self.send(channel, data)

    def on_best(self, market: SymbolMarket, time_us: int) -> None:
        symbol = market.instrument.symbol
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
        for resolution in RESOLUTIONS:
            channel = f"chart.trades.{symbol}.{resolution}"
            if channel not in self.hub.subscribers or self.told.get(channel) == (last.open_ms, last.count):
                continue
            self.told[channel] = (last.open_ms, last.count)
            length = int(resolution) * MINUTE_MS
            opened = last.open_ms // length * length
            bars = [bar for bar in market.bars if opened <= bar.open_ms < last.open_ms] if opened < last.open_ms else []
            self.send(channel, self.chart(market, merge(opened, [*bars, last]) or last, opened))

    def on_minute(self, market: SymbolMarket, closed: Bar, time_us: int) -> None:
        """The last word on the closed candle, then the next one filled from it; states at eight o'clock."""
        self._charts(market, closed)
        self._charts(market, market.bar)
        now_ms = time_us // 1000
        expiry_ms = parse(market.instrument.symbol).expiry_ms
        if now_ms % DAY_MS == SETTLEMENT_MS:
            for state in ("settlement", "delivered" if now_ms == expiry_ms else "open"):
                self._state(market, state, now_ms)

    def _state(self, market: SymbolMarket, state: str, now_ms: int) -> None:
        i = market.instrument
        listing = parse(i.symbol)
        currency = listing.base if listing.inverse else listing.quote
        data = f'{{"timestamp":{now_ms},"state":"{state}","instrument_name":"{i.symbol}"}}'
        for kind in ("any", listing.kind):
            for coin in ("any", currency):
                self.send(f"instrument.state.{kind}.{coin}", data)

    def on_second(self, market: SymbolMarket, time_us: int) -> None:
        """Candles, and the figures of a coin by the first instrument it has."""
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

    def on_slow_depth(self, market: SymbolMarket, depth: Depth) -> None: ...


def _constant(frame: bytes, unit: int) -> bytes:
    del unit
    return frame


def trade_id(market: SymbolMarket, trade: Trade) -> str:
    """Unique within a currency; those of ETH carry its name."""
    value = trade.id * TRADE_ID_FACTOR + market.instrument.index % TRADE_ID_FACTOR
    base = parse(market.instrument.symbol).base
    return f"{base}-{value}" if base == "ETH" else str(value)
