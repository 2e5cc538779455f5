"""HTX's candle periods. Days open at midnight in Hong Kong (UTC+8)."""

from __future__ import annotations

from itertools import groupby
from typing import Any

from simulator.dialect import Desk
from simulator.htx.session import Refused
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


def history(desk: Desk, market: SymbolMarket, period: str, since_ms: int) -> list[Bar]:
    """Candles from the one that contains `since_ms` to the open one, oldest first, as far as minutes are kept."""
    first_ms = opened_ms(period, since_ms)
    oldest_ms = market.bars[0].open_ms if market.bars else market.bar.open_ms
    number = desk.history_number(market.instrument.symbol)
    older = desk.store.bars(number, first_ms, oldest_ms, 10**6, newest=False) if first_ms < oldest_ms else []
    minutes = (bar for bar in (*older, *market.bars, market.bar) if bar.open_ms >= first_ms)
    made = (merge(opened, bars) for opened, bars in groupby(minutes, lambda bar: opened_ms(period, bar.open_ms)))
    return [bar for bar in made if bar is not None]


def newest(desk: Desk, market: SymbolMarket, period: str, rows: int) -> list[Bar]:
    """So many candles, the open one the last."""
    return history(desk, market, period, market.bar.open_ms - (rows - 1) * PERIODS[period])[-rows:]


def between(desk: Desk, market: SymbolMarket, period: str, values: dict[str, Any], rows_max: int) -> list[Bar]:
    """Candles that opened in the stretch that `from` and `to` name, in seconds; its last ones where there are more than
    `rows_max`. Raises Refused."""
    until_ms = min(_second(values, "to", 10**10 - 1) * 1000, market.bar.open_ms)
    earliest_ms = opened_ms(period, until_ms) - (rows_max - 1) * PERIODS[period]
    since_ms = max(_second(values, "from", 0) * 1000, earliest_ms)
    return [bar for bar in history(desk, market, period, since_ms) if since_ms <= bar.open_ms <= until_ms]


def _second(values: dict[str, Any], name: str, default: int) -> int:
    text = str(values.get(name, default))
    if not text.isascii() or not text.isdigit() or len(text) > 10:
        raise Refused("bad-request", f"invalid {name}")
    return int(text)
