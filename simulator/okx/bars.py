"""OKX's candle sizes: from six hours on they open at UTC+8 unless their name says utc."""

from __future__ import annotations

from collections.abc import Iterable

from simulator.market.candles import DAY_MS, HOUR_MS, MINUTE_MS, Bar, merge

SHIFT_MS = 8 * HOUR_MS
SIZES_MS = {
    "1m": MINUTE_MS, "3m": 3 * MINUTE_MS, "5m": 5 * MINUTE_MS, "15m": 15 * MINUTE_MS, "30m": 30 * MINUTE_MS,
    "1H": HOUR_MS, "2H": 2 * HOUR_MS, "4H": 4 * HOUR_MS, "6H": 6 * HOUR_MS, "12H": 12 * HOUR_MS, "1D": DAY_MS,
    "6Hutc": 6 * HOUR_MS, "12Hutc": 12 * HOUR_MS, "1Dutc": DAY_MS,
}  # fmt: skip
BARS = tuple(SIZES_MS)


def opened_ms(bar: str, at_ms: int) -> int:
    """When the candle that contains `at_ms` opened."""
    size = SIZES_MS[bar]
    shift = SHIFT_MS if size >= 6 * HOUR_MS and not bar.endswith("utc") else 0
    return (at_ms + shift) // size * size - shift


def whole(bar: str, opened: int, minutes: Iterable[Bar]) -> Bar | None:
    """The candle opened at `opened` of one-minute bars in order; None: none of them is in it."""
    end = opened + SIZES_MS[bar]
    return merge(opened, [each for each in minutes if opened <= each.open_ms < end])


def several(bar: str, minutes: Iterable[Bar]) -> list[Bar]:
    """Candles of one-minute bars in order, oldest first."""
    groups: dict[int, list[Bar]] = {}
    for each in minutes:
        groups.setdefault(opened_ms(bar, each.open_ms), []).append(each)
    return [made for opened, group in groups.items() if (made := merge(opened, group)) is not None]
