"""The real records that docs/TOPICS.md shows: one per topic and type, kept in records.json beside this file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

RECORDS = Path(__file__).with_name("records.json")


def load(path: Path = RECORDS) -> dict[str, dict[str, Any]]:
    """Topic name -> record type -> the record."""
    found: dict[str, dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
    return found
