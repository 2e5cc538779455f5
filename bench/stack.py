"""A whole local stack of its own, of Binance spot alone, for the benchmarks that need all of it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from deploy.local.servers import REPO

START_TIMEOUT_S = 180.0


@contextlib.contextmanager
def stack(symbols: int, frames_per_s: int) -> Iterator[dict[str, Any]]:
    """The addresses of the running stack (`endpoints.json`)."""
    with tempfile.TemporaryDirectory() as folder:
        names = json.dumps([f"SYM{i:03d}USDT" for i in range(symbols)])
        env = {
            **{k: v for k, v in os.environ.items() if not k.startswith("MARKETPRISM_")},
            "MARKETPRISM_LOCAL__DATA_DIR": folder,
            "MARKETPRISM_LOCAL__JARS_DIR": str(REPO / ".marketprism" / "jars"),
            "MARKETPRISM_SIMULATOR__CONNECTION_ATTEMPTS_PER_5_MIN_MAX": "0",
            "MARKETPRISM_SIMULATOR__SYMBOLS": names,
            "MARKETPRISM_SIMULATOR__FRAMES_PER_S": str(frames_per_s),
            "MARKETPRISM_EXCHANGES__BINANCE__SPOT__SYMBOLS": names,
        }
        config = Path(folder) / "spot.yaml"
        config.write_text(yaml.safe_dump(spot_alone()))  # the bars are about this one exchange
        command = [sys.executable, "-m", "deploy.local", "run", "--config", str(config)]
        with (Path(folder) / "bench.log").open("wb") as log:
            process = subprocess.Popen(command, cwd=REPO, env=env, stdout=log, stderr=log, start_new_session=True)
        try:
            yield _endpoints(Path(folder), process)
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(120)


def spot_alone() -> dict[str, Any]:
    """The simulator's configuration with nothing but Binance spot."""
    values: dict[str, Any] = yaml.safe_load((REPO / "deploy" / "config" / "sim.yaml").read_text())
    values["exchanges"] = {"binance": {"spot": values["exchanges"]["binance"]["spot"]}}
    values["simulator"]["venues"] = {}
    return values


def _endpoints(folder: Path, process: subprocess.Popen[bytes]) -> dict[str, Any]:
    deadline = time.monotonic() + START_TIMEOUT_S
    path = folder / "endpoints.json"
    while not path.exists():
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError("the stack does not start: " + (folder / "bench.log").read_text()[-500:])
        time.sleep(0.2)
    found: dict[str, Any] = json.loads(path.read_text())
    return found
