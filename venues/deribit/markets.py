"""Deribit's four markets as `Venue`s: one protocol, told apart by their symbols' spelling."""

from __future__ import annotations

from collections.abc import Callable

from marketdata.types import Market
from venues.contract import StreamRules, Venue
from venues.deribit.book_frames import parse_book, parse_snapshot
from venues.deribit.book_sync import ChangeIdSequence
from venues.deribit.instruments import parse_instrument
from venues.deribit.normalise import INVERSE_MARKETS, NORMALISERS
from venues.deribit.protocol import DeribitProtocol
from venues.deribit.rest import read_rest
from venues.deribit.symbols import market_of

CARRIED_STATES = frozenset(("open", "active", "settlement", "locked", "halted"))
"""States in which an instrument stays captured: at settlement (every day at 08:00 UTC), locked or halted it rests for
a while and goes on; it is over with `delivered`, `inactive` and `archivized`. `active` is ours, of replies without
state. Source: https://docs.deribit.com, `instrument.state.{kind}.{currency}` (2026)."""


def _owns(market: str) -> Callable[[str], bool]:
    return lambda symbol: market_of(symbol) == market


def _venue(market: Market) -> Venue:
    return Venue(
        exchange="deribit",
        market=market,
        protocol=DeribitProtocol(market),
        normalisers=NORMALISERS,
        parse_instrument=parse_instrument,
        rules={
            "trade": StreamRules(continuous_ids=True, monotonic_ids=True, confirms_jumps=market != "option"),
            "bbo": StreamRules(),
            "kline": StreamRules(closed_by_next=True),
            "ticker": StreamRules(),
            "book": StreamRules(monotonic_ids=True),
        },
        book_sync=ChangeIdSequence,
        parse_book=parse_book,
        parse_snapshot=parse_snapshot,
        read_rest=read_rest,
        recordings=("deribit/any", "deribit/options", "deribit/perpetual"),
        owns=_owns(market),
        unit_channels=frozenset(("trade", "book", "bbo", "ticker")) if market in INVERSE_MARKETS else frozenset(),
        tradable=CARRIED_STATES,
    )


PERP = _venue("perp")
FUTURE = _venue("future")
OPTION = _venue("option")
SPOT = _venue("spot")
