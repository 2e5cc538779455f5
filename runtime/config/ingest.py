"""Exchanges to capture and how the ingest pods behave."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from runtime.config.base import Section


class Select(Section):
    """A rule that picks symbols: those it names, and those (tradable now) that meet all of its other conditions."""

    symbols: list[str] = Field([], description="The venue's spelling")
    patterns: list[str] = Field([], description="Globs like `BTC-*`: symbols that match one of them")
    quotes: list[str] = Field([], description="Quote currencies")
    top: int | None = Field(None, ge=1, description="The so many symbols with the highest 24 h turnover")
    channels: list[str] | None = Field(None, description="Of these symbols; unset: the market's")

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not (self.symbols or self.patterns or self.quotes or self.top):
            raise ValueError("a rule needs symbols, patterns, quotes or top")
        return self


class MarketConfig(Section):
    """One exchange's market segment."""

    ws_url: str = Field(description="Where its WebSockets are, without the venue's path")
    rest_url: str = Field(description="Where its REST is, without the venue's path")
    symbols: list[str] = Field([], description="The venue's spelling, in upper case")
    channels: list[str] = ["trade", "book", "bbo", "kline", "ticker"]
    select: list[Select] = Field(
        [],
        description="Rules that pick more symbols; looked up again with every metadata refresh. A symbol that several "
        "rules pick has the channels of all of them",
    )

    @model_validator(mode="after")
    def _says_what(self) -> Self:
        if not self.model_fields_set & {"symbols", "select"}:
            raise ValueError("what to capture is missing: symbols or select (`symbols: []` where others decide)")
        return self


class Ingest(Section):
    pod: str = Field(
        "ingest-0",
        pattern=r"^[a-zA-Z0-9][a-zA-Z0-9._-]*$",
        description="Name of this process; part of connection ids and of its spill's folder",
    )
    shards: int = Field(1, ge=1, description="Symbols are spread over this many pods by rendezvous hashing")
    shard: int = Field(0, ge=0, description="Which of them this process is, from 0")

    # connections
    streams_per_connection: int = Field(400, ge=1, description="At most; the venue's own limit rules where lower")
    connect_timeout_s: float = Field(10.0, gt=0)
    reconnect_delay_s_min: float = Field(1.0, gt=0)
    reconnect_delay_s_max: float = Field(30.0, gt=0)
    reconnect_healthy_s: float = Field(10, ge=0, description="A connection that lived this long resets the backoff")
    heartbeat_interval_s: float = Field(1.0, gt=0)
    proxy: str | None = Field(
        None, description="http:// or socks5:// URL; else HTTPS_PROXY / ALL_PROXY / NO_PROXY rule"
    )
    no_proxy: list[str] = Field([], description="Hosts reached directly although `proxy` is set")

    # the way to Kafka
    queue_frames_max: int = Field(
        50_000, ge=1, description="Frames waiting for the Kafka client before they spill to disk"
    )
    queue_bytes_max: int = Field(32 * 1024**2, ge=1, description="The same bound in bytes")
    stall_after_s: float = Field(
        2.0, gt=0, description="Nothing delivered for this long while frames wait: spill to disk"
    )
    spill_bytes_max: int = Field(
        2 * 1024**3, ge=0, description="Spill file bound; beyond it, or where the disk refuses, connections are closed"
    )
    spill_segment_bytes: int = Field(8 * 1024**2, ge=1, description="A new spill file is begun at this size")
    spill_dir: str = ".marketprism/spill"
    stop_timeout_s: float = Field(5.0, ge=0, description="How long SIGTERM waits for Kafka before the rest is spilled")

    # REST
    snapshot_levels_first: int = Field(1000, ge=1)
    snapshot_levels_deep: int = Field(5000, ge=1)
    snapshot_concurrency: int = Field(4, ge=1, description="Snapshots fetched at the same time")
    snapshot_demand_interval_s: float = Field(
        10, ge=0, description="Snapshots asked for by others: one per book and this"
    )
    reanchor_interval_s: float = Field(1800, gt=0, description="Each book is re-anchored about this often")
    instruments_interval_s: float = Field(3600, gt=0, description="How often the venue's metadata is asked for changes")
    instruments_wait_s: float = Field(15, ge=0, description="Without metadata by then, capture begins all the same")
    rest_budget_share: float = Field(0.85, gt=0, le=1, description="Share of the venue's REST weight we may use")
    rest_budget_shared: bool = Field(
        False, description="Share the REST budgets with other pods through Redis; always so with more than one shard"
    )
    egress: str = Field(
        "default",
        pattern=r"^[a-zA-Z0-9._-]+$",
        description="Name of the public address this pod is seen under: pods of one name share the REST budgets",
    )
    rest_timeout_s: float = Field(
        10.0,
        gt=0,
        description="A REST request fails that brings nothing for this long, or takes three times as long in all",
    )

    @model_validator(mode="after")
    def _shard_exists(self) -> Self:
        if self.shard >= self.shards:
            raise ValueError(f"shard {self.shard} does not exist: shards are numbered 0 to {self.shards - 1}")
        return self
