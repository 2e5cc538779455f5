"""Deribit's instruments by their names: `BTC-PERPETUAL`, `SOL_USDC-PERPETUAL`, `BTC-25DEC26`, `BTC-25DEC26-100000-C`,
`BTC_USDC`. Inverse ones count dollars, linear ones and options coins; options of coins are priced in the coin."""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import replace
from functools import lru_cache
from typing import Any, NamedTuple

from simulator.market.instruments import E8, Contract, Instrument, digest
from simulator.market.listing import list_instrument, option_share, places, reference_e8, tick_near, worth
from simulator.market.reference import coin_factor

NAME = re.compile(
    r"^(?P<base>[A-Z0-9]+)(_(?P<quote>[A-Z0-9]+))?(-(?P<expiry>PERPETUAL|[0-9]{1,2}[A-Z]{3}[0-9]{2})"
    r"(-(?P<strike>[0-9]+(d[0-9]+)?)-(?P<right>[CP]))?)?$"
)
MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
PERPETUAL_EXPIRY_MS = 32_503_708_800_000
CREATED_MS = 1_534_167_754_000
INVERSE_DOLLARS = {"BTC": 10}
"""Dollars of the smallest inverse order; others 1."""
OPTION_TICK_E8 = E8 // 2000
ORDER_DOLLARS = 3_000
DATED_BASIS = 1.004


class Listing(NamedTuple):
    """What a name says."""

    base: str
    quote: str
    """USD where it is not named."""
    kind: str
    """future, option or spot, as the venue calls it: a perpetual is a future."""
    perpetual: bool
    inverse: bool
    expiry_ms: int
    strike_e8: int
    is_call: bool


@lru_cache(maxsize=8192)
def parse(name: str) -> Listing:
    """Raises ValueError: no name of an instrument."""
    found = NAME.match(name)
    if found is None or (found["quote"] is None and found["expiry"] is None):
        raise ValueError(f"{name!r} is no Deribit instrument")
    if found["strike"] and found["expiry"] == "PERPETUAL":
        raise ValueError(f"{name!r} is no Deribit instrument")
    expiry = found["expiry"]
    kind = "option" if found["strike"] else "future" if expiry else "spot"
    strike = found["strike"].replace("d", ".") if found["strike"] else "0"
    whole, _, rest = strike.partition(".")
    return Listing(
        base=found["base"],
        quote=found["quote"] or "USD",
        kind=kind,
        perpetual=expiry == "PERPETUAL",
        inverse=found["quote"] is None,
        expiry_ms=0 if kind == "spot" else PERPETUAL_EXPIRY_MS if expiry == "PERPETUAL" else expiry_ms(expiry),
        strike_e8=int(whole) * E8 + int(f"{rest:0<8}"),
        is_call=found["right"] == "C",
    )


def expiry_ms(text: str) -> int:
    """`25DEC26` at 08:00 UTC. Raises ValueError."""
    day, month, year = int(text[:-5]), text[-5:-2], int(text[-2:])
    if month not in MONTHS:
        raise ValueError(f"{text!r} is no date")
    return int(dt.datetime(2000 + year, MONTHS.index(month) + 1, day, 8, tzinfo=dt.UTC).timestamp()) * 1000


def instrument(index: int, symbol: str, seed: int) -> Instrument:
    """Every fourth future and most options are quiet. Raises ValueError."""
    listing = parse(symbol)
    if listing.kind == "option":
        return _option(index, symbol, listing, seed)
    price_e8 = reference_e8(listing.base, seed)
    if listing.kind == "future" and not listing.perpetual:
        price_e8 = int(price_e8 * DATED_BASIS)
    tick_e8 = 5 * tick_near(price_e8, 60_000) if listing.inverse else tick_near(price_e8, 60_000)
    if listing.inverse:
        step_e8 = INVERSE_DOLLARS.get(listing.base, 1) * E8
        typical = ORDER_DOLLARS * E8 // step_e8
    else:
        step_e8 = _coin_step(price_e8)
        typical = worth(ORDER_DOLLARS, price_e8, step_e8)
    made = list_instrument(
        index, symbol, listing.base, listing.quote, price_e8=price_e8, tick_e8=tick_e8, step_e8=step_e8,
        typical_qty=typical, seed=seed, quiet=index % 4 == 3,
    )  # fmt: skip
    if listing.kind == "spot":
        return made
    kind = "swap" if listing.perpetual else "future"
    expiry = 0 if listing.perpetual else listing.expiry_ms
    return replace(made, contract=Contract(kind, listing.inverse, E8, expiry))  # type: ignore[arg-type]


