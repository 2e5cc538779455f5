"""Candles: each rule by a small case, then random markets against a model that keeps every trade."""

from __future__ import annotations

import itertools
from collections import defaultdict
from decimal import Decimal, localcontext
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marketdata.candle import GAPS_NAMED_MAX
from marketdata.candle_levels import INTERVALS_MS
from marketdata.keys import Key
from marketdata.kline import Emitted, KlineMachine, KlineSettings, LateTrade
from marketdata.trade_flow import new_flow
from marketdata.types import AnyRecord, FeedStatus, Gap, Heartbeat, Kline, Trade

KEY = Key("binance", "spot", "BTCUSDT")
BASE: dict[str, Any] = {"exchange": "binance", "market": "spot", "symbol": "BTCUSDT"}
T0 = 1_700_006_400_000
"""Milliseconds; start of a day."""
assert T0 % INTERVALS_MS["1d"] == 0
S = 1_000


def trade(number: int, at_ms: int, price: str = "100", quantity: str = "1", side: Any = "buy", **more: Any) -> Trade:
    return Trade(
        **BASE,
        trade_id=str(number),
        price=price,
        quantity=quantity,
        side=side,
        trade_time_us=(T0 + at_ms) * 1000,
        **more,
    )


def beat(at_ms: int) -> Heartbeat:
    return Heartbeat(**BASE, event_time_us=(T0 + at_ms) * 1000)


def gap(first: int, last: int, from_ms: int, to_ms: int, filled: int = 0, **more: Any) -> Gap:
    return Gap(
        **BASE,
        gap_id=f"trade:{first}-{last}",
        channel="trade",
        first_missing_id=str(first),
        last_missing_id=str(last),
        missing_count=last - first + 1,
        filled_count=filled,
        from_time_us=(T0 + from_ms) * 1000,
        to_time_us=(T0 + to_ms) * 1000,
        **{"reason": "id_skip", **more},
    )


def status(state: Any, conn: str = "a", channel: str = "trade") -> FeedStatus:
    return FeedStatus(**BASE, channel=channel, state=state, connection=conn)


def run(*records: AnyRecord, machine: KlineMachine | None = None, **settings_: Any) -> list[Emitted]:
    machine = machine or KlineMachine(KEY, KlineSettings(**settings_))
    return [out for record in records for out in machine.apply(record)]


def closed(emitted: list[Emitted], interval: str = "1m") -> list[Kline]:
    return [k for k in emitted if isinstance(k, Kline) and k.is_closed and k.interval == interval]


def at(kline: Kline) -> int:
    return (kline.open_time - T0) // 60_000


def test_a_minute_has_every_field() -> None:
    out = run(
        trade(1, -30 * S),
        trade(2, 0, "100.50", "2.0", "buy"),
        trade(3, 20 * S, "99.25", "1.5", "sell"),
        trade(4, 59_999, "101", "0.25", "buy"),
        trade(5, 60_000, "7", "7", "sell"),
        beat(62 * S),
    )
    (before, minute) = closed(out)
    assert (at(before), before.complete, before.reasons) == (-1, False, ["begun_before_capture"])
    assert (minute.open_time, minute.close_time) == (T0, T0 + 59_999)
    assert (minute.open, minute.high, minute.low, minute.close) == ("100.5", "101", "99.25", "101")
    assert (minute.volume, minute.quote_volume) == ("3.75", "375.125")
    assert (minute.taker_buy_volume, minute.taker_buy_quote_volume) == ("2.25", "226.25")
    assert (minute.trade_count, minute.first_trade_id, minute.last_trade_id) == (3, "2", "4")
    assert (minute.status, minute.revision, minute.complete, minute.reasons) == ("final", 0, True, [])
    assert minute.event_time_us == (T0 + 62 * S) * 1000


def test_a_trade_on_the_boundary_belongs_to_the_new_minute() -> None:
    out = run(trade(1, -1), trade(2, 60_000), trade(3, 119_999), trade(4, 120_000), beat(122 * S))
    assert [(at(k), k.trade_count) for k in closed(out)] == [(-1, 1), (0, 0), (1, 2)]


