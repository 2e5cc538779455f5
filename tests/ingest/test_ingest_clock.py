from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ingest.clock import VenueClock

BEGIN_MS = 1_700_000_000_000


def test_unknown_until_a_timed_frame() -> None:
    clock = VenueClock()
    assert clock.now_us(5.0) == 0
    clock.see(BEGIN_MS, 5.0)
    assert clock.known
    assert clock.now_us(5.25) == BEGIN_MS * 1000 + 250_000


def test_an_older_frame_changes_nothing() -> None:
    clock = VenueClock()
    clock.see(BEGIN_MS, 0.0)
    clock.see(BEGIN_MS - 5_000, 1.0)
    assert clock.now_us(1.0) == BEGIN_MS * 1000 + 1_000_000


def test_a_slower_venue_is_followed_without_going_back() -> None:
    """A recording at half speed: the projection must not run away from the frames."""
    clock = VenueClock()
    said = 0
    for second in range(600):
        clock.see(BEGIN_MS + 500 * second, float(second))
        now_us = clock.now_us(second + 0.9)
        assert now_us >= said
        said = now_us
    assert said / 1000 - (BEGIN_MS + 500 * 599) < 1_000


def test_a_freak_time_is_not_believed() -> None:
    clock = VenueClock()
    clock.see(BEGIN_MS, 0.0)
    clock.see(BEGIN_MS + 3_600_000, 1.0)
    assert clock.now_us(1.0) == BEGIN_MS * 1000 + 1_000_000
    clock.see(BEGIN_MS + 1_500, 1.5)  # the next frame does not agree: the freak is forgotten
    clock.see(BEGIN_MS + 3_600_000, 2.0)
    assert clock.now_us(2.0) == BEGIN_MS * 1000 + 2_000_000


def test_a_jump_is_believed_when_the_next_frame_agrees() -> None:
    clock = VenueClock()
    clock.see(BEGIN_MS, 0.0)
    clock.see(BEGIN_MS + 3_600_000, 1.0)
    clock.see(BEGIN_MS + 3_600_100, 1.1)
    assert clock.now_us(1.1) == (BEGIN_MS + 3_600_100) * 1000


@given(st.lists(st.tuples(st.integers(-200_000, 200_000), st.floats(0, 30)), max_size=60))
def test_what_it_says_never_goes_back(frames: list[tuple[int, float]]) -> None:
    clock, now_s, said = VenueClock(), 0.0, 0
    for offset_ms, wait_s in frames:
        now_s += wait_s
        clock.see(BEGIN_MS + offset_ms, now_s)
        now_us = clock.now_us(now_s)
        assert now_us >= said
        said = now_us


def test_a_time_no_calendar_of_ours_has_is_not_seen() -> None:
    for odd_ms in (-1, 0, 4_102_444_800_000, 10**40):
        clock = VenueClock()
        clock.see(odd_ms, 0.0)
        assert not clock.known
        clock.see(BEGIN_MS, 0.0)
        assert clock.now_us(0.0) == BEGIN_MS * 1000
