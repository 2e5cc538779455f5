"""HTX instruments from the entries of `/v1/common/symbols`, `swap_contract_info` and their like."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from marketdata.decimals import is_whole, to_text, to_units
from marketdata.errors import UnparsableFrame
from marketdata.types import Instrument
from venues.contract import Context
from venues.htx import messages as m
from venues.htx.normalise import reader
from venues.htx.numbers import required
from venues.htx.symbols import market_of
from venues.json_numbers import number
from venues.names import future_name, option_name, perp_name, spot_name, upper_ascii

CONTRACT_STEP = "1"
"""Contracts are traded whole."""
DELIVERY_HOUR_UTC = 8
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_read_symbol = reader(m.SpotSymbol, "symbol entry")
_read_contract = reader(m.Contract, "contract entry")


def parse_symbol(body: bytes, ctx: Context) -> Instrument:
    """A spot pair. The steps are given as numbers of decimals. Raises BadData."""
    info = _read_symbol(body)
    symbol = _own(upper_ascii(info.symbol), ctx)
    base, quote = upper_ascii(info.base_currency), upper_ascii(info.quote_currency)
    return Instrument(
        exchange=ctx.exchange,
        market=ctx.market,
        symbol=symbol,
        instrument=spot_name(base, quote),
        recv_time_ns=ctx.recv_time_ns,
        base=base,
        quote=quote,
        settle=quote,
        status=info.state,
        tick_size=_step(info.price_precision),
        lot_size=_step(info.amount_precision),
        min_quantity=number(info.limit_order_min_order_amt) or number(info.min_order_amt),
        min_notional=number(info.min_order_value),
    )


def parse_contract(body: bytes, ctx: Context) -> Instrument:
    """A contract: linear ones are worth `contract_size` base coins, coin-margined ones as many USD. Raises BadData.

    (The documents call both "USD"; recorded: BTC-USDT 0.001, BTC-USD 100.)
    """
    info = _read_contract(body)
    symbol = _own(upper_ascii(info.contract_code), ctx)
    market, base = market_of(symbol), info.symbol
    inverse = market in ("inverse", "future")
    size = required(info.contract_size, "contract_size")
    quote = "USD" if inverse else "USDT"
    expiry_us = 0 if market in ("perp", "inverse") else _expiry_us(symbol, info)
    name, kind, strike = perp_name(base, quote), "", ""
    if market == "future":
        name = future_name(base, quote, expiry_us)
    elif market == "option":
        *_, letter, strike = symbol.split("-")
        kind = "call" if letter == "C" else "put"
        name = option_name(base, quote, expiry_us, strike, "call" if letter == "C" else "put")
    return Instrument(
        exchange=ctx.exchange,
        market=ctx.market,
        symbol=symbol,
        instrument=name,
        recv_time_ns=ctx.recv_time_ns,
        base=base,
        quote=quote,
        settle=base if inverse else quote,
        status=str(info.contract_status),
        tick_size=number(info.price_tick),
        lot_size=CONTRACT_STEP,
        min_quantity=CONTRACT_STEP,
        contract_multiplier=to_text(*to_units(size)),
        inverse=inverse,
        contract_size=size,
        expiry_us=expiry_us,
        strike=strike,
        option_kind="call" if kind == "call" else "put" if kind == "put" else "",
    )


def _own(symbol: str, ctx: Context) -> str:
    if ctx.symbol and symbol != ctx.symbol:
        raise UnparsableFrame(f"the entry of {ctx.symbol} says {symbol!r}")
    return symbol


def _step(decimals: int) -> str:
    """10 to the power of minus `decimals`."""
    if not 0 <= decimals <= 30:
        raise UnparsableFrame(f"a precision of {decimals} decimals")
    return f"0.{'0' * (decimals - 1)}1" if decimals else "1"


def _expiry_us(symbol: str, info: m.Contract) -> int:
    """The time the venue gives, else 08:00 UTC of the day in the code."""
    if info.delivery_time and is_whole(info.delivery_time):
        return int(info.delivery_time) * 1000
    digits = next((part for part in (symbol[-6:], *symbol.split("-")) if len(part) == 6 and part.isdigit()), "")
    try:
        day = datetime.strptime(digits, "%y%m%d").replace(tzinfo=UTC)
    except ValueError:
        raise UnparsableFrame(f"{symbol} does not say when it is delivered") from None
    return int((day - _EPOCH) / timedelta(microseconds=1)) + DELIVERY_HOUR_UTC * 3_600_000_000
