"""What a table is: its columns, its natural key, its versions; and the columns that every table has.

Each table `X_log` holds whole rows, repeats and superseded versions included; the view `X` over it is what people read:
it has FINAL applied, so that each natural key appears once, in its newest version.

The sort key is the record's natural identity: what an exchange or a deterministic processor gives again when the log is
replayed. Never a receive time of market data (two collectors differ in it), never a Kafka offset. Where a record comes
in versions, the version is made of its content (`versions.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from marketdata.topics import Topic
from sinks.clickhouse import kinds as k
from sinks.clickhouse.kinds import Kind

Source = str | Callable[[Any], Any]
"""An attribute of the record, or a function of it."""


@dataclass(frozen=True)
class Column:
    name: str
    kind: Kind
    comment: str
    source: Source = ""
    """Default: the attribute called as the column."""
    default: str = ""
    """SQL of what rows have that are older than the column; "": the type's own default."""


WHOSE = (
    Column("exchange", k.NAME, "Exchange, lower case (binance)"),
    Column("market", k.NAME, "Market segment: spot, perp, future, option, inverse (coin-margined, an API of its own)"),
    Column("symbol", k.NAME, "The symbol in the exchange's own spelling, upper case (BTCUSDT)"),
    Column("instrument", k.NAME, "Canonical name (BTC-USDT), empty while the exchange metadata were not known"),
)


@dataclass(frozen=True)
class Table:
    name: str
    """Of the view; the table under it is called `{name}_log`."""
    record: type
    topic: Topic
    comment: str
    own: tuple[Column, ...]
    """Its columns without those every table has; see `columns`."""
    key: tuple[str, ...]
    """Natural key after `whose_key`."""
    partition: str
    """`toYYYYMM(column)` or `toYYYYMMDD(column)`; "" for a small table that is kept whole."""
    ttl_days: int
    """How long rows are kept where the configuration asks for it (`clickhouse.ttl`), by the partition's column."""
    version: Source | None = None
    """Highest wins among rows of one key; None: rows of one key are equal."""
    whose: tuple[Column, ...] = WHOSE
    whose_key: tuple[str, ...] = ("exchange", "market", "symbol")

    @property
    def log(self) -> str:
        return f"{self.name}_log"

    @property
    def ttl_column(self) -> str:
        return self.partition.partition("(")[2].rstrip(")")

    @property
    def sort_key(self) -> tuple[str, ...]:
        return (*self.whose_key, *self.key)

    @property
    def columns(self) -> tuple[Column, ...]:
        """All columns of the record, in order; `coordinates` follow them."""
        version = (Column("_version", k.VERSION, VERSION_COMMENT, self.version),) if self.version else ()
        return (*self.whose, *self.own, RECEIVED, *version)


RECEIVED = Column(
    "recv_time", k.TIME_NS, "Our clock when the frame arrived, before parsing. UTC, nanoseconds", "recv_time_ns"
)
VERSION_COMMENT = "Made of the content. The highest among rows of one key is the valid one"
COORDINATES = (
    Column("_topic", k.NAME, "Kafka topic the row was read from"),
    Column("_partition", k.PARTITION, "Kafka partition the row was read from"),
    Column("_offset", k.OFFSET, "Kafka offset the row was read from"),
)

EVENT_TIME = Column(
    "event_time", k.TIME_US, "Exchange clock. UTC, microseconds. 1970 where it gave none", "event_time_us"
)


def id_columns(name: str, comment: str) -> tuple[Column, Column]:
    """The two columns of an id: number for order and compression, text for what is no plain number."""
    return (
        Column(name, k.ID, f"{comment}. 0 where it is no plain number, see {name}_text"),
        Column(f"{name}_text", k.ID_TEXT, f"{comment}, only where it is no plain number below 10^19. Else empty", name),
    )
