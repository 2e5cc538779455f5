"""What is traded: tick and lot sizes, first prices and activity of each symbol, all derived from the seed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

E8 = 10**8
"""Everything on the wire has eight decimals; whole units of 1e-8 inside."""

QUOTES = ("FDUSD", "USDT", "USDC", "TUSD", "BUSD", "DAI", "BTC", "ETH", "BNB", "EUR", "TRY", "BRL")

# (price in ticks, tick in 1e-8, step in 1e-8): tick * step is a whole number of 1e-8 of the quote coin, so every
# amount is exact with eight decimals. The last rows are coarse: their bids end before 5,000 levels.
SHAPES = (
    (6_183_763, 1_000_000, 1_000),
    (262_341, 1_000_000, 10_000),
    (152_310, 100_000, 100_000),
    (61_234, 10_000, 1_000_000),
    (435_224, 10_000, 100_000),
    (35_210, 10_000, 10_000_000),
    (6_370, 1_000, 100_000_000),
    (637, 1_000, 100_000_000),
)
KNOWN = {"BTC": 0, "ETH": 1, "SOL": 2, "XRP": 3, "BNB": 1, "ADA": 5, "DOGE": 5}


@dataclass(frozen=True)
class Contract:
    """What one contract of a derivative is."""

    kind: Literal["swap", "future", "option"]
    inverse: bool
    """Settled in the base coin; `value_e8` is then an amount of the quote coin."""
    value_e8: int
    """Of one unit of quantity on the wire, in 1e-8 of the base coin (of the quote coin where inverse)."""
    expiry_ms: int = 0
    """0: perpetual."""
    strike_e8: int = 0
    is_call: bool = True


@dataclass(frozen=True)
class Instrument:
    """One symbol. Prices are whole ticks, quantities whole steps."""

    index: int
    symbol: str
    base: str
    quote: str
    tick_e8: int
    step_e8: int
    first_price: int
    """In ticks; the middle of the first book."""
    stride: int
    """Ticks per cell of the far book: each cell holds at most one resting level."""
    typical_qty: int
    """Steps of a usual order."""
    quiet: bool
    """Trades so seldom that some minutes have none."""
    seed: int
    first_update_id: int
    first_trade_id: int
    first_agg_id: int
    fair_at: Callable[[int], float] | None = None
    """Fair price in ticks at a time in us, where it is not in proportion to the base coin's (see `reference`)."""
    contract: Contract | None = None

    @property
    def quote_factor(self) -> int:
        """Quote amount in 1e-8 of one step at one tick."""
        return self.tick_e8 * self.step_e8 // E8


def digest(*parts: object) -> int:
    """64 bits that depend on nothing but `parts`."""
    text = "\x1f".join(str(part) for part in parts)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")


def split_symbol(symbol: str) -> tuple[str, str]:
    """Base and quote coin of a symbol without separator."""
    for quote in QUOTES:
        if symbol.endswith(quote) and len(symbol) > len(quote):
            return symbol[: -len(quote)], quote
    return symbol, "USDT"


def make_instrument(index: int, symbol: str, seed: int) -> Instrument:
    """The instrument at this place of the list. Every fourth symbol is quiet."""
    base, quote = split_symbol(symbol)
    bits = digest(seed, symbol)
    first_price, tick_e8, step_e8 = SHAPES[KNOWN.get(base, bits % len(SHAPES))]
    # One first price for a coin, whatever it is quoted in.
    spread_price = first_price * (800 + digest(seed, f"{base}USDT") // 7 % 400) // 1000
    stride = max(1, min(25, spread_price // 14_000))
    # A usual order is worth about 300 quote coins.
    typical_qty = max(2, 300 * E8 // (spread_price * (tick_e8 * step_e8 // E8)))
    return Instrument(
        index=index,
        symbol=symbol,
        base=base,
        quote=quote,
        tick_e8=tick_e8,
        step_e8=step_e8,
        first_price=spread_price,
        stride=stride,
        typical_qty=typical_qty,
        quiet=index % 4 == 3,
        seed=bits,
        first_update_id=1_000_000_000 + bits % 40_000_000_000,
        first_trade_id=10_000_000 + bits // 3 % 3_000_000_000,
        first_agg_id=8_000_000 + bits // 5 % 2_000_000_000,
    )


def activity(count: int, quiet: list[bool], total_ops_per_s: float) -> list[float]:
    """Book changes a second of each symbol: heavy at the head of the list, a long tail, quiet ones nearly still."""
    weights = [0.02 / (rank + 3) if quiet[rank] else 1.0 / (rank + 3) ** 0.8 for rank in range(count)]
    whole = sum(weights)
    return [total_ops_per_s * weight / whole for weight in weights]
