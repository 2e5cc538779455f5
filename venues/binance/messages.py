"""Wire shapes of Binance spot, and what its futures write alike: the fields we use, under the venue's names.

Streams: https://github.com/binance/binance-spot-api-docs/blob/master/web-socket-streams.md (2026-07-21).
REST: rest-api.md of the same repository. All times are milliseconds; prices and quantities are decimal strings.
Unknown fields are ignored. What only the futures have stands in `futures_messages`.
"""

# ruff: noqa: N815  field names are the venue's own

from __future__ import annotations

from typing import Any

from msgspec import UNSET, Raw, Struct, UnsetType

# --- stream payloads -------------------------------------------------------------------------------


class TradeMsg(Struct, gc=False):
    """`<s>@trade`. Old ones also carried the order ids `b` and `a`; all carry an `M` that means nothing."""

    E: int
    s: str
    t: int
    p: str
    q: str
    T: int
    m: bool
    """True: the buyer was the maker, so the taker sold."""


class AggTradeMsg(Struct, gc=False):
    """`<s>@aggTrade`: the fills of one taker order at one price; `a` is an id space of its own."""

    E: int
    s: str
    a: int
    p: str
    q: str
    f: int
    l: int  # noqa: E741  the venue's name
    T: int
    m: bool


class BookTickerMsg(Struct, gc=False):
    """`<s>@bookTicker`: on spot no event type and no time."""

    u: int
    s: str
    b: str
    B: str
    a: str
    A: str
    E: int = 0


class OneSidedBookTickerMsg(Struct, gc=False):
    """The same where a side may be null or left out, which costs time to allow for."""

    u: int
    s: str
    b: str | UnsetType | None = UNSET
    B: str | None = None
    a: str | UnsetType | None = UNSET
    A: str | None = None
    E: int = 0


class KlineBody(Struct, gc=False):
    t: int
    T: int
    i: str
    f: int
    """-1, as is `L`, when the candle has no trade."""
    L: int
    o: str
    c: str
    h: str
    l: str  # noqa: E741
    v: str
    n: int
    x: bool
    q: str
    V: str
    Q: str


class KlineMsg(Struct, gc=False):
    """`<s>@kline_<i>`."""

    E: int
    s: str
    k: KlineBody


class TickerMsg(Struct, gc=False):
    """`<s>@ticker` (24 h rolling window, each second) and `<s>@ticker_<1h|4h|1d>`, which lacks Q, b, B, a and A; the
    futures' lacks b, B, a and A."""

    E: int
    s: str
    p: str
    P: str
    w: str
    c: str
    o: str
    h: str
    l: str  # noqa: E741
    v: str
    q: str
    O: int  # noqa: E741
    C: int
    F: int
    L: int
    n: int
    Q: str | None = None
    b: str | None = None
    B: str | None = None
    a: str | None = None
    A: str | None = None


class MiniTickerMsg(Struct, gc=False):
    """`<s>@miniTicker`."""

    E: int
    s: str
    c: str
    o: str
    h: str
    l: str  # noqa: E741
    v: str
    q: str


class AvgPriceMsg(Struct, gc=False):
    """`<s>@avgPrice`."""

    E: int
    s: str
    i: str
    w: str
    T: int


class PartialBookMsg(Struct, gc=False):
    """`<s>@depth<5|10|20>`: the best levels, whole each time; no symbol and no time."""

    lastUpdateId: int
    bids: list[tuple[str, str]]
    asks: list[tuple[str, str]]


class BlockTradeMsg(Struct, gc=False):
    """`<s>@blockTrade`: negotiated off the book; an id space of its own."""

    E: int
    s: str
    t: int
    p: str
    q: str
    T: int
    m: bool


class ReferencePriceMsg(Struct, gc=False):
    """`<s>@referencePrice`."""

    s: str
    t: int
    r: str | None = None


# --- envelopes -------------------------------------------------------------------------------------


class VenueErrorBody(Struct):
    code: int
    msg: str = ""


class Envelope(Struct):
    """Every frame the venue sends, by which keys it has: combined data, ack, error, notice or a bare payload."""

    stream: str | UnsetType = UNSET
    data: Raw | UnsetType = UNSET
    result: Any = UNSET
    id: Any = UNSET
    error: VenueErrorBody | UnsetType = UNSET
    code: int | UnsetType = UNSET
    msg: str | UnsetType = UNSET
    serverTime: int | UnsetType = UNSET


