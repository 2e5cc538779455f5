"""Deribit subscription frames to our records, one function per channel.

Amounts of inverse perpetuals and futures are in USD, all others in base coin: `Context.instrument` tells which, and
those of the two markets that have inverse contracts cannot do without it. Volumes are in base coin everywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import msgspec
from msgspec import Raw

from marketdata.codec import UNDECODABLE
from marketdata.decimals import is_zero
from marketdata.errors import BadData, UnparsableFrame
from marketdata.types import (
    AnyRecord,
    Bbo,
    Funding,
    Liquidation,
    MarkPrice,
    OpenInterest,
    Side,
    Ticker,
    Trade,
    VenueKline,
    Volatility,
)  # fmt: skip
from marketdata.units import Units, units_of
from venues.contract import Context, Normaliser, canonical
from venues.deribit import messages as m
from venues.deribit.symbols import symbol_of
from venues.json_numbers import levels, number

T = TypeVar("T")

INVERSE_MARKETS = frozenset(("perp", "future"))
_BASE_COIN = Units("1", False)

_SIDES: Mapping[str, Side] = {"buy": "buy", "sell": "sell"}
_OPPOSITE: Mapping[Side, Side] = {"buy": "sell", "sell": "buy", "unknown": "unknown"}

FUNDING_PERIOD_MS = 8 * 3_600_000
"""What the venue's rates are for, although funding accrues continuously."""

MINUTE_MS = 60_000
RESOLUTIONS = {
    "1": ("1m", 1), "3": ("3m", 3), "5": ("5m", 5), "10": ("10m", 10), "15": ("15m", 15), "30": ("30m", 30),
    "60": ("1h", 60), "120": ("2h", 120), "180": ("3h", 180), "360": ("6h", 360), "720": ("12h", 720),
    "1D": ("1d", 1440),
}  # fmt: skip
"""The venue's name: ours, and minutes."""


def _reader(shape: type[T], what: str) -> Callable[[bytes], m.Params[T]]:
    """A function that decodes a frame whose payload is of that shape. Raises UnparsableFrame."""
    decode = msgspec.json.Decoder(m.Notification[shape]).decode  # type: ignore[valid-type]  # a value here

    def read(frame: bytes) -> m.Params[T]:
        try:
            return decode(frame).params
        except UNDECODABLE as exc:
            raise UnparsableFrame(f"not a {what} of Deribit: {exc}") from None

    return read


_read_trades = _reader(list[m.TradeMsg], "trades frame")
_read_quote = _reader(m.QuoteMsg, "quote frame")
_read_ticker = _reader(m.TickerMsg, "ticker frame")
_read_chart = _reader(m.ChartMsg, "chart frame")
_read_volatility = _reader(m.VolatilityMsg, "volatility index frame")
_read_grouped = _reader(m.BookMsg, "grouped book frame")


def units(ctx: Context, what: str) -> Units:
    """Of the amounts. Raises BadData `no_instrument` where they may be USD and nobody said."""
    return units_of(ctx.instrument, what) if ctx.market in INVERSE_MARKETS else _BASE_COIN


def _check_symbol(name: str, ctx: Context) -> None:
    if name != ctx.symbol and symbol_of(name) != ctx.symbol:
        raise UnparsableFrame(f"the stream is {ctx.symbol}'s but its payload says {name!r}")


# --- trades ----------------------------------------------------------------------------------------


def trades(frame: bytes, ctx: Context) -> Sequence[Trade | Liquidation]:
    """`trades.{i}.{interval}`; of `trades.{kind}.{currency}.{interval}` those of the context's symbol."""
    params = _read_trades(frame)
    is_wide = params.channel.count(".") == 3
    out: list[Trade | Liquidation] = []
    for msg in params.data:
        if is_wide and symbol_of(msg.instrument_name) != ctx.symbol:
            continue
        out += trade_records(msg, ctx)
    return out


def trade_records(msg: m.TradeMsg, ctx: Context) -> Sequence[Trade | Liquidation]:
    """The trade and, where one caused it, the liquidation: of the maker (M), the taker (T) or both."""
    _check_symbol(msg.instrument_name, ctx)
    price, amount = number(msg.price), number(msg.amount)
    unit = units(ctx, "a trade's amount")
    quantity = _coins(unit, amount, price)
    raw_quantity = amount if unit.inverse else ""
    side = _SIDES.get(msg.direction, "unknown")
    who = "" if msg.liquidation in (None, "none") else msg.liquidation
    trade = Trade(
        exchange=ctx.exchange,
        market=ctx.market,
        symbol=ctx.symbol,
        instrument=canonical(ctx),
        recv_time_ns=ctx.recv_time_ns,
        trade_id=str(msg.trade_seq),
        price=price,
        quantity=quantity,
        side=side,
        trade_time_us=msg.timestamp * 1000,
        event_time_us=msg.timestamp * 1000,
        raw_quantity=raw_quantity,
        liquidation=bool(who),
        venue_trade_id=msg.trade_id,
        off_book=bool(msg.block_trade_id or msg.block_rfq_id or msg.combo_id),
    )
    if not who:
        return (trade,)
    orders = [("M", _OPPOSITE[side])] * ("M" in who) + [("T", side)] * ("T" in who)
    return (
        trade,
        *(
            Liquidation(
                exchange=ctx.exchange,
                market=ctx.market,
                symbol=ctx.symbol,
                instrument=trade.instrument,
                recv_time_ns=ctx.recv_time_ns,
                liquidation_id=f"{msg.trade_seq}-{letter}",
                side=order_side,
                price=price,
                quantity=quantity,
                raw_quantity=raw_quantity,
                event_time_us=trade.event_time_us,
            )
            for letter, order_side in orders
        ),
    )


