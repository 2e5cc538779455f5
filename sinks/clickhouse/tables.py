"""Every table of the database, and which record fills it.

A new record type is a `Table` in the module it belongs to, its line in `TABLES` and one migration
(`python -m sinks.clickhouse.ddl NAME` prints its statements); a new column is a line of its table and one migration.

    market_tables.py       trades, book_deltas, book_snapshots, quotes, tickers, instruments, arbitrage
    candle_tables.py       klines, venue_klines, kline_residuals
    derivative_tables.py   mark_prices, funding, open_interest, liquidations, long_short, volatility
    quality_tables.py      gaps, feed_status, dead_letters
"""

from __future__ import annotations

from sinks.clickhouse.candle_tables import KLINE_RESIDUALS, KLINES, VENUE_KLINES
from sinks.clickhouse.derivative_tables import (
    FUNDING,
    LIQUIDATIONS,
    LONG_SHORT,
    MARK_PRICES,
    OPEN_INTEREST,
    VOLATILITY,
)
from sinks.clickhouse.market_tables import (
    ARBITRAGE,
    BOOK_DELTAS,
    BOOK_SNAPSHOTS,
    INSTRUMENTS,
    QUOTES,
    TICKERS,
    TRADES,
)
from sinks.clickhouse.quality_tables import DEAD_LETTERS, FEED_STATUS, GAPS
from sinks.clickhouse.table import Table

TABLES: tuple[Table, ...] = (
    TRADES, BOOK_DELTAS, BOOK_SNAPSHOTS, QUOTES, KLINES, VENUE_KLINES, KLINE_RESIDUALS, TICKERS, GAPS, FEED_STATUS,
    DEAD_LETTERS, INSTRUMENTS, MARK_PRICES, FUNDING, OPEN_INTEREST, LIQUIDATIONS, LONG_SHORT, VOLATILITY,
    ARBITRAGE,
)  # fmt: skip

TABLE_OF: dict[tuple[str, type], Table] = {(table.topic.name, table.record): table for table in TABLES}
"""(topic without prefix, record type) -> table. What is not here produces no row."""

PRODUCES_NO_ROW: dict[tuple[str, str], str] = {
    ("md.trade", "heartbeat"): "time as data, for watermarks; carries no market data",
    ("md.trade", "feed_status"): "a copy under the trades' key for the candles; md.feed_status is stored",
    ("md.trade", "gap"): "a copy under the trades' key for the candles; md.gap is stored",
    ("md.book", "book"): "fast view of the best levels for live use; deltas and snapshots hold the same and more",
    ("md.book_reply", "book_snapshot"): "answer to one consumer's question, outside the replay promise",
    ("md.bbo_merged", "bbo"): "md.bbo over again by another key; md.bbo is stored",
    ("md.bbo_merged", "heartbeat"): "as in md.bbo",
    ("md.bbo_merged", "feed_status"): "as in md.bbo",
    ("md.bbo", "heartbeat"): "time as data, for the age of quotes; carries no market data",
    ("md.bbo", "feed_status"): "a copy under the quotes' key for the arbitrage processor; md.feed_status is stored",
    ("md.quality", "quality"): "no application publishes it yet",
}
"""(topic, record kind) that is published but stored in no table, and why."""