def test_an_empty_minute_repeats_the_close() -> None:
    out = run(trade(1, -90 * S, "50"), trade(2, -70 * S, "42.10"), beat(182 * S))
    empty = closed(out)[1:]
    assert [at(k) for k in empty] == [-1, 0, 1, 2]
    assert {(k.open, k.high, k.low, k.close, k.volume, k.trade_count) for k in empty} == {
        ("42.1", "42.1", "42.1", "42.1", "0", 0)
    }
    assert all(k.complete for k in empty)


def test_minutes_before_the_first_trade_are_unknown() -> None:
    out = run(beat(0), trade(1, 150 * S), beat(250 * S))
    minutes = closed(out)
    assert [(at(k), k.complete, k.open) for k in minutes[-4:]] == [
        (0, False, ""), (1, False, ""), (2, False, "100"), (3, True, "100")
    ]  # fmt: skip


def test_nothing_closes_before_the_lateness_passed() -> None:
    machine = KlineMachine(KEY, KlineSettings(allowed_lateness_ms=5_000))
    assert closed(run(trade(1, 1), beat(64_999), machine=machine)) == []
    assert [at(k) for k in closed(run(beat(65_000), machine=machine))] == [0]


def test_provisional_candles_are_paced_by_the_venues_clock() -> None:
    machine = KlineMachine(KEY, KlineSettings(intervals=("1m",)))
    assert [k.trade_count for k in run(trade(1, 0), beat(100), machine=machine) if isinstance(k, Kline)] == [1]
    assert run(trade(2, 200), beat(500), trade(3, 600), beat(1_099), machine=machine) == []
    (now,) = run(beat(1_100), machine=machine)
    assert isinstance(now, Kline)
    assert (now.status, now.is_closed, now.trade_count, now.complete, now.revision) == (
        "provisional",
        False,
        3,
        False,
        0,
    )
    assert run(beat(3_000), machine=machine) == [], "nothing changed, nothing to say"


def test_a_late_trade_revises_every_interval_it_is_in() -> None:
    machine = KlineMachine(KEY, KlineSettings())
    run(trade(1, -1), trade(2, 10), gap(3, 3, 10, 301 * S), trade(4, 301 * S), beat(303 * S), machine=machine)
    run(trade(3, 50 * S, "90"), gap(3, 3, 10, 301 * S, filled=1), machine=machine)
    out = run(beat(304 * S), machine=machine)
    revised = {(k.interval, at(k)): k for k in out if isinstance(k, Kline) and k.status == "revised"}
    minute = revised["1m", 0]
    assert (minute.low, minute.close, minute.last_trade_id, minute.revision, minute.complete) == (
        "90",
        "90",
        "3",
        1,
        True,
    )
    assert {key for key, k in revised.items() if k.trade_count} == {("1m", 0), ("5m", 0)}
    assert {(k.close, k.complete) for (name, n), k in revised.items() if name == "1m" and n > 0} == {("90", True)}, (
        "the empty minutes behind it repeat the new close"
    )


def test_a_trade_behind_the_window_is_told_and_kept_where_it_can_be() -> None:
    machine = KlineMachine(KEY, KlineSettings(revise_window_ms=60_000))
    run(trade(1, -1), trade(2, 10), gap(3, 3, 10, 400 * S), trade(4, 400 * S), beat(500 * S), machine=machine)
    (late,) = run(trade(3, 20, quantity="5"), machine=machine)
    assert isinstance(late, LateTrade)
    assert late.intervals == ("1m", "5m")
    hour = next(k for k in run(beat(501 * S), machine=machine) if isinstance(k, Kline) and k.interval == "1h")
    assert hour.volume == "7"


def test_a_gap_touches_the_candles_from_the_trade_before_to_the_trade_after() -> None:
    out = run(trade(1, -61 * S), trade(2, 59 * S), gap(3, 9, 59 * S, 125 * S), trade(10, 125 * S), beat(300 * S))
    assert [(at(k), k.complete, k.gaps) for k in closed(out)][1:] == [
        (-1, True, []),
        (0, False, ["trade:3-9"]),
        (1, False, ["trade:3-9"]),
        (2, False, ["trade:3-9"]),
        (3, True, []),
    ]


