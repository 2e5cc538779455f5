"""Wire shapes of HTX: only the fields we use, under the venue's own names; unknown fields are ignored.

Prices, sizes and sums are JSON numbers (up to 37 decimals, exponents) and stay `Raw`, see `venues.json_numbers`. Times
are Unix milliseconds, ids of candles Unix seconds. Sources: README.md.
"""

# ruff: noqa: N815  field names are the venue's own

from __future__ import annotations

from typing import Any

from msgspec import UNSET, Raw, Struct, UnsetType, field

_raw = field(default_factory=Raw)

# --- envelopes -------------------------------------------------------------------------------------


class Envelope(Struct):
    """Every frame of both protocol families, by which keys it has."""

    ch: str | UnsetType = UNSET
    rep: str | UnsetType = UNSET
    subbed: str | UnsetType = UNSET
    unsubbed: str | UnsetType = UNSET
    ping: int | UnsetType = UNSET
    op: str | UnsetType = UNSET
    topic: str = ""
    status: str = ""
    id: Any = None
    cid: Any = None
    ts: Any = None
    error_code: Any = field(name="err-code", default=None)
    error_message: Any = field(name="err-msg", default=None)
    event: str = ""
    action: str = ""
    code: Any = None
    data: Raw = _raw


class ActionPing(Struct):
    """`data` of `{"action":"ping"}`, the account socket's form."""

    ts: int


class ContractCode(Struct, gc=False):
    contract_code: str


class SymbolName(Struct, gc=False):
    symbol: str


# --- trades ----------------------------------------------------------------------------------------


class TradeEntry(Struct, gc=False):
    """Spot: `amount` base coin; `tradeId` is unique per symbol, absent in 2019, when there was only the long `id`.
    Contracts: `amount` contracts, both sides counted; `id` is unique per contract; `quantity` is not read."""

    ts: int
    price: Raw
    amount: Raw
    direction: str | None = None
    tradeId: int | None = None
    id: Raw = _raw


class TradeTick(Struct, gc=False):
    data: list[TradeEntry]


class TradeFrame(Struct, gc=False):
    """`market.<s>.trade.detail`."""

    ch: str
    ts: int
    tick: TradeTick


# --- books -----------------------------------------------------------------------------------------


class MbpTick(Struct, gc=False):
    """5, 10 and 20 levels: only the side that changed is there."""

    seqNum: int
    prevSeqNum: int | None = None
    bids: Raw = _raw
    asks: Raw = _raw


class MbpFrame(Struct, gc=False):
    """`market.<s>.mbp.<n>`, and the reply to `req` of the same: `rep` and `data` in place of `ch` and `tick`."""

    tick: MbpTick | None = None
    data: MbpTick | None = None
    ts: int = 0
    ch: str = ""
    rep: str = ""


class DepthTick(Struct, gc=False):
    """`market.<c>.depth.size_<n>.high_freq`. A side may be absent or null."""

    event: str
    version: int
    ts: int
    ch: str = ""
    bids: Raw = _raw
    asks: Raw = _raw


class DepthFrame(Struct, gc=False):
    ch: str
    ts: int
    tick: DepthTick


class SnapshotTick(Struct, gc=False):
    """`market.<s>.depth.step<n>` and `/market/depth`: whole, merged at steps above 0."""

    version: int
    ts: int = 0
    bids: Raw = _raw
    asks: Raw = _raw


class SnapshotFrame(Struct, gc=False):
    ch: str
    tick: SnapshotTick
    ts: int = 0


class RefreshTick(Struct, gc=False):
    """`market.<s>.mbp.refresh.<n>`."""

    seqNum: int
    bids: Raw = _raw
    asks: Raw = _raw


class RefreshFrame(Struct, gc=False):
    ch: str
    tick: RefreshTick


# --- best quotes -----------------------------------------------------------------------------------


class SpotBboTick(Struct, gc=False):
    """`seqId` is absent in 2020."""

    symbol: str
    quoteTime: int
    seqId: int | None = None
    bid: Raw = _raw
    bidSize: Raw = _raw
    ask: Raw = _raw
    askSize: Raw = _raw


class SpotBboFrame(Struct, gc=False):
    ch: str
    tick: SpotBboTick


class ContractBboTick(Struct, gc=False):
    """`bid` and `ask` are [price, contracts]."""

    ts: int
    version: int
    bid: Raw = _raw
    ask: Raw = _raw


class ContractBboFrame(Struct, gc=False):
    ch: str
    tick: ContractBboTick


# --- candles and 24 h statistics -------------------------------------------------------------------


