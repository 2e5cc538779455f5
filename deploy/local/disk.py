"""Where the bytes are, and what must go so that their sum stays within its bound. Pure but for looking at files."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

UNCAPPED = -1


def used_bytes(folder: Path) -> int:
    """Blocks on disk below a folder (index files are larger than what they occupy)."""
    total = 0
    for here, _, names in os.walk(folder):
        for name in names:
            try:
                total += (Path(here) / name).lstat().st_blocks * 512
            except OSError:
                continue  # deleted meanwhile
    return total


def kafka_partitions(log_dir: Path) -> dict[tuple[str, int], int]:
    """(topic, partition) -> bytes on disk, for topics retention can bound (a changelog is compacted instead)."""
    found: dict[tuple[str, int], int] = {}
    for folder in log_dir.iterdir() if log_dir.is_dir() else ():
        topic, _, number = folder.name.rpartition("-")
        if number.isdigit() and not topic.startswith(("__", "changelog__")) and folder.is_dir():
            found[topic, int(number)] = used_bytes(folder)
    return found


def partition_cap(sizes: Iterable[int], budget: int) -> int:
    """The bound per partition under which all of them together fit into the budget; UNCAPPED where they fit as is.

    Small partitions keep all they have; the large ones share what is left equally.
    """
    ordered = sorted(sizes)
    if sum(ordered) <= budget:
        return UNCAPPED
    left = budget
    for i, size in enumerate(ordered):
        share = left // (len(ordered) - i)
        if size > share:
            return share
        left -= size
    return UNCAPPED


def topic_caps(sizes: Mapping[tuple[str, int], int], budget: int) -> dict[str, int]:
    """topic -> bytes per partition, for the topics that must shrink."""
    cap = partition_cap(sizes.values(), budget)
    if cap == UNCAPPED:
        return {}
    return {topic: cap for (topic, _), size in sorted(sizes.items()) if size > cap}


@dataclass(frozen=True)
class TablePart:
    """One partition of one table."""

    database: str
    table: str
    partition_id: str
    """Sorts by age: YYYYMM or YYYYMMDD."""
    size: int


@dataclass(frozen=True)
class Cut:
    """Drop a partition; or, where it is the table's only one, the older half of its rows."""

    part: TablePart
    whole: bool


def cuts(parts: Iterable[TablePart], budget: int) -> list[Cut]:
    """What to drop, oldest partition of the largest table first, until the rest fits."""
    tables: dict[tuple[str, str], list[TablePart]] = {}
    for part in sorted(parts, key=lambda p: (p.database, p.table, p.partition_id)):
        tables.setdefault((part.database, part.table), []).append(part)
    total = sum(p.size for parts_ in tables.values() for p in parts_)
    out: list[Cut] = []
    while total > budget and tables:
        name = max(tables, key=lambda n: sum(p.size for p in tables[n]))
        oldest = tables[name].pop(0)
        whole = bool(tables[name])
        out.append(Cut(oldest, whole))
        total -= oldest.size if whole else oldest.size // 2
        if not whole:
            del tables[name]
    return out
