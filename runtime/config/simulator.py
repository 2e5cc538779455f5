"""Settings of the exchange simulator."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from runtime.config.base import Section

SimulatedVenue = Literal["usdm", "okx", "htx", "hbdm", "deribit", "kraken"]
DEFAULT_VENUES: dict[SimulatedVenue, list[str]] = {
    "usdm": ["BTCUSDT", "ETHUSDT", "SOLUSDT"],
    "okx": ["BTC-USDT", "ETH-USDT", "BTC-USDT-SWAP", "ETH-USDT-SWAP", "BTC-USD-SWAP"],
    "htx": ["BTCUSDT", "ETHUSDT"],
    "hbdm": ["BTC-USDT", "ETH-USDT"],
    "deribit": ["BTC-PERPETUAL", "ETH-PERPETUAL"],
    "kraken": ["BTC/USD", "ETH/USD"],
}


class Simulator(Section):
    host: str = "127.0.0.1"
    port: int = 9700
    state_dir: str = ".marketprism/simulator"
    seed: int = 1
    symbols: list[str] = ["BTCUSDT", "ETHUSDT", "SOLUSDT", "XRPUSDT"]
    symbol_count: int = Field(0, ge=0, description="At least so many symbols: invented ones are added to the list")
    frames_per_s: float = Field(200.0, gt=0, description="Over all symbols of Binance spot, on average")
    venues: dict[SimulatedVenue, list[str]] = Field(
        DEFAULT_VENUES,
        description="Symbols of the other venues in their spelling, served under /usdm, /okx, /htx, /hbdm, /deribit "
        "and /kraken of the same port; a venue left out is not there",
    )
    venue_frames_per_s: float = Field(50.0, gt=0, description="Over all symbols of each other venue, on average")
    recording: str | None = Field(None, description="Serve this recorded session instead of the synthetic market")
    speed: float = Field(1.0, gt=0, description="Of a recording; 10 is ten times faster")
    start_wait_s_max: float = Field(
        10.0, description="A recording starts when all its streams are subscribed, or so long after the first one"
    )
    snapshot_wait_s_max: float = Field(
        8.0, description="How long a depth request waits for the moment its snapshot was recorded"
    )
    tick_ms: float = Field(5.0, gt=0, description="How often the market is moved on and frames are written")
    ping_interval_s: float = 20.0
    pong_timeout_s: float = 60.0
    connection_max_age_s: float = 86_400.0
    messages_per_s_max: int = Field(5, description="Client to server, pings and pongs counted; more: disconnected")
    streams_per_connection_max: int = 1024
    connection_attempts_per_5_min_max: int = Field(300, description="Per IP; 0: no limit")
    rest_weight_per_min_max: int = Field(6000, description="Per IP; 0: no limit")
    ban_s: float = Field(120.0, description="First 418 for going on after a 429; doubles each time")
    write_buffer_bytes_max: int = Field(16 * 1024**2, description="A client that reads too slowly is disconnected")
    history_days: float = Field(2.0, description="How long trades and candles are kept on disk for REST")