def _coins(unit: Units, amount: str, price: str) -> str:
    """In base coin; "" where there is no price to turn dollars into coins at. Validation then refuses that record
    alone: of a frame of many trades, or a ticker of many figures, the others go on."""
    try:
        return unit.base(amount, price)
    except BadData:
        return ""


# --- quotes and tickers ----------------------------------------------------------------------------


def _quote_side(price: Raw, amount: Raw) -> tuple[str, str]:
    """("", "") for an empty side: its price is null or 0."""
    text = number(price)
    return (text, number(amount)) if text and not is_zero(text) else ("", "")


def bbo(frame: bytes, ctx: Context) -> Sequence[Bbo]:
    """`quote.{i}`. It has no update id."""
    msg = _read_quote(frame).data
    _check_symbol(msg.instrument_name, ctx)
    unit = units(ctx, "a quote's amount")
    bid_price, bid_amount = _quote_side(msg.best_bid_price, msg.best_bid_amount)
    ask_price, ask_amount = _quote_side(msg.best_ask_price, msg.best_ask_amount)
    return (
        Bbo(
            exchange=ctx.exchange,
            market=ctx.market,
            symbol=ctx.symbol,
            instrument=canonical(ctx),
            recv_time_ns=ctx.recv_time_ns,
            update_id="",
            bid_price=bid_price,
            bid_quantity=unit.base(bid_amount, bid_price),
            ask_price=ask_price,
            ask_quantity=unit.base(ask_amount, ask_price),
            event_time_us=msg.timestamp * 1000,
            raw_bid_quantity=bid_amount if unit.inverse else "",
            raw_ask_quantity=ask_amount if unit.inverse else "",
        ),
    )


def ticker(frame: bytes, ctx: Context) -> Sequence[AnyRecord]:
    """`ticker.{i}.{interval}`: the 24 h statistics, and of derivatives mark price, open interest and funding."""
    msg = _read_ticker(frame).data
    _check_symbol(msg.instrument_name, ctx)
    unit = units(ctx, "a ticker's amount")
    records: list[AnyRecord] = [_statistics(msg, unit, ctx)]
    if ctx.market == "spot":
        return records
    mark_price = number(msg.mark_price)
    if mark_price:
        records.append(_mark_price(msg, mark_price, ctx))
    amount = number(msg.open_interest)
    if open_interest := _coins(unit, amount, mark_price):
        records.append(_open_interest(open_interest, amount, msg.timestamp, unit, ctx))
    rate = number(msg.current_funding)
    if rate and ctx.market == "perp":
        records.append(_funding(rate, msg.timestamp, ctx))
    return records


def _statistics(msg: m.TickerMsg, unit: Units, ctx: Context) -> Ticker:
    stats = msg.stats or m.Stats()
    bid_price, bid_amount = _quote_side(msg.best_bid_price, msg.best_bid_amount)
    ask_price, ask_amount = _quote_side(msg.best_ask_price, msg.best_ask_amount)
    return Ticker(
        exchange=ctx.exchange,
        market=ctx.market,
        symbol=ctx.symbol,
        instrument=canonical(ctx),
        recv_time_ns=ctx.recv_time_ns,
        last_price=number(msg.last_price),
        high=number(stats.high),
        low=number(stats.low),
        volume=number(stats.volume),
        quote_volume=_quote_volume(stats, unit, ctx),
        price_change_percent=number(stats.price_change),
        bid_price=bid_price,
        bid_quantity=unit.base(bid_amount, bid_price),
        ask_price=ask_price,
        ask_quantity=unit.base(ask_amount, ask_price),
        event_time_us=msg.timestamp * 1000,
    )


def _quote_volume(stats: m.Stats, unit: Units, ctx: Context) -> str:
    """`volume_notional` is in the quote currency, of futures and spot; before 2022 inverse ones had `volume_usd`."""
    if ctx.market == "option":
        return ""
    return number(stats.volume_notional) or (number(stats.volume_usd) if unit.inverse else "")


def _mark_price(msg: m.TickerMsg, mark_price: str, ctx: Context) -> MarkPrice:
    delivers = ctx.market != "perp" and bytes(msg.estimated_delivery_price)[:1].isdigit()  # "expired" afterwards
    return MarkPrice(
        exchange=ctx.exchange,
        market=ctx.market,
        symbol=ctx.symbol,
        instrument=canonical(ctx),
        recv_time_ns=ctx.recv_time_ns,
        mark_price=mark_price,
        index_price=number(msg.index_price),
        settle_price=number(msg.estimated_delivery_price) if delivers else "",
        event_time_us=msg.timestamp * 1000,
    )


