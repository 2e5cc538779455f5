from __future__ import annotations

from itertools import pairwise

from ingest.snapshot_queue import HEALTHY_S, Pick, SnapshotQueue, Why


def queue(deepens: bool = True) -> SnapshotQueue:
    return SnapshotQueue(1000, 5000, 1800.0, 10.0, lambda: 0.5, deepens)


def take(q: SnapshotQueue, now_s: float) -> Pick | None:
    pick = q.next(now_s)
    if pick is not None:
        q.started(pick.symbol, pick.why, now_s)
    return pick


def anchored(q: SnapshotQueue, symbol: str, now_s: float) -> None:
    q.need(symbol, now_s)
    assert take(q, now_s) is not None
    q.succeeded(symbol, Why.ANCHOR, now_s)


def test_nothing_is_fetched_before_it_is_needed() -> None:
    assert queue().next(0.0) is None


def test_shallow_first_then_deep_then_on_schedule() -> None:
    q = queue()
    q.need("A", 0.0)
    assert take(q, 0.0) == Pick("A", 1000, 1.0, Why.ANCHOR)
    assert q.next(0.1) is None  # on its way
    q.succeeded("A", Why.ANCHOR, 0.2)
    assert take(q, 0.3) == Pick("A", 5000, 0.5, Why.DEEPEN)
    q.succeeded("A", Why.DEEPEN, 0.5)
    assert q.next(1_000.0) is None
    assert take(q, 1_801.0) == Pick("A", 5000, 0.5, Why.REANCHOR)


def test_books_without_an_anchor_go_before_deepening() -> None:
    q = queue()
    anchored(q, "A", 0.0)
    q.need("C", 2.0)
    q.need("B", 1.0)
    assert [take(q, 3.0), take(q, 3.0), take(q, 3.0)] == [
        Pick("B", 1000, 1.0, Why.ANCHOR), Pick("C", 1000, 1.0, Why.ANCHOR), Pick("A", 5000, 0.5, Why.DEEPEN),
    ]  # fmt: skip


def test_updates_that_keep_asking_do_not_fetch_twice() -> None:
    q = queue()
    q.need("A", 0.0)
    assert take(q, 0.0) is not None
    for tenth in range(5):
        q.need("A", tenth / 10)
        assert q.next(tenth / 10) is None
    q.succeeded("A", Why.ANCHOR, 0.5)
    pick = q.next(0.6)
    assert pick is not None
    assert pick.why is Why.DEEPEN


def test_too_old_is_retried_ever_more_slowly() -> None:
    q = queue()
    q.need("A", 0.0)
    now_s, waits = 0.0, []
    for _ in range(8):
        assert take(q, now_s) is not None
        q.failed("A", Why.ANCHOR, now_s)
        begin_s = now_s
        while q.next(now_s) is None:
            now_s += 0.05
        waits.append(now_s - begin_s)
    assert waits[0] < 0.6
    assert all(after > before - 0.1 for before, after in pairwise(waits))
    assert 15 < waits[-1] <= 30


def test_a_book_lost_after_a_healthy_time_is_fetched_at_once() -> None:
    q = queue()
    anchored(q, "A", 0.0)
    q.need("A", HEALTHY_S + 1)
    assert q.next(HEALTHY_S + 1) == Pick("A", 1000, 1.0, Why.ANCHOR)


def test_a_book_that_keeps_breaking_is_slowed_down() -> None:
    q, now_s, fetches = queue(), 0.0, 0
    q.need("A", now_s)
    while now_s < 120:
        if (pick := take(q, now_s)) is not None:
            fetches += 1
            q.succeeded("A", pick.why, now_s)
            q.need("A", now_s + 0.05)
        now_s += 0.1
    assert fetches < 15  # not 1,200


def test_a_failed_deepening_does_not_delay_a_lost_book() -> None:
    q = queue()
    anchored(q, "A", 0.0)
    assert take(q, 40.0) == Pick("A", 5000, 0.5, Why.DEEPEN)
    q.failed("A", Why.DEEPEN, 40.0)
    assert q.next(40.1) is None
    q.need("A", 40.2)
    assert q.next(40.2) == Pick("A", 1000, 1.0, Why.ANCHOR)


def test_demand_is_rate_limited_per_book_and_not_forgotten() -> None:
    q = queue()
    anchored(q, "A", 0.0)
    assert q.demand("A", 1.0)
    assert not q.demand("A", 1.1)
    assert take(q, 1.2) == Pick("A", 1000, 1.0, Why.DEMAND)
    assert not q.demand("A", 1.3)
    q.succeeded("A", Why.DEMAND, 1.5)
    assert q.demand("A", 2.0)
    while (pick := take(q, 2.0)) is not None:
        assert pick.why is not Why.DEMAND
        q.succeeded("A", pick.why, 2.0)
    assert take(q, 11.3) == Pick("A", 1000, 1.0, Why.DEMAND)
    q.succeeded("A", Why.DEMAND, 11.4)
    assert q.demand("A", 11.5)  # the snapshot did not help
    assert q.next(31.2) is None
    assert take(q, 31.4) == Pick("A", 1000, 1.0, Why.DEMAND)


def test_a_book_without_a_connection_is_not_fetched_until_an_update_asks() -> None:
    q = queue()
    anchored(q, "A", 0.0)
    assert take(q, 1.0) == Pick("A", 5000, 0.5, Why.DEEPEN)
    q.dropped("A", 1.1)  # the socket went while it was on its way
    assert q.next(10_000.0) is None
    q.need("A", 10_000.0)
    assert take(q, 10_000.0) == Pick("A", 1000, 1.0, Why.ANCHOR)
    q.succeeded("A", Why.ANCHOR, 10_000.1)
    q.lost("A", 10_100.0)
    assert q.next(20_000.0) is None


def test_500_books_are_anchored_in_under_five_minutes() -> None:
    """Within 0.85 of Binance's 6,000 weight a minute, at 50 a snapshot."""
    from ingest.budget import WeightBudget

    q, budget, now_s, done, per_minute = queue(), WeightBudget(6000, 0.85), 0.0, 0, [0] * 6
    for n in range(500):
        q.need(f"S{n}", 0.0)
    while done < 500:
        pick = q.next(now_s)
        assert pick is not None
        weight = 50 if pick.levels == 1000 else 250
        if budget.wait_s(weight, now_s, pick.share) > 0:
            now_s += 0.25
            continue
        q.started(pick.symbol, pick.why, now_s)
        budget.spend(weight, now_s)
        per_minute[int(now_s // 60)] += weight
        q.succeeded(pick.symbol, pick.why, now_s)
        done += pick.why is Why.ANCHOR
    assert now_s < 300
    assert max(per_minute) <= 6000


def test_forgotten_books_are_gone() -> None:
    q = queue()
    q.need("A", 0.0)
    q.forget("A")
    assert q.next(1.0) is None
    assert "A" not in q


def test_books_of_the_stream_are_not_deepened() -> None:
    q = queue(deepens=False)
    anchored(q, "A", 0.0)
    assert q.next(100_000.0) is None
    q.need("A", 100_000.0)
    assert q.next(100_000.0) == Pick("A", 1000, 1.0, Why.ANCHOR)
