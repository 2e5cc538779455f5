"""Data of contracts beside their trades: index, mark, funding, open interest, liquidations, ratios.

Functions of seed, time and the market, so that nothing is stored and every reader sees the same. Prices are floats of
ticks where they are not traded ones: round them to the venue's places when they are written.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from simulator.market.instruments import E8
from simulator.market.reference import coin_factor, key_of, noise
from simulator.market.symbol import SymbolMarket, Trade

HOUR_US = 3_600_000_000
FUNDING_INTERVAL_US = 8 * HOUR_US
LIQUIDATION_LEVELS = 3
"""A taker that eats through so many price levels may be a liquidation."""
LIQUIDATION_SHARE = 8
"""One in so many of them is."""
LIQUIDATIONS_MAX = 1_000


class Liquidation(NamedTuple):
    """A forced taker order. Units as in `Trade`; it sold when `is_sell`: a long was liquidated."""

    id: int
    """Of its first trade."""
    time_us: int
    is_sell: bool
    price: int
    """Of its last fill, in ticks."""
    qty: int
    average: float


class Funding(NamedTuple):
    """Of a perpetual; rates are shares of the position, paid by longs when positive."""

    rate: float
    """Of the interval that ends at `time_us`."""
    time_us: int
    """The next settlement."""
    next_time_us: int
    previous_rate: float
    previous_time_us: int


def index_ticks(market: SymbolMarket, at_us: int) -> float:
    """The coin's common price in ticks: no venue's own."""
    i = market.instrument
    return i.first_price * coin_factor(market.seed, i.base, at_us) / coin_factor(market.seed, i.quote, at_us)


def mark_ticks(market: SymbolMarket, at_us: int) -> float:
    """Between the book's middle and the fair price, so that it moves more calmly than trades."""
    bid, _, ask, _ = market.best
    return (bid + ask + 2.0 * market.fair_at(at_us)) / 4.0


def _rate(market: SymbolMarket, settled_us: int) -> float:
    key = key_of(market.seed, market.venue, market.instrument.symbol, "funding")
    return 0.0001 + 0.0003 * noise(key, settled_us, 3 * FUNDING_INTERVAL_US)


def funding(market: SymbolMarket, at_us: int, interval_us: int = FUNDING_INTERVAL_US) -> Funding:
    """At a time: what is due next. The rate drifts towards the settled one during the interval."""
    before = at_us // interval_us * interval_us
    due = before + interval_us
    open_share = (due - at_us) / interval_us
    key = key_of(market.seed, market.venue, market.instrument.symbol, "premium")
    rate = _rate(market, due) + open_share * 0.00005 * noise(key, at_us, HOUR_US)
    return Funding(rate, due, due + interval_us, _rate(market, before), before)


def open_interest(market: SymbolMarket, at_us: int) -> int:
    """Contracts open, in steps of quantity (one side counted)."""
    key = key_of(market.seed, market.venue, market.instrument.symbol, "open interest")
    size = 40_000 * market.instrument.typical_qty
    return int(size * (1.0 + 0.2 * noise(key, at_us, 6 * HOUR_US) + 0.01 * noise(key + 1, at_us, 20_000_000)))


def long_share(market: SymbolMarket, kind: str, at_us: int) -> float:
    """Share of longs, 0.3 to 0.7; `kind` tells accounts, top traders' positions... apart."""
    key = key_of(market.seed, market.venue, market.instrument.symbol, kind)
    return 0.5 + 0.15 * noise(key, at_us, 4 * HOUR_US) + 0.05 * noise(key + 1, at_us, 300_000_000)


def value_e8(market: SymbolMarket, steps: int, price: float) -> tuple[int, int]:
    """Base and quote amount in 1e-8 of a quantity in steps at a price in ticks."""
    i = market.instrument
    wire = steps * i.step_e8
    dollars = price * i.tick_e8 / E8
    if i.contract is None:
        return wire, int(wire * dollars)
    amount = wire * i.contract.value_e8 // E8
    return (int(amount / dollars), amount) if i.contract.inverse else (amount, int(amount * dollars))


class Liquidations:
    """Finds liquidations among a venue's trades: big takers, by a draw on their ids."""

    def __init__(self) -> None:
        self.of: dict[str, deque[Liquidation]] = {}

    def note(self, market: SymbolMarket, trades: list[Trade]) -> Liquidation | None:
        """The liquidation these fills of one taker are; None: an ordinary order."""
        first, last = trades[0], trades[-1]
        if market.instrument.contract is None or last.agg_id - first.agg_id + 1 < LIQUIDATION_LEVELS:
            return None
        if (first.agg_id * 0x9E3779B97F4A7C15 >> 32) % LIQUIDATION_SHARE:
            return None
        qty = sum(trade.qty for trade in trades)
        average = sum(trade.qty * trade.price for trade in trades) / qty
        found = Liquidation(first.id, first.time_us, first.buyer_is_maker, last.price, qty, average)
        self.of.setdefault(market.instrument.symbol, deque(maxlen=LIQUIDATIONS_MAX)).append(found)
        return found
