"""Binance's REST replies to our records: what the segments share, and spot's tables.

Source: rest-api.md of binance/binance-spot-api-docs (2026-07-21). A reply is told by its path; where that is not known
(documentation examples) by its shape.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import parse_qs, urlsplit

import msgspec
from msgspec import Raw, Struct

from marketdata.codec import UNDECODABLE
from marketdata.decimals import plain, plain_or_absent
from marketdata.errors import UnparsableFrame
from marketdata.types import AnyRecord, Bbo, Instrument, Side, Ticker, Trade, VenueKline
from venues.binance import messages as m
from venues.binance.book_frames import parse_snapshot
from venues.binance.instruments import parse_instrument
from venues.binance.normalise import id_text, quote_side
from venues.contract import Context, RestReply, VenueError, canonical

T = TypeVar("T")

Row = Callable[[Raw, Context], Sequence[AnyRecord]]
"""One object of a reply to records."""

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


_shape = msgspec.json.Decoder(_Shape).decode
_keys = msgspec.json.Decoder(dict[str, Raw]).decode
_items = msgspec.json.Decoder(list[Raw]).decode


@dataclass(frozen=True)
class RestReader:
    """The replies of one segment."""

    title: str
    endpoints: Mapping[str, str]
    """Last part of the path and our name for the reply."""
    shapes: Sequence[tuple[str, str]]
    """A key that only such objects have and our name for the reply, for replies of unknown path. First match wins: a
    24 h ticker has a bid price as well, a trade a price."""
    rows: Mapping[str, Row]
    """By our name: replies that are one object or a list of them."""
    parse_instrument: Callable[[bytes, Context], Instrument]
    unnamed_rows: str = "kline"
    """What rows without names are where the path does not say."""
    symbol_of: Callable[[Mapping[str, str]], str] = lambda query: query.get("symbol", "")

    def read(self, path: str, body: bytes, ctx: Context) -> RestReply:
        """See `Venue.read_rest`."""
        try:
            return self._read(path, body, ctx)
        except (*UNDECODABLE, ValueError) as exc:  # ValueError: text that is not UTF-8, a limit of no digits
            raise UnparsableFrame(f"not a reply of {self.title} to {path or 'an unknown request'}: {exc}") from None

    def _read(self, path: str, body: bytes, ctx: Context) -> RestReply:
        url = urlsplit(path)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        is_object = body.lstrip()[:1] == b"{"
        if is_object:
            shape = _shape(body)
            if shape.code is not None and shape.msg is not None:
                return RestReply("error", error=VenueError(None, str(shape.code), shape.msg))
        name = url.path.rpartition("/")[2]
        kind = self.endpoints.get(name) or self._kind_of(is_object, body)
        symbol = self.symbol_of(query) or ctx.symbol
        ctx = msgspec.structs.replace(ctx, symbol=symbol)
        if kind == "book":
            snapshot = parse_snapshot(body)._replace(limit=int(query.get("limit", "0")))
            return RestReply(kind, symbol, snapshot=snapshot)
        if kind == "instrument":
            entries = msgspec.json.decode(body, type=m.ExchangeInfo).symbols
            return RestReply(kind, symbol, tuple(self.parse_instrument(bytes(entry), ctx) for entry in entries))
        if kind == "kline":
            return RestReply(kind, symbol, klines(body, query.get("interval", ""), ctx))
        read = self.reader_of(kind, name, query)
        if read is not None:
            rows = [Raw(body)] if is_object else _items(body)
            records = tuple(record for row in rows for record in read(row, ctx))
            symbols = {str(getattr(record, "symbol", "")) for record in records}
            return RestReply(kind, symbol or (symbols.pop() if len(symbols) == 1 else ""), records)
        return RestReply(kind, symbol)

    def reader_of(self, kind: str, name: str, query: Mapping[str, str]) -> Row | None:  # noqa: ARG002
        """What reads the objects of such a reply; `name` is the path's last part, with its query."""
        return self.rows.get(kind)

    def _kind_of(self, is_object: bool, body: bytes) -> str:
        if is_object:
            keys = _keys(body)
            if not keys:
                return "ping"
        else:
            rows = _items(body)
            if not rows:
                raise UnparsableFrame("an empty list without its path could be anything")
            if bytes(rows[0]).startswith(b"["):
                return self.unnamed_rows
            keys = _keys(rows[0])
        for name, kind in self.shapes:
            if name in keys:
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
            event_time_us=msg.time * 1000,
        ),
    )


def _ticker(row: Raw, ctx: Context) -> tuple[Ticker]:
    msg = _decode_ticker(row)
    bid_price, bid_quantity = quote_side(msg.bidPrice, msg.bidQty)
    ask_price, ask_quantity = quote_side(msg.askPrice, msg.askQty)
    return (
        Ticker(
            exchange=ctx.exchange,
            market=ctx.market,
            symbol=msg.symbol,
            instrument=canonical(ctx),
            recv_time_ns=ctx.recv_time_ns,
            last_price=plain(msg.lastPrice),
            last_quantity=plain_or_absent(msg.lastQty or ""),
            open=plain(msg.openPrice),
            high=plain(msg.highPrice),
            low=plain(msg.lowPrice),
            volume=plain(msg.volume),
            quote_volume=plain(msg.quoteVolume or msg.baseVolume or ""),
            price_change=plain_or_absent(msg.priceChange or ""),
            price_change_percent=plain_or_absent(msg.priceChangePercent or ""),
            weighted_average_price=plain_or_absent(msg.weightedAvgPrice or ""),
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


def klines(body: bytes, interval: str, ctx: Context) -> tuple[VenueKline, ...]:
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


def checked(shape: type[T]) -> Callable[[Raw, Context], tuple[()]]:
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

ENDPOINTS = {
    "depth": "book",
    "trades": "trade",
    "historicalTrades": "trade",
    "aggTrades": "agg_trade",
    "klines": "kline",
    "24hr": "ticker",
    "bookTicker": "bbo",
    "price": "price",
    "exchangeInfo": "instrument",
    "time": "time",
    "ping": "ping",
}
"""What every segment has, under its own first part of the path."""

SHAPES = (
    ("lastUpdateId", "book"),
    ("symbols", "instrument"),
    ("serverTime", "time"),
    ("lastPrice", "ticker"),
    ("bidPrice", "bbo"),
    ("isBuyerMaker", "trade"),
    ("a", "agg_trade"),
)

ROWS: dict[str, Row] = {
    "trade": _trade,
    "agg_trade": _agg_trade,
    "bbo": _bbo,
    "ticker": _ticker,
    "price": checked(m.RestPrice),
    "time": checked(m.RestTime),
}

read_rest = RestReader(
    title="Binance spot",
    endpoints=ENDPOINTS | {"uiKlines": "kline", "avgPrice": "avg_price"},
    shapes=(("mins", "avg_price"), *SHAPES, ("price", "price")),
    rows=ROWS | {"avg_price": checked(m.RestAvgPrice)},
    parse_instrument=parse_instrument,
).read
