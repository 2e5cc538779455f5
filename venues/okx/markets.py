"""OKX's markets as `Venue`s: one protocol, told apart by the spelling of instrument ids."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from venues.contract import StreamRules, Venue
from venues.okx.book_frames import parse_book, parse_snapshot, verify_checksum
from venues.okx.book_sync import OkxSequence
from venues.okx.instruments import parse_instrument
from venues.okx.normalise import MARKET_NORMALISERS
from venues.okx.polls import read_poll
from venues.okx.protocol import BOOK_LEVELS, OkxProtocol
from venues.okx.reference import REFERENCE_NORMALISERS
from venues.okx.rest import read_rest
from venues.okx.streams import CHANNEL_STREAMS, POLLED
from venues.okx.symbols import OkxMarket, find_market

_RECORDINGS: Final = tuple(f"okx/{folder}" for folder in ("spot", "swap", "futures", "option", "mixed", "any"))

_RULES: Final = {
    "trade": StreamRules(continuous_ids=True, monotonic_ids=True),
    "agg_trade": StreamRules(continuous_ids=True, id_ranges=True, monotonic_ids=True),
    "bbo": StreamRules(monotonic_ids=True),
    "book": StreamRules(monotonic_ids=True),
}
"""What the others do not promise: of candles, tickers, rates and liquidations any may come again, or late."""

_IN_CONTRACTS: Final = frozenset(("trade", "agg_trade", "book", "bbo", "ticker", "liquidation"))
"""Candles and open interest are given in base coin as well."""


def _venue(market: OkxMarket) -> Venue:
    return Venue(
        exchange="okx",
        market=market,
        protocol=OkxProtocol(market),
        normalisers=MARKET_NORMALISERS | REFERENCE_NORMALISERS,
        parse_instrument=parse_instrument,
        rules={
            channel: replace(_RULES.get(channel, StreamRules()), confirms_jumps=market != "option")
            for channel in CHANNEL_STREAMS[market]
        },
        book_sync=OkxSequence,
        parse_book=parse_book,
        parse_snapshot=parse_snapshot,
        read_rest=read_rest,
        recordings=_RECORDINGS,
        owns=lambda symbol: find_market(symbol) == market,
        unit_channels=frozenset() if market == "spot" else _IN_CONTRACTS,
        read_poll=read_poll if POLLED[market] else None,
        book_depth=BOOK_LEVELS,
        kline_source="trade",
        verify_checksum=verify_checksum,
    )


SPOT = _venue("spot")
PERP = _venue("perp")
FUTURE = _venue("future")
OPTION = _venue("option")
MARKETS: Final[tuple[Venue, ...]] = (SPOT, PERP, FUTURE, OPTION)
