"""What a venue has shown of a book: the state its next increment is relative to."""

from __future__ import annotations

from typing import NamedTuple

from simulator.market.book import Side
from simulator.market.symbol import Depth, SymbolMarket

Levels = dict[int, int]
"""Quantity by price, best price first."""


class Change(NamedTuple):
    """One level between two states. Quantity 0: not there."""

    price: int
    before: int
    after: int


class Changes(NamedTuple):
    """Changes of both sides, best prices first."""

    bids: list[Change]
    asks: list[Change]


def top(market: SymbolMarket, count: int) -> tuple[Levels, Levels]:
    """The best `count` levels of both sides."""
    return {-key: qty for key, qty in market.bids.levels(count)}, dict(market.asks.levels(count))


class TopView:
    """The best `depth` levels, as of the last `advance`.

    A level that better ones pushed out of the window is not told: whoever follows cuts to `depth` after each
    increment and has the same window again.
    """

    def __init__(self, market: SymbolMarket, depth: int) -> None:
        self.market = market
        self.depth = depth
        self.bids, self.asks = top(market, depth)

    def advance(self) -> Changes:
        """Move to the window as it is now: what differs."""
        bids, asks = top(self.market, self.depth)
        changes = Changes(
            _difference(self.bids, bids, self.market.bids), _difference(self.asks, asks, self.market.asks)
        )
        self.bids, self.asks = bids, asks
        return changes


def _difference(old: Levels, new: Levels, side: Side) -> list[Change]:
    out = [Change(price, old.get(price, 0), qty) for price, qty in new.items() if old.get(price, 0) != qty]
    out += [Change(price, qty, 0) for price, qty in old.items() if price not in new and not side.get(side.sign * price)]
    out.sort(key=lambda change: side.sign * change.price)
    return out


class WholeView:
    """Every level of a book of bounded depth, as of the last batch of changes."""

    def __init__(self, market: SymbolMarket) -> None:
        bids, asks = market.bids, market.asks
        self.bids, self.asks = top(market, bids.last_key - bids.origin + asks.last_key - asks.origin)

    def advance(self, depth: Depth) -> Changes:
        """Take a batch; levels that came and went within it are not told."""
        return Changes(_apply(self.bids, depth.bids), _apply(self.asks, depth.asks))


def _apply(held: Levels, batch: tuple[tuple[int, int], ...]) -> list[Change]:
    out = []
    for price, qty in batch:
        before = held.get(price, 0)
        if before == qty:
            continue
        if qty:
            held[price] = qty
        else:
            del held[price]
        out.append(Change(price, before, qty))
    return out
