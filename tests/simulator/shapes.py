"""The shape of JSON: keys, their order, kinds of values. What recorded frames and simulated ones are compared by."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from tests.frames import frames_dir

EMPTY = "empty list"


def shape(value: Any) -> Any:
    """Numbers are one kind whether or not they have a point: venues print both."""
    if isinstance(value, dict):
        return {key: shape(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [shape(value[0])] if value else EMPTY
    if isinstance(value, bool) or value is None:
        return str(value)
    return "number" if isinstance(value, int | float) else type(value).__name__


def alike(ours: Any, theirs: Any, *, ordered: bool = True) -> bool:
    """Whether two shapes are the same; an empty list may hold anything, null stands for any value."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        if (list(ours) if ordered else set(ours)) != (list(theirs) if ordered else set(theirs)):
            return False
        return all(alike(ours[key], theirs[key], ordered=ordered) for key in ours)
    if isinstance(ours, list) and isinstance(theirs, list):
        return alike(ours[0], theirs[0], ordered=ordered)
    return ours == theirs or EMPTY in (ours, theirs) or "None" in (ours, theirs)


def recorded(*folders: str, pattern: str = "*.jsonl") -> Iterator[Any]:
    """Recorded messages of these folders, documentation examples left out."""
    for folder in folders:
        for path in sorted((frames_dir() / folder).glob(pattern)):
            if ".docs." in path.name or ".sent." in path.name:
                continue
            with path.open() as lines:
                yield from map(json.loads, lines)
