"""Binance spot as a `Venue`."""

from __future__ import annotations

from venues.binance.book_frames import parse_book, parse_snapshot
from venues.binance.book_sync import SpotSequence
from venues.binance.instruments import parse_instrument
from venues.binance.normalise import NORMALISERS
from venues.binance.protocol import BinanceSpotProtocol
from venues.binance.rest import read_rest
from venues.contract import StreamRules, Venue

SPOT = Venue(
    exchange="binance",
    market="spot",
    protocol=BinanceSpotProtocol(),
    normalisers=NORMALISERS,
    parse_instrument=parse_instrument,
    rules={
        "trade": StreamRules(continuous_ids=True, monotonic_ids=True),
        "agg_trade": StreamRules(continuous_ids=True, monotonic_ids=True),
        "bbo": StreamRules(monotonic_ids=True),
        "kline": StreamRules(),
        "ticker": StreamRules(),
        "book": StreamRules(continuous_ids=True, monotonic_ids=True),
    },
    book_sync=SpotSequence,
    parse_book=parse_book,
    parse_snapshot=parse_snapshot,
    read_rest=read_rest,
    recordings=("binance/spot",),
    kline_source="trade",
)
