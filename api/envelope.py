"""The envelope of every answer, errors included: {success, data, error, timestamp}."""

from __future__ import annotations

import time
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field

T = TypeVar("T")


class ErrorInfo(BaseModel):
    """Why there is no data."""

    model_config = ConfigDict(json_schema_extra={
        "example": {
            "code": "unknown_symbol",
            "message": "binance has no symbol 'BTCUSD' here",
            "details": {"near": ["BTCUSDT"]},
        }
    })  # fmt: skip

    code: str = Field(description="Stable, for programs")
    message: str = Field(description="One sentence, for people")
    details: dict[str, Any] = Field(default_factory=dict, description="What belongs to this code")


class Envelope(BaseModel, Generic[T]):
    """What every answer looks like."""

    success: bool
    data: T | None = None
    error: ErrorInfo | None = None
    timestamp: int = Field(description="When the answer was made, ms since 1970")


class ApiError(Exception):
    """An answer that is not data. Raised anywhere below a route; `api.app` turns it into an envelope."""

    status = 500
    code = "internal"

    def __init__(self, message: str, **details: object) -> None:
        super().__init__(message)
        self.message = message
        self.details: dict[str, Any] = details


class UnknownExchange(ApiError):
    status, code = 404, "unknown_exchange"


class UnknownSymbol(ApiError):
    status, code = 404, "unknown_symbol"


class NoValueYet(ApiError):
    """The symbol is known, but nothing of this kind has arrived."""

    status, code = 404, "no_value_yet"


class BadParameter(ApiError):
    status, code = 422, "bad_parameter"


class StoreDown(ApiError):
    """A store did not answer. `store` is redis or clickhouse."""

    status, code = 503, "store_down"
    remedy = "ask again; /health says which stores answer"

    def __init__(self, store: str, reason: str) -> None:
        super().__init__(f"{store} does not answer: {reason}", store=store, reason=reason, remedy=self.remedy)
        self.store = store
        self.reason = reason


class StoreBusy(StoreDown):
    """The store lives but cannot take or finish this query in its bounds."""

    code = "store_busy"
    remedy = "ask for less, or again"


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def ok(data: T) -> Envelope[T]:
    """Data in its envelope."""
    return Envelope(success=True, data=data, timestamp=now_ms())


def failed(code: str, message: str, details: dict[str, Any] | None = None) -> Envelope[Any]:
    """An error in its envelope."""
    return Envelope(
        success=False, error=ErrorInfo(code=code, message=message, details=details or {}), timestamp=now_ms()
    )
