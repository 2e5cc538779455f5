"""Settings of the local stack (`make run`)."""

from __future__ import annotations

from pydantic import Field

from runtime.config.base import Section


class Local(Section):
    data_dir: str = ".marketprism"
    disk_bytes_max: int = Field(10 * 1024**3, description="Bound of all data on disk; Kafka retention follows it")
    kafka_heap_mb: int = 512
