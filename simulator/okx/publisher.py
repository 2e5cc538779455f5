"""The market's events as frames of OKX's channels, at their paces.

Books are diffs between states of the 400 best levels a side; ids grow by more than one. A `sequence_reset` makes the
next id a small one while its predecessor is the old one, as after maintenance.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from simulator.faults import matches
from simulator.hub import Hub
from simulator.market import derivatives
from simulator.market.candles import MINUTE_MS, Bar
from simulator.market.derivatives import Liquidation, Liquidations
from simulator.market.market import Market
from simulator.market.symbol import Agg, Depth, SymbolMarket, Trade
from simulator.market.ticker import Day, day_of
from simulator.market.view import Levels, TopView
from simulator.okx import wire
from simulator.okx.bars import BARS, SIZES_MS, opened_ms, whole
from simulator.okx.instruments import describe, index_of, kind_of

IDS_APART = 7
KEEP_ALIVE_US = 60_000_000
MARK_US = 200_000
INTEREST_US, FUNDING_US = 3_000_000, 60_000_000
UPDATES_KEPT = 50_000
SAMPLES = 6
"""Of a minute's mark and index candles."""


class Names:
    """Streams and book of one instrument."""

    def __init__(self, symbol: str) -> None:
        self.book = f"books:{symbol}"
        self.book5 = f"books5:{symbol}"
        self.bbo = f"bbo-tbt:{symbol}"
        self.trades = f"trades:{symbol}"
        self.trades_all = f"trades-all:{symbol}"
        self.ticker = f"tickers:{symbol}"
        self.mark = f"mark-price:{symbol}"
        self.funding = f"funding-rate:{symbol}"
        self.interest = f"open-interest:{symbol}"
        self.index_name = index_of(symbol)
        self.index = f"index-tickers:{self.index_name}"
        self.mark_candle = f"mark-price-candle1m:{symbol}"
        self.index_candle = f"index-candle1m:{self.index_name}"
        self.candles = tuple((bar, f"candle{bar}", f"candle{bar}:{symbol}") for bar in BARS)
        self.liquidations = f"liquidation-orders:{kind_of(symbol)}"
        self.view: TopView | None = None
        self.last_seq = 0
        self.last_sent_us = 0
        self.offset = 0
        """Taken off every id; grows at a reset."""
        self.updates: deque[tuple[int, int, int]] = deque(maxlen=UPDATES_KEPT)
        self.told_candles: dict[str, int] = {}
        self.told_mark_us = 0
        self.liquidation: Liquidation | None = None


