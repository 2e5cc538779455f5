"""Books as they are told: changes chained by ids at two paces, and windows of a few grouped levels.

`100ms` and `raw` have the changes of each batch, `agg2` those of each second: every pace is a chain of its own over one
counter of change ids that all books share.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from typing import NamedTuple

from simulator.deribit import wire
from simulator.deribit.instruments import parse
from simulator.faults import matches
from simulator.hub import Hub
from simulator.market.instruments import E8
from simulator.market.market import Market
from simulator.market.symbol import Depth, SymbolMarket
from simulator.market.view import Change, Changes, Levels, WholeView
from simulator.sent import Updates

Pace = tuple[str, ...]
FAST: Pace = ("100ms", "raw")
SLOW: Pace = ("agg2",)
INTERVALS = FAST + SLOW
CHANGE_ID_BASE = 100_000_000_000
RESET_STEP = 7_000_000_000
GROUPS_E8 = {
    "BTC": {str(dollars): dollars * E8 for dollars in (1, 2, 5, 10)},
    "ETH": {str(cents): cents * E8 // 100 for cents in (5, 10, 25, 100, 250)},
}
"""Widths of grouped levels beside `none`, by coin; only multiples of the tick exist."""
DEPTHS = (1, 10, 20)


class Shown:
    """What was told of a book: its levels and the id of the last change."""

    def __init__(self, market: SymbolMarket, change_id: int) -> None:
        self.view = WholeView(market)
        self.change_id = change_id


class Window(NamedTuple):
    """A grouped channel: levels of `ticks` width, the best `depth` of them."""

    channel: str
    ticks: int
    depth: int


class Books:
    """Of all instruments."""

    def __init__(self, hub: Hub, market: Market) -> None:
        self.hub = hub
        self.market = market
        self.change_id = CHANGE_ID_BASE + sum(each.update_id for each in market.order)
        self.held: dict[tuple[str, Pace], Shown] = {}
        self.last_change: dict[tuple[str, Pace], int] = {}
        self.windows = {(symbol, pace): _windows(each, pace) for symbol, each in market.symbols.items()
                        for pace in (FAST, SLOW)}  # fmt: skip
        self.grouped = {
            window.channel: (market.symbols[symbol], window)
            for (symbol, _), windows in self.windows.items()
            for window in windows
        }
        self.told: dict[str, tuple[Levels, Levels]] = {}
        """By grouped channel: a still book is not told again."""
        self.updates = Updates()

    def shown(self, market: SymbolMarket, pace: Pace = FAST) -> Shown:
        key = market.instrument.symbol, pace
        held = self.held.get(key)
        if held is None:
            held = self.held[key] = Shown(market, self.last_change.setdefault(key, self.change_id))
        return held

    def snapshot(self, market: SymbolMarket, channel: str) -> bytes:
        """The book as last told: one per subscription."""
        held = self.shown(market, FAST if channel.rpartition(".")[2] in FAST else SLOW)
        i, view = market.instrument, held.view
        data = wire.book_snapshot(i, held.change_id, market.at_us // 1000, view.bids, view.asks)
        return wire.subscription(channel, data)

    def window(self, channel: str) -> bytes:
        """A grouped channel's levels now."""
        market, window = self.grouped[channel]
        return wire.subscription(channel, self._window_data(market, _levels(market, window)))

    def _window_data(self, market: SymbolMarket, levels: tuple[Levels, Levels]) -> str:
        bids, asks = (side.items() for side in levels)
        return wire.book_window(market.instrument, self.change_id, market.at_us // 1000, bids, asks)

    # --- changes ------------------------------------------------------------------------------------

    def advance(self, market: SymbolMarket, depth: Depth, pace: Pace) -> None:
        """A batch of the book's changes at this pace."""
        if pace is FAST:
            self.change_id += depth.last_id - depth.first_id + 1
        key = market.instrument.symbol, pace
        if not any(self.hub.wanted(channel) for channel in _channels(*key)):
            self.held.pop(key, None)
            self.last_change[key] = self.change_id
        elif (held := self.held.get(key)) is not None:
            self._tell(market, pace, held, held.view.advance(depth), depth.time_us)
        else:  # joined without a snapshot
            self.shown(market, pace).change_id = self.last_change[key] = self.change_id
        for window in self.windows[key]:
            if window.channel in self.hub.subscribers:
                self._tell_window(market, window, _levels(market, window))
            else:
                self.told.pop(window.channel, None)

    def clear(self, market: SymbolMarket, time_us: int) -> None:
        """The instrument is over: every level goes, and the chains end."""
        self.change_id += 1
        for pace in (FAST, SLOW):
            key = market.instrument.symbol, pace
            if (held := self.held.pop(key, None)) is not None:
                self._tell(market, pace, held, Changes(_gone(held.view.bids), _gone(held.view.asks)), time_us)
            for window in self.windows[key]:
                self._tell_window(market, window, ({}, {}))
                self.told.pop(window.channel, None)

    def _tell(self, market: SymbolMarket, pace: Pace, held: Shown, changes: Changes, time_us: int) -> None:
        if not changes.bids and not changes.asks:
            return
        symbol = market.instrument.symbol
        previous, held.change_id = held.change_id, self.change_id
        self.last_change[symbol, pace] = self.change_id
        if pace is FAST:
            self.updates.note(symbol, previous, self.change_id, time_us // 1000)
        data = wire.book_change(
            market.instrument, self.change_id, previous, time_us // 1000, changes.bids, changes.asks
        )
        for channel in _channels(symbol, pace):
            self._send(channel, data)

    def _tell_window(self, market: SymbolMarket, window: Window, levels: tuple[Levels, Levels]) -> None:
        if self.told.get(window.channel) != levels:
            self.told[window.channel] = levels
            self._send(window.channel, self._window_data(market, levels))

    def _send(self, channel: str, data: str) -> None:
        self.hub.publish(channel, lambda _: wire.subscription(channel, data))

    def reset(self, pattern: str) -> int:
        """Change ids count anew from far below, if a book of that pattern is listened to. There is one counter: all
        books go on from a snapshot in mid-stream."""
        told = [
            (market, pace, channel)
            for symbol, market in self.market.symbols.items()
            for pace in (FAST, SLOW)
            for channel in _channels(symbol, pace)
            if channel in self.hub.subscribers
        ]
        if not any(matches(pattern, channel) for _, _, channel in told):
            return 0
        self.change_id -= RESET_STEP
        for market, pace, channel in told:
            self.shown(market, pace).change_id = self.last_change[market.instrument.symbol, pace] = self.change_id
            self.hub.publish(channel, partial(_constant, self.snapshot(market, channel)))
        return len(told)


def _constant(frame: bytes, unit: int) -> bytes:
    del unit
    return frame


def _gone(side: Levels) -> list[Change]:
    return [Change(price, qty, 0) for price, qty in side.items()]


def _channels(symbol: str, pace: Pace) -> Iterator[str]:
    return (f"book.{symbol}.{interval}" for interval in pace)


def _windows(market: SymbolMarket, pace: Pace) -> tuple[Window, ...]:
    """The grouped channels of an instrument; there are none with `raw`."""
    i = market.instrument
    listing = parse(i.symbol)
    groups = {"none": i.tick_e8} | ({} if listing.kind == "option" else GROUPS_E8.get(listing.base, {}))
    return tuple(
        Window(f"book.{i.symbol}.{name}.{depth}.{pace[0]}", width_e8 // i.tick_e8, depth)
        for name, width_e8 in groups.items()
        if width_e8 % i.tick_e8 == 0
        for depth in DEPTHS
    )


def _levels(market: SymbolMarket, window: Window) -> tuple[Levels, Levels]:
    """Bids stand at the lower end of their group, asks at the upper one: at no better price than the orders have."""
    many = window.depth * window.ticks
    bids = ((-key // window.ticks * window.ticks, qty) for key, qty in market.bids.levels(many))
    asks = ((-(-key // window.ticks) * window.ticks, qty) for key, qty in market.asks.levels(many))
    return _best(bids, window.depth), _best(asks, window.depth)


def _best(rows: Iterable[tuple[int, int]], depth: int) -> Levels:
    out: Levels = {}
    for price, qty in rows:
        if price not in out and len(out) == depth:
            break
        out[price] = out.get(price, 0) + qty
    return out
