"""How often each of OKX's REST paths may be asked for.

Source: the "Rate Limit" lines of the v5 documentation.
"""

from __future__ import annotations

from typing import NamedTuple

WINDOW_S = 2.0
RUBIK = "/api/v5/rubik/stat/"


class Quota(NamedTuple):
    requests_max: int
    """In `WINDOW_S`, of one IP."""
    apart: str = ""
    """A parameter whose values are counted each by itself."""


QUOTAS = {
    "/api/v5/public/time": Quota(10),
    "/api/v5/public/instruments": Quota(20, apart="instType"),
    "/api/v5/public/open-interest": Quota(20),
    "/api/v5/public/mark-price": Quota(10),
    "/api/v5/public/funding-rate": Quota(20),
    "/api/v5/public/funding-rate-history": Quota(10, apart="instId"),
    "/api/v5/market/books": Quota(40),
    "/api/v5/market/ticker": Quota(20),
    "/api/v5/market/tickers": Quota(20),
    "/api/v5/market/trades": Quota(100),
    "/api/v5/market/history-trades": Quota(20),
    "/api/v5/market/candles": Quota(40),
    "/api/v5/market/history-candles": Quota(20),
    f"{RUBIK}contracts/long-short-account-ratio": Quota(5),
    f"{RUBIK}contracts/long-short-account-ratio-contract": Quota(5, apart="instId"),
    f"{RUBIK}contracts/long-short-account-ratio-contract-top-trader": Quota(5, apart="instId"),
    f"{RUBIK}contracts/long-short-position-ratio-contract-top-trader": Quota(5, apart="instId"),
    f"{RUBIK}contracts/open-interest-history": Quota(10),
    f"{RUBIK}taker-volume-contract": Quota(5),
}
"""Every path the simulator answers."""