class Publisher:
    """The market's sink."""

    def __init__(self, hub: Hub, market: Market) -> None:
        self.hub = hub
        self.market = market
        self.names = {symbol: Names(symbol) for symbol in market.symbols}
        self.indexes: dict[str, SymbolMarket] = {}
        """Each index, and whose ticks it is told in: not an option's, which is priced in the coin."""
        for each in market.order:
            if kind_of(each.instrument.symbol) != "OPTION":
                self.indexes.setdefault(self.of(each).index_name, each)
        self.days: dict[str, Day] = {}
        self.liquidations = Liquidations()

    def of(self, market: SymbolMarket) -> Names:
        return self.names[market.instrument.symbol]

    def send(self, stream: str, data: bytes) -> None:
        self.hub.publish(stream, lambda _: data)

    def seq(self, market: SymbolMarket) -> int:
        """The id of the book as it is now."""
        number = market.update_id
        return number * IDS_APART + (number * 0x9E3779B1 >> 7) % IDS_APART - self.of(market).offset

    # --- books --------------------------------------------------------------------------------------

    def view(self, market: SymbolMarket) -> TopView:
        """What those who follow `books` have now; begins with the book as it is."""
        names = self.of(market)
        if names.view is None:
            names.view = TopView(market, wire.BOOK_LEVELS)
            names.last_seq = self.seq(market)
            names.last_sent_us = market.at_us
        return names.view

    def followed(self, market: SymbolMarket) -> TopView | None:
        """The view, if anybody follows."""
        names = self.of(market)
        if names.book not in self.hub.subscribers:
            names.view = None
            return None
        return self.view(market)

    def on_depth(self, market: SymbolMarket, depth: Depth) -> None:
        names, subscribers = self.of(market), self.hub.subscribers
        if names.book in subscribers:
            self._book(market, names, depth.time_us)
        else:
            names.view = None
        if names.book5 in subscribers:
            self.send(names.book5, wire.books5(market, depth.time_us, self.seq(market)))
        if names.ticker in subscribers:
            self.send(names.ticker, wire.ticker(market, day_of(market, self.days), depth.time_us))
        if names.mark in subscribers and depth.time_us - names.told_mark_us >= MARK_US:
            self._mark(market, names, depth.time_us)

    def _book(self, market: SymbolMarket, names: Names, time_us: int) -> None:
        if names.view is None:
            self.view(market)  # somebody follows without a snapshot: changes are told from here on
            return
        changes = names.view.advance()
        if not changes.bids and not changes.asks:
            return
        self._update(
            market, names, time_us, self.seq(market),
            [(each.price, each.after) for each in changes.asks], [(each.price, each.after) for each in changes.bids],
        )  # fmt: skip

    def _update(
        self,
        market: SymbolMarket,
        names: Names,
        time_us: int,
        seq: int,
        asks: Sequence[tuple[int, int]],
        bids: Sequence[tuple[int, int]],
    ) -> None:
        previous, names.last_seq, names.last_sent_us = names.last_seq, seq, time_us
        names.updates.append((previous, seq, time_us // 1000))
        self.send(names.book, wire.book(market.instrument, "update", asks, bids, time_us, seq, previous))

    def snapshot(self, market: SymbolMarket) -> tuple[Levels, Levels, int]:
        """(asks, bids, id) as last told; of the book now when nobody follows."""
        view = self.followed(market)
        if view is None:
            view = TopView(market, wire.BOOK_LEVELS)
            return view.asks, view.bids, self.seq(market)
        return view.asks, view.bids, self.of(market).last_seq

    def reset(self, pattern: str) -> int:
        """Count anew from small ids: how many books."""
        struck = 0
        for market in self.market.order:
            names = self.of(market)
            if matches(pattern, names.book):
                names.offset += self.seq(market) - 1_000
                struck += 1
        return struck

    # --- first frames -------------------------------------------------------------------------------

    def joined(self, stream: str) -> Sequence[bytes]:
        """What a new subscriber is told at once."""
        channel, _, name = stream.partition(":")
        if channel == "instruments":
            listed = [
                describe(each.instrument) for each in self.market.order if kind_of(each.instrument.symbol) == name
            ]
            return (wire.frame(channel, "instType", name, wire.compact(listed)),) if listed else ()
        market = self.market.symbols.get(name)
        if market is None or channel in ("trades", "trades-all"):
            return ()
        if channel == "books":
            view, names, i = self.view(market), self.of(market), market.instrument
            asks, bids = view.asks.items(), view.bids.items()
            return (wire.book(i, "snapshot", asks, bids, names.last_sent_us, names.last_seq, -1),)
        now_us = market.at_us
        if channel == "books5":
            return (wire.books5(market, now_us, self.seq(market)),)
        if channel == "bbo-tbt":
            return (wire.bbo(market, now_us, self.seq(market)),)
        if channel == "tickers":
            return (wire.ticker(market, day_of(market, self.days), now_us),)
        rows = {"mark-price": wire.mark_row, "funding-rate": wire.funding_row, "open-interest": wire.interest_row}
        if channel in rows:
            return (wire.frame(channel, "instId", name, f"[{rows[channel](market, now_us)}]"),)
        return ()

    # --- other events -------------------------------------------------------------------------------

    def on_trades(self, market: SymbolMarket, trades: list[Trade], aggs: list[Agg]) -> None:
        names, subscribers = self.of(market), self.hub.subscribers
        if names.trades in subscribers:
            seq = self.seq(market)
            for agg in aggs:
                self.send(names.trades, wire.trades(market, agg, seq))
        if names.trades_all in subscribers:
            for trade in trades:
                self.send(names.trades_all, wire.trades_all(market, trade))
        found = self.liquidations.note(market, trades)
        if found is not None and names.liquidation is None:
            names.liquidation = found  # at most one a second is told

    def on_best(self, market: SymbolMarket, time_us: int) -> None:
        name = self.of(market).bbo
        if name in self.hub.subscribers:
            self.send(name, wire.bbo(market, time_us, self.seq(market)))

    def on_slow_depth(self, market: SymbolMarket, depth: Depth) -> None:
        """No channel has this pace."""

    def on_minute(self, market: SymbolMarket, closed: Bar, time_us: int) -> None:
        """Every candle that ends here is sent once more, closed; trades or not."""
        names, subscribers = self.of(market), self.hub.subscribers
        for bar, channel, stream in names.candles:
            opened = opened_ms(bar, closed.open_ms)
            if stream in subscribers and opened + SIZES_MS[bar] == time_us // 1000:
                self.send(stream, wire.candle(market, channel, whole(bar, opened, market.bars) or closed, closed=True))
        self._price_candles(market, names, closed.open_ms, time_us, closed=True)

    def on_second(self, market: SymbolMarket, time_us: int) -> None:
        names, subscribers = self.of(market), self.hub.subscribers
        if names.view is not None and names.book in subscribers and time_us - names.last_sent_us >= KEEP_ALIVE_US:
            self._update(market, names, time_us, names.last_seq, (), ())
        for bar, channel, stream in names.candles:
            if stream in subscribers and names.told_candles.get(bar) != market.trade_id and market.bar.count:
                names.told_candles[bar] = market.trade_id
                opened = opened_ms(bar, market.bar.open_ms)
                made = whole(bar, opened, (*market.bars, market.bar)) if bar != "1m" else market.bar
                self.send(stream, wire.candle(market, channel, made or market.bar, closed=False))
        self._price_candles(market, names, market.bar.open_ms, time_us, closed=False)
        if names.index in subscribers and self.indexes.get(names.index_name) is market:
            row = wire.index_row(market, names.index_name, time_us)
            self.send(names.index, wire.frame("index-tickers", "instId", names.index_name, f"[{row}]"))
        if market.instrument.contract is not None:
            self._contract(market, names, time_us)

    def _contract(self, market: SymbolMarket, names: Names, time_us: int) -> None:
        symbol, second, subscribers = market.instrument.symbol, time_us // 1_000_000, self.hub.subscribers
        if names.mark in subscribers and time_us - names.told_mark_us >= MARK_US:
            self._mark(market, names, time_us)
        if names.interest in subscribers and second * 1_000_000 % INTEREST_US == 0:
            self.send(
                names.interest, wire.frame("open-interest", "instId", symbol, f"[{wire.interest_row(market, time_us)}]")
            )
        if names.funding in subscribers and second * 1_000_000 % FUNDING_US == 0:
            self.send(
                names.funding, wire.frame("funding-rate", "instId", symbol, f"[{wire.funding_row(market, time_us)}]")
            )
        if names.liquidation is not None:
            found, names.liquidation = names.liquidation, None
            if names.liquidations in subscribers:
                self.send(names.liquidations, wire.liquidation(market, found))

    def _mark(self, market: SymbolMarket, names: Names, time_us: int) -> None:
        names.told_mark_us = time_us
        row = wire.mark_row(market, time_us)
        self.send(names.mark, wire.frame("mark-price", "instId", market.instrument.symbol, f"[{row}]"))

    def _price_candles(self, market: SymbolMarket, names: Names, opened: int, time_us: int, *, closed: bool) -> None:
        """Sampled: marks of the past are not kept."""
        end_us = (opened + MINUTE_MS) * 1000 if closed else time_us
        times = [opened * 1000 + (end_us - opened * 1000) * part // SAMPLES for part in range(SAMPLES + 1)]
        i, subscribers = market.instrument, self.hub.subscribers
        if names.mark_candle in subscribers:
            values = [wire.px(i, round(market.fair_at(at))) for at in times]
            self.send(
                names.mark_candle, wire.price_candle("mark-price-candle1m", i.symbol, opened, values, closed=closed)
            )
        if names.index_candle in subscribers and self.indexes.get(names.index_name) is market:
            values = [wire.px(i, round(derivatives.index_ticks(market, at))) for at in times]
            candle = wire.price_candle("index-candle1m", names.index_name, opened, values, closed=closed)
            self.send(names.index_candle, candle)
