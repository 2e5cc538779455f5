"""Books that live in their stream: whole books in mid-stream, chains per connection, moves from one to the other."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from marketdata.book_feed import (
    BUFFER_MAX,
    RESET_MARGIN_US,
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
from marketdata.book_overlap import OverlapFeed, load_feed, new_feed


class Chained:
    """Each update names its predecessor; ids mean something within their connection only."""

    chains_across_connections = False
    consecutive_ids = False

    def check(self, last_id: int, first: int, last: int, prev: int | None) -> Verdict:
        if last <= last_id:
            return Verdict.DROP
        return Verdict.APPLY if prev == last_id else Verdict.GAP

    bridge = check


class Shared(Chained):
    """The same with ids that belong to the symbol, and resets as the venue announces them."""

    chains_across_connections = True

    def check(self, last_id: int, first: int, last: int, prev: int | None) -> Verdict:
        if prev == last_id:
            return Verdict.APPLY if last >= last_id else Verdict.RESET
        return Verdict.DROP if last <= last_id else Verdict.GAP

    bridge = check


Feed = BookFeed[bytes]


def fresh(rules: Chained, *conns: str) -> Feed:
    feed: Feed = new_feed(rules)
    for conn in conns:
        feed.connected(conn)
    return feed


def names(feed: Feed) -> list[str]:
    return [type(step).__name__ for step in feed.steps]


def told(feed: Feed) -> tuple[str, ...]:
    """State and live connections."""
    return (feed.state, *feed.connections)


def test_the_streams_first_frame_is_the_book_at_once() -> None:
    feed = fresh(Chained(), "a")
    assert not feed.needs_snapshot, "nothing came yet: the stream brings its own"
    assert feed.stream_snapshot(10, 1_000, b"s", "a") is SnapshotVerdict.ANCHORED
    assert (feed.state, feed.last_id, names(feed)) == ("ok", 10, ["Replace"])
    assert feed.update(11, 11, 10, 1_100, b"u", "a") is Outcome.APPLY


def test_an_update_before_any_whole_book_asks_for_one() -> None:
    feed = fresh(Chained(), "a")
    assert feed.update(11, 11, 10, 1, b"u", "a") is Outcome.HELD
    assert feed.needs_snapshot
    assert feed.snapshot_conn == "a"


def test_after_a_gap_updates_are_held_until_the_stream_begins_anew() -> None:
    feed = fresh(Shared(), "a")
    feed.stream_snapshot(10, 1, b"s", "a")
    assert feed.update(14, 14, 13, 2, b"u", "a") is Outcome.GAP
    assert feed.steps == [Hole(11, 13, 0, "id_skip", 0, False, 1, 2)]
    assert feed.update(15, 15, 14, 3, b"v", "a") is Outcome.HELD
    feed.stream_snapshot(19, 4, b"t", "a")
    assert feed.steps == [Hole(16, 19, 0, "resubscribed", 0, False, 3, 4), Replace(19, b"t")]
    assert (feed.state, feed.epoch) == ("ok", 0)


def test_the_same_whole_book_again_says_that_nothing_is_missing() -> None:
    feed = fresh(Shared(), "a")
    feed.stream_snapshot(10, 1, b"s", "a")
    feed.stream_snapshot(10, 2, b"s", "a")
    assert names(feed) == ["Replace"]


@pytest.mark.parametrize(
    ("rules", "second", "hole", "epoch"),
    [
        (Shared(), 30, Hole(11, 30, 0, "disconnected", 0, False, 1, 9), 0),
        (Shared(), 10, None, 0),
        (Shared(), 4, Hole(0, -1, 0, "sequence_reset", 0, False, 1, 9), 1),
        (Chained(), 30, Hole(0, -1, 0, "disconnected", 0, False, 1, 9), 0),
        (Chained(), 10, Hole(0, -1, 0, "disconnected", 0, False, 1, 9), 0),
        (Chained(), 4, Hole(0, -1, 0, "disconnected", 0, False, 1, 9), 1),
    ],
)
def test_what_lies_between_two_connections_is_missing(
    rules: Chained, second: int, hole: Hole | None, epoch: int
) -> None:
    feed = fresh(rules, "a")
    feed.stream_snapshot(10, 1, b"s", "a")
    feed.disconnected("a", "closed")
    assert feed.state == "disconnected"
    feed.connected("b")
    feed.stream_snapshot(second, 9, b"t", "b")
    assert feed.steps == ([] if hole is None else [hole]) + [Replace(second, b"t")]
    assert (feed.state, feed.epoch, feed.last_id) == ("ok", epoch, second)


def test_an_announced_reset_continues_the_book_in_a_new_epoch() -> None:
    feed = fresh(Shared(), "a")
    feed.stream_snapshot(15, 1, b"s", "a")
    assert feed.update(15, 15, 15, 2, b"alive", "a") is Outcome.APPLY
    assert feed.update(3, 3, 15, 3, b"reset", "a") is Outcome.APPLY
    assert (feed.epoch, feed.last_id, feed.state) == (1, 3, "ok")
    assert feed.update(5, 5, 3, 4, b"u", "a") is Outcome.APPLY
    assert feed.epoch == 1


def test_with_shared_ids_a_second_connections_whole_book_loses_no_update() -> None:
    feed = fresh(Shared(), "a")
    feed.stream_snapshot(10, 1, b"s", "a")
    feed.connected("b", overlaps=True)
    assert feed.stream_snapshot(12, 2, b"t", "b") is SnapshotVerdict.WAITING
    assert feed.update(12, 12, 10, 2, b"u", "a") is Outcome.STEPPED
    assert feed.update(13, 13, 12, 3, b"v", "b") is Outcome.APPLY
    assert feed.update(13, 13, 12, 3, b"v", "a") is Outcome.DUPLICATE


def overlapping() -> OverlapFeed[bytes]:
    feed = fresh(Chained(), "a")
    feed.stream_snapshot(10, 10, b"s", "a")
    feed.update(11, 11, 10, 11, b"a11", "a")
    feed.connected("b", overlaps=True)
    assert isinstance(feed, OverlapFeed)
    return feed


def test_the_book_moves_to_the_newer_connection_when_that_has_one() -> None:
    feed = overlapping()
    assert feed.connections == ("a", "b")
    assert not feed.anchored("b")
    assert feed.update(12, 12, 11, 12, b"a12", "a") is Outcome.APPLY, "until then the old one goes on"
    feed.stream_snapshot(3, 13, b"t", "b")
    assert feed.steps == [Replace(3, b"t")]
    assert feed.anchored("b")
    assert (feed.state, feed.last_id, feed.epoch) == ("ok", 3, 1), "its ids are lower: a new epoch"
    assert feed.update(13, 13, 12, 13, b"a13", "a") is Outcome.DUPLICATE
    assert feed.update(4, 4, 3, 14, b"b4", "b") is Outcome.APPLY
    feed.disconnected("a", "rotation")
    assert told(feed) == ("ok", "b")


def test_a_rest_book_for_the_newer_connection_moves_the_book_with_what_was_held() -> None:
    feed = overlapping()
    assert feed.update(13, 13, 12, 13, b"b13", "b") is Outcome.DUPLICATE
    assert feed.needs_snapshot
    assert feed.snapshot_conn == "b"
    feed.update(12, 12, 11, 12, b"a12", "a")
    feed.snapshot(12, b"rest", "b")
    kinds = names(feed)
    assert kinds[:2] == ["Replace", "Apply"]
    assert [s.update.payload for s in feed.steps if isinstance(s, Emerge)] == [b"b13"], "the old one had not said it"
    assert (feed.last_id, feed.epoch) == (13, 0)


LATER = 11 + RESET_MARGIN_US


@pytest.mark.parametrize(
    ("change_id", "time_us", "missing"),
    [(50, LATER + 1, [(11, LATER + 1)]), (11, LATER + 1, []), (50, LATER, [])],
    ids=["silent before", "still the book it had", "as far apart as servers are"],
)
def test_what_a_silent_connection_missed_before_another_opened_is_a_hole(
    change_id: int, time_us: int, missing: list[tuple[int, int]]
) -> None:
    feed = overlapping()
    assert feed.stream_snapshot(change_id, time_us, b"t", "b") is SnapshotVerdict.ANCHORED
    holes = [step for step in feed.steps if isinstance(step, Hole)]
    assert [(hole.from_time_us, hole.to_time_us) for hole in holes] == missing
    assert all(hole.reason == "resubscribed" and hole.book_kept for hole in holes)
    assert names(feed)[-1] == "Replace"


def test_a_hole_before_a_book_from_rest_begins_with_what_the_newer_connection_holds() -> None:
    feed = overlapping()
    feed.update(60, 60, 50, LATER + 1, b"b60", "b")
    feed.snapshot(60, b"rest", "b")
    assert names(feed)[:2] == ["Hole", "Replace"]
    feed = overlapping()
    feed.update(60, 60, 11, LATER + 1, b"b60", "b")
    feed.snapshot(60, b"rest", "b")
    assert "Hole" not in names(feed), "it names the last one of the old connection"


def test_a_reserve_that_remembers_too_little_leaves_a_hole() -> None:
    feed = overlapping()
    for n in range(2 * BUFFER_MAX):
        feed.update(100 + n, 100 + n, 99 + n, LATER + n, b"b", "b")
    feed.disconnected("a", "silent book")
    (hole,) = [step for step in feed.steps if isinstance(step, Hole)]
    assert (hole.from_time_us, hole.to_time_us, hole.book_kept) == (11, LATER + BUFFER_MAX, False)
    assert names(feed) == ["Hole", *["Emerge"] * BUFFER_MAX]


def test_when_the_connection_in_use_dies_the_other_must_anchor() -> None:
    feed = overlapping()
    feed.update(20, 20, 19, 20, b"b20", "b")
    feed.disconnected("a", "closed 1006")
    assert told(feed) == ("resyncing", "b")
    assert feed.needs_snapshot
    assert feed.snapshot_conn == "b"
    assert [s.update.payload for s in feed.steps if isinstance(s, Emerge)] == [b"b20"]
    feed.snapshot(20, b"rest", "b")
    assert feed.update(21, 21, 20, 21, b"b21", "b") in (Outcome.APPLY, Outcome.STEPPED)
    assert told(feed) == ("ok", "b")


def test_when_the_replacement_dies_nothing_changes() -> None:
    feed = overlapping()
    feed.update(20, 20, 19, 20, b"b20", "b")
    feed.disconnected("b", "closed")
    assert (feed.state, feed.connections, feed.needs_snapshot) == ("ok", ("a",), False)
    assert feed.update(12, 12, 11, 12, b"a12", "a") is Outcome.APPLY


def test_the_old_connection_takes_over_again_when_the_new_one_dies_after_the_move() -> None:
    feed = overlapping()
    feed.stream_snapshot(3, 13, b"t", "b")
    feed.update(12, 12, 11, 13, b"a12", "a")
    feed.disconnected("b", "closed")
    assert (feed.state, feed.connections, feed.needs_snapshot) == ("resyncing", ("a",), True)
    feed.stream_snapshot(40, 15, b"w", "a")
    assert (feed.state, feed.last_id) == ("ok", 40)


# --- property: whatever the interleaving, the book is the venue's at the time of its newest update ------------------


def truth(time: int) -> dict[int, int]:
    """The venue's book at a time: key -> newest time that wrote it."""
    return {key: max(t for t in range(time + 1) if t % 5 == key) for key in range(5) if key <= time}


