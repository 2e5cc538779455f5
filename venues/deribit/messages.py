"""Wire shapes of Deribit: only the fields we use, under the venue's own names; unknown fields are ignored.

Source: https://docs.deribit.com (JSON-RPC over WebSocket, API v2; read 2026). Times are milliseconds. Numbers are JSON
numbers in any notation (`1054.0`, `2.2e3`) or null: they stay raw here, see `venues.json_numbers`.
"""

from __future__ import annotations

from typing import Any, Generic, TypeVar

from msgspec import UNSET, Raw, Struct, UnsetType, field

T = TypeVar("T")

Text = str | None
"""Of a field that may be left out: the venue may as well write null."""


def absent() -> Any:
    """The default of a number: not there."""
    return field(default_factory=Raw)


# --- envelopes -------------------------------------------------------------------------------------


class ErrorBody(Struct):
    code: int
    message: Text = ""
    data: Any = None


class Envelope(Struct):
    """Every frame of the venue: a notification (`method`), a result or an error."""

    method: Text = ""
    params: Raw | UnsetType = UNSET
    id: Any = None
    result: Raw | UnsetType = UNSET
    error: ErrorBody | None = None


class Params(Struct, Generic[T], gc=False):
    """Of a subscription's frame."""

    channel: str
    data: T


class Notification(Struct, Generic[T], gc=False):
    params: Params[T]


class HeartbeatParams(Struct):
    type: str


class Named(Struct, gc=False):
    """What tells when and what any payload is about."""

    instrument_name: Text = ""
    timestamp: int | None = None


class PlatformState(Struct):
    """`platform_state`: the lock of an index, or a break that begins."""

    locked: bool | None = None
    maintenance: bool | None = None


# --- stream payloads -------------------------------------------------------------------------------


class TradeMsg(Struct, gc=False):
    """Of `trades.*`. Old ones lack `mark_price` and `contracts`, new ones have `starbase_*`."""

    trade_seq: int
    """Counts per instrument."""
    trade_id: str
    """Unique per currency; may have a prefix (`ETH-123`)."""
    timestamp: int
    instrument_name: str
    direction: str
    """Of the taker."""
    price: Raw
    amount: Raw
    liquidation: Text = ""
    """Who was liquidated: M maker, T taker, MT both."""
    block_trade_id: Any = None
    block_rfq_id: Any = None
    combo_id: Any = None


class BookIds(Struct, gc=False):
    """`book.{i}.{interval}` without its levels. Frames of 2019 have no `type`."""

    timestamp: int
    instrument_name: str
    change_id: int
    type: Text = ""
    prev_change_id: int | None = None
    """A snapshot has none; one recorded in 2022 names a meaningless one."""


class BookMsg(BookIds, gc=False):
    bids: Raw = absent()
    """[action, price, amount] each; of grouped books and REST replies [price, amount]."""
    asks: Raw = absent()


class QuoteMsg(Struct, gc=False):
    """`quote.{i}`. An empty side has price null or 0."""

    timestamp: int
    instrument_name: str
    best_bid_price: Raw = absent()
    best_bid_amount: Raw = absent()
    best_ask_price: Raw = absent()
    best_ask_amount: Raw = absent()


class Stats(Struct, gc=False):
    """Rolling 24 h."""

    volume: Raw = absent()
    """In base coin, also where amounts are in USD."""
    volume_usd: Raw = absent()
    volume_notional: Raw = absent()
    """In quote currency; futures and spot only."""
    low: Raw = absent()
    high: Raw = absent()
    price_change: Raw = absent()
    """In percent."""


class TickerMsg(QuoteMsg, gc=False):
    """`ticker.{i}.{interval}`."""

    stats: Stats | None = None
    last_price: Raw = absent()
    mark_price: Raw = absent()
    index_price: Raw = absent()
    estimated_delivery_price: Raw = absent()
    """The string "expired" after delivery."""
    open_interest: Raw = absent()
    current_funding: Raw = absent()


class ChartMsg(Struct, gc=False):
    """`chart.trades.{i}.{resolution}`."""

    tick: int
    """Begin of the candle."""
    open: Raw
    high: Raw
    low: Raw
    close: Raw
    volume: Raw
    """In base coin."""
    cost: Raw
    """In quote currency."""


class VolatilityMsg(Struct, gc=False):
    """`deribit_volatility_index.{index}`."""

    timestamp: int
    volatility: Raw
    index_name: str


# --- REST results ----------------------------------------------------------------------------------


class TickStep(Struct):
    above_price: Raw
    tick_size: Raw


class InstrumentMsg(Struct):
    """An entry of `public/get_instruments`. Replies before 2022 lack most of the newer fields."""

    instrument_name: str
    kind: str
    base_currency: str
    quote_currency: str
    tick_size: Raw
    min_trade_amount: Raw
    contract_size: Raw = absent()
    settlement_currency: Text = ""
    settlement_period: Text = ""
    instrument_type: Text = ""
    """`linear` or `reversed`."""
    future_type: Text = ""
    """The same, before `instrument_type` came."""
    tick_size_steps: list[TickStep] | None = None
    strike: Raw = absent()
    option_type: Text = ""
    expiration_timestamp: int | None = None
    state: Text = ""
    is_active: bool | None = None


class InstrumentName(Struct):
    instrument_name: str
    kind: Text = ""


class TradesResult(Struct):
    trades: list[TradeMsg]


class ChartResult(Struct):
    """`public/get_tradingview_chart_data`: parallel lists."""

    ticks: list[int]
    open: list[Raw]
    high: list[Raw]
    low: list[Raw]
    close: list[Raw]
    volume: list[Raw]
    cost: list[Raw]


class SummaryMsg(Struct):
    """An entry of `public/get_book_summary_by_currency`."""

    instrument_name: str
    mark_price: Raw
    open_interest: Raw = absent()


class ComboMsg(Struct):
    id: str
    legs: list[InstrumentName]
