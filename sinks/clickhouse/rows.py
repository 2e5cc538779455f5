"""Records to rows: pure. Bytes become records, records of one table become columns as the client sends them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from operator import attrgetter
from typing import Any, NamedTuple

from marketdata import codec
from marketdata.codec import payload_text
from marketdata.errors import BadData, UnparsableFrame
from marketdata.keys import parse_key
from marketdata.types import DeadLetter
from sinks.clickhouse import kinds
from sinks.clickhouse.table import Column, Table
from sinks.clickhouse.tables import TABLE_OF, TABLES

REFUSED = "refused_by_store"
"""Dead-letter code of a record that ClickHouse itself did not take."""

PAYLOAD_BYTES_MAX = 1024 * 1024
"""A longer payload is cut in its dead letter; the topic still has it whole at the coordinates given."""


class Row(NamedTuple):
    """A record and where it was read."""

    record: Any
    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes
    payload: bytes


Columns = list[list[Any]]


def record_of(topic: str, payload: bytes) -> tuple[Table, Any] | None:
    """The table and record of a message on `topic` (name without prefix); None where it produces no row.

    Raises UnparsableFrame when it is not a record of ours.
    """
    record = codec.decode(payload)
    table = TABLE_OF.get((topic, type(record)))
    return None if table is None else (table, record)


def to_columns(table: Table, rows: Sequence[Row]) -> Columns:
    """The columns of one insert. Raises BadData when some row cannot be stored exactly; `unstorable` says which."""
    records = [row.record for row in rows]
    columns = [prepare(list(map(source, records))) for source, prepare in _PLANS[table.name]]
    columns.append([row.topic for row in rows])
    columns.append([row.partition for row in rows])
    columns.append([row.offset for row in rows])
    return columns


def unstorable(table: Table, row: Row) -> BadData | None:
    """Why a row cannot be stored exactly, or None."""
    try:
        to_columns(table, [row])
    except BadData as exc:
        return exc
    return None


def split(table: Table, rows: Sequence[Row]) -> tuple[Sequence[Row], Columns, list[tuple[Row, BadData]]]:
    """(rows that fit, their columns, rows that do not and why)."""
    try:
        return rows, to_columns(table, rows), []
    except BadData:
        judged = [(row, unstorable(table, row)) for row in rows]
        good = [row for row, bad in judged if bad is None]
        return good, to_columns(table, good), [(row, bad) for row, bad in judged if bad is not None]


def identity(table: Table, record: Any) -> tuple[Any, ...]:
    """The natural key of a record: rows equal in it are one row under FINAL."""
    columns = {c.name: c for c in table.columns}
    return tuple(c.kind.prepare([_source(c)(record)])[0] for c in map(columns.__getitem__, table.sort_key))


def expired(table: Table, columns: Columns, now_s: float) -> int:
    """How many rows are older than the table's TTL: ClickHouse drops them at INSERT without a word."""
    if not table.ttl_days:
        return 0
    at, unit = _TTL_AT[table.name]
    oldest = int((now_s - table.ttl_days * 86_400) * unit)
    return sum(1 for value in columns[at] if value < oldest)


def dead_letter(row: Row, topic: str, bad: BadData) -> DeadLetter:
    """What md.dead_letter gets for a record of `topic` (name without prefix) that no table can take."""
    try:
        exchange, market, symbol = parse_key(row.key)
    except (UnparsableFrame, UnicodeDecodeError):
        exchange = market = symbol = "unknown"
    return DeadLetter(
        exchange=exchange,
        market=market,
        symbol=symbol,
        recv_time_ns=_storable_time_ns(row),
        reason=bad.code,
        detail=bad.detail[:2000],
        raw_topic=topic,
        raw_partition=row.partition,
        raw_offset=str(row.offset),
        record_id=bad.record_id,
        payload=payload_text(row.payload[:PAYLOAD_BYTES_MAX]),
    )


def _storable_time_ns(row: Row) -> str:
    """When the record was received or, where it says nothing that can be stored, Kafka's time: a dead letter that no
    table takes either would be lost."""
    for time_ns in (getattr(row.record, "recv_time_ns", ""), str(row.timestamp_ms * 1_000_000)):
        with suppress(BadData):
            if kinds.TIME_NS.prepare([time_ns]) != [0]:
                return str(time_ns)
    return "0"


def _source(column: Column) -> Callable[[Any], Any]:
    source = column.source or column.name
    return attrgetter(source) if isinstance(source, str) else source


def _ttl_at(table: Table) -> tuple[int, int]:
    units = {kinds.TIME_MS: 1_000, kinds.TIME_US: 1_000_000, kinds.TIME_NS: 1_000_000_000}
    at = next(i for i, c in enumerate(table.columns) if c.name == table.ttl_column)
    return at, units[table.columns[at].kind]


def _plan(columns: Iterable[Column]) -> list[tuple[Callable[[Any], Any], kinds.Prepare]]:
    return [(_source(c), c.kind.prepare) for c in columns]


_PLANS = {table.name: _plan(table.columns) for table in TABLES}
_TTL_AT = {table.name: _ttl_at(table) for table in TABLES if table.ttl_days}
