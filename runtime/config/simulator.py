"""Settings of the exchange simulator."""

from __future__ import annotations

from pydantic import Field

from runtime.config.base import Section


class Simulator(Section):
    host: str = "127.0.0.1"
    port: int = 9700
    state_dir: str = ".marketprism/simulator"
    seed: int = 1
    symbols: list[str] = ["BTCUSDT", "ETHUSDT", "SOLUSDT", "XRPUSDT"]
    frames_per_s: float = Field(200.0, description="Over all symbols, on average")
    recording: str | None = Field(None, description="Serve this recorded session instead of the synthetic market")
    speed: float = Field(1.0, gt=0)
