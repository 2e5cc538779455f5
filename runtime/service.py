"""The frame of every service: arguments, JSON logs, /metrics /livez /readyz, signals, the check for a parent."""

from __future__ import annotations

import argparse
import json
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType

from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, generate_latest

from marketdata.errors import ConfigError
from runtime.config import Config, load

PARENT_CHECK_INTERVAL_S = 0.5
PARENT_GONE_GRACE_S = 20.0
"""How long a service may take to end cleanly after its parent is gone, before it is ended outright."""
HEALTH_REQUEST_TIMEOUT_S = 10.0


class JsonFormatter(logging.Formatter):
    """One JSON object per line: ts, level, logger, msg, and what was given as `extra={"data": {...}}`."""

    def format(self, record: logging.LogRecord) -> str:
        out: dict[str, object] = {
            "ts": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "msg": record.getMessage(),
        }
        data = getattr(record, "data", None)
        if isinstance(data, dict):
            out.update(data)
        if record.exc_info:
            out["error"] = self.formatException(record.exc_info)
        return json.dumps(out, default=str, ensure_ascii=False)


def setup_logging(level: int = logging.INFO) -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.captureWarnings(True)
    sys.excepthook = _log_uncaught
    threading.excepthook = lambda a: _log_uncaught(a.exc_type, a.exc_value, a.exc_traceback)
    for noisy in ("httpx", "httpcore", "quixstreams", "websockets", "uvicorn.access", "rdkafka"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    # It warns with a traceback at each refused connection, beside raising the error that is handled and told.
    logging.getLogger("clickhouse_driver").setLevel(logging.ERROR)


def _log_uncaught(kind: type[BaseException], exc: BaseException | None, traceback: TracebackType | None) -> None:
    if exc is None or issubclass(kind, SystemExit):
        return
    if issubclass(kind, KeyboardInterrupt):
        logging.getLogger("service").info("interrupted")
        return
    logging.getLogger("service").critical("uncaught %s", kind.__name__, exc_info=(kind, exc, traceback))


class Health:
    """What /livez and /readyz answer: named checks that return None when fine, else a sentence.

    A service is not ready before it has registered what ready means for it.
    """

    def __init__(self) -> None:
        self.live: dict[str, Callable[[], str | None]] = {}
        self.ready: dict[str, Callable[[], str | None]] = {}

    def answer(self, path: str) -> tuple[int, dict[str, object]]:
        checks = {"/livez": self.live, "/readyz": self.live | self.ready}[path]
        failed = {name: said for name, check in checks.items() if (said := self._run(check)) is not None}
        if path == "/readyz" and not self.ready:
            failed["start"] = "not yet started"
        return (503 if failed else 200), {"ok": not failed, "failed": failed}

    @staticmethod
    def _run(check: Callable[[], str | None]) -> str | None:
        try:
            return check()
        except Exception as exc:  # noqa: BLE001 (a check that cannot run is a failed check, whatever stopped it)
            return f"check failed: {type(exc).__name__}: {exc}"


class _HealthServer(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 32

    def handle_error(self, request: object, client_address: object) -> None:
        """A scraper that hung up is not news either."""


def serve_health(health: Health, port: int, host: str = "127.0.0.1") -> ThreadingHTTPServer:
    """Serve /metrics, /livez and /readyz from a daemon thread. Port 0 takes a free one (`server_address`)."""

    class Handler(BaseHTTPRequestHandler):
        timeout = HEALTH_REQUEST_TIMEOUT_S

        def do_GET(self) -> None:
            path = self.path.split("?")[0]
            if path == "/metrics":
                self._send(200, CONTENT_TYPE_LATEST, generate_latest(REGISTRY))
            elif path in ("/livez", "/readyz"):
                status, body = health.answer(path)
                self._send(status, "application/json", json.dumps(body).encode())
            else:
                self._send(404, "text/plain", b"try /metrics, /livez or /readyz\n")

        def _send(self, status: int, kind: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Requests are not news."""

    server = _HealthServer((host, port), Handler)
    threading.Thread(target=server.serve_forever, name="health", daemon=True).start()
    return server


def watch_parent(pid: int, grace_s: float = PARENT_GONE_GRACE_S) -> None:
    """End this process when `pid` is gone: a supervisor killed outright leaves no orphans.

    SIGTERM first; a process that has not ended `grace_s` later is ended outright.
    """
    identity = _start_time(pid)

    def loop() -> None:
        while _alive(pid) and _start_time(pid) == identity:
            time.sleep(PARENT_CHECK_INTERVAL_S)
        logging.getLogger("service").warning("the supervising process is gone: ending", extra={"data": {"pid": pid}})
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(grace_s)
        os._exit(1)

    threading.Thread(target=loop, name="parent-watch", daemon=True).start()


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _start_time(pid: int) -> str:
    """Tells a process from another one that got its number later; "" where /proc does not say, or for a zombie."""
    try:
        # The name in parentheses may contain blanks; state is the first field after it, start time the 20th.
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] == "Z" else fields[19]


class Service:
    """What a shell's `main` starts with. `stop` is set by SIGTERM and SIGINT."""

    def __init__(self, name: str, config: Config, metrics_port: int, metrics_host: str = "127.0.0.1") -> None:
        self.name = name
        self.config = config
        self.health = Health()
        self.stop = threading.Event()
        self.log = logging.getLogger(name)
        self.server = serve_health(self.health, metrics_port, metrics_host)

    def install_signals(self) -> None:
        """SIGTERM and SIGINT set `stop`. Not for shells whose framework installs its own (quixstreams, uvicorn)."""
        for sig in (signal.SIGTERM, signal.SIGINT):
            signal.signal(sig, lambda *_: self.stop.set())


def start(name: str, argv: list[str] | None = None) -> Service:
    """Parse `--config`, load it, set up logs, serve health on MARKETPRISM_METRICS_PORT (0 or unset: a free port) of
    MARKETPRISM_METRICS_HOST (loopback unless set), and end with MARKETPRISM_PARENT_PID.

    Exits with status 2 and one sentence on a broken configuration.
    """
    parser = argparse.ArgumentParser(prog=name)
    parser.add_argument("--config", help="YAML file (default: $MARKETPRISM_CONFIG)")
    args = parser.parse_args(argv)
    setup_logging()
    try:
        config = load(args.config)
        if parent := os.environ.get("MARKETPRISM_PARENT_PID"):
            watch_parent(_whole_number("MARKETPRISM_PARENT_PID", parent))
        service = _serve(name, config)
    except ConfigError as exc:
        print(f"{name}: {exc}", file=sys.stderr)  # noqa: T201 (a person reads this, at start only)
        raise SystemExit(2) from None
    service.log.info("started", extra={"data": {"metrics_port": service.server.server_address[1]}})
    return service


def _serve(name: str, config: Config) -> Service:
    port = _whole_number("MARKETPRISM_METRICS_PORT", os.environ.get("MARKETPRISM_METRICS_PORT") or "0")
    host = os.environ.get("MARKETPRISM_METRICS_HOST") or "127.0.0.1"
    try:
        return Service(name, config, port, host)
    except (OSError, OverflowError) as exc:
        raise ConfigError(f"cannot serve metrics on {host}:{port} (MARKETPRISM_METRICS_PORT): {exc}") from None


def _whole_number(name: str, text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ConfigError(f"environment variable {name}: {text!r} is not a whole number") from None