class Payload(Struct):
    """What tells payloads apart where no stream name does."""

    e: str = ""
    E: int | None = None
    s: str = ""
    u: int | None = None
    B: Any = None
    k: Any = None
    o: Any = None
    st: Any = None
    """Of the futures: 1 USD-M, 2 COIN-M."""
    cs: Any = ""

    @property
    def symbol(self) -> str:
        """A liquidation names its symbol inside the order."""
        if not self.s and isinstance(self.o, dict):
            return str(self.o.get("s", ""))
        return self.s


class DepthIds(Struct, gc=False):
    """`<s>@depth`: the ids of the updates merged in it, first and last; levels are left undecoded."""

    E: int
    U: int
    u: int
    pu: int | None = None
    """Futures only: `u` of the event before."""


class DepthFrame(Struct, gc=False):
    data: DepthIds


class SnapshotId(Struct, gc=False):
    """`/api/v3/depth`; levels are left undecoded."""

    lastUpdateId: int
    E: int = 0


# --- REST ------------------------------------------------------------------------------------------


class RestTrade(Struct, gc=False):
    """`/api/v3/trades`, `/api/v3/historicalTrades`."""

    id: int
    price: str
    qty: str
    time: int
    isBuyerMaker: bool


class RestAggTrade(Struct, gc=False):
    """`/api/v3/aggTrades`. Some recordings have an empty key in place of `m`: the side is then unknown."""

    a: int
    p: str
    q: str
    f: int
    l: int  # noqa: E741
    T: int
    m: bool | None = None


class RestKline(Struct, array_like=True, gc=False):
    """`/api/v3/klines`: one row; a twelfth element is unused."""

    open_time: int
    open: str
    high: str
    low: str
    close: str
    volume: str
    close_time: int
    quote_volume: str
    trade_count: int
    taker_buy_volume: str
    taker_buy_quote_volume: str


class RestTicker(Struct, gc=False):
    """`/api/v3/ticker/24hr`; `type=MINI` leaves out what has a default here."""

    symbol: str
    lastPrice: str
    openPrice: str
    highPrice: str
    lowPrice: str
    volume: str
    openTime: int
    closeTime: int
    firstId: int
    lastId: int
    count: int
    quoteVolume: str | None = None
    baseVolume: str | None = None
    """COIN-M, in place of `quoteVolume`: its `volume` counts contracts."""
    priceChange: str | None = None
    priceChangePercent: str | None = None
    weightedAvgPrice: str | None = None
    lastQty: str | None = None
    bidPrice: str | None = None
    bidQty: str | None = None
    askPrice: str | None = None
    askQty: str | None = None


class RestBookTicker(Struct, gc=False):
    """`/api/v3/ticker/bookTicker`: no update id, and on spot no time."""

    symbol: str
    bidPrice: str | None
    bidQty: str | None
    askPrice: str | None
    askQty: str | None
    time: int = 0


class RestPrice(Struct, gc=False):
    """`/api/v3/ticker/price`."""

    symbol: str
    price: str


class RestAvgPrice(Struct, gc=False):
    """`/api/v3/avgPrice`."""

    mins: int
    price: str


class RestTime(Struct, gc=False):
    """`/api/v3/time`."""

    serverTime: int


class Filter(Struct, gc=False):
    """One of a symbol's trading rules; which fields it has depends on `filterType`."""

    filterType: str
    tickSize: str = ""
    stepSize: str = ""
    minQty: str = ""
    minNotional: str = ""
    notional: str = ""
    """The futures' name for it."""


class SymbolInfo(Struct, gc=False):
    """An entry of `/api/v3/exchangeInfo`."""

    symbol: str
    baseAsset: str
    quoteAsset: str
    status: str | None = None
    """COIN-M has `contractStatus` in its place."""
    filters: list[Filter] = []


class ExchangeInfo(Struct):
    """`/api/v3/exchangeInfo` with each symbol's entry left as the venue's bytes."""

    symbols: list[Raw]
    serverTime: int = 0


class RateLimit(Struct):
    """Of an address: at most `limit` in `intervalNum` intervals."""

    rateLimitType: str
    interval: str
    intervalNum: int
    limit: int


class RateLimits(Struct):
    """`/api/v3/exchangeInfo`, what it says about the address."""

    rateLimits: list[RateLimit] | None = None


class SymbolName(Struct, gc=False):
    symbol: str
