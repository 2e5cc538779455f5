"""Instruments in another venue's units: the same coins near the same prices, other ticks, lots and names."""

from __future__ import annotations

import math
from functools import lru_cache

from simulator.market.instruments import E8, Instrument, digest, make_instrument
from simulator.market.symbol import SymbolMarket

LEVELS_MAX = 1_200
"""Cells a side of a book that is sent whole."""


@lru_cache(maxsize=8192)
def reference_e8(base: str, seed: int) -> int:
    """Price of a coin in 1e-8 dollars: what its USDT pair starts at, so that venues trade near each other."""
    i = make_instrument(0, f"{base}USDT", seed)
    return i.first_price * i.tick_e8


def places(value_e8: int) -> int:
    """Places after the point of a value in 1e-8, trailing zeros left out."""
    count = 8
    while count and value_e8 % 10 == 0:
        value_e8 //= 10
        count -= 1
    return count


def fixed(value_e8: int, count: int) -> str:
    """A value in 1e-8 with `count` places, which it must fit."""
    if value_e8 < 0:
        return "-" + fixed(-value_e8, count)
    whole, rest = divmod(value_e8, E8)
    return f"{whole}.{rest:08d}"[: count - 8 or None] if count else str(whole)


def tick_near(price_e8: int, ticks: int) -> int:
    """A power of ten in 1e-8 of which a price has about `ticks`: between that and ten times as many."""
    tick_e8 = 1
    while price_e8 // (tick_e8 * 10) >= ticks:
        tick_e8 *= 10
    return tick_e8


def list_instrument(
    index: int,
    name: str,
    base: str,
    quote: str,
    *,
    price_e8: int,
    tick_e8: int,
    step_e8: int,
    typical_qty: int,
    seed: int,
    quiet: bool = False,
) -> Instrument:
    """An instrument with its own tick and lot; `price_e8` is rounded to the tick."""
    bits = digest(seed, name)
    first_price = max(40, price_e8 // tick_e8)
    return Instrument(
        index=index,
        symbol=name,
        base=base,
        quote=quote,
        tick_e8=tick_e8,
        step_e8=step_e8,
        first_price=first_price,
        stride=max(1, min(25, first_price // 14_000)),
        typical_qty=max(2, typical_qty),
        quiet=quiet,
        seed=bits,
        first_update_id=1_000_000_000 + bits % 40_000_000_000,
        first_trade_id=10_000_000 + bits // 3 % 3_000_000_000,
        first_agg_id=8_000_000 + bits // 5 % 2_000_000_000,
    )


def worth(dollars: int, price_e8: int, step_e8: int) -> int:
    """Steps of an order worth about so many dollars."""
    return dollars * E8 * E8 // (price_e8 * step_e8)


def option_share(spot: float, strike: float, is_call: bool) -> float:
    """An option's price as a share of the coin's: intrinsic value, and time value that fades away from the strike."""
    away = (spot - strike) / spot
    intrinsic = max(0.0, away if is_call else -away)
    return intrinsic + 0.03 + 0.04 * math.exp(-((away / 0.25) ** 2))


def limit_depth(market: SymbolMarket) -> None:
    """End both sides of the book after `LEVELS_MAX` cells. Before the first step."""
    for side in (market.bids, market.asks):
        side.last_key = min(side.last_key, side.origin + LEVELS_MAX * side.stride)
