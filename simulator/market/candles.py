"""One-minute bars made of the market's own trades, and everything longer made of them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator
from typing import Any

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS

FIXED_MS = {
    "1s": 1_000,
    "1m": MINUTE_MS,
    "3m": 3 * MINUTE_MS,
    "5m": 5 * MINUTE_MS,
    "15m": 15 * MINUTE_MS,
    "30m": 30 * MINUTE_MS,
    "1h": HOUR_MS,
    "2h": 2 * HOUR_MS,
    "4h": 4 * HOUR_MS,
    "6h": 6 * HOUR_MS,
    "8h": 8 * HOUR_MS,
    "12h": 12 * HOUR_MS,
    "1d": DAY_MS,
    "3d": 3 * DAY_MS,
}
INTERVALS = (*FIXED_MS, "1w", "1M")
WEEK_OFFSET_MS = 4 * DAY_MS
"""1970-01-01 was a Thursday; weeks open on Monday."""


def open_time(interval: str, at_ms: int) -> int:
    """When the candle that contains `at_ms` opened (UTC)."""
    if interval == "1w":
        return (at_ms - WEEK_OFFSET_MS) // (7 * DAY_MS) * 7 * DAY_MS + WEEK_OFFSET_MS
    if interval == "1M":
        day = dt.datetime.fromtimestamp(at_ms / 1000, dt.UTC)
        return int(dt.datetime(day.year, day.month, 1, tzinfo=dt.UTC).timestamp()) * 1000
    size = FIXED_MS[interval]
    return at_ms // size * size


def next_open_time(interval: str, opened_ms: int) -> int:
    """When the candle after the one that opened at `opened_ms` opens."""
    if interval == "1w":
        return opened_ms + 7 * DAY_MS
    if interval == "1M":
        return open_time("1M", opened_ms + 32 * DAY_MS)
    return opened_ms + FIXED_MS[interval]


class Bar:
    """A candle. Prices in ticks, volumes in steps, quote volumes in 1e-8; ids -1 and prices of the close before
    while there is no trade."""

    FIELDS = ("open_ms", "first", "last", "o", "h", "l", "c", "volume", "count", "quote", "taker", "taker_quote")
    """In the order of `row`."""

    __slots__ = FIELDS

    def __init__(self, open_ms: int, previous_close: int) -> None:
        self.open_ms = open_ms
        self.first = self.last = -1
        self.o = self.h = self.l = self.c = previous_close
        self.volume = self.count = self.quote = self.taker = self.taker_quote = 0

    def add(self, trade_id: int, price: int, qty: int, quote: int, buyer_is_maker: bool) -> None:
        if not self.count:
            self.first = trade_id
            self.o = self.h = self.l = price
        self.last = trade_id
        self.c = price
        if price > self.h:
            self.h = price
        elif price < self.l:
            self.l = price
        self.count += 1
        self.volume += qty
        self.quote += quote
        if not buyer_is_maker:
            self.taker += qty
            self.taker_quote += quote

    SUMS = frozenset(("volume", "quote", "taker", "taker_quote"))
    """May exceed 64 bits: in units of 1e-8 an inverse contract's turnover does within a minute."""

    def row(self) -> tuple[int | str, ...]:
        """As a database takes it: sums as text."""
        return tuple(str(getattr(self, name)) if name in self.SUMS else getattr(self, name) for name in self.FIELDS)

    @classmethod
    def from_row(cls, row: Iterable[Any]) -> Bar:
        bar = cls(0, 0)
        for name, value in zip(cls.FIELDS, row, strict=True):
            setattr(bar, name, int(value))
        return bar


def merge(open_ms: int, bars: Iterable[Bar]) -> Bar | None:
    """One longer candle of consecutive ones; None of none."""
    out: Bar | None = None
    for bar in bars:
        if out is None:
            out = Bar(open_ms, bar.o)
        if not bar.count:
            out.c = bar.c if not out.count else out.c
            continue
        if not out.count:
            out.first, out.o, out.h, out.l = bar.first, bar.o, bar.h, bar.l
        out.last, out.c = bar.last, bar.c
        out.h = max(out.h, bar.h)
        out.l = min(out.l, bar.l)
        out.volume += bar.volume
        out.count += bar.count
        out.quote += bar.quote
        out.taker += bar.taker
        out.taker_quote += bar.taker_quote
    return out


def resample(interval: str, bars: Iterable[Bar]) -> Iterator[Bar]:
    """Longer candles of one-minute bars in order."""
    group: list[Bar] = []
    opened = -1
    for bar in bars:
        at = open_time(interval, bar.open_ms)
        if at != opened and group:
            if (whole := merge(opened, group)) is not None:
                yield whole
            group = []
        opened = at
        group.append(bar)
    if group and (whole := merge(opened, group)) is not None:
        yield whole
