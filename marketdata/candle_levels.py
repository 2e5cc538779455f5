"""The candles of all intervals of one key: made, filled, closed, revised, given up. Knows nothing of ids or feeds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from marketdata.candle import Candle, Sums
from marketdata.decimals import rescale

INTERVALS_MS: dict[str, int] = {
    "1m": 60_000,
    "5m": 300_000,
    "15m": 900_000,
    "1h": 3_600_000,
    "4h": 14_400_000,
    "1d": 86_400_000,
}
"""All start at multiples of themselves since 1970 (UTC)."""

RETAINED_MAX = 10_080
"""Candles kept per interval, and the most that are closed at once after a long silence: a week of minutes."""


class Level:
    """The candles of one interval."""

    __slots__ = ("candles", "carry", "interval_ms", "name", "next_open")

    def __init__(self, name: str) -> None:
        self.name = name
        self.interval_ms = INTERVALS_MS[name]
        self.candles: dict[int, Candle] = {}
        self.next_open: int | None = None
        """Open time of the first candle not closed yet; None before the first record."""
        self.carry: int | None = None
        """Close of the last closed candle."""

    def floor(self, time_ms: int) -> int:
        return time_ms - time_ms % self.interval_ms

    def next_end(self) -> int:
        """End (exclusive) of the first candle not closed yet."""
        assert self.next_open is not None
        return self.next_open + self.interval_ms


class CandleLevels:
    """All intervals. Times are milliseconds unless their names say otherwise."""

    def __init__(self, intervals: Sequence[str], revise_window_ms: int) -> None:
        self.levels = [Level(name) for name in intervals]
        self._revise_window_ms = revise_window_ms
        self.chain_from_us: int | None = None
        """Trade time of the first trade: what is older is unknown."""
        self._delta = Sums()
        """Trades of one minute that are not in the candles yet."""
        self._delta_minute = 0

    @property
    def started(self) -> bool:
        return self.levels[0].next_open is not None

    def start(self, time_ms: int) -> None:
        """Begin at the candles that hold this time."""
        for level in self.levels:
            level.next_open = level.floor(time_ms)

    def begin_chain(self, time_us: int) -> None:
        """The first trade: candles that began before it, or with it, are not known whole."""
        self.chain_from_us = time_us
        for candle in self._all():
            candle.begun_before_capture = candle.open_time * 1000 <= time_us

    # --- trades -------------------------------------------------------------------------------------

    def delta(self, time_ms: int) -> tuple[Sums, bool]:
        """The sums to add a trade of that time to, and whether its minute is closed already (then fold next)."""
        first = self.levels[0]
        minute = first.floor(time_ms)
        if minute != self._delta_minute:
            self.fold()
            self._delta_minute = minute
        if first.next_open is None:
            self.start(time_ms)
            return self._delta, False
        return self._delta, minute < first.next_open

    def fold(self) -> tuple[str, ...]:
        """Put the waiting sums into the candles of all intervals; returns the intervals that had given theirs up."""
        if not self._delta.count:
            return ()
        lost = []
        for level in self.levels:
            candle = self._candle(level, level.floor(self._delta_minute))
            if candle is None:
                lost.append(level.name)
                continue
            before = candle.last_price()
            candle.sums.merge(self._delta)
            candle.dirty = True
            if candle.closed and candle.last_price() != before:
                self._carry_on(level, candle)
        self._delta = Sums()
        return tuple(lost)

    def _candle(self, level: Level, open_time: int) -> Candle | None:
        """The candle, made where it is new; None where it was given up."""
        candle = level.candles.get(open_time)
        if candle is None and level.next_open is not None and open_time >= level.next_open:
            chain = self.chain_from_us
            candle = level.candles[open_time] = Candle(open_time, chain is None or open_time * 1000 <= chain)
        return candle

    def _carry_on(self, level: Level, candle: Candle) -> None:
        """A closed candle's last price changed: so does that of the empty ones behind it."""
        price = candle.last_price()
        at = candle.open_time + level.interval_ms
        assert level.next_open is not None
        while at < level.next_open:
            following = level.candles.get(at)
            if following is None or following.sums.count:
                return
            following.flat, following.dirty = price, True
            at += level.interval_ms
        level.carry = price

    def grow(self, price_digits: int, quantity_digits: int) -> None:
        """Rewrite all numbers in scales finer by so many digits."""
        self._delta.grow(price_digits, quantity_digits)
        for level in self.levels:
            if level.carry is not None:
                level.carry = rescale(level.carry, 0, price_digits)
        for candle in self._all():
            candle.sums.grow(price_digits, quantity_digits)
            if candle.flat is not None:
                candle.flat = rescale(candle.flat, 0, price_digits)

    def restart_open(self) -> None:
        """Open candles begin anew, as if capture began now; closed ones stay."""
        self.fold()
        self.chain_from_us = None
        for candle in self._all():
            if not candle.closed:
                candle.sums, candle.begun_before_capture, candle.gaps, candle.riddled = Sums(), True, [], False

    # --- what is missing ----------------------------------------------------------------------------

    def touch(self, gap_id: str, from_us: int, to_us: int) -> None:
        """Mark all candles that a gap touches. The times may be in either order: ids need not grow as times do."""
        self.fold()
        from_us, to_us = min(from_us, to_us), max(from_us, to_us)
        if not self.started:
            self.start(to_us // 1000)
        for level in self.levels:
            at, last = level.floor(from_us // 1000), level.floor(to_us // 1000)
            at = max(at, last - RETAINED_MAX * level.interval_ms)
            while at <= last:
                candle = self._candle(level, at)
                if candle is not None:
                    candle.lacks(gap_id)
                at += level.interval_ms

    def heal(self, gap_id: str) -> None:
        """The gap was filled."""
        for candle in self._all():
            if gap_id in candle.gaps:
                candle.gaps.remove(gap_id)
                candle.dirty = True

    def prove(self) -> None:
        """What closed unproven is proven now."""
        for candle in self._all():
            if candle.unproven:
                candle.unproven = False
                candle.dirty = True

    # --- time ---------------------------------------------------------------------------------------

    def close_until(self, watermark: int, proven: bool) -> Iterator[tuple[Level, Candle]]:
        """Close every candle that ended by the watermark, earliest end first, shorter intervals first."""
        closed = False
        while True:
            level = min(self.levels, key=Level.next_end)
            if level.next_end() > watermark:
                break
            closed = True
            yield level, self._close_next(level, proven)
        if closed:
            self._give_up(watermark)

    def skip_until(self, watermark: int) -> bool:
        """After a silence longer than the bound, leave out the candles beyond it; True when there were any."""
        skipped = False
        for level in self.levels:
            assert level.next_open is not None
            behind = (watermark - level.next_open) // level.interval_ms
            if behind > RETAINED_MAX:
                level.next_open += (behind - RETAINED_MAX) * level.interval_ms
                level.carry = None
                skipped = True
        return skipped

    def _close_next(self, level: Level, proven: bool) -> Candle:
        assert level.next_open is not None
        candle = self._candle(level, level.next_open)
        assert candle is not None
        candle.closed, candle.dirty, candle.unproven = True, False, not proven
        if candle.sums.count:
            level.carry = candle.sums.close
        else:
            candle.flat = level.carry
        level.next_open += level.interval_ms
        return candle

    def _give_up(self, watermark: int) -> None:
        """Forget closed candles behind the revise window; unproven ones stay until proof or the bound."""
        for level in self.levels:
            limit = watermark - self._revise_window_ms - level.interval_ms
            old = [t for t, c in level.candles.items() if c.closed and not c.unproven and t <= limit]
            over = len(level.candles) - len(old) - RETAINED_MAX
            if over > 0:
                old += sorted(t for t, c in level.candles.items() if c.closed and c.unproven)[:over]
            for open_time in old:
                del level.candles[open_time]

    def changed(self, closed: bool) -> Iterator[tuple[Level, Candle]]:
        """Closed, or open, candles that changed since they were last published; they count as published now."""
        for level in self.levels:
            for open_time in sorted(t for t, c in level.candles.items() if c.dirty and c.closed == closed):
                candle = level.candles[open_time]
                candle.dirty = False
                yield level, candle

    def _all(self) -> Iterator[Candle]:
        for level in self.levels:
            yield from level.candles.values()

    # --- persistence --------------------------------------------------------------------------------

    def dump(self) -> dict[str, Any]:
        return {
            "chain_from_us": self.chain_from_us,
            "delta": self._delta.dump(),
            "delta_minute": self._delta_minute,
            "levels": {level.name: _dump_level(level) for level in self.levels},
        }

    def restore(self, state: dict[str, Any], clock_us: int) -> None:
        """Take over what was dumped. Intervals new in the settings start at the clock; removed ones are dropped."""
        self.chain_from_us = state["chain_from_us"]
        self._delta = Sums.restore(state["delta"])
        self._delta_minute = state["delta_minute"]
        for level in self.levels:
            if level.name in state["levels"]:
                _restore_level(level, state["levels"][level.name])
            elif clock_us:
                level.next_open = level.floor(clock_us // 1000)


def _dump_level(level: Level) -> dict[str, Any]:
    return {
        "next_open": level.next_open,
        "carry": None if level.carry is None else str(level.carry),
        "candles": [
            [
                c.open_time, c.sums.dump(), c.begun_before_capture, c.gaps, c.unproven, c.closed, c.revision, c.dirty,
                None if c.flat is None else str(c.flat), c.riddled,
            ]
            for c in level.candles.values()
        ],
    }  # fmt: skip


def _restore_level(level: Level, state: dict[str, Any]) -> None:
    level.next_open = state["next_open"]
    level.carry = None if state["carry"] is None else int(state["carry"])
    for open_time, sums, begun, gaps, unproven, closed, revision, dirty, flat, *riddled in state["candles"]:
        candle = level.candles[open_time] = Candle(open_time, begun)
        candle.sums, candle.gaps, candle.unproven, candle.closed = Sums.restore(sums), gaps, unproven, closed
        candle.revision, candle.dirty, candle.riddled = revision, dirty, any(riddled)  # older states have none
        candle.flat = None if flat is None else int(flat)
