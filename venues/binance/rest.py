"""Binance spot REST replies to our records. Source: rest-api.md of binance/binance-spot-api-docs (2026-07-21).

A reply is told by its path; where that is not known (documentation examples) by its shape.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import parse_qs, urlsplit

import msgspec
from msgspec import Raw, Struct

from marketdata.decimals import plain
from marketdata.errors import UnparsableFrame
from marketdata.types import Bbo, Side, Ticker, Trade, VenueKline
from venues.binance import messages as m
from venues.binance.book_frames import parse_snapshot
from venues.binance.instruments import parse_instrument
from venues.binance.normalise import canonical, id_text, plain_or_absent, quote_side
from venues.contract import Context, RestReply, VenueError

T = TypeVar("T")

ENDPOINTS = {
    "depth": "book",
    "trades": "trade",
    "historicalTrades": "trade",
    "aggTrades": "agg_trade",
    "klines": "kline",
    "uiKlines": "kline",
    "24hr": "ticker",
    "bookTicker": "bbo",
    "price": "price",
    "avgPrice": "avg_price",
    "exchangeInfo": "instrument",
    "time": "time",
    "ping": "ping",
}
"""Last part of the path (under /api/v3, before 2026 also /api/v1) and our name for the reply."""

INTERVALS_MS = {
    60_000: "1m",
    180_000: "3m",
    300_000: "5m",
    900_000: "15m",
    1_800_000: "30m",
    3_600_000: "1h",
    7_200_000: "2h",
    14_400_000: "4h",
    21_600_000: "6h",
    28_800_000: "8h",
    43_200_000: "12h",
    86_400_000: "1d",
    259_200_000: "3d",
    604_800_000: "1w",
    1_000: "1s",
}


class _Shape(Struct):
    """Keys that tell replies apart."""

    code: int | None = None
    msg: str | None = None
    lastUpdateId: Any = None  # noqa: N815  field names are the venue's own
    symbols: Any = None
    serverTime: Any = None  # noqa: N815
    mins: Any = None
    lastPrice: Any = None  # noqa: N815
    bidPrice: Any = None  # noqa: N815
    price: Any = None
    isBuyerMaker: Any = None  # noqa: N815
    a: Any = None


_shape = msgspec.json.Decoder(_Shape).decode
_items = msgspec.json.Decoder(list[Raw]).decode

_SHAPES = (
    ("lastUpdateId", "book"),
    ("symbols", "instrument"),
    ("serverTime", "time"),
    ("mins", "avg_price"),
    ("lastPrice", "ticker"),
    ("bidPrice", "bbo"),
    ("isBuyerMaker", "trade"),
    ("a", "agg_trade"),
    ("price", "price"),
)
"""First match wins: a 24 h ticker has a bid price as well, a trade a price."""


def read_rest(path: str, body: bytes, ctx: Context) -> RestReply:
    """See `Venue.read_rest`."""
    try:
        return _read(path, body, ctx)
    except (msgspec.MsgspecError, ValueError) as exc:  # ValueError: text that is not UTF-8, a limit that is no number
        raise UnparsableFrame(f"not a reply of Binance spot to {path or 'an unknown request'}: {exc}") from None


def _read(path: str, body: bytes, ctx: Context) -> RestReply:
    url = urlsplit(path)
    query = {name: values[0] for name, values in parse_qs(url.query).items()}
    shape = _shape(body) if body.lstrip()[:1] == b"{" else None
    if shape is not None and shape.code is not None and shape.msg is not None:
        return RestReply("error", error=VenueError(None, str(shape.code), shape.msg))
    kind = ENDPOINTS.get(url.path.rpartition("/")[2]) or _kind_of(shape, body)
    symbol = query.get("symbol", ctx.symbol)
    ctx = msgspec.structs.replace(ctx, symbol=symbol)
    if kind == "book":
        snapshot = parse_snapshot(body)._replace(limit=int(query.get("limit", "0")))
        return RestReply(kind, symbol, snapshot=snapshot)
    if kind == "instrument":
        entries = msgspec.json.decode(body, type=m.ExchangeInfo).symbols
        return RestReply(kind, symbol, tuple(parse_instrument(bytes(entry), ctx) for entry in entries))
    if kind == "kline":
        return RestReply(kind, symbol, _klines(body, query.get("interval", ""), ctx))
    if kind in _ROWS:
        rows = _items(body) if shape is None else [Raw(body)]
        records = tuple(record for row in rows for record in _ROWS[kind](row, ctx))
        return RestReply(kind, symbol or (records[0].symbol if len(records) == 1 else ""), records)
    return RestReply(kind, symbol)


def _kind_of(shape: _Shape | None, body: bytes) -> str:
    if shape is None:
        rows = _items(body)
        if not rows:
            raise UnparsableFrame("an empty list without its path could be anything")
        if bytes(rows[0]).startswith(b"["):
            return "kline"
        shape = _shape(rows[0])
    elif body.strip() == b"{}":
        return "ping"
    for name, kind in _SHAPES:
        if getattr(shape, name) is not None:
            return kind
    raise UnparsableFrame("a reply of no shape we know")


def _taker(buyer_is_maker: bool | None) -> Side:
    if buyer_is_maker is None:
        return "unknown"
    return "sell" if buyer_is_maker else "buy"


def _trade(row: Raw, ctx: Context) -> tuple[Trade]:
    msg = _decode_trade(row)
    return (
        Trade(
            exchange=ctx.exchange,
            market=ctx.market,
            symbol=ctx.symbol,
            instrument=canonical(ctx),
            recv_time_ns=ctx.recv_time_ns,
            trade_id=str(msg.id),
            price=plain(msg.price),
            quantity=plain(msg.qty),
            side=_taker(msg.isBuyerMaker),
            trade_time_us=msg.time * 1000,
        ),
    )


def _agg_trade(row: Raw, ctx: Context) -> tuple[Trade]:
    msg = _decode_agg_trade(row)
    return (
        Trade(
            exchange=ctx.exchange,
            market=ctx.market,
            symbol=ctx.symbol,
            instrument=canonical(ctx),
            recv_time_ns=ctx.recv_time_ns,
            trade_id=str(msg.a),
            price=plain(msg.p),
            quantity=plain(msg.q),
            side=_taker(msg.m),
            trade_time_us=msg.T * 1000,
            aggregated=True,
            first_trade_id=str(msg.f),
            last_trade_id=str(msg.l),
        ),
    )


def _bbo(row: Raw, ctx: Context) -> tuple[Bbo]:
    """It has no update id, so that it cannot be ordered against the stream's."""
    msg = _decode_bbo(row)
    bid_price, bid_quantity = quote_side(msg.bidPrice, msg.bidQty)
    ask_price, ask_quantity = quote_side(msg.askPrice, msg.askQty)
    return (
        Bbo(
            exchange=ctx.exchange,
            market=ctx.market,
            symbol=msg.symbol,
            instrument=canonical(ctx),
            recv_time_ns=ctx.recv_time_ns,
            update_id="",
            bid_price=bid_price,
            bid_quantity=bid_quantity,
            ask_price=ask_price,
            ask_quantity=ask_quantity,
        ),
    )


