"""Binance instruments from the entries of a segment's `exchangeInfo`."""

from __future__ import annotations

import msgspec

from marketdata.codec import UNDECODABLE
from marketdata.decimals import plain
from marketdata.errors import UnparsableFrame
from marketdata.types import Instrument
from venues.binance import messages as m
from venues.binance.futures_messages import ContractInfo
from venues.contract import Context
from venues.json_numbers import number
from venues.names import future_name, perp_name, spot_name

_read = msgspec.json.Decoder(m.SymbolInfo).decode
_read_contract = msgspec.json.Decoder(ContractInfo).decode


def parse_instrument(body: bytes, ctx: Context) -> Instrument:
    """What a spot symbol is. `tickSize` and `stepSize` come from its filters, never from the precision fields.

    The least notional stands in NOTIONAL, before 2023 in MIN_NOTIONAL. Raises BadData.
    """
    try:
        info = _read(body)
    except UNDECODABLE as exc:
        raise UnparsableFrame(f"not a symbol entry of Binance: {exc}") from None
    if ctx.symbol and info.symbol != ctx.symbol:
        raise UnparsableFrame(f"the entry of {ctx.symbol} says {info.symbol!r}")
    filters = {f.filterType: f for f in info.filters}
    price, lot = filters.get("PRICE_FILTER"), filters.get("LOT_SIZE")
    notional = filters.get("NOTIONAL") or filters.get("MIN_NOTIONAL")
    return Instrument(
        exchange=ctx.exchange,
        market=ctx.market,
        symbol=info.symbol,
        instrument=spot_name(info.baseAsset, info.quoteAsset),
        recv_time_ns=ctx.recv_time_ns,
        base=info.baseAsset,
        quote=info.quoteAsset,
        settle=info.quoteAsset,
        status=info.status or "",
        tick_size=_size(price.tickSize if price else ""),
        lot_size=_size(lot.stepSize if lot else ""),
        min_quantity=_size(lot.minQty if lot else ""),
        min_notional=_size((notional.minNotional or notional.notional) if notional else ""),
    )


def parse_contract(body: bytes, ctx: Context) -> Instrument:
    """What a USD-M symbol is: counted in base coin, perpetual or dated. Any status and contract type is accepted.

    A perpetual's `deliveryDate` lies in 2100, or on the day it is delisted; only dated contracts expire.
    """
    instrument = parse_instrument(body, ctx)
    try:
        info = _read_contract(body)
    except UNDECODABLE as exc:
        raise UnparsableFrame(f"not a contract entry of Binance: {exc}") from None
    dated = "PERPETUAL" not in (info.contractType or "") and info.symbol.rpartition("_")[2].isdigit()
    expiry_us = info.deliveryDate * 1000 if dated else 0
    try:
        name = (
            future_name(instrument.base, instrument.quote, expiry_us)
            if dated
            else perp_name(instrument.base, instrument.quote)
        )
    except OverflowError:
        raise UnparsableFrame(f"{info.symbol} delivers at {info.deliveryDate} ms, beyond the calendar") from None
    return msgspec.structs.replace(
        instrument,
        instrument=name,
        settle=info.marginAsset,
        status=instrument.status or info.contractStatus or "",
        expiry_us=expiry_us,
    )


def parse_coin_margined_contract(body: bytes, ctx: Context) -> Instrument:
    """What a COIN-M symbol is: its streams count contracts of `contractSize` quote currency each."""
    size = number(_read_contract_size(body))
    if not size.strip("0.-") or size.startswith("-"):
        raise UnparsableFrame(f"the entry of {ctx.symbol or 'a contract'} says no contract size")
    return msgspec.structs.replace(
        parse_contract(body, ctx), contract_multiplier=size, inverse=True, contract_size=size
    )


def _read_contract_size(body: bytes) -> msgspec.Raw:
    try:
        return _read_contract(body).contractSize
    except UNDECODABLE as exc:
        raise UnparsableFrame(f"not a contract entry of Binance: {exc}") from None


def _size(value: str) -> str:
    """Empty where there is no rule, which the venue also writes as zero."""
    return plain(value) if value.strip("0.") else ""
