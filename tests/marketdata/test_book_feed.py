"""The sequence machine: what it says about updates, snapshots, connections; and that it never builds a wrong book."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marketdata.book_feed import (
    AHEAD_MAX,
    Apply,
    BookFeed,
    Emerge,
    FeedDump,
    Hole,
    Outcome,
    Replace,
    SnapshotVerdict,
    Verdict,
)
from venues.binance.book_sync import SpotSequence

APPLY, STEPPED, HELD, GAP = Outcome.APPLY, Outcome.STEPPED, Outcome.HELD, Outcome.GAP
CONTAINED, AHEAD, LATE, DUPLICATE = Outcome.CONTAINED, Outcome.AHEAD, Outcome.LATE, Outcome.DUPLICATE
ANCHORED, WAITING = SnapshotVerdict.ANCHORED, SnapshotVerdict.WAITING
TOO_OLD, STALE = SnapshotVerdict.TOO_OLD, SnapshotVerdict.STALE


class Driver:
    """Feeds the machine and follows its steps like a book would: `book` is the id the levels stand at."""

    def __init__(self, buffer_max: int = 100) -> None:
        self.feed: BookFeed[bytes] = BookFeed(SpotSequence(), buffer_max)
        self.book: int | None = None
        self.holes: list[Hole] = []
        self.passed_on: list[tuple[int, int]] = []

    def connected(self, conn: str = "a", overlaps: bool = False) -> Driver:
        self.feed.connected(conn, overlaps)
        self._follow()
        return self

    def disconnected(self, conn: str = "a") -> Driver:
        self.feed.disconnected(conn, "closed")
        self._follow()
        return self

    def update(self, first: int, last: int, conn: str = "a", time_us: int | None = None) -> Outcome:
        payload = f"{first}-{last}".encode()
        outcome = self.feed.update(first, last, None, last * 1000 if time_us is None else time_us, payload, conn)
        if outcome is APPLY:
            assert self.feed.steps == []
            self._apply(first, last)
        else:
            self._follow()
        if outcome not in (AHEAD, DUPLICATE):
            self.passed_on.append((first, last))
        self._agree()
        return outcome

    def snapshot(self, snapshot_id: int) -> SnapshotVerdict:
        verdict = self.feed.snapshot(snapshot_id, str(snapshot_id).encode(), "a")
        self._follow()
        self._agree()
        return verdict

    def reload(self) -> None:
        blob = msgspec.msgpack.encode(self.feed.dump())
        buffer_max = self.feed._ring.maxlen
        assert buffer_max is not None
        self.feed = BookFeed.load(SpotSequence(), msgspec.msgpack.decode(blob, type=FeedDump), buffer_max)

    def _follow(self) -> None:
        for step in self.feed.steps:
            if isinstance(step, Replace):
                assert step.payload == str(step.snapshot_id).encode()
                self.book = step.snapshot_id
            elif isinstance(step, Apply):
                assert step.update.payload == f"{step.update.first}-{step.update.last}".encode()
                self._apply(step.update.first, step.update.last)
            elif isinstance(step, Emerge):
                if step.outcome is not DUPLICATE:
                    self.passed_on.append((step.update.first, step.update.last))
            else:
                if not step.filled_count:
                    said_missing = range(step.first_missing, step.last_missing + 1)
                    assert not any(i in said_missing for a, b in self.passed_on for i in range(a, b + 1))
                self.holes.append(step)

    def _apply(self, first: int, last: int) -> None:
        assert self.book is not None
        assert first <= self.book + 1 <= last, f"update {first}-{last} does not continue a book at {self.book}"
        self.book = last

    def _agree(self) -> None:
        if self.feed.state == "ok":
            assert self.book == self.feed.last_id


def anchored(buffer_max: int = 100) -> Driver:
    """Connection a, book at 110, which is the stream's end as well."""
    d = Driver(buffer_max).connected()
    assert d.update(101, 105) is HELD
    assert d.snapshot(103) is ANCHORED
    assert d.update(106, 110) is APPLY
    return d