class Book:
    """Keeps levels by the machine's steps as the processor does."""

    def __init__(self, feed: Feed) -> None:
        self.feed = feed
        self.levels: dict[int, int] = {}
        self.time = -1

    def take(self, payload: bytes, outcome: Outcome) -> None:
        if outcome is Outcome.APPLY:
            self._apply(payload)
        else:
            self.steps()

    def steps(self) -> None:
        for step in self.feed.steps:
            if isinstance(step, Replace):
                self.time = int(step.payload)
                self.levels = dict(truth(self.time))
            elif isinstance(step, Apply):
                self._apply(step.update.payload)

    def _apply(self, payload: bytes) -> None:
        low, high = map(int, payload.split(b"-"))
        for t in range(low, high + 1):
            self.levels[t % 5] = t
        self.time = high


def deliver(book: Book, conn: str, offset: int, at: int, before: int) -> None:
    """The connection's next frame: times before+1..at, ids of its own (`offset` makes them unrelated)."""
    payload = f"{before + 1}-{at}".encode()
    outcome = book.feed.update(at + offset, at + offset, before + offset, at, payload, conn)
    book.take(payload, outcome)


@settings(max_examples=150, deadline=None)
@given(
    plan=st.lists(
        st.tuples(
            st.sampled_from("abc"), st.sampled_from(["frame", "frame", "frame", "whole", "skip", "drop", "dump"])
        ),
        max_size=60,
    ),
    offsets=st.tuples(st.integers(0, 50), st.integers(0, 50), st.integers(0, 50)),
)
def test_the_book_is_the_venues_whatever_the_interleaving(
    plan: list[tuple[str, str]], offsets: tuple[int, ...]
) -> None:
    book = Book(new_feed(Chained()))
    shift = dict(zip("abc", offsets, strict=True))
    sent: dict[str, int] = {}
    now = 5
    for conn, what in plan:
        now += 1
        act = ACTS[what]
        act(book, conn, shift[conn], now, sent)
        if book.feed.state == "ok":
            assert book.levels == truth(book.time)
            assert book.feed.last_id is not None
    assert set(book.feed.connections) <= set(sent)