def test_a_candle_of_very_many_gaps_stays_a_record_that_fits() -> None:
    machine = KlineMachine(KEY, KlineSettings())
    run(trade(0, -1), *(trade(2 * n, n * 5) for n in range(1, 3 * GAPS_NAMED_MAX)), machine=machine)
    gaps = [gap(2 * n - 1, 2 * n - 1, n * 5 - 5, n * 5, filled=1) for n in range(1, 3 * GAPS_NAMED_MAX)]
    restored = KlineMachine.restore(KEY, KlineSettings(), machine.dump())
    for one in (machine, restored):
        (_, minute) = closed(run(beat(62 * S), machine=one))
        assert (len(minute.gaps), minute.reasons) == (GAPS_NAMED_MAX, ["gap"])
        (revised,) = [k for k in closed(run(*gaps, beat(64 * S), machine=one)) if at(k) == 0]
        assert (revised.gaps, revised.complete) == ([], False), "of those not named nobody knows"


def test_a_skip_without_its_record_is_a_gap_all_the_same() -> None:
    out = run(trade(1, -1), trade(2, 10), trade(9, 20), beat(62 * S))
    assert [(k.complete, k.gaps) for k in closed(out)][1:] == [(False, ["trade:3-8"])]


def test_a_disconnect_leaves_the_candle_unproven_until_the_next_id() -> None:
    machine = KlineMachine(KEY, KlineSettings())
    run(status("connected"), trade(1, -1), trade(2, 10), machine=machine)
    out = run(status("disconnected"), status("connected", "b"), beat(200 * S), machine=machine)
    assert [(at(k), k.complete, k.reasons) for k in closed(out)][1:] == [
        (0, False, ["disconnected"]), (1, False, ["disconnected"]), (2, False, ["disconnected"])
    ]  # fmt: skip
    run(trade(3, 201 * S), machine=machine)
    revised = [k for k in closed(run(beat(202 * S), machine=machine)) if k.status == "revised"]
    assert [(at(k), k.complete, k.revision) for k in revised][1:] == [(0, True, 1), (1, True, 1), (2, True, 1)]


def test_a_disconnect_that_lost_trades_names_the_gap() -> None:
    machine = KlineMachine(KEY, KlineSettings())
    run(status("connected"), trade(1, -1), trade(2, 10), status("disconnected"), machine=machine)
    run(status("connected", "b"), beat(200 * S), gap(3, 4, 10, 201 * S), trade(5, 201 * S), machine=machine)
    revised = closed(run(beat(202 * S), machine=machine))
    assert [(at(k), k.reasons, k.gaps) for k in revised if at(k) >= 0] == [
        (n, ["gap"], ["trade:3-4"]) for n in range(3)
    ]


def test_a_gap_whose_ends_are_out_of_order_touches_both_minutes() -> None:
    missing = gap(4, 7, 60_010, 59_990)  # the trade after it is of an earlier time than the one before it
    out = run(trade(2, -1), trade(3, 60_010), missing, trade(8, 59_990), beat(130 * S))
    assert [(at(k), k.gaps) for k in closed(out)][1:] == [(0, ["trade:4-7"]), (1, ["trade:4-7"])]


@pytest.mark.parametrize(
    ("odd", "lost"),
    [(trade(2, 30 * S, "9000"), []), (trade(2, 30 * S, "0"), []), (trade(2, 41 * S), []),
     (trade(2, 30 * S, "9000"), [trade(3, 1000 * S, "9001")])],
)  # fmt: skip
def test_a_trade_that_waits_or_was_rejected_is_missing_from_its_candle_at_once(odd: Trade, lost: list[Trade]) -> None:
    """Nothing else may come for hours, and then the candle can no longer be revised."""
    flow = new_flow("trade", continuous_ids=True, max_ahead_ms=10_000)
    given = {n: flow.accept(t, (T0 + 30 * S) * 1000) for n, t in enumerate([trade(1, -1), odd])}
    judged = [trade(1, -1), *(r for r in given[1] or () if isinstance(r, Gap | Trade))]
    machine = KlineMachine(KEY, KlineSettings())
    out = run(*judged, beat(900 * S), machine=machine)
    minutes = {at(k): (k.complete, k.gaps) for k in closed(out)}
    assert minutes[0] == (False, ["trade:2-2"])
    assert minutes[1] == (True, [])
    for late in lost:  # it is confirmed when the candle is given up
        items = [r for r in flow.accept(late, (T0 + 1000 * S) * 1000) or () if isinstance(r, Gap | Trade)]
        (told,) = [e for e in run(*items, machine=machine) if isinstance(e, LateTrade)]
        assert told.trade.trade_id == "2"


