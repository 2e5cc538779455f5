"""HTX's candle periods. Days open at midnight in Hong Kong (UTC+8)."""

from __future__ import annotations

from simulator.market.candles import DAY_MS, FIXED_MS, HOUR_MS, Bar, merge
from simulator.market.symbol import SymbolMarket

PERIODS = {
    "1min": FIXED_MS["1m"],
    "5min": FIXED_MS["5m"],
    "15min": FIXED_MS["15m"],
    "30min": FIXED_MS["30m"],
    "60min": HOUR_MS,
    "4hour": 4 * HOUR_MS,
    "1day": DAY_MS,
}
OFFSET_MS = 8 * HOUR_MS


def opened_ms(period: str, at_ms: int) -> int:
    """When the candle that contains `at_ms` opened."""
    length = PERIODS[period]
    return (at_ms + OFFSET_MS) // length * length - OFFSET_MS


def current(market: SymbolMarket, period: str) -> Bar:
    """The open candle, from the minutes kept and the open one."""
    return ending(market, period, market.bar)


def ending(market: SymbolMarket, period: str, last: Bar) -> Bar:
    """The candle up to the minute `last`, which may be closed already."""
    opened = opened_ms(period, last.open_ms)
    if opened == last.open_ms:
        return last
    bars = [last]
    for bar in reversed(market.bars):
        if bar.open_ms < opened:
            break
        if bar.open_ms < last.open_ms:
            bars.append(bar)
    bars.reverse()
    return merge(opened, bars) or last
