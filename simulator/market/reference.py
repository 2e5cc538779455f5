"""What a coin is worth everywhere, and how far one venue's market strays from it: functions of seed and time alone.

All markets of a coin lean towards one price, so venues agree but for a few hundredths of a percent; now and then one
strays by more than fees cost for some seconds, which opens an arbitrage and closes it again. Nothing is stored: after
a restart every market finds the same price.
"""

from __future__ import annotations

import math
from functools import lru_cache

from simulator.market.instruments import digest

MASK = (1 << 64) - 1
COMMON = ((3_600_000_000, 0.002), (600_000_000, 0.001), (90_000_000, 0.0003), (12_000_000, 0.00006))
"""(period in us, amplitude) of the coin's price around its first one."""
OWN = ((60_000_000, 0.00012), (7_000_000, 0.00003))
STRAY_WINDOW_US = 20_000_000
STRAY_SHARE = 0.04
"""Of all windows in which one market strays."""
STRAY_LEAST, STRAY_MOST = 0.002, 0.004
STEADY = frozenset(("USD", "USDT", "USDC", "FDUSD", "TUSD", "BUSD", "DAI", "EUR", "TRY", "BRL"))


@lru_cache(maxsize=16_384)
def draw(key: int, cell: int) -> float:
    """A number in [0, 1) that depends on nothing but its arguments."""
    x = (cell * 0x9E3779B97F4A7C15 ^ key) & MASK
    x ^= x >> 30
    x = x * 0xBF58476D1CE4E5B9 & MASK
    x ^= x >> 27
    x = x * 0x94D049BB133111EB & MASK
    return ((x ^ x >> 31) >> 11) / 2.0**53


def noise(key: int, at_us: int, period_us: int) -> float:
    """Smooth in time, in [-1, 1]: drawn values a period apart, joined without corners."""
    cell, rest = divmod(at_us, period_us)
    share = rest / period_us
    share = share * share * (3.0 - 2.0 * share)
    return 2.0 * (draw(key, cell) * (1.0 - share) + draw(key, cell + 1) * share) - 1.0


def _sum(key: int, at_us: int, octaves: tuple[tuple[int, float], ...]) -> float:
    return sum(noise(key ^ period_us, at_us, period_us) * amplitude for period_us, amplitude in octaves)


@lru_cache(maxsize=4096)
def key_of(*parts: object) -> int:
    return digest("reference", *parts)


def coin_factor(seed: int, coin: str, at_us: int) -> float:
    """A coin's dollar price at a time, as a factor of its first one."""
    return 1.0 if coin in STEADY else math.exp(_sum(key_of(seed, coin), at_us, COMMON))


def stray(key: int, at_us: int) -> float:
    """Share of the price by which a market strays: 0 in most windows, a rise and fall in some."""
    window, rest = divmod(at_us, STRAY_WINDOW_US)
    chance = draw(key, window)
    if chance >= STRAY_SHARE:
        return 0.0
    height = STRAY_LEAST + (STRAY_MOST - STRAY_LEAST) * draw(key + 1, window)
    rise = math.sin(math.pi * rest / STRAY_WINDOW_US) ** 2
    return height * rise * (1.0 if chance < STRAY_SHARE / 2 else -1.0)


def fair_factor(seed: int, venue: str, symbol: str, base: str, quote: str, at_us: int) -> float:
    """A market's fair price at a time, as a factor of its first one."""
    key = key_of(seed, venue, symbol)
    common = coin_factor(seed, base, at_us) / coin_factor(seed, quote, at_us)
    return common * (1.0 + _sum(key, at_us, OWN) + stray(key, at_us))
