"""python -m api: REST over Redis and ClickHouse."""

from __future__ import annotations

import socket
import sys

import uvicorn

from api.app import create_app
from runtime.service import Service, start

BACKLOG = 1024


def main() -> int:
    service = start("api")
    # Uvicorn handles the signals while it runs and raises them again when it is done: then they find these handlers.
    service.install_signals()
    try:
        listener = listen(service.config.api.host, service.config.api.port)
    except OSError as exc:
        print(f"api: cannot listen on {service.config.api.host}:{service.config.api.port}: {exc}", file=sys.stderr)  # noqa: T201
        return 2
    with listener:
        serve(service, listener)
    return 0


def listen(host: str, port: int) -> socket.socket:
    """The bound socket. Raises OSError where the address is taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=BACKLOG)


def serve(service: Service, listener: socket.socket) -> None:
    """Answer requests until SIGTERM or SIGINT."""
    config = service.config
    host, port = listener.getsockname()[:2]
    service.log.info("listening", extra={"data": {"host": host, "port": port}})
    uvicorn.Server(
        uvicorn.Config(
            create_app(config, service.health),
            log_config=None,
            log_level="warning",
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=config.api.stop_timeout_s,
        )
    ).run(sockets=[listener])


if __name__ == "__main__":
    raise SystemExit(main())
