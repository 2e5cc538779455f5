"""The market's events as Kraken's frames: each depth somebody has follows its own window of the book."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from simulator.faults import matches
from simulator.hub import Hub
from simulator.kraken import wire
from simulator.kraken.session import DEPTHS
from simulator.market.candles import Bar
from simulator.market.market import Market
from simulator.market.symbol import Agg, Depth, SymbolMarket, Trade
from simulator.market.view import Change, TopView
from simulator.sent import Updates

SNAPSHOT_TRADES = 50
APART_US = 7
"""Between the two frames of one change of both sides."""
BOTH_SIDES_EVERY = 700
"""One update in so many carries both sides (recorded: 5 of 3,493), the others one side each."""
TWICE_EVERY = 9
"""One update in so many names a price twice: only the last counts."""


class Publisher:
    """The market's sink."""

    def __init__(self, hub: Hub, market: Market) -> None:
        self.hub = hub
        self.market = market
        self.views: dict[tuple[str, int], TopView] = {}
        self.updates = Updates()

    # --- first frames -------------------------------------------------------------------------------

    def joined(self, stream: str) -> Sequence[bytes]:
        """Snapshots, for the streams that begin with one."""
        kind, _, rest = stream.partition(".")
        if kind == "trade":
            market = self.market.symbols.get(rest.removesuffix("/snapshot"))
            if market is None or not rest.endswith("/snapshot"):
                return ()
            return (wire.trades("snapshot", market.instrument, list(market.trades)[-SNAPSHOT_TRADES:]),)
        depth_text, _, name = rest.partition(".")
        market = self.market.symbols.get(name.removesuffix("/bare"))
        if market is None:
            return ()
        view = self.views.setdefault((market.instrument.symbol, int(depth_text)), TopView(market, int(depth_text)))
        return () if name.endswith("/bare") else (self.snapshot(market, view),)

    def snapshot(self, market: SymbolMarket, view: TopView) -> bytes:
        """The window as it was last told."""
        i = market.instrument
        crc = wire.checksum(i, view.bids, view.asks)
        return wire.book("snapshot", i, view.bids.items(), view.asks.items(), crc, market.at_us)

    def reset(self, pattern: str) -> int:
        """Send whole books in mid-stream, as after a restart of the venue's: how many streams had one."""
        struck = 0
        for (name, depth), view in self.views.items():
            market = self.market.symbols[name]
            stream = f"book.{depth}.{name}"
            if matches(pattern, stream) and stream in self.hub.subscribers:
                view.advance()
                self._send(stream, self.snapshot(market, view))
                struck += 1
        return struck

    # --- events -------------------------------------------------------------------------------------

    def on_trades(self, market: SymbolMarket, trades: list[Trade], aggs: list[Agg]) -> None:
        del aggs
        stream = f"trade.{market.instrument.symbol}"
        make = partial(wire.trades, "update", market.instrument, trades)
        for name in (stream, stream + "/snapshot"):
            self.hub.publish(name, lambda _: make())

    def on_depth(self, market: SymbolMarket, depth: Depth) -> None:
        symbol = market.instrument.symbol
        for count in DEPTHS:
            stream = f"book.{count}.{symbol}"
            if not (self.hub.wanted(stream) or self.hub.wanted(stream + "/bare")):
                self.views.pop((symbol, count), None)
                continue
            view = self.views.get((symbol, count))
            if view is None:  # joined without a snapshot
                self.views[symbol, count] = TopView(market, count)
                continue
            for shift_us, frame in enumerate(updates(market, view, depth)):
                self.updates.note(stream, -1, depth.time_us + shift_us * APART_US, depth.time_us // 1000)
                self._send(stream, frame)

    def _send(self, stream: str, frame: bytes) -> None:
        self.hub.publish(stream, lambda _: frame)
        self.hub.publish(stream + "/bare", lambda _: frame)

    def on_best(self, market: SymbolMarket, time_us: int) -> None: ...

    def on_slow_depth(self, market: SymbolMarket, depth: Depth) -> None: ...

    def on_minute(self, market: SymbolMarket, closed: Bar, time_us: int) -> None: ...

    def on_second(self, market: SymbolMarket, time_us: int) -> None: ...


def updates(market: SymbolMarket, view: TopView, depth: Depth) -> list[bytes]:
    """Frames that lead from what the view showed to the book now, each with the checksum after itself."""
    i = market.instrument
    bids_before, asks_before = view.bids, view.asks
    changes = view.advance()
    if changes.bids and changes.asks and depth.last_id % BOTH_SIDES_EVERY:
        bids, asks = _rows(changes.bids, depth.last_id + 1), _rows(changes.asks, depth.last_id)
        # The side that gives way comes first: between the two frames the book is not crossed.
        bids_first = next(iter(view.asks), 0) <= next(iter(bids_before), 0)
        between = (view.bids, asks_before) if bids_first else (bids_before, view.asks)
        first, second = wire.checksum(i, *between), wire.checksum(i, view.bids, view.asks)
        none: list[tuple[int, int]] = []
        sooner, later = ((bids, none), (none, asks)) if bids_first else ((none, asks), (bids, none))
        return [
            wire.book("update", i, sooner[0], sooner[1], first, depth.time_us),
            wire.book("update", i, later[0], later[1], second, depth.time_us + APART_US),
        ]
    if not changes.bids and not changes.asks:
        return []
    crc = wire.checksum(i, view.bids, view.asks)
    rows = _rows(changes.bids, depth.last_id), _rows(changes.asks, depth.last_id)
    return [wire.book("update", i, *rows, crc, depth.time_us)]


def _rows(changes: list[Change], salt: int) -> list[tuple[int, int]]:
    """Price and quantity; now and then a step in between before the last word on a price."""
    out = [(change.price, change.after) for change in changes]
    if salt % TWICE_EVERY == 0:
        for place, change in enumerate(changes):
            if change.before > 1 and change.after:
                out.insert(place, (change.price, (change.before + change.after) // 2))
                break
    return out
