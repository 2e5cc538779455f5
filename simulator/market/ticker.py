"""The rolling 24 h statistics of a symbol, made of its bars (the window moves minute by minute)."""

from __future__ import annotations

from simulator.market.candles import DAY_MS, Bar
from simulator.market.instruments import E8, Instrument
from simulator.market.symbol import SymbolMarket

DAY_US = DAY_MS * 1000


class Day:
    """Sums of the closed bars of the window, and the open bar on top of them. Units as in `Bar`."""

    __slots__ = (
        "base",
        "close",
        "count",
        "first",
        "high",
        "last",
        "low",
        "minute_ms",
        "open",
        "previous_close",
        "quote",
        "volume",
    )

    def __init__(self, market: SymbolMarket) -> None:
        self.minute_ms = market.bar.open_ms
        since = self.minute_ms - DAY_MS
        self.base = Bar(since, market.bar.o)
        closed = [bar for bar in market.bars if bar.open_ms >= since]
        traded = [bar for bar in closed if bar.count]
        before = [bar for bar in market.bars if bar.open_ms < since]
        self.previous_close = before[-1].c if before else (closed[0].o if closed else market.bar.o)
        base = self.base
        if traded:
            base.first, base.last = traded[0].first, traded[-1].last
            base.o, base.c = traded[0].o, traded[-1].c
            base.h, base.l = max(bar.h for bar in traded), min(bar.l for bar in traded)
            base.count = sum(bar.count for bar in traded)
            base.volume = sum(bar.volume for bar in traded)
            base.quote = sum(bar.quote for bar in traded)
        self.update(market)

    def update(self, market: SymbolMarket) -> None:
        """Put the open bar on top of the closed ones."""
        base, bar = self.base, market.bar
        self.close = bar.c
        if not bar.count:
            self.open, self.high, self.low = (base.o, base.h, base.l) if base.count else (bar.c, bar.c, bar.c)
            self.first, self.last = base.first, base.last
        elif not base.count:
            self.open, self.high, self.low = bar.o, bar.h, bar.l
            self.first, self.last = bar.first, bar.last
        else:
            self.open, self.high, self.low = base.o, max(base.h, bar.h), min(base.l, bar.l)
            self.first, self.last = base.first, bar.last
        self.volume = base.volume + bar.volume
        self.quote = base.quote + bar.quote
        self.count = base.count + bar.count

    @property
    def change(self) -> int:
        return self.close - self.open

    def open_us(self, time_us: int) -> int:
        return time_us - DAY_US

    def percent(self) -> str:
        """Change in percent, three decimals, rounded half away from zero."""
        scaled = (abs(self.change) * 200_000 + self.open) // (2 * self.open)
        return f"{'-' if self.change < 0 and scaled else ''}{scaled // 1000}.{scaled % 1000:03d}"

    def weighted_e8(self, instrument: Instrument) -> int:
        """Volume-weighted price in 1e-8; the last price while nothing traded."""
        base_e8 = self.volume * instrument.step_e8
        return (2 * self.quote * E8 + base_e8) // (2 * base_e8) if base_e8 else self.close * instrument.tick_e8


def day_of(market: SymbolMarket, kept: dict[str, Day]) -> Day:
    """The statistics now; `kept` caches what only changes when a minute closes."""
    day = kept.get(market.instrument.symbol)
    if day is None or day.minute_ms != market.bar.open_ms:
        day = kept[market.instrument.symbol] = Day(market)
    else:
        day.update(market)
    return day