# --- anchoring -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("held", "snapshot_id", "verdict", "book"),
    [
        ([], 100, WAITING, None),
        ([(101, 105)], 99, TOO_OLD, None),
        ([(101, 105)], 100, ANCHORED, 105),  # U == lastUpdateId + 1: nothing is missing
        ([(101, 105)], 101, ANCHORED, 105),
        ([(101, 105)], 104, ANCHORED, 105),
        ([(101, 105)], 105, ANCHORED, 105),  # all held updates are contained
        ([(101, 105)], 120, ANCHORED, 120),  # ahead of the stream
        ([(101, 105), (106, 106)], 105, ANCHORED, 106),
        ([(101, 105), (106, 106)], 50, TOO_OLD, None),
    ],
)
def test_snapshot_while_updates_are_held(
    held: list[tuple[int, int]], snapshot_id: int, verdict: SnapshotVerdict, book: int | None
) -> None:
    d = Driver().connected()
    for first, last in held:
        assert d.update(first, last) is HELD
    assert d.feed.needs_snapshot is bool(held)
    assert d.snapshot(snapshot_id) is verdict
    assert d.feed.last_id == book
    assert d.feed.state == ("ok" if book else "resyncing")
    assert d.feed.needs_snapshot is (verdict is TOO_OLD)


@pytest.mark.parametrize(
    ("update", "outcome", "book"),
    [
        ((90, 100), STEPPED, 100),  # contained, and the stream overlaps the snapshot
        ((99, 104), STEPPED, 104),
        ((101, 104), STEPPED, 104),
        ((102, 104), HELD, None),  # the snapshot is too old
    ],
)
def test_first_update_after_a_waiting_snapshot(update: tuple[int, int], outcome: Outcome, book: int | None) -> None:
    d = Driver().connected()
    d.snapshot(100)
    assert d.feed.state == "resyncing"
    assert d.update(*update) is outcome
    assert d.feed.last_id == book
    assert d.feed.needs_snapshot is (book is None)


def test_updates_up_to_a_snapshot_ahead_of_the_stream_are_contained_in_it() -> None:
    d = Driver().connected()
    d.update(101, 105)
    d.snapshot(120)
    assert d.update(106, 110) is CONTAINED
    assert d.update(111, 122) is APPLY
    assert d.feed.last_id == 122


def test_a_snapshot_the_stream_never_reaches_is_given_up() -> None:
    d = Driver(buffer_max=10).connected()
    d.update(1, 1)
    d.snapshot(10**12)
    outcomes = [d.update(i, i) for i in range(2, 20)]
    assert outcomes[:10] == [CONTAINED] * 10
    assert HELD in outcomes
    assert d.feed.needs_snapshot
    assert d.feed.epoch == 1  # the next book has a lower id than the one that was shown


def test_the_ring_is_bounded_and_a_snapshot_before_it_is_too_old() -> None:
    d = Driver(buffer_max=5).connected()
    for i in range(1, 21):
        d.update(i, i)
    assert d.snapshot(14) is TOO_OLD
    assert d.snapshot(15) is ANCHORED
    assert d.feed.last_id == 20


# --- re-anchoring a live book ----------------------------------------------------------------------


def test_re_anchor_behind_the_stream_loses_no_update() -> None:
    d = anchored()
    assert d.snapshot(107) is ANCHORED
    assert [type(step) for step in d.feed.steps] == [Replace, Apply]
    assert d.update(111, 111) is APPLY


def test_re_anchor_ahead_of_the_stream_waits_until_it_is_reached() -> None:
    d = anchored()
    assert d.snapshot(113) is WAITING
    assert d.update(111, 112) is APPLY
    assert d.update(113, 115) is STEPPED
    assert isinstance(d.feed.steps[0], Replace)
    assert d.update(116, 116) is APPLY


def test_a_snapshot_older_than_the_ring_is_ignored_while_the_book_is_live() -> None:
    d = anchored(buffer_max=2)
    for i in range(111, 115):
        assert d.update(i, i) is APPLY
    assert d.snapshot(111) is STALE
    assert (d.feed.state, d.feed.last_id) == ("ok", 114)


