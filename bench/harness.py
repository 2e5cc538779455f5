"""What every benchmark has in common: figures, repeated runs, one core, facts about the machine."""

from __future__ import annotations

import gc
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
PACKAGES = (
    "quixstreams",
    "confluent-kafka",
    "msgspec",
    "websockets",
    "uvloop",
    "zstandard",
    "clickhouse-driver",
    "redis",
)


@dataclass(frozen=True)
class Figure:
    """One measured number. `value` is the best run: others load the machine and only ever make it worse."""

    name: str
    value: float
    unit: str
    bar: float | None
    """What it should reach; None where there is no bar."""
    runs: list[float]
    higher_is_better: bool = True
    note: str = ""
    median: float = field(init=False)
    met: bool | None = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "median", round(statistics.median(self.runs), 3))
        met = None
        if self.bar is not None:
            met = self.value >= self.bar if self.higher_is_better else self.value <= self.bar
        object.__setattr__(self, "met", met)


def figure(
    name: str, runs: list[float], unit: str, bar: float | None = None, higher_is_better: bool = True, note: str = ""
) -> Figure:
    """A figure from its runs."""
    rounded = [round(run, 3) for run in runs]
    best = max(rounded) if higher_is_better else min(rounded)
    return Figure(name, best, unit, bar, rounded, higher_is_better, note)


def rates(work: Callable[[], int], runs: int = 3) -> list[float]:
    """Items per second of CPU time of `work`, single-threaded code that never waits (returns how many it did).

    CPU time is what one core gives when it is ours alone; on an idle machine it is the time on the wall.
    """
    out = []
    for _ in range(runs):
        gc.collect()
        begun = time.process_time()
        items = work()
        out.append(items / (time.process_time() - begun))
    return out


@contextmanager
def one_core(core: int | None = None) -> Iterator[None]:
    """Keep this process, and the children it starts, on one core where the system lets us (default: the last)."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(before) if core is None else core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def machine() -> dict[str, Any]:
    """What a figure depends on besides our code."""
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return {
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "load_1m": round(os.getloadavg()[0], 2),
        "versions": versions,
    }


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")


def write(benchmark: str, figures: list[Figure]) -> Path:
    """Keep the figures with the facts of the machine, one file per benchmark and minute."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    now = time.gmtime()
    path = RESULTS / f"{time.strftime('%Y%m%dT%H%M', now)}-{benchmark}.json"
    facts = {"benchmark": benchmark, "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", now), "machine": machine()}
    path.write_text(json.dumps(facts | {"figures": [asdict(f) for f in figures]}, indent=1) + "\n", encoding="utf-8")
    return path
