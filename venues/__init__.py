"""Exchanges as pure code: what their frames mean and how to talk to them. One folder each, one line here."""

from __future__ import annotations

from marketdata.errors import ConfigError
from venues.binance.spot import SPOT as BINANCE_SPOT
from venues.contract import Venue

VENUES: tuple[Venue, ...] = (BINANCE_SPOT,)


def find_venue(exchange: str, market: str) -> Venue:
    """The registered venue. Raises ConfigError, naming those there are."""
    for venue in VENUES:
        if (venue.exchange, venue.market) == (exchange, market):
            return venue
    known = ", ".join(f"{v.exchange} {v.market}" for v in VENUES)
    raise ConfigError(f"no venue {exchange} {market}; there are: {known}")
