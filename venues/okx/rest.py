"""OKX REST replies to our records. Source: https://www.okx.com/docs-v5/en/ (copies of March to August 2026).

A reply is told by its path; where that is not known (documentation examples) by the fields of its first element.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import msgspec
from msgspec import Raw, Struct, structs

from marketdata.codec import UNDECODABLE
from marketdata.errors import UnparsableFrame
from marketdata.types import AnyRecord, VenueKline
from venues.contract import Context, RestReply, SnapshotEnvelope, SnapshotFrame, VenueError
from venues.okx import messages as m
from venues.okx import normalise as n
from venues.okx import reference as r
from venues.okx.book_frames import read_levels
from venues.okx.instruments import parse_instrument
from venues.okx.polls import read_poll
from venues.okx.symbols import find_market

ENDPOINTS: Final = {
    "books": "book",
    "books-full": "book",
    "trades": "trade",
    "history-trades": "trade",
    "candles": "kline",
    "history-candles": "kline",
    "ticker": "ticker",
    "tickers": "ticker",
    "instruments": "instrument",
    "mark-price": "mark_price",
    "funding-rate": "funding",
    "funding-rate-history": "funding_history",
    "open-interest": "open_interest",
    "index-tickers": "index_ticker",
    "price-limit": "price_limit",
    "opt-summary": "option_summary",
    "spreads": "spread",
    "time": "time",
}
"""Last part of the path and our name for the reply."""

_SHAPES: Final = (
    ("sprdId", "spread"),
    ("asks", "book"),
    ("tickSz", "instrument"),
    ("realizedRate", "funding_history"),
    ("fundingRate", "funding"),
    ("markPx", "mark_price"),
    ("idxPx", "index_ticker"),
    ("oi", "open_interest"),
    ("tradeId", "trade"),
    ("last", "ticker"),
    ("buyLmt", "price_limit"),
    ("markVol", "option_summary"),
    ("ts", "time"),
)
"""First match wins."""

_reply = msgspec.json.Decoder(m.Reply[Raw]).decode
_fields = msgspec.json.Decoder(dict[str, Raw]).decode
_row = msgspec.json.Decoder(m.Row).decode
_candle = msgspec.json.Decoder(list[str]).decode


def read_rest(path: str, body: bytes, ctx: Context) -> RestReply:
    """See `Venue.read_rest`. An element that names its instrument is of that one's market, whoever asked."""
    try:
        return _read(path, body, ctx)
    except (*UNDECODABLE, ValueError) as exc:  # ValueError: text that is not UTF-8, a depth that is no number
        raise UnparsableFrame(f"not a reply of OKX to {path or 'an unknown request'}: {exc}") from None


def _read(path: str, body: bytes, ctx: Context) -> RestReply:
    url = urlsplit(path)
    query = {name: values[0] for name, values in parse_qs(url.query).items()}
    reply = _reply(body)
    if reply.code != "0":
        return RestReply("error", error=VenueError(None, reply.code, reply.msg))
    symbol = query.get("instId", ctx.symbol)
    ctx = _of(symbol, ctx)
    if "/rubik/stat/" in url.path:
        return RestReply("long_short", symbol, read_poll(path, body, ctx))
    kind = ENDPOINTS.get(url.path.rpartition("/")[2]) or _kind_of(reply.data)
    if kind == "book":
        return RestReply(kind, symbol, snapshot=_snapshot(body, int(query.get("sz", "1"))))
    if kind == "kline":
        klines = _klines(reply.data, query.get("bar", ""), ctx)
        return RestReply(kind, symbol, klines if symbol else ())  # else nobody knows what the volumes are
    read = _ROWS[kind]
    records = tuple(record for row in reply.data for record in read(row, _of(_row(row).instId, ctx)))
    only = _row(reply.data[0]).instId if len(reply.data) == 1 else ""
    return RestReply(kind, symbol or only, records)


def _of(symbol: str, ctx: Context) -> Context:
    """The context of another instrument, of whatever market it is."""
    if not symbol or symbol == ctx.symbol:
        return ctx
    instrument = ctx.instrument if ctx.instrument is not None and ctx.instrument.symbol == symbol else None
    market = find_market(symbol) or ctx.market
    return structs.replace(ctx, symbol=symbol, market=market, instrument=instrument)


def _kind_of(rows: Sequence[Raw]) -> str:
    if not rows:
        raise UnparsableFrame("an empty list without its path could be anything")
    if bytes(rows[0]).startswith(b"["):
        return "kline"
    fields = _fields(rows[0])
    for name, kind in _SHAPES:
        if name in fields:
            return kind
    raise UnparsableFrame("a reply of no shape we know")


def _snapshot(body: bytes, limit: int) -> SnapshotFrame | None:
    """None for replies recorded before 2022-06, which have no id."""
    msg, bids, asks = read_levels(body)
    if msg.seqId is None:
        return None
    return SnapshotFrame(SnapshotEnvelope(msg.seqId, msg.ts * 1000), bids, asks, limit)


def _klines(rows: Sequence[Raw], bar: str, ctx: Context) -> tuple[VenueKline, ...]:
    """Without its request a reply's bar is known from two rows, which come newest first."""
    candles = [_candle(row) for row in rows]
    if not all(candles):
        raise UnparsableFrame("a candle without values")
    if not bar and len(candles) > 1:
        length_ms = abs(int(candles[0][0]) - int(candles[1][0]))
        bar = next((name for name, (_, ms) in n.INTERVALS.items() if ms == length_ms), "")
    return tuple(kline for candle in candles for kline in n.kline_rows(candle, bar or "1m", ctx))


RowReader = Callable[[Raw, Context], Sequence[AnyRecord]]


def _reader(shape: type[Any], rows: Callable[[Any, Context], Sequence[AnyRecord]]) -> RowReader:
    decode = msgspec.json.Decoder(shape, strict=False).decode
    return lambda row, ctx: rows(decode(row), ctx)


def _checked(shape: type[Struct]) -> RowReader:
    """For replies we have no record for: checked against their shape, then left."""
    return _reader(shape, lambda _msg, _ctx: ())


_ROWS: Final[dict[str, RowReader]] = {
    "trade": _reader(m.TradeMsg, n.trade_rows),
    "ticker": _reader(m.TickerMsg, n.ticker_rows),
    "instrument": lambda row, ctx: (parse_instrument(bytes(row), ctx),),
    "mark_price": _reader(m.MarkPriceMsg, r.mark_price_rows),
    "funding": _reader(m.FundingMsg, r.funding_rows),
    "funding_history": _reader(m.FundingHistoryMsg, r.funding_history_rows),
    "open_interest": _reader(m.OpenInterestMsg, r.open_interest_rows),
    "index_ticker": _checked(m.IndexTickerMsg),
    "price_limit": _checked(m.PriceLimitMsg),
    "option_summary": _checked(m.OptionSummaryMsg),
    "spread": _checked(m.SpreadMsg),
    "time": _checked(m.TimeMsg),
}
"""Replies whose elements are read one by one."""
