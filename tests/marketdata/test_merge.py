"""Records of several partitions in the order of receive time, whatever becomes of one and however it is read."""

from __future__ import annotations

import random
from typing import NamedTuple

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marketdata.merge import Event, Merger, MergeState

DELAY, HOLD, SILENCE = 5, 30, 60
MANY = 10**6


def drain(merger: Merger[str]) -> list[str]:
    return [event.payload for event in merger.ready()]


def joined(partitions: int = 2, delay: int = 0, hold: int = HOLD, events_max: int = MANY) -> Merger[str]:
    """At 100, past the time in which the partitions join."""
    merger: Merger[str] = Merger(delay, hold, SILENCE, events_max)
    for partition in range(partitions):
        merger.connected(partition, f"k{partition}")
    for at in (100 - hold, 99, 100):
        for partition in range(partitions):
            merger.add(partition, at, f"k{partition}", None)
    return merger


def test_nothing_comes_out_before_every_partition_has_passed_it() -> None:
    merger = joined(delay=10)
    merger.add(0, 105, "k0", "a")
    merger.add(0, 150, "k0", "b")
    merger.add(0, 155, "k0", None)
    assert drain(merger) == [], "the other one may still have something from before"
    merger.add(1, 115, "k1", None)
    assert drain(merger) == [], "and even of the very time, at the delay"
    merger.add(1, 116, "k1", "c")
    assert drain(merger) == ["a"]
    merger.add(1, 160, "k1", None)
    assert drain(merger) == ["c"]
    merger.add(1, 165, "k1", None)
    merger.add(0, 170, "k0", None)
    assert drain(merger) == [], "how far the others are is told by the times before the last ones"
    merger.add(0, 171, "k0", None)
    assert drain(merger) == ["b"]


def test_a_partition_whose_keys_were_given_up_holds_nothing_back() -> None:
    merger = joined()
    merger.add(1, 105, "k1", "x")
    for at in (130, 150, 151):
        merger.add(0, at, "k0", str(at))
    assert drain(merger) == []
    merger.disconnected(1, "k1", for_good=True)
    assert drain(merger) == ["x", "130"]


@pytest.mark.parametrize(
    ("silent_from", "passed", "watermark"),
    [
        ("connected", 190, 99),  # nobody said that it is gone: it may speak again
        ("connected", 191, 190),  # SILENCE and HOLD later nobody waits for it
        ("disconnected", 120, 99),
        ("disconnected", 131, 100),  # HOLD behind
        ("disconnected", 190, 159),
        ("disconnected", 191, 190),  # it did not come back
        ("given up", 120, 119),
    ],
)
def test_how_long_a_silent_partition_is_waited_for(silent_from: str, passed: int, watermark: int) -> None:
    merger = joined()
    if silent_from != "connected":
        merger.disconnected(1, "k1", for_good=silent_from == "given up")
    merger.add(0, passed, "k0", None)
    merger.add(0, 1000, "k0", None)
    assert merger.watermark_ns == watermark
    assert merger.waits_for == (None if watermark == passed - 1 else 1)
    drain(merger)
    assert merger.behind_ns == passed - watermark


def test_one_record_far_ahead_gives_nobody_up() -> None:
    """A partition that was silent in the log: its next record is read before anyone knows where it lies."""
    merger = joined(3)
    merger.disconnected(2, "k2", for_good=False)
    merger.add(0, 5000, "k0", None)
    assert merger.add(1, 101, "k1", "a")
    assert merger.add(2, 102, "k2", "b")
    for at in (5000, 5001):
        merger.add(1, at, "k1", None)
        merger.add(2, at, "k2", None)
        merger.add(0, at, "k0", None)
    assert drain(merger) == ["a", "b"]


def test_a_partition_that_comes_back_counts_when_all_must_have_noticed() -> None:
    """Sooner, it would depend on how far the others happened to be."""
    merger = joined()
    for at in (400, 401, 402):
        merger.add(0, at, "k0", None)
    drain(merger)
    assert not merger.add(1, 395, "k1", "missed")
    assert not merger.add(1, 424, "k1", "so is this")
    assert merger.add(1, 425, "k1", "x")
    assert (merger.state.joining, merger.state.late) == (2, 0)
    for partition in (0, 1):
        merger.add(partition, 430, f"k{partition}", None)
        merger.add(partition, 431, f"k{partition}", None)
    assert drain(merger) == ["x"]


def test_a_silence_within_the_bound_loses_nothing() -> None:
    merger = joined()
    for at in (150, 185, 300):
        merger.add(0, at, "k0", str(at))
    assert drain(merger) == []
    assert merger.add(1, 160, "k1", "x")
    merger.add(1, 161, "k1", None)
    assert drain(merger) == ["150", "x"]


def test_late_is_what_lies_behind_its_own_partition_or_what_came_out() -> None:
    merger = joined(1, delay=10)
    assert merger.add(0, 200, "k0", "x") is False, "a silence ended"
    merger = joined(1, delay=10)
    assert merger.add(0, 120, "k0", "x")
    assert merger.add(0, 110, "k0", "w")
    assert not merger.add(0, 109, "k0", "v")
    assert merger.state.late == 1
    merger = joined()
    for at in (191, 192):  # partition 1 is read further behind than allowed
        merger.add(0, at, "k0", None)
    drain(merger)
    assert not merger.add(1, 160, "k1", "u")
    assert merger.state.late == 1


def test_at_its_bound_the_oldest_comes_out_and_is_counted() -> None:
    merger = joined(events_max=3)
    for at in (105, 106, 107, 108):
        merger.add(0, at, "k0", str(at))
    assert drain(merger) == ["105"]
    assert merger.state.forced == 1


