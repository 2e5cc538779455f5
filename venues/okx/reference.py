"""OKX frames of derivatives alone: mark prices, funding, open interest, liquidations; and kinds without a record."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from marketdata.decimals import is_whole, plain, plain_or_absent
from marketdata.errors import UnparsableFrame
from marketdata.types import AnyRecord, Funding, Liquidation, MarkPrice, OpenInterest
from venues.contract import Context, Normaliser, canonical
from venues.okx import messages as m
from venues.okx.normalise import SIDES, by_row, frame_reader, in_base


def mark_price_rows(msg: m.MarkPriceMsg, ctx: Context) -> Sequence[MarkPrice]:
    """`mark-price`; of options it is in coin, as all their prices are."""
    return (
        MarkPrice(
            exchange=ctx.exchange,
            market=ctx.market,
            symbol=ctx.symbol,
            instrument=canonical(ctx),
            recv_time_ns=ctx.recv_time_ns,
            mark_price=plain(msg.markPx),
            event_time_us=msg.ts * 1000,
        ),
    )


def funding_rows(msg: m.FundingMsg, ctx: Context) -> Sequence[Funding]:
    """`funding-rate`: the rate of the running period, and with it the one of the period before once that is settled.

    Periods differ in length (8 h to 1 h): it is taken from the times, as the venue advises. Frames recorded in 2021
    before a listing's first period have no rate: no record.
    """
    event_time_us = _milliseconds(msg.ts) * 1000
    next_ms, previous_ms = _milliseconds(msg.nextFundingTime), _milliseconds(msg.prevFundingTime)
    records = []
    if msg.fundingRate:
        length_ms = next_ms - msg.fundingTime if next_ms else 0
        next_rate = plain_or_absent(msg.nextFundingRate)
        records.append(_funding(ctx, msg.fundingRate, msg.fundingTime, length_ms, event_time_us, next_rate=next_rate))
    if msg.settState == "settled" and msg.settFundingRate and previous_ms:
        length_ms = msg.fundingTime - previous_ms
        records.append(_funding(ctx, msg.settFundingRate, previous_ms, length_ms, event_time_us, settled=True))
    return records


def funding_history_rows(msg: m.FundingHistoryMsg, ctx: Context) -> Sequence[Funding]:
    """`/api/v5/public/funding-rate-history`: what was exchanged."""
    return (_funding(ctx, msg.realizedRate, msg.fundingTime, 0, 0, settled=True),)


def _funding(
    ctx: Context, rate: str, funding_ms: int, interval_ms: int, event_time_us: int, settled: bool = False,
    next_rate: str = "",
) -> Funding:  # fmt: skip
    return Funding(
        exchange=ctx.exchange,
        market=ctx.market,
        symbol=ctx.symbol,
        instrument=canonical(ctx),
        recv_time_ns=ctx.recv_time_ns,
        rate=plain(rate),
        funding_time_us=funding_ms * 1000,
        next_rate=next_rate,
        interval_ms=interval_ms,
        settled=settled,
        event_time_us=event_time_us,
    )


def _milliseconds(text: str) -> int:
    """0 for a time the venue does not give. Raises UnparsableFrame."""
    if not text:
        return 0
    if not is_whole(text):
        raise UnparsableFrame(f"{text[:40]!r} is no time")
    return int(text)


def open_interest_rows(msg: m.OpenInterestMsg, ctx: Context) -> Sequence[OpenInterest]:
    """`open-interest`: `oiCcy` is base coin as it comes. `oiUsd` is a value in the quote currency only where that is
    USD."""
    in_dollars = "-USD-" in ctx.symbol or "-USD_" in ctx.symbol
    return (
        OpenInterest(
            exchange=ctx.exchange,
            market=ctx.market,
            symbol=ctx.symbol,
            instrument=canonical(ctx),
            recv_time_ns=ctx.recv_time_ns,
            open_interest=plain(msg.oiCcy),
            raw_open_interest=plain(msg.oi),
            value=plain_or_absent(msg.oiUsd) if in_dollars and ctx.market != "option" else "",
            event_time_us=msg.ts * 1000,
        ),
    )


_read_liquidations = frame_reader(m.LiquidationMsg, "liquidation-orders")


def liquidation(frame: bytes, ctx: Context) -> Sequence[Liquidation]:
    """`liquidation-orders`: one stream for a whole market; what is not of the context's symbol is left to others.

    The price is the bankruptcy price. The venue publishes at most one order per contract and second (`sampled`), gives
    no ids, and keeps no order of time.
    """
    return [
        _liquidation(detail, ctx)
        for msg in _read_liquidations(frame, ctx)
        if msg.instId == ctx.symbol
        for detail in msg.details
    ]


def _liquidation(detail: m.LiquidationDetail, ctx: Context) -> Liquidation:
    side = SIDES.get(detail.side)
    if side is None:
        raise UnparsableFrame(f"a liquidation of side {detail.side[:40]!r}")
    price = plain(detail.bkPx)
    quantity, raw_quantity = in_base(ctx, plain(detail.sz), price, "a liquidation")
    return Liquidation(
        exchange=ctx.exchange,
        market=ctx.market,
        symbol=ctx.symbol,
        instrument=canonical(ctx),
        recv_time_ns=ctx.recv_time_ns,
        side=side,
        price=price,
        quantity=quantity,
        raw_quantity=raw_quantity,
        sampled=True,
        event_time_us=detail.ts * 1000,
    )


def _without_record(read: Callable[[bytes, Context], list[Any]]) -> Normaliser:
    """For kinds we recognise but have no record for: checked against their shape, then left."""

    def normalise(frame: bytes, ctx: Context) -> Sequence[AnyRecord]:
        read(frame, ctx)
        return ()

    return normalise


REFERENCE_NORMALISERS: Final[dict[str, Normaliser]] = {
    "mark_price": by_row(m.MarkPriceMsg, "mark-price", mark_price_rows),
    "funding": by_row(m.FundingMsg, "funding-rate", funding_rows),
    "open_interest": by_row(m.OpenInterestMsg, "open-interest", open_interest_rows),
    "liquidation": liquidation,
    # A book without a chain of ids, limits of orders, an index, greeks, candles of a mark price or an index: no record
    # of ours means the same.
    "partial_book": _without_record(frame_reader(m.PartialBookMsg, "book")),
    "price_limit": _without_record(frame_reader(m.PriceLimitMsg, "price-limit")),
    "index_ticker": _without_record(frame_reader(m.IndexTickerMsg, "index-tickers")),
    "option_summary": _without_record(frame_reader(m.OptionSummaryMsg, "opt-summary")),
    "price_kline": _without_record(frame_reader(list[str], "candle of a price")),
}
"""By channel."""
