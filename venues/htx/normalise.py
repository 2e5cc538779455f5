"""HTX stream frames to our records: what spot and contracts have in common, and spot. Contracts: `contracts`.

Exactness: numbers keep the digits they have in the frame (`venues.json_numbers`); times are multiplied, never divided.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

import msgspec
from msgspec import Raw, Struct

from marketdata.codec import UNDECODABLE
from marketdata.decimals import is_whole
from marketdata.errors import UnparsableFrame
from marketdata.types import AnyRecord, Bbo, Side, Ticker, Trade, VenueKline
from venues.contract import Context, Normaliser, canonical
from venues.htx import messages as m
from venues.htx.numbers import quote_side, required
from venues.htx.symbols import parse_stream
from venues.json_numbers import levels, number
from venues.names import upper_ascii

T = TypeVar("T")

SIDES: dict[str | None, Side] = {"buy": "buy", "sell": "sell"}
"""The taker's, or a liquidation order's. Recorded in October 2022: an empty one."""

INTERVALS = {
    "1min": ("1m", 60_000),
    "5min": ("5m", 300_000),
    "15min": ("15m", 900_000),
    "30min": ("30m", 1_800_000),
    "60min": ("1h", 3_600_000),
    "4hour": ("4h", 14_400_000),
}
"""Periods whose candles open at multiples of UTC time. Days, weeks and months open at 16:00 UTC (midnight in UTC+8)."""


def reader(shape: type[T], what: str) -> Callable[[bytes | Raw], T]:
    """A function that decodes a frame of that shape. Raises UnparsableFrame."""
    decode = msgspec.json.Decoder(shape).decode

    def read(frame: bytes | Raw) -> T:
        try:
            return decode(frame)
        except UNDECODABLE as exc:
            raise UnparsableFrame(f"not a {what} of HTX: {exc}") from None

    return read


def own_stream(name: str, ctx: Context) -> str:
    """What follows the symbol in a stream's name. Raises UnparsableFrame where it is another symbol's."""
    stream = parse_stream(name)
    if stream is None or stream.symbol != ctx.symbol:
        raise UnparsableFrame(f"the stream is {ctx.symbol}'s but its payload says {name[:100]!r}")
    return name


def trade_id(entry: m.TradeEntry, *, contract: bool) -> str:
    """Spot has `tradeId`; frames of 2019 had only the long `id`. Contracts have an `id` of up to 19 digits.

    Raises UnparsableFrame where it is no integer: one rounded to an exponent is not unique.
    """
    if entry.tradeId is not None and not contract:
        return str(entry.tradeId)
    text = bytes(entry.id).strip(b'"').decode("ascii", errors="replace")
    if not is_whole(text):
        raise UnparsableFrame(f"a trade whose id is {text[:40]!r}")
    return text


def in_order(entries: Iterable[m.TradeEntry], *, contract: bool) -> list[tuple[str, m.TradeEntry]]:
    """By id, which the venue's order is not (newest first, as recorded), each once."""
    by_id = {trade_id(entry, contract=contract): entry for entry in entries}
    return sorted(by_id.items(), key=lambda item: int(item[0]))


_read_trades = reader(m.TradeFrame, "trade.detail")
_read_bbo = reader(m.SpotBboFrame, "bbo")
_read_kline = reader(m.CandleFrame, "kline")
_read_detail = reader(m.DetailFrame, "detail or ticker")
_read_tickers = reader(m.TickersFrame, "market.tickers")
_read_tickers_entry = reader(m.TickersEntry, "entry of market.tickers")


def trade(frame: bytes, ctx: Context) -> Sequence[Trade]:
    """`market.<s>.trade.detail`: `amount` is base coin, of one side."""
    msg = _read_trades(frame)
    own_stream(msg.ch, ctx)
    return tuple(
        Trade(
            exchange=ctx.exchange,
            market=ctx.market,
            symbol=ctx.symbol,
            instrument=canonical(ctx),
            recv_time_ns=ctx.recv_time_ns,
            trade_id=record_id,
            price=required(entry.price, "the price of a trade"),
            quantity=required(entry.amount, "the amount of a trade"),
            side=SIDES.get(entry.direction, "unknown"),
            trade_time_us=entry.ts * 1000,
            event_time_us=msg.ts * 1000,
        )
        for record_id, entry in in_order(msg.tick.data, contract=False)
    )


def bbo(frame: bytes, ctx: Context) -> Sequence[Bbo]:
    """`market.<s>.bbo`. Frames of 2020 have no `seqId`."""
    msg = _read_bbo(frame)
    own_stream(msg.ch, ctx)
    tick = msg.tick
    if upper_ascii(tick.symbol) != ctx.symbol:
        raise UnparsableFrame(f"the stream is {ctx.symbol}'s but its payload says {tick.symbol!r}")
    bid_price, bid_quantity = quote_side(tick.bid, tick.bidSize)
    ask_price, ask_quantity = quote_side(tick.ask, tick.askSize)
    return (
        Bbo(
            exchange=ctx.exchange,
            market=ctx.market,
            symbol=ctx.symbol,
            instrument=canonical(ctx),
            recv_time_ns=ctx.recv_time_ns,
            update_id="" if tick.seqId is None else str(tick.seqId),
            bid_price=bid_price,
            bid_quantity=bid_quantity,
            ask_price=ask_price,
            ask_quantity=ask_quantity,
            event_time_us=tick.quoteTime * 1000,
        ),
    )


