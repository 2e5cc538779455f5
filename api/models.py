"""What the API answers. Field meanings are those of `marketdata.types`; ids and nanoseconds are strings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Level = tuple[str, str]


class Answer(BaseModel):
    """Which world the data are from."""

    environment: str = Field(description="Name of the environment", examples=["live"])
    simulated: bool = Field(description="True: the data come from a simulator or a recording, not from the exchange")


class SymbolAnswer(Answer):
    """Data of one symbol."""

    exchange: str
    market: str
    symbol: str = Field(description="The exchange's own spelling")
    instrument: str = Field(description='Canonical name; "" until the exchange\'s metadata is known')


class FromRecord(BaseModel):
    model_config = ConfigDict(from_attributes=True)


class Aged(FromRecord):
    age_ms: int = Field(0, description="Time since we received it, at the moment of the answer")


# Rows are plain dataclasses: an answer has thousands of them, and a pydantic model takes ten times as long to make.


@dataclass(slots=True)
class Trade:
    """One execution."""

    trade_id: str
    price: str
    quantity: str
    side: Annotated[Literal["buy", "sell", "unknown"], Field(description="The taker's side")]
    trade_time_us: Annotated[int, Field(description="When the exchange's matching engine traded, us since 1970")]
    recv_time_ns: Annotated[str, Field(description="When we received it, ns since 1970")]
    aggregated: Annotated[bool, Field(description="One taker order's fills at one price; ids of their own")]
    first_trade_id: str
    last_trade_id: str
    liquidation: Annotated[bool, Field(description="The exchange says that it closed somebody's position by force")]
    off_book: Annotated[bool, Field(description="Block trade or leg of a combination: its price may lie off the book")]


class Trades(SymbolAnswer):
    source: Literal["live", "history"]
    trades: list[Trade] = Field(description="Oldest first")
    has_more: bool = Field(description="The range holds more than `limit`")
    age_ms: int | None = Field(description="Age of the newest trade in the answer; null when there is none")


class OrderBook(SymbolAnswer):
    source: Literal["live", "history"]
    state: Literal["ok", "resyncing", "stale", "crossed"] = Field(
        description="Only an `ok` book is verified against the exchange's sequence; any other state has no levels"
    )
    reason: str = Field(description="Why the book is not `ok`")
    update_id: str = Field(description='The exchange\'s id of the last update in it; "" before the first')
    epoch: int
    event_time_us: int
    verified_time_ns: str
    age_ms: int | None = Field(description="Time since the book was last proven right; null when it never was")
    depth: int = Field(description="Levels asked for")
    complete: bool = Field(description="True when the sides hold `depth` levels or all the exchange has")
    bids: list[Level] = Field(description="(price, quantity), best first")
    asks: list[Level] = Field(description="(price, quantity), best first")
    bid_known_to: str = Field(description='Price down to which bids are known complete; "0": all of them')
    ask_known_to: str = Field(description='Price up to which asks are known complete; "inf": all of them')
    warnings: list[str] = []


class Quote(Aged):
    update_id: str
    bid_price: str
    bid_quantity: str
    ask_price: str
    ask_quantity: str
    recv_time_ns: str


class TickerValues(Aged):
    last_price: str
    last_quantity: str
    open: str
    high: str
    low: str
    volume: str
    quote_volume: str
    price_change: str
    price_change_percent: str
    weighted_average_price: str
    bid_price: str
    bid_quantity: str
    ask_price: str
    ask_quantity: str
    trade_count: int = Field(description="0: none, or the exchange does not say")
    window_open_ms: int = Field(description="0: the exchange does not say")
    window_close_ms: int = Field(description="0: the exchange does not say")
    event_time_us: int
    recv_time_ns: str


class Ticker(SymbolAnswer):
    ticker: TickerValues | None = Field(description="Rolling 24 h statistics as the exchange computes them")
    quote: Quote | None = Field(description="Best bid and offer, newer than those in the statistics")


class Tickers(Answer):
    tickers: list[Ticker]


class DerivativeValue(Aged):
    """What the newest values of derivatives have in common."""

    event_time_us: int = Field(description="The exchange's time, us since 1970; of ratios when their period begins")
    recv_time_ns: str


class MarkPrice(DerivativeValue):
    mark_price: str
    index_price: str
    settle_price: str


class Funding(DerivativeValue):
    rate: str = Field(description="The newest estimate, as a fraction per period")
    funding_time_us: int = Field(description="When this rate is exchanged")
    next_rate: str
    interval_ms: int = Field(description="Length of a period; 0: the exchange does not say")


class OpenInterest(DerivativeValue):
    open_interest: str = Field(description="In base coin")
    raw_open_interest: str = Field(description='As the exchange counts it; "" where that is base coin')
    value: str = Field(description="In quote currency, where the exchange gives it")


class Liquidation(DerivativeValue):
    side: Literal["buy", "sell", "unknown"] = Field(description="Of the order: `sell` closes a long position")
    price: str
    quantity: str = Field(description="In base coin")
    average_price: str
    raw_quantity: str
    sampled: bool = Field(description="The exchange publishes only some of them")


class LongShort(DerivativeValue):
    ratio_kind: str
    period: str
    ratio: str = Field(description="Longs divided by shorts")
    long: str = Field(description='Share of longs as a fraction, or of `taker_volume` what takers bought; "": not said')
    short: str = Field(description='Share of shorts as a fraction, or of `taker_volume` what takers sold; "": not said')


class Volatility(DerivativeValue):
    index: str
    value: str = Field(description="Annualised, in percent")


class Derivatives(SymbolAnswer):
    """The newest of each kind; null where the exchange has none, or none has arrived yet."""

    mark_price: MarkPrice | None = None
    funding: Funding | None = None
    open_interest: OpenInterest | None = None
    liquidation: Liquidation | None = None
    long_short: list[LongShort] = Field(description="One entry per kind of ratio")
    volatility: Volatility | None = None


@dataclass(slots=True)
class Kline:
    """One candle in its newest revision."""

    open_time: Annotated[int, Field(description="ms since 1970")]
    close_time: Annotated[int, Field(description="ms since 1970, inclusive")]
    open: str
    high: str
    low: str
    close: str
    volume: str
    quote_volume: str
    trade_count: int
    taker_buy_volume: str
    taker_buy_quote_volume: str
    first_trade_id: str
    last_trade_id: str
    is_closed: bool
    status: Literal["provisional", "final", "revised"]
    complete: Annotated[bool, Field(description="Every trade of the interval is known to be in it")]
    reasons: Annotated[list[str], Field(description="Why it is not complete")]
    gaps: Annotated[list[str], Field(description="Ids of the gaps that touch it")]
    revision: Annotated[int, Field(description="Grows when a final candle is corrected")]
    source: Literal["trade", "agg_trade"]
    recv_time_ns: str


@dataclass(slots=True)
class Gap:
    """Data known not to be there."""

    gap_id: str
    channel: str
    reason: str
    first_missing_id: str
    last_missing_id: str
    missing_count: Annotated[int, Field(description="0: unknown, the stream has no consecutive ids")]
    filled_count: Annotated[int, Field(description="How many of them came after all")]
    from_time_us: Annotated[int, Field(description="Time of the last record before")]
    to_time_us: Annotated[int, Field(description="Time of the first record after")]
    epoch: int
    recv_time_ns: str


class Klines(SymbolAnswer):
    interval: str
    klines: list[Kline] = Field(description="Oldest first, the newest revision of each")
    has_more: bool = Field(description="The range holds more than `limit`")
    missing: list[int] = Field(description="Open times between the first and last candle for which there is none")
    gaps: list[Gap] = Field(description="Trades known to be missing in the range of these candles and not filled")
    age_ms: int | None = Field(description="Age of the newest candle in the answer; null when there is none")
    warnings: list[str] = []


class Gaps(SymbolAnswer):
    gaps: list[Gap] = Field(description="Oldest first")
    has_more: bool


class Feed(BaseModel):
    """A stream of the exchange as ingest last reported it."""

    channel: str
    state: Literal["connected", "disconnected", "polled", "unknown"] = Field(
        description="polled: asked for by REST, there is no connection; unknown: nothing was reported yet"
    )
    reason: str = ""
    since_ms: int | None = Field(None, description="Time since that report")


class SymbolInfo(BaseModel):
    exchange: str
    market: str
    symbol: str
    instrument: str
    feeds: list[Feed] = []


class Symbols(Answer):
    symbols: list[SymbolInfo]
    warnings: list[str] = []


class MarketInfo(BaseModel):
    market: str
    symbols: int
    channels: list[str]


class ExchangeInfo(BaseModel):
    exchange: str
    markets: list[MarketInfo]


class Exchanges(Answer):
    exchanges: list[ExchangeInfo]
    warnings: list[str] = []


class StoreHealth(BaseModel):
    state: Literal["ok", "down"]
    latency_ms: float | None = None
    error: str = ""


class SymbolHealth(BaseModel):
    exchange: str
    market: str
    symbol: str
    state: Literal["ok", "degraded", "down"]
    problems: list[str] = []
    age_ms: int | None = Field(description="Age of the newest value of any kind; null when there is none")
    book: str = Field(description='State of the book; "" when there is none yet')
    book_age_ms: int | None = None
    feeds: list[Feed] = []


class Health(Answer):
    """ok: all well. degraded: something is missing or old, the rest answers. down: no store answers."""

    status: Literal["ok", "degraded", "down"]
    problems: list[str] = Field(description="One sentence each")
    stores: dict[str, StoreHealth]
    feeds_connected: int
    feeds_disconnected: int
    ended: bool = Field(description="Every feed was closed from the other side: a recording ended, or maintenance")
    symbols: list[SymbolHealth]
