"""Memory of an ingest process by symbols subscribed: usual channels, every stream delivering, books anchored by REST.

Resident size with few symbols and with 1,000, all six channels each (6,000 streams on 15 connections), after every
book has held more updates than it keeps; the difference is what the symbols cost.
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

from bench.harness import Figure, figure
from bench.ingest import process, resident_mb
from bench.venue_load import symbols
from deploy.local import config_file, servers
from runtime.config import Config

CHANNELS = ["trade", "agg_trade", "book", "bbo", "kline", "ticker"]
FEW, MANY = 10, 1000
FRAMES_PER_S = 4_000
SUBSCRIBE_S = 20.0
BOOK_UPDATES = 50
"""Updates a book keeps (`marketdata.book_feed.BUFFER_MAX`)."""
SETTLE_S = 5.0


def config(kafka: str, port: int, count: int, folder: Path) -> Config:
    address = f"127.0.0.1:{port}"
    market = {
        "ws_url": f"ws://{address}", "rest_url": f"http://{address}", "symbols": symbols(count), "channels": CHANNELS,
    }  # fmt: skip
    return Config.model_validate(
        {
            "environment": {"name": "bench", "topic_prefix": f"bench{port}.", "simulated": True},
            "kafka": {"bootstrap_servers": kafka, "linger_ms": 5},
            "exchanges": {"binance": {"spot": market}},
            "ingest": {"spill_dir": str(folder / "spill")},
        }
    )


def measure(kafka: str, count: int, folder: Path, fill_s: float) -> float:
    """Resident MB with `count` symbols subscribed."""
    port, metrics_port = servers.free_ports(2)
    file = config_file.write(config(kafka, port, count, folder), folder / f"{port}.yaml")
    with process("bench.venue_wide", str(port), str(count), str(FRAMES_PER_S)) as venue:
        assert venue.stdout is not None
        venue.stdout.readline()
        env = {"MARKETPRISM_METRICS_PORT": str(metrics_port)}
        with process("ingest", "--config", str(file), env=env) as ingest:
            time.sleep(SUBSCRIBE_S + fill_s)
            if ingest.poll() is not None:
                raise RuntimeError("ingest has ended")
            streams, connections = gauge(metrics_port, "streams_subscribed"), gauge(metrics_port, "connections_open")
            silent = gauge(metrics_port, "streams_silent")
            if streams != count * len(CHANNELS) or silent:
                raise RuntimeError(f"{streams:.0f} streams on {connections:.0f} connections, {silent:.0f} silent")
            return resident_mb(ingest.pid)


def gauge(metrics_port: int, name: str) -> float:
    from urllib.request import urlopen

    with urlopen(f"http://127.0.0.1:{metrics_port}/metrics") as reply:
        for line in reply.read().decode().splitlines():
            if line.startswith(f"marketprism_ingest_{name}{{"):
                return float(line.rpartition(" ")[2])
    raise RuntimeError(f"no gauge {name}")


def run() -> list[Figure]:
    """The figures, one run each: memory hardly depends on what else the machine does."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        port, controller_port = servers.free_ports(2)
        jars = Path(os.environ.get("MARKETPRISM_LOCAL__JARS_DIR", str(servers.REPO / ".marketprism" / "jars")))
        server = servers.kafka(folder / "kafka", jars, port, controller_port)
        with servers.Running(server, folder / "kafka.log") as broker:
            broker.wait_ready()
            few = measure(f"127.0.0.1:{port}", FEW, folder, SETTLE_S)
            fill_s = SETTLE_S + BOOK_UPDATES * MANY * len(CHANNELS) / FRAMES_PER_S
            many = measure(f"127.0.0.1:{port}", MANY, folder, fill_s)
    note = f"{MANY} symbols x {len(CHANNELS)} channels at {FRAMES_PER_S} frames/s"
    per_1000 = (many - few) * 1000 / (MANY - FEW)
    return [
        figure(f"ingest_memory_{FEW}_symbols", [few], "MB", higher_is_better=False),
        figure(f"ingest_memory_{MANY}_symbols", [many], "MB", higher_is_better=False, note=note),
        figure("ingest_memory_per_1000_symbols", [per_1000], "MB", higher_is_better=False, note=note),
    ]


if __name__ == "__main__":
    for found in run():
        print(found)