def _whole(book: Book, conn: str, offset: int, now: int, sent: dict[str, int]) -> None:
    if conn not in sent:
        book.feed.connected(conn, overlaps=bool(book.feed.connections))
        book.steps()
    book.feed.stream_snapshot(now + offset, now, str(now).encode(), conn)
    book.steps()
    sent[conn] = now


def _frame(book: Book, conn: str, offset: int, now: int, sent: dict[str, int]) -> None:
    if conn in sent:
        deliver(book, conn, offset, now, sent[conn])
        sent[conn] = now


def _skip(book: Book, conn: str, offset: int, now: int, sent: dict[str, int]) -> None:
    """A frame is lost on the way."""
    if conn in sent:
        sent[conn] = now


def _drop(book: Book, conn: str, offset: int, now: int, sent: dict[str, int]) -> None:
    if sent.pop(conn, None) is not None:
        book.feed.disconnected(conn, "closed")
        book.steps()


def _dump(book: Book, conn: str, offset: int, now: int, sent: dict[str, int]) -> None:
    """The process dies and goes on from its state."""
    blob = msgspec.msgpack.encode(book.feed.dump())
    restored = load_feed(Chained(), msgspec.msgpack.decode(blob, type=FeedDump))
    assert restored.dump() == book.feed.dump()
    book.feed = restored


