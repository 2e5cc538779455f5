"""What state each instrument is in. Told on `instrument.state`, in tickers and in listings.

At 08:00 UTC all are at `settlement` for a moment; those that expire then are `delivered` after it. The fault
`instrument_state` puts any instrument into any state, also back to `open`: that is how one is created.
"""

from __future__ import annotations

from typing import Any

from simulator.deribit.instruments import parse
from simulator.market.market import Market

ENDED = frozenset(("delivered", "inactive", "archivized"))
"""No longer traded, and listed as expired alone."""
DAY_MS = 86_400_000
SETTLEMENT_MS = 8 * 3_600_000
"""Of each day, when it begins; how long it takes is not documented."""
SETTLEMENT_LASTS_MS = 3_000


def state_at(symbol: str, at_ms: int) -> str:
    """By the clock alone."""
    expiry_ms = parse(symbol).expiry_ms
    if expiry_ms and at_ms >= expiry_ms + SETTLEMENT_LASTS_MS:
        return "delivered"
    settles = 0 <= at_ms % DAY_MS - SETTLEMENT_MS < SETTLEMENT_LASTS_MS
    return "settlement" if settles else "open"


class States:
    """As told last."""

    def __init__(self, market: Market) -> None:
        self.of = {symbol: state_at(symbol, market.at_us // 1000) for symbol in market.symbols}
        self.forced: dict[str, str] = {}

    def ended(self, symbol: str) -> bool:
        return self.of[symbol] in ENDED

    def move(self, symbol: str, at_ms: int) -> str | None:
        """The state before, where it is another one now."""
        before, now = self.of[symbol], self.forced.get(symbol) or state_at(symbol, at_ms)
        self.of[symbol] = now
        return before if before != now else None

    def fields(self, symbol: str) -> dict[str, Any]:
        """As a listing has them."""
        return {"is_active": not self.ended(symbol), "state": self.of[symbol]}