def test_an_unreachable_re_anchor_does_not_stay_for_ever() -> None:
    d = anchored(buffer_max=5)
    d.snapshot(10**12)
    for i in range(111, 130):
        assert d.update(i, i) is APPLY
    assert d.feed._pending is None


# --- gaps ------------------------------------------------------------------------------------------


def test_a_skip_loses_the_book_and_the_next_snapshot_brings_it_back() -> None:
    d = anchored()
    assert d.update(113, 114) is GAP
    assert d.holes == [Hole(111, 112, 2, "id_skip", 0, False, 110_000, 114_000)]
    assert d.feed.state == "resyncing"
    assert d.feed.needs_snapshot
    assert d.update(115, 115) is HELD
    assert d.snapshot(111) is TOO_OLD
    assert d.snapshot(112) is ANCHORED
    assert d.feed.last_id == 115


def test_repeats_are_ignored_and_late_updates_fill_their_gap() -> None:
    d = anchored()
    assert d.update(106, 110) is DUPLICATE
    assert d.update(111, 110) is DUPLICATE
    d.update(115, 115)
    assert d.update(112, 113) is LATE
    assert d.update(112, 113) is DUPLICATE
    assert d.update(111, 111) is LATE
    assert d.holes[-1].filled_count == 3
    assert d.holes[-1].missing_count == 4


def test_a_hole_inside_what_the_snapshot_covers_keeps_the_book() -> None:
    d = Driver().connected()
    d.update(101, 105)
    d.snapshot(120)
    assert d.update(118, 121) is STEPPED
    assert d.holes[-1].book_kept
    assert (d.holes[-1].first_missing, d.holes[-1].last_missing) == (106, 117)
    assert (d.feed.state, d.feed.last_id) == ("ok", 121)


def test_an_invalidated_book_waits_for_a_snapshot_as_new_as_the_stream() -> None:
    d = anchored()
    d.feed.invalidate("crossed")
    assert (d.feed.state, d.feed.reason) == ("resyncing", "crossed")
    assert d.feed.needs_snapshot
    assert d.snapshot(109) is TOO_OLD
    assert d.snapshot(110) is ANCHORED
    assert d.update(111, 111) is APPLY


# --- connections -----------------------------------------------------------------------------------


def test_after_a_reconnect_the_next_update_may_simply_continue() -> None:
    d = anchored().disconnected()
    states = [d.feed.state]
    states.append(d.connected("b").feed.state)
    assert not d.feed.needs_snapshot
    assert d.update(109, 112, "b") is APPLY
    assert [*states, d.feed.state] == ["disconnected", "resyncing", "ok"]
    assert d.holes == []


@pytest.mark.parametrize(("clean", "reason"), [(True, "disconnected"), (False, "capture_restarted")])
def test_after_a_reconnect_a_skip_says_why(clean: bool, reason: str) -> None:
    d = anchored()
    if clean:
        d.disconnected()
    d.connected("b")
    assert d.update(120, 121, "b") is GAP
    assert (d.holes[0].reason, d.holes[0].missing_count) == (reason, 9)
    assert d.snapshot(121) is ANCHORED
    assert d.update(130, 130, "b") is GAP
    assert d.holes[1].reason == "id_skip"


def test_a_snapshot_at_the_very_id_proves_a_quiet_book_after_a_reconnect() -> None:
    d = anchored().disconnected().connected("b")
    assert d.snapshot(110) is ANCHORED
    assert d.feed.state == "ok"


def test_lower_ids_after_a_reconnect_are_a_new_sequence() -> None:
    d = anchored().disconnected().connected("b")
    assert d.snapshot(50) is WAITING
    assert d.update(51, 52, "b", time_us=200_000) is STEPPED
    assert d.feed.epoch == 1
    assert [h.reason for h in d.holes] == ["sequence_reset"]
    assert (d.feed.state, d.feed.last_id) == ("ok", 52)


