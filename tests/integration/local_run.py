"""A run of the local stack as a subprocess, for the tests that kill it and look what is left."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import yaml

from bench.stack import spot_alone
from deploy.local import checks
from deploy.local.programs import SERVICES
from deploy.local.servers import REPO
from deploy.local.supervisor_client import ProcessInfo, SupervisorClient
from tests.integration.stack import JARS_DIR
from tests.ports import free_ports, free_ports_in_a_row

START_S, END_S = 240.0, 120.0
BARE_STACK = ("tests.integration.bare_stack",)
FULL_STACK = ("deploy.local", "run", "--config")


def until(condition: Callable[[], Any], timeout_s: float, what: str) -> Any:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.1)
    raise AssertionError(f"not within {timeout_s:.0f} s: {what}")


def spot_config(folder: Path) -> Path:
    """Binance spot alone: what these tests are about needs no more.

    Its two usual ports are free ones here: stacks of several tests start at the same time.
    """
    values = spot_alone()
    api_port, simulator_port = free_ports(2)
    address = f"127.0.0.1:{simulator_port}"
    values["exchanges"]["binance"]["spot"] |= {"ws_url": f"ws://{address}", "rest_url": f"http://{address}"}
    values["simulator"]["port"] = simulator_port
    values["api"]["port"] = api_port
    path = folder / "spot.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


def ports() -> dict[str, str]:
    """Every port that a stack would choose by itself, seconds before it is bound (see `ports.py`)."""
    names = ("KAFKA_PORT", "KAFKA_CONTROLLER_PORT", "CLICKHOUSE_PORT", "CLICKHOUSE_HTTP_PORT", "VALKEY_PORT")
    chosen = dict(zip(names, free_ports(len(names)), strict=True))
    chosen["METRICS_PORT_BASE"] = free_ports_in_a_row(len(SERVICES))
    return {f"MARKETPRISM_LOCAL__{name}": str(port) for name, port in chosen.items()}


class LocalRun:
    """One run of the stack as a subprocess, of Binance spot alone."""

    def __init__(
        self,
        command: tuple[str, ...],
        data_dir: Path,
        output: Path,
        *,
        terminal: int | None = None,
        **settings: str,
    ) -> None:
        self.data_dir, self.output = data_dir, output
        clean = {k: v for k, v in os.environ.items() if not k.startswith("MARKETPRISM_")}
        with output.open("wb") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", *command, str(spot_config(output.parent))],
                cwd=REPO,
                env={
                    **clean,
                    "MARKETPRISM_LOCAL__DATA_DIR": str(data_dir),
                    "MARKETPRISM_LOCAL__JARS_DIR": str(JARS_DIR),
                    "MARKETPRISM_LOCAL__KAFKA_HEAP_MB": "256",
                    **ports(),
                    **settings,
                },
                stdin=subprocess.DEVNULL,
                stdout=out if terminal is None else terminal,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def wait_up(self) -> None:
        def up() -> bool:
            assert self.process.poll() is None, self.output.read_text()
            return (self.data_dir / "endpoints.json").exists()

        until(up, START_S, "the stack is up")
        self.tree = psutil.Process(self.process.pid).children(recursive=True)
        self.tree += [p for p in psutil.process_iter() if self._is_watcher(p)]
        assert len(self.tree) >= 8  # supervisord, three servers, ClickHouse's engine, guard, simulator, watchers

    def _is_watcher(self, process: psutil.Process) -> bool:
        with contextlib.suppress(psutil.Error):
            return process.ppid() == 1 and str(self.data_dir) in " ".join(process.cmdline())
        return False

    def endpoints(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.data_dir / "endpoints.json").read_text())
        return found

    def metrics_ports(self) -> dict[str, int]:
        """Of every service; the servers have none."""
        found: dict[str, int] = json.loads((self.data_dir / "run" / "run.json").read_text())["metrics_ports"]
        return found

    @property
    def supervisor_pid(self) -> int:
        return int(checks.Lock(self.data_dir).owner()["supervisor_pid"])

    def client(self) -> SupervisorClient:
        known = json.loads((self.data_dir / "run" / "run.json").read_text())
        return SupervisorClient(known["supervisor_port"], known["supervisor_password"])

    def info(self, name: str) -> ProcessInfo:
        return next(p for p in self.client().processes() if p.name == name)

    def nothing_left(self) -> bool:
        return not any(alive(p) for p in self.tree)

    def end(self) -> None:
        """For teardown, whatever happened."""
        if self.process.poll() is None:
            self.process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(END_S)
        for process in getattr(self, "tree", []):
            with contextlib.suppress(psutil.Error):
                process.kill()
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


def alive(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False
