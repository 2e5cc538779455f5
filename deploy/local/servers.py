"""The three servers of the local stack: how each is started, and when it is ready. Used by `make run` and by tests.

Every server keeps its data in one folder, listens on loopback only, and ends when its standard input closes.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from marketdata.errors import StoreError

REPO = Path(__file__).resolve().parents[2]
HOST = "127.0.0.1"
READY_TIMEOUT_S = 120.0
STOP_TIMEOUT_S = 30.0


@dataclass(frozen=True)
class Server:
    """One server: its command line, its environment, and a probe that returns None when ready, else why not."""

    name: str
    argv: tuple[str, ...]
    probe: Callable[[], str | None]
    env: dict[str, str] = field(default_factory=dict)


def kafka(
    data_dir: Path,
    jars_dir: Path,
    port: int,
    controller_port: int,
    heap_mb: int = 512,
    segment_bytes: int = 32 * 1024 * 1024,
) -> Server:
    argv = (
        "-m", "deploy.local.serve_kafka", "--data-dir", str(data_dir), "--jars-dir", str(jars_dir),
        "--port", str(port), "--controller-port", str(controller_port), "--heap-mb", str(heap_mb),
        "--segment-bytes", str(segment_bytes),
    )  # fmt: skip
    return Server("kafka", argv, lambda: kafka_problem(f"{HOST}:{port}"))


def clickhouse(
    data_dir: Path, port: int, http_port: int, passwords: tuple[str, str, str] = ("", "", ""), memory_mb: int = 2000
) -> Server:
    """`passwords` are those of md_admin, md_writer and md_reader."""
    argv = (
        "-m", "deploy.local.serve_clickhouse", "--data-dir", str(data_dir),
        "--port", str(port), "--http-port", str(http_port), "--memory-mb", str(memory_mb),
    )  # fmt: skip
    names = ("CH_ADMIN_PASSWORD", "CH_WRITER_PASSWORD", "CH_READER_PASSWORD")
    env = dict(zip(names, passwords, strict=True))
    return Server("clickhouse", argv, lambda: clickhouse_problem(port, http_port, passwords[0]), env)


def valkey(data_dir: Path, port: int, memory_mb: int = 256) -> Server:
    argv = (
        "-m", "deploy.local.serve_valkey", "--data-dir", str(data_dir),
        "--port", str(port), "--memory-mb", str(memory_mb),
    )  # fmt: skip
    return Server("valkey", argv, lambda: valkey_problem(port))


def kafka_problem(bootstrap: str) -> str | None:
    """None when a broker answers with itself in the metadata."""
    from confluent_kafka import KafkaException
    from confluent_kafka.admin import AdminClient

    host, _, port = bootstrap.rpartition(":")
    if not listening(int(port), host):
        return "does not listen yet"
    # A client that meets a broker which is still starting logs each failed connection; the answer says it all.
    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0, "socket.timeout.ms": 2000})
    try:
        return None if admin.list_topics(timeout=2).brokers else "knows no broker yet"
    except KafkaException as exc:
        return str(exc.args[0])


def clickhouse_problem(port: int, http_port: int, admin_password: str) -> str | None:
    """None when both ports answer a query."""
    from clickhouse_driver import Client
    from clickhouse_driver.errors import Error

    if not (listening(port) and listening(http_port)):
        return "does not listen yet"
    client = Client(HOST, port=port, user="md_admin", password=admin_password, connect_timeout=2)
    try:
        client.execute("SELECT 1")
    except (Error, OSError, EOFError) as exc:
        return str(exc).splitlines()[0] if str(exc) else type(exc).__name__
    finally:
        client.disconnect()
    return None


def valkey_problem(port: int) -> str | None:
    """None when it answers PING (it says LOADING while it reads its data)."""
    try:
        with socket.create_connection((HOST, port), timeout=2) as sock:
            sock.sendall(b"PING\r\n")
            answer = sock.recv(64)
    except OSError:
        return "does not listen yet"
    return None if answer.startswith(b"+PONG") else answer.decode(errors="replace").strip()


def listening(port: int, host: str = HOST) -> bool:
    with contextlib.suppress(OSError), socket.create_connection((host, port), timeout=1):
        return True
    return False


def free_ports(count: int, host: str = HOST) -> list[int]:
    """Ports nobody listens on at this moment, all different."""
    with contextlib.ExitStack() as stack:
        socks = [stack.enter_context(socket.socket()) for _ in range(count)]
        for sock in socks:
            sock.bind((host, 0))
        return [sock.getsockname()[1] for sock in socks]


class Running:
    """A server started as our child; the context manager ends it."""

    def __init__(self, server: Server, log: Path) -> None:
        self.server = server
        self.log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as out:
            self.process = subprocess.Popen(
                [sys.executable, *server.argv],
                cwd=REPO,
                env={**os.environ, **server.env},
                stdin=subprocess.PIPE,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def __enter__(self) -> Running:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def wait_ready(self, timeout_s: float = READY_TIMEOUT_S) -> None:
        """Raises StoreError when it died or is not ready in time, with the end of its log."""
        deadline = time.monotonic() + timeout_s
        problem: str | None = "not asked yet"
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise StoreError(f"{self.server.name} ended with status {self.process.returncode}: {self._tail()}")
            problem = self.server.probe()
            if problem is None:
                return
            time.sleep(0.1)
        raise StoreError(f"{self.server.name} is not ready after {timeout_s:.0f} s ({problem}): {self._tail()}")

    def stop(self) -> None:
        """Close its input, which every server takes as the order to stop; kill it when it does not."""
        if self.process.stdin is not None:
            with contextlib.suppress(OSError):
                self.process.stdin.close()
        try:
            self.process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def _tail(self) -> str:
        return " | ".join(self.log.read_text(errors="replace").splitlines()[-3:]) or "(it said nothing)"