def test_lower_ids_after_a_reconnect_then_the_snapshot() -> None:
    d = anchored().disconnected().connected("b")
    assert d.update(51, 52, "b", time_us=200_000) is GAP
    assert d.update(53, 53, "b", time_us=201_000) is HELD
    assert d.snapshot(52) is ANCHORED
    assert (d.feed.epoch, d.feed.last_id) == (1, 53)


def test_old_ids_with_old_times_after_a_reconnect_are_repeats() -> None:
    d = anchored().disconnected().connected("b")
    assert d.update(106, 110, "b", time_us=110_000) is DUPLICATE
    assert d.update(111, 111, "b") is APPLY
    assert d.feed.epoch == 0


def test_lower_ids_much_later_are_a_new_sequence_even_without_a_reconnect() -> None:
    d = anchored()
    assert d.update(3, 4, time_us=110_000 + 900_000) is DUPLICATE
    assert d.update(3, 4, time_us=110_000 + 1_100_000) is GAP
    assert d.feed.epoch == 1


@pytest.mark.parametrize("reconnects", [False, True])
def test_the_newest_id_again_is_a_repeat_at_any_time(reconnects: bool) -> None:
    d = anchored()
    if reconnects:
        d.disconnected().connected("b")
    assert d.update(106, 110, time_us=9_000_000) is DUPLICATE
    assert d.update(111, 111) is APPLY
    assert d.feed.epoch == 0


def test_records_of_connections_delivered_again_change_nothing() -> None:
    d = anchored().connected("a").disconnected("zzz")
    assert d.feed.state == "ok"
    assert d.update(111, 111) is APPLY


# --- overlap ---------------------------------------------------------------------------------------


def test_a_rotation_with_overlap_needs_no_snapshot() -> None:
    d = anchored().connected("b", overlaps=True)
    assert d.update(111, 113, "a") is APPLY
    assert d.update(112, 112, "b") is DUPLICATE
    assert d.update(113, 116, "b") is APPLY
    assert d.update(114, 115, "a") is DUPLICATE
    d.disconnected("a")
    assert d.feed.state == "ok"
    assert d.update(117, 117, "b") is APPLY


def test_a_faster_new_connection_waits_for_the_old_one() -> None:
    d = anchored().connected("b", overlaps=True)
    assert d.update(113, 114, "b") is AHEAD
    assert d.update(113, 114, "b") is DUPLICATE
    assert d.update(111, 112, "a") is STEPPED
    assert d.feed.last_id == 114
    assert d.passed_on[-2:] == [(113, 114), (111, 112)]
    assert d.holes == []


@pytest.mark.parametrize("how", ["passed", "disconnected", "too_many"])
def test_a_skip_that_nobody_can_fill_is_a_gap(how: str) -> None:
    d = anchored().connected("b", overlaps=True)
    assert d.update(113, 114, "b") is AHEAD
    if how == "passed":
        assert d.update(115, 116, "a") is AHEAD
    elif how == "disconnected":
        d.disconnected("a")
    else:
        for i in range(AHEAD_MAX):
            d.update(115 + i, 115 + i, "b")
    assert [(h.first_missing, h.last_missing) for h in d.holes] == [(111, 112)]
    assert d.feed.state == "resyncing"
    assert d.snapshot(112) is ANCHORED


# --- a venue that chains by the previous id and forbids to chain across connections --------------------


class ByPrevious:
    chains_across_connections = False
    consecutive_ids = False

    def check(self, last_id: int, first: int, last: int, prev: int | None) -> Verdict:
        if last <= last_id:
            return Verdict.DROP
        return Verdict.APPLY if prev == last_id else Verdict.GAP

    def bridge(self, snapshot_id: int, first: int, last: int, prev: int | None) -> Verdict:
        if last < snapshot_id:
            return Verdict.DROP
        return Verdict.APPLY if first <= snapshot_id else Verdict.GAP


