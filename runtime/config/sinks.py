"""Settings of the sinks."""

from __future__ import annotations

from pydantic import Field

from runtime.config.base import Section


class ClickHouseSink(Section):
    batch_rows_max: int = 50_000
    flush_interval_s: float = 1.0


class RedisSink(Section):
    min_interval_ms: float = Field(5, description="Per key: the first value at once, then at most one this often")
    ttl_s: int = 86_400


class Sinks(Section):
    instance: str = "0"
    clickhouse: ClickHouseSink = ClickHouseSink()
    redis: RedisSink = RedisSink()