@pytest.mark.parametrize("told", [[], [status("disconnected")]])
def test_a_log_that_begins_in_the_middle_of_a_connection_proves_nothing_after_it(told: list[AnyRecord]) -> None:
    out = run(trade(1, -1), trade(2, 10), beat(5 * S), *told, status("connected", "b"), beat(130 * S))
    assert [(at(k), k.reasons) for k in closed(out)][1:] == [(0, ["disconnected"]), (1, ["disconnected"])]


def test_a_rotation_proves_nothing_missing() -> None:
    out = run(
        status("connected"), trade(1, -1), trade(2, 10), status("connected", "b"), status("disconnected"), beat(62 * S)
    )  # fmt: skip
    assert [k.complete for k in closed(out)] == [False, True]


def test_a_sequence_reset_keeps_the_order_of_trades() -> None:
    reset = gap(1, 1, 30 * S, 40 * S, reason="sequence_reset", epoch=1)
    out = run(
        trade(900, -1), trade(901, 30 * S, "5"), reset, trade(1, 40 * S, "6"), trade(2, 50 * S, "7"), beat(62 * S)
    )
    minute = closed(out)[1]
    assert (minute.open, minute.close, minute.trade_count, minute.complete) == ("5", "7", 3, False)


def test_aggregated_trades_count_what_they_merge() -> None:
    agg: dict[str, Any] = {"aggregated": True}
    out = run(
        status("connected", channel="agg_trade"),
        trade(70, -1, first_trade_id="1", last_trade_id="4", **agg),
        trade(71, 1, first_trade_id="5", last_trade_id="7", **agg),
        trade(72, 2, first_trade_id="8", last_trade_id="8", **agg),
        beat(62 * S),
    )
    minute = closed(out)[1]
    assert (minute.trade_count, minute.first_trade_id, minute.last_trade_id) == (4, "5", "8")
    assert (minute.source, minute.complete) == ("agg_trade", True)


def test_single_trades_win_over_aggregated_ones() -> None:
    out = run(
        status("connected", channel="agg_trade"),
        status("connected", channel="trade"),
        trade(1, -1),
        trade(70, 1, first_trade_id="2", last_trade_id="3", aggregated=True),
        trade(2, 1),
        trade(3, 1),
        beat(62 * S),
    )
    assert [(k.trade_count, k.source, k.complete) for k in closed(out)][1:] == [(2, "trade", True)]


def test_finer_numbers_change_no_sum() -> None:
    out = run(
        trade(1, -1, "10", "1"),
        trade(2, 1, "10", "1"),
        trade(3, 2, "10.000000000000000001", "0.000000000000000003"),
        trade(4, 3, "123456789012345678", "987654321"),
        beat(62 * S),
    )
    minute = closed(out)[1]
    prices = (Decimal(10), Decimal("10.000000000000000001"), Decimal(123456789012345678))
    quantities = (Decimal(1), Decimal("0.000000000000000003"), Decimal(987654321))
    with localcontext() as ctx:
        ctx.prec = 100
        assert Decimal(minute.quote_volume) == sum(p * q for p, q in zip(prices, quantities, strict=True))
        assert Decimal(minute.volume) == sum(quantities)
    assert (minute.open, minute.low, minute.high) == ("10", "10", "123456789012345678")


def test_a_long_silence_is_closed_in_bounds() -> None:
    machine = KlineMachine(KEY, KlineSettings(intervals=("1m",)))
    out = run(trade(1, 0), beat(400 * 86_400 * S), machine=machine)
    assert len(closed(out)) == 10_080
    assert machine.events == ["candles_skipped"]


# --- random markets ---------------------------------------------------------------------------------


