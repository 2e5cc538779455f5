"""Binance stream frames to our records, one function per channel: spot's, and what the futures write alike.

Exactness: decimal strings pass through as the venue wrote them (`marketdata.decimals.plain` rewrites exponents and
refuses what is no number); times are multiplied, never divided. A frame may come in the combined wrapper or bare.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

import msgspec
from msgspec import UNSET, Struct

from marketdata.codec import UNDECODABLE
from marketdata.decimals import plain, plain_or_absent
from marketdata.errors import UnparsableFrame
from marketdata.types import AnyRecord, Bbo, Ticker, Trade, VenueKline
from venues.binance import messages as m
from venues.contract import Context, Normaliser, canonical, foreign

T = TypeVar("T")


class _Wrapped(Struct, Generic[T], gc=False):
    """The combined endpoint's wrapper."""

    data: T


def reader(shape: type[T], what: str) -> Callable[[bytes], T]:
    """A function that decodes a payload of that shape. Raises UnparsableFrame."""
    wrapped = msgspec.json.Decoder(_Wrapped[shape]).decode  # type: ignore[valid-type]  # a value here
    bare = msgspec.json.Decoder(shape).decode

    def read(frame: bytes) -> T:
        if b'"data"' not in frame:
            return _read_bare(frame)
        try:
            return wrapped(frame).data
        except UNDECODABLE as exc:
            if b'"stream"' in frame:
                raise UnparsableFrame(f"not a {what} of Binance: {exc}") from None
        return _read_bare(frame)  # whose payload has some field of that name

    def _read_bare(frame: bytes) -> T:
        try:
            return bare(frame)
        except UNDECODABLE as exc:
            raise UnparsableFrame(f"not a {what} of Binance: {exc}") from None

    return read


_LAYOUT = bytes.maketrans(b"123456789", b"000000000")
_LAYOUTS_MAX = 50_000
_plain_layouts: set[bytes] = set()
"""Frames with each digit written as 0 whose numbers were found plain: so they are in every frame of the same layout.
Half the price of looking at each number, on the busiest of all paths."""


def _make_plain(msg: Struct, names: Sequence[str], frame: bytes) -> None:
    """Rewrite the numbers `names` of a fresh message in plain notation. Raises UnparsableFrame on what is none."""
    rewritten = False
    for name in names:
        text = getattr(msg, name)
        number = plain(text)
        if number != text:
            setattr(msg, name, number)
            rewritten = True
    if rewritten or b"\\" in frame:  # the digits of an escape are no digits
        return
    if len(_plain_layouts) >= _LAYOUTS_MAX:
        _plain_layouts.clear()
    _plain_layouts.add(frame.translate(_LAYOUT))


_decode_trade = msgspec.json.Decoder(_Wrapped[m.TradeMsg]).decode
_decode_agg_trade = msgspec.json.Decoder(_Wrapped[m.AggTradeMsg]).decode
_decode_book_ticker = msgspec.json.Decoder(_Wrapped[m.BookTickerMsg]).decode
_read_trade = reader(m.TradeMsg, "trade")
_read_agg_trade = reader(m.AggTradeMsg, "aggTrade")
_read_one_sided = reader(m.OneSidedBookTickerMsg, "bookTicker")
_read_kline = reader(m.KlineMsg, "kline")
_read_ticker = reader(m.TickerMsg, "24hrTicker")
_read_mini_ticker = reader(m.MiniTickerMsg, "24hrMiniTicker")


def trade(frame: bytes, ctx: Context) -> Sequence[Trade]:
    """`@trade`. The buyer being the maker (`m`) means that the taker sold."""
    try:
        msg = _decode_trade(frame).data
    except UNDECODABLE:
        msg = _read_trade(frame)  # without the wrapper, or not a trade: says what is wrong
    if msg.s != ctx.symbol:
        raise foreign(msg.s, ctx)
    if frame.translate(_LAYOUT) not in _plain_layouts:
        _make_plain(msg, ("p", "q"), frame)
    return (
        Trade(
            exchange=ctx.exchange,
            market=ctx.market,
            symbol=ctx.symbol,
            instrument=ctx.instrument.instrument if ctx.instrument is not None else "",
            recv_time_ns=ctx.recv_time_ns,
            trade_id=str(msg.t),
            price=msg.p,
            quantity=msg.q,
            side="sell" if msg.m else "buy",
            trade_time_us=msg.T * 1000,
            event_time_us=msg.E * 1000,
        ),
    )


