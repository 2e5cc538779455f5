"""The simulated exchange under load: frames to one reader of 300 streams, per CPU second of its process."""

from __future__ import annotations

import asyncio
import json
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from websockets.asyncio.client import connect

from bench.harness import Figure, figure
from bench.ingest import cpu_s, process
from deploy.local.servers import free_ports

SYMBOLS = 50
CHANNELS = ("trade", "aggTrade", "bookTicker", "depth@100ms", "kline_1m", "ticker")
FRAMES_PER_S = 7_000
BAR = 10_000.0
"""So that it is never what bounds a test or another benchmark: 5,000 a second on half a core."""
RUNS = 4
MEASURE_S = 3.0
START_S_MAX = 30.0


def frames_sent(port: int) -> int:
    with urlopen(f"http://127.0.0.1:{port}/sim/status") as reply:
        return int(json.load(reply)["frames_sent"])


def wait_up(port: int) -> None:
    """Raises TimeoutError."""
    deadline = time.monotonic() + START_S_MAX
    while time.monotonic() < deadline:
        with suppress(URLError):
            frames_sent(port)
            return
        time.sleep(0.05)
    raise TimeoutError(f"the simulator does not answer after {START_S_MAX:g} s")


async def drain(port: int) -> None:
    """Read everything for a while."""
    streams = "/".join(f"sim{n:04d}usdt@{channel}" for n in range(SYMBOLS) for channel in CHANNELS)
    url = f"ws://127.0.0.1:{port}/stream?streams={streams}"
    async with connect(url, max_size=None, max_queue=None) as socket:
        with suppress(TimeoutError):
            async with asyncio.timeout(MEASURE_S):
                while True:
                    await socket.recv()


def measure(port: int, pid: int) -> float:
    used_s, sent = cpu_s(pid), frames_sent(port)
    asyncio.run(drain(port))
    return (frames_sent(port) - sent) / (cpu_s(pid) - used_s)


def run() -> list[Figure]:
    """Frames per CPU second."""
    with tempfile.TemporaryDirectory() as name:
        (port,) = free_ports(1)
        settings = {
            "port": port, "state_dir": str(Path(name) / "state"), "symbols": [], "symbol_count": SYMBOLS,
            "frames_per_s": FRAMES_PER_S, "venues": {},
        }  # fmt: skip
        env = {f"MARKETPRISM_SIMULATOR__{key.upper()}": json.dumps(value) for key, value in settings.items()}
        env["MARKETPRISM_SIMULATOR__STATE_DIR"] = str(settings["state_dir"])
        with process("simulator", env=env) as exchange:
            wait_up(port)
            runs = [measure(port, exchange.pid) for _ in range(RUNS)]
    return [figure("exchange", runs, "frames per CPU second", BAR, note="50 symbols, 6 streams each, one reader")]


if __name__ == "__main__":
    for one in run():
        print(one)
