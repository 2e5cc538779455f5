"""One book's feed as a state machine: connections, sequence rules, anchors, held updates, gaps.

It never looks inside an update or a snapshot: levels are opaque payloads. The book processor gives the raw bytes and
gets them back in the order in which to apply them; ingest gives None and only asks `needs_snapshot`. No clock, no I/O.

How to drive it, per record of `raw.book` of one key, in order:

    connected(conn, overlaps)  disconnected(conn)      connection records
    update(first, last, prev, event_time_us, payload, conn) -> Outcome
    snapshot(snapshot_id, payload, conn) -> SnapshotVerdict
    invalidate(reason)                                 the book was found wrong (crossed): anchor again

After each call `steps` lists what to do with the levels, in order; it is valid until the next call and empty where the
answer is `Outcome.APPLY` (apply this very payload: the fast path).

Rules that hold:

- A snapshot is joined with the stream through a ring of the most recent updates, so that re-anchoring a live book
  drops no update, whether the snapshot's id lies behind the stream or ahead of it.
- After a connection that does not overlap the one before, the book is unproven: the next update continues it (ids
  belong to the symbol on such venues), reveals a hole, or shows that the venue's ids began anew (`epoch` + 1).
- While two connections are live each update is taken once. A skip is a hole only when no live connection can still
  fill it; until then the updates beyond it wait.
"""

from __future__ import annotations

from collections import deque
from enum import Enum
from typing import Any, Generic, Literal, NamedTuple, Protocol, TypeVar

from msgspec import Struct, structs

from marketdata.errors import InvariantError

P = TypeVar("P")

BUFFER_MAX = 100
"""Recent updates kept for anchoring: 10 s of a 100 ms stream. A REST reply is younger than that, or it is fetched
again; holding minutes of updates for hundreds of books would cost gigabytes."""

AHEAD_MAX = 64
"""Updates that may wait for the other connection of an overlap to fill a skip."""

RESET_MARGIN_US = 1_000_000
"""Without a reconnect, lower ids count as a new sequence only when their time is later by more than this: the frames
of two servers differ by milliseconds."""

FeedState = Literal["disconnected", "resyncing", "ok"]


class Verdict(Enum):
    """What to do with one book update, given the id before it."""

    DROP = "drop"
    """Already contained."""
    APPLY = "apply"
    GAP = "gap"
    """Updates before this one are missing."""


class SequenceRules(Protocol):
    """A venue's rules for chaining updates: pure functions of ids, no levels, no clock, no state."""

    chains_across_connections: bool
    """True where ids belong to the symbol, so that another connection's update may continue the book."""

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
    """It is applied, and more happened: see `steps`."""
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
    """Apply an update to the levels. `fresh`: it waited as AHEAD, so nobody downstream has seen it yet."""

    update: Update[P]
    fresh: bool = False


class Hold(NamedTuple, Generic[P]):
    """An update that waited as AHEAD is now held behind a hole: for downstream, not for the levels."""

    update: Update[P]


class Hole(Struct, frozen=True, array_like=True):
    """Updates that are missing. From then on there is no book, unless `book_kept` (a snapshot covers the hole)."""

    first_missing: int
    last_missing: int
    missing_count: int
    """0: unknown, the venue's ids are not consecutive."""
    reason: str
    """`id_skip`, `disconnected`, `capture_restarted` or `sequence_reset`."""
    filled_count: int = 0
    """Reported again with a higher number as late updates fill it."""
    book_kept: bool = False
    from_time_us: int = 0
    to_time_us: int = 0


Step = Replace[P] | Apply[P] | Hold[P] | Hole


class FeedDump(Struct, array_like=True):
    """The machine's whole state, for persistence; payloads must be bytes."""

    state: str
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
    contained: int


