"""Kraken's pairs: v2 symbols (`BTC/USD`), and the names the REST endpoints still use (XBT, XXBTZUSD)."""

from __future__ import annotations

from typing import Any

from simulator.market.instruments import Instrument
from simulator.market.listing import fixed, list_instrument, places, reference_e8, tick_near, worth

STEP_E8 = 1_000
OLD_NAMES = {"BTC": ("XBT", "XXBT"), "ETH": ("ETH", "XETH"), "XRP": ("XRP", "XXRP"), "DOGE": ("XDG", "XXDG")}
"""Coin -> name in pairs, name as an asset. Other coins are called the same everywhere."""
OLD_QUOTES = {"USD": "ZUSD", "EUR": "ZEUR", "GBP": "ZGBP"}


def instrument(index: int, symbol: str, seed: int) -> Instrument:
    """Every fourth pair is quiet. Raises ValueError: not BASE/QUOTE."""
    base, slash, quote = symbol.partition("/")
    if not (base and slash and quote):
        raise ValueError(f"{symbol!r} is not BASE/QUOTE")
    price_e8 = reference_e8(base, seed)
    step_e8 = STEP_E8 if price_e8 > 10**8 else 10**6
    tick_e8 = max(tick_near(price_e8, 60_000), 10**8 // step_e8)
    return list_instrument(
        index,
        symbol,
        base,
        quote,
        price_e8=price_e8,
        tick_e8=tick_e8,
        step_e8=step_e8,
        typical_qty=worth(300, price_e8, step_e8),
        seed=seed,
        quiet=index % 4 == 3,
    )


def names(i: Instrument) -> tuple[str, str, str]:
    """Key of the pair, altname, wsname."""
    short, asset = OLD_NAMES.get(i.base, (i.base, i.base))
    quote = OLD_QUOTES.get(i.quote, i.quote)
    key = f"{asset}{quote}" if asset != i.base or i.base in OLD_NAMES else f"{i.base}{i.quote}"
    return key, f"{short}{i.quote}", f"{short}/{i.quote}"


def asset_pair(i: Instrument) -> dict[str, Any]:
    """One entry of AssetPairs."""
    _, altname, wsname = names(i)
    return {
        "altname": altname,
        "wsname": wsname,
        "aclass_base": "currency",
        "base": OLD_NAMES.get(i.base, (i.base, i.base))[1],
        "aclass_quote": "currency",
        "quote": OLD_QUOTES.get(i.quote, i.quote),
        "lot": "unit",
        "cost_decimals": 5,
        "pair_decimals": places(i.tick_e8),
        "lot_decimals": 8,
        "lot_multiplier": 1,
        "leverage_buy": [2, 3, 4, 5, 6, 7, 8, 9, 10],
        "leverage_sell": [2, 3, 4, 5, 6, 7, 8, 9, 10],
        "fees": [[0, 0.4], [10_000, 0.35], [50_000, 0.24], [100_000, 0.22]],
        "fees_maker": [[0, 0.25], [10_000, 0.2], [50_000, 0.14], [100_000, 0.12]],
        "fee_volume_currency": "ZUSD",
        "margin_call": 80,
        "margin_stop": 40,
        "ordermin": fixed(i.step_e8, places(i.step_e8)),
        "costmin": "0.5",
        "tick_size": fixed(i.tick_e8, places(i.tick_e8)),
        "status": "online",
        "long_position_limit": 80,
        "short_position_limit": 80,
    }


def assets(instruments: list[Instrument]) -> dict[str, Any]:
    """The body of Assets: every coin of these pairs."""
    out: dict[str, Any] = {}
    for i in instruments:
        short, asset = OLD_NAMES.get(i.base, (i.base, i.base))
        out[asset] = _asset(short, 10)
        out[OLD_QUOTES.get(i.quote, i.quote)] = _asset(i.quote, 4)
    return out


def _asset(altname: str, decimals: int) -> dict[str, Any]:
    return {
        "aclass": "currency",
        "altname": altname,
        "decimals": decimals,
        "display_decimals": 5 if decimals > 4 else 2,
        "status": "enabled",
    }
