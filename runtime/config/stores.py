"""Environment, broker and stores."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, SecretStr

from runtime.config.base import Section


class Environment(Section):
    """Which world the data belong to. Simulated and recorded data never share topics or tables with live data."""

    name: str = "live"
    topic_prefix: str = Field("", pattern=r"^[a-zA-Z0-9._-]*$", description="Put before every topic name, e.g. 'sim.'")
    database: str = Field("md", pattern=r"^[a-zA-Z0-9_]+$", description="ClickHouse database")
    redis_prefix: str = Field("", description="Put before every Redis key and channel")
    simulated: bool = False
    """Shown on every surface: the data do not come from the real exchange."""


class Kafka(Section):
    bootstrap_servers: str = "127.0.0.1:9092"
    partitions: int = Field(
        2, ge=1, description="Of every keyed topic; cannot be changed later without orphaning state"
    )
    replication_factor: int = 1
    linger_ms: float = 5
    compression: Literal["none", "lz4", "zstd"] = "zstd"
    encoding: Literal["json", "msgpack"] = "json"
    session_timeout_ms: int = 6_000
    heartbeat_interval_ms: int = 300
    delivery_timeout_ms: int = Field(1_800_000, description="Longer than the longest broker outage to survive")
    retention_bytes_per_partition: int = Field(-1, description="Bounds disk use per partition; -1: by time alone")
    extra: dict[str, str] = Field(default_factory=dict, description="Passed to librdkafka as they are (TLS, SASL)")


class ClickHouse(Section):
    host: str = "127.0.0.1"
    port: int = 9000
    http_port: int = 8123
    user: str = "md_writer"
    password: SecretStr = SecretStr("")
    admin_user: str = "md_admin"
    admin_password: SecretStr = SecretStr("")
    reader_user: str = "md_reader"
    reader_password: SecretStr = SecretStr("")
    engine: str = Field("ReplacingMergeTree", description="Or ReplicatedReplacingMergeTree")
    ttl: bool = Field(True, description="False in local and simulated environments: old rows must not vanish at INSERT")


class Redis(Section):
    url: str = "redis://127.0.0.1:6379/0"
