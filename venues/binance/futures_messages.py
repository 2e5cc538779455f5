"""Wire shapes that only Binance's futures have (USD-M and COIN-M alike); see `messages` for those shared with spot.

Streams: https://developers.binance.com/docs/derivatives/usds-margined-futures/websocket-market-streams and the page of
the same name under coin-margined-futures. All times are milliseconds. COIN-M counts quantities in contracts.
"""

# ruff: noqa: N815  field names are the venue's own

from __future__ import annotations

from msgspec import Raw, Struct

# --- stream payloads -------------------------------------------------------------------------------


class TradeKind(Struct, gc=False):
    """What the futures' `<s>@trade` has besides spot's fields; undocumented."""

    s: str
    t: int
    T: int
    X: str | None = None
    """MARKET, or INSURANCE_FUND, ADL, NA: prints that are no trade of the market. Absent before 2021."""


class AggTradeWithoutId(Struct, gc=False):
    """`<s>@aggTrade` of 2019: no `a`, so that nothing says where in the stream it belongs."""

    E: int
    s: str
    p: str
    q: str
    f: int
    T: int


class MarkPriceMsg(Struct, gc=False):
    """`<s>@markPrice[@1s]`."""

    E: int
    s: str
    p: str
    i: str | None = None
    P: str | None = None
    """Estimated settlement price."""
    r: str | None = None
    """Funding rate; absent or empty on dated contracts."""
    T: int | None = None
    """The NEXT funding time."""


class IndexPriceMsg(Struct, gc=False):
    """`<pair>@indexPrice[@1s]`, COIN-M."""

    E: int
    i: str
    p: str


class ForcedOrder(Struct, gc=False):
    s: str
    S: str
    """BUY or SELL: of the liquidation order."""
    q: str
    p: str
    ap: str
    X: str
    T: int


class ForceOrderMsg(Struct, gc=False):
    """`<s>@forceOrder`."""

    E: int
    o: ForcedOrder


class PartialBookMsg(Struct, gc=False):
    """`<s>@depth<5|10|20>`: the shape and the type of the diff stream, and yet the whole top each time."""

    E: int
    s: str
    u: int
    b: list[tuple[str, str]]
    a: list[tuple[str, str]]


class CompositeIndexMsg(Struct, gc=False):
    """`<s>@compositeIndex`."""

    E: int
    s: str
    p: str


class ContinuousKlineMsg(Struct, gc=False):
    """`<pair>_<contractType>@continuousKline_<i>`: of whatever contract holds that place now."""

    E: int
    ps: str
    ct: str
    k: Raw


class TardisOpenInterest(Struct, gc=False):
    """Not the venue's: a REST reply re-wrapped by Tardis."""

    symbol: str
    openInterest: str


# --- REST ------------------------------------------------------------------------------------------


class RestPremiumIndex(Struct, gc=False):
    """`/fapi/v1/premiumIndex`, `/dapi/v1/premiumIndex`."""

    symbol: str
    markPrice: str
    time: int
    indexPrice: str | None = None
    estimatedSettlePrice: str | None = None
    lastFundingRate: str | None = None
    """The rate that will be exchanged at `nextFundingTime`; "" on dated contracts."""
    nextFundingTime: int | None = None


class RestFundingRate(Struct, gc=False):
    """`fundingRate`: what was exchanged."""

    symbol: str
    fundingRate: str
    fundingTime: int


class RestFundingInfo(Struct, gc=False):
    """`/fapi/v1/fundingInfo`: only symbols whose cap or interval was adjusted."""

    symbol: str
    fundingIntervalHours: int


class RestOpenInterest(Struct, gc=False):
    """`openInterest`. COIN-M counts contracts."""

    symbol: str
    openInterest: str
    time: int


class RestOpenInterestHist(Struct, gc=False):
    """`/futures/data/openInterestHist`. USD-M: base coin and quote currency; COIN-M: contracts and base coin."""

    sumOpenInterest: str
    sumOpenInterestValue: str
    timestamp: int | str
    symbol: str = ""
    pair: str = ""
    contractType: str = ""


class RestRatio(Struct, gc=False):
    """`/futures/data/topLongShortPositionRatio`, `topLongShortAccountRatio`, `globalLongShortAccountRatio`."""

    longShortRatio: str
    timestamp: int | str
    symbol: str = ""
    pair: str = ""
    longAccount: str = ""
    shortAccount: str = ""
    longPosition: str = ""
    """COIN-M's name in the position ratio; so for the short."""
    shortPosition: str = ""


class RestTakerRatio(Struct, gc=False):
    """`/futures/data/takerlongshortRatio`, USD-M."""

    buySellRatio: str
    buyVol: str
    sellVol: str
    timestamp: int | str


class RestTakerVolume(Struct, gc=False):
    """`/futures/data/takerBuySellVol`, COIN-M: contracts, and (`..Value`) base coin."""

    pair: str
    contractType: str
    takerBuyVolValue: str
    takerSellVolValue: str
    timestamp: int | str


class RestBasis(Struct, gc=False):
    """`/futures/data/basis`."""

    pair: str
    contractType: str
    basis: str
    timestamp: int | str


class RestIndexInfo(Struct, gc=False):
    """`/fapi/v1/indexInfo`: what a composite index is made of."""

    symbol: str
    time: int
    baseAssetList: list[Raw]


class RestAssetIndex(Struct, gc=False):
    """`/fapi/v1/assetIndex`."""

    symbol: str
    time: int
    index: str


class ContractInfo(Struct, gc=False):
    """An entry of the futures' `exchangeInfo`, beyond what spot's has."""

    symbol: str
    deliveryDate: int
    marginAsset: str
    contractType: str | None = None
    contractStatus: str | None = None
    """COIN-M, in place of `status`."""
    contractSize: Raw = Raw(b"")
    """COIN-M: quote currency per contract."""
