"""The live line: what flows, read from the services' own metrics."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from deploy.local import scrape
from deploy.local.scrape import Sample

FRAMES = "marketprism_ingest_frames_total"
RECORDS_OUT = ("marketprism_normalise_records_out_total", "marketprism_books_records_out_total",
               "marketprism_klines_records_out_total")  # fmt: skip
ROWS = "marketprism_sink_rows_total"
BOOK_STATES = "marketprism_books_state"
RECORDING_ENDED = "marketprism_simulator_recording_ended"


@dataclass(frozen=True)
class Reading:
    """One look at all services."""

    frames_per_s: float
    out_per_s: Mapping[str, float]
    """Topic without its prefix -> records per second."""
    lag: Mapping[str, int]
    """Application -> records not yet processed."""
    books: Mapping[str, int]
    """Book state -> number of books."""
    silent: tuple[str, ...] = ()
    """Services whose metrics did not answer."""
    recording_ended: bool = False

    def line(self) -> str:
        out = " ".join(f"{topic.removeprefix('md.')} {rate:.0f}" for topic, rate in sorted(self.out_per_s.items()))
        lag = sum(self.lag.values())
        books = " ".join(f"{n} {state}" for state, n in sorted(self.books.items()) if n)
        parts = [f"in {self.frames_per_s:.0f}/s", f"out/s {out or '-'}", f"lag {lag}", f"books {books or '-'}"]
        if self.silent:
            parts.append("DOWN " + ",".join(self.silent))
        return " | ".join(parts)


@dataclass
class Counters:
    """Remembers the last totals, because rates are differences."""

    ports: Mapping[str, int]
    _last: dict[str, float] = field(default_factory=dict)
    _last_at: float = 0.0

    def read(self) -> Reading:
        with ThreadPoolExecutor(max_workers=4) as pool:
            found = dict(zip(self.ports, pool.map(scrape.samples, self.ports.values()), strict=True))
        return self.reading(time.monotonic(), found)

    def reading(self, now_s: float, found: Mapping[str, Iterable[Sample]]) -> Reading:
        """The figures of one look, `now_s` by a monotonic clock. Separate from `read` so that it can be tested."""
        totals: dict[str, float] = {}
        lag: dict[str, int] = {}
        books: dict[str, int] = {}
        ended = False
        for service, samples in found.items():
            for s in samples:
                if s.name == FRAMES:
                    totals["frames"] = totals.get("frames", 0) + s.value
                elif s.name in RECORDS_OUT:
                    topic = s.labels.get("topic", "?")
                    totals[topic] = totals.get(topic, 0) + s.value
                elif s.name.endswith("_lag"):
                    lag[service] = lag.get(service, 0) + int(s.value)
                elif s.name == BOOK_STATES:
                    state = s.labels.get("state", "?")
                    books[state] = books.get(state, 0) + int(s.value)
                elif s.name == RECORDING_ENDED:
                    ended = ended or s.value > 0
        rates = self._rates(now_s, totals)
        frames = rates.pop("frames", 0.0)
        silent = tuple(name for name, samples in found.items() if not samples)
        return Reading(frames, rates, lag, books, silent, ended)

    def _rates(self, now_s: float, totals: dict[str, float]) -> dict[str, float]:
        passed = now_s - self._last_at
        # a restarted service counts from zero again: no rate for that one look
        rates = {
            name: max(0.0, value - self._last[name]) / passed
            for name, value in totals.items()
            if name in self._last and passed > 0
        }
        self._last, self._last_at = totals, now_s
        return rates
