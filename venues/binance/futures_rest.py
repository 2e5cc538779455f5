"""Replies of Binance's futures REST to our records. Times are milliseconds, in documentation examples also as text.

Source: https://developers.binance.com/docs/derivatives/usds-margined-futures/market-data/rest-api (and the page of the
same name under coin-margined-futures). Statistics under `/futures/data` count in periods.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import ROUND_HALF_EVEN, Decimal
from decimal import Context as Arithmetic
from typing import NamedTuple

import msgspec
from msgspec import Raw

from marketdata.decimals import is_zero, plain, plain_or_absent
from marketdata.errors import BadData
from marketdata.types import AnyRecord, LongShort, OpenInterest
from marketdata.units import units_of
from venues.binance import futures_messages as f
from venues.binance import rest as shared
from venues.binance.coin_margined import counts_contracts, in_base, worth
from venues.binance.futures_normalise import funding, mark_and_funding
from venues.binance.futures_protocol import perpetual_of, symbol_or_perpetual
from venues.binance.instruments import parse_coin_margined_contract, parse_contract
from venues.binance.rest import RestReader, Row, checked
from venues.contract import Context, PassedId, RestReply, canonical

RATIO_KINDS = {
    "topLongShortPositionRatio": "top_position",
    "topLongShortAccountRatio": "top_account",
    "globalLongShortAccountRatio": "global_account",
    "takerlongshortRatio": "taker_volume",
    "takerBuySellVol": "taker_volume",
}
"""Last part of the path and `LongShort.ratio_kind`."""

ENDPOINTS = shared.ENDPOINTS | {
    "premiumIndex": "mark_price",
    "fundingRate": "funding",
    "fundingInfo": "funding_info",
    "openInterest": "open_interest",
    "openInterestHist": "open_interest_hist",
    "takerlongshortRatio": "taker_ratio",
    "takerBuySellVol": "taker_volume",
    "basis": "basis",
    "indexInfo": "index_info",
    "assetIndex": "asset_index",
    "continuousKlines": "derived_kline",
    "indexPriceKlines": "derived_kline",
    "markPriceKlines": "derived_kline",
    "premiumIndexKlines": "derived_kline",
    "lvtKlines": "derived_kline",
    **dict.fromkeys(list(RATIO_KINDS)[:3], "long_short"),
}

SHAPES = (
    *shared.SHAPES,
    ("markPrice", "mark_price"),
    ("fundingRate", "funding"),
    ("fundingIntervalHours", "funding_info"),
    ("sumOpenInterest", "open_interest_hist"),
    ("openInterest", "open_interest"),
    ("longShortRatio", "long_short"),
    ("buySellRatio", "taker_ratio"),
    ("takerBuyVol", "taker_volume"),
    ("basis", "basis"),
    ("baseAssetList", "index_info"),
    ("index", "asset_index"),
    ("price", "price"),
)

RATIO_PLACES = Decimal("0.00000001")
_exact = Arithmetic(prec=200)  # more than the quotient of two of the longest numbers accepted has


class _Asked(NamedTuple):
    """What a statistics request was about: its replies do not say."""

    kind: str
    """`LongShort.ratio_kind`; "" where the path is not known."""
    period: str


def _mark_price(row: Raw, ctx: Context) -> Sequence[AnyRecord]:
    msg = _decode_premium(row)
    own = msgspec.structs.replace(ctx, symbol=msg.symbol)
    return mark_and_funding(
        msg.markPrice, msg.indexPrice, msg.estimatedSettlePrice, msg.lastFundingRate, msg.nextFundingTime,
        msg.time * 1000, own,
    )  # fmt: skip


def _funding(row: Raw, ctx: Context) -> Sequence[AnyRecord]:
    msg = _decode_funding(row)
    own = msgspec.structs.replace(ctx, symbol=msg.symbol)
    return (funding(msg.fundingRate, msg.fundingTime, True, msg.fundingTime * 1000, own),)


def _open_interest(row: Raw, ctx: Context) -> Sequence[AnyRecord]:
    msg = _decode_interest(row)
    return (_interest(msg.openInterest, "", "", msg.time, msgspec.structs.replace(ctx, symbol=msg.symbol)),)


def _open_interest_hist(row: Raw, ctx: Context) -> Sequence[AnyRecord]:
    """USD-M; rows of a pair are COIN-M's."""
    msg = _decode_interest_hist(row)
    if not msg.symbol:
        return ()
    own = msgspec.structs.replace(ctx, symbol=msg.symbol)
    return (_interest(msg.sumOpenInterest, "", msg.sumOpenInterestValue, int(msg.timestamp), own),)


