"""What requests may ask: validated parameters. An unknown parameter is an error, a typo must not mean a default."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator

Market = Literal["spot", "perp", "inverse", "future", "option"]
Interval = Literal["1m", "5m", "15m", "1h", "4h", "1d"]
Channel = Literal[
    "trade", "agg_trade", "book", "bbo", "kline", "ticker", "mark_price", "funding", "open_interest", "liquidation",
    "long_short", "volatility",
]  # fmt: skip

INTERVAL_MS: dict[str, int] = {
    "1m": 60_000, "5m": 300_000, "15m": 900_000, "1h": 3_600_000, "4h": 14_400_000, "1d": 86_400_000,
}  # fmt: skip

TIME_MS_MIN = 100_000_000_000
"""The year 1973; a lower number, but zero, is one of seconds, or a date without its dashes."""
TIME_MS_MAX = 4_102_444_800_000
"""The year 2100; more is a number in another unit."""
TIME_MEANT = "must be milliseconds since 1970 (13 digits, or 0) or ISO 8601 such as 2026-11-21T09:00:00Z"


def parse_time_ms(value: Any) -> int:
    """Milliseconds since 1970 from a number of them or ISO 8601 (UTC unless it says otherwise)."""
    if isinstance(value, str):
        text = value.strip()
        if not (text.isascii() and text.isdigit() and len(text) <= len(str(TIME_MS_MAX))):
            # A plus sign in a query string arrives as a blank.
            return _iso_ms(text.replace(" ", "+") if text.count(" ") == 1 and "T" in text else text)
        value = int(text)
    if not isinstance(value, int) or isinstance(value, bool) or (value != 0 and value < TIME_MS_MIN):
        raise ValueError(TIME_MEANT)
    return _in_range(value)


def _iso_ms(text: str) -> int:
    try:
        moment = datetime.fromisoformat(text)
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
        return _in_range(round(moment.timestamp() * 1000))
    except (ValueError, OverflowError):
        raise ValueError(TIME_MEANT) from None


def _in_range(ms: int) -> int:
    if not 0 <= ms <= TIME_MS_MAX:
        raise ValueError(TIME_MEANT)
    return ms


TimeMs = Annotated[
    int,
    BeforeValidator(parse_time_ms),
    WithJsonSchema({"type": "string", "examples": ["2026-11-21T09:00:00Z", "1795251600000"]}),
]


class Query(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class MarketQuery(Query):
    """Some or all exchanges and market segments."""

    exchange: str | None = Field(None, max_length=32, description="All exchanges where absent", examples=["binance"])
    market: Market | None = Field(None, description="All segments where absent")


class SymbolQuery(Query):
    """One symbol."""

    symbol: str = Field(
        min_length=1,
        max_length=64,
        description="The exchange's spelling or the canonical instrument, in any case",
        examples=["BTCUSDT", "BTC-USDT"],
    )
    exchange: str | None = Field(
        None, max_length=32, description="May be absent where only one exchange has the symbol", examples=["binance"]
    )
    market: Market | None = Field(None, description="Spot where absent, if the symbol is traded there")


class DerivativesQuery(SymbolQuery):
    market: Market | None = Field(None, description="Where absent, the one derivative of this name; spot has none")


class RangeQuery(SymbolQuery):
    """One symbol over a time range. With `start`, the first `limit` from there on; else the newest before `end`."""

    start: TimeMs | None = Field(None, description="First time, inclusive: ms since 1970 or ISO 8601")
    end: TimeMs | None = Field(None, description="Last time, exclusive: ms since 1970 or ISO 8601")

    @model_validator(mode="after")
    def _in_order(self) -> RangeQuery:
        if self.start is not None and self.end is not None and self.start >= self.end:
            raise ValueError("start must lie before end")
        return self


class BookQuery(SymbolQuery):
    depth: int = Field(20, ge=1, le=400, description="Levels a side; more than the live view holds come from history")
    source: Literal["auto", "live", "history"] = Field(
        "auto", description="`live`: the newest book (Redis); `history`: the newest stored deep view (ClickHouse)"
    )


class TradesQuery(RangeQuery):
    limit: int = Field(100, ge=1, description="At most `api.rows_max` (5000 unless set otherwise)")
    aggregated: bool | None = Field(
        None,
        description="Absent: single and aggregated trades, an execution once in each where both are captured; "
        "true or false: only the one kind",
    )
    source: Literal["auto", "live", "history"] = Field(
        "auto", description="`live`: the newest trade alone (Redis); `history`: stored trades (ClickHouse)"
    )


class KlinesQuery(RangeQuery):
    interval: Interval = Field("1m", description="Length of the candles")
    limit: int = Field(500, ge=1, description="At most `api.rows_max` (5000 unless set otherwise)")
    provisional: bool = Field(True, description="Include the candle that is still open")


class GapsQuery(RangeQuery):
    channel: Channel | None = Field(None, description="All channels where absent")
    include_filled: bool = Field(False, description="Also gaps that were filled later")
    limit: int = Field(500, ge=1, description="At most `api.rows_max` (5000 unless set otherwise)")
