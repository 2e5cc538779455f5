"""What GET /sim/sent answers with, as far as venues do it alike."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from simulator.dialect import Desk
from simulator.market.symbol import SymbolMarket, Trade
from simulator.rest_params import Query, invalid_symbol

UPDATES_MAX = 20_000
"""Book updates remembered of one topic: over half an hour of ten a second."""
LIMIT_MAX = 1_000_000


class Update(NamedTuple):
    """A book update as it was published: numbers of the wire. -1: the venue has no such number."""

    previous_id: int
    id: int
    time_ms: int


class Updates:
    """Book updates of a venue by topic, whether or not a fault let them through."""

    def __init__(self) -> None:
        self.of: dict[str, deque[Update]] = {}

    def note(self, topic: str, previous_id: int, update_id: int, time_ms: int) -> None:
        self.of.setdefault(topic, deque(maxlen=UPDATES_MAX)).append(Update(previous_id, update_id, time_ms))

    def rows(self, topic: str, values: dict[str, str]) -> list[Update]:
        """Those with id >= `from`, at most `limit`."""
        query = Query(values)
        start, limit = query.number("from") or 0, query.limit(1000, LIMIT_MAX)
        return [each for each in self.of.get(topic, ()) if each.id >= start][:limit]


def market_of(desk: Desk, values: dict[str, str]) -> SymbolMarket:
    """The market named by `symbol`. Raises ApiError."""
    found = desk.market.symbols.get(Query(values).text("symbol"))
    if found is None:
        raise invalid_symbol()
    return found


def trades_from(desk: Desk, market: SymbolMarket, values: dict[str, str]) -> list[Trade]:
    """Trades with the market's own id >= `from`, from disk where memory does not reach back so far; at most
    `limit`. Raises ApiError."""
    query = Query(values)
    start, limit = query.number("from") or 0, query.limit(1000, LIMIT_MAX)
    held = market.trades
    if held and start < held[0].id:
        stored = desk.store.trades(desk.history_number(market.instrument.symbol), start, limit)
        if stored:
            last = stored[-1].id
            return [*stored, *(trade for trade in held if trade.id > last)][:limit]
    return [trade for trade in held if trade.id >= start][:limit]