@pytest.mark.parametrize("seed", range(6))
def test_the_watermark_is_what_the_state_says(seed: int) -> None:
    """Whatever happens, the one kept is the one that a merger restored from the state computes."""
    rng = random.Random(seed)
    merger: Merger[int] = Merger(10, 60, 100, MANY)
    now = 100
    values = set()
    for number in range(1200):
        now += rng.randrange(0, 6) if rng.random() < 0.98 else rng.randrange(50, 300)
        partition, key = rng.randrange(4), f"k{rng.randrange(2)}"
        if number // 100 % 3 == 1:
            partition = rng.randrange(2)  # the others are silent
        what = rng.random()
        if what < 0.8:
            merger.add(partition, now - rng.randrange(0, 8), key, number)
        elif what < 0.9:
            merger.connected(partition, key)
        else:
            merger.disconnected(partition, key, for_good=rng.random() < 0.5)
        list(merger.ready())
        fresh = Merger[int](10, 60, 100, MANY, copied(merger.state))
        assert (merger.watermark_ns, merger.waits_for) == (fresh.watermark_ns, fresh.waits_for)
        values.add(merger.watermark_ns)
    assert len(values) > 100


def copied(state: MergeState) -> MergeState:
    return msgspec.json.decode(msgspec.json.encode(state), type=MergeState)


# --- however partitions are read -------------------------------------------------------------------


class Step(NamedTuple):
    """One record of a partition's log."""

    recv: int
    what: str
    key: str


@st.composite
def logs(draw: st.DrawFn) -> list[list[Step]]:
    """Quotes a little out of order; silences of all lengths; keys that end, come back, or are killed without a word."""
    out = []
    for partition in range(draw(st.integers(2, 4))):
        at = draw(st.integers(1, 200))
        log = []
        for _ in range(draw(st.integers(0, 14))):
            at += draw(st.one_of(st.integers(0, 10), st.integers(0, 10), st.integers(20, 200)))
            what = draw(st.sampled_from(("quote",) * 8 + ("beat", "connected", "disconnected", "given up")))
            off = draw(st.integers(0, DELAY + 2)) if what == "quote" else 0
            log.append(Step(max(1, at - off), what, f"k{partition}{draw(st.sampled_from('aab'))}"))
        out.append(log)
    return out


def wanted(every: list[list[Step]]) -> tuple[list[str], int, int]:
    """What comes out, what is late and what came while its partition joined: from each log alone."""
    found, late, joining = [], 0, 0
    for partition, log in enumerate(every):
        newest = counts = 0
        live: set[str] = set()
        unused = False
        for number, (recv, what, key) in enumerate(log, 1):
            if what in ("quote", "connected"):
                live.add(key)
                newest, unused = (0, False) if unused else (newest, False)
            if not newest or recv - newest > SILENCE:
                counts = recv + HOLD
            if what == "quote":
                joining += recv < counts
                late += counts <= recv < newest - DELAY
                if recv >= max(counts, newest - DELAY):
                    found.append((recv, key, number, f"{partition}/{number}"))
            newest = max(newest, recv)
            if what in ("disconnected", "given up"):
                live.discard(key)
                unused = what == "given up" if not live else unused
    return [name for *_, name in sorted(found)], late, joining


def turns(every: list[list[Step]], rng: random.Random) -> list[int]:
    """Some order to read the logs in: none is read on that is further than HOLD ahead of what another has left."""
    at, newest = [0] * len(every), [0] * len(every)
    out: list[int] = []
    favourite = rng.randrange(len(every))
    while left := [p for p in range(len(every)) if at[p] < len(every[p])]:
        least = {p: min(step.recv for step in every[p][at[p] :]) for p in left}
        may = [p for p in left if newest[p] <= min((least[o] for o in left if o != p), default=MANY) + HOLD]
        p = favourite if favourite in may and rng.random() < 0.8 else rng.choice(may)
        newest[p] = max(newest[p], every[p][at[p]].recv)
        at[p] += 1
        out.append(p)
    return out


def take(merger: Merger[str], partition: int, step: Step, number: int) -> None:
    """As the application does."""
    if step.what in ("quote", "connected"):
        merger.connected(partition, step.key)
    merger.add(partition, step.recv, step.key, f"{partition}/{number}" if step.what == "quote" else None)
    if step.what in ("disconnected", "given up"):
        merger.disconnected(partition, step.key, for_good=step.what == "given up")


def restored(merger: Merger[str]) -> Merger[str]:
    again: Merger[str] = Merger(DELAY, HOLD, SILENCE, MANY, copied(merger.state))
    again.heap.extend(Event(*event) for event in merger.heap)
    return again


@settings(max_examples=300, deadline=None)
@given(every=logs(), order=st.randoms(use_true_random=False))
def test_the_result_does_not_depend_on_how_partitions_are_read(every: list[list[Step]], order: random.Random) -> None:
    """In the end one partition alone goes on: none of those that fell silent holds anything back for ever."""
    merger: Merger[str] = Merger(DELAY, HOLD, SILENCE, MANY)
    at = [0] * len(every)
    out: list[str] = []
    for partition in turns(every, order):
        at[partition] += 1
        take(merger, partition, every[partition][at[partition] - 1], at[partition])
        out += drain(merger)
        if order.random() < 0.2:
            merger = restored(merger)
    for recv in (9_000, 9_001, 9_002):
        take(merger, len(every), Step(recv, "connected", "last"), 0)
        out += drain(merger)
    assert (out, merger.state.late, merger.state.joining) == wanted(every)
    assert merger.state.forced == 0