def _coin_margined_open_interest_hist(row: Raw, ctx: Context) -> Sequence[AnyRecord]:
    """Of perpetuals: which dated contract a type meant then, the row does not say."""
    msg = _decode_interest_hist(row)
    if msg.contractType != "PERPETUAL":
        return ()
    units = units_of(ctx.instrument, "open interest")
    own = msgspec.structs.replace(ctx, symbol=perpetual_of(msg.pair))
    contracts = plain(msg.sumOpenInterest)
    return (_interest(msg.sumOpenInterestValue, contracts, worth(contracts, units), int(msg.timestamp), own),)


def _interest(amount: str, raw: str, value: str, time_ms: int, ctx: Context) -> OpenInterest:
    return OpenInterest(
        exchange=ctx.exchange,
        market=ctx.market,
        symbol=ctx.symbol,
        instrument=canonical(ctx),
        recv_time_ns=ctx.recv_time_ns,
        open_interest=plain(amount),
        raw_open_interest=raw,
        value=plain_or_absent(value),
        event_time_us=time_ms * 1000,
    )


def _ratio(row: Raw, asked: _Asked, ctx: Context) -> Sequence[LongShort]:
    msg = _decode_ratio(row)
    longs, shorts = msg.longAccount or msg.longPosition, msg.shortAccount or msg.shortPosition
    return _long_short(msg.longShortRatio, longs, shorts, msg.timestamp, asked, ctx)


def _taker_ratio(row: Raw, asked: _Asked, ctx: Context) -> Sequence[LongShort]:
    msg = _decode_taker_ratio(row)
    return _long_short(msg.buySellRatio, msg.buyVol, msg.sellVol, msg.timestamp, asked, ctx)


def _taker_volume(row: Raw, asked: _Asked, ctx: Context) -> Sequence[LongShort]:
    """COIN-M gives no ratio: it is that of the volumes in base coin, to 8 decimals; none where nothing was sold."""
    msg = _decode_taker_volume(row)
    bought, sold = plain(msg.takerBuyVolValue), plain(msg.takerSellVolValue)
    if is_zero(sold):
        return ()
    ratio = _exact.divide(Decimal(bought), Decimal(sold)).quantize(RATIO_PLACES, ROUND_HALF_EVEN, _exact)
    return _long_short(f"{ratio:f}", bought, sold, msg.timestamp, asked, ctx)


def _long_short(
    ratio: str, longs: str, shorts: str, timestamp: int | str, asked: _Asked, ctx: Context
) -> Sequence[LongShort]:
    """Nothing where the path is not known, which alone says what is compared, or of whom."""
    if not (asked.kind and asked.period and ctx.symbol):
        return ()
    return (
        LongShort(
            exchange=ctx.exchange,
            market=ctx.market,
            symbol=ctx.symbol,
            instrument=canonical(ctx),
            recv_time_ns=ctx.recv_time_ns,
            ratio_kind=asked.kind,
            period=asked.period,
            ratio=plain(ratio),
            long=plain_or_absent(longs),
            short=plain_or_absent(shorts),
            event_time_us=int(timestamp) * 1000,
        ),
    )


