"""Settings of the quixstreams applications."""

from __future__ import annotations

from pydantic import Field

from runtime.config.base import Section


class Books(Section):
    levels_max: int = Field(5000, description="Levels kept per side")
    top_levels: int = 20
    top_interval_ms: int = Field(100, description="At most one md.book per book and this long; 0: every update")
    deep_levels: int = 400
    deep_interval_ms: int = 1000
    stale_after_ms: int = Field(10_000, description="No verified update for this long by the venue's clock: stale")


class Klines(Section):
    intervals: list[str] = ["1m", "5m", "15m", "1h", "4h", "1d"]
    allowed_lateness_ms: int = 2_000
    provisional_interval_ms: int = 1_000
    revise_window_ms: int = Field(600_000, description="How long a final candle can still be revised by late trades")


class Processors(Section):
    instance: str = Field("0", description="Static group membership: one name per process and application")
    state_dir: str = ".marketprism/state"
    commit_interval_s: float = 5.0
    watchdog_timeout_s: float = Field(20, description="A loop that stood still this long with lag ends its process")
    books: Books = Books()
    klines: Klines = Klines()
