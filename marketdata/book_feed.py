"""One book's feed as a state machine: connections, sequence rules, anchors, held updates, gaps.

It never looks inside an update or a snapshot: levels are opaque payloads. The book processor gives the raw bytes and
gets them back in the order in which to apply them; ingest gives None and only asks `needs_snapshot`. No clock, no I/O.

How to drive it, per record of `raw.book` of one key, in order:

    connected(conn, overlaps)  disconnected(conn)      connection records
    update(first, last, prev, event_time_us, payload, conn) -> Outcome
    snapshot(id, payload, conn, event_time_us) -> SnapshotVerdict          a whole book, to be joined with the stream
    stream_snapshot(id, event_time_us, payload, conn) -> SnapshotVerdict   a whole book as part of the stream itself
    invalidate(reason)                                 the book was found wrong (crossed): anchor again

After each call `steps` lists what to do with the levels, in order; it is valid until the next call and empty where the
answer is `Outcome.APPLY` (apply this very payload: the fast path).

Rules that hold:

- A snapshot is joined with the stream through a ring of the most recent updates, so that re-anchoring a live book
  drops no update, whether the snapshot's id lies behind the stream or ahead of it.
- After a connection that does not overlap the one before, the book is unproven: the next update continues it (ids
  belong to the symbol on such venues), reveals a hole, or shows that the venue's ids began anew (`epoch` + 1).
- A whole book that the stream itself delivers is the book from there on; what lay between it and the update before is
  missing, and said to be.
- Where the venue counts anew, what it said before by its own clock joins nothing any more: no update that a slower
  connection still delivers, no snapshot that was on its way.
- While two connections are live each update is taken once. A skip is a hole only when no live connection can still
  fill it; until then the updates beyond it wait.
"""

from __future__ import annotations

from collections import deque
from typing import Generic, TypeVar, cast

from marketdata.book_holes import Holes
from marketdata.book_join import Entry, join
from marketdata.book_steps import (
    Apply,
    Emerge,
    FeedDump,
    FeedState,
    Hole,
    Outcome,
    Replace,
    SequenceRules,
    SnapshotVerdict,
    Step,
    Update,
    Verdict,
)

__all__ = [
    "AHEAD_MAX", "BUFFER_MAX", "RESET_MARGIN_US", "Apply", "BookFeed", "Emerge", "FeedDump", "FeedState", "Hole",
    "Outcome", "Replace", "SequenceRules", "SnapshotVerdict", "Step", "Update", "Verdict",
]  # fmt: skip

P = TypeVar("P")

BUFFER_MAX = 50
"""Recent updates kept for anchoring: 5 s of a 100 ms stream. A REST reply is younger than that, or it is fetched
again; holding minutes of updates for hundreds of books would cost gigabytes."""

AHEAD_MAX = 64
"""Updates that may wait for the other connection of an overlap to fill a skip."""