def agg_trade(frame: bytes, ctx: Context) -> Sequence[Trade]:
    """`@aggTrade`: an id space of its own (`a`); `f` and `l` are the ids of the trades merged."""
    try:
        msg = _decode_agg_trade(frame).data
    except UNDECODABLE:
        msg = _read_agg_trade(frame)
    if msg.s != ctx.symbol:
        raise foreign(msg.s, ctx)
    if frame.translate(_LAYOUT) not in _plain_layouts:
        _make_plain(msg, ("p", "q"), frame)
    return (
        Trade(
            exchange=ctx.exchange,
            market=ctx.market,
            symbol=ctx.symbol,
            instrument=canonical(ctx),
            recv_time_ns=ctx.recv_time_ns,
            trade_id=str(msg.a),
            price=msg.p,
            quantity=msg.q,
            side="sell" if msg.m else "buy",
            trade_time_us=msg.T * 1000,
            event_time_us=msg.E * 1000,
            aggregated=True,
            first_trade_id=str(msg.f),
            last_trade_id=str(msg.l),
        ),
    )


def bbo(frame: bytes, ctx: Context) -> Sequence[Bbo]:
    """`@bookTicker`. Spot's has no time: event_time_us stays 0. An empty side comes as price and quantity zero; one
    without a price is the same."""
    try:
        msg = _decode_book_ticker(frame).data
    except UNDECODABLE:
        msg = _read_book_ticker(frame)
    if msg.s != ctx.symbol:
        raise foreign(msg.s, ctx)
    if frame.translate(_LAYOUT) not in _plain_layouts:
        _make_plain(msg, (*(("b", "B") if msg.b else ()), *(("a", "A") if msg.a else ())), frame)
    bid_price, bid_quantity, ask_price, ask_quantity = msg.b, msg.B, msg.a, msg.A
    if not bid_price or (bid_price[0] == "0" and not bid_price.strip("0.")):
        bid_price = bid_quantity = ""
    if not ask_price or (ask_price[0] == "0" and not ask_price.strip("0.")):
        ask_price = ask_quantity = ""
    return (
        Bbo(
            exchange=ctx.exchange,
            market=ctx.market,
            symbol=ctx.symbol,
            instrument=canonical(ctx),
            recv_time_ns=ctx.recv_time_ns,
            update_id=str(msg.u),
            bid_price=bid_price,
            bid_quantity=bid_quantity,
            ask_price=ask_price,
            ask_quantity=ask_quantity,
            event_time_us=msg.E * 1000,
        ),
    )


def _read_book_ticker(frame: bytes) -> m.BookTickerMsg:
    """Without the wrapper, or with a side missing. Raises UnparsableFrame, also where both are left out: then it is
    something else that is told."""
    msg = _read_one_sided(frame)
    if msg.b is UNSET and msg.a is UNSET:
        raise UnparsableFrame("a bookTicker of Binance without sides")
    return m.BookTickerMsg(msg.u, msg.s, msg.b or "", msg.B or "", msg.a or "", msg.A or "", msg.E)


def quote_side(price: str | None, quantity: str | None) -> tuple[str, str]:
    """("", "") for an empty side, which the venue writes as zeros; one without a price is the same."""
    if not price:
        return "", ""
    price, quantity = plain(price), plain(quantity or "")
    return ("", "") if not price.strip("0.") else (price, quantity)


