"""A book whose venue numbers its updates per connection, or forbids to chain them across connections.

Each live connection's chain is followed by a machine of its own. One of them, the one in use, makes the book. When a
newer connection's machine has its book, the book moves over to it at once; the older one stays a reserve that is not
anchored. So a rotation costs nothing, and no update of one connection is ever applied to another one's book.

A connection that opened beside one that had stalled does not bring what the stalled one missed: that is a hole in the
updates, although there is a book.
"""

from __future__ import annotations

from typing import TypeVar

from marketdata.book_feed import BUFFER_MAX, RESET_MARGIN_US, BookFeed
from marketdata.book_steps import Emerge, FeedDump, Hole, Outcome, SequenceRules, SnapshotVerdict, Update

P = TypeVar("P")


def new_feed(rules: SequenceRules, buffer_max: int = BUFFER_MAX) -> BookFeed[P]:
    """The machine that fits the rules."""
    return BookFeed(rules, buffer_max) if rules.chains_across_connections else OverlapFeed(rules, buffer_max)


def load_feed(rules: SequenceRules, dump: FeedDump, buffer_max: int = BUFFER_MAX) -> BookFeed[bytes]:
    """The machine that `dump` wrote."""
    kind = BookFeed if rules.chains_across_connections else OverlapFeed
    return kind.load(rules, dump, buffer_max)


