"""Kraken spot instruments from the entries of `/0/public/AssetPairs`."""

from __future__ import annotations

import msgspec

from marketdata.codec import UNDECODABLE
from marketdata.decimals import plain, to_text
from marketdata.errors import UnparsableFrame
from marketdata.types import Instrument
from venues.contract import Context
from venues.kraken.messages import PairMsg, PairName
from venues.names import spot_name

RENAMED = {"XBT": "BTC", "XDG": "DOGE"}
"""Names that `wsname` still has from API v1 and v2 does not."""

_read = msgspec.json.Decoder(PairMsg).decode
_read_name = msgspec.json.Decoder(PairName).decode


def symbol_of(wsname: str) -> str:
    """The symbol as API v2 writes it: `BTC/USD` of `XBT/USD`."""
    base, slash, quote = wsname.partition("/")
    return RENAMED.get(base, base) + slash + RENAMED.get(quote, quote)


def listed_symbol(entry: bytes | msgspec.Raw) -> str:
    """The symbol of an AssetPairs entry; "" where it has no name as v2 wants it: not every pair is on the socket."""
    try:
        symbol = symbol_of(_read_name(entry).wsname)
    except UNDECODABLE:
        return ""
    base, _, quote = symbol.partition("/")
    return symbol if base and quote else ""


def parse_instrument(body: bytes, ctx: Context) -> Instrument:
    """What a pair is. Raises BadData."""
    try:
        msg = _read(body)
    except UNDECODABLE as exc:
        raise UnparsableFrame(f"not a pair of Kraken: {exc}") from None
    symbol = symbol_of(msg.wsname)
    base, slash, quote = symbol.partition("/")
    if not (base and slash and quote) or (ctx.symbol and symbol != ctx.symbol):
        raise UnparsableFrame(f"the entry of {ctx.symbol or 'a pair'} says {msg.wsname!r}")
    return Instrument(
        exchange=ctx.exchange,
        market=ctx.market,
        symbol=symbol,
        instrument=spot_name(base, quote),
        recv_time_ns=ctx.recv_time_ns,
        base=base,
        quote=quote,
        settle=quote,
        status=msg.status or "",
        tick_size=plain(msg.tick_size) if msg.tick_size else "",
        lot_size=to_text(1, msg.lot_decimals),
        min_quantity=plain(msg.ordermin) if msg.ordermin else "",
        min_notional=plain(msg.costmin) if msg.costmin else "",
    )
