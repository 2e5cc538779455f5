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

from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, generate_latest

from marketdata.errors import ConfigError
from runtime.config import Config, load

PARENT_CHECK_INTERVAL_S = 0.5


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
    for noisy in ("httpx", "httpcore", "quixstreams", "websockets", "uvicorn.access", "rdkafka"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


class Health:
    """What /livez and /readyz answer: named checks that return None when fine, else a sentence."""

    def __init__(self) -> None:
        self.live: dict[str, Callable[[], str | None]] = {}
        self.ready: dict[str, Callable[[], str | None]] = {}

    def answer(self, path: str) -> tuple[int, dict[str, object]]:
        checks = {"/livez": self.live, "/readyz": self.live | self.ready}[path]
        failed = {name: said for name, check in checks.items() if (said := check()) is not None}
        return (503 if failed else 200), {"ok": not failed, "failed": failed}


def serve_health(health: Health, port: int, host: str = "127.0.0.1") -> ThreadingHTTPServer:
    """Serve /metrics, /livez and /readyz from a daemon thread. Port 0 takes a free one (`server_address`)."""

    class Handler(BaseHTTPRequestHandler):
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

    server = ThreadingHTTPServer((host, port), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, name="health", daemon=True).start()
    return server


def watch_parent(pid: int) -> None:
    """End this process (SIGTERM) when `pid` is gone: a supervisor killed outright leaves no orphans."""

    def loop() -> None:
        while _alive(pid):
            time.sleep(PARENT_CHECK_INTERVAL_S)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=loop, name="parent-watch", daemon=True).start()


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


class Service:
    """What a shell's `main` starts with. `stop` is set by SIGTERM and SIGINT."""

    def __init__(self, name: str, config: Config, metrics_port: int) -> None:
        self.name = name
        self.config = config
        self.health = Health()
        self.stop = threading.Event()
        self.log = logging.getLogger(name)
        self.server = serve_health(self.health, metrics_port)

    def install_signals(self) -> None:
        """SIGTERM and SIGINT set `stop`. Not for shells whose framework installs its own (quixstreams, uvicorn)."""
        for sig in (signal.SIGTERM, signal.SIGINT):
            signal.signal(sig, lambda *_: self.stop.set())


def start(name: str, argv: list[str] | None = None) -> Service:
    """Parse `--config`, load it, set up logs, serve health on MARKETPRISM_METRICS_PORT (0 or unset: a free port).

    Exits with status 2 and one sentence on a broken configuration.
    """
    parser = argparse.ArgumentParser(prog=name)
    parser.add_argument("--config", help="YAML file (default: $MARKETPRISM_CONFIG)")
    args = parser.parse_args(argv)
    setup_logging()
    try:
        config = load(args.config)
    except ConfigError as exc:
        print(f"{name}: {exc}", file=sys.stderr)  # noqa: T201 (a person reads this, at start only)
        raise SystemExit(2) from None
    if parent := os.environ.get("MARKETPRISM_PARENT_PID"):
        watch_parent(int(parent))
    service = Service(name, config, int(os.environ.get("MARKETPRISM_METRICS_PORT", "0")))
    service.log.info("started", extra={"data": {"metrics_port": service.server.server_address[1]}})
    return service
