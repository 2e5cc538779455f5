"""The simulator's state on disk: candles of any size, and a failed write that leaves nothing half done."""

from __future__ import annotations

from pathlib import Path

import pytest

from simulator.market.candles import Bar
from simulator.store import Store

SEED, AT_US = 1, 1_700_000_000_000_000
HUGE = 2**70


def huge_bar(open_ms: int) -> Bar:
    bar = Bar(open_ms, 5)
    bar.volume, bar.quote, bar.taker, bar.taker_quote = HUGE, HUGE + 1, HUGE + 2, HUGE + 3
    return bar


def test_a_candle_beyond_64_bits_survives(tmp_path: Path) -> None:
    store = Store(tmp_path)
    market = store.open_market(["BTCUSDT"], SEED, 10.0, AT_US)
    symbol = market.order[0]
    symbol.bars.append(huge_bar(symbol.bar.open_ms - 60_000))
    symbol.bar.quote = HUGE
    store.save(market.order)
    store.close()
    again = Store(tmp_path).open_market(["BTCUSDT"], SEED, 10.0, AT_US).order[0]
    kept = again.bars[-1]
    assert (kept.volume, kept.quote, kept.taker, kept.taker_quote) == (HUGE, HUGE + 1, HUGE + 2, HUGE + 3)
    assert again.bar.quote >= HUGE


def test_a_failed_save_can_be_followed_by_another(tmp_path: Path) -> None:
    store = Store(tmp_path)
    market = store.open_market(["BTCUSDT"], SEED, 10.0, AT_US)
    symbol = market.order[0]
    bar = huge_bar(symbol.bar.open_ms - 60_000)
    bar.count = HUGE  # this one is no sum: the database refuses it
    symbol.bars.append(bar)
    with pytest.raises(OverflowError):
        store.save(market.order)
    symbol.bars.clear()
    store.save(market.order)
    store.close()
