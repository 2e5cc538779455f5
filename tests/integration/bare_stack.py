"""The local stack with its servers, its guard and the simulator alone: `python -m tests.integration.bare_stack CONFIG`.

What supervision promises does not depend on the other services, and without them a start takes seconds.
"""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

from deploy.local import checks
from deploy.local.resolve import resolve
from deploy.local.runner import Runner, Signals
from deploy.local.screen import Screen
from deploy.local.servers import REPO
from runtime.config import load

KEPT = ("guard", "simulator")


def main() -> int:
    signals, config = Signals(), load(sys.argv[1])
    lock = checks.Lock(Path(config.local.data_dir))
    lock.acquire()
    plan = resolve(config, REPO)
    bare = dataclasses.replace(plan, services=tuple(p for p in plan.services if p.name in KEPT))
    try:
        return Runner(bare, lock, Screen(), signals, None).run()
    finally:
        lock.release()


if __name__ == "__main__":
    raise SystemExit(main())
