"""The live line: what flows, read from the services' own metrics."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from deploy.local import scrape
from deploy.local.scrape import Sample

FRAMES = "marketprism_ingest_frames_total"
RECORDS_OUT = "_records_out_total"
"""Ending of a name; label topic. Every processor has it."""
ROWS = "marketprism_clickhouse_rows_total"
LAG = ("_lag", "_lag_records")
"""Endings: records behind the end of the topic, of processors and sinks."""
BOOK_STATES = "marketprism_books_state_"
"""Beginning of a name; the state follows."""


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
    rows_per_s: float = 0.0
    """Into ClickHouse."""
    silent: tuple[str, ...] = ()
    """Services whose metrics did not answer."""

    def line(self) -> str:
        """The most telling figures first: a narrow terminal cuts the rest off."""
        busy = sorted(((rate, topic) for topic, rate in self.out_per_s.items() if rate >= 0.5), reverse=True)
        books = " ".join(f"{n} {state}" for state, n in sorted(self.books.items()) if n)
        parts = [
            f"in {self.frames_per_s:.0f}/s",
            f"lag {sum(self.lag.values())}",
            f"books {books or '-'}",
            f"rows {self.rows_per_s:.0f}/s",
            "out/s " + (" ".join(f"{topic.removeprefix('md.')} {rate:.0f}" for rate, topic in busy) or "-"),
        ]
        if self.silent:
            parts.insert(0, "DOWN " + ",".join(self.silent))
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
        for service, samples in found.items():
            for s in samples:
                if s.name in (FRAMES, ROWS):
                    totals[s.name] = totals.get(s.name, 0) + s.value
                elif s.name.endswith(RECORDS_OUT):
                    topic = s.labels.get("topic", "?")
                    totals[topic] = totals.get(topic, 0) + s.value
                elif s.name.endswith(LAG):
                    lag[service] = lag.get(service, 0) + int(s.value)
                elif s.name.startswith(BOOK_STATES):
                    state = s.name.removeprefix(BOOK_STATES)
                    books[state] = books.get(state, 0) + int(s.value)
        rates = self._rates(now_s, totals)
        frames, rows = rates.pop(FRAMES, 0.0), rates.pop(ROWS, 0.0)
        silent = tuple(name for name, samples in found.items() if not samples)
        return Reading(frames, rates, lag, books, rows, silent)

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