def _coin_step(price_e8: int) -> int:
    """The largest power of ten of a coin worth at most ten dollars, one coin at most."""
    step_e8 = E8
    while step_e8 * price_e8 > 10 * E8 * E8 and step_e8 > 1_000:
        step_e8 //= 10
    return step_e8


def _option(index: int, symbol: str, listing: Listing, seed: int) -> Instrument:
    """Worth its intrinsic value and a little time, which follows the coin's common price."""
    spot_e8 = reference_e8(listing.base, seed)
    first = option_share(spot_e8, listing.strike_e8, listing.is_call) * spot_e8
    tick_e8 = OPTION_TICK_E8 if listing.inverse else tick_near(int(first), 100)

    def ticks_at(at_us: int) -> float:
        spot = spot_e8 * coin_factor(seed, listing.base, at_us)
        share = option_share(spot, listing.strike_e8, listing.is_call)
        return (share * E8 if listing.inverse else share * spot) / tick_e8

    made = list_instrument(
        index, symbol, listing.base, listing.base if listing.inverse else listing.quote,
        price_e8=int(first / spot_e8 * E8) if listing.inverse else int(first), tick_e8=tick_e8, step_e8=E8 // 10,
        typical_qty=40, seed=seed, quiet=digest(seed, symbol) % 3 != 0,
    )  # fmt: skip
    contract = Contract("option", False, E8, listing.expiry_ms, listing.strike_e8, listing.is_call)
    return replace(made, fair_at=ticks_at, contract=contract)


def settlement_currency(listing: Listing) -> str:
    return listing.base if listing.inverse else listing.quote


def describe(i: Instrument) -> dict[str, Any]:
    """One entry of get_instruments. Numbers are plain here; the venue prints amounts with a point."""
    listing = parse(i.symbol)
    is_option = listing.kind == "option"
    out: dict[str, Any] = {
        "price_index": f"{listing.base}_{listing.quote}".lower(),
        "kind": listing.kind,
        "instrument_name": i.symbol,
        "maker_commission": 0.0003 if is_option else 0.0,
        "taker_commission": 0.0003 if is_option else 0.0005,
        "instrument_type": "reversed" if listing.inverse else "linear",
        "expiration_timestamp": listing.expiry_ms or PERPETUAL_EXPIRY_MS,
        "creation_timestamp": CREATED_MS,
        "is_active": True,
        "state": "open",
        "tick_size": _number(i.tick_e8),
        "contract_size": _number(E8 if is_option else i.step_e8),
        "instrument_id": i.seed % 1_000_000,
        "min_trade_amount": _number(i.step_e8),
        "block_trade_commission": 0.00025,
        "block_trade_min_trade_amount": 200000,
        "block_trade_tick_size": 0.01,
        "settlement_currency": settlement_currency(listing),
        "base_currency": listing.base,
        "counter_currency": listing.quote,
        "quote_currency": i.quote,
        "tick_size_steps": [],
    }
    if listing.kind != "spot":
        out["max_leverage"] = 1 if is_option else 50
        out["max_liquidation_commission"] = 0.0075
        out["settlement_period"] = "perpetual" if listing.perpetual else "month"
    if listing.kind == "future":
        out["future_type"] = out["instrument_type"]
    if is_option:
        out["option_type"] = "call" if listing.is_call else "put"
        out["strike"] = _number(listing.strike_e8)
    return out


def _number(value_e8: int) -> float:
    return round(value_e8 / E8, places(value_e8))
