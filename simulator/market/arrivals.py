"""When things happen: a self-exciting (Hawkes) process, its base rate raised market-wide now and then."""

from __future__ import annotations

import math
from random import Random

BRANCHING = 0.6
"""Children of an event on average: most events come in bursts."""
DECAY_PER_S = 18.0
STORM_SHARE = 0.04
STORM_FACTOR = 6.0
WINDOW_US = 2_000_000
MEAN_FACTOR = (1 - STORM_SHARE) + STORM_SHARE * STORM_FACTOR
NEVER_US = 1 << 62


def storm(seed: int, window: int) -> float:
    """Factor on every base rate in this window: a function of seed and time, so all symbols storm together."""
    x = (window * 0x9E3779B97F4A7C15 ^ seed) & 0xFFFFFFFFFFFFFFFF
    x ^= x >> 29
    x = x * 0xBF58476D1CE4E5B9 & 0xFFFFFFFFFFFFFFFF
    return STORM_FACTOR if (x >> 40) / 2**24 < STORM_SHARE else 1.0


class Arrivals:
    """Draws event times in microseconds. State: the excitation at the last event."""

    __slots__ = ("excitation", "rate", "seed")

    def __init__(self, rate_per_s: float, seed: int) -> None:
        self.set_rate(rate_per_s)
        self.excitation = 0.0
        self.seed = seed

    def set_rate(self, rate_per_s: float) -> None:
        """Mean rate of events of all kinds, bursts included."""
        self.rate = rate_per_s * (1 - BRANCHING) / MEAN_FACTOR

    def next_after(self, at_us: int, rng: Random) -> int:
        """Time of the next event (Ogata's thinning, window by window)."""
        if self.rate <= 0:
            return NEVER_US
        now = at_us
        while True:
            window = now // WINDOW_US
            base = self.rate * storm(self.seed, window)
            bound = base + self.excitation
            wait_us = int(-math.log(1.0 - rng.random()) / bound * 1e6) + 1
            edge = (window + 1) * WINDOW_US
            if now + wait_us >= edge:
                self.excitation *= math.exp(-DECAY_PER_S * (edge - now) / 1e6)
                now = edge
                continue
            now += wait_us
            self.excitation *= math.exp(-DECAY_PER_S * wait_us / 1e6)
            if rng.random() * bound <= base + self.excitation:
                self.excitation += BRANCHING * DECAY_PER_S
                return now
