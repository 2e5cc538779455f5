"""Settings of the API."""

from __future__ import annotations

from pydantic import Field

from runtime.config.base import Section


class Api(Section):
    """REST over the stores. Every wait and buffer is bounded; at the bound the answer is 503, never a guess."""

    host: str = Field("127.0.0.1", description="Address to listen on")
    port: int = Field(8000, ge=0, le=65535, description="0 takes a free one")
    rows_max: int = Field(5000, ge=1, le=100_000, description="The highest `limit` a request may ask for")
    redis_timeout_s: float = Field(1.0, gt=0, description="Of connecting to Redis and of each command")
    clickhouse_timeout_s: float = Field(5.0, gt=0, description="Of one query, in the server and in the client")
    clickhouse_connections: int = Field(4, ge=1, description="Queries that run at the same time")
    clickhouse_waiting_max: int = Field(64, ge=0, description="Queries that wait for a connection; beyond it 503")
    catalogue_age_s_max: float = Field(5.0, ge=0, description="How old the list of known symbols may get")
    stale_after_s: float = Field(30.0, gt=0, description="A symbol silent this long counts as silent in /health")
    stop_timeout_s: int = Field(5, ge=0, description="How long SIGTERM waits for requests under way")
