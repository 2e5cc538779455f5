"""OKX instrument ids: which market one is of, told by its spelling alone.

BTC-USDT                  spot
BTC-USDT-SWAP             perpetual; BTC-USD-SWAP is inverse, BTC-USD_UM-SWAP is not
BTC-USDT-220624           dated future (yymmdd)
BTC-USD-220624-50000-C    option
"""

from __future__ import annotations

import re
from typing import Final, Literal, cast

from marketdata.errors import UnparsableFrame

OkxMarket = Literal["spot", "perp", "future", "option"]

INST_TYPES: Final[dict[OkxMarket, str]] = {"spot": "SPOT", "perp": "SWAP", "future": "FUTURES", "option": "OPTION"}
"""Our markets and the venue's `instType`."""

_SPELLING = re.compile(
    r"[^-]+-[^-]+(?:-(?:(?P<perp>SWAP)|(?P<option>\d{6}-\d+(?:\.\d+)?-[CP])|(?P<future>\d{6})))?"
)  # fmt: skip


def find_market(symbol: str) -> OkxMarket | None:
    """None: no instrument id of a kind we know."""
    found = _SPELLING.fullmatch(symbol)
    return cast(OkxMarket, found.lastgroup or "spot") if found else None


def market_of(symbol: str) -> OkxMarket:
    """Raises UnparsableFrame on what is no instrument id."""
    market = find_market(symbol)
    if market is None:
        raise UnparsableFrame(f"{symbol[:64]!r} is no instrument id of OKX")
    return market