def _open_interest(open_interest: str, amount: str, time_ms: int, unit: Units, ctx: Context) -> OpenInterest:
    """The venue's amount is USD of inverse contracts, which is the value in quote currency; in base coin at the mark
    price."""
    raw = amount if unit.inverse else ""
    return OpenInterest(
        exchange=ctx.exchange,
        market=ctx.market,
        symbol=ctx.symbol,
        instrument=canonical(ctx),
        recv_time_ns=ctx.recv_time_ns,
        open_interest=open_interest,
        raw_open_interest=raw,
        value=raw,
        event_time_us=time_ms * 1000,
    )


def _funding(rate: str, time_ms: int, ctx: Context) -> Funding:
    """The rate at this moment, for 8 h; it is exchanged continuously, so the time of exchange is now."""
    return Funding(
        exchange=ctx.exchange,
        market=ctx.market,
        symbol=ctx.symbol,
        instrument=canonical(ctx),
        recv_time_ns=ctx.recv_time_ns,
        rate=rate,
        funding_time_us=time_ms * 1000,
        interval_ms=FUNDING_PERIOD_MS,
        event_time_us=time_ms * 1000,
    )


# --- candles and indices ---------------------------------------------------------------------------


def kline(frame: bytes, ctx: Context) -> Sequence[VenueKline]:
    """`chart.trades.{i}.{resolution}`. It says neither that a candle is closed nor when it was sent."""
    params = _read_chart(frame)
    _, _, rest = params.channel.partition("chart.trades.")
    name, _, resolution = rest.partition(".")
    _check_symbol(name, ctx)
    msg = params.data
    row = (msg.open, msg.high, msg.low, msg.close, msg.volume, msg.cost)
    return (kline_record(msg.tick, resolution, row, False, ctx),)


def kline_record(
    tick_ms: int, resolution: str, row: tuple[Raw, Raw, Raw, Raw, Raw, Raw], is_closed: bool, ctx: Context
) -> VenueKline:
    """From open, high, low, close, volume and cost: base coin and quote currency, whatever amounts are in."""
    if resolution not in RESOLUTIONS:
        raise UnparsableFrame(f"a candle of resolution {resolution[:20]!r}")
    interval, minutes = RESOLUTIONS[resolution]
    open_, high, low, close, volume, cost = map(number, row)
    return VenueKline(
        exchange=ctx.exchange,
        market=ctx.market,
        symbol=ctx.symbol,
        instrument=canonical(ctx),
        recv_time_ns=ctx.recv_time_ns,
        interval=interval,
        open_time=tick_ms,
        close_time=tick_ms + minutes * MINUTE_MS - 1,
        open=open_,
        high=high,
        low=low,
        close=close,
        volume=volume,
        quote_volume=cost,
        trade_count=-1,
        taker_buy_volume="",
        taker_buy_quote_volume="",
        is_closed=is_closed,
    )


def volatility(frame: bytes, ctx: Context) -> Sequence[Volatility]:
    """`deribit_volatility_index.{index}` (DVOL)."""
    msg = _read_volatility(frame).data
    _check_symbol(msg.index_name, ctx)
    return (
        Volatility(
            exchange=ctx.exchange,
            market=ctx.market,
            symbol=ctx.symbol,
            recv_time_ns=ctx.recv_time_ns,
            index=msg.index_name,
            value=number(msg.volatility),
            event_time_us=msg.timestamp * 1000,
        ),
    )


# --- recognised, no record -------------------------------------------------------------------------


def grouped_book(frame: bytes, ctx: Context) -> Sequence[AnyRecord]:
    """A window of the book, whole each time: checked, then left."""
    msg = _read_grouped(frame).data
    _check_symbol(msg.instrument_name, ctx)
    levels(msg.bids)
    levels(msg.asks)
    return ()


def _without_record(read: Callable[[bytes], object]) -> Normaliser:
    def normalise(frame: bytes, ctx: Context) -> Sequence[AnyRecord]:  # noqa: ARG001  the contract's signature
        read(frame)
        return ()

    return normalise


_any_object = _without_record(_reader(m.Named, "frame about an instrument"))
_any = _without_record(_reader(Raw, "frame"))

NORMALISERS: dict[str, Normaliser] = {
    "trade": trades,
    "bbo": bbo,
    "ticker": ticker,
    "kline": kline,
    "volatility": volatility,
    "grouped_book": grouped_book,
    "incremental_ticker": _any_object,
    "perpetual": _any_object,
    "price_index": _any_object,
    "price_statistics": _any_object,
    "expiration_price": _any_object,
    "combo": _any,
    "price_ranking": _any,
    "option_marks": _any,
    "block_rfq": _any,
}
"""By channel, see `symbols.parse_channel`; `book` frames are the book machine's (`book_frames`)."""
