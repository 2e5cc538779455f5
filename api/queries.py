"""SQL over the views the ClickHouse sink keeps, and its rows as the API's models. Pure: text and values, no I/O.

A page of rows is found in two steps inside one statement: the bound is read from the `_log` table in sort order, which
stops after as many keys as asked for; then the view, which merges the versions of each key (FINAL), reads only what
lies within the bound. Without it FINAL would merge a symbol's whole history to show its last hundred rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from api import models
from marketdata.keys import Key
from marketdata.types import BookSnapshot

Row = Sequence[Any]


class Query(NamedTuple):
    sql: str
    params: dict[str, Any]


class Page(NamedTuple):
    """Rows asked for, oldest first, and whether the range holds more."""

    rows: list[Row]
    has_more: bool


SYMBOL = "exchange = %(exchange)s AND market = %(market)s AND symbol = %(symbol)s"
SNAPSHOT_LEVELS = ("bid_prices", "bid_quantities", "ask_prices", "ask_quantities")


def page(rows: Sequence[Row], limit: int, newest_first: bool) -> Page:
    """Cut the one row more that was asked for to know whether there are more; turn newest-first rows round."""
    cut = list(rows[:limit])
    return Page(cut[::-1] if newest_first else cut, len(rows) > limit)


def trades(key: Key, start_ms: int | None, end_ms: int | None, limit: int, aggregated: bool | None) -> Query:
    where = [SYMBOL, *_range("trade_time", start_ms, end_ms)]
    if aggregated is not None:
        where.append("aggregated" if aggregated else "NOT aggregated")
    return _paged(
        "trades",
        f"{_id('trade_id')}, {_text('price')}, {_text('quantity')}, toString(side), {_us('trade_time')}, "
        f"{_ns('recv_time')}, aggregated, {_id('first_trade_id')}, {_id('last_trade_id')}",
        where,
        ("trade_time", "aggregated", "trade_id", "trade_id_text"),
        _params(key, start_ms, end_ms, limit),
        start_ms is None,
    )


def klines(
    key: Key, interval: str, start_ms: int | None, end_ms: int | None, limit: int, provisional: bool = True
) -> Query:
    # Whether the open candle counts is decided after merging: a candle's older versions say that it is open.
    last = [] if provisional else ["is_closed"]
    return _paged(
        "klines",
        f"{_ms('open_time')}, {_ms('close_time')}, "
        + ", ".join(map(_text, ("open", "high", "low", "close", "volume", "quote_volume")))
        + f", trade_count, {_text('taker_buy_volume')}, {_text('taker_buy_quote_volume')}, first_trade_id, "
        f"last_trade_id, is_closed, status, complete, reasons, gaps, revision, source, {_ns('recv_time')}",
        [SYMBOL, "interval = %(interval)s", *_range("open_time", start_ms, end_ms)],
        ("open_time",),
        {**_params(key, start_ms, end_ms, limit), "interval": interval},
        start_ms is None,
        last,
    )


def gaps(
    key: Key,
    start_ms: int | None,
    end_ms: int | None,
    limit: int,
    channels: Iterable[str] = (),
    include_filled: bool = False,
) -> Query:
    """Gaps that overlap the range."""
    where = [SYMBOL]
    if start_ms is not None:
        where.append(f"to_time >= {_at('start_ms')}")
    if end_ms is not None:
        where.append(f"from_time < {_at('end_ms')}")
    named = tuple(channels)
    if named:
        where.append("channel IN %(channels)s")
    if not include_filled:
        where.append("(missing_count = 0 OR filled_count < missing_count)")
    way = "DESC" if start_ms is None else "ASC"
    sql = (
        f"SELECT gap_id, channel, reason, {_id('first_missing_id')}, {_id('last_missing_id')}, missing_count, "
        f"filled_count, {_us('from_time')}, {_us('to_time')}, epoch, {_ns('recv_time')} FROM gaps "
        f"WHERE {' AND '.join(where)} ORDER BY from_time {way}, channel {way}, gap_id {way}, epoch {way} "
        "LIMIT %(rows)s"
    )
    return Query(sql, {**_params(key, start_ms, end_ms, limit), "channels": named})


def newest_snapshot(key: Key) -> Query:
    """The newest stored deep view. Rows of one key are equal here, so no merge is needed."""
    sides = ", ".join(f"arrayMap(x -> toString(x), {c})" for c in SNAPSHOT_LEVELS)
    sql = (
        f"SELECT instrument, state, reason, {_id('update_id')}, epoch, {_us('event_time')}, {_ns('verified_time')}, "
        f"{_ns('recv_time')}, bid_known_to, ask_known_to, {sides} FROM book_snapshots_log WHERE {SYMBOL} "
        "ORDER BY epoch DESC, update_id DESC, update_id_text DESC, recv_time DESC LIMIT 1"
    )
    return Query(sql, key._asdict())


def instruments() -> Query:
    return Query("SELECT exchange, market, symbol, instrument FROM instruments ORDER BY exchange, market, symbol", {})


def to_trade(row: Row) -> models.Trade:
    return models.Trade.model_construct(**dict(zip(_TRADE, row, strict=True)))


def to_kline(row: Row) -> models.Kline:
    return models.Kline.model_construct(**dict(zip(_KLINE, row, strict=True)))


def to_gap(row: Row) -> models.Gap:
    return models.Gap.model_construct(**dict(zip(_GAP, row, strict=True)))


def to_snapshot(key: Key, row: Row) -> BookSnapshot:
    instrument, state, reason, update_id, epoch, event_us, verified_ns, recv_ns, bid_to, ask_to, bp, bq, ap, aq = row
    return BookSnapshot(
        exchange=key.exchange,
        market=key.market,
        symbol=key.symbol,
        instrument=instrument,
        recv_time_ns=recv_ns,
        state=state,
        reason=reason,
        update_id=update_id,
        epoch=epoch,
        event_time_us=event_us,
        verified_time_ns="" if verified_ns == "0" else verified_ns,
        bids=list(zip(bp, bq, strict=True)),
        asks=list(zip(ap, aq, strict=True)),
        bid_known_to=bid_to,
        ask_known_to=ask_to,
    )


# Fields in the order the statements above select them.
_TRADE = (
    "trade_id", "price", "quantity", "side", "trade_time_us", "recv_time_ns", "aggregated", "first_trade_id",
    "last_trade_id",
)  # fmt: skip
_KLINE = (
    "open_time", "close_time", "open", "high", "low", "close", "volume", "quote_volume", "trade_count",
    "taker_buy_volume", "taker_buy_quote_volume", "first_trade_id", "last_trade_id", "is_closed", "status", "complete",
    "reasons", "gaps", "revision", "source", "recv_time_ns",
)  # fmt: skip
_GAP = (
    "gap_id", "channel", "reason", "first_missing_id", "last_missing_id", "missing_count", "filled_count",
    "from_time_us", "to_time_us", "epoch", "recv_time_ns",
)  # fmt: skip


def _paged(
    view: str,
    columns: str,
    where: Sequence[str],
    order: Sequence[str],
    params: dict[str, Any],
    newest_first: bool,
    where_merged: Sequence[str] = (),
) -> Query:
    way, bound, beyond = ("DESC", "min", ">=") if newest_first else ("ASC", "max", "<=")
    by = ", ".join(f"{c} {way}" for c in order)
    inner = " AND ".join(where)
    # An empty range has the bound 1970: then nothing is found either way. One key more than rows asked for, because
    # the open candle may be left out after merging.
    sql = (
        f"WITH (SELECT {bound}({order[0]}) FROM (SELECT DISTINCT {', '.join(order)} FROM {view}_log WHERE {inner} "
        f"ORDER BY {by} LIMIT %(keys)s)) AS edge "
        f"SELECT {columns} FROM {view} WHERE {' AND '.join([*where, f'{order[0]} {beyond} edge', *where_merged])} "
        f"ORDER BY {by} LIMIT %(rows)s"
    )
    return Query(sql, {**params, "keys": params["rows"] + 1})


def _params(key: Key, start_ms: int | None, end_ms: int | None, limit: int) -> dict[str, Any]:
    return {**key._asdict(), "start_ms": start_ms or 0, "end_ms": end_ms or 0, "rows": limit + 1}


def _range(column: str, start_ms: int | None, end_ms: int | None) -> list[str]:
    found = [f"{column} >= {_at('start_ms')}"] if start_ms is not None else []
    return [*found, f"{column} < {_at('end_ms')}"] if end_ms is not None else found


def _at(name: str) -> str:
    return f"fromUnixTimestamp64Milli(toInt64(%({name})s), 'UTC')"


def _us(column: str) -> str:
    return f"toUnixTimestamp64Micro({column})"


def _ms(column: str) -> str:
    return f"toUnixTimestamp64Milli({column})"


def _ns(column: str) -> str:
    return f"toString(toUnixTimestamp64Nano({column}))"


def _text(column: str) -> str:
    """A decimal as plain text; "" for NULL."""
    return f"ifNull(toString({column}), '')"


def _id(column: str) -> str:
    """An id from its two columns."""
    return f"multiIf({column}_text != '', {column}_text, {column} = 0, '', toString({column}))"
