"""Becomes one of the supervised programs: `python -m deploy.local.child NAME`, called by supervisord only.

Its command line and environment are in the file named by MP_PROGRAMS, so that no path has to survive the syntax of
supervisord's configuration.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]


def count_start(file: Path) -> None:
    """One more start of this program in this run; `make status` shows the restarts."""
    try:
        before = int(file.read_text())
    except (OSError, ValueError):
        before = 0
    part = file.with_suffix(".part")
    try:
        part.write_text(str(before + 1))
        part.replace(file)
    except OSError:
        return  # a full disk must not keep a program from starting


def main() -> None:
    name = sys.argv[1]
    spec = json.loads(Path(os.environ["MP_PROGRAMS"]).read_text(encoding="utf-8"))[name]
    os.chdir(REPO)
    count_start(Path(os.environ["MP_RUN"]) / "starts" / name)
    os.execve(sys.executable, [sys.executable, *spec["argv"]], {**os.environ, **spec["env"]})


if __name__ == "__main__":
    main()
