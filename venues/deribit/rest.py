"""Deribit REST replies to our records: `{"jsonrpc":"2.0","result":..}` or `"error"`.

A reply is told by the last part of its path; where that is not known (documentation examples) by its shape.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType, structs

from marketdata.codec import UNDECODABLE
from marketdata.errors import UnparsableFrame
from marketdata.types import AnyRecord, VenueKline
from venues.contract import Context, RestReply, VenueError
from venues.deribit import messages as m
from venues.deribit.book_frames import parse_snapshot
from venues.deribit.instruments import parse_instrument
from venues.deribit.normalise import MINUTE_MS, RESOLUTIONS, kline_record, trade_records
from venues.deribit.symbols import is_combo, market_of, symbol_of

ENDPOINTS = {
    "get_order_book": "book",
    "get_instruments": "instrument",
    "get_instrument": "instrument",
    "get_last_trades_by_instrument": "trade",
    "get_tradingview_chart_data": "kline",
    "get_book_summary_by_currency": "book_summary",
    "get_combos": "combos",
    "get_expirations": "expirations",
    "get_time": "time",
    "test": "ping",
}


class _Reply(Struct):
    result: Raw | UnsetType = UNSET
    error: m.ErrorBody | None = None


class _Shape(Struct):
    """Keys that tell results apart."""

    change_id: Any = None
    trades: Any = None
    ticks: Any = None
    kind: Any = None
    legs: Any = None
    mid_price: Any = UNSET
    version: Any = None


_reply = msgspec.json.Decoder(_Reply).decode
_shape = msgspec.json.Decoder(_Shape).decode
_items = msgspec.json.Decoder(list[Raw]).decode
_instrument_name = msgspec.json.Decoder(m.InstrumentName).decode
_trades = msgspec.json.Decoder(m.TradesResult).decode
_chart = msgspec.json.Decoder(m.ChartResult).decode
_NAMES = {minutes: name for name, (_, minutes) in RESOLUTIONS.items()}


def read_rest(path: str, body: bytes, ctx: Context) -> RestReply:
    """See `Venue.read_rest`."""
    try:
        return _read(path, body, ctx)
    except (*UNDECODABLE, ValueError) as exc:  # ValueError: text that is not UTF-8, a depth that is no number
        raise UnparsableFrame(f"not a reply of Deribit to {path or 'an unknown request'}: {exc}") from None


def _read(path: str, body: bytes, ctx: Context) -> RestReply:
    reply = _reply(body)
    if reply.error is not None:
        return RestReply("error", error=VenueError(None, str(reply.error.code), reply.error.message or ""))
    if reply.result is UNSET:
        raise UnparsableFrame("neither a result nor an error")
    url = urlsplit(path)
    query = {name: values[0] for name, values in parse_qs(url.query).items()}
    result = bytes(reply.result)
    kind = ENDPOINTS.get(url.path.rpartition("/")[2]) or _kind_of(result)
    symbol = symbol_of(query.get("instrument_name", "")) or ctx.symbol
    if kind == "book":
        symbol = symbol or symbol_of(_instrument_name(result).instrument_name)
        snapshot = parse_snapshot(body)._replace(limit=int(query.get("depth", "0")))
        return RestReply(kind, symbol, snapshot=snapshot)
    records = _RECORDS[kind](result, query, structs.replace(ctx, symbol=symbol)) if kind in _RECORDS else ()
    return RestReply(kind, symbol, records)


def _kind_of(result: bytes) -> str:
    if result.isdigit():
        return "time"
    if result.startswith(b"["):
        rows = _items(result)
        if not rows:
            raise UnparsableFrame("an empty list without its path could be anything")
        result = bytes(rows[0])
    shape = _shape(result)
    for name, kind in (
        ("change_id", "book"),
        ("trades", "trade"),
        ("ticks", "kline"),
        ("kind", "instrument"),
        ("legs", "combos"),
        ("version", "ping"),
    ):
        if getattr(shape, name) is not None:
            return kind
    if shape.mid_price is not UNSET:
        return "book_summary"
    msgspec.json.decode(result, type=dict[str, list[str] | dict[str, list[str]]])
    return "expirations"


def _instruments(result: bytes, query: Mapping[str, str], ctx: Context) -> Sequence[AnyRecord]:  # noqa: ARG001
    """Of the context's market; combos are none of ours."""
    rows = _items(result) if result.startswith(b"[") else [Raw(result)]
    found = []
    for row in rows:
        named = _instrument_name(row)
        symbol = symbol_of(named.instrument_name)
        if not (named.kind or "").endswith("_combo") and market_of(symbol) == ctx.market and ctx.symbol in ("", symbol):
            found.append(parse_instrument(bytes(row), ctx))
    return found


def _last_trades(result: bytes, query: Mapping[str, str], ctx: Context) -> Sequence[AnyRecord]:  # noqa: ARG001
    """Of the context's market; a combo's own trades are none of ours, their legs trade under their own names."""
    found: list[AnyRecord] = []
    for msg in _trades(result).trades:
        symbol = symbol_of(msg.instrument_name)
        if not _is_ours(symbol, ctx):
            continue
        found += trade_records(msg, structs.replace(ctx, symbol=symbol))
    return found


def _is_ours(symbol: str, ctx: Context) -> bool:
    return market_of(symbol) == ctx.market and not is_combo(symbol)


def _klines(result: bytes, query: Mapping[str, str], ctx: Context) -> Sequence[VenueKline]:
    """All but the last are closed, the last one when its end lies before receipt."""
    msg = _chart(result)
    resolution = query.get("resolution") or _NAMES.get(_step_minutes(msg.ticks), "")
    columns = (msg.open, msg.high, msg.low, msg.close, msg.volume, msg.cost)
    if any(len(column) != len(msg.ticks) for column in columns):
        raise UnparsableFrame("candle columns of different lengths")
    recv_ms = int(ctx.recv_time_ns or 0) // 1_000_000
    found = []
    for place, tick in enumerate(msg.ticks):
        row = (
            msg.open[place], msg.high[place], msg.low[place], msg.close[place], msg.volume[place], msg.cost[place],
        )  # fmt: skip
        record = kline_record(tick, resolution, row, False, ctx)
        is_closed = place + 1 < len(msg.ticks) or record.close_time < recv_ms
        found.append(structs.replace(record, is_closed=is_closed))
    return found


def _step_minutes(ticks: list[int]) -> int:
    return min((b - a for a, b in pairwise(ticks)), default=0) // MINUTE_MS


def _checked(shape: Any) -> Callable[[bytes, Mapping[str, str], Context], tuple[()]]:
    """For replies we have no record for: checked against their shape, then left."""
    decode = msgspec.json.Decoder(shape).decode

    def check(result: bytes, query: Mapping[str, str], ctx: Context) -> tuple[()]:  # noqa: ARG001
        decode(result)
        return ()

    return check


_RECORDS: dict[str, Callable[[bytes, Mapping[str, str], Context], Sequence[AnyRecord]]] = {
    "instrument": _instruments,
    "trade": _last_trades,
    "kline": _klines,
    "book_summary": _checked(list[m.SummaryMsg]),
    "combos": _checked(list[m.ComboMsg]),
    "time": _checked(int),
}
