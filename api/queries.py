"""SQL over the views the ClickHouse sink keeps, and its rows as the API's models. Pure: text and values, no I/O.

Pages are read from the `_log` tables in their sort order with `LIMIT 1 BY key`, newest version first: the same rows as
the views give, which apply FINAL, but reading stops after as many keys as asked for, where FINAL would first merge all
that lies in the range.

The columns of each statement stand in the order of the fields of the model its rows become.
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
INSTRUMENTS_MAX = 200_000
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
        f"{_ns('recv_time')}, aggregated, {_id('first_trade_id')}, {_id('last_trade_id')}, liquidation, off_book",
        where,
        ("trade_time", "aggregated", "trade_id", "trade_id_text"),
        _params(key, start_ms, end_ms, limit),
        start_ms is None,
    )


def klines(
    key: Key, interval: str, start_ms: int | None, end_ms: int | None, limit: int, provisional: bool = True
) -> Query:
    # Whether a candle is open is asked of its newest version: older ones of a closed candle say that it is.
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
        version="_version",
        where_newest="" if provisional else "is_closed",
    )


def gaps(
    key: Key,
    start_ms: int | None,
    end_ms: int | None,
    limit: int,
    channels: Iterable[str] = (),
    include_filled: bool = False,
) -> Query:
    """Gaps that overlap the range. From the table with FINAL rather than the view: half the server's time per query."""
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
        f"filled_count, {_us('from_time')}, {_us('to_time')}, epoch, {_ns('recv_time')} FROM gaps_log FINAL "
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
    """Every symbol that was ever captured: expired contracts too, so that they outgrow any page."""
    sql = "SELECT exchange, market, symbol, instrument FROM instruments ORDER BY exchange, market, symbol"
    return Query(f"{sql} LIMIT %(rows)s", {"rows": INSTRUMENTS_MAX})


# clickhouse-driver gives 0 instead of False for the defaults of a sparsely stored column: hence bool().


def to_trade(row: Row) -> models.Trade:
    trade = models.Trade(*row)
    trade.aggregated = bool(trade.aggregated)
    trade.liquidation, trade.off_book = bool(trade.liquidation), bool(trade.off_book)
    return trade


def to_kline(row: Row) -> models.Kline:
    kline = models.Kline(*row)
    kline.is_closed, kline.complete = bool(kline.is_closed), bool(kline.complete)
    return kline


def to_gap(row: Row) -> models.Gap:
    return models.Gap(*row)


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


def _paged(
    table: str,
    columns: str,
    where: Sequence[str],
    key: Sequence[str],
    params: dict[str, Any],
    newest_first: bool,
    version: str = "",
    where_newest: str = "",
) -> Query:
    """One page in the order of the key, each key once, in its newest version.

    `where_newest` is asked of the newest version alone; at most one row of a page may fail it.
    """
    way = "DESC" if newest_first else "ASC"
    by = [f"{column} {way}" for column in key]
    order = ", ".join([*by, f"{version} DESC"] if version else by)
    inner = (
        f"SELECT {columns} FROM {table}_log WHERE {' AND '.join(where)} ORDER BY {order} LIMIT 1 BY {', '.join(key)}"
    )
    if not where_newest:
        return Query(f"{inner} LIMIT %(rows)s", params)
    sql = f"SELECT * FROM ({inner} LIMIT %(rows)s + 1) WHERE {where_newest} LIMIT %(rows)s"
    return Query(sql, params)


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
