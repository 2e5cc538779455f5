"""Ids: every arrival order, loss and repetition leaves exactly the ids that never came as missing."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marketdata import continuity
from marketdata.continuity import RESET_MARGIN_US, Continuity, Recent, Unnumbered, Verdict

CASES: dict[str, tuple[list[int], list[str]]] = {
    "in order": ([5, 6, 7], ["next", "next", "next"]),
    "repeat": ([5, 6, 6, 5], ["next", "next", "duplicate", "duplicate"]),
    "skip": ([5, 8], ["next", "gap"]),
    "skip and fill": ([5, 8, 6, 7, 9], ["next", "gap", "fill", "fill", "next"]),
    "filled twice": ([5, 8, 6, 6], ["next", "gap", "fill", "duplicate"]),
    "middle of a gap": ([5, 10, 7, 7, 6], ["next", "gap", "fill", "duplicate", "fill"]),
    "two connections overlap": (
        [1, 2, 4, 3, 4, 5, 5],
        ["next", "next", "gap", "fill", "duplicate", "next", "duplicate"],
    ),
    "before the first": ([5, 4], ["next", "duplicate"]),
}


@pytest.mark.parametrize("name", CASES)
def test_verdicts(name: str) -> None:
    ids, verdicts = CASES[name]
    stream = Continuity("trade")
    assert [stream.check(i, i * 1000).verdict.value for i in ids] == verdicts


def test_a_gap_says_what_is_missing_and_how_much_came() -> None:
    stream = Continuity("trade")
    stream.check(5, 100)
    opened = stream.check(9, 200).gap
    assert opened is not None
    assert (opened.gap_id, opened.first, opened.last, opened.count) == ("trade:6-8", 6, 8, 3)
    assert (opened.from_time_us, opened.to_time_us, opened.reason) == (100, 200, "id_skip")
    filled = stream.check(7, 150).gap
    assert filled is not None
    assert (filled.gap_id, filled.filled, filled.missing) == ("trade:6-8", 1, [(6, 6), (8, 8)])
    stream.check(6, 150)
    last = stream.check(8, 150).gap
    assert last is not None
    assert (last.filled, last.count, stream.gaps) == (3, 3, [])


def test_a_gap_over_a_reconnect_has_its_reason() -> None:
    stream = Continuity("trade")
    stream.check(5, 100)
    stream.broken("disconnected")
    step = stream.check(9, 200)
    assert step.gap is not None
    assert step.gap.reason == "disconnected"
    after = stream.check(11, 300).gap
    assert after is not None
    assert after.reason == "id_skip", "only the first record after the reconnect"


def test_a_lower_id_with_a_later_time_after_a_reconnect_is_a_new_sequence() -> None:
    stream = Continuity("trade")
    stream.check(500, 100)
    assert stream.check(3, 200).verdict is Verdict.DUPLICATE, "not without a reconnect, so soon"
    stream.broken("disconnected")
    assert stream.check(499, 90).verdict is Verdict.DUPLICATE, "an older trade is a repeat"
    step = stream.check(3, 200)
    assert step.verdict is Verdict.RESET
    assert step.gap is not None
    assert (step.gap.reason, step.gap.epoch, step.gap.from_time_us, step.gap.to_time_us) == (
        "sequence_reset",
        1,
        100,
        200,
    )
    skip = stream.check(6, 300).gap
    assert skip is not None
    assert skip.gap_id == "trade:4-5@1", "ids come again: the epoch tells gaps apart"


def test_a_new_sequence_without_a_reconnect_is_not_taken_for_repeats() -> None:
    stream = Continuity("trade")
    stream.check(500, 100)
    stream.check(503, 200)
    later = 200 + RESET_MARGIN_US
    assert stream.check(501, later).verdict is Verdict.FILL
    assert stream.check(3, later).verdict is Verdict.DUPLICATE, "the bound itself"
    step = stream.check(4, later + 1)
    assert step.verdict is Verdict.RESET
    assert step.gap is not None
    assert (step.gap.reason, step.gap.from_time_us, step.gap.to_time_us) == ("sequence_reset", 200, later + 1)
    assert [stream.check(n, later + n).verdict for n in (5, 6)] == [Verdict.NEXT, Verdict.NEXT]


def test_gaps_given_up_are_not_called_repeats(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(continuity, "OPEN_GAPS_MAX", 2)
    stream = Continuity("trade")
    for i in (1, 3, 5, 7):  # missing 2, 4, 6; only two gaps are followed
        stream.check(i, i)
    assert stream.check(2, 2).verdict is Verdict.LATE
    assert stream.check(4, 4).verdict is Verdict.FILL


@settings(max_examples=300)
@given(st.lists(st.integers(1, 40), min_size=1, max_size=80), st.integers(0, 80))
def test_what_never_came_is_what_is_missing(ids: list[int], cut: int) -> None:
    stream = Continuity("trade")
    accepted: list[int] = []
    for n, i in enumerate(ids):
        if n == cut:
            stream = msgspec.json.decode(msgspec.json.encode(stream), type=Continuity)
        if stream.check(i, i).verdict in (Verdict.NEXT, Verdict.GAP, Verdict.FILL):
            accepted.append(i)
    assert len(accepted) == len(set(accepted)), "each id at most once"
    first = ids[0]
    expected = {i for i in ids if i >= first}
    assert set(accepted) == expected
    missing = {i for g in stream.gaps for a, b in g.missing for i in range(a, b + 1)}
    assert missing == set(range(first, max(ids) + 1)) - expected
    assert all(g.filled == g.count - sum(b - a + 1 for a, b in g.missing) for g in stream.gaps)


def test_unnumbered_streams_leave_a_gap_in_time() -> None:
    stream = Unnumbered("bbo", grows=True)
    assert stream.check(10, 1_000).gap is None
    stream.broken("disconnected")
    step = stream.check(12, 5_000)
    assert step.gap is not None
    assert (step.gap.gap_id, step.gap.from_time_us, step.gap.to_time_us) == ("bbo:1000", 1_000, 5_000)
    assert stream.check(12, 5_000).verdict is Verdict.DUPLICATE
    assert stream.check(11, 5_000).verdict is Verdict.NEXT, "late, but not seen before"
    stream.broken("disconnected")
    assert stream.check(1, 9_000).verdict is Verdict.RESET


@given(st.lists(st.integers(0, 50), max_size=200))
def test_recent_tells_repeats_exactly_within_its_memory(ids: list[int]) -> None:
    recent = Recent()
    seen: set[int] = set()
    for i in ids:
        assert recent.seen(i) == (i in seen)
        seen.add(i)


def test_ranges_chain_by_what_they_cover() -> None:
    stream = Continuity("agg_trade")
    assert stream.check(12, 1, 10).verdict is Verdict.NEXT
    assert stream.check(15, 2, 13).verdict is Verdict.NEXT
    step = stream.check(25, 3, 21)
    assert step.gap is not None
    assert (step.verdict, step.gap.first, step.gap.last) == (Verdict.GAP, 16, 20)
    assert stream.check(25, 3, 21).verdict is Verdict.DUPLICATE
    assert stream.check(27, 4, 24).verdict is Verdict.OVERLAP, "begins with known ids, ends with unknown ones"
    assert stream.check(17, 2, 15).verdict is Verdict.OVERLAP
    assert stream.check(18, 2, 17).verdict is Verdict.FILL
    assert stream.check(18, 2, 16).verdict is Verdict.OVERLAP
    assert stream.check(16, 2, 16).verdict is Verdict.FILL
    step = stream.check(20, 2, 19)
    assert step.gap is not None
    assert (step.verdict, step.gap.filled, step.gap.count, stream.gaps) == (Verdict.FILL, 5, 5, [])
    assert stream.check(26, 5).verdict is Verdict.NEXT


@settings(max_examples=300)
@given(st.lists(st.tuples(st.integers(1, 40), st.integers(0, 4)), min_size=1, max_size=60))
def test_no_id_of_a_range_is_accepted_twice(ranges: list[tuple[int, int]]) -> None:
    stream = Continuity("agg_trade")
    accepted: list[int] = []
    for first, more in ranges:
        if stream.check(first + more, 1, first).verdict in (Verdict.NEXT, Verdict.GAP, Verdict.FILL):
            accepted += range(first, first + more + 1)
    assert len(accepted) == len(set(accepted))
    missing = {i for g in stream.gaps for a, b in g.missing for i in range(a, b + 1)}
    assert missing == set(range(min(accepted), max(accepted) + 1)) - set(accepted)


def test_a_source_that_repeats_its_past_gives_nothing_twice() -> None:
    recent, times = Recent(), range(1_000)
    assert not any(recent.seen(t, old_is_seen=True) for t in times)
    assert all(recent.seen(t, old_is_seen=True) for t in times), "far more than is remembered"
    assert not recent.seen(1_000, old_is_seen=True)
    assert not recent.seen(3), "of other sources an old number is late, not a repeat"


def test_series_of_a_stream_share_its_gap_and_not_their_identities() -> None:
    stream = Unnumbered("ticker")
    assert stream.check(5, 1_000, "Ticker").verdict is Verdict.NEXT
    assert stream.check(5, 1_000, "MarkPrice").verdict is Verdict.NEXT
    assert stream.check(5, 1_000, "MarkPrice").verdict is Verdict.DUPLICATE
    assert stream.check("a", 1_000, "Text").verdict is Verdict.NEXT
    assert stream.check("a", 1_000, "Text").verdict is Verdict.DUPLICATE
    stream = msgspec.json.decode(msgspec.json.encode(stream), type=Unnumbered)
    stream.broken("disconnected")
    assert stream.check(4, 1_500, "Ticker").verdict is Verdict.GAP, "times are no sequence that begins anew"
    assert stream.check(6, 1_600, "MarkPrice").verdict is Verdict.NEXT, "one gap for all series"
    assert stream.check(5, 1_000, "Ticker").verdict is Verdict.DUPLICATE
