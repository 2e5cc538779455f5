"""Joining a snapshot with the updates held of its stream. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Generic, NamedTuple, TypeVar

from marketdata.book_steps import SequenceRules, Update, Verdict

P = TypeVar("P")
Entry = tuple[int, int, int | None, int, P]
"""As `Update`."""


class Joined(NamedTuple, Generic[P]):
    """A snapshot and what follows it without a hole."""

    last_id: int
    """Of the newest update that follows, or the snapshot's own."""
    bridging: bool
    """None follows yet."""
    updates: list[Update[P]]


def join(snapshot_id: int, held: Iterable[Entry[P]], rules: SequenceRules) -> Joined[P] | None:
    """The snapshot with the held updates after it; None where some between them are missing."""
    last_id, bridging = snapshot_id, True
    updates: list[Update[P]] = []
    for entry in held:
        update = Update(*entry)
        follows = rules.bridge if bridging else rules.check
        verdict = follows(last_id, update.first, update.last, update.prev)
        if verdict is Verdict.GAP:
            return None
        if verdict is not Verdict.DROP:
            updates.append(update)
            last_id, bridging = update.last, False
    return Joined(last_id, bridging, updates)
