"""The words of `marketdata.book_feed`: sequence rules, what becomes of updates and snapshots, and the steps to take."""

from __future__ import annotations

from enum import Enum
from typing import Generic, Literal, NamedTuple, Protocol, TypeVar

from msgspec import Struct

P = TypeVar("P")

FeedState = Literal["disconnected", "resyncing", "ok"]


class Verdict(Enum):
    """What to do with one book update, given the id before it."""

    DROP = "drop"
    """Already contained."""
    APPLY = "apply"
    GAP = "gap"
    """Updates before this one are missing."""
    RESET = "reset"
    """It continues the book, and the venue counts anew from here (lower ids): apply, nothing is missing."""


class SequenceRules(Protocol):
    """A venue's rules for chaining updates: pure functions of ids, no levels, no clock, no state."""

    chains_across_connections: bool
    """True where ids belong to the symbol, so that another connection's update may continue the book. False: each
    connection's chain is followed on its own, see `marketdata.book_overlap`."""

    consecutive_ids: bool
    """True where every id between two updates must appear, so that missing ones can be counted."""

    def check(self, last_id: int, first: int, last: int, prev: int | None) -> Verdict:
        """An update after the one that ended with `last_id`."""

    def bridge(self, snapshot_id: int, first: int, last: int, prev: int | None) -> Verdict:
        """The first update after a snapshot; GAP: the snapshot is too old for it."""


class Outcome(Enum):
    """What became of one update."""

    APPLY = "apply"
    """Apply its payload now; nothing else happened."""
    STEPPED = "stepped"
    """It is in the book now through `steps`, and more happened there."""
    HELD = "held"
    """No anchor yet: kept until one comes."""
    GAP = "gap"
    """Updates before it are missing (see the Hole in `steps`); the update itself is held."""
    CONTAINED = "contained"
    """New in the stream, but the snapshot in the book already contains it."""
    AHEAD = "ahead"
    """Beyond a skip that another live connection may still fill; it comes back in `steps` later."""
    LATE = "late"
    """Fills part of a hole reported before. Too late for the book, new for whoever collects updates."""
    DUPLICATE = "duplicate"
    """Seen before: ignore."""


class SnapshotVerdict(Enum):
    """What became of a snapshot."""

    ANCHORED = "anchored"
    """It is the book now (a Replace in `steps`, then the held updates after it)."""
    WAITING = "waiting"
    """Kept until the stream reaches it (or the first update comes)."""
    TOO_OLD = "too_old"
    """Updates between it and the oldest one held are missing: fetch again."""
    STALE = "stale"
    """Older than the live book, and the ring does not reach back to it: ignored."""


class Update(NamedTuple, Generic[P]):
    first: int
    last: int
    prev: int | None
    event_time_us: int
    payload: P


class Replace(NamedTuple, Generic[P]):
    """The snapshot's levels become the book."""

    snapshot_id: int
    payload: P


class Apply(NamedTuple, Generic[P]):
    """Apply an update to the levels."""

    update: Update[P]


class Emerge(NamedTuple, Generic[P]):
    """What became of an update that was AHEAD: for whoever passes updates on, in the stream's order."""

    update: Update[P]
    outcome: Outcome


class Hole(Struct, frozen=True, array_like=True):
    """Updates that are missing. From then on there is no book, unless `book_kept` (a snapshot covers the hole)."""

    first_missing: int
    last_missing: int
    """Below `first_missing` where ids say nothing about what is missing: only the times do."""
    missing_count: int
    """0: unknown, the venue's ids are not consecutive."""
    reason: str
    """`id_skip`, `disconnected`, `capture_restarted`, `sequence_reset` or `resubscribed` (between leaving the stream
    and the whole book that it began with again, or between one connection's silence and another's beginning)."""
    filled_count: int = 0
    """Reported again with a higher number as late updates fill it."""
    book_kept: bool = False
    from_time_us: int = 0
    to_time_us: int = 0


Step = Replace[P] | Apply[P] | Emerge[P] | Hole


class FeedDump(Struct, array_like=True):
    """The machine's whole state, for persistence. Updates are (first, last, prev, event_time_us, bytes)."""

    state: FeedState
    reason: str
    epoch: int
    last_id: int | None
    head: int | None
    head_time_us: int
    bridging: bool
    unproven: bool
    lost_by: str
    connections: list[str]
    reached: dict[str, int]
    ring: list[tuple[int, int, int | None, int, bytes]]
    ahead: list[tuple[int, int, int | None, int, bytes]]
    pending: tuple[int, bytes] | None
    hole: Hole | None
    hole_left: list[tuple[int, int]]
    waited: int
    others: list[tuple[str, FeedDump]] = []
    """Chains of the other live connections, oldest first, where each is followed on its own; and whether they are
    older than the one in use is their place: see `primary_at`."""
    primary_at: int = 0
    """How many of `others` are older than the connection in use."""
    reset_us: int = 0
    pending_us: int = 0
