"""OKX frames to our records: trades, best quotes, candles and tickers; `reference` has the derivatives' own kinds.

Every channel has a row function (one element of `data`, which REST replies share) and a normaliser for whole frames.
Sizes of derivatives are contracts on the wire: they become base coin by the instrument's multiplier, the venue's own
number stays beside. `vol` is in contracts too (spot: base coin), but `volCcy` is base coin (spot: quote) as it comes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Protocol, TypeVar

import msgspec

from marketdata.codec import UNDECODABLE
from marketdata.decimals import is_whole, plain, plain_or_absent
from marketdata.errors import UnparsableFrame
from marketdata.types import AnyRecord, Bbo, Side, Ticker, Trade, VenueKline
from marketdata.units import units_of
from venues.contract import Context, Normaliser, canonical, foreign
from venues.okx import messages as m

T = TypeVar("T")

SIDES: Final[dict[str, Side]] = {"buy": "buy", "sell": "sell"}

INTERVALS: Final = {
    "1s": ("1s", 1_000),
    "1m": ("1m", 60_000),
    "3m": ("3m", 180_000),
    "5m": ("5m", 300_000),
    "15m": ("15m", 900_000),
    "30m": ("30m", 1_800_000),
    "1H": ("1h", 3_600_000),
    "2H": ("2h", 7_200_000),
    "4H": ("4h", 14_400_000),
    "6Hutc": ("6h", 21_600_000),
    "12Hutc": ("12h", 43_200_000),
    "1Dutc": ("1d", 86_400_000),
}
"""The venue's bars that open on UTC boundaries: our name and length. All others open at UTC+8, or are weeks and months:
no interval of ours."""


class HasInstId(Protocol):
    @property
    def instId(self) -> str: ...  # noqa: N802  the venue's name


Row = TypeVar("Row", bound=HasInstId)


def frame_reader(shape: type[T], what: str) -> Callable[[bytes, Context], list[T]]:
    """A function that reads the elements of a frame of the context's symbol. Raises UnparsableFrame."""
    decode = msgspec.json.Decoder(m.Frame[shape], strict=False).decode  # type: ignore[valid-type]  # a value here

    def read(frame: bytes, ctx: Context) -> list[T]:
        try:
            msg = decode(frame)
        except UNDECODABLE as exc:
            raise UnparsableFrame(f"not a {what} of OKX: {exc}") from None
        if msg.arg.instId and msg.arg.instId != ctx.symbol:
            raise foreign(msg.arg.instId, ctx)
        return msg.data

    return read


def by_row(shape: type[Row], what: str, rows: Callable[[Row, Context], Sequence[AnyRecord]]) -> Normaliser:
    """The normaliser of a channel whose elements name their symbol, each on its own."""
    read = frame_reader(shape, what)

    def normalise(frame: bytes, ctx: Context) -> Sequence[AnyRecord]:
        records: list[AnyRecord] = []
        for row in read(frame, ctx):
            if row.instId != ctx.symbol:
                raise foreign(row.instId, ctx)
            records += rows(row, ctx)
        return records

    return normalise


def in_base(ctx: Context, amount: str, price: str, what: str) -> tuple[str, str]:
    """An amount (plain decimal, or "") in base coin, and as the venue counts it where that differs.

    Raises BadData `no_instrument` for contracts of unknown size.
    """
    if ctx.market == "spot":
        return amount, ""
    return units_of(ctx.instrument, what).base(amount, price), amount


def _trade(msg: m.TradeMsg, ctx: Context, first: int | None) -> Trade:
    side = SIDES.get(msg.side)
    if side is None:
        raise UnparsableFrame(f"trade {msg.tradeId} of side {msg.side[:40]!r}")
    price = plain(msg.px)
    quantity, raw_quantity = in_base(ctx, plain(msg.sz), price, "a trade")
    return Trade(
        exchange=ctx.exchange,
        market=ctx.market,
        symbol=ctx.symbol,
        instrument=canonical(ctx),
        recv_time_ns=ctx.recv_time_ns,
        trade_id=str(msg.tradeId),
        price=price,
        quantity=quantity,
        side=side,
        trade_time_us=msg.ts * 1000,
        event_time_us=msg.ts * 1000,
        raw_quantity=raw_quantity,
        aggregated=first is not None,
        first_trade_id="" if first is None else str(first),
        last_trade_id="" if first is None else str(msg.tradeId),
    )


def trade_rows(msg: m.TradeMsg, ctx: Context) -> Sequence[Trade]:
    """`trades-all`, and REST: single executions."""
    return (_trade(msg, ctx, None),)


def agg_trade_rows(msg: m.TradeMsg, ctx: Context) -> Sequence[Trade]:
    """`trades`: `tradeId` is the last of `count` ids merged, which are dense."""
    if msg.count < 1:
        raise UnparsableFrame(f"trade {msg.tradeId} merges {msg.count} trades")
    return (_trade(msg, ctx, msg.tradeId - msg.count + 1),)


_read_bbo = frame_reader(m.BboMsg, "bbo-tbt")


def bbo(frame: bytes, ctx: Context) -> Sequence[Bbo]:
    """`bbo-tbt`: the best level of the book at a `seqId` of `books`; only `arg` says whose."""
    return [_bbo(msg, ctx) for msg in _read_bbo(frame, ctx)]


