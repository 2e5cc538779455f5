"""One of the project's services as a subprocess, as the supervisor would start it."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

from deploy.local import servers
from tests.ports import free_ports

SAMPLE = re.compile(r"^([a-zA-Z_:][\w:]*)(\{.*\})? (\S+)(?: \d+)?$")


class Service:
    """A running service. `log` holds what it wrote to stdout and stderr."""

    def __init__(self, module: str, config_file: Path, log: Path, env: dict[str, str]) -> None:
        self.module = module
        self.log = log
        (self.metrics_port,) = free_ports(1)
        clean = {k: v for k, v in os.environ.items() if not k.startswith("MARKETPRISM_")}
        with log.open("ab") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", module, "--config", str(config_file)],
                cwd=servers.REPO,
                env={
                    **clean,
                    "MARKETPRISM_METRICS_PORT": str(self.metrics_port),
                    "MARKETPRISM_PARENT_PID": str(os.getpid()),
                    **env,
                },
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self.process.pid

    def get(self, path: str, timeout_s: float = 5.0) -> tuple[int, str]:
        """Status and body of /metrics, /livez or /readyz. Raises OSError while it does not listen."""
        connection = http.client.HTTPConnection(servers.HOST, self.metrics_port, timeout=timeout_s)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read().decode()
        finally:
            connection.close()

    def metrics(self) -> dict[str, float]:
        """Every sample of /metrics by its full name, labels included: `x_total{channel="trade"}`."""
        found = (SAMPLE.match(line) for line in self.get("/metrics")[1].splitlines())
        return {m[1] + (m[2] or ""): float(m[3]) for m in found if m}

    def total(self, name: str) -> float:
        """The sum of a metric over its labels."""
        return sum(v for k, v in self.metrics().items() if k.split("{")[0] == name)

    def wait_ready(self, timeout_s: float = 120.0) -> None:
        """Until /readyz says so. Raises AssertionError with the reason and the end of the log."""
        deadline = time.monotonic() + timeout_s
        said = "nothing"
        while time.monotonic() < deadline:
            assert self.process.poll() is None, f"{self.module} ended with {self.process.returncode}: {self.tail()}"
            with contextlib.suppress(OSError, http.client.HTTPException):
                status, said = self.get("/readyz")
                if status == 200:
                    return
            time.sleep(0.1)
        failed = json.loads(said).get("failed", said) if said.startswith("{") else said
        raise AssertionError(f"{self.module} is not ready after {timeout_s:.0f} s: {failed}; {self.tail()}")

    def kill(self) -> None:
        """SIGKILL, and wait for the end."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def stop(self, timeout_s: float = 60.0) -> int:
        """SIGTERM, and wait; returns the exit status. Killed (and an AssertionError) when it does not end."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(
                f"{self.module} did not end within {timeout_s:.0f} s of SIGTERM: {self.tail()}"
            ) from None

    def tail(self, lines: int = 15) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])
