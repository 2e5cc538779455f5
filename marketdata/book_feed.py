"""Books as a state machine: sequence rules of a venue, anchors, buffered updates, gaps."""

from __future__ import annotations

from enum import Enum
from typing import Protocol


class Verdict(Enum):
    """What to do with one book update."""

    DROP = "drop"
    """Already contained in the book."""
    APPLY = "apply"
    GAP = "gap"
    """Updates before this one are missing: the book is lost until a new anchor."""


class SequenceRules(Protocol):
    """A venue's rules for chaining updates onto an anchor: a few integers, no levels, no clock.

    Shared by ingest (which runs it on ids alone, to know when a snapshot is needed) and by the book processor.
    """

    last_id: int | None
    """Id of the last update in the book; None while there is no anchor."""

    def anchor(self, snapshot_id: int) -> None:
        """A snapshot becomes the book."""

    def reset(self) -> None:
        """Forget the anchor (gap, disconnect where the venue's chain does not outlive a connection)."""

    def check(self, first_id: int, last_id: int, prev_id: int | None) -> Verdict:
        """What to do with an update, given the anchor. Does not change state; call `applied` after applying it."""

    def applied(self, last_id: int) -> None: ...

    def snapshot_too_old(self, snapshot_id: int, first_buffered_id: int) -> bool:
        """True when updates between the snapshot and the oldest one we hold are missing: fetch again."""

    chains_across_connections: bool
    """True where ids belong to the symbol, so that another connection's update may continue the book."""
