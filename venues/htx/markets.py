"""HTX's markets as `Venue`s."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from marketdata.types import Market
from venues.contract import StreamRules, Venue
from venues.htx import contracts, normalise
from venues.htx.book_frames import STEP0_LEVELS, parse_depth, parse_mbp, parse_snapshot
from venues.htx.book_sync import DepthSequence, MbpSequence
from venues.htx.instruments import parse_contract, parse_symbol
from venues.htx.polls import read_poll
from venues.htx.protocol import FUTURE_API, INVERSE_API, OPTION_API, PERP_API, SPOT_API, Api, HtxProtocol, offered
from venues.htx.rest import read_rest
from venues.htx.symbols import market_of

MARKET_RULES = {
    "trade": StreamRules(monotonic_ids=True),  # ids grow, and nothing says that they grow by one
    "bbo": StreamRules(monotonic_ids=True),
    "kline": StreamRules(closed_by_next=True),
    "ticker": StreamRules(),
}
CONTRACT_RULES = MARKET_RULES | {
    "book": StreamRules(continuous_ids=True, monotonic_ids=True),
    "mark_price": StreamRules(),
    "funding": StreamRules(),
    "liquidation": StreamRules(),
    "open_interest": StreamRules(),
    "long_short": StreamRules(),
}

FOLDERS = ("htx/any", "htx/linear_swap", "htx/inverse_swap", "htx/futures", "htx/option")
"""Recordings of contracts: some hold several markets'."""

LINEAR_UNITS = frozenset(("trade", "book", "bbo", "ticker", "liquidation"))
INVERSE_UNITS = LINEAR_UNITS | {"kline"}
"""A candle of coin-margined contracts does not say its turnover."""


def _owned_by(market: Market) -> Callable[[str], bool]:
    return lambda symbol: market_of(symbol) == market


def _contracts(api: Api, units: frozenset[str]) -> Venue:
    return Venue(
        exchange="htx",
        market=api.market,
        protocol=HtxProtocol(api),
        normalisers=contracts.NORMALISERS,
        parse_instrument=parse_contract,
        rules={channel: rules for channel, rules in CONTRACT_RULES.items() if channel in offered(api)},
        book_sync=DepthSequence,
        parse_book=parse_depth,
        parse_snapshot=parse_snapshot,
        read_rest=read_rest,
        recordings=FOLDERS,
        owns=_owned_by(api.market),
        unit_channels=units,
        read_poll=read_poll,
        book_depth=STEP0_LEVELS,
    )


SPOT = Venue(
    exchange="htx",
    market="spot",
    protocol=HtxProtocol(SPOT_API),
    normalisers=normalise.NORMALISERS,
    parse_instrument=parse_symbol,
    rules=MARKET_RULES | {"book": StreamRules(monotonic_ids=True)},
    book_sync=MbpSequence,
    parse_book=parse_mbp,
    parse_snapshot=parse_snapshot,
    read_rest=read_rest,
    recordings=("htx/any", "htx/spot"),
    owns=_owned_by("spot"),
    book_depth=STEP0_LEVELS,
)
PERP = _contracts(PERP_API, LINEAR_UNITS)
INVERSE = _contracts(INVERSE_API, INVERSE_UNITS)
FUTURE = _contracts(FUTURE_API, INVERSE_UNITS)
OPTION = replace(_contracts(OPTION_API, LINEAR_UNITS), read_poll=None)

MARKETS = (SPOT, PERP, INVERSE, FUTURE, OPTION)
