"""Settings of the sinks."""

from __future__ import annotations

from pydantic import Field

from runtime.config.base import Section


class ClickHouseSink(Section):
    batch_rows_max: int = Field(50_000, ge=1, description="Records gathered before they are written")
    batch_bytes_max: int = Field(64 * 1024**2, ge=1, description="Bytes of records gathered before they are written")
    flush_interval_s: float = Field(1.0, gt=0, description="Oldest record gathered is written after this long")
    insert_timeout_s: float = Field(60.0, gt=0, description="An insert that takes longer is tried again")
    migrate: bool = Field(True, description="Bring the schema up to date at start, as the admin user")


class RedisSink(Section):
    min_interval_ms: float = Field(5, ge=0, description="Per key: the first value at once, then at most one this often")
    ttl_s: int = Field(86_400, ge=1, description="Keys of symbols that fell silent vanish after this long")
    commit_interval_s: float = Field(1.0, gt=0)
    refill_records_max: int = Field(
        50_000, ge=0, description="Per partition: how far back to read when Redis came up empty"
    )
    timeout_s: float = Field(5.0, gt=0, description="A Redis that does not answer for this long is tried again")


class Sinks(Section):
    instance: str = Field("0", description="Static group membership: one name per process and sink")
    clickhouse: ClickHouseSink = ClickHouseSink()
    redis: RedisSink = RedisSink()
