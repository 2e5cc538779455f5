"""A simulator process of a test's own: free port, own state, ended with the test."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx

from tests.ports import free_ports

ROOT = Path(__file__).resolve().parent.parent
START_TIMEOUT_S = 60.0


def wait_for(condition: Callable[[], Any], timeout_s: float = 30.0, what: str = "condition") -> Any:
    """Poll until the condition is true; its value. Fails by name after the timeout."""
    deadline = time.monotonic() + timeout_s
    while True:
        if value := condition():
            return value
        if time.monotonic() >= deadline:
            raise AssertionError(f"not within {timeout_s} s: {what}")
        time.sleep(0.01)


class SimulatorProcess:
    """`python -m simulator` with the given settings of its section."""

    def __init__(self, state_dir: Path, **settings: object) -> None:
        (self.port,) = free_ports(1)
        self.settings = {"port": self.port, "state_dir": str(state_dir), **settings}
        self.log = state_dir.with_name(state_dir.name + ".log")
        self.process: subprocess.Popen[bytes] | None = None
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=20.0, trust_env=False)

    @property
    def ws_url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    def start(self) -> SimulatorProcess:
        env = {name: value for name, value in os.environ.items() if not name.startswith("MARKETPRISM_")}
        env |= {
            f"MARKETPRISM_SIMULATOR__{name.upper()}": value if isinstance(value, str) else json.dumps(value)
            for name, value in self.settings.items()
        }
        env["MARKETPRISM_PARENT_PID"] = str(os.getpid())
        with self.log.open("ab") as log:
            self.process = subprocess.Popen([sys.executable, "-m", "simulator"], cwd=ROOT, env=env, stderr=log)
        wait_for(self._answers, START_TIMEOUT_S, f"the simulator answers; its log:\n{self.log.read_text()}")
        return self

    def _answers(self) -> bool:
        assert self.process is not None
        if self.process.poll() is not None:
            raise AssertionError(f"the simulator ended with {self.process.returncode}:\n{self.log.read_text()}")
        with contextlib.suppress(httpx.TransportError):
            return self.http.get("/sim/status").status_code == 200
        return False

    def end(self, sig: signal.Signals = signal.SIGTERM) -> int:
        """Signal it and wait; its exit status."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(sig)
        return self.process.wait(timeout=15)

    def get(self, path: str, **query: Any) -> Any:
        return self.http.get(path, params=query).raise_for_status().json()

    def fault(self, kind: str, **fields: Any) -> Any:
        return self.http.post("/sim/fault", json={"kind": kind, **fields}).raise_for_status().json()


@contextlib.contextmanager
def simulator(state_dir: Path, **settings: object) -> Iterator[SimulatorProcess]:
    """A running simulator; ended at the exit."""
    process = SimulatorProcess(state_dir, **settings)
    try:
        yield process.start()
    finally:
        process.http.close()
        if process.process is not None:
            process.end(signal.SIGKILL)
