"""Wire shapes of Kraken's WebSocket API v2 and of its metadata: only the fields we use, under the venue's own names.

Source: https://docs.kraken.com/exchange/api-reference/spot-websocket-v2/ (2026). Prices and quantities are JSON numbers
whose digits count for the checksum: they stay raw. Times are RFC 3339 in UTC.
"""

from __future__ import annotations

from typing import Any

from msgspec import Raw, Struct

Text = str | None
"""Of a field that may be left out: the venue may as well write null."""


class Named(Struct, gc=False):
    symbol: Text = ""
    timestamp: Text = ""


class Envelope(Struct):
    """Every frame: data and notices have a channel, answers a method."""

    channel: Text = ""
    type: Text = ""
    data: list[Raw] | None = None
    method: Text = ""
    success: bool | None = None
    error: Text = ""
    symbol: Text = ""
    """Of a refusal, where it is about one."""
    result: dict[str, Any] | None = None
    req_id: int | None = None


class LevelMsg(Struct, gc=False):
    price: Raw
    qty: Raw


class BookMsg(Struct, gc=False):
    symbol: str
    bids: list[LevelMsg]
    asks: list[LevelMsg]
    checksum: int
    timestamp: Text = ""


class BookFrameMsg(Struct, gc=False):
    """`book`: one symbol a frame."""

    type: str
    data: tuple[BookMsg]


class BookIds(Struct, gc=False):
    symbol: str
    timestamp: Text = ""


class BookIdsFrame(Struct, gc=False):
    """A book frame without its levels."""

    type: str
    data: tuple[BookIds]


class TradeMsg(Struct, gc=False):
    symbol: str
    side: str
    """Of the taker."""
    price: Raw
    qty: Raw
    trade_id: int
    """Counts per symbol."""
    timestamp: str


class TradeFrame(Struct, gc=False):
    """`trade`; a snapshot holds the last 50."""

    data: list[TradeMsg]


class PairName(Struct):
    """An entry of `/0/public/AssetPairs` by its name alone."""

    wsname: str


class PairMsg(PairName):
    lot_decimals: int
    status: Text = ""
    tick_size: Text = ""
    ordermin: Text = ""
    costmin: Text = ""


class PairsReply(Struct):
    error: list[str]
    result: dict[str, Raw] | None = None


class DepthMsg(Struct):
    """Of `/0/public/Depth`: price, volume, time."""

    bids: list[tuple[str, str, Any]]
    asks: list[tuple[str, str, Any]]