@st.composite
def sessions(draw: st.DrawFn) -> list[AnyRecord]:
    """What md.trade holds of a market of which some trades are lost, repeated or late."""
    steps = draw(
        st.lists(
            st.tuples(
                st.sampled_from([0, 1, 500, 3_000, 20_000, 61_000, 300_000]),
                st.sampled_from(["ok", "ok", "ok", "ok", "lost", "repeat", "late", "reconnect"]),
                st.integers(1, 10**6),
                st.integers(1, 10**6),
                st.integers(0, 3),
                st.booleans(),
            ),
            min_size=1,
            max_size=40,
        )
    )
    flow = new_flow("trade", continuous_ids=True, max_ahead_ms=10**9)
    now, number, conn = draw(st.integers(0, 86_400_000)), 100, 0
    records: list[AnyRecord] = [status("connected", "c0")]
    waiting: list[Trade] = []
    for wait, what, units, size, scale, bought in steps:
        now, number = now + wait, number + 1
        price = f"{Decimal(5_000_000 + units).scaleb(-2)}" + "0" * scale
        one = trade(number, now, price, f"{Decimal(size).scaleb(-scale):f}", "buy" if bought else "sell")
        arrivals = [] if what in ("lost", "late") else [one, one] if what == "repeat" else [one]
        if what == "reconnect":
            records += [status("disconnected", f"c{conn}"), status("connected", f"c{conn + 1}")]
            conn += 1
            flow.broken("disconnected")
        for arrival in [*arrivals, *waiting]:
            got = flow.accept(arrival, 0)
            items = [arrival] if got is None else got
            records += [item for item in items if isinstance(item, Trade | Gap)]
        waiting = [one] if what == "late" else [] if arrivals else waiting
        records.append(beat(now + 50))
    records.append(beat(now + 400_000))
    return records


def model(records: list[AnyRecord]) -> dict[tuple[str, int], tuple[Any, ...]]:
    """Candle -> its values, from all trades at once with decimals."""
    trades = [r for r in records if isinstance(r, Trade)]
    last_gap = {r.gap_id: r for r in records if isinstance(r, Gap)}
    open_gaps = [g for g in last_gap.values() if g.filled_count < g.missing_count]
    grouped: dict[tuple[str, int], list[Trade]] = defaultdict(list)
    for name, length in INTERVALS_MS.items():
        for t in trades:
            grouped[name, t.trade_time_us // 1000 // length * length].append(t)
    out = {}
    for (name, open_time), members in grouped.items():
        members.sort(key=lambda t: int(t.trade_id))
        end_us = (open_time + INTERVALS_MS[name]) * 1000
        touched = any(g.from_time_us < end_us and g.to_time_us >= open_time * 1000 for g in open_gaps)
        prices = [Decimal(t.price) for t in members]
        out[name, open_time] = (
            prices[0],
            max(prices),
            min(prices),
            prices[-1],
            sum(Decimal(t.quantity) for t in members),
            sum(Decimal(t.quantity) * Decimal(t.price) for t in members),
            sum(Decimal(t.quantity) for t in members if t.side == "buy"),
            len(members),
            members[0].trade_id,
            members[-1].trade_id,
            not touched and open_time * 1000 > trades[0].trade_time_us,
        )
    return out


def newest(emitted: list[Emitted]) -> dict[tuple[str, int], Kline]:
    out: dict[tuple[str, int], Kline] = {}
    for k in emitted:
        assert isinstance(k, Kline), "nothing may be late here"
        before = out.get((k.interval, k.open_time))
        if k.is_closed:
            assert k.revision == (before.revision + 1 if before is not None and before.is_closed else 0)
        else:
            assert before is None or not before.is_closed, "never open again"
        out[k.interval, k.open_time] = k
    return out


@settings(max_examples=200, deadline=None)
@given(sessions())
def test_candles_equal_the_model(records: list[AnyRecord]) -> None:
    # nothing is behind this revise window
    machine = KlineMachine(KEY, KlineSettings(revise_window_ms=3 * 86_400_000))
    emitted = run(*records, machine=machine)
    got = newest(emitted)
    expected = model(records)
    assert set(expected) <= set(got) or not expected
    for at_, kline in got.items():
        if at_ in expected:
            assert (
                Decimal(kline.open), Decimal(kline.high), Decimal(kline.low), Decimal(kline.close),
                Decimal(kline.volume), Decimal(kline.quote_volume), Decimal(kline.taker_buy_volume),
                kline.trade_count, kline.first_trade_id, kline.last_trade_id, not kline.reasons,
            ) == expected[at_]  # fmt: skip
            assert kline.complete == (kline.is_closed and not kline.reasons)
        else:
            assert kline.trade_count == 0
    for interval, length in INTERVALS_MS.items():
        times = sorted(t for name, t in got if name == interval)
        assert times == list(range(times[0], times[-1] + 1, length)) if times else True, "no candle is left out"
        for before, after in itertools.pairwise(times):
            if not got[interval, after].trade_count:
                assert got[interval, after].open == got[interval, before].close


@settings(max_examples=150, deadline=None)
@given(sessions(), st.data())
def test_a_restored_machine_goes_on_the_same(records: list[AnyRecord], data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(records)))
    whole = run(*records)
    first = KlineMachine(KEY, KlineSettings())
    head = run(*records[:cut], machine=first)
    second = KlineMachine.restore(KEY, KlineSettings(), first.dump())
    assert second.dump() == first.dump()
    assert head + run(*records[cut:], machine=second) == whole