def _bbo(msg: m.BboMsg, ctx: Context) -> Bbo:
    if msg.instId and msg.instId != ctx.symbol:
        raise foreign(msg.instId, ctx)
    bid_price, bid_quantity, raw_bid_quantity = _quote(msg.bids, ctx)
    ask_price, ask_quantity, raw_ask_quantity = _quote(msg.asks, ctx)
    return Bbo(
        exchange=ctx.exchange,
        market=ctx.market,
        symbol=ctx.symbol,
        instrument=canonical(ctx),
        recv_time_ns=ctx.recv_time_ns,
        update_id="" if msg.seqId is None else str(msg.seqId),
        bid_price=bid_price,
        bid_quantity=bid_quantity,
        ask_price=ask_price,
        ask_quantity=ask_quantity,
        event_time_us=msg.ts * 1000,
        raw_bid_quantity=raw_bid_quantity,
        raw_ask_quantity=raw_ask_quantity,
    )


def _quote(side: list[list[str]] | None, ctx: Context) -> tuple[str, str, str]:
    """Price, quantity and the venue's own quantity of a side's best level; "" for an empty side."""
    if not side:
        return "", "", ""
    if len(side[0]) < 2:
        raise UnparsableFrame("a quote without a size")
    price = plain(side[0][0])
    return price, *in_base(ctx, plain(side[0][1]), price, "a quote")


def ticker_rows(msg: m.TickerMsg, ctx: Context) -> Sequence[Ticker]:
    """`tickers`: the rolling 24 h window. The last size is 0 where there was no trade: "".

    Turnover in quote currency is given for spot alone: of derivatives `volCcy24h` is base coin, `vol24h` contracts.
    """
    is_spot = ctx.market == "spot"
    last, bid, ask = plain_or_absent(msg.last), plain_or_absent(msg.bidPx), plain_or_absent(msg.askPx)
    last_size = plain_or_absent(msg.lastSz)
    return (
        Ticker(
            exchange=ctx.exchange,
            market=ctx.market,
            symbol=ctx.symbol,
            instrument=canonical(ctx),
            recv_time_ns=ctx.recv_time_ns,
            last_price=last,
            last_quantity=in_base(ctx, last_size, last, "a ticker")[0] if last_size.strip("0.") else "",
            open=plain_or_absent(msg.open24h),
            high=plain_or_absent(msg.high24h),
            low=plain_or_absent(msg.low24h),
            volume=plain_or_absent(msg.vol24h if is_spot else msg.volCcy24h),
            quote_volume=plain_or_absent(msg.volCcy24h) if is_spot else "",
            bid_price=bid,
            bid_quantity=in_base(ctx, plain_or_absent(msg.bidSz), bid, "a ticker")[0] if bid else "",
            ask_price=ask,
            ask_quantity=in_base(ctx, plain_or_absent(msg.askSz), ask, "a ticker")[0] if ask else "",
            event_time_us=msg.ts * 1000,
            raw_volume="" if is_spot else plain_or_absent(msg.vol24h),
        ),
    )


_decode_candles = msgspec.json.Decoder(m.Frame[list[str]]).decode


def kline(frame: bytes, ctx: Context) -> Sequence[VenueKline]:
    """`candle<bar>`. Bars that do not open on UTC boundaries give no record."""
    try:
        msg = _decode_candles(frame)
    except UNDECODABLE as exc:
        raise UnparsableFrame(f"not a candle of OKX: {exc}") from None
    if msg.arg.instId != ctx.symbol:
        raise foreign(msg.arg.instId, ctx)
    return [k for row in msg.data for k in kline_rows(row, msg.arg.channel.removeprefix("candle"), ctx)]


def kline_rows(row: list[str], bar: str, ctx: Context) -> Sequence[VenueKline]:
    """[ts, o, h, l, c, vol, volCcy, volCcyQuote, confirm]. Before 2022-09 the last two were not there: such a candle
    never says that it is closed. What may come to stand behind them means nothing to us. Volumes are the venue's, in
    base coin as they come: see the module's text.
    """
    confirm = row[8:9]
    if (len(row) < 9 and len(row) != 7) or not is_whole(row[0]) or confirm not in ([], ["0"], ["1"]):
        raise UnparsableFrame(f"a candle row of {len(row)} values: {row[:9]!r}")
    is_spot = ctx.market == "spot"
    opened = int(row[0])
    prices = [plain(value) for value in row[1:5]]
    volume, currency_volume = plain(row[5]), plain(row[6])
    quote_volume = plain(row[7]) if len(row) > 7 else currency_volume if is_spot else ""
    if bar not in INTERVALS:
        return ()
    interval, length_ms = INTERVALS[bar]
    return (
        VenueKline(
            exchange=ctx.exchange,
            market=ctx.market,
            symbol=ctx.symbol,
            instrument=canonical(ctx),
            recv_time_ns=ctx.recv_time_ns,
            interval=interval,
            open_time=opened,
            close_time=opened + length_ms - 1,
            open=prices[0],
            high=prices[1],
            low=prices[2],
            close=prices[3],
            volume=volume if is_spot else currency_volume,
            quote_volume=quote_volume,
            trade_count=-1,
            taker_buy_volume="",
            taker_buy_quote_volume="",
            is_closed=confirm == ["1"],
            raw_volume="" if is_spot else volume,
        ),
    )


MARKET_NORMALISERS: Final[dict[str, Normaliser]] = {
    "trade": by_row(m.TradeMsg, "trades-all", trade_rows),
    "agg_trade": by_row(m.TradeMsg, "trades", agg_trade_rows),
    "bbo": bbo,
    "kline": kline,
    "ticker": by_row(m.TickerMsg, "tickers", ticker_rows),
}
"""By channel; `book` frames are the book machine's (`book_frames`)."""