ACTS: dict[str, Callable[[Book, str, int, int, dict[str, int]], None]] = {
    "frame": _frame, "whole": _whole, "skip": _skip, "drop": _drop, "dump": _dump
}  # fmt: skip


# --- ids that begin anew -------------------------------------------------------------------------------------


def at_107(*others: str) -> Feed:
    """Ids that belong to the symbol; `a`, and the connections beside it, stand at 107."""
    feed = fresh(Shared(), "a")
    feed.stream_snapshot(100, 1_000, b"s", "a")
    feed.update(107, 107, 100, 2_000, b"107", "a")
    for conn in others:
        feed.connected(conn, overlaps=True)
    return feed


def test_a_slower_connections_copies_of_a_reset_and_of_what_was_before_are_duplicates() -> None:
    feed = at_107("b")
    assert feed.update(114, 114, 107, 3_000, b"114", "a") is Outcome.APPLY
    assert feed.update(3, 3, 114, 4_000, b"3", "a") is Outcome.APPLY
    assert feed.update(114, 114, 107, 3_000, b"114", "b") is Outcome.DUPLICATE
    assert feed.stream_snapshot(114, 3_000, b"t", "b") is SnapshotVerdict.STALE
    assert feed.update(3, 3, 114, 4_000, b"3", "b") is Outcome.DUPLICATE
    assert feed.update(5, 5, 3, 5_000, b"5", "b") is Outcome.APPLY
    assert feed.update(5, 5, 3, 5_000, b"5", "a") is Outcome.DUPLICATE
    assert (feed.state, feed.last_id, feed.epoch) == ("ok", 5, 1)


def test_after_a_reset_a_skip_still_waits_for_the_other_connection() -> None:
    feed = at_107("b")
    feed.update(114, 114, 107, 3_000, b"114", "a")
    feed.update(114, 114, 107, 3_000, b"114", "b")
    feed.update(3, 3, 114, 4_000, b"3", "a")
    assert feed.update(9, 9, 5, 6_000, b"9", "b") is Outcome.AHEAD
    assert feed.update(5, 5, 3, 5_000, b"5", "a") is Outcome.STEPPED
    assert (feed.state, feed.last_id) == ("ok", 9)