def kline(frame: bytes, ctx: Context) -> Sequence[VenueKline]:
    """`@kline_<i>`. A candle without trades has the ids -1, which become ""."""
    msg = _read_kline(frame)
    if msg.s != ctx.symbol:
        raise foreign(msg.s, ctx)
    k = msg.k
    return (
        VenueKline(
            exchange=ctx.exchange,
            market=ctx.market,
            symbol=ctx.symbol,
            instrument=canonical(ctx),
            recv_time_ns=ctx.recv_time_ns,
            interval=k.i,
            open_time=k.t,
            close_time=k.T,
            open=plain(k.o),
            high=plain(k.h),
            low=plain(k.l),
            close=plain(k.c),
            volume=plain(k.v),
            quote_volume=plain(k.q),
            trade_count=k.n,
            taker_buy_volume=plain(k.V),
            taker_buy_quote_volume=plain(k.Q),
            first_trade_id=id_text(k.f),
            last_trade_id=id_text(k.L),
            is_closed=k.x,
            event_time_us=msg.E * 1000,
        ),
    )


def id_text(value: int) -> str:
    """Empty for the -1 by which the venue says that there is none."""
    return str(value) if value >= 0 else ""


def ticker(frame: bytes, ctx: Context) -> Sequence[Ticker]:
    """`@ticker`: the rolling 24 h window."""
    msg = _read_ticker(frame)
    if msg.s != ctx.symbol:
        raise foreign(msg.s, ctx)
    bid_price, bid_quantity = quote_side(msg.b, msg.B)
    ask_price, ask_quantity = quote_side(msg.a, msg.A)
    return (
        Ticker(
            exchange=ctx.exchange,
            market=ctx.market,
            symbol=ctx.symbol,
            instrument=canonical(ctx),
            recv_time_ns=ctx.recv_time_ns,
            last_price=plain(msg.c),
            last_quantity=plain_or_absent(msg.Q or ""),
            open=plain(msg.o),
            high=plain(msg.h),
            low=plain(msg.l),
            volume=plain(msg.v),
            quote_volume=plain(msg.q),
            price_change=plain(msg.p),
            price_change_percent=plain(msg.P),
            weighted_average_price=plain(msg.w),
            bid_price=bid_price,
            bid_quantity=bid_quantity,
            ask_price=ask_price,
            ask_quantity=ask_quantity,
            trade_count=msg.n,
            first_trade_id=id_text(msg.F),
            last_trade_id=id_text(msg.L),
            window_open_ms=msg.O,
            window_close_ms=msg.C,
            event_time_us=msg.E * 1000,
        ),
    )


def mini_ticker(frame: bytes, ctx: Context) -> Sequence[Ticker]:
    """`@miniTicker`: the same window, fewer values."""
    msg = _read_mini_ticker(frame)
    if msg.s != ctx.symbol:
        raise foreign(msg.s, ctx)
    return (
        Ticker(
            exchange=ctx.exchange,
            market=ctx.market,
            symbol=ctx.symbol,
            instrument=canonical(ctx),
            recv_time_ns=ctx.recv_time_ns,
            last_price=plain(msg.c),
            open=plain(msg.o),
            high=plain(msg.h),
            low=plain(msg.l),
            volume=plain(msg.v),
            quote_volume=plain(msg.q),
            event_time_us=msg.E * 1000,
        ),
    )


def without_record(read: Callable[[bytes], object]) -> Normaliser:
    """For kinds we recognise but have no record for: checked against their shape, then left."""

    def normalise(frame: bytes, ctx: Context) -> Sequence[AnyRecord]:  # noqa: ARG001  the contract's signature
        read(frame)
        return ()

    return normalise


NORMALISERS: dict[str, Normaliser] = {
    "trade": trade,
    "agg_trade": agg_trade,
    "bbo": bbo,
    "kline": kline,
    "ticker": ticker,
    "mini_ticker": mini_ticker,
    # Not a 24 h window, a trade off the book, an average, a reference value: no record of ours means the same.
    "window_ticker": without_record(_read_ticker),
    "block_trade": without_record(reader(m.BlockTradeMsg, "blockTrade")),
    "avg_price": without_record(reader(m.AvgPriceMsg, "avgPrice")),
    "reference_price": without_record(reader(m.ReferencePriceMsg, "referencePrice")),
    "partial_book": without_record(reader(m.PartialBookMsg, "partial book")),
    "tardis_snapshot": without_record(reader(m.PartialBookMsg, "partial book")),
}
"""By channel, see `protocol.parse_stream`; `book` frames are the book machine's (`book_frames`)."""
