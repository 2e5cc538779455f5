"""What is gathered between two flushes: pure bookkeeping of rows and of the offsets they allow to commit."""

from __future__ import annotations

from marketdata.types import DeadLetter
from sinks.clickhouse.rows import Row
from sinks.clickhouse.table import Table
from sinks.consumer import Partition


class Batch:
    """Rows by table, refused records, and for each partition the offset that may be committed once all is written."""

    def __init__(self) -> None:
        self.rows: dict[str, tuple[Table, list[Row]]] = {}
        self.refused: list[tuple[bytes, int, DeadLetter]] = []
        """(key, Kafka timestamp, letter) of records that no table can take."""
        self.next_offsets: dict[Partition, int] = {}
        self.records = 0
        self.size_bytes = 0
        self.begun_s = 0.0
        """Monotonic time of the first record."""

    def saw(self, topic: str, partition: int, offset: int, size_bytes: int, now_s: float) -> None:
        """A record was read, whether it becomes a row or not."""
        if not self.records:
            self.begun_s = now_s
        self.records += 1
        self.size_bytes += size_bytes
        self.next_offsets[topic, partition] = offset + 1

    def add(self, table: Table, row: Row) -> None:
        at = self.rows.get(table.name)
        if at is None:
            at = self.rows[table.name] = (table, [])
        at[1].append(row)