def _ticker(row: Raw, ctx: Context) -> tuple[Ticker]:
    msg = _decode_ticker(row)
    bid_price, bid_quantity = quote_side(msg.bidPrice, msg.bidQty) if msg.bidPrice else ("", "")
    ask_price, ask_quantity = quote_side(msg.askPrice, msg.askQty) if msg.askPrice else ("", "")
    return (
        Ticker(
            exchange=ctx.exchange,
            market=ctx.market,
            symbol=msg.symbol,
            instrument=canonical(ctx),
            recv_time_ns=ctx.recv_time_ns,
            last_price=plain(msg.lastPrice),
            last_quantity=plain_or_absent(msg.lastQty),
            open=plain(msg.openPrice),
            high=plain(msg.highPrice),
            low=plain(msg.lowPrice),
            volume=plain(msg.volume),
            quote_volume=plain(msg.quoteVolume),
            price_change=plain_or_absent(msg.priceChange),
            price_change_percent=plain_or_absent(msg.priceChangePercent),
            weighted_average_price=plain_or_absent(msg.weightedAvgPrice),
            bid_price=bid_price,
            bid_quantity=bid_quantity,
            ask_price=ask_price,
            ask_quantity=ask_quantity,
            trade_count=msg.count,
            first_trade_id=id_text(msg.firstId),
            last_trade_id=id_text(msg.lastId),
            window_open_ms=msg.openTime,
            window_close_ms=msg.closeTime,
        ),
    )


def _klines(body: bytes, interval: str, ctx: Context) -> tuple[VenueKline, ...]:
    """Rows say nothing about being closed: all but the last one are, the last one if its end lies before receipt."""
    rows = _decode_klines(body)
    recv_ms = int(ctx.recv_time_ns or 0) // 1_000_000
    return tuple(
        VenueKline(
            exchange=ctx.exchange,
            market=ctx.market,
            symbol=ctx.symbol,
            instrument=canonical(ctx),
            recv_time_ns=ctx.recv_time_ns,
            interval=interval or INTERVALS_MS.get(row.close_time - row.open_time + 1, "1M"),
            open_time=row.open_time,
            close_time=row.close_time,
            open=plain(row.open),
            high=plain(row.high),
            low=plain(row.low),
            close=plain(row.close),
            volume=plain(row.volume),
            quote_volume=plain(row.quote_volume),
            trade_count=row.trade_count,
            taker_buy_volume=plain(row.taker_buy_volume),
            taker_buy_quote_volume=plain(row.taker_buy_quote_volume),
            is_closed=number < len(rows) or row.close_time < recv_ms,
        )
        for number, row in enumerate(rows, 1)
    )


def _checked(shape: type[T]) -> Callable[[Raw, Context], tuple[()]]:
    """For replies we have no record for: checked against their shape, then left."""
    decode = msgspec.json.Decoder(shape).decode

    def check(row: Raw, ctx: Context) -> tuple[()]:  # noqa: ARG001  one signature for all rows
        decode(row)
        return ()

    return check


_decode_trade = msgspec.json.Decoder(m.RestTrade).decode
_decode_agg_trade = msgspec.json.Decoder(m.RestAggTrade).decode
_decode_bbo = msgspec.json.Decoder(m.RestBookTicker).decode
_decode_ticker = msgspec.json.Decoder(m.RestTicker).decode
_decode_klines = msgspec.json.Decoder(list[m.RestKline]).decode

_ROWS: dict[str, Callable[[Raw, Context], tuple[Trade | Bbo | Ticker, ...]]] = {
    "trade": _trade,
    "agg_trade": _agg_trade,
    "bbo": _bbo,
    "ticker": _ticker,
    "price": _checked(m.RestPrice),
    "avg_price": _checked(m.RestAvgPrice),
    "time": _checked(m.RestTime),
}
"""Replies that are one object or a list of them."""
