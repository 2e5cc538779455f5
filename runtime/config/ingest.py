"""Exchanges to capture and how the ingest pods behave."""

from __future__ import annotations

from pydantic import Field

from runtime.config.base import Section


class MarketConfig(Section):
    """One exchange's market segment."""

    ws_url: str
    rest_url: str
    symbols: list[str] = Field(description="The venue's spelling")
    channels: list[str] = ["trade", "book", "bbo", "kline", "ticker"]


class Ingest(Section):
    pod: str = Field("ingest-0", description="Name of this process; part of connection ids")
    reconnect_delay_s_min: float = 1.0
    reconnect_delay_s_max: float = 30.0
    heartbeat_interval_s: float = 1.0
    queue_frames_max: int = Field(50_000, description="Frames waiting for the Kafka client before they spill to disk")
    spill_bytes_max: int = Field(2 * 1024**3, description="Spill file bound; beyond it connections are closed")
    spill_dir: str = ".marketprism/spill"
    snapshot_levels_first: int = 1000
    snapshot_levels_deep: int = 5000
    reanchor_interval_s: float = Field(1800, description="Each book is re-anchored about this often")
    rest_budget_share: float = Field(0.7, gt=0, le=1, description="Share of the venue's REST weight we may use")
    rest_timeout_s: float = 10.0
    proxy: str | None = Field(
        None, description="http:// or socks5:// URL; else HTTPS_PROXY / ALL_PROXY / NO_PROXY rule"
    )
