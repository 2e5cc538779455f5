"""What is shown of a value, and what is not."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api import models, queries, views
from api.catalogue import Listed
from api.routes.health import books_behind, judge
from api.stores import Latest
from marketdata import types as t
from tests.api import records as r

NOW = r.T0_MS + 1_000_000
WHOSE = {"environment": "test", "simulated": True, **r.WHOSE}


def shown(*numbers: int, **fields: Any) -> list[models.Kline]:
    return [views.kline(r.kline(n, **fields)) for n in numbers]


def opens(klines: list[models.Kline]) -> list[int]:
    return [(k.open_time - r.T0_MS) // r.MINUTE_MS for k in klines]


@pytest.mark.parametrize("state", ["resyncing", "stale", "crossed"])
def test_a_book_that_is_not_ok_has_no_levels(state: t.BookState) -> None:
    bad = r.book(state=state, reason="gap", verified_time_ns=str((NOW - 5000) * 1_000_000))
    answer = views.book(WHOSE, bad, "live", 20, NOW)
    assert (answer.state, answer.reason, answer.bids, answer.asks) == (state, "gap", [], [])
    assert (answer.bid_known_to, answer.ask_known_to, answer.complete) == ("", "", False)
    assert answer.age_ms == 5000


@pytest.mark.parametrize(
    ("levels", "depth", "known_to", "shown_levels", "complete"),
    [(20, 5, "1", 5, True), (20, 20, "1", 20, True), (20, 50, "1", 20, False), (3, 20, "all", 3, True)],
)
def test_depth(levels: int, depth: int, known_to: str, shown_levels: int, complete: bool) -> None:
    bid, ask = ("0", "inf") if known_to == "all" else ("59000", "61000")
    answer = views.book(WHOSE, r.book(levels=levels, bid_known_to=bid, ask_known_to=ask), "live", depth, NOW)
    assert (len(answer.bids), len(answer.asks), answer.complete) == (shown_levels, shown_levels, complete)
    models.OrderBook.model_validate(answer.model_dump())


def test_a_book_never_verified_has_no_age() -> None:
    assert views.book(WHOSE, r.book(state="resyncing", verified_time_ns=""), "live", 20, NOW).age_ms is None


def test_live_candles_are_added_and_replace_older_versions() -> None:
    live = [r.kline(1, revision=1, status="revised"), r.kline(2, is_closed=False, status="provisional")]
    merged, more = views.merge_klines(shown(0, 1), live, None, None, 10)
    assert (opens(merged), more) == ([0, 1, 2], False)
    assert [k.status for k in merged] == ["final", "revised", "provisional"]


def test_an_older_live_version_does_not_win() -> None:
    stored = shown(0, 1, revision=2)
    merged, _ = views.merge_klines(stored, [r.kline(1, revision=1), r.kline(1, is_closed=False)], None, None, 10)
    assert merged == stored


def test_ids_compare_as_numbers() -> None:
    live = [r.kline(0, last_trade_id="10", is_closed=False, status="provisional")]
    merged, _ = views.merge_klines(shown(0, last_trade_id="9", is_closed=False), live, None, None, 10)
    assert merged[0].last_trade_id == "10"


@pytest.mark.parametrize(
    ("start", "end", "limit", "expected", "more"),
    [
        (None, None, 3, [1, 2, 3], True),
        (0, None, 3, [0, 1, 2], True),  # what lies beyond the stored page belongs to the next page
        (0, None, 4, [0, 1, 2, 3], False),
        (None, 3, 4, [0, 1, 2], False),
        (1, None, 9, [0, 1, 2, 3], False),
    ],
)
def test_live_candles_keep_to_the_range(
    start: int | None, end: int | None, limit: int, expected: list[int], more: bool
) -> None:
    ms = [None if n is None else r.T0_MS + n * r.MINUTE_MS for n in (0 if start == 1 else start, end)]
    merged, cut = views.merge_klines(shown(0, 1, 2), [r.kline(3, is_closed=False)], ms[0], ms[1], limit)
    assert (opens(merged), cut) == (expected, more)


@given(st.sets(st.integers(0, 60), min_size=1))
def test_missing_candles_are_exactly_those_between(minutes: set[int]) -> None:
    found = views.missing_klines(shown(*sorted(minutes)), "1m")
    named = {(ms - r.T0_MS) // r.MINUTE_MS for ms in found}
    assert named | minutes == set(range(min(minutes), max(minutes) + 1))
    assert not named & minutes


def test_missing_candles_are_bounded() -> None:
    assert len(views.missing_klines(shown(0, 5000), "1m")) == views.MISSING_MAX


def test_pages() -> None:
    rows = [(3,), (2,), (1,)]
    assert queries.page(rows, 2, newest_first=True) == queries.Page([(2,), (3,)], True)
    assert queries.page(rows, 3, newest_first=False) == queries.Page([(3,), (2,), (1,)], False)


def latest(**fields: object) -> Latest:
    feeds = {c: r.feed(c) for c in ("trade", "book")}
    base = {"trade": None, "ticker": None, "bbo": r.bbo(), "book": r.book(), "feeds": feeds}
    return Latest(**{**base, **fields})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("fields", "state", "says"),
    [
        ({}, "ok", ""),
        ({"book": r.book(state="stale", reason="disconnected")}, "degraded", "the book is stale: disconnected"),
        ({"book": None}, "degraded", "no book has arrived yet"),
        (
            {"feeds": {"trade": r.feed("trade", "disconnected", "closed 1000 recording ended")}},
            "degraded",
            "trade is disconnected: closed 1000 recording ended",
        ),
        ({"bbo": r.bbo(recv_time_ns="1"), "book": r.book(recv_time_ns="1")}, "down", "silent for"),
        ({"bbo": None, "book": None}, "down", "nothing has arrived yet"),
        ({"feeds": {"trade": r.feed("trade", "disconnected", "unsubscribed")}}, "ok", ""),
    ],
)
def test_health_of_a_symbol(fields: dict[str, object], state: str, says: str) -> None:
    judged = judge(Listed(r.KEY, "BTC-USDT", ("trade", "book")), latest(**fields), time.time_ns() // 1_000_000, 30_000)
    assert judged.state == state
    assert says in "; ".join(judged.problems)
    assert bool(says) == bool(judged.problems)


def test_books_that_stand_still_while_trades_go_on_are_said() -> None:
    still = r.book(verified_time_ns=str((NOW - 40_000) * 1_000_000))
    trade = r.trade(1, recv_time_ns=str(NOW * 1_000_000))
    stuck = latest(book=still, trade=trade, bbo=None)
    (said,) = books_behind([stuck, latest(book=still, bbo=None)], 30_000)
    assert "for 40 s, while trades" in said
    moving = r.book(verified_time_ns=trade.recv_time_ns)
    assert books_behind([stuck, latest(book=moving, bbo=None)], 30_000) == [], "one book may rest"
    assert books_behind([latest(book=still, bbo=None)], 30_000) == [], "the market rests"
    assert books_behind([latest(book=r.book(state="stale"), trade=trade)], 30_000) == [], "said of the book itself"
