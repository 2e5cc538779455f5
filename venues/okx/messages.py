"""Wire shapes of OKX v5: only the fields we use, under the venue's own names; unknown fields are ignored.

Source: https://www.okx.com/docs-v5/en/ (copies of March to August 2026). Numbers are strings, but for `seqId`,
`prevSeqId` and `checksum`; times are milliseconds. Where a field has a default here, recorded frames lack it.
Fields typed int arrive as strings: they are read by decoders that are not strict about that.
"""

# ruff: noqa: N815  field names are the venue's own

from __future__ import annotations

from typing import Any, Generic, TypeVar

from msgspec import UNSET, Raw, Struct, UnsetType

T = TypeVar("T")

# --- envelopes -------------------------------------------------------------------------------------


class Arg(Struct, gc=False):
    """What a frame, or a request, is about; which of the ids it has depends on the channel."""

    channel: str
    instId: str = ""
    instType: str = ""
    instFamily: str = ""
    uly: str = ""


class Envelope(Struct):
    """Every frame the venue sends, by which keys it has: data, or an event."""

    event: str | UnsetType = UNSET
    arg: Arg | UnsetType = UNSET
    data: list[Raw] | UnsetType = UNSET
    code: str | int = ""
    msg: str = ""
    id: Any = None
    channel: str = ""
    connCount: Any = None


class Row(Struct, gc=False):
    """What a data element tells of itself, whatever it is."""

    instId: str = ""
    ts: str = ""


class Frame(Struct, Generic[T], gc=False):
    """A data frame."""

    arg: Arg
    data: list[T]


class Reply(Struct, Generic[T]):
    """Every REST reply; a code other than 0 is a refusal."""

    code: str
    data: list[T] = []
    msg: str = ""


# --- stream payloads, most of them REST's as well ---------------------------------------------------


class TradeMsg(Struct, gc=False):
    """`trades-all`: one execution. `trades`: one taker order's fills at one price, `count` of them (2021, 2022: not
    there, and each id came by itself). `side` is the taker's."""

    instId: str
    tradeId: int
    px: str
    sz: str
    side: str
    ts: int
    count: int = 1


class BboMsg(Struct, gc=False):
    """`bbo-tbt`: [price, size, "0", orders], nothing for an empty side. 2022: no `seqId`."""

    ts: int
    asks: list[list[str]] | None = None
    bids: list[list[str]] | None = None
    seqId: int | None = None
    instId: str = ""


class TickerMsg(Struct, gc=False):
    """`tickers`: rolling 24 h. "" where an option has no quote; `lastSz` 0 means that there is none."""

    instId: str
    last: str
    lastSz: str
    askPx: str
    askSz: str
    bidPx: str
    bidSz: str
    open24h: str
    high24h: str
    low24h: str
    volCcy24h: str
    vol24h: str
    ts: int


class MarkPriceMsg(Struct, gc=False):
    """`mark-price`."""

    instId: str
    markPx: str
    ts: int


class FundingMsg(Struct, gc=False):
    """`funding-rate`. 2021: no rate before a listing's first period, no `ts`. `nextFundingRate` is retired ("")."""

    instId: str
    fundingTime: int
    fundingRate: str = ""
    nextFundingRate: str = ""
    nextFundingTime: str = ""
    prevFundingTime: str = ""
    settState: str = ""
    settFundingRate: str = ""
    ts: str = ""


class FundingHistoryMsg(Struct, gc=False):
    """`/api/v5/public/funding-rate-history`: `realizedRate` is what was exchanged."""

    instId: str
    fundingTime: int
    realizedRate: str


class OpenInterestMsg(Struct, gc=False):
    """`open-interest`: `oi` in contracts, `oiCcy` in coin."""

    instId: str
    oi: str
    oiCcy: str
    ts: int
    oiUsd: str = ""


class LiquidationDetail(Struct, gc=False):
    """`bkPx` is the bankruptcy price, `side` the order's."""

    side: str
    bkPx: str
    sz: str
    ts: int


class LiquidationMsg(Struct, gc=False):
    """`liquidation-orders`: at most one order per contract and second, not in order of time."""

    instId: str
    details: list[LiquidationDetail]


# --- kinds without a record -------------------------------------------------------------------------


class PartialBookMsg(Struct, gc=False):
    """`books5`, `books50-l2-tbt`, `books-rpi` (whose third column is a quantity)."""

    ts: int
    asks: list[list[str]] | None = None
    bids: list[list[str]] | None = None


class PriceLimitMsg(Struct, gc=False):
    """`price-limit`."""

    instId: str
    buyLmt: str
    sellLmt: str
    ts: int


class IndexTickerMsg(Struct, gc=False):
    """`index-tickers`: of an index, whose name may be that of a spot pair."""

    instId: str
    idxPx: str
    ts: int


class OptionSummaryMsg(Struct, gc=False):
    """`opt-summary`: greeks and implied volatilities of every option of a family."""

    instId: str
    delta: str
    markVol: str
    ts: int


class SpreadMsg(Struct, gc=False):
    """`/api/v5/sprd/spreads`."""

    sprdId: str
    state: str


class TimeMsg(Struct, gc=False):
    """`/api/v5/public/time`."""

    ts: int


# --- books -----------------------------------------------------------------------------------------


class BookIds(Struct, gc=False):
    """An element of `books` or `books-l2-tbt`; levels are left undecoded."""

    ts: int
    seqId: int | None = None
    prevSeqId: int | None = None
    checksum: int = 0


class BookMsg(Struct, gc=False):
    """The same with its levels: [price, size, "0", orders]; before 2022-06 without sequence ids.

    A side that is null or absent is an empty one, for what `BookIds` accepts must have levels that can be read: else
    ingest holds a chain of ids for whole that has a gap for those who read the levels.
    """

    ts: int
    asks: list[list[str]] | None = None
    bids: list[list[str]] | None = None
    seqId: int | None = None
    prevSeqId: int | None = None
    checksum: int = 0


class BookIdsFrame(Struct, gc=False):
    action: str
    data: list[BookIds]


class BookFrameMsg(Struct, gc=False):
    action: str
    data: list[BookMsg]


# --- instruments -------------------------------------------------------------------------------------


class InstrumentMsg(Struct, gc=False):
    """An entry of `/api/v5/public/instruments`. `baseCcy` and `quoteCcy` are of spot alone."""

    instId: str
    instType: str
    state: str
    tickSz: str
    lotSz: str
    minSz: str
    baseCcy: str = ""
    quoteCcy: str = ""
    settleCcy: str = ""
    ctVal: str = ""
    ctMult: str = ""
    ctValCcy: str = ""
    ctType: str = ""
    expTime: str = ""
    stk: str = ""
    optType: str = ""


class VolumeMsg(Struct, gc=False):
    """What of `/api/v5/market/tickers` tells the turnover."""

    instId: str
    last: str
    volCcy24h: str
