"""Exchanges as pure code: what their frames mean and how to talk to them. One folder each, one line here."""

from __future__ import annotations

from marketdata.errors import ConfigError
from venues.binance.futures import COIN_MARGINED as BINANCE_COIN_MARGINED
from venues.binance.futures import USD_MARGINED as BINANCE_USD_MARGINED
from venues.binance.spot import SPOT as BINANCE_SPOT
from venues.contract import Venue
from venues.deribit.markets import FUTURE as DERIBIT_FUTURE
from venues.deribit.markets import OPTION as DERIBIT_OPTION
from venues.deribit.markets import PERP as DERIBIT_PERP
from venues.deribit.markets import SPOT as DERIBIT_SPOT
from venues.htx.markets import MARKETS as HTX_MARKETS
from venues.kraken.spot import SPOT as KRAKEN_SPOT
from venues.okx.markets import MARKETS as OKX_MARKETS

VENUES: tuple[Venue, ...] = (
    BINANCE_SPOT,
    BINANCE_USD_MARGINED,
    BINANCE_COIN_MARGINED,
    DERIBIT_PERP,
    DERIBIT_FUTURE,
    DERIBIT_OPTION,
    DERIBIT_SPOT,
    *HTX_MARKETS,
    KRAKEN_SPOT,
    *OKX_MARKETS,
)


def find_venue(exchange: str, market: str) -> Venue:
    """The registered venue. Raises ConfigError, naming those there are."""
    for venue in VENUES:
        if (venue.exchange, venue.market) == (exchange, market):
            return venue
    known = ", ".join(f"{v.exchange} {v.market}" for v in VENUES)
    raise ConfigError(f"no venue {exchange} {market}; there are: {known}")
