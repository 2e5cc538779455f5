"""USD-M's instruments: perpetuals as BTCUSDT, dated futures as BTCUSDT_261225. Quantities are coins."""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import replace

from simulator.market.instruments import E8, Contract, Instrument, split_symbol
from simulator.market.listing import list_instrument, reference_e8, tick_near, worth

DATED = re.compile(r"^(?P<pair>[A-Z0-9]+)_(?P<date>[0-9]{6})$")
TICKS = 100_000
STEP_DOLLARS_MAX = 60
ORDER_DOLLARS = 1_000
DATED_BASIS = 1.004


def step_near(price_e8: int) -> int:
    """The largest power of ten of a coin worth at most `STEP_DOLLARS_MAX`, one coin at most."""
    step_e8 = E8
    while step_e8 * price_e8 > STEP_DOLLARS_MAX * E8 * E8 and step_e8 > 1_000:
        step_e8 //= 10
    return step_e8


def expiry_of(symbol: str) -> int:
    """Delivery time in ms of a dated future, 08:00 UTC; 0: a perpetual."""
    found = DATED.match(symbol)
    if found is None:
        return 0
    day = dt.datetime.strptime(found["date"], "%y%m%d").replace(hour=8, tzinfo=dt.UTC)
    return int(day.timestamp()) * 1000


def pair_of(symbol: str) -> str:
    return symbol.partition("_")[0]


def make_instrument(index: int, symbol: str, seed: int) -> Instrument:
    """See `dialect.Segment.instrument`."""
    expiry_ms = expiry_of(symbol)
    base, quote = split_symbol(pair_of(symbol))
    price_e8 = reference_e8(base, seed)
    if expiry_ms:
        price_e8 = int(price_e8 * DATED_BASIS)
    step_e8 = step_near(price_e8)
    made = list_instrument(
        index,
        symbol,
        base,
        quote,
        price_e8=price_e8,
        tick_e8=tick_near(price_e8, TICKS),
        step_e8=step_e8,
        typical_qty=worth(ORDER_DOLLARS, price_e8, step_e8),
        seed=seed,
        quiet=index % 6 == 5,
    )
    kind = Contract("future" if expiry_ms else "swap", inverse=False, value_e8=E8, expiry_ms=expiry_ms)
    return replace(made, contract=kind)
