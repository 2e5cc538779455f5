"""What one IP may ask of USD-M's REST.

Weight a minute under `/fapi`; apart from it, requests in five minutes of two families, which cost no weight: all of
`/futures/data`, and the two of funding together. Whoever goes on after a refusal is banned from everything.
"""

from __future__ import annotations

from simulator.limits import Refusal, WeightBudget, Window

API = "/fapi/v1/"
WEIGHT_MAX = 2400
"""A minute."""
WINDOW_S = 300.0
DATA, DATA_REQUESTS_MAX = "/futures/data/", 1000
FUNDING, FUNDING_REQUESTS_MAX = (f"{API}fundingRate", f"{API}fundingInfo"), 500


class IpLimits:
    """Pure: `now_s` is given, in seconds of the epoch."""

    def __init__(self, limited: bool, ban_s: float) -> None:
        self.weight = WeightBudget(WEIGHT_MAX if limited else 0, ban_s)
        self.data = Window(DATA_REQUESTS_MAX if limited else 0, WINDOW_S)
        self.funding = Window(FUNDING_REQUESTS_MAX if limited else 0, WINDOW_S)

    def spend(self, path: str, values: dict[str, str], now_s: float) -> Refusal | None:
        """Count a request. A refusal says when to come back."""
        window = self.data if path.startswith(DATA) else self.funding if path in FUNDING else None
        if window is None:
            return self.weight.spend(weight(path.removeprefix(API), values), now_s)
        if (ban := self.weight.ban(now_s)) is not None:
            return ban
        if window.add(now_s):
            return None
        message = f"Too many requests; current limit is {window.limit} requests per 5 MINUTE."
        return self.weight.refuse(now_s, int(window.wait_s(now_s)) + 1, message)


def weight(path: str, values: dict[str, str]) -> int:
    """What a request under /fapi/v1 costs."""
    one = "symbol" in values
    if path == "depth":
        limit = values.get("limit", "500")
        count = int(limit) if limit.isdigit() else 500
        return 2 if count <= 50 else 5 if count <= 100 else 10 if count <= 500 else 20
    if path == "klines":
        limit = values.get("limit", "500")
        count = int(limit) if limit.isdigit() else 500
        return 1 if count < 100 else 2 if count < 500 else 5 if count <= 1000 else 10
    if path in ("premiumIndex", "ticker/24hr", "ticker/price", "ticker/bookTicker"):
        many = {"premiumIndex": 10, "ticker/24hr": 40, "ticker/price": 2, "ticker/bookTicker": 5}
        return 1 if one else many[path]
    return {"trades": 5, "historicalTrades": 200, "aggTrades": 20}.get(path, 1)
