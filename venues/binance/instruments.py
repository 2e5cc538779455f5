"""Binance spot instruments from the entries of `/api/v3/exchangeInfo`."""

from __future__ import annotations

import msgspec

from marketdata.decimals import plain
from marketdata.errors import UnparsableFrame
from marketdata.types import Instrument
from venues.binance import messages as m
from venues.contract import Context

_read = msgspec.json.Decoder(m.SymbolInfo).decode


def parse_instrument(body: bytes, ctx: Context) -> Instrument:
    """What a symbol is. `tickSize` and `stepSize` come from its filters, never from the precision fields.

    The least notional stands in NOTIONAL, before 2023 in MIN_NOTIONAL. Raises BadData.
    """
    try:
        info = _read(body)
    except (msgspec.MsgspecError, UnicodeDecodeError) as exc:
        raise UnparsableFrame(f"not a symbol entry of Binance spot: {exc}") from None
    if ctx.symbol and info.symbol != ctx.symbol:
        raise UnparsableFrame(f"the entry of {ctx.symbol} says {info.symbol!r}")
    filters = {f.filterType: f for f in info.filters}
    price, lot = filters.get("PRICE_FILTER"), filters.get("LOT_SIZE")
    notional = filters.get("NOTIONAL") or filters.get("MIN_NOTIONAL")
    return Instrument(
        exchange=ctx.exchange,
        market=ctx.market,
        symbol=info.symbol,
        instrument=f"{info.baseAsset}-{info.quoteAsset}",
        recv_time_ns=ctx.recv_time_ns,
        base=info.baseAsset,
        quote=info.quoteAsset,
        settle=info.quoteAsset,
        status=info.status,
        tick_size=_size(price.tickSize if price else ""),
        lot_size=_size(lot.stepSize if lot else ""),
        min_quantity=_size(lot.minQty if lot else ""),
        min_notional=_size(notional.minNotional if notional else ""),
    )


def _size(value: str) -> str:
    """Empty where there is no rule, which the venue also writes as zero."""
    return plain(value) if value.strip("0.") else ""