class BookFeed(Generic[P]):
    """The machine for one book. See the module's text for how to drive it."""

    def __init__(self, rules: SequenceRules, buffer_max: int = BUFFER_MAX) -> None:
        self.rules = rules
        self.state: FeedState = "disconnected"
        self.reason = "no connection yet"
        """Why the state is not ok."""
        self.epoch = 0
        """Sequence resets of the venue seen so far."""
        self.last_id: int | None = None
        """Id of the last update in the book; None while there is no anchor."""
        self.steps: list[Step[P]] = []
        self._check = rules.check
        self._head: int | None = None  # last id of the stream, in the book or not
        self._head_time_us = 0
        self._ring: deque[Update[P]] = deque(maxlen=buffer_max)
        self._live: dict[str, None] = {}  # live connections, in order of appearance
        self._reached: dict[str, int] = {}  # during an overlap: newest id each connection delivered
        self._ahead: list[Update[P]] = []
        self._pending: tuple[int, P] | None = None
        self._bridging = False  # anchored by a snapshot that no update was applied to yet
        self._unproven = False  # reconnected: nothing has yet shown that the book goes on
        self._lost_by = "id_skip"  # the reason of a hole found now
        self._hole: Hole | None = None
        self._hole_left: list[tuple[int, int]] = []
        self._contained = 0
        self._fast = False

    # --- connections ---------------------------------------------------------------------------------

    def connected(self, conn: str, overlaps: bool = False) -> None:
        """A connection carries the stream from now on. `overlaps`: it was opened beside a live one."""
        self.steps = []
        if conn in self._live:
            return
        if overlaps and self._live:
            self._live[conn] = None
            self._settle()
        else:
            if self._live:  # the old one ended without a record: its process was killed
                self._lost_by = "capture_restarted"
            self._live = {}
            self._settle()
            self._live = {conn: None}
            if self._head is not None:
                self._unproven = True
                if not self.rules.chains_across_connections:
                    self.last_id = None
            self._enter("resyncing", "reconnected" if self._head is not None else "no snapshot yet")
        self._refresh()

    def disconnected(self, conn: str, reason: str = "") -> None:
        """A connection ended. The book goes on while another one is live."""
        self.steps = []
        if conn not in self._live:
            return
        del self._live[conn]
        self._reached.pop(conn, None)
        self._settle()
        if not self._live:
            self._lost_by = "disconnected"
            self._enter("disconnected", reason or "disconnected")
        self._refresh()

    @property
    def connections(self) -> tuple[str, ...]:
        """Live connections, oldest first."""
        return tuple(self._live)

    @property
    def needs_snapshot(self) -> bool:
        """True when a snapshot would anchor the book: updates are held, and none is waiting to be bridged."""
        return self.last_id is None and bool(self._live) and bool(self._ring) and self._pending is None

    def invalidate(self, reason: str) -> None:
        """The book was found wrong (crossed): no book until a snapshot newer than the last update."""
        self.steps = []
        self.last_id = None
        self._pending = None
        self._ring.clear()  # whatever made it wrong may be in there: anchor on what comes
        if self._live:
            self._enter("resyncing", reason)
        self._refresh()

    # --- updates -------------------------------------------------------------------------------------

    def update(
        self, first: int, last: int, prev: int | None, event_time_us: int, payload: P, conn: str = ""
    ) -> Outcome:
        """Take one update of the stream; ids `first`..`last`, and the id before it where the venue says (`prev`)."""
        if self._fast and self._check(self.last_id, first, last, prev) is Verdict.APPLY:  # type: ignore[arg-type]
            self.last_id = self._head = last
            self._head_time_us = event_time_us
            self._ring.append(Update(first, last, prev, event_time_us, payload))
            return Outcome.APPLY
        self.steps = []
        outcome = self._update(Update(first, last, prev, event_time_us, payload), conn)
        self._refresh()
        return outcome

    def _update(self, update: Update[P], conn: str) -> Outcome:
        if conn not in self._live and not self._live:  # the log begins in the middle of a connection
            self._live[conn] = None
            self._enter("resyncing", "no snapshot yet")
        overlapped = len(self._live) > 1
        if overlapped:
            self._reached[conn] = max(update.last, self._reached.get(conn, update.last))
        if self._head is None:
            return self._accept(update)
        verdict = self._check(self._head, update.first, update.last, update.prev)
        if self._unproven and not self.rules.chains_across_connections:
            verdict = Verdict.GAP
        if verdict is Verdict.DROP:
            return self._dropped(update, overlapped)
        if verdict is Verdict.GAP:
            if overlapped:
                self._ahead.append(update)
                self._settle()
                return Outcome.AHEAD
            return self._lose(update)
        outcome = self._accept(update)
        if self._ahead:
            self._settle()
            return Outcome.STEPPED if outcome is Outcome.APPLY else outcome
        return outcome

    def _dropped(self, update: Update[P], overlapped: bool) -> Outcome:
        """An id the stream has passed: a repeat, a late one, or the venue counts anew."""
        if not overlapped:
            later_us = update.event_time_us - self._head_time_us
            if (self._unproven and (later_us > 0 or update.event_time_us == 0)) or later_us > RESET_MARGIN_US:
                return self._restart(update)
        filled = self._fill(update.first, update.last)
        if filled and self._hole is not None:
            self._hole = structs.replace(self._hole, filled_count=self._hole.filled_count + filled)
            self.steps.append(self._hole)
            return Outcome.LATE
        return Outcome.DUPLICATE

    def _accept(self, update: Update[P], fresh: bool = False) -> Outcome:
        """The next update of the stream: onto the ring, and into the book if there is one."""
        self._head, self._head_time_us = update.last, update.event_time_us
        self._unproven = False
        self._lost_by = "id_skip"
        if self.last_id is None:
            self._ring.append(update)
            if self._pending is not None and self._anchor(*self._take_pending()) is SnapshotVerdict.ANCHORED:
                return Outcome.STEPPED
            if fresh:
                self.steps.append(Hold(update))
            return Outcome.HELD
        outcome = self._chain(update)
        self._ring.append(update)
        if outcome is Outcome.APPLY:
            alone = not fresh and not self.steps
            self._enter("ok", "")
            if fresh or not alone or self._pending is not None or self._ahead:
                self.steps.append(Apply(update, fresh))
                outcome = Outcome.STEPPED
            if self._pending is not None and self._pending[0] <= self.last_id:
                self._anchor(*self._take_pending())
        elif fresh:
            self.steps.append(Hold(update))
        return outcome

    def _chain(self, update: Update[P]) -> Outcome:
        """Whether an update that continues the stream also continues the book."""
        assert self.last_id is not None
        verdict = Verdict.APPLY
        if self._bridging:
            verdict = self.rules.bridge(self.last_id, update.first, update.last, update.prev)
        if verdict is Verdict.APPLY:
            self._bridging = False
            self.last_id = update.last
            return Outcome.APPLY
        self._contained += 1
        if verdict is Verdict.DROP and self._contained <= (self._ring.maxlen or BUFFER_MAX):
            self._enter("ok", "")
            return Outcome.CONTAINED
        # The snapshot's id is not of this stream: the stream would never reach it.
        self.last_id = None
        self._bridging = False
        self._enter("resyncing", "snapshot did not bridge")
        return Outcome.HELD

    # --- holes ---------------------------------------------------------------------------------------

    def _lose(self, update: Update[P], fresh: bool = False) -> Outcome:
        """Updates between the stream's head and this one are missing."""
        assert self._head is not None
        last_missing = update.first - 1 if update.prev is None else update.prev
        kept = (
            self._bridging
            and self.last_id is not None
            and self.rules.bridge(self.last_id, update.first, update.last, update.prev) is not Verdict.GAP
        )
        if update.prev is not None and update.prev == self._head:
            # Nothing is missing in the stream; the venue only forbids to chain across connections.
            self._forget("reconnected")
            return self._accept(update, fresh)
        self._report(self._head + 1, last_missing, self._lost_by, update, kept)
        if kept:
            self._ring.clear()
            return self._accept(update, fresh)
        self._forget(self._hole_text())
        outcome = self._accept(update, fresh)
        return Outcome.GAP if outcome is Outcome.HELD else outcome

    def _restart(self, update: Update[P]) -> Outcome:
        """The venue counts anew: lower ids at a later time."""
        assert self._head is not None
        self.epoch += 1
        self._report(0, -1, "sequence_reset", update, False)
        self._hole_left = []
        self._forget("sequence reset")
        outcome = self._accept(update)
        return Outcome.GAP if outcome is Outcome.HELD else outcome

    def _report(self, first: int, last: int, reason: str, update: Update[P], kept: bool) -> None:
        count = last - first + 1 if self.rules.consecutive_ids else 0
        self._hole = Hole(first, last, count, reason, 0, kept, self._head_time_us, update.event_time_us)
        self._hole_left = [(first, last)] if self.rules.consecutive_ids else []
        self.steps.append(self._hole)

    def _forget(self, why: str) -> None:
        self.last_id = None
        self._bridging = False
        self._ring.clear()
        self._enter("resyncing", why)

    def _hole_text(self) -> str:
        hole = self._hole
        return "gap" if hole is None else f"gap {hole.first_missing}-{hole.last_missing} ({hole.reason})"

    def _fill(self, first: int, last: int) -> int:
        """How many missing ids of the newest hole this range fills."""
        left: list[tuple[int, int]] = []
        filled = 0
        for a, b in self._hole_left:
            low, high = max(a, first), min(b, last)
            if low > high:
                left.append((a, b))
                continue
            filled += high - low + 1
            left += [(x, y) for x, y in ((a, low - 1), (high + 1, b)) if x <= y]
        self._hole_left = left
        return filled

    def _settle(self) -> None:
        """Take the waiting updates that now continue the stream; give up on a skip that nobody can fill any more."""
        self._ahead.sort(key=lambda u: (u.first, u.last))
        while self._ahead and self._head is not None:
            update = self._ahead[0]
            verdict = self._check(self._head, update.first, update.last, update.prev)
            if verdict is Verdict.GAP:
                can_fill = any(self._reached.get(conn, -1) <= self._head for conn in self._live)
                if len(self._live) > 1 and can_fill and len(self._ahead) <= AHEAD_MAX:
                    return
                self._ahead.pop(0)
                self._lose(update, fresh=True)
                continue
            self._ahead.pop(0)
            if verdict is Verdict.APPLY:
                self._accept(update, fresh=True)
        if len(self._live) < 2:
            self._reached.clear()

    # --- snapshots -----------------------------------------------------------------------------------

    def snapshot(self, snapshot_id: int, payload: P, conn: str = "") -> SnapshotVerdict:
        """Take a full book (REST reply, or in-stream). `conn`: the connection it was fetched for."""
        self.steps = []
        if self._live and conn and conn not in self._live and not self.rules.chains_across_connections:
            return SnapshotVerdict.STALE
        verdict = self._snapshot(snapshot_id, payload)
        self._refresh()
        return verdict

    def _snapshot(self, snapshot_id: int, payload: P) -> SnapshotVerdict:
        unproven = self._unproven and snapshot_id != self.last_id
        if not self._live or not self._ring or unproven:
            if self.last_id is not None and not unproven and self._live:
                return SnapshotVerdict.STALE if snapshot_id < self.last_id else self._wait(snapshot_id, payload)
            return self._wait(snapshot_id, payload)
        if self.last_id is not None and snapshot_id > self.last_id:
            return self._wait(snapshot_id, payload)  # the live book stays until the stream gets there
        return self._anchor(snapshot_id, payload)

    def _wait(self, snapshot_id: int, payload: P) -> SnapshotVerdict:
        self._pending = (snapshot_id, payload)
        return SnapshotVerdict.WAITING

    def _take_pending(self) -> tuple[int, P]:
        if self._pending is None:
            raise InvariantError("no snapshot is waiting")
        pending, self._pending = self._pending, None
        return pending

    def _anchor(self, snapshot_id: int, payload: P) -> SnapshotVerdict:
        """Join a snapshot with the updates in the ring."""
        oldest = self._ring[0]
        live = self.last_id is not None
        if self.rules.bridge(snapshot_id, oldest.first, oldest.last, oldest.prev) is Verdict.GAP:
            return SnapshotVerdict.STALE if live else SnapshotVerdict.TOO_OLD
        book_id, bridging = snapshot_id, True
        replay: list[Step[P]] = []
        for update in self._ring:
            join = self.rules.bridge if bridging else self.rules.check
            verdict = join(book_id, update.first, update.last, update.prev)
            if verdict is Verdict.GAP:
                return SnapshotVerdict.STALE if live else SnapshotVerdict.TOO_OLD
            if verdict is Verdict.APPLY:
                replay.append(Apply(update))
                book_id, bridging = update.last, False
        self.last_id = book_id
        self._bridging = bridging
        self._contained = 0
        self._unproven = False
        self._pending = None
        self.steps.append(Replace(snapshot_id, payload))
        self.steps += replay
        self._enter("ok", "")
        return SnapshotVerdict.ANCHORED

    # --- state ---------------------------------------------------------------------------------------

    def _enter(self, state: FeedState, reason: str) -> None:
        if state == "ok" and not self._live:
            return
        self.state = state
        self.reason = reason

    def _refresh(self) -> None:
        self._fast = (
            self.state == "ok"
            and self.last_id is not None
            and self.last_id == self._head
            and len(self._live) == 1
            and not (self._bridging or self._unproven or self._ahead)
            and self._pending is None
        )

    def dump(self) -> FeedDump:
        """Everything needed to go on from here; payloads must be bytes."""
        as_tuples: Any = list
        return FeedDump(
            self.state, self.reason, self.epoch, self.last_id, self._head, self._head_time_us, self._bridging,
            self._unproven, self._lost_by, list(self._live), self._reached, as_tuples(self._ring),
            as_tuples(self._ahead), self._pending if self._pending is None else self._as_bytes(self._pending),
            self._hole, self._hole_left, self._contained,
        )  # fmt: skip

    @staticmethod
    def _as_bytes(pending: Any) -> tuple[int, bytes]:
        return pending[0], pending[1]
