"""Names of OKX subscriptions. One is `<channel>:<id>`, like `books:BTC-USDT` or `liquidation-orders:SWAP`."""

from __future__ import annotations

import re
from typing import Final

from venues.contract import EVERY_SYMBOL, Stream
from venues.okx.messages import Arg
from venues.okx.symbols import INST_TYPES, OkxMarket

_COMMON: Final = {
    "trade": "trades-all",
    "agg_trade": "trades",
    "book": "books",
    "bbo": "bbo-tbt",
    "kline": "candle1m",
    "ticker": "tickers",
}
_CONTRACT: Final = _COMMON | {"mark_price": "mark-price", "open_interest": "open-interest"}

CHANNEL_STREAMS: Final[dict[OkxMarket, dict[str, str]]] = {
    "spot": _COMMON,
    "perp": _CONTRACT | {"funding": "funding-rate", "liquidation": "liquidation-orders"},
    "future": _CONTRACT | {"liquidation": "liquidation-orders"},
    "option": _CONTRACT,
}
"""Our channels and the venue's, per market."""

POLLED: Final[dict[OkxMarket, tuple[str, ...]]] = {
    "spot": (), "perp": ("long_short",), "future": ("long_short",), "option": (),
}  # fmt: skip
"""Channels that only REST has."""

_WIRE_CHANNELS: Final = {wire: ours for ours, wire in CHANNEL_STREAMS["perp"].items()} | {
    "books-l2-tbt": "book",
    "books5": "partial_book",
    "books50-l2-tbt": "partial_book",
    "books-rpi": "partial_book",
    "books-elp": "partial_book",
    "price-limit": "price_limit",
    "index-tickers": "index_ticker",
    "opt-summary": "option_summary",
}
_CANDLE = re.compile(r"candle\w+")
_PRICE_CANDLE = re.compile(r"(mark-price|index)-candle\w+")

_BY_INST_TYPE: Final = frozenset(("liquidation-orders", "instruments"))
_BUSINESS: Final = re.compile(r"trades-all|(mark-price-|index-)?candle\w+")

PUBLIC: Final = "public"
BUSINESS: Final = "business"


def channel_of(wire: str) -> str | None:
    """Our name for a channel of the venue's that carries market data; None: of no kind we know."""
    if wire in _WIRE_CHANNELS:
        return _WIRE_CHANNELS[wire]
    if _CANDLE.fullmatch(wire):
        return "kline"
    return "price_kline" if _PRICE_CANDLE.fullmatch(wire) else None


def route_of(name: str) -> str:
    """The last part of the path a stream lives on."""
    return BUSINESS if _BUSINESS.fullmatch(name.partition(":")[0]) else PUBLIC


def name_of(arg: Arg) -> str:
    """The stream's name; `arg_of` undoes it."""
    scope = arg.instId or arg.instType or arg.instFamily or arg.uly
    return f"{arg.channel}:{scope}" if scope else arg.channel


def arg_of(name: str) -> dict[str, str]:
    """What a request says to name this stream."""
    channel, _, scope = name.partition(":")
    if channel in _BY_INST_TYPE:
        return {"channel": channel, "instType": scope}
    if channel == "opt-summary":
        return {"channel": channel, "instFamily": scope}
    return {"channel": channel, "instId": scope}


def stream_of(arg: Arg) -> Stream | None:
    """The stream a frame names; None when it is of no kind we know."""
    channel = channel_of(arg.channel)
    return None if channel is None else Stream(name_of(arg), channel, arg.instId or EVERY_SYMBOL)


def symbol_stream(market: OkxMarket, channel: str, symbol: str) -> Stream:
    """The stream that carries a channel for a symbol: its own, or the one of all symbols of its market."""
    wire = CHANNEL_STREAMS[market][channel]
    if wire in _BY_INST_TYPE:
        return Stream(f"{wire}:{INST_TYPES[market]}", channel, EVERY_SYMBOL)
    return Stream(f"{wire}:{symbol}", channel, symbol)
