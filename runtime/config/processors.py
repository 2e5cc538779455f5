"""Settings of the quixstreams applications."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import Field, field_validator, model_validator

from runtime.config.base import Section


class Books(Section):
    levels_max: int = Field(5000, ge=100, description="Levels kept per side; up to an eighth more until cut")
    top_levels: int = Field(20, ge=1, description="Levels a side in md.book")
    top_interval_ms: int = Field(
        50, ge=0, description="At most one md.book per book and this long by the log's time; 0: every update"
    )
    deep_levels: int = Field(400, ge=1, description="Levels a side in md.book_snapshot")
    deep_interval_ms: int = Field(1000, ge=0, description="At most one md.book_snapshot per book and this long")
    window_levels: int = Field(
        400, ge=1, description="Best levels a side kept sorted; those of the deep view, or fewer where that is rare"
    )
    deltas: bool = Field(True, description="Pass the venue's updates on to md.book_delta")
    stale_after_ms: dict[str, int] = Field(
        {},
        description="Nothing said of a book for longer than this by the venue's clock: stale. By exchange.market, by "
        "exchange, or for all others under `default`; unset: as long as the venue's books may rest by its own limits, "
        "and where it has none as long as the connection lives",
    )
    snapshot_wait_ms: int = Field(
        5_000, gt=0, description="Without a book for this long: ask ingest for a snapshot; doubles with each request"
    )
    snapshot_wait_ms_max: int = Field(60_000, gt=0, description="Longest wait between two such requests")
    commit_interval_s: float = Field(
        10, gt=0, description="How often every book touched is written to state; long: rare pauses, slow recovery"
    )


class Klines(Section):
    intervals: list[Literal["1m", "5m", "15m", "1h", "4h", "1d"]] = Field(
        ["1m", "5m", "15m", "1h", "4h", "1d"], min_length=1, description="Shortest first; the shortest divides the rest"
    )
    allowed_lateness_ms: int = Field(
        2_000, ge=0, description="A candle closes this long after its end by the venue's clock"
    )
    provisional_interval_ms: int = Field(
        1_000, ge=0, description="Open candles are published at most this often, by the venue's clock"
    )
    revise_window_ms: int = Field(
        600_000, ge=0, description="How long a final candle can still be revised by late trades"
    )


class Reconcile(Section):
    intervals: list[str] = Field(["1m"], description="Those the venue sends; others have nothing to be compared with")
    window_ms: int = Field(
        3_600_000, description="A side that is this far ahead gives up waiting for the other's candle"
    )


class Arbitrage(Section):
    fees: dict[str, str] = Field(
        {"default": "0.001"},
        description="Taker fee as a fraction, by exchange.market, by exchange, or for all others under `default`",
    )
    min_profit_bps: str = Field("0", pattern=r"^\d+(\.\d+)?$", description="Least profit after fees, in basis points")
    max_quote_age_ms: int = Field(3_000, gt=0, description="A quote older than this counts for nothing")
    update_interval_ms: int = Field(100, ge=0, description="At most one update per episode and this long")
    merge_delay_ms: int = Field(
        250, ge=0, description="How far apart collectors may write to one partition; the watermark lies so far back"
    )
    merge_hold_ms: int = Field(
        10_000,
        ge=0,
        description="How far apart partitions may be read: one that joins counts after it, one at rest is waited for",
    )
    merge_silence_ms: int = Field(
        60_000,
        gt=0,
        description="One silent for longer joins anew when it speaks; merge_hold_ms later it is not waited for. "
        "To be far more than five heartbeat intervals of ingest",
    )
    read_ahead_ms: int = Field(
        2_000, gt=0, description="In a backlog of quotes a partition this far ahead of the others waits for them"
    )
    waiting_quotes_max: int = Field(
        40_000,
        gt=0,
        description="Beyond it the oldest come out before their time; about 110 bytes each, in a state of 8 MB at most",
    )

    @field_validator("fees")
    @classmethod
    def _fractions(cls, fees: dict[str, str]) -> dict[str, str]:
        for name, fee in fees.items():
            if not re.fullmatch(r"-?0(\.\d+)?", fee):
                raise ValueError(f"fee of {name} is {fee!r}: give a fraction like '0.001' for 0.1 %")
        return fees

    @model_validator(mode="after")
    def _read_within_hold(self) -> Arbitrage:
        if self.read_ahead_ms >= self.merge_hold_ms:
            raise ValueError("read_ahead_ms must be less than merge_hold_ms: the result would depend on who is ahead")
        return self


class Processors(Section):
    instance: str = Field("0", description="Static group membership: one name per process and application")
    state_dir: str = ".marketprism/state"
    commit_interval_s: float = Field(5.0, gt=0, description="State and offsets are committed this often")
    watchdog_timeout_s: float = Field(
        10,
        gt=0,
        description="A loop that stood still this long with lag ends its process; longer than any pause it needs",
    )
    books: Books = Books()
    klines: Klines = Klines()
    reconcile: Reconcile = Reconcile()
    arbitrage: Arbitrage = Arbitrage()
