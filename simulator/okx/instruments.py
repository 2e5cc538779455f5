"""OKX's instruments by their names. Derivatives count in contracts.

BTC-USDT  BTC-USDT-SWAP  BTC-USD-SWAP (inverse)  BTC-USD_UM-SWAP (linear)  BTC-USDT-261225  BTC-USD-261225-50000-C
"""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import replace
from functools import lru_cache
from typing import Any, Literal, NamedTuple

from simulator.market.instruments import E8, Contract, Instrument, digest
from simulator.market.listing import (
    fixed,
    list_instrument,
    option_share,
    places,
    reference_e8,
    tick_near,
    worth,
)  # fmt: skip
from simulator.market.reference import coin_factor

NAME = re.compile(
    r"^(?P<base>[A-Z0-9]+)-(?P<quote>[A-Z0-9]+)(?P<linear>_UM)?"
    r"(?:-(?:(?P<swap>SWAP)|(?P<day>[0-9]{6})(?:-(?P<strike>[0-9]{1,9}(?:\.[0-9]{1,8})?)-(?P<right>[CP]))?))?$"
)
TICKS = 100_000
ORDER_DOLLARS = 800
DATED_BASIS = 1.004
INVERSE_DOLLARS = {"BTC": 100}
"""Of one contract; 10 of all others."""
OPTION_TICK_E8 = E8 // 10_000
"""Options are priced in the coin."""
OPTION_E8 = {"BTC": E8 // 100}
"""Coins of one option, 0.1 of all others."""
OPTION_ORDER = 20
LISTED_MS = 1_611_916_828_000

Kind = Literal["SPOT", "SWAP", "FUTURES", "OPTION"]


class Listing(NamedTuple):
    """What a name says."""

    kind: Kind
    base: str
    quote: str
    family: str
    """With the suffix of linear contracts in dollars, which the name of their index is without."""
    inverse: bool
    expiry_ms: int
    """0: none."""
    strike_e8: int
    is_call: bool


@lru_cache(maxsize=8192)
def parse(symbol: str) -> Listing:
    """Raises ValueError: no name of an instrument."""
    found = NAME.match(symbol)
    if found is None:
        raise ValueError(f"okx has no instrument {symbol!r}")
    base, quote, day, strike = found["base"], found["quote"], found["day"], found["strike"]
    kind: Kind = "OPTION" if strike else "FUTURES" if day else "SWAP" if found["swap"] else "SPOT"
    if found["linear"] and (quote != "USD" or kind not in ("SWAP", "FUTURES")):
        raise ValueError(f"okx has no instrument {symbol!r}: _UM is of contracts in USD")
    if kind == "OPTION" and quote != "USD":
        raise ValueError(f"okx has no instrument {symbol!r}: its options are of families in USD")
    whole, _, rest = (strike or "0").partition(".")
    return Listing(
        kind=kind,
        base=base,
        quote=quote,
        family=f"{base}-{quote}{found['linear'] or ''}",
        inverse=quote == "USD" and kind in ("SWAP", "FUTURES") and not found["linear"],
        expiry_ms=_expiry_ms(day) if day else 0,
        strike_e8=int(whole) * E8 + int(f"{rest:0<8}"),
        is_call=found["right"] == "C",
    )


def _expiry_ms(day: str) -> int:
    """`261225` at 08:00 UTC. Raises ValueError."""
    year, month, day_of_month = int(day[:2]), int(day[2:4]), int(day[4:])
    return int(dt.datetime(2000 + year, month, day_of_month, 8, tzinfo=dt.UTC).timestamp()) * 1000


def kind_of(symbol: str) -> Kind:
    """The venue's `instType`."""
    return parse(symbol).kind


def family_of(symbol: str) -> str:
    return parse(symbol).family


def index_of(symbol: str) -> str:
    """The name of the index."""
    listing = parse(symbol)
    return f"{listing.base}-{listing.quote}"


def contract_of(listing: Listing, price_e8: int) -> Contract:
    """The venue's sizes: inverse ones in dollars, linear ones about 100 to 1,000 dollars of coin."""
    kind: Literal["swap", "future"] = "future" if listing.expiry_ms else "swap"
    if listing.inverse:
        return Contract(kind, True, INVERSE_DOLLARS.get(listing.base, 10) * E8, listing.expiry_ms)
    value_e8 = 1
    while value_e8 * 10 * price_e8 <= 1_000 * E8 * E8:
        value_e8 *= 10
    return Contract(kind, False, value_e8, listing.expiry_ms)


def make_instrument(index: int, symbol: str, seed: int) -> Instrument:
    """See `dialect.Segment.instrument`."""
    listing = parse(symbol)
    if listing.kind == "OPTION":
        return _option(index, symbol, listing, seed)
    price_e8 = reference_e8(listing.base, seed)
    if listing.expiry_ms:
        price_e8 = int(price_e8 * DATED_BASIS)
    contract = None if listing.kind == "SPOT" else contract_of(listing, price_e8)
    tick_e8 = tick_near(price_e8, TICKS)
    if contract is None:
        step_e8 = max(E8 // tick_e8, tick_near(E8 * E8 // price_e8, 1))
        typical_qty = worth(ORDER_DOLLARS, price_e8, step_e8)
    elif contract.inverse:
        step_e8, typical_qty = E8, ORDER_DOLLARS * E8 // contract.value_e8
    else:
        step_e8 = max(E8 // 100, E8 // tick_e8)
        typical_qty = ORDER_DOLLARS * E8 * E8 // (contract.value_e8 * price_e8) * E8 // step_e8
    made = list_instrument(
        index,
        symbol,
        listing.base,
        listing.quote,
        price_e8=price_e8,
        tick_e8=tick_e8,
        step_e8=step_e8,
        typical_qty=typical_qty,
        seed=seed,
        quiet=index % 6 == 5,
    )
    return replace(made, contract=contract)


def _option(index: int, symbol: str, listing: Listing, seed: int) -> Instrument:
    """Worth a share of the coin, which follows the coin's common price. Most are quiet."""
    first_e8 = reference_e8(listing.base, seed)

    def share_at(factor: float) -> float:
        return option_share(first_e8 * factor, listing.strike_e8, listing.is_call)

    made = list_instrument(
        index,
        symbol,
        listing.base,
        listing.base,
        price_e8=int(share_at(1.0) * E8),
        tick_e8=OPTION_TICK_E8,
        step_e8=E8,
        typical_qty=OPTION_ORDER,
        seed=seed,
        quiet=digest(seed, symbol) % 3 != 0,
    )
    value_e8 = OPTION_E8.get(listing.base, E8 // 10)
    return replace(
        made,
        contract=Contract("option", False, value_e8, listing.expiry_ms, listing.strike_e8, listing.is_call),
        fair_at=lambda at_us: share_at(coin_factor(seed, listing.base, at_us)) * E8 / OPTION_TICK_E8,
    )


def number(value_e8: int) -> str:
    """Without trailing zeros, as the venue writes sizes and most prices."""
    return fixed(value_e8, places(value_e8))


def describe(i: Instrument) -> dict[str, Any]:
    """An entry of /public/instruments and of the channel `instruments`."""
    contract, listing = i.contract, parse(i.symbol)
    is_option = listing.kind == "OPTION"
    value = number(contract.value_e8) if contract else ""
    tick, lot = number(i.tick_e8), number(i.step_e8)
    return {
        "alias": "",
        "auctionEndTime": "",
        "baseCcy": "" if contract else i.base,
        "category": "1",
        "contTdSwTime": "",
        "ctMult": value if is_option else "1" if contract else "",
        "ctType": "" if contract is None or is_option else "inverse" if listing.inverse else "linear",
        "ctVal": "1" if is_option else value,
        "ctValCcy": "" if contract is None else i.quote if listing.inverse else i.base,
        "expTime": str(listing.expiry_ms) if listing.expiry_ms else "",
        "futureSettlement": False,
        "instFamily": listing.family if contract else "",
        "instId": i.symbol,
        "instIdCode": 10_000 + i.index,
        "instType": listing.kind,
        "lever": "100" if contract and not is_option else "",
        "listTime": str(LISTED_MS),
        "lotSz": lot,
        "maxIcebergSz": "100000000.0000000000000000",
        "maxLmtAmt": "20000000",
        "maxLmtSz": "100000000",
        "maxMktAmt": "" if contract else "1000000",
        "maxMktSz": "30000",
        "maxPlatOILmt": "",
        "maxStopSz": "30000",
        "maxTriggerSz": "100000000.0000000000000000",
        "maxTwapSz": "100000000.0000000000000000",
        "minSz": lot,
        "openType": "",
        "optType": "" if not is_option else "C" if listing.is_call else "P",
        "posLmtAmt": "",
        "posLmtPct": "",
        "preMktSwTime": "",
        "quoteCcy": "" if contract else i.quote,
        "ruleType": "normal",
        "settleCcy": "" if contract is None else i.base if listing.inverse else i.quote,
        "state": "live",
        "stk": number(listing.strike_e8) if is_option else "",
        "tickSz": tick,
        "tradeQuoteCcyList": [] if contract else [i.quote],
        "uly": index_of(i.symbol) if contract else "",
        "upcChg": [],
    }
