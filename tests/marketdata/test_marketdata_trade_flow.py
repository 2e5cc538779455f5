"""Trades judged in order: what is wrong is rejected with its code, what is only unusual is not."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from marketdata.trade_flow import FlowState, Held, Item, Rejected, TradeFlow, new_flow, restore_flow
from marketdata.types import Gap, Trade
from marketdata.validation import AGE_MAX_US, REASONS

T0 = 1_700_000_000_000_000


def trade(number: int, price: str = "100", quantity: str = "1", time_us: int = T0) -> Trade:
    return Trade(
        exchange="x", market="spot", symbol="S", trade_id=str(number), price=price, quantity=quantity, side="buy",
        trade_time_us=time_us,
    )  # fmt: skip


def flow(**more: Any) -> TradeFlow:
    return new_flow("trade", **{"continuous_ids": True, "max_ahead_ms": 10_000, **more})


def give(stream: TradeFlow, *trades: Trade, clock_us: int = 0) -> list[str]:
    """What comes out, as short text."""
    out = []
    for one in trades:
        items = stream.accept(one, clock_us)
        out += [short(item) for item in ([one] if items is None else items)]
    return out


def short(item: Item) -> str:
    if isinstance(item, Trade):
        return item.trade_id
    if isinstance(item, Gap):
        return f"gap {item.gap_id} {item.filled_count}/{item.missing_count}"
    if isinstance(item, Held):
        return f"held {item.trade.trade_id}"
    assert isinstance(item, Rejected)
    assert item.code in REASONS
    return f"{item.code} {item.record_id}"


def test_gaps_come_before_the_trade_and_fills_after_it() -> None:
    assert give(flow(), trade(1), trade(2), trade(5), trade(4), trade(3), trade(6)) == [
        "1", "2", "gap trade:3-4 0/2", "5", "4", "gap trade:3-4 1/2", "3", "gap trade:3-4 2/2", "6",
    ]  # fmt: skip


def test_repeats_are_counted_and_dropped() -> None:
    stream = flow()
    assert give(stream, trade(1), trade(2), trade(2), trade(1), trade(3)) == ["1", "2", "3"]
    assert stream.duplicates == 2


@pytest.mark.parametrize(
    "bad",
    [
        trade(2, price="0"),
        trade(2, price="-1"),
        trade(2, quantity="0.000"),
        trade(2, quantity="-3"),
        trade(2, time_us=T0 // 1000),
        trade(2, time_us=T0 * 1000),
    ],
)
def test_impossible_values_are_rejected_and_missing(bad: Trade) -> None:
    assert give(flow(), trade(1), bad, trade(3)) == ["1", "implausible 2", "gap trade:2-2 0/1", "3"]


def test_times_are_measured_by_the_heartbeat_clock() -> None:
    late, early = trade(3, time_us=T0 - AGE_MAX_US - 1), trade(2, time_us=T0 + 10_000_001)
    assert give(flow(), trade(1), early, late, clock_us=T0) == [
        "1", "ahead_of_clock 2", "gap trade:2-2 0/1", "too_old 3"
    ]  # fmt: skip
    assert give(flow(), trade(1), early, late) == ["1", "2", "3"], "no heartbeat, no clock"
    assert give(flow(), trade(1), trade(2, time_us=T0 + 10_000_000), clock_us=T0) == ["1", "2"], (
        "the bound itself passes"
    )


def test_a_wrong_print_is_rejected_by_the_next_trade() -> None:
    assert give(flow(), trade(1), trade(2, "5000"), trade(3, "101"), trade(4, "102")) == [
        "1", "held 2", "gap trade:2-2 0/1", "price_jump 2", "3", "4",
    ]  # fmt: skip


def test_a_crash_is_believed_when_the_next_trade_confirms_it() -> None:
    assert give(flow(), trade(1), trade(2, "0.5"), trade(3, "0.6"), trade(4, "0.4")) == [
        "1", "held 2", "gap trade:2-2 0/1", "2", "gap trade:2-2 1/1", "3", "4"
    ]  # fmt: skip
    assert give(flow(), trade(1), trade(4, "0.5"), trade(5, "0.6"), trade(6, "9"), trade(7, "8")) == [
        "1", "held 4", "gap trade:2-3 0/2", "4", "5", "held 6", "gap trade:6-6 0/1", "6", "gap trade:6-6 1/1", "7"
    ]  # fmt: skip


def test_a_reconnect_while_one_is_held_begins_no_new_sequence() -> None:
    stream = flow()
    give(stream, trade(1), trade(2, "0.5", time_us=T0 + 5))
    stream.broken("disconnected")
    assert give(stream, trade(4, "0.6", time_us=T0 + 9)) == [
        "2", "gap trade:2-2 1/1", "gap trade:3-3 0/1", "4"
    ]  # fmt: skip


def test_a_new_sequence_refuses_the_one_that_was_held() -> None:
    stream = flow()
    give(stream, trade(100), trade(101, "0.5"))
    stream.broken("disconnected")
    assert give(stream, trade(1, "0.5", time_us=T0 + 9), trade(2, "0.5", time_us=T0 + 10)) == [
        "price_jump 101", "gap trade:1-1@1:reset 0/0", "1", "2",
    ]  # fmt: skip
    more = [trade(n, "0.5", time_us=T0 + n) for n in range(11, 110)]
    assert "101" in give(stream, *more), "ids come again"


@pytest.mark.parametrize("more", [{}, {"id_ranges": True}, {"continuous_ids": False}])
def test_a_slower_connections_copies_decide_nothing(more: dict[str, bool]) -> None:
    stream = flow(**more)
    wrong = trade(2, "5000")
    told = [item for item in give(stream, trade(1), wrong, trade(1), wrong) if not item.startswith("gap")]
    assert told == ["1", "held 2"], "an older trade says nothing of the one held"
    told = [item for item in give(stream, trade(3), wrong, trade(4)) if not item.startswith("gap")]
    assert told == ["price_jump 2", "3", "4"], "nor is it a fill when its copy comes after it was rejected"


def test_a_rejected_trade_that_comes_again_and_is_good_fills_its_gap() -> None:
    stream, early = flow(), trade(2, time_us=T0 + 11_000_000)
    assert give(stream, trade(1), early, clock_us=T0) == ["1", "ahead_of_clock 2", "gap trade:2-2 0/1"]
    stream.broken("disconnected")
    assert give(stream, early, clock_us=T0 + 5_000_000) == ["2", "gap trade:2-2 1/1"], "no new sequence"


def test_many_rejected_trades_are_two_gaps_a_minute() -> None:
    stream, minute = flow(), 60_000_000
    bad = [trade(n, "0", time_us=T0) for n in range(2, 200)]
    out = give(stream, trade(1), *bad, clock_us=T0) + give(stream, trade(200, time_us=T0 + 1), clock_us=T0)
    assert [item for item in out if item.startswith("gap")] == ["gap trade:2-2 0/1", "gap trade:3-199 0/197"]
    out = give(stream, trade(201, "0"), clock_us=T0) + give(stream, trade(202, "0"), clock_us=T0 + minute)
    assert [item for item in out if item.startswith("gap")] == ["gap trade:201-201 0/1", "gap trade:202-202 0/1"]


def test_two_different_jumps_confirm_nothing() -> None:
    assert give(flow(), trade(1), trade(2, "5000"), trade(3, "0.1"), trade(4, "100")) == [
        "1", "held 2", "gap trade:2-2 0/1", "price_jump 2", "held 3", "price_jump 3", "gap trade:3-3 0/1", "4",
    ]  # fmt: skip


def test_the_held_trade_does_not_confirm_itself() -> None:
    stream = flow()
    assert give(stream, trade(1), trade(2, "5000"), trade(2, "5000"), trade(1)) == [
        "1", "held 2", "gap trade:2-2 0/1"
    ]  # fmt: skip
    assert stream.duplicates == 2
    assert give(stream, trade(3, "100")) == ["price_jump 2", "3"]


@pytest.mark.parametrize("more", [{}, {"id_ranges": True}, {"continuous_ids": False}])
def test_where_prices_jump_by_right_no_trade_waits(more: dict[str, bool]) -> None:
    stream = flow(confirms_jumps=False, **more)
    assert give(stream, trade(1, "0.0001"), trade(2, "0.0012"), trade(3, "0.0001")) == ["1", "2", "3"]


def test_state_survives_a_dump_at_any_point() -> None:
    trades = [
        trade(1), trade(2, "5000"), trade(3, "5001"), trade(6), trade(6, "5000"), trade(4, "5000"), trade(7, "5000"),
    ]  # fmt: skip
    whole = give(flow(), *trades)
    for cut in range(len(trades)):
        head = flow()
        out = give(head, *trades[:cut])
        tail = restore_flow(msgspec.json.decode(msgspec.json.encode(head.state()), type=FlowState))
        assert out + give(tail, *trades[cut:]) == whole


def test_channels_without_numbering_leave_gaps_in_time() -> None:
    stream = flow(continuous_ids=False)
    assert give(stream, trade(10), trade(20, time_us=T0 + 5), trade(20), trade(15, time_us=T0 + 6)) == [
        "10",
        "20",
        "15",
    ]
    stream.broken("disconnected")
    assert give(stream, trade(30, time_us=T0 + 9)) == [f"gap trade:{T0 + 6} 0/0", "30"]


def merged(first: int, last: int, price: str = "100") -> Trade:
    ids = {"aggregated": True, "first_trade_id": str(first), "last_trade_id": str(last)}
    return msgspec.structs.replace(trade(last, price), **ids)


def test_merged_trades_chain_by_the_ids_they_cover() -> None:
    stream = flow(id_ranges=True)
    trades = [merged(1, 3), merged(4, 4), merged(8, 9), merged(10, 12), merged(5, 6), merged(8, 9)]
    assert give(stream, *trades) == ["3", "4", "gap trade:5-7 0/3", "9", "12", "6", "gap trade:5-7 2/3"]
    assert stream.duplicates == 1
    assert give(stream, merged(12, 14), merged(15, 15), merged(17, 16)) == [
        "overlapping_ids 14", "gap trade:13-14 0/2", "15", "implausible 16",
    ]  # fmt: skip
    assert give(stream, trade(16), trade(17)) == ["16", "17"], "one that covers only itself"


def test_merged_trades_survive_a_dump_at_any_point() -> None:
    trades = [merged(1, 3), merged(4, 4), merged(8, 9), merged(10, 12, "5000"), merged(13, 13, "5001"), merged(5, 6)]
    whole = give(flow(id_ranges=True), *trades)
    for cut in range(len(trades)):
        head = flow(id_ranges=True)
        out = give(head, *trades[:cut])
        tail = restore_flow(msgspec.json.decode(msgspec.json.encode(head.state()), type=FlowState))
        assert out + give(tail, *trades[cut:]) == whole


def test_passed_ids_are_neither_missing_nor_trades() -> None:
    stream = flow()
    assert give(stream, trade(1), trade(2)) == ["1", "2"]
    assert stream.passed("3", T0 + 1) is None
    assert give(stream, trade(4)) == ["4"]
    gap = stream.passed("7", T0 + 2)
    assert gap is not None
    assert (gap.first, gap.last, gap.filled) == (5, 6, 0)
    gap = stream.passed("5", T0 + 1)
    assert gap is not None
    assert (gap.filled, gap.count) == (1, 2)
    assert give(stream, trade(8), trade(6)) == ["8", "6", "gap trade:5-6 2/2"]
    assert flow(continuous_ids=False).passed("3", T0) is None


def text_trade(name: str) -> Trade:
    return msgspec.structs.replace(trade(0), trade_id=name)


def test_ids_that_are_no_numbers_tell_repeats() -> None:
    stream = flow(continuous_ids=False)
    assert give(stream, *map(text_trade, ["b-2", "a-1", "b-2", "a-1", "c", "", ""])) == ["b-2", "a-1", "c", "", ""]
    assert stream.duplicates == 2
    assert give(flow(), trade(1), trade(2), text_trade("x"), trade(3)) == ["1", "2", "implausible x", "3"]


def test_ids_out_of_order_in_a_frame_are_no_new_sequence() -> None:
    stream = flow(continuous_ids=False)
    assert give(stream, trade(12), trade(11), trade(10), trade(12)) == ["12", "11", "10"]
    stream.broken("disconnected")
    assert give(stream, trade(9, time_us=T0 + 5), trade(15, time_us=T0 + 5), trade(13, time_us=T0 + 4)) == [
        f"gap trade:{T0} 0/0", "9", "15", "13",
    ]  # fmt: skip
    huge = 131652190251009345822240516
    assert give(stream, trade(huge), trade(huge), trade(huge - 1)) == [str(huge), str(huge - 1)]