UNPROVEN: dict[str, Any] = {"continuous_ids": ()}


def test_without_counting_ids_complete_means_that_the_connection_held() -> None:
    out = run(
        status("connected"),
        trade(70, -5 * S),
        trade(90, 10 * S, "3"),
        trade(20, 30 * S, "5"),
        trade(80, 50 * S, "4"),
        beat(62 * S),
        trade(85, 70 * S),
        status("disconnected"),
        beat(122 * S),
        status("connected", "b"),
        Gap(**BASE, gap_id="trade:x", channel="trade", from_time_us=(T0 + 70 * S) * 1000,
            to_time_us=(T0 + 125 * S) * 1000, reason="disconnected"),
        trade(86, 125 * S),
        beat(182 * S),
        beat(242 * S),
        **UNPROVEN,
    )  # fmt: skip
    found = [(at(k), k.complete, k.reasons, k.proof) for k in closed(out)]
    assert found == [
        (-1, False, ["begun_before_capture"], "connection"),
        (0, True, [], "connection"),
        (1, False, ["disconnected"], "connection"),
        (1, False, ["gap"], "connection"),
        (2, False, ["gap"], "connection"),
        (3, True, [], "connection"),
    ]
    minute = closed(out)[1]
    assert (minute.open, minute.close, minute.first_trade_id, minute.last_trade_id) == ("3", "4", "90", "80"), "by time"


def test_ids_that_are_no_numbers_are_ordered_by_time_and_arrival() -> None:
    names = iter("zyxw")
    trades = [
        Trade(**BASE, trade_id=next(names), price=price, quantity="1", side="buy", trade_time_us=(T0 + ms) * 1000)
        for price, ms in (("9", -S), ("5", 1), ("6", 1), ("7", 1))
    ]
    machine = KlineMachine(KEY, KlineSettings(**UNPROVEN))
    for one in trades:
        run(one, machine=machine)
        machine = KlineMachine.restore(KEY, KlineSettings(**UNPROVEN), machine.dump())
    minute = closed(run(beat(62 * S), machine=machine))[1]
    assert (minute.open, minute.close, minute.trade_count) == ("5", "7", 3)


def test_merged_trades_chain_by_their_ranges() -> None:
    def merged(first: int, last: int, at_ms: int) -> Trade:
        return trade(last, at_ms, aggregated=True, first_trade_id=str(first), last_trade_id=str(last))

    settings_: dict[str, Any] = {"continuous_ids": ("agg_trade",), "id_ranges": ("agg_trade",)}
    whole = [merged(1, 2, -S), merged(3, 5, 10 * S), merged(6, 6, 20 * S), merged(6, 6, 20 * S), merged(7, 9, 61 * S)]
    minute = closed(run(*whole, beat(62 * S), **settings_))[1]
    assert (minute.complete, minute.trade_count, minute.first_trade_id, minute.last_trade_id) == (True, 4, "3", "6")
    minute = closed(run(whole[0], whole[1], whole[4], beat(62 * S), **settings_))[1]
    assert (minute.reasons, minute.gaps) == (["gap"], ["agg_trade:6-6"])


def test_ids_that_are_no_trades_leave_no_gap() -> None:
    records: list[AnyRecord] = [trade(1, -S), trade(2, S), trade(5, 2 * S), beat(62 * S)]
    assert closed(run(*records))[1].gaps == ["trade:3-4"]
    assert closed(run(*records, passes_ids=("trade",)))[1].complete