RESET_MARGIN_US = 1_000_000
"""Without a reconnect, lower ids of updates that do not name their predecessor count as a new sequence only when their
time is later by more than this: the frames of two servers differ by milliseconds."""


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
        self.head: int | None = None
        """Last id seen in the stream, in the book or not."""
        self.head_time_us = 0
        """The venue's time of that update."""
        self.steps: list[Step[P]] = []
        self._check = rules.check
        self._ring: deque[Entry[P]] = deque(maxlen=buffer_max)
        self._live: dict[str, None] = {}  # live connections, in order of appearance
        self._reached: dict[str, int] = {}  # during an overlap: newest id each connection delivered
        self._ahead: list[Update[P]] = []
        self._pending: tuple[int, P] | None = None  # a snapshot the stream has not reached
        self._pending_us = 0  # the venue's time of it
        self._waited = 0  # updates since a snapshot that the stream has not reached
        self._bridging = False  # anchored by a snapshot that no update was applied to yet
        self._reset_us = 0  # the venue's time of the update with which its ids last began anew
        self._unproven = False  # reconnected: nothing has yet shown that the book goes on
        self._lost_by = "id_skip"  # the reason of a hole found now
        self._holes = Holes(rules.consecutive_ids)
        self._fast = False

    @property
    def connections(self) -> tuple[str, ...]:
        """Live connections, oldest first."""
        return tuple(self._live)

    @property
    def snapshot_conn(self) -> str:
        """The connection a snapshot is wanted for; "" while none is live."""
        return next(reversed(self._live), "")

    @property
    def needs_snapshot(self) -> bool:
        """True when a snapshot is wanted: updates flow, there is no anchor, and no snapshot waits for the stream."""
        return (
            self.last_id is None
            and self.head is not None
            and bool(self._live)
            and not self._unproven
            and self._pending is None
        )

    # --- connections ---------------------------------------------------------------------------------

    def connected(self, conn: str, overlaps: bool = False) -> None:
        """A connection carries the stream from now on. `overlaps`: it was opened beside a live one."""
        self.steps = []
        if conn in self._live:
            return
        if overlaps and self._live:
            self._live[conn] = None
        else:
            if self._live:  # the old one ended without a record: its process was killed
                self._lost_by = "capture_restarted"
            self._live = {}
            self._settle()
            self._live = {conn: None}
            if self.head is not None:
                self._unproven = True
                if not self.rules.chains_across_connections:
                    self.last_id = None
            self._enter("resyncing", "no snapshot yet" if self.head is None else "reconnected")
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

    def invalidate(self, reason: str) -> None:
        """The book was found wrong (crossed): no book until a snapshot at least as new as the stream is now."""
        self.steps = []
        self.last_id = None
        self._pending = None
        self._bridging = False
        self._ring.clear()
        if self._live:
            self._enter("resyncing", reason)
        self._refresh()

    # --- updates -------------------------------------------------------------------------------------

    def update(
        self, first: int, last: int, prev: int | None, event_time_us: int, payload: P, conn: str = ""
    ) -> Outcome:
        """Take one update of the stream; ids `first`..`last`, and the id before it where the venue says (`prev`)."""
        if self._fast and self._check(self.last_id, first, last, prev) is Verdict.APPLY:  # type: ignore[arg-type]
            self.last_id = self.head = last
            self.head_time_us = event_time_us
            self._ring.append((first, last, prev, event_time_us, payload))
            if self.steps:
                self.steps = []
            return Outcome.APPLY
        self.steps = []
        update = Update(first, last, prev, event_time_us, payload)
        outcome = self._update(update, conn)
        if self._ahead and outcome is not Outcome.AHEAD:
            outcome = self._applied(update, outcome)
            self._settle()
        elif self.steps:
            outcome = self._applied(update, outcome)
        self._refresh()
        return outcome

    def _applied(self, update: Update[P], outcome: Outcome) -> Outcome:
        if outcome is not Outcome.APPLY:
            return outcome
        self.steps.append(Apply(update))
        return Outcome.STEPPED

    def _update(self, update: Update[P], conn: str) -> Outcome:
        if not self._live:  # the log begins in the middle of a connection
            self._live[conn] = None
            self._enter("resyncing", "no snapshot yet")
        overlapped = len(self._live) > 1
        verdict = Verdict.APPLY if self.head is None else self._verdict(self.head, update)
        if verdict is Verdict.RESET:
            self._count_anew(update.event_time_us)
        if overlapped and update.event_time_us >= self._reset_us:
            self._reached[conn] = max(update.last, self._reached.get(conn, update.last))
        if verdict is Verdict.DROP:
            return self._dropped(update, overlapped)
        if verdict is not Verdict.GAP:
            return self._accept(update)
        if not overlapped:
            return self._lose(update)
        if any(u.first <= update.first and update.last <= u.last for u in self._ahead):
            outcome = Outcome.DUPLICATE
        else:
            self._ahead.append(update)
            outcome = Outcome.AHEAD
        self._settle()
        return outcome

    def _verdict(self, head: int, update: Update[P]) -> Verdict:
        """What the venue's rules say of an update after `head`, and what they cannot know."""
        if self._unproven and not self.rules.chains_across_connections:
            return Verdict.GAP
        verdict = self._check(head, update.first, update.last, update.prev)
        behind_us = self._reset_us - update.event_time_us if update.event_time_us else -1
        if behind_us > 0 or (behind_us == 0 and verdict is Verdict.RESET):
            return Verdict.DROP  # a slower connection's, from before the ids began anew, or how they did
        return verdict

    def _dropped(self, update: Update[P], overlapped: bool) -> Outcome:
        """An id the stream has passed: a repeat, a late one, or the venue counts anew."""
        if not overlapped and update.last < cast(int, self.head) and self._counts_anew(update):
            return self._restart(update)
        hole = self._holes.fill(update.first, update.last)
        if hole is None:
            return Outcome.DUPLICATE
        self.steps.append(hole)
        return Outcome.LATE

    def _counts_anew(self, update: Update[P]) -> bool:
        """Whether a lower id of the only connection is of a new sequence: it is when it is later than the head. An
        update that names its predecessor did not name the head, so that something is missing in any case."""
        later_us = update.event_time_us - self.head_time_us
        if self._unproven:
            return later_us > 0 or update.event_time_us == 0
        return later_us > (RESET_MARGIN_US if update.prev is None else 0)

    def _count_anew(self, event_time_us: int) -> None:
        """The venue's ids begin anew with an update of this time."""
        self.epoch += 1
        self._reset_us = event_time_us
        self._ring.clear()
        self._reached.clear()
        if 0 < self._pending_us < event_time_us:
            self._pending = None

    def _accept(self, update: Update[P]) -> Outcome:
        """The next update of the stream: onto the ring, and into the book if there is one."""
        self.head, self.head_time_us = update.last, update.event_time_us
        self._unproven = False
        self._lost_by = "id_skip"
        outcome = Outcome.HELD if self.last_id is None else self._chain(self.last_id, update)
        self._ring.append(update)
        if self._pending is None:
            return outcome
        self._waited += 1
        if self.last_id is None or self._pending[0] <= self.last_id:
            pending, self._pending = self._pending, None
            if self._anchor(*pending) is SnapshotVerdict.ANCHORED:
                return Outcome.STEPPED
        elif self._waited > self._waits_max:
            self._pending = None
        return outcome

    def _chain(self, last_id: int, update: Update[P]) -> Outcome:
        """Whether an update that continues the stream also continues the book."""
        verdict = Verdict.APPLY
        if self._bridging:
            verdict = self.rules.bridge(last_id, update.first, update.last, update.prev)
        if verdict is Verdict.APPLY or verdict is Verdict.RESET:
            self._bridging = False
            self.last_id = update.last
            self._enter("ok", "")
            return Outcome.APPLY
        self._waited += 1
        if verdict is Verdict.DROP and self._waited <= self._waits_max:
            return Outcome.CONTAINED
        # The snapshot's id is not of this stream, which would never reach it. The next anchor has a lower id: (epoch,
        # id) must grow all the same.
        self.epoch += 1
        self._forget("snapshot did not bridge")
        return Outcome.HELD

    # --- holes ---------------------------------------------------------------------------------------

    def _lose(self, update: Update[P]) -> Outcome:
        """Updates between the stream's head and this one are missing."""
        head = cast(int, self.head)
        if update.prev is not None and update.prev == head:
            # Nothing is missing in the stream; the venue only forbids to chain across connections.
            self._forget("reconnected")
            return self._accept(update)
        kept = (
            self._bridging
            and self.last_id is not None
            and self.rules.bridge(self.last_id, update.first, update.last, update.prev) is not Verdict.GAP
        )
        last_missing = update.first - 1 if update.prev is None else update.prev
        times = (self.head_time_us, update.event_time_us)
        self.steps.append(self._holes.found(head + 1, last_missing, self._lost_by, *times, book_kept=kept))
        if kept:
            self._ring.clear()
            return self._accept(update)
        self._forget(f"gap {head + 1}-{last_missing} ({self._lost_by})")
        outcome = self._accept(update)
        return Outcome.GAP if outcome is Outcome.HELD else outcome

    def _restart(self, update: Update[P]) -> Outcome:
        """The venue counts anew: lower ids at a later time."""
        self._count_anew(update.event_time_us)
        self.steps.append(self._holes.found(0, -1, "sequence_reset", self.head_time_us, update.event_time_us))
        self._forget("sequence reset")
        outcome = self._accept(update)
        return Outcome.GAP if outcome is Outcome.HELD else outcome

    def _forget(self, why: str) -> None:
        """No anchor any more, and nothing held that a snapshot could be joined with."""
        self.last_id = None
        self._bridging = False
        self._ring.clear()
        self._enter("resyncing", why)

    def _settle(self) -> None:
        """Take the waiting updates that now continue the stream; give up on a skip that nobody can fill any more."""
        self._ahead.sort(key=lambda u: (u.first, u.last))
        while self._ahead:
            update = self._ahead[0]
            head = cast(int, self.head)
            verdict = self._verdict(head, update)
            if verdict is Verdict.GAP:
                can_fill = any(conn not in self._reached or self._reached[conn] <= head for conn in self._live)
                if len(self._live) > 1 and can_fill and len(self._ahead) <= AHEAD_MAX:
                    return
            del self._ahead[0]
            if verdict is Verdict.RESET:
                self._count_anew(update.event_time_us)
            if verdict is Verdict.DROP:
                outcome = Outcome.DUPLICATE
            else:
                outcome = self._lose(update) if verdict is Verdict.GAP else self._accept(update)
            self.steps.append(Emerge(update, self._applied(update, outcome)))
        if len(self._live) < 2:
            self._reached.clear()

    # --- snapshots -----------------------------------------------------------------------------------

    def snapshot(self, snapshot_id: int, payload: P, conn: str = "", event_time_us: int = 0) -> SnapshotVerdict:
        """Take a full book (REST reply, or in-stream). `conn`: the connection it was fetched for; `event_time_us`: of
        the venue, 0 where it does not say."""
        self.steps = []
        foreign = bool(conn) and conn not in self._live
        if foreign and self._live and not self.rules.chains_across_connections:
            return SnapshotVerdict.STALE
        verdict = self._snapshot(snapshot_id, payload, event_time_us)
        self._refresh()
        return verdict

    def stream_snapshot(self, snapshot_id: int, event_time_us: int, payload: P, conn: str = "") -> SnapshotVerdict:
        """Take a whole book that came as part of the stream: updates go on from it."""
        self.steps = []
        if not self._live:  # the log begins in the middle of a connection
            self._live[conn] = None
        if len(self._live) > 1 and self.last_id is not None:
            # The other connection goes on delivering: lose nothing.
            verdict = self._snapshot(snapshot_id, payload, event_time_us)
        else:
            self._begin_anew(snapshot_id, event_time_us)
            self.steps.append(Replace(snapshot_id, payload))
            self._enter("ok", "")
            verdict = SnapshotVerdict.ANCHORED
        self._refresh()
        return verdict

    def _begin_anew(self, snapshot_id: int, event_time_us: int) -> None:
        """The stream's whole book: report what lies between it and the stream so far, then go on from it."""
        head = self.head
        related = self.rules.chains_across_connections or not self._unproven
        if head is not None and not (related and snapshot_id == head):
            reason = self._lost_by if self._unproven else "resubscribed"
            if snapshot_id < head:
                self._count_anew(event_time_us)
                reason = "sequence_reset" if self.rules.chains_across_connections else reason
            first, last = (head + 1, snapshot_id) if related and snapshot_id > head else (0, -1)
            self.steps.append(self._holes.found(first, last, reason, self.head_time_us, event_time_us))
        self._holes.close()
        self._ring.clear()
        self._ahead.clear()
        self._pending, self._waited, self._bridging, self._unproven = None, 0, False, False
        self._lost_by = "id_skip"
        self.head = self.last_id = snapshot_id
        self.head_time_us = event_time_us or self.head_time_us

    def _snapshot(self, snapshot_id: int, payload: P, event_time_us: int) -> SnapshotVerdict:
        if 0 < event_time_us < self._reset_us:
            return self._refused
        unproven = self._unproven and (snapshot_id != self.last_id or not self._ring)
        ahead = self.last_id is not None and snapshot_id > self.last_id
        if not self._live or self.head is None or unproven or ahead:
            # Nothing to join it with yet. A live book stays what it is until the stream has come so far.
            self._pending, self._pending_us = (snapshot_id, payload), event_time_us
            self._waited = 0
            return SnapshotVerdict.WAITING
        return self._anchor(snapshot_id, payload)

    def _anchor(self, snapshot_id: int, payload: P) -> SnapshotVerdict:
        """Join a snapshot with the stream: with the updates in the ring, or where it is empty with the stream's end."""
        if not self._ring and snapshot_id < cast(int, self.head):
            return self._refused
        joined = join(snapshot_id, self._ring, self.rules)
        if joined is None or (self.last_id is not None and joined.last_id < self.last_id):
            return self._refused
        self.last_id = joined.last_id
        self._bridging = joined.bridging
        self._waited = 0
        self._unproven = False
        self._pending = None
        self.steps += [Replace(snapshot_id, payload), *map(Apply, joined.updates)]
        self._enter("ok", "")
        return SnapshotVerdict.ANCHORED

    @property
    def _refused(self) -> SnapshotVerdict:
        return SnapshotVerdict.TOO_OLD if self.last_id is None else SnapshotVerdict.STALE

    # --- state ---------------------------------------------------------------------------------------

    @property
    def _waits_max(self) -> int:
        return cast(int, self._ring.maxlen)

    def _enter(self, state: FeedState, reason: str) -> None:
        if state != "ok" or self._live:
            self.state = state
            self.reason = reason

    def _refresh(self) -> None:
        self._fast = (
            self.state == "ok"
            and self.last_id is not None
            and self.last_id == self.head
            and len(self._live) == 1
            and not (self._bridging or self._unproven or self._ahead)
            and self._pending is None
        )

    def dump(self: BookFeed[bytes]) -> FeedDump:
        """Everything needed to go on from here."""
        return FeedDump(
            state=self.state,
            reason=self.reason,
            epoch=self.epoch,
            last_id=self.last_id,
            head=self.head,
            head_time_us=self.head_time_us,
            bridging=self._bridging,
            unproven=self._unproven,
            lost_by=self._lost_by,
            connections=list(self._live),
            reached=dict(self._reached),
            ring=list(self._ring),
            ahead=[(u.first, u.last, u.prev, u.event_time_us, u.payload) for u in self._ahead],
            pending=self._pending,
            hole=self._holes.newest,
            hole_left=list(self._holes.left),
            waited=self._waited,
            reset_us=self._reset_us,
            pending_us=self._pending_us,
        )

    @classmethod
    def load(cls, rules: SequenceRules, dump: FeedDump, buffer_max: int = BUFFER_MAX) -> BookFeed[bytes]:
        """The machine that `dump` wrote."""
        feed: BookFeed[bytes] = BookFeed(rules, buffer_max)
        feed._restore(dump)
        return feed

    def _restore(self: BookFeed[bytes], dump: FeedDump) -> None:
        self.state, self.reason, self.epoch = dump.state, dump.reason, dump.epoch
        self.last_id, self.head, self.head_time_us = dump.last_id, dump.head, dump.head_time_us
        self._bridging, self._unproven, self._lost_by = dump.bridging, dump.unproven, dump.lost_by
        self._live = dict.fromkeys(dump.connections)
        self._reached = dict(dump.reached)
        self._ring.extend(dump.ring)
        self._ahead = [Update(*entry) for entry in dump.ahead]
        self._pending, self._pending_us, self._waited = dump.pending, dump.pending_us, dump.waited
        self._reset_us = dump.reset_us
        self._holes.restore(dump.hole, dump.hole_left)
        self._refresh()
