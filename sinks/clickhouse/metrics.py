"""What the ClickHouse sink counts."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

RECORDS = Counter("marketprism_clickhouse_records", "Records read, by topic and what became of them", ["topic", "fate"])
ROWS = Counter("marketprism_clickhouse_rows", "Rows acknowledged by ClickHouse", ["table"])
EXPIRED = Counter("marketprism_clickhouse_expired_rows", "Rows older than the table's TTL: not kept", ["table"])
DEAD_LETTERS = Counter("marketprism_clickhouse_dead_letters", "Records no table could take", ["reason"])
SKIPPED = Counter("marketprism_clickhouse_skipped_records", "Records Kafka no longer had when we came", ["topic"])
INSERTS = Counter("marketprism_clickhouse_inserts", "Inserts acknowledged", ["table"])
RETRIES = Counter("marketprism_clickhouse_retries", "Inserts that failed and were tried again")
FLUSH_SECONDS = Histogram("marketprism_clickhouse_flush_seconds", "From the first insert of a flush to its commit")
BUFFERED = Gauge("marketprism_clickhouse_buffered_records", "Records gathered and not yet acknowledged")
LAG = Gauge("marketprism_clickhouse_lag_records", "Records behind the end of the topic", ["topic", "partition"])