_Ratio = Callable[[Raw, _Asked, Context], Sequence[LongShort]]

_RATIOS: dict[str, _Ratio] = {
    "long_short": _ratio,
    "taker_ratio": _taker_ratio,
    "taker_volume": _taker_volume,
}

_decode_premium = msgspec.json.Decoder(f.RestPremiumIndex).decode
_decode_funding = msgspec.json.Decoder(f.RestFundingRate).decode
_decode_interest = msgspec.json.Decoder(f.RestOpenInterest).decode
_decode_interest_hist = msgspec.json.Decoder(f.RestOpenInterestHist).decode
_decode_ratio = msgspec.json.Decoder(f.RestRatio).decode
_decode_taker_ratio = msgspec.json.Decoder(f.RestTakerRatio).decode
_decode_taker_volume = msgspec.json.Decoder(f.RestTakerVolume).decode


class FuturesReader(RestReader):
    """Ratios are told by the path alone: their rows do not say what they compare."""

    def reader_of(self, kind: str, name: str, query: Mapping[str, str]) -> Row | None:
        read = _RATIOS.get(kind)
        if read is None:
            return super().reader_of(kind, name, query)
        asked = _Asked(RATIO_KINDS.get(name, ""), query.get("period", ""))
        return lambda row, ctx: read(row, asked, ctx)


class CoinMarginedReader(FuturesReader):
    """Contracts become base coin."""

    def read(self, path: str, body: bytes, ctx: Context) -> RestReply:
        """Raises BadData `no_instrument` also where records are of other symbols than the context's instrument."""
        reply = super().read(path, body, ctx)
        known = ctx.instrument.symbol if ctx.instrument is not None else ""
        for record in reply.records:
            symbol = getattr(record, "symbol", "")
            if known and symbol != known and counts_contracts(record):
                raise BadData("no_instrument", f"the size of a contract of {symbol} is not known, only that of {known}")
        records = tuple(record for record in in_base(reply.records, ctx) if not isinstance(record, PassedId))
        return reply._replace(records=records)


_CHECKED_ROWS: dict[str, Row] = {
    "funding_info": checked(f.RestFundingInfo),
    "basis": checked(f.RestBasis),
    "index_info": checked(f.RestIndexInfo),
    "asset_index": checked(f.RestAssetIndex),
}
"""No record of ours means the same."""

_ROWS: dict[str, Row] = shared.ROWS | _CHECKED_ROWS | {
    "mark_price": _mark_price,
    "funding": _funding,
}  # fmt: skip

read_usd_margined = FuturesReader(
    title="Binance USD-M",
    endpoints=ENDPOINTS,
    shapes=SHAPES,
    rows=_ROWS | {"open_interest": _open_interest, "open_interest_hist": _open_interest_hist},
    parse_instrument=parse_contract,
    unnamed_rows="derived_kline",
).read

read_coin_margined = CoinMarginedReader(
    title="Binance COIN-M",
    endpoints=ENDPOINTS,
    shapes=SHAPES,
    # Contracts without a price of the same moment: nothing to be said in base coin.
    rows=_ROWS
    | {"open_interest": checked(f.RestOpenInterest), "open_interest_hist": _coin_margined_open_interest_hist},
    parse_instrument=parse_coin_margined_contract,
    unnamed_rows="derived_kline",
    symbol_of=symbol_or_perpetual,
).read


def poll_reader(
    read: Callable[[str, bytes, Context], RestReply],
) -> Callable[[str, bytes, Context], Sequence[AnyRecord]]:
    """See `Venue.read_poll`. Raises BadData `refused` on the venue's error."""

    def read_poll(path: str, body: bytes, ctx: Context) -> Sequence[AnyRecord]:
        reply = read(path, body, ctx)
        if reply.error is not None:
            raise BadData("refused", f"{path}: {reply.error.code} {reply.error.message}")
        return reply.records

    return read_poll