def test_previous_id_chain() -> None:
    feed: BookFeed[None] = BookFeed(ByPrevious())
    feed.connected("a")
    assert feed.update(10, 20, 5, 1, None, "a") is HELD
    assert feed.update(25, 30, 20, 2, None, "a") is HELD
    assert feed.snapshot(26, None, "a") is ANCHORED
    assert feed.update(40, 44, 30, 3, None, "a") is APPLY
    assert feed.update(60, 61, 50, 4, None, "a") is GAP
    hole = feed.steps[0]
    assert isinstance(hole, Hole)
    assert (hole.first_missing, hole.last_missing, hole.missing_count) == (45, 50, 0)
    assert feed.snapshot(60, None, "a") is ANCHORED
    feed.disconnected("a")
    feed.connected("b")
    assert feed.last_id is None
    assert feed.snapshot(61, None, "a") is STALE
    assert feed.update(62, 63, 61, 5, None, "b") is HELD
    assert feed.steps == []
    assert feed.needs_snapshot


# --- any sequence of events ------------------------------------------------------------------------

OPERATIONS = st.lists(
    st.one_of(
        st.tuples(st.just("deliver"), st.integers(0, 1), st.integers(1, 4)),
        st.tuples(st.just("deliver"), st.integers(0, 1), st.integers(1, 4)),
        st.tuples(st.just("lose"), st.integers(0, 1), st.integers(1, 4)),
        st.tuples(st.just("repeat"), st.integers(0, 1), st.integers(1, 4)),
        st.tuples(st.just("overlap"), st.integers(0, 5), st.just(0)),
        st.tuples(st.just("reconnect"), st.booleans(), st.integers(0, 3)),
        st.tuples(st.just("disconnect"), st.integers(0, 1), st.just(0)),
        st.tuples(st.just("snapshot"), st.integers(-3, 8), st.just(0)),
        st.tuples(st.just("snapshot"), st.integers(-3, 8), st.just(0)),
        st.tuples(st.just("reload"), st.just(0), st.just(0)),
    ),
    max_size=60,
)


@given(OPERATIONS, st.sampled_from([4, 100]))
@settings(max_examples=200, deadline=None)
def test_never_a_wrong_book_and_never_a_silent_loss(operations: list[tuple[str, int, int]], buffer_max: int) -> None:
    """Two connections of one venue, each in order, with losses, repeats and reconnects in between.

    The driver asserts that each update applied continues the book. Here: what was passed on and what was reported
    missing cover the stream without a rest, and nothing that was passed on before was called missing.
    """
    d = Driver(buffer_max)
    at: dict[str, int] = {}  # each live connection's place in the stream
    end = 100  # the venue's newest id
    made = 0
    for what, a, b in operations:
        conns = list(at)
        conn = conns[int(a) % len(conns)] if conns else ""
        if what in ("deliver", "lose", "repeat") and conn:
            first, last = at[conn] + 1, at[conn] + b
            if what == "repeat":
                first, last = max(1, at[conn] - b), at[conn]
            else:
                at[conn] = last
                end = max(end, last)
            if what != "lose" and first <= last:
                d.update(first, last, conn)
        elif what == "overlap" and conn and len(at) < 2:
            made += 1
            at[f"c{made}"] = end - a
            d.connected(f"c{made}", overlaps=True)
        elif what == "reconnect":
            if a:
                for old in conns:
                    d.disconnected(old)
            made += 1
            end += b
            at = {f"c{made}": end}
            d.connected(f"c{made}")
        elif what == "disconnect" and conn:
            del at[conn]
            d.disconnected(conn)
        elif what == "snapshot":
            d.snapshot(end - a)
        elif what == "reload":
            d.reload()
    covered = {i for first, last in d.passed_on for i in range(first, last + 1)}
    missing: set[int] = set()
    for hole in d.holes:
        if hole.filled_count == 0:
            missing |= set(range(hole.first_missing, hole.last_missing + 1))
    if d.passed_on:
        assert d.feed.head is not None
        start = min(covered)
        assert set(range(start, d.feed.head + 1)) == {i for i in covered | missing if i <= d.feed.head}
