"""OKX's instruments: BTC-USDT, BTC-USDT-SWAP, BTC-USD-SWAP, BTC-USDT-261225. Derivatives count in contracts."""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import replace
from typing import Any, Literal

from simulator.market.instruments import E8, Contract, Instrument
from simulator.market.listing import fixed, list_instrument, places, reference_e8, tick_near, worth

NAME = re.compile(r"^(?P<base>[A-Z0-9]+)-(?P<quote>[A-Z0-9]+)(?:-(?P<kind>SWAP|[0-9]{6}))?$")
TICKS = 100_000
ORDER_DOLLARS = 800
DATED_BASIS = 1.004
INVERSE_DOLLARS = {"BTC": 100}
"""Of one contract; 10 of all others."""
LISTED_MS = 1_611_916_828_000


def kind_of(symbol: str) -> str:
    """SPOT, SWAP or FUTURES."""
    found = NAME.match(symbol)
    kind = found["kind"] if found is not None else None
    return "SPOT" if kind is None else "SWAP" if kind == "SWAP" else "FUTURES"


def family_of(symbol: str) -> str:
    return "-".join(symbol.split("-")[:2])


def contract_of(base: str, quote: str, kind: str, price_e8: int) -> Contract:
    """The venue's sizes: inverse ones in dollars, linear ones about 100 to 1,000 dollars of coin."""
    expiry_ms = 0
    if kind != "SWAP":
        day = dt.datetime.strptime(kind, "%y%m%d").replace(hour=8, tzinfo=dt.UTC)
        expiry_ms = int(day.timestamp()) * 1000
    name: Literal["swap", "future"] = "future" if expiry_ms else "swap"
    if quote == "USD":
        return Contract(name, inverse=True, value_e8=INVERSE_DOLLARS.get(base, 10) * E8, expiry_ms=expiry_ms)
    value_e8 = 1
    while value_e8 * 10 * price_e8 <= 1_000 * E8 * E8:
        value_e8 *= 10
    return Contract(name, inverse=False, value_e8=value_e8, expiry_ms=expiry_ms)


def make_instrument(index: int, symbol: str, seed: int) -> Instrument:
    """See `dialect.Segment.instrument`."""
    found = NAME.match(symbol)
    if found is None:
        raise ValueError(f"okx has no instrument {symbol!r}")
    base, quote, kind = found["base"], found["quote"], found["kind"]
    price_e8 = reference_e8(base, seed)
    if kind not in (None, "SWAP"):
        price_e8 = int(price_e8 * DATED_BASIS)
    contract = None if kind is None else contract_of(base, quote, kind, price_e8)
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
        base,
        quote,
        price_e8=price_e8,
        tick_e8=tick_e8,
        step_e8=step_e8,
        typical_qty=typical_qty,
        seed=seed,
        quiet=index % 6 == 5,
    )
    return replace(made, contract=contract)


def number(value_e8: int) -> str:
    """Without trailing zeros, as the venue writes sizes and most prices."""
    return fixed(value_e8, places(value_e8))


def describe(i: Instrument) -> dict[str, Any]:
    """An entry of /public/instruments and of the channel `instruments`."""
    contract = i.contract
    family = family_of(i.symbol)
    inverse = contract is not None and contract.inverse
    tick, lot = number(i.tick_e8), number(i.step_e8)
    return {
        "alias": "",
        "auctionEndTime": "",
        "baseCcy": "" if contract else i.base,
        "category": "1",
        "contTdSwTime": "",
        "ctMult": "1" if contract else "",
        "ctType": "" if contract is None else "inverse" if inverse else "linear",
        "ctVal": number(contract.value_e8) if contract else "",
        "ctValCcy": "" if contract is None else i.quote if inverse else i.base,
        "expTime": str(contract.expiry_ms) if contract and contract.expiry_ms else "",
        "futureSettlement": False,
        "instFamily": family if contract else "",
        "instId": i.symbol,
        "instIdCode": 10_000 + i.index,
        "instType": kind_of(i.symbol),
        "lever": "100" if contract else "",
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
        "optType": "",
        "posLmtAmt": "",
        "posLmtPct": "",
        "preMktSwTime": "",
        "quoteCcy": "" if contract else i.quote,
        "ruleType": "normal",
        "settleCcy": "" if contract is None else i.base if inverse else i.quote,
        "state": "live",
        "stk": "",
        "tickSz": tick,
        "tradeQuoteCcyList": [] if contract else [i.quote],
        "uly": family if contract else "",
        "upcChg": [],
    }