class CandleTick(Struct, gc=False):
    """`market.<s>.kline.<p>`. Spot: `amount` base coin, `vol` quote coin. Contracts: `amount` base coin, `vol`
    contracts, `trade_turnover` quote coin (linear only), all three with both sides counted. No closed flag."""

    id: int
    open: Raw
    close: Raw
    high: Raw
    low: Raw
    amount: Raw
    vol: Raw
    count: int | None = None
    trade_turnover: Raw = _raw


class CandleFrame(Struct, gc=False):
    ch: str
    ts: int
    tick: CandleTick


class DetailTick(Struct, gc=False):
    """`market.<s>.detail` and `market.<s>.ticker`, with the candle's units. `bid` and `ask` are numbers on `ticker`,
    [price, contracts] on a contract's `detail`, and absent from spot's. All is null of what was never traded."""

    open: Raw
    close: Raw
    high: Raw
    low: Raw
    amount: Raw
    vol: Raw
    count: int | None = None
    trade_turnover: Raw = _raw
    bid: Raw = _raw
    bidSize: Raw = _raw
    ask: Raw = _raw
    askSize: Raw = _raw
    lastPrice: Raw = _raw
    lastSize: Raw = _raw


class DetailFrame(Struct, gc=False):
    ch: str
    ts: int
    tick: DetailTick


class TickersEntry(DetailTick, kw_only=True, gc=False):
    """An entry of `market.tickers` and `/market/tickers`; `/market/tickers` has the best quotes as well."""

    symbol: str


class TickersFrame(Struct, gc=False):
    data: list[Raw]
    ts: int
    ch: str = ""


class MarkTick(Struct, gc=False):
    """`market.<c>.mark_price.<p>`, a candle of strings; what it counts is always 0."""

    id: int
    close: Raw


class MarkFrame(Struct, gc=False):
    ch: str
    ts: int
    tick: MarkTick


# --- notifications ---------------------------------------------------------------------------------


class FundingEntry(Struct, gc=False):
    """Numbers and times (ms) are strings. `estimated_rate` may be null.

    Pushed: `funding_time` is the minute of the computation, the rate is due at `settlement_time`. By REST the rate is
    due at `funding_time`, and the one after it at `next_funding_time` (null since it was deprecated)."""

    contract_code: str
    funding_rate: Raw
    funding_time: str | None = None
    settlement_time: str | None = None
    next_funding_time: str | None = None
    estimated_rate: Raw = _raw


class LiquidationEntry(Struct, gc=False):
    """`volume` in contracts, one side. `amount` (coin) came in November 2020 and is not read."""

    contract_code: str
    volume: Raw
    price: Raw
    created_at: int
    direction: str | None = None


class FundingFrame(Struct, gc=False):
    topic: str
    ts: int
    data: list[FundingEntry]


class LiquidationFrame(Struct, gc=False):
    topic: str
    ts: int
    data: list[LiquidationEntry]


# --- REST ------------------------------------------------------------------------------------------


class Reply(Struct):
    """What every REST reply has around its data, which stay the venue's bytes. Errors are spelt in either way."""

    status: str = ""
    ts: int = 0
    ch: str = ""
    data: Raw = _raw
    error_code: Any = field(name="err-code", default=None)
    error_message: Any = field(name="err-msg", default=None)
    err_code: Any = None
    err_msg: Any = None


class TurnoverEntry(Struct, gc=False):
    """What an entry of `/market/tickers` says of the last 24 h: `vol` in quote coin, null where nothing was traded."""

    symbol: str
    vol: Raw = _raw


class OpenInterestEntry(Struct, gc=False):
    """`/linear-swap-api/v1/swap_open_interest` and its like: `volume` contracts, `amount` base coin, both one side;
    `value` quote coin (linear only). `trade_turnover`: 24 h, quote coin, both sides."""

    contract_code: str
    volume: Raw
    amount: Raw
    value: Raw = _raw
    trade_turnover: Raw = _raw


class RatioEntry(Struct, gc=False):
    """`locked_ratio` (accounts holding both) makes up the rest to 1."""

    buy_ratio: Raw
    sell_ratio: Raw
    ts: int


class RatioData(Struct, gc=False):
    contract_code: str
    entries: list[RatioEntry] = field(name="list")


class SpotSymbol(Struct, gc=False, rename="kebab"):
    """An entry of `/v1/common/symbols`."""

    symbol: str
    base_currency: str
    quote_currency: str
    price_precision: int
    amount_precision: int
    state: str
    min_order_amt: Raw = _raw
    limit_order_min_order_amt: Raw = _raw
    min_order_value: Raw = _raw


class Contract(Struct, gc=False):
    """An entry of `swap_contract_info`, `contract_contract_info` and their like."""

    symbol: str
    contract_code: str
    contract_size: Raw
    contract_status: int
    price_tick: Raw = _raw
    delivery_time: str | None = None
