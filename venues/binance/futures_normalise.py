"""Frames of Binance's futures to records: what spot does not have, or has differently. The rest is `normalise`'s.

Quantities stay as the venue counts them; COIN-M's are converted after this, see `coin_margined`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import msgspec
from msgspec import Raw, Struct

from marketdata.codec import UNDECODABLE
from marketdata.decimals import plain, plain_or_absent
from marketdata.errors import UnparsableFrame
from marketdata.types import AnyRecord, Funding, Liquidation, MarkPrice, Side, Trade
from venues.binance import futures_messages as f
from venues.binance import messages as m
from venues.binance import normalise as shared
from venues.binance.normalise import reader, without_record
from venues.contract import Context, Normaliser, PassedId, canonical, foreign

M = TypeVar("M", bound=Struct)

AGG_IDS_SINCE_MS = 1_577_836_800_000
"""2020: a recorded aggTrade of 2019 has no id, later ones all have."""

_read_trade_kind = reader(f.TradeKind, "trade")
_read_agg_trade_without_id = reader(f.AggTradeWithoutId, "aggTrade")
_read_mark_price = reader(f.MarkPriceMsg, "markPriceUpdate")
_read_force_order = reader(f.ForceOrderMsg, "forceOrder")


def trade(frame: bytes, ctx: Context) -> Sequence[Trade | PassedId]:
    """`@trade`. Only `X` = MARKET (or none, in old frames) is a trade of the market; insurance fund and ADL prints pass
    under the same ids, at prices far off."""
    if b'"X":"MARKET"' not in frame and b'"X"' in frame:
        msg = _read_trade_kind(frame)
        if msg.s != ctx.symbol:
            raise foreign(msg.s, ctx)
        if msg.X and msg.X != "MARKET":
            return (PassedId(str(msg.t), msg.T * 1000, "not_of_the_market"),)
    return shared.trade(frame, ctx)


def agg_trade(frame: bytes, ctx: Context) -> Sequence[Trade]:
    """`@aggTrade`: what one taker traded at one price within 100 ms. `q` holds what traded against retail price
    improvement orders too; `nq`, the quantity without that, is left out."""
    try:
        return shared.agg_trade(frame, ctx)
    except UnparsableFrame:
        old = _read_agg_trade_without_id(frame)
        if b'"a"' in frame or old.s != ctx.symbol or old.E >= AGG_IDS_SINCE_MS:
            raise
        return ()


def mark_price(frame: bytes, ctx: Context) -> Sequence[MarkPrice | Funding]:
    """`@markPrice[@1s]`: the mark price, and of perpetuals the rate to be exchanged at `T`, the next funding time."""
    msg = _read_mark_price(frame)
    if msg.s != ctx.symbol:
        raise foreign(msg.s, ctx)
    return mark_and_funding(msg.p, msg.i, msg.P, msg.r, msg.T, msg.E * 1000, ctx)


def mark_and_funding(
    mark: str,
    index: str | None,
    settle: str | None,
    rate: str | None,
    next_funding_ms: int | None,
    time_us: int,
    ctx: Context,
) -> Sequence[MarkPrice | Funding]:
    """A Funding only where there is a rate and a time to come: dated contracts have neither. None and "": not told."""
    price = MarkPrice(
        exchange=ctx.exchange,
        market=ctx.market,
        symbol=ctx.symbol,
        instrument=canonical(ctx),
        recv_time_ns=ctx.recv_time_ns,
        mark_price=plain(mark),
        index_price=plain_or_absent(index or ""),
        settle_price=plain_or_absent(settle or ""),
        event_time_us=time_us,
    )
    if not rate or not next_funding_ms or next_funding_ms < 0:
        return (price,)
    return price, funding(rate, next_funding_ms, False, time_us, ctx)


def funding(rate: str, time_ms: int, settled: bool, event_time_us: int, ctx: Context) -> Funding:
    return Funding(
        exchange=ctx.exchange,
        market=ctx.market,
        symbol=ctx.symbol,
        instrument=canonical(ctx),
        recv_time_ns=ctx.recv_time_ns,
        rate=plain(rate),
        funding_time_us=time_ms * 1000,
        settled=settled,
        event_time_us=event_time_us,
    )


_SIDES: dict[str, Side] = {"BUY": "buy", "SELL": "sell"}


def liquidation(frame: bytes, ctx: Context) -> Sequence[Liquidation]:
    """`@forceOrder`: at most one order per symbol and second, so that sums undercount. Price and quantity are the
    order's (a limit order, immediate or cancel); the average is what it was filled at. Its time is the order's."""
    order = _read_force_order(frame).o
    if order.s != ctx.symbol:
        raise foreign(order.s, ctx)
    side = _SIDES.get(order.S)
    if side is None:
        raise UnparsableFrame(f"a liquidation order whose side is {order.S!r}")
    average = plain(order.ap)
    return (
        Liquidation(
            exchange=ctx.exchange,
            market=ctx.market,
            symbol=ctx.symbol,
            instrument=canonical(ctx),
            recv_time_ns=ctx.recv_time_ns,
            side=side,
            price=plain(order.p),
            quantity=plain(order.q),
            average_price=average if average.strip("0.") else "",
            sampled=True,
            event_time_us=order.T * 1000,
        ),
    )


class _Payload(Struct):
    data: Raw = Raw()


class _Name(Struct):
    s: str = ""


_read_payload = msgspec.json.Decoder(_Payload).decode
_read_entries = msgspec.json.Decoder(list[Raw]).decode
_read_name = msgspec.json.Decoder(_Name).decode


def also_of_all(normalise: Normaliser) -> Normaliser:
    """The same for frames that carry many symbols (`!ticker@arr`): the entries of the context's symbol."""

    def of_one_or_all(frame: bytes, ctx: Context) -> Sequence[AnyRecord | PassedId]:
        if b"[" not in frame:
            return normalise(frame, ctx)
        try:
            payload = _read_payload(frame).data
            if not bytes(payload).startswith(b"["):
                return normalise(frame, ctx)
            entries = [bytes(entry) for entry in _read_entries(payload) if _read_name(entry).s == ctx.symbol]
        except UNDECODABLE as exc:
            raise UnparsableFrame(f"not a list of payloads of Binance: {exc}") from None
        return [record for entry in entries for record in normalise(entry, ctx)]

    return of_one_or_all


NORMALISERS: dict[str, Normaliser] = {
    "trade": trade,
    "agg_trade": agg_trade,
    "bbo": shared.bbo,
    "kline": shared.kline,
    "ticker": also_of_all(shared.ticker),
    "mini_ticker": also_of_all(shared.mini_ticker),
    "mark_price": also_of_all(mark_price),
    "liquidation": liquidation,
    # A top or book that has its own feed, an index, a rolling contract: no record of ours means the same.
    "partial_book": without_record(reader(f.PartialBookMsg, "partial book")),
    "rpi_book": without_record(reader(f.PartialBookMsg, "rpi book")),
    "index_price": without_record(reader(f.IndexPriceMsg, "indexPriceUpdate")),
    "composite_index": without_record(reader(f.CompositeIndexMsg, "compositeIndex")),
    "continuous_kline": without_record(reader(f.ContinuousKlineMsg, "continuous_kline")),
    "tardis_snapshot": without_record(reader(m.PartialBookMsg, "partial book")),
    "tardis_open_interest": without_record(reader(f.TardisOpenInterest, "open interest")),
}
"""USD-M, by channel; `book` frames are the book machine's."""
