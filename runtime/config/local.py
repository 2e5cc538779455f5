"""Settings of the local stack (`make run`)."""

from __future__ import annotations

from pydantic import Field

from runtime.config.base import Section

GIB = 1024**3


class Local(Section):
    data_dir: str = Field(".marketprism", description="All data, logs and addresses of the local stack")
    jars_dir: str = Field(".marketprism/jars", description="Cache of Kafka's jars; may be shared by several stacks")

    # disk
    disk_bytes_max: int = Field(
        10 * GIB,
        ge=2 * GIB,
        description="Bound of all data on disk (jars excepted): the oldest records, partitions and logs are dropped",
    )
    disk_free_bytes_min: int = Field(GIB, ge=0, description="Starting with less free space than this is refused")
    recordings_kept: int = Field(
        5, ge=1, description="Topics and tables of this many recording runs are kept; one more drops the oldest"
    )

    # memory
    kafka_heap_mb: int = Field(512, ge=128)
    clickhouse_memory_mb: int = Field(2000, ge=500)
    valkey_memory_mb: int = Field(256, ge=16)

    # ports: none means a free one at every start
    kafka_port: int | None = None
    kafka_controller_port: int | None = None
    clickhouse_port: int | None = None
    clickhouse_http_port: int | None = None
    valkey_port: int | None = None
    metrics_port_base: int | None = Field(
        None, description="First of the services' /metrics ports, one after the other; none: free ones"
    )

    hang_timeout_s: float = Field(
        30, gt=0, description="A service whose /livez fails for this long is killed, and so restarted"
    )
    ready_timeout_s: float = Field(180, gt=0, description="A part that is not ready after this long is named as such")
    stop_timeout_s: float = Field(60, gt=0, description="How long a clean stop may take before the rest is killed")