class OverlapFeed(BookFeed[P]):
    """See the module. The inherited state is that of the connection in use."""

    def __init__(self, rules: SequenceRules, buffer_max: int = BUFFER_MAX) -> None:
        super().__init__(rules, buffer_max)
        self._older: dict[str, BookFeed[P]] = {}
        self._newer: dict[str, BookFeed[P]] = {}

    @property
    def connections(self) -> tuple[str, ...]:
        return (*self._older, *self._live, *self._newer)

    @property
    def snapshot_conn(self) -> str:
        if super().needs_snapshot or not self._newer:
            return super().snapshot_conn
        return next((conn for conn, feed in self._newer.items() if feed.needs_snapshot), super().snapshot_conn)

    @property
    def needs_snapshot(self) -> bool:
        return super().needs_snapshot or any(feed.needs_snapshot for feed in self._newer.values())

    def anchored(self, conn: str) -> bool:
        """Whether the book is made from this connection, or from a newer one."""
        return conn not in self._newer and (conn in self._older or self.last_id is not None)

    # --- connections ---------------------------------------------------------------------------------

    def connected(self, conn: str, overlaps: bool = False) -> None:
        if conn in self._older or conn in self._live or conn in self._newer:
            self.steps = []
        elif overlaps and self._live:
            self.steps = []
            self._newer[conn] = self._follow(conn)
        else:
            self._older.clear()
            self._newer.clear()
            super().connected(conn, overlaps)

    def disconnected(self, conn: str, reason: str = "") -> None:
        self.steps = []
        if self._older.pop(conn, None) is not None or self._newer.pop(conn, None) is not None:
            return
        reserve = self._newer or self._older
        if conn in self._live and reserve:
            newest = next(reversed(reserve))
            feed = reserve.pop(newest)
            missing = self._move_to(newest, feed, Outcome.HELD)
            self.steps = [*missing, *self.steps]
            self.last_id, self._bridging = None, False  # its levels, if it had any, were not kept
            self._enter("resyncing", f"left with {conn}: {reason or 'disconnected'}")
            self._refresh()
            return
        super().disconnected(conn, reason)

    # --- frames --------------------------------------------------------------------------------------

    def update(
        self, first: int, last: int, prev: int | None, event_time_us: int, payload: P, conn: str = ""
    ) -> Outcome:
        if conn in self._live or not self._live:
            return super().update(first, last, prev, event_time_us, payload, conn)
        feed = self._other(conn)
        if feed is None:  # the log begins in the middle of both connections
            feed = self._newer[conn] = self._follow(conn)
        self.steps = []
        feed.update(first, last, prev, event_time_us, payload, conn)
        outcome = self._perhaps_move(conn, feed, Outcome.DUPLICATE)
        if outcome is Outcome.STEPPED:  # the caller passes on this very update by itself
            self.steps = [s for s in self.steps if not (isinstance(s, Emerge) and s.update.payload is payload)]
        return outcome

    def snapshot(self, snapshot_id: int, payload: P, conn: str = "", event_time_us: int = 0) -> SnapshotVerdict:
        feed = self._other(conn)
        if feed is None:
            return super().snapshot(snapshot_id, payload, conn, event_time_us)
        self.steps = []
        verdict = feed.snapshot(snapshot_id, payload, conn, event_time_us)
        self._perhaps_move(conn, feed, Outcome.DUPLICATE)
        return verdict

    def stream_snapshot(self, snapshot_id: int, event_time_us: int, payload: P, conn: str = "") -> SnapshotVerdict:
        feed = self._other(conn)
        if feed is None:
            return super().stream_snapshot(snapshot_id, event_time_us, payload, conn)
        self.steps = []
        verdict = feed.stream_snapshot(snapshot_id, event_time_us, payload, conn)
        self._perhaps_move(conn, feed, Outcome.DUPLICATE)
        return verdict

    def _other(self, conn: str) -> BookFeed[P] | None:
        return self._newer.get(conn) or self._older.get(conn)

    def _follow(self, conn: str) -> BookFeed[P]:
        feed: BookFeed[P] = BookFeed(self.rules, self._waits_max)
        feed.connected(conn)
        return feed

    def _perhaps_move(self, conn: str, feed: BookFeed[P], otherwise: Outcome) -> Outcome:
        """The book moves to a newer connection as soon as that one has a book, to an older one never."""
        if conn not in self._newer or feed.state != "ok":
            return otherwise
        del self._newer[conn]
        for old in self._live:
            self._older[old] = self._follow(old)
        steps = feed.steps
        missing = self._move_to(conn, feed, Outcome.STEPPED)
        self.steps = [*missing, *steps, *self.steps]
        self._refresh()
        return Outcome.STEPPED

    def _move_to(self, conn: str, feed: BookFeed[P], outcome: Outcome) -> list[Hole]:
        """Go on as `feed`. What it has seen and the connection left had not yet is passed on through `steps`. Returns
        the hole between the two, where there is one."""
        before, seen_us = self.head, self.head_time_us
        missing = self._between(feed)
        if before is not None and feed.head is not None and feed.head < before:
            self.epoch += 1
        self.state, self.reason = feed.state, feed.reason
        self.last_id, self.head, self.head_time_us = feed.last_id, feed.head, max(seen_us, feed.head_time_us)
        self._ring, self._waited, self._reset_us = feed._ring, feed._waited, feed._reset_us
        self._pending, self._pending_us = feed._pending, feed._pending_us
        self._bridging, self._unproven, self._lost_by = feed._bridging, feed._unproven, feed._lost_by
        self._ahead = []
        self._holes.forget()
        self._live, self._reached = {conn: None}, {}
        self.steps = [Emerge(u, outcome) for u in map(_as_update, feed._ring) if u.event_time_us > seen_us]
        return missing

    def _between(self, feed: BookFeed[P]) -> list[Hole]:
        """What neither connection brought: the one in use had fallen silent before the oldest that the other holds."""
        if feed._ring:
            first, _, prev, begin_us, _ = feed._ring[0]
            after = first - 1 if prev is None else prev
        elif feed.last_id is not None:
            after, begin_us = feed.last_id, feed.head_time_us
        else:
            return []
        if self.head in (None, after) or begin_us <= self.head_time_us + RESET_MARGIN_US:
            return []
        kept = feed.state == "ok"
        return [Hole(0, -1, 0, "resubscribed", 0, kept, self.head_time_us, begin_us)]

    # --- persistence ---------------------------------------------------------------------------------

    def dump(self: OverlapFeed[bytes]) -> FeedDump:
        dump = super().dump()
        dump.others = [(conn, feed.dump()) for conn, feed in (*self._older.items(), *self._newer.items())]
        dump.primary_at = len(self._older)
        return dump

    @classmethod
    def load(cls, rules: SequenceRules, dump: FeedDump, buffer_max: int = BUFFER_MAX) -> BookFeed[bytes]:
        feed: OverlapFeed[bytes] = OverlapFeed(rules, buffer_max)
        feed._restore(dump)
        others = [(conn, BookFeed.load(rules, each, buffer_max)) for conn, each in dump.others]
        feed._older, feed._newer = dict(others[: dump.primary_at]), dict(others[dump.primary_at :])
        return feed


def _as_update(entry: tuple[int, int, int | None, int, P]) -> Update[P]:
    return Update(*entry)
