"""`python -m ingest --config FILE`: capture what the configuration and control.subscription ask for."""

from __future__ import annotations

import sys

import uvloop

from ingest.app import App, check
from ingest.memory import limit_arenas
from marketdata.errors import ConfigError
from runtime.service import Service, start


async def capture(service: Service) -> int:
    app = App(service)
    app.metrics.register()
    return await app.run()


def main() -> int:
    limit_arenas()
    service = start("ingest")
    try:
        check(service.config)
        service.install_signals()
        return uvloop.run(capture(service))
    except ConfigError as exc:
        print(f"ingest: {exc}", file=sys.stderr)  # noqa: T201 (a person reads this, at start only)
        return 2


if __name__ == "__main__":
    sys.exit(main())
