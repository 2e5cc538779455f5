"""All symbols together, stepped in the order of time."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Sequence

from simulator.market.arrivals import BRANCHING
from simulator.market.candles import Bar
from simulator.market.instruments import Instrument, activity, make_instrument
from simulator.market.symbol import QUIET_TAKER_SHARE, TAKER_SHARE, Agg, Depth, Sink, SymbolMarket, Trade

TRADES_MAX_TOTAL = 1_000_000
BARS_MAX_TOTAL = 400_000
BARS_MAX = 1_500
TRADES_MAX = 50_000


class Deaf:
    """A sink for stretches nobody listens to (rebuilding state after a crash)."""

    def on_trades(self, market: SymbolMarket, trades: list[Trade], aggs: list[Agg]) -> None: ...

    def on_best(self, market: SymbolMarket, time_us: int) -> None: ...

    def on_depth(self, market: SymbolMarket, depth: Depth) -> None: ...

    def on_slow_depth(self, market: SymbolMarket, depth: Depth) -> None: ...

    def on_minute(self, market: SymbolMarket, closed: Bar, time_us: int) -> None: ...

    def on_second(self, market: SymbolMarket, time_us: int) -> None: ...


def rates(symbols: Sequence[str], quiet: list[bool], frames_per_s: float) -> list[float]:
    """Book changes a second per symbol so that trade, aggTrade, bookTicker, depth@100ms, kline_1m and ticker together
    make about `frames_per_s`. The shares are measured (tests compare)."""

    def frames(ops: float, taker: float) -> float:
        bursts = ops * (1 - BRANCHING)
        batches = 10 * (1 - math.exp(-bursts / 8))
        seconds = 1 - math.exp(-bursts)
        takers = ops * taker
        return takers * 3.9 + ops * 0.26 + batches + seconds * 0.8 + min(0.5, takers)

    low, high = 0.0, 10.0 * frames_per_s + 1.0
    for _ in range(60):
        middle = (low + high) / 2
        total = sum(
            frames(ops, QUIET_TAKER_SHARE if still else TAKER_SHARE)
            for ops, still in zip(activity(len(symbols), quiet, middle), quiet, strict=True)
        )
        low, high = (middle, high) if total < frames_per_s else (low, middle)
    return activity(len(symbols), quiet, low)


class Market:
    """The exchange's matching of all symbols. `advance` is the only way on."""

    def __init__(
        self,
        symbols: Sequence[str],
        seed: int,
        frames_per_s: float,
        at_us: int,
        make: Callable[[int, str, int], Instrument] = make_instrument,
        venue: str = "spot",
    ) -> None:
        instruments = [make(index, symbol, seed) for index, symbol in enumerate(symbols)]
        count = max(1, len(instruments))
        self.rates = rates(symbols, [instrument.quiet for instrument in instruments], frames_per_s)
        self.symbols = {
            instrument.symbol: SymbolMarket(
                instrument,
                rate,
                seed,
                at_us,
                venue=venue,
                trades_max=max(200, min(TRADES_MAX, TRADES_MAX_TOTAL // count)),
                bars_max=max(60, min(BARS_MAX, BARS_MAX_TOTAL // count)),
            )
            for instrument, rate in zip(instruments, self.rates, strict=True)
        }
        self.order = list(self.symbols.values())
        self.at_us = at_us
        self.rebuild()

    def rebuild(self) -> None:
        """Queue every symbol anew, after states were restored."""
        self._due = [(symbol.next_us, symbol.instrument.index) for symbol in self.order]
        heapq.heapify(self._due)

    def advance(self, to_us: int, sink: Sink) -> None:
        """Everything up to and including `to_us`, in order of time over all symbols."""
        due = self._due
        order = self.order
        while due and due[0][0] <= to_us:
            index = due[0][1]
            symbol = order[index]
            symbol.step(sink)
            heapq.heapreplace(due, (symbol.next_us, index))
        self.at_us = max(self.at_us, to_us)

    def skip_to(self, at_us: int) -> None:
        """Stand still until `at_us` (downtime)."""
        for symbol in self.order:
            symbol.skip_to(at_us)
        self.at_us = max(self.at_us, at_us)
        self.rebuild()
