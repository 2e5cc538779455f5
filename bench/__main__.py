"""`python -m bench [name...]`: run benchmarks, print one JSON object per figure, write them to bench/results/.

A benchmark is a module of this package with `run() -> list[Figure]`.
"""

from __future__ import annotations

import importlib
import json
import pkgutil
import signal
import sys
from dataclasses import asdict

import bench
from bench.harness import Figure, write


def names() -> list[str]:
    """The benchmarks there are."""
    found = []
    for module in pkgutil.iter_modules(bench.__path__):
        if not module.name.startswith("_") and hasattr(importlib.import_module(f"bench.{module.name}"), "run"):
            found.append(module.name)
    return sorted(found)


def main(wanted: list[str]) -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what a benchmark started is ended with it
    known = names()
    unknown = sorted(set(wanted) - set(known))
    if unknown:
        print(f"no benchmark {', '.join(unknown)}; there are: {', '.join(known)}", file=sys.stderr)
        return 2
    failed = 0
    for name in wanted or known:
        try:
            figures: list[Figure] = importlib.import_module(f"bench.{name}").run()
        except Exception as exc:  # noqa: BLE001 (one benchmark that cannot run must not hide the others)
            print(f"{name}: {type(exc).__name__}: {exc}", file=sys.stderr)
            failed = 1
            continue
        for figure in figures:
            print(json.dumps(asdict(figure)), flush=True)
        write(name, figures)
    return failed


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