@pytest.mark.parametrize(("time_us", "verdict"), [(4_499, SnapshotVerdict.TOO_OLD), (4_500, SnapshotVerdict.ANCHORED)])
@pytest.mark.parametrize("announced", [True, False])
def test_a_snapshot_from_before_the_ids_began_anew_is_too_old(
    time_us: int, verdict: SnapshotVerdict, announced: bool
) -> None:
    feed = fresh(Shared(), "a")
    feed.update(5007, 5007, 5000, 3_000, b"5007", "a")
    if announced:
        feed.update(5014, 5014, 5007, 4_000, b"5014", "a")
    assert feed.update(1003, 1003, 5014, 4_500, b"1003", "a") in (Outcome.HELD, Outcome.GAP)
    feed = reloaded(feed)
    assert feed.snapshot(5007 if time_us < 4_500 else 1003, b"rest", "a", time_us) is verdict
    assert feed.needs_snapshot is (verdict is SnapshotVerdict.TOO_OLD)
    assert feed.epoch == 1


def test_a_snapshot_that_waits_for_ids_that_will_not_come_is_forgotten() -> None:
    feed = at_107()
    assert feed.snapshot(110, b"rest", "a", 2_500) is SnapshotVerdict.WAITING
    feed = reloaded(feed)
    assert feed.update(5, 5, 3, 5_000, b"5", "a") is Outcome.GAP, "and the reset itself was lost"
    assert feed.needs_snapshot


@pytest.mark.parametrize(
    ("last", "prev", "time_us", "outcome"),
    [
        (5, 3, 2_001, Outcome.GAP),  # the reset to 3 was lost: what is named is not the head
        (5, 3, 1_999, Outcome.DUPLICATE),
        (103, 100, 2_001, Outcome.GAP),
        (107, 100, 9_000_000, Outcome.DUPLICATE),  # the very id again, whenever
    ],
)
def test_a_lower_id_that_names_another_predecessor(last: int, prev: int, time_us: int, outcome: Outcome) -> None:
    feed = at_107()
    assert feed.update(last, last, prev, time_us, b"u", "a") is outcome
    missing = [Hole(0, -1, 0, "sequence_reset", 0, False, 2_000, time_us)] if outcome is Outcome.GAP else []
    assert (feed.steps, feed.epoch) == (missing, len(missing))


def reloaded(feed: Feed) -> Feed:
    restored = load_feed(feed.rules, msgspec.msgpack.decode(msgspec.msgpack.encode(feed.dump()), type=FeedDump))
    assert restored.dump() == feed.dump()
    return restored


@settings(max_examples=150, deadline=None)
@given(
    steps=st.lists(st.one_of(st.integers(1, 9), st.integers(-9, 0)), max_size=20),
    turns=st.lists(st.sampled_from("ab"), max_size=50),
    joined=st.integers(0, 20),
    cut=st.integers(0, 50),
)
@example(steps=[0, 0, 1, 0, 1, 0], turns=["a", "a", "b", "b", "b"], joined=3, cut=0)  # ids below 0
def test_two_connections_take_every_update_once_however_often_the_ids_begin_anew(
    steps: list[int], turns: list[str], joined: int, cut: int
) -> None:
    """Each delivers all updates in order, `b` from `joined` on. A step up is an update, one down a reset; the ids of
    different sequences lie among each other, and none comes twice."""
    feed = at_107("b")
    stream, head, place = [], 107, 3
    for number, step in enumerate(steps):
        place = place + step if step > 0 else min(place - 1, step)
        prev, head = head, 32 * place + 12 + number
        stream.append((head, prev, 3_000 + number))
    left = {"a": list(stream), "b": stream[joined:]}
    taken: list[int] = []
    for turn, conn in enumerate([*turns, *"a" * len(stream), *"b" * len(stream)]):
        if not left[conn]:
            continue
        if turn == cut:
            feed = reloaded(feed)
        last, prev, time_us = left[conn].pop(0)
        outcome = feed.update(last, last, prev, time_us, b"%d" % time_us, conn)
        if outcome is Outcome.APPLY:
            taken.append(time_us)
        taken += [int(step.update.payload) for step in feed.steps if isinstance(step, Apply)]
        assert not [step for step in feed.steps if isinstance(step, Hole)]
    assert taken == [time_us for _, _, time_us in stream]
    assert feed.last_id == head
    assert feed.epoch == sum(1 for last, prev, _ in stream if last < prev)
