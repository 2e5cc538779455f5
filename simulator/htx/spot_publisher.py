"""The market's events as HTX spot's frames."""

from __future__ import annotations

from collections.abc import Callable

from simulator.faults import matches
from simulator.htx import spot_wire as wire
from simulator.htx.candles import PERIODS, current, ending, opened_ms
from simulator.hub import Hub
from simulator.market.candles import Bar
from simulator.market.market import Market
from simulator.market.symbol import Agg, Depth, SymbolMarket, Trade
from simulator.market.ticker import Day, day_of
from simulator.market.view import Change, TopView
from simulator.sent import Updates

MBP_LEVELS = (5, 20, 150)
RESET_JUMP = 1_000_000_000
"""What sequence numbers skip when the venue counts anew."""


class MbpBook:
    """What one `mbp` topic told: its window, the number of its last update, and when that was."""

    def __init__(self, market: SymbolMarket, levels: int, seq: int) -> None:
        self.view = TopView(market, levels)
        self.seq = self.before = seq
        self.updated_ms = 0


class SpotPublisher:
    """The market's sink."""

    def __init__(self, hub: Hub, market: Market) -> None:
        self.hub = hub
        self.market = market
        self.books: dict[str, MbpBook] = {}
        self.jumps: dict[str, int] = {}
        self.days: dict[str, Day] = {}
        self.told: dict[str, int] = {}
        self.updates = Updates()

    def publish(self, topic: str, ts_us: int, tick: Callable[[], str]) -> None:
        self.hub.publish(topic, lambda _: wire.data(topic, ts_us // 1000, tick()))

    # --- books --------------------------------------------------------------------------------------

    def book(self, market: SymbolMarket, levels: int) -> MbpBook:
        """The state of a topic, begun now if nobody had it."""
        symbol = market.instrument.symbol
        topic = f"market.{symbol.lower()}.mbp.{levels}"
        held = self.books.get(topic)
        if held is None:
            held = self.books[topic] = MbpBook(market, levels, market.flushed_id + self.jumps.get(symbol, 0))
        return held

    def refresh(self, market: SymbolMarket, levels: int, since_ms: int | None) -> str:
        """`data` of an answer: the book as last told, under the last update's number. Asked for by a subscriber
        before its first update, it carries a number no update refers to: clients have to ask again."""
        held = self.book(market, levels)
        i = market.instrument
        misaligned = since_ms is not None and held.updated_ms <= since_ms
        bids, asks = wire.levels(i, held.view.bids.items()), wire.levels(i, held.view.asks.items())
        return wire.refresh(held.before - 1 if misaligned else held.seq, bids, asks)

    def reset(self, pattern: str) -> int:
        """Let sequence numbers jump: the next update does not refer to the one before it."""
        struck = 0
        for topic, held in self.books.items():
            if matches(pattern, topic):
                symbol = held.view.market.instrument.symbol
                self.jumps[symbol] = self.jumps.get(symbol, 0) + RESET_JUMP
                struck += 1
        for held in self.books.values():
            held.seq = held.before = held.view.market.flushed_id + self.jumps.get(held.view.market.instrument.symbol, 0)
        return struck

    def on_depth(self, market: SymbolMarket, depth: Depth) -> None:
        low = market.instrument.symbol.lower()
        for levels in MBP_LEVELS:
            topic = f"market.{low}.mbp.{levels}"
            if not self.hub.wanted(topic):
                self.books.pop(topic, None)
                continue
            held = self.book(market, levels)
            changes = held.view.advance()
            seq = depth.last_id + self.jumps.get(market.instrument.symbol, 0)
            if levels != 150 and not changes.bids and not changes.asks:
                continue
            previous, held.before, held.seq = held.seq, held.seq, seq
            held.updated_ms = depth.time_us // 1000
            self.updates.note(topic, previous, seq, held.updated_ms)
            self._increment(market, topic, levels, (seq, previous), changes.bids, changes.asks)

    def _increment(
        self,
        market: SymbolMarket,
        topic: str,
        levels: int,
        ids: tuple[int, int],
        bids: list[Change],
        asks: list[Change],
    ) -> None:
        i = market.instrument

        def side(changes: list[Change]) -> str:
            return wire.levels(i, ((change.price, change.after) for change in changes))

        if levels == 150:
            tick = wire.increment(*ids, side(bids), side(asks))
        else:
            tick = wire.changed_sides(*ids, side(bids) if bids else None, side(asks) if asks else None)
        self.publish(topic, market.at_us, lambda: tick)

    # --- the rest -----------------------------------------------------------------------------------

    def on_trades(self, market: SymbolMarket, trades: list[Trade], aggs: list[Agg]) -> None:
        del aggs
        i = market.instrument
        topic = f"market.{i.symbol.lower()}.trade.detail"
        self.publish(topic, trades[-1].time_us + 2_000, lambda: wire.trades(i, trades))

    def on_best(self, market: SymbolMarket, time_us: int) -> None:
        topic = f"market.{market.instrument.symbol.lower()}.bbo"
        self.publish(topic, time_us + 2_000, lambda: wire.bbo(market, time_us))

    def on_slow_depth(self, market: SymbolMarket, depth: Depth) -> None: ...

    def on_minute(self, market: SymbolMarket, closed: Bar, time_us: int) -> None:
        """What the closed minute still had to say."""
        self._klines(market, time_us, closed)

    def on_second(self, market: SymbolMarket, time_us: int) -> None:
        """Candles and 24 h figures, where something changed."""
        self._klines(market, time_us, None)
        low = market.instrument.symbol.lower()
        detail, ticker = f"market.{low}.detail", f"market.{low}.ticker"
        if not (self.hub.wanted(detail) or self.hub.wanted(ticker)):
            return
        if self.told.get(detail) == market.update_id:
            return
        self.told[detail] = market.update_id
        day = day_of(market, self.days)
        self.publish(detail, time_us, lambda: wire.detail(market, day))
        self.publish(ticker, time_us, lambda: wire.ticker(market, day))

    def _klines(self, market: SymbolMarket, time_us: int, closed: Bar | None) -> None:
        low = market.instrument.symbol.lower()
        for period in PERIODS:
            topic = f"market.{low}.kline.{period}"
            if topic not in self.hub.subscribers or self.told.get(topic) == market.trade_id:
                continue
            if closed is None and not market.bar.count:
                continue
            self.told[topic] = market.trade_id
            bar = current(market, period) if closed is None else ending(market, period, closed)
            tick = wire.kline(market.instrument, bar, opened_ms(period, bar.open_ms) // 1000)
            self.publish(topic, time_us, lambda tick=tick: tick)  # type: ignore[misc]
