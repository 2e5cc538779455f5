"""The service frame: health pages, JSON logs, broken settings, signals, and the end of a parent."""

from __future__ import annotations

import http.client
import json
import logging
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import Counter

from runtime.service import Health, JsonFormatter, serve_health

DEADLINE_S = 20.0
ROOT = Path(__file__).resolve().parents[2]

SERVICE = """
import sys
from runtime.service import start
service = start("probe")
service.install_signals()
print("up", service.server.server_address[1], flush=True)
service.stop.wait(60)
print("stopped", flush=True)
"""

STUBBORN = """
import os, signal, sys, time
from runtime.service import setup_logging, watch_parent
setup_logging()
signal.signal(signal.SIGTERM, signal.SIG_IGN)
watch_parent(int(sys.argv[1]), grace_s=0.3)
print("up", flush=True)
time.sleep(60)
"""


def spawn(code: str, *args: str, **env: str) -> subprocess.Popen[str]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith("MARKETPRISM_")}
    return subprocess.Popen(
        [sys.executable, "-c", code, *args],
        env={**clean, "PYTHONPATH": str(ROOT), **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def get(port: int, path: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


@pytest.fixture
def health() -> Iterator[tuple[Health, int]]:
    health = Health()
    server = serve_health(health, 0)
    yield health, server.server_address[1]
    server.shutdown()
    server.server_close()


def test_pages(health: tuple[Health, int]) -> None:
    _, port = health
    counter = Counter("marketprism_probe_things", "Things seen by this test")
    counter.inc(3)
    status, text = get(port, "/metrics")
    assert (status, "marketprism_probe_things_total 3.0" in text) == (200, True)
    assert get(port, "/livez?verbose") == (200, '{"ok": true, "failed": {}}')
    assert get(port, "/elsewhere")[0] == 404


def test_ready_needs_live_and_ready_checks(health: tuple[Health, int]) -> None:
    checks, port = health
    said: dict[str, str | None] = {"loop": None, "kafka": "no broker"}
    checks.live["loop"] = lambda: said["loop"]
    checks.ready["kafka"] = lambda: said["kafka"]
    assert get(port, "/livez")[0] == 200
    assert get(port, "/readyz") == (503, '{"ok": false, "failed": {"kafka": "no broker"}}')
    said.update(loop="stood still 30 s", kafka=None)
    assert get(port, "/livez") == (503, '{"ok": false, "failed": {"loop": "stood still 30 s"}}')
    assert get(port, "/readyz")[0] == 503


def test_a_check_that_raises_is_a_failed_check(health: tuple[Health, int]) -> None:
    checks, port = health
    checks.live["broken"] = lambda: str(1 // 0)
    status, text = get(port, "/livez")
    assert status == 503
    assert "ZeroDivisionError" in text


def test_a_scraper_that_hangs_up_does_no_harm(health: tuple[Health, int], capfd: pytest.CaptureFixture[str]) -> None:
    _, port = health
    for _ in range(20):
        with socket.create_connection(("127.0.0.1", port), timeout=5) as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
            s.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
    assert get(port, "/livez")[0] == 200
    assert capfd.readouterr().err == ""


def test_log_lines_are_json_objects() -> None:
    try:
        raise ValueError("no")
    except ValueError:
        record = logging.LogRecord("books", logging.ERROR, "", 0, "lost %s", ("X",), sys.exc_info())
    record.data = {"symbol": "BTCUSDT", "path": Path("a")}
    line = json.loads(JsonFormatter().format(record))
    assert {k: line[k] for k in ("level", "logger", "msg", "symbol", "path")} == {
        "level": "error", "logger": "books", "msg": "lost X", "symbol": "BTCUSDT", "path": "a",
    }  # fmt: skip
    assert line["ts"].endswith("Z")
    assert "ValueError: no" in line["error"]


def test_a_service_starts_and_ends_on_sigterm() -> None:
    with spawn(SERVICE) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline().split()[1])
        status, body = get(port, "/readyz")
        assert (status, "not yet started" in str(body)) == (503, True), "it registered nothing that could be ready"
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=DEADLINE_S)
    assert (process.returncode, out) == (0, "stopped\n")
    assert [json.loads(line)["msg"] for line in err.splitlines()] == ["started"]


@pytest.mark.parametrize(
    ("env", "says"),
    [
        ({"MARKETPRISM_CONFIG": "/does/not/exist.yaml"}, "probe: cannot read the configuration"),
        ({"MARKETPRISM_API__PORT": "x"}, "probe: environment variable MARKETPRISM_API__PORT"),
        ({"MARKETPRISM_METRICS_PORT": "x"}, "'x' is not a whole number"),
        ({"MARKETPRISM_METRICS_PORT": "99999999"}, "probe: cannot serve metrics on 127.0.0.1:99999999"),
        ({"MARKETPRISM_PARENT_PID": "me"}, "environment variable MARKETPRISM_PARENT_PID: 'me' is not"),
    ],
)
def test_a_broken_setting_is_one_sentence(env: dict[str, str], says: str) -> None:
    with spawn(SERVICE, **env) as process:
        out, err = process.communicate(timeout=DEADLINE_S)
    assert (process.returncode, out, len(err.splitlines())) == (2, "", 1)
    assert says in err


def test_a_taken_metrics_port_is_one_sentence() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        spawn(SERVICE, MARKETPRISM_METRICS_PORT=str(taken.getsockname()[1])) as process,
    ):
        _, err = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 2
    assert "Address already in use" in err


def test_a_service_ends_with_its_parent_even_when_the_parent_is_a_zombie() -> None:
    """SIGKILL, and nobody has reaped the parent: its number still answers, but it is gone."""
    parent = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    with spawn(SERVICE, MARKETPRISM_PARENT_PID=str(parent.pid)) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("up")
        parent.kill()
        out, err = process.communicate(timeout=DEADLINE_S)
        parent.wait()
    assert (process.returncode, out) == (0, "stopped\n")
    assert "the supervising process is gone" in err


def test_a_service_that_ignores_the_signal_is_ended_outright() -> None:
    parent = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    with spawn(STUBBORN, str(parent.pid)) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        parent.kill()
        parent.wait()
        process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 1


def test_uncaught_errors_are_json_too() -> None:
    code = (
        "import threading, warnings\nfrom runtime.service import setup_logging\nsetup_logging()\n"
        "warnings.warn('careful')\n"
        "t = threading.Thread(target=lambda: 1 / 0)\nt.start()\nt.join()\nraise RuntimeError('main')\n"
    )
    with spawn(code) as process:
        _, err = process.communicate(timeout=DEADLINE_S)
    lines = [json.loads(line) for line in err.splitlines()]
    assert process.returncode == 1
    assert [line["level"] for line in lines] == ["warning", "critical", "critical"]
    assert "ZeroDivisionError" in lines[1]["error"]
    assert "RuntimeError: main" in lines[2]["error"]
