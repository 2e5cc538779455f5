"""Deribit instruments from the entries of `public/get_instruments`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec

from marketdata.codec import UNDECODABLE
from marketdata.errors import UnparsableFrame
from marketdata.types import Instrument
from venues.contract import Context
from venues.deribit.messages import InstrumentMsg
from venues.deribit.symbols import symbol_of
from venues.json_numbers import number
from venues.names import future_name, option_name, perp_name, spot_name

_read = msgspec.json.Decoder(InstrumentMsg).decode
OptionKind = Literal["", "call", "put"]
_OPTION_KINDS: Mapping[str, OptionKind] = {"call": "call", "put": "put"}


def parse_instrument(body: bytes, ctx: Context) -> Instrument:
    """What an instrument is.

    Amounts of inverse perpetuals and futures are in USD, all others in base coin: `contract_size` never enters. The
    size of a lot is not told (amounts are multiples of the least one, or of the contract). Raises BadData.
    """
    try:
        msg = _read(body)
    except UNDECODABLE as exc:
        raise UnparsableFrame(f"not an instrument of Deribit: {exc}") from None
    symbol = symbol_of(msg.instrument_name)
    if ctx.symbol and symbol != ctx.symbol:
        raise UnparsableFrame(f"the entry of {ctx.symbol} says {msg.instrument_name!r}")
    is_perpetual = msg.settlement_period == "perpetual" or msg.kind == "spot"
    expiry_us = 0 if is_perpetual else (msg.expiration_timestamp or 0) * 1000  # perpetuals "expire" in the year 3000
    inverse = msg.kind == "future" and _is_reversed(msg)
    strike = number(msg.strike) if msg.kind == "option" else ""
    option_kind: OptionKind = _OPTION_KINDS.get(msg.option_type or "", "") if msg.kind == "option" else ""
    return Instrument(
        exchange=ctx.exchange,
        market=ctx.market,
        symbol=symbol,
        instrument=_name(msg, expiry_us, strike, option_kind),
        recv_time_ns=ctx.recv_time_ns,
        base=msg.base_currency,
        quote=msg.quote_currency,
        settle=msg.settlement_currency or (msg.base_currency if _is_reversed(msg) else msg.quote_currency),
        status=msg.state or ("inactive" if msg.is_active is False else "active"),
        tick_size=number(msg.tick_size),
        tick_steps=[(number(step.above_price), number(step.tick_size)) for step in msg.tick_size_steps or ()],
        min_quantity=number(msg.min_trade_amount),
        inverse=inverse,
        contract_size=number(msg.contract_size),
        expiry_us=expiry_us,
        strike=strike,
        option_kind=option_kind,
    )


def _is_reversed(msg: InstrumentMsg) -> bool:
    """Settled in the base coin. Replies of 2021 do not say: all there was then was."""
    said = msg.instrument_type or msg.future_type
    if said:
        return said == "reversed"
    return msg.kind != "spot" and msg.quote_currency in ("USD", msg.base_currency)


def _name(msg: InstrumentMsg, expiry_us: int, strike: str, option_kind: OptionKind) -> str:
    base, quote = msg.base_currency, msg.quote_currency
    try:
        if msg.kind == "spot":
            return spot_name(base, quote)
        if msg.kind == "future":
            return future_name(base, quote, expiry_us) if expiry_us else perp_name(base, quote)
        if msg.kind == "option" and option_kind and strike:
            return option_name(base, "" if _is_reversed(msg) else quote, expiry_us, strike, option_kind)
    except OverflowError:
        raise UnparsableFrame(f"{msg.instrument_name} expires at {msg.expiration_timestamp} ms") from None
    raise UnparsableFrame(f"{msg.instrument_name} of kind {msg.kind!r} is no instrument we know")
