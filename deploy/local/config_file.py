"""A configuration written to a file that `runtime.config.load` reads back as the same object."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from pydantic import SecretStr

from runtime.config import Config


def write(config: Config, path: Path) -> Path:
    """Passwords included, so only the owner may read the file."""
    path.touch(mode=0o600)
    path.write_text(yaml.safe_dump(_plain(config.model_dump()), sort_keys=False, allow_unicode=True), encoding="utf-8")
    return path


def _plain(value: Any) -> Any:
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    return value
