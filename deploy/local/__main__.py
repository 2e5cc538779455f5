"""`python -m deploy.local run|stop|status|clean [--config FILE] [--recording FILE --speed N]`."""

from __future__ import annotations

import argparse
import sys

DEFAULT_CONFIG = "deploy/config/sim.yaml"


def main(argv: list[str] | None = None) -> int:
    """Whatever is wrong with what a person gave is one sentence on stderr and status 2."""
    parser = argparse.ArgumentParser(prog="deploy.local")
    parser.add_argument("command", choices=("run", "stop", "status", "clean"))
    parser.add_argument("--config", default="")
    parser.add_argument("--recording", default="")
    parser.add_argument("--speed", default="")
    args = parser.parse_args(argv)
    try:
        from deploy.local import commands
        from marketdata.errors import MarketPrismError
    except ModuleNotFoundError as exc:
        print(f"the Python package {exc.name} is missing: run `make setup`", file=sys.stderr)  # noqa: T201
        return 2
    config = args.config or DEFAULT_CONFIG
    try:
        if args.command == "run":
            return commands.run(config, args.recording or None, _speed(args.speed))
        return int({"stop": commands.stop, "status": commands.status, "clean": commands.clean}[args.command](config))
    except MarketPrismError as exc:
        print(f"error: {exc}", file=sys.stderr)  # noqa: T201
        return 2


def _speed(text: str) -> float:
    try:
        return float(text or "1")
    except ValueError:
        from marketdata.errors import ConfigError

        raise ConfigError(f"SPEED must be a number above 0, not {text!r}") from None


if __name__ == "__main__":
    raise SystemExit(main())
