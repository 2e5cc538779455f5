"""Residuals: right values, and the same ones however the two sides interleave."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marketdata.reconcile import Reconciler, compare
from marketdata.types import Kline, KlineResidual, VenueKline

WHOSE: dict[str, Any] = {"exchange": "x", "market": "spot", "symbol": "S"}
VALUES: dict[str, Any] = {
    "open": "10", "high": "12.5", "low": "9", "close": "11", "volume": "5", "quote_volume": "55.5", "trade_count": 3,
    "taker_buy_volume": "2", "taker_buy_quote_volume": "22", "first_trade_id": "1", "last_trade_id": "3",
}  # fmt: skip


def ours(minute: int = 0, revision: int = 0, closed: bool = True, interval: str = "1m", **over: Any) -> Kline:
    status: Any = "provisional" if not closed else "revised" if revision else "final"
    return Kline(
        **WHOSE, interval=interval, open_time=minute * 60_000, close_time=minute * 60_000 + 59_999, is_closed=closed,
        status=status, complete=closed, revision=revision, **{**VALUES, **over},
    )  # fmt: skip


def venue(minute: int = 0, closed: bool = True, **over: Any) -> VenueKline:
    return VenueKline(
        **WHOSE, interval="1m", open_time=minute * 60_000, close_time=minute * 60_000 + 59_999, is_closed=closed,
        **{**VALUES, **over},
    )  # fmt: skip


def test_equal_candles_match_whatever_their_spelling() -> None:
    residual = compare(ours(), venue(open="10.00000000", volume="5.00000000", quote_volume="55.50000000"))
    assert (residual.matched, residual.fields, residual.volume_diff) == (True, [], "0")


def test_differences_are_ours_minus_the_venues() -> None:
    residual = compare(ours(), venue(high="12.75", volume="5.5", trade_count=4, last_trade_id="4"))
    assert not residual.matched
    assert residual.fields == ["high", "volume", "trade_count", "last_trade_id"]
    assert (residual.high_diff, residual.volume_diff, residual.trade_count_diff) == ("-0.25", "-0.5", -1)


def test_digits_the_venue_cuts_off_are_no_difference() -> None:
    assert compare(ours(quote_volume="55.500000019"), venue(quote_volume="55.50000000")).matched
    assert not compare(ours(quote_volume="55.500000039"), venue(quote_volume="55.50000000")).matched, "3 trades, 3 ulp"
    assert not compare(ours(volume="5.00000001"), venue(volume="5.00000000")).matched, "volumes are exact"


def test_what_the_venue_does_not_say_is_not_compared() -> None:
    untold: dict[str, Any] = dict.fromkeys(
        ("quote_volume", "taker_buy_volume", "taker_buy_quote_volume", "first_trade_id"), ""
    )
    residual = compare(ours(), venue(**untold, last_trade_id="", trade_count=-1))
    assert (residual.matched, residual.trade_count_diff, residual.quote_volume_diff) == (True, 0, "0")
    residual = compare(ours(), venue(**untold, last_trade_id="", trade_count=-1, volume="4"))
    assert (residual.fields, residual.volume_diff) == (["volume"], "1")
    nothing: dict[str, Any] = dict.fromkeys(("open", "high", "low", "close", "volume"), "")
    assert compare(ours(), venue(**untold, **nothing, last_trade_id="", trade_count=-1)).matched


@pytest.mark.parametrize(
    ("mine", "theirs", "matched"),
    [
        ("0.123456789013", "0.12345678", True),  # the venue keeps eight places
        ("0.123456789013", "0.1234567890127", True),  # we keep twelve
        ("0.123456789013", "0.1234", False),  # trailing zeros are not written: still no more than a millionth
        ("5.001", "5.002", False),  # contracts of a fixed amount of coin are counted exactly
        ("5000.001", "5000.002", False),
    ],
)
def test_quotients_are_equal_but_for_the_digits_cut_off(mine: str, theirs: str, matched: bool) -> None:
    over: dict[str, Any] = {"taker_buy_volume": "0", "volume": theirs}
    assert compare(ours(volume=mine, taker_buy_volume="0"), venue(**over)).matched is matched


def test_a_short_number_hides_no_missing_trade() -> None:
    assert not compare(ours(quote_volume="55.501"), venue(quote_volume="55.5")).matched


def test_a_candle_without_known_price_differs() -> None:
    empty = ours(open="", high="", low="", close="", volume="0", trade_count=0, first_trade_id="", last_trade_id="")
    residual = compare(empty, venue())
    assert residual.fields[:4] == ["open", "high", "low", "close"]
    assert residual.open_diff == "0"


def test_only_closed_candles_of_the_venues_intervals_count() -> None:
    state = Reconciler(["1m"], 3_600_000)
    assert [
        *state.on_ours(ours(closed=False)),
        *state.on_venue(venue(closed=False)),
        *state.on_ours(ours(interval="5m")),
    ] == []
    assert state.on_venue(venue()) == []
    assert len(state.on_ours(ours())) == 1


def test_each_revision_gets_its_residual() -> None:
    state = Reconciler(["1m"], 3_600_000)
    state.on_ours(ours())
    assert len(state.on_venue(venue(volume="6"))) == 1
    (revised,) = state.on_ours(ours(revision=1, volume="6"))
    assert (revised.revision, revised.matched) == (1, True)


def test_what_never_meets_is_given_up_and_counted() -> None:
    state = Reconciler(["1m"], 60_000)
    state.on_ours(ours(0))
    state.on_venue(venue(5))
    state.on_venue(venue(1))
    assert state.events == ["venue_missing", "venue_too_late"]
    state.events.clear()
    state.on_ours(ours(30))
    assert state.events == ["ours_missing"]


def feed(order: list[Kline | VenueKline], cut: int) -> set[bytes]:
    import msgspec

    state = Reconciler(["1m"], 3 * 60_000)
    out: list[KlineResidual] = []
    for n, record in enumerate(order):
        if n == cut:
            state = Reconciler.restore(["1m"], 3 * 60_000, state.dump())
        out += state.on_ours(record) if isinstance(record, Kline) else state.on_venue(record)
    encoded = [msgspec.json.encode(r) for r in out]
    assert len(encoded) == len(set(encoded))
    return set(encoded)


@settings(max_examples=200)
@given(st.data())
def test_results_do_not_depend_on_how_the_sides_interleave(data: st.DataObject) -> None:
    minutes = st.integers(0, 12)
    left: list[Any] = []
    counts: dict[int, int] = {}
    for minute in data.draw(st.lists(minutes, max_size=15)):
        left.append(ours(minute, counts.get(minute, 0), volume=str(len(left))))
        counts[minute] = counts.get(minute, 0) + 1
    right: list[Any] = [venue(m, trade_count=n) for n, m in enumerate(data.draw(st.lists(minutes, max_size=15)))]
    results = []
    for _ in range(3):
        pick = data.draw(st.lists(st.booleans(), min_size=30, max_size=30))
        a, b = iter(left), iter(right)
        order = [r for take in pick if (r := next(a if take else b, None)) is not None]
        order += itertools.chain(a, b)
        results.append(feed(order, data.draw(st.integers(0, 30))))
    assert results[0] == results[1] == results[2]
