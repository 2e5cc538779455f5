from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.budget import BANNED_WAIT_S, REFUSED_WAIT_S, WeightBudget, retry_after_s
from ingest.pacing import Backoff, Repeats, Window


@pytest.mark.parametrize(("jitter", "delays"), [(0.0, [0.5, 1, 2, 4, 8, 15, 15]), (0.999999, [1, 2, 4, 8, 16, 30, 30])])
def test_backoff_grows_to_its_bound(jitter: float, delays: list[float]) -> None:
    backoff = Backoff(1.0, 30.0, lambda: jitter)
    assert [backoff.next_delay_s() for _ in delays] == pytest.approx(delays, rel=1e-5)
    backoff.reset()
    assert backoff.next_delay_s() == pytest.approx(delays[0], rel=1e-5)


def test_backoff_never_overflows() -> None:
    backoff = Backoff(1.0, 30.0, lambda: 0.5)
    for _ in range(5_000):
        assert backoff.next_delay_s() <= 30.0


def test_what_is_asked_for_again_and_again_is_done_ever_more_rarely() -> None:
    repeats, now_s, done = Repeats(10.0, 300.0, 30.0), 5.0, []
    for _ in range(8):
        now_s = repeats.next_s(now_s)
        repeats.done(now_s)
        done.append(now_s - 5.0)
    assert done == [0, 10, 30, 70, 150, 310, 610, 910]
    assert repeats.next_s(now_s + 331) == now_s + 331  # calm until now
    repeats.done(now_s + 331)
    assert repeats.next_s(now_s + 332) == now_s + 341


@given(st.integers(1, 5), st.lists(st.integers(0, 32).map(lambda n: n / 64), max_size=80))
def test_window_never_exceeds_its_limit(limit: int, waits: list[float]) -> None:
    window, now_s, taken = Window(limit, 1.0), 0.0, []
    for wait_s in waits:
        now_s += wait_s
        if window.wait_s(now_s) <= 0:
            window.take(now_s)
            taken.append(now_s)
    for at_s in taken:
        assert sum(1 for t in taken if at_s - 1.0 < t <= at_s) <= limit


@given(st.lists(st.tuples(st.integers(0, 1280).map(lambda n: n / 64), st.sampled_from([5, 20, 50, 250])), max_size=100))
def test_budget_holds_in_any_minute(requests: list[tuple[float, int]]) -> None:
    budget, now_s, spent = WeightBudget(600, 0.85), 0.0, []
    for wait_s, weight in requests:
        now_s += wait_s
        if budget.wait_s(weight, now_s) <= 0:
            budget.spend(weight, now_s)
            spent.append((now_s, weight))
    for at_s, _ in spent:
        assert sum(w for t, w in spent if at_s - 60 < t <= at_s) <= 510


@pytest.mark.parametrize("pods", [2, 8, 40])
def test_pods_that_divide_a_small_pool_stay_within_it_together(pods: int) -> None:
    budgets, now_s, spent = [WeightBudget(5, 0.85 / pods, 2.0) for _ in range(pods)], 0.0, []
    while now_s < 60:
        for budget in budgets:
            if budget.wait_s(1, now_s) <= 0:
                budget.spend(1, now_s)
                spent.append(now_s)
        now_s += 0.25
    assert len(spent) <= pods + 5 / 2.0 * 60 * 0.85


def test_a_venue_may_allow_less_and_again_as_much() -> None:
    budget = WeightBudget(6000, 0.5)
    budget.spend(600, 0.0)
    assert budget.allow(0.2)
    assert not budget.allow(0.2)
    assert (budget.allowed, budget.wait_s(1, 1.0)) == (600, 59.0)
    assert budget.allow(1.0)
    assert (budget.allowed, budget.wait_s(1, 1.0)) == (3000, 0.0)


def test_budget_says_when_there_is_room_again() -> None:
    budget = WeightBudget(100, 1.0)
    budget.spend(60, 0.0)
    budget.spend(40, 10.0)
    assert budget.wait_s(50, 20.0) == pytest.approx(40.0)
    assert budget.wait_s(80, 20.0) == pytest.approx(50.0)
    assert budget.wait_s(50, 60.0) == 0


def test_less_urgent_requests_leave_room() -> None:
    budget = WeightBudget(1000, 1.0)
    budget.spend(400, 0.0)
    assert budget.wait_s(250, 1.0, share=0.5) > 0
    assert budget.wait_s(250, 1.0) == 0


def test_a_request_heavier_than_its_share_goes_when_nothing_was_spent() -> None:
    budget = WeightBudget(100, 1.0)
    assert budget.wait_s(250, 0.0) == 0
    budget.spend(250, 0.0)
    assert budget.wait_s(1, 30.0) == pytest.approx(30.0)
    assert budget.wait_s(250, 60.0) == 0


def test_what_others_spent_counts() -> None:
    budget = WeightBudget(6000, 0.85)
    budget.spend(20, 0.0)
    budget.observe(5_050, 0.5)
    assert budget.used(0.5) == 5_050
    assert budget.wait_s(100, 1.0) > 0
    budget.observe(40, 1.0)  # the venue's minute turned: our stricter window stays
    assert budget.used(1.0) == 5_050


@pytest.mark.parametrize(
    ("status", "retry_s", "ban_s", "wait_s"),
    [(429, 7.0, None, 7.0), (429, None, None, REFUSED_WAIT_S), (418, None, None, BANNED_WAIT_S),
     (418, 120.0, 300.0, 300.0), (418, None, 90.0, 90.0), (429, 0.0, -5.0, REFUSED_WAIT_S),
     (200, None, -1_790_000_000.0, REFUSED_WAIT_S)],
)  # fmt: skip
def test_refusals_are_obeyed(status: int, retry_s: float | None, ban_s: float | None, wait_s: float) -> None:
    budget = WeightBudget(6000, 0.85)
    assert budget.refused(status, retry_s, ban_s, 100.0) == wait_s
    assert budget.wait_s(1, 100.0) == pytest.approx(wait_s)
    assert budget.wait_s(1, 100.0 + wait_s) == 0


def test_a_shorter_order_does_not_shorten_a_longer_one() -> None:
    budget = WeightBudget(6000, 0.85)
    budget.refused(418, 600.0, None, 0.0)
    budget.refused(429, 1.0, None, 1.0)
    assert budget.wait_s(1, 2.0) == pytest.approx(598.0)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("5", 5.0), ("0.5", 0.5), (None, None), ("", None), ("soon", None), ("inf", None), ("nan", None)],
)
def test_retry_after(header: str | None, seconds: float | None) -> None:
    assert retry_after_s(header) == seconds
