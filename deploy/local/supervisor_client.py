"""Talks to supervisord: which processes run, start a group, kill one."""

from __future__ import annotations

import http.client
import time
import xmlrpc.client
from dataclasses import dataclass
from typing import Any

Unreachable = (OSError, http.client.HTTPException, xmlrpc.client.Error)
"""What any call here may raise while supervisord starts or ends."""
TIMEOUT_S = 5.0
STOP_TIMEOUT_S = 60.0
STOP_POLL_S = 0.1


@dataclass(frozen=True)
class ProcessInfo:
    name: str
    group: str
    state: str
    """STARTING, RUNNING, STOPPING, STOPPED, EXITED, BACKOFF, FATAL"""
    pid: int
    up_s: float


class _Transport(xmlrpc.client.Transport):
    def make_connection(self, host: Any) -> http.client.HTTPConnection:
        connection = super().make_connection(host)
        connection.timeout = TIMEOUT_S
        return connection


class SupervisorClient:
    """One short connection per call, so that nothing hangs on a supervisord that is going away."""

    def __init__(self, port: int, password: str) -> None:
        self._url = f"http://local:{password}@127.0.0.1:{port}/RPC2"

    def _call(self, method: str, *args: Any) -> Any:
        with xmlrpc.client.ServerProxy(self._url, transport=_Transport()) as proxy:
            return getattr(proxy, "supervisor." + method)(*args)

    def processes(self) -> list[ProcessInfo]:
        return [
            ProcessInfo(
                i["name"], i["group"], i["statename"], i["pid"], float(i["now"] - i["start"]) if i["pid"] else 0
            )
            for i in self._call("getAllProcessInfo")
        ]

    def start_group(self, group: str) -> None:
        self._call("startProcessGroup", group, False)

    def kill(self, group: str, name: str) -> None:
        """SIGKILL; the process is then started again."""
        self._call("signalProcess", f"{group}:{name}", "KILL")

    def stop(self, group: str, name: str, timeout_s: float = STOP_TIMEOUT_S) -> None:
        """End one process cleanly and leave it so. Raises TimeoutError where it has not ended by then."""
        self._call("stopProcess", f"{group}:{name}", False)
        deadline = time.monotonic() + timeout_s
        while any(p.pid for p in self.processes() if p.name == name):
            if time.monotonic() > deadline:
                raise TimeoutError(f"{name} has not ended {timeout_s:.0f} s after it was told to")
            time.sleep(STOP_POLL_S)
