"""HTX's symbols: `BTCUSDT` on spot (lower case on the wire), `BTC-USDT` for swaps, whose books count contracts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from simulator.htx.numbers import short
from simulator.market.instruments import E8, Contract, Instrument, make_instrument, split_symbol
from simulator.market.listing import list_instrument, places, reference_e8, tick_near, worth

CONTRACT_E8 = {"BTC": E8 // 1000, "ETH": E8 // 100, "SOL": E8, "XRP": 10 * E8, "DOGE": 100 * E8, "LTC": E8 // 10}
"""Coins of one contract, in 1e-8."""


def spot_instrument(index: int, symbol: str, seed: int) -> Instrument:
    """Ticks and lots as on other spot venues. Raises ValueError: not letters and digits only."""
    if not symbol.isalnum() or symbol != symbol.upper():
        raise ValueError(f"{symbol!r} is no HTX spot symbol in upper case")
    base, quote = split_symbol(symbol)
    shape = make_instrument(index, symbol, seed)
    price_e8 = reference_e8(base, seed)
    return list_instrument(
        index,
        symbol,
        base,
        quote,
        price_e8=price_e8,
        tick_e8=shape.tick_e8,
        step_e8=shape.step_e8,
        typical_qty=worth(300, price_e8, shape.step_e8),
        seed=seed + 11,
        quiet=index % 4 == 3,
    )


def swap_instrument(index: int, symbol: str, seed: int) -> Instrument:
    """One step is one contract. Raises ValueError: not BASE-USDT."""
    base, dash, quote = symbol.partition("-")
    if not (base and dash and quote == "USDT"):
        raise ValueError(f"{symbol!r} is not BASE-USDT")
    price_e8 = reference_e8(base, seed)
    step_e8 = CONTRACT_E8.get(base, 10 * E8 if price_e8 < 10 * E8 else E8 // 10)
    made = list_instrument(
        index,
        symbol,
        base,
        quote,
        price_e8=price_e8,
        tick_e8=max(tick_near(price_e8, 60_000), E8 // step_e8),
        step_e8=step_e8,
        typical_qty=worth(1_000, price_e8, step_e8),
        seed=seed + 12,
        quiet=index % 4 == 3,
    )
    return replace(made, contract=Contract("swap", False, step_e8))


def symbol_entry(i: Instrument) -> dict[str, Any]:
    """One row of /v1/common/symbols."""
    amount_places = places(i.step_e8)
    return {
        "base-currency": i.base.lower(),
        "quote-currency": i.quote.lower(),
        "price-precision": places(i.tick_e8),
        "amount-precision": amount_places,
        "symbol-partition": "main",
        "symbol": i.symbol.lower(),
        "state": "online",
        "value-precision": 8,
        "min-order-amt": float(short(i.step_e8)),
        "max-order-amt": 100000,
        "min-order-value": 5,
        "limit-order-min-order-amt": float(short(i.step_e8)),
        "limit-order-max-order-amt": 100000,
        "limit-order-max-buy-amt": 100000,
        "limit-order-max-sell-amt": 100000,
        "sell-market-min-order-amt": float(short(i.step_e8)),
        "sell-market-max-order-amt": 10000,
        "buy-market-max-order-value": 100000,
        "api-trading": "enabled",
        "tags": "",
    }


def contract_entry(i: Instrument, settlement_ms: int) -> str:
    """One row of swap_contract_info and of the notifications about it; sizes as JSON numbers."""
    return (
        f'{{"symbol":"{i.base}","contract_code":"{i.symbol}","contract_size":{short(i.step_e8)},'
        f'"price_tick":{short(i.tick_e8)},"delivery_date":"","delivery_time":"","create_date":"20201021",'
        f'"contract_status":1,"settlement_date":"{settlement_ms}","support_margin_mode":"all",'
        f'"business_type":"swap","pair":"{i.symbol}","contract_type":"swap","trade_partition":"{i.quote}"}}'
    )
