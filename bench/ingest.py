"""Ingest under load: CPU share and memory of the whole process, socket to Kafka, 50 symbols, linger 5 ms.

The load comes from a process of its own (`bench.venue_load`), Kafka is the local stack's. CPU is user and system time
of the ingest process, librdkafka's threads included, over the middle of the run; memory is its resident size then.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

from bench.harness import Figure
from bench.venue_load import symbols
from deploy.local import config_file, servers
from runtime.config import Config

SYMBOLS = 50
RUNS = 3
WARM_UP_S = 6.0
MEASURE_S = 10.0
RATES = ((2_000, 0.20), (10_000, 0.35))
"""Frames a second, and the bar: share of one core (design, section 9)."""
MEMORY_BAR_MB = 70.0


def config(kafka: str, port: int, folder: Path) -> Config:
    address = f"127.0.0.1:{port}"
    return Config.model_validate(
        {
            "environment": {"name": "bench", "topic_prefix": f"bench{port}.", "simulated": True},
            "kafka": {"bootstrap_servers": kafka, "linger_ms": 5},
            "exchanges": {
                "binance": {
                    "spot": {
                        "ws_url": f"ws://{address}", "rest_url": f"http://{address}",
                        "symbols": symbols(SYMBOLS), "channels": ["trade", "book", "bbo"],
                    }
                }
            },
            "ingest": {"spill_dir": str(folder / "spill")},
        }
    )  # fmt: skip


@contextlib.contextmanager
def process(*args: str, env: dict[str, str] | None = None) -> Iterator[subprocess.Popen[str]]:
    started = subprocess.Popen(
        [sys.executable, "-m", *args], cwd=servers.REPO, env={**os.environ, **(env or {})}, stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    try:
        yield started
    finally:
        started.terminate()
        try:
            started.wait(15)
        except subprocess.TimeoutExpired:
            started.kill()
            started.wait()


def cpu_s(pid: int) -> float:
    """User and system time of a process and its threads so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_mb(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("no VmRSS")


def measure(kafka: str, frames_per_s: int, folder: Path) -> tuple[float, float]:
    """(share of a core, resident MB) of one run."""
    port, metrics_port = servers.free_ports(2)
    file = config_file.write(config(kafka, port, folder), folder / f"{port}.yaml")
    seconds = int(WARM_UP_S + MEASURE_S + 4)
    with process("bench.venue_load", str(port), str(SYMBOLS), str(frames_per_s), str(seconds)) as load:
        assert load.stdout is not None
        load.stdout.readline()
        env = {"MARKETPRISM_METRICS_PORT": str(metrics_port)}
        with process("ingest", "--config", str(file), env=env) as ingest:
            time.sleep(WARM_UP_S)
            before_s, begin_s, delivered = cpu_s(ingest.pid), time.perf_counter(), records_delivered(metrics_port)
            time.sleep(MEASURE_S)
            took_s = time.perf_counter() - begin_s
            share = (cpu_s(ingest.pid) - before_s) / took_s
            rate = (records_delivered(metrics_port) - delivered) / took_s
            if rate < 0.95 * frames_per_s:
                raise RuntimeError(f"only {rate:.0f} of {frames_per_s} records a second reached Kafka")
            return share, resident_mb(ingest.pid)


def records_delivered(metrics_port: int) -> float:
    with urlopen(f"http://127.0.0.1:{metrics_port}/metrics") as reply:
        for line in reply.read().decode().splitlines():
            if line.startswith("marketprism_ingest_records_delivered_total"):
                return float(line.split()[1])
    raise RuntimeError("no count of delivered records")


def lower_is_better(name: str, runs: list[float], unit: str, bar: float) -> Figure:
    return Figure(name, min(runs), unit, bar, runs, higher_is_better=False)


def run() -> list[Figure]:
    """The figures, best of RUNS."""
    figures = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        port, controller_port = servers.free_ports(2)
        jars = Path(os.environ.get("MARKETPRISM_LOCAL__JARS_DIR", str(servers.REPO / ".marketprism" / "jars")))
        server = servers.kafka(folder / "kafka", jars, port, controller_port)
        with servers.Running(server, folder / "kafka.log") as broker:
            broker.wait_ready()
            for frames_per_s, bar in RATES:
                runs = [measure(f"127.0.0.1:{port}", frames_per_s, folder) for _ in range(RUNS)]
                shares, sizes = [share for share, _ in runs], [size for _, size in runs]
                figures.append(
                    Figure(f"ingest_cpu_{frames_per_s}", min(shares), "core", bar, shares, higher_is_better=False)
                )
                if frames_per_s == RATES[0][0]:
                    figures.append(
                        Figure("ingest_memory", min(sizes), "MB", MEMORY_BAR_MB, sizes, higher_is_better=False)
                    )
    return figures


if __name__ == "__main__":
    for figure in run():
        print(figure)
