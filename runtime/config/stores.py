"""Environment, broker and stores."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, SecretStr

from marketdata.topics import RAW_TOPICS, Topic, topic_name
from runtime.config.base import Section


class Environment(Section):
    """Which world the data belong to. Simulated and recorded data never share topics or tables with live data."""

    name: str = Field("live", description="Shown by the API and on the pages")
    topic_prefix: str = Field("", pattern=r"^[a-zA-Z0-9._-]*$", description="Put before every topic name, e.g. 'sim.'")
    database: str = Field("md", pattern=r"^[a-zA-Z0-9_]+$", description="ClickHouse database")
    redis_prefix: str = Field("", description="Put before every Redis key and channel")
    raw_topic_prefix: str | None = Field(
        None,
        pattern=r"^[a-zA-Z0-9._-]*$",
        description="Processors read raw.* topics with this prefix instead: rebuilds an environment from another's log",
    )
    simulated: bool = False
    """Shown on every surface: the data do not come from the real exchange."""

    def source_topic(self, topic: Topic) -> str:
        """The name of a topic as processors read it (raw topics may be those of another environment)."""
        rebuilt = self.raw_topic_prefix is not None and topic in RAW_TOPICS
        return topic_name(self.raw_topic_prefix or "" if rebuilt else self.topic_prefix, topic)


class Kafka(Section):
    bootstrap_servers: str = Field("127.0.0.1:9092", description="Brokers to begin with, host:port, by commas")
    partitions: int = Field(
        2, ge=1, description="Of every keyed topic; cannot be changed later without orphaning state"
    )
    replication_factor: int = Field(1, ge=1, description="Copies of every partition; at most the number of brokers")
    linger_ms: float = Field(5, ge=0, description="How long a producer waits to fill a batch: latency against CPU")
    compression: Literal["none", "lz4", "zstd"] = Field("zstd", description="Of batches, by the producers")
    encoding: Literal["json", "msgpack"] = Field("json", description="Of the values in md.* topics")
    session_timeout_ms: int = Field(6_000, description="A consumer silent this long loses its partitions")
    heartbeat_interval_ms: int = Field(300, description="How often a consumer says that it lives")
    delivery_timeout_ms: int = Field(1_800_000, description="Longer than the longest broker outage to survive")
    retention_bytes_per_partition: int = Field(-1, description="Bounds disk use per partition; -1: by time alone")
    extra: dict[str, str] = Field(default_factory=dict, description="Passed to librdkafka as they are (TLS, SASL)")


class ClickHouse(Section):
    """The history. Three users, so that nobody can do more than it must."""

    host: str = Field("127.0.0.1", description="Name or address of the server")
    port: int = Field(9000, description="Its native protocol, which the services speak")
    http_port: int = Field(8123, description="Its HTTP interface, for people and tools")
    user: str = Field("md_writer", description="Inserts rows (the sink)")
    password: SecretStr = Field(SecretStr(""), description="Of the writer")
    admin_user: str = Field("md_admin", description="Creates the database and runs migrations")
    admin_password: SecretStr = Field(SecretStr(""), description="Of the administrator")
    reader_user: str = Field("md_reader", description="Reads only (the API)")
    reader_password: SecretStr = Field(SecretStr(""), description="Of the reader")
    engine: str = Field("ReplacingMergeTree", description="Of the tables; or ReplicatedReplacingMergeTree")
    ttl: bool = Field(True, description="False in local and simulated environments: old rows must not vanish at INSERT")


class Redis(Section):
    """The latest values."""

    url: str = Field("redis://127.0.0.1:6379/0", description="redis://, rediss:// or unix:// URL, password included")