def candle(
    msg: m.CandleFrame, ctx: Context, volume: str, quote_volume: str, raw_volume: str = ""
) -> Sequence[VenueKline]:
    """A candle without taker volumes. It is never said to be closed; of days and longer there is no record."""
    name = own_stream(msg.ch, ctx)
    period = INTERVALS.get(name.rpartition(".")[2])
    if period is None:
        return ()
    interval, length_ms = period
    tick = msg.tick
    open_time = tick.id * 1000
    return (
        VenueKline(
            exchange=ctx.exchange,
            market=ctx.market,
            symbol=ctx.symbol,
            instrument=canonical(ctx),
            recv_time_ns=ctx.recv_time_ns,
            interval=interval,
            open_time=open_time,
            close_time=open_time + length_ms - 1,
            open=required(tick.open, "the open of a candle"),
            high=required(tick.high, "the high of a candle"),
            low=required(tick.low, "the low of a candle"),
            close=required(tick.close, "the close of a candle"),
            volume=volume,
            quote_volume=quote_volume,
            trade_count=-1 if tick.count is None else tick.count,
            taker_buy_volume="",
            taker_buy_quote_volume="",
            is_closed=False,
            event_time_us=msg.ts * 1000,
            raw_volume=raw_volume,
        ),
    )


def kline(frame: bytes, ctx: Context) -> Sequence[VenueKline]:
    """`market.<s>.kline.<p>`: `amount` is base coin, `vol` quote coin."""
    msg = _read_kline(frame)
    return candle(msg, ctx, required(msg.tick.amount, "amount"), required(msg.tick.vol, "vol"))


def statistics(tick: m.DetailTick, ctx: Context, event_time_us: int) -> Sequence[Ticker]:
    """Spot's `ticker`, `detail` (without quotes) and entries of `market.tickers`. Nothing of a pair never traded."""
    last_price = number(tick.lastPrice) or number(tick.close)
    if not last_price:
        return ()
    bid_price, bid_quantity = quote_side(tick.bid, tick.bidSize)
    ask_price, ask_quantity = quote_side(tick.ask, tick.askSize)
    return (
        Ticker(
            exchange=ctx.exchange,
            market=ctx.market,
            symbol=ctx.symbol,
            instrument=canonical(ctx),
            recv_time_ns=ctx.recv_time_ns,
            last_price=last_price,
            last_quantity=number(tick.lastSize),
            open=number(tick.open),
            high=number(tick.high),
            low=number(tick.low),
            volume=number(tick.amount),
            quote_volume=number(tick.vol),
            bid_price=bid_price,
            bid_quantity=bid_quantity,
            ask_price=ask_price,
            ask_quantity=ask_quantity,
            trade_count=tick.count or 0,
            event_time_us=event_time_us,
        ),
    )


def ticker(frame: bytes, ctx: Context) -> Sequence[Ticker]:
    """`market.<s>.ticker` and `market.<s>.detail`."""
    msg = _read_detail(frame)
    own_stream(msg.ch, ctx)
    return statistics(msg.tick, ctx, msg.ts * 1000)


def tickers(frame: bytes, ctx: Context) -> Sequence[Ticker]:
    """`market.tickers`, every symbol at once: the entry of ours."""
    msg = _read_tickers(frame)
    entries = [_read_tickers_entry(raw) for raw in msg.data]
    return tuple(
        ticker
        for entry in entries
        if upper_ascii(entry.symbol) == ctx.symbol
        for ticker in statistics(entry, ctx, msg.ts * 1000)
    )


class _BookTick(Struct):
    bids: Raw = msgspec.field(default_factory=Raw)
    asks: Raw = msgspec.field(default_factory=Raw)


class _BookFrame(Struct):
    ch: str
    tick: _BookTick


_read_whole_book = reader(_BookFrame, "whole book")
_read_index = reader(m.MarkFrame, "index candle")


def whole_book(frame: bytes, ctx: Context) -> Sequence[AnyRecord]:
    """`depth.step<n>` and `mbp.refresh.<n>`: images that nothing can be chained to. Checked, then left."""
    msg = _read_whole_book(frame)
    own_stream(msg.ch, ctx)
    levels(msg.tick.bids)
    levels(msg.tick.asks)
    return ()


def index_candle(frame: bytes, ctx: Context) -> Sequence[AnyRecord]:
    """Candles of the index, the premium, the basis: no record of ours means the same. Checked, then left."""
    msg = _read_index(frame)
    own_stream(msg.ch, ctx)
    required(msg.tick.close, "the close of an index candle")
    return ()


NORMALISERS: dict[str, Normaliser] = {
    "trade": trade,
    "bbo": bbo,
    "kline": kline,
    "ticker": ticker,
    "detail": ticker,
    "tickers": tickers,
    "depth_snapshot": whole_book,
    "partial_book": whole_book,
}
"""Spot, by channel, see `symbols.parse_stream`; `book` frames are the book machine's (`book_frames`)."""
