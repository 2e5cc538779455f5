"""REST requests: parameters checked as the venue checks them, weights, error bodies. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

DIGITS = re.compile(r"^[0-9]{1,20}$")


class Reply(NamedTuple):
    """An HTTP reply; `headers` beside the usual ones."""

    status: int
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()
    content_type: str = "application/json;charset=UTF-8"


class ApiError(Exception):
    """An error of the venue: HTTP status, its code, its words."""

    def __init__(self, code: int, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status
        self.code = code

    def reply(self, headers: tuple[tuple[str, str], ...] = ()) -> Reply:
        return Reply(self.status, error_body(self.code, str(self)), headers)


def error_body(code: int, message: str) -> bytes:
    return json.dumps({"code": code, "msg": message}, separators=(",", ":")).encode()


def not_found() -> Reply:
    return Reply(404, b"404 page not found\n", content_type="text/plain")


def invalid_symbol() -> ApiError:
    return ApiError(-1121, "Invalid symbol.")


class Query:
    """The query of a request."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self.values = values

    def text(self, name: str) -> str:
        value = self.values.get(name, "")
        if not value:
            raise ApiError(-1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.")
        return value

    def number(self, name: str, default: int | None = None) -> int | None:
        value = self.values.get(name)
        if value is None:
            return default
        if not DIGITS.match(value):
            raise ApiError(-1100, f"Illegal characters found in parameter '{name}'; legal range is '^[0-9]{{1,20}}$'.")
        return int(value)

    def limit(self, default: int, most: int) -> int:
        value = self.number("limit", default) or 0
        if value < 1:
            raise ApiError(-1130, "Data sent for parameter 'limit' is not valid.")
        return min(value, most)

    def symbols(self) -> list[str] | None:
        """From `symbol` or `symbols` (a JSON list); None: all."""
        if "symbol" in self.values and "symbols" in self.values:
            raise ApiError(-1128, "Combination of optional parameters invalid.")
        if "symbol" in self.values:
            return [self.text("symbol")]
        if "symbols" not in self.values:
            return None
        try:
            listed = json.loads(self.values["symbols"])
        except json.JSONDecodeError:
            listed = None
        if not isinstance(listed, list) or not listed or not all(isinstance(each, str) for each in listed):
            raise ApiError(-1100, "Illegal characters found in parameter 'symbols'; legal range is '^\\[\"...\"\\]$'.")
        return listed


def weight(path: str, values: Mapping[str, str]) -> int:
    """What a request costs (rest-api.md; section 6 of the venue notes)."""
    if path == "depth":
        limit = values.get("limit", "100")
        count = int(limit) if DIGITS.match(limit) else 100
        return 5 if count <= 100 else 25 if count <= 500 else 50 if count <= 1000 else 250
    one = "symbol" in values
    if path == "ticker/24hr":
        many = values.get("symbols", "").count(",") + 1 if "symbols" in values else 10**6
        return 2 if one or many <= 20 else 40 if many <= 100 else 80
    if path in ("ticker/bookTicker", "ticker/price"):
        return 2 if one else 4
    return {"exchangeInfo": 20, "trades": 25, "historicalTrades": 25, "aggTrades": 4, "klines": 2}.get(path, 1)


def symbol_info(symbol: str, base: str, quote: str, tick: str, step: str, *, notional: str = "5.00000000") -> Any:
    """One entry of exchangeInfo's `symbols`."""
    return {
        "symbol": symbol,
        "status": "TRADING",
        "baseAsset": base,
        "baseAssetPrecision": 8,
        "quoteAsset": quote,
        "quotePrecision": 8,
        "quoteAssetPrecision": 8,
        "baseCommissionPrecision": 8,
        "quoteCommissionPrecision": 8,
        "orderTypes": ["LIMIT", "LIMIT_MAKER", "MARKET", "STOP_LOSS_LIMIT", "TAKE_PROFIT_LIMIT"],
        "icebergAllowed": True,
        "ocoAllowed": True,
        "otoAllowed": True,
        "quoteOrderQtyMarketAllowed": True,
        "allowTrailingStop": True,
        "cancelReplaceAllowed": True,
        "isSpotTradingAllowed": True,
        "isMarginTradingAllowed": False,
        "filters": [
            {"filterType": "PRICE_FILTER", "minPrice": tick, "maxPrice": "1000000.00000000", "tickSize": tick},
            {"filterType": "LOT_SIZE", "minQty": step, "maxQty": "90000000.00000000", "stepSize": step},
            {"filterType": "ICEBERG_PARTS", "limit": 10},
            {
                "filterType": "MARKET_LOT_SIZE",
                "minQty": "0.00000000",
                "maxQty": "100000.00000000",
                "stepSize": "0.00000000",
            },
            {
                "filterType": "NOTIONAL",
                "minNotional": notional,
                "applyMinToMarket": True,
                "maxNotional": "9000000.00000000",
                "applyMaxToMarket": False,
                "avgPriceMins": 5,
            },
            {"filterType": "MAX_NUM_ORDERS", "maxNumOrders": 200},
            {"filterType": "MAX_NUM_ALGO_ORDERS", "maxNumAlgoOrders": 5},
        ],
        "permissions": [],
        "permissionSets": [["SPOT"]],
        "defaultSelfTradePreventionMode": "EXPIRE_MAKER",
        "allowedSelfTradePreventionModes": ["EXPIRE_TAKER", "EXPIRE_MAKER", "EXPIRE_BOTH"],
    }


def exchange_info(symbols: list[Any], now_ms: int, weight_limit: int) -> bytes:
    limits = [("REQUEST_WEIGHT", "MINUTE", 1, weight_limit), ("RAW_REQUESTS", "MINUTE", 5, 300_000)]
    return json.dumps(
        {
            "timezone": "UTC",
            "serverTime": now_ms,
            "rateLimits": [
                {"rateLimitType": kind, "interval": unit, "intervalNum": number, "limit": limit}
                for kind, unit, number, limit in limits
            ],
            "exchangeFilters": [],
            "symbols": symbols,
        },
        separators=(",", ":"),
        ensure_ascii=False,
    ).encode()
