"""Books that come whole through their stream: what is done for them, and when."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from ingest.books import Books
from ingest.metrics import Metrics
from ingest.pools import LocalLedger, Pools
from ingest.records import Records
from ingest.recovery import TRIES, Action, StreamRecovery, Way
from ingest.rest import Rest
from runtime.config.ingest import Ingest
from runtime.config.stores import Environment
from tests.ingest.ingest_kit import RECV_NS, Log
from tests.ingest.ingest_toy import LIMITS, ToyProtocol, toy_venue, update
from venues.contract import BookRecovery

RENEW, REQUEST, REST = BookRecovery.RESUBSCRIBE, BookRecovery.REQUEST, BookRecovery.REST


def recovery(way: BookRecovery = RENEW, fallback: BookRecovery | None = None) -> StreamRecovery:
    return StreamRecovery(way, fallback, 10.0, lambda: 0.5)


def run(r: StreamRecovery, seconds: float, begin_s: float = 0.0) -> list[tuple[float, Way]]:
    """What is done in that time for a book that stays without an anchor."""
    out = []
    for tick in range(int(seconds * 10)):
        now_s = begin_s + tick / 10
        r.need("A", "c1", now_s)
        out += [(now_s, action.way) for action in r.due(now_s)]
    return out


def test_at_once_then_ever_more_slowly_then_a_fresh_connection() -> None:
    done = run(recovery(), 2_000)
    assert [way for _, way in done][: TRIES + 1] == [Way.RENEW] * TRIES + [Way.ROTATE]
    times = [at_s for at_s, _ in done]
    waits = [b - a for a, b in itertools.pairwise(times)]
    assert times[0] == 0
    assert all(after > before - 0.2 for before, after in itertools.pairwise(waits))
    assert len(done) < 15


def test_requests_are_a_second_apart_at_least() -> None:
    done = run(recovery(REQUEST), 600)
    assert {way for _, way in done} == {Way.REQUEST, Way.ROTATE}
    assert min(b[0] - a[0] for a, b in itertools.pairwise(done)) >= 1.0
    assert len(done) > 8


def test_the_venues_other_way_after_repeated_failures() -> None:
    assert [way for _, way in run(recovery(fallback=REST), 200)][TRIES] is Way.REST


def test_a_book_that_keeps_breaking_is_slowed_down_a_healthy_one_is_not() -> None:
    r, done = recovery(), 0
    for tick in range(1_200):
        now_s = tick / 10
        r.need("A", "c1", now_s)
        if r.due(now_s):
            done += 1
            r.settled("A", True, now_s)
    assert done < 10
    r.settled("A", True, 200.0)
    r.need("A", "c1", 300.0)
    assert r.due(300.0) == [Action("A", "c1", Way.RENEW)]


def test_only_a_whole_book_settles_a_demand() -> None:
    r = recovery()
    assert r.demand("A", "c1", 0.0)
    assert not r.demand("A", "c1", 0.1)
    r.settled("A", False, 0.2)
    assert r.due(0.3) == [Action("A", "c1", Way.RENEW)]
    r.settled("A", True, 0.4)
    assert r.due(100.0) == []
    assert r.demand("A", "c1", 1.0)
    assert r.due(1.0) == []  # never more often than the interval
    assert r.due(10.1) == [Action("A", "c1", Way.RENEW)]


class Bench:
    """Books of the toy venue; what is done to connections is written down."""

    def __init__(self, way: BookRecovery = RENEW, fallback: BookRecovery | None = None, joined: bool = False) -> None:
        self.done: list[tuple[str, str, str]] = []
        self.log, self.metrics = Log(), Metrics()
        venue = toy_venue(ToyProtocol(way, fallback), joined=joined)
        records = Records(Environment(), "toy", "perp")
        pools = Pools(LocalLedger(LIMITS.rest_pools, 1.0))
        rest = Rest("http://127.0.0.1:9", venue.protocol, pools, self.metrics, ("toy", "perp"), None, 1.0)
        settings = Ingest(snapshot_demand_interval_s=0.0)
        self.books = Books(venue, rest, records, self.log.add, self.metrics, settings, self)
        self.now_s = 1e6  # later than the monotonic clock the books read

    def renew_book(self, conn: str, symbol: str) -> bool:
        self.done.append(("renew", conn, symbol))
        return True

    def request_book(self, conn: str, symbol: str) -> bool:
        self.done.append(("request", conn, symbol))
        return True

    def rotate(self, conn: str) -> None:
        self.done.append(("rotate", conn, ""))

    def seq_of(self, conn: str) -> int:
        return len(conn)

    def frame(self, first: int, last: int | None = None, whole: bool = False, conn: str = "c1") -> None:
        self.books.on_frame("A", conn, update("A", first, last, whole), RECV_NS)

    def act(self) -> list[tuple[str, str, str]]:
        self.now_s += 1_000
        self.books.tick(self.now_s)
        done, self.done = self.done, []
        return done

    def outcome(self, name: str) -> int:
        return self.metrics.counted("snapshots", "toy", "perp", name)


def begun(*args: Any, **more: Any) -> Bench:
    b = Bench(*args, **more)
    b.books.on_connected("A", "c1", False)
    return b


def test_a_stream_that_begins_with_its_book_needs_nothing() -> None:
    b = begun()
    b.frame(10, 10, whole=True)
    b.frame(11)
    assert b.act() == []
    assert b.books.waiting == 0
    assert b.outcome("stream_anchored") == 1


def test_a_gap_renews_the_stream_on_its_connection() -> None:
    b = begun()
    b.frame(10, whole=True)
    b.frame(15)
    assert b.books.waiting == 1
    assert b.act() == [("renew", "c1", "A")]
    assert b.metrics.counted("book_gaps", "toy", "perp") == 1
    b.frame(20, whole=True)
    b.frame(21)
    assert b.books.waiting == 0
    assert b.act() == []


def test_a_stream_that_begins_with_an_update_is_renewed_or_goes_another_way() -> None:
    b = begun()
    b.frame(11)
    assert b.act() == [("renew", "c1", "A")]
    other = begun(fallback=REST)
    other.frame(11)
    assert other.act() == []
    assert "A" in other.books.snapshots._queue  # a REST snapshot is wanted
    other.books.on_connected("A", "c2", False)
    other.frame(50, whole=True, conn="c2")
    other.frame(55, conn="c2")
    assert other.act() == [("renew", "c2", "A")]  # a new connection begins as it should


def test_resubscriptions_that_bring_no_book_end_in_rest() -> None:
    b = begun(fallback=REST)
    b.frame(10, whole=True)
    for n in range(20, 20 + 2 * TRIES, 2):
        b.frame(n)
        assert b.act() == [("renew", "c1", "A")]
    b.frame(90)
    assert b.act() == []
    assert b.metrics.counted("book_recoveries", "toy", "perp", "rest") == 1
    assert "A" in b.books.snapshots._queue


def test_the_book_is_asked_for_after_a_first_update_and_joined_by_ids() -> None:
    b = begun(REQUEST, joined=True)
    assert b.act() == []
    b.frame(11)
    assert b.act() == [("request", "c1", "A")]
    b.frame(12)
    b.frame(5, whole=True)  # too old for the updates held
    assert b.outcome("stream_too_old") == 1
    assert b.act() == [("request", "c1", "A")]
    b.frame(11, whole=True)
    b.frame(13)
    assert b.books.waiting == 0
    assert b.act() == []


def test_a_processor_that_found_the_book_wrong_gets_a_new_one_through_the_stream() -> None:
    b = begun()
    b.frame(10, whole=True)
    b.frame(11)
    b.books.demand("A", "")
    b.frame(12)
    assert b.act() == [("renew", "c1", "A")]
    b.frame(30, whole=True)
    assert b.act() == []
    b.books.demand("NOBODY", "")
    counted = b.metrics.counted
    assert counted("snapshot_requests", "toy", "perp", "taken") == 1
    assert counted("snapshot_requests", "toy", "perp", "not_subscribed") == 1


def test_the_old_connection_is_needed_until_the_new_ones_books_are_anchored() -> None:
    b = begun()
    b.frame(10, whole=True)
    assert b.books.anchored("c1")
    b.books.on_connected("A", "c2", True)
    b.frame(500, conn="c2")
    assert not b.books.anchored("c2")
    assert b.act() == [("renew", "c2", "A")]
    b.frame(510, whole=True, conn="c2")
    assert b.books.anchored("c2")
    b.books.on_disconnected("A", "c1", "rotation")
    b.frame(511, conn="c2")
    assert b.books.waiting == 0
    assert b.act() == []


def test_where_ids_belong_to_the_symbol_nothing_has_to_be_waited_for() -> None:
    b = begun(joined=True)
    b.frame(10, whole=True)
    b.books.on_connected("A", "c2", True)
    assert b.books.anchored("c2")


@pytest.mark.parametrize("reason", ["unsubscribed", "closed 1006"])
def test_a_book_without_a_connection_is_left_alone(reason: str) -> None:
    b = begun()
    b.frame(10, whole=True)
    b.frame(15)
    b.books.on_disconnected("A", "c1", reason)
    assert b.act() == []
