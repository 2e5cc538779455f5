"""Which symbols there are, and what a request means by the one it names."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from api.envelope import BadParameter, UnknownExchange, UnknownSymbol
from marketdata.keys import Key

NEAR_MAX = 5


class Listed(NamedTuple):
    """One known symbol."""

    key: Key
    instrument: str = ""
    channels: tuple[str, ...] = ()
    """Configured or seen."""


class Catalogue:
    """All known symbols of this environment. Immutable; a newer one replaces it."""

    def __init__(self, listed: Iterable[Listed]) -> None:
        merged: dict[Key, Listed] = {}
        for one in listed:
            have = merged.get(one.key)
            if have:
                one = Listed(
                    one.key,
                    one.instrument or have.instrument,
                    (*have.channels, *(c for c in one.channels if c not in have.channels)),
                )
            merged[one.key] = one
        self.listed: tuple[Listed, ...] = tuple(sorted(merged.values()))

    @property
    def exchanges(self) -> list[str]:
        return sorted({one.key.exchange for one in self.listed})

    def select(self, exchange: str | None = None, market: str | None = None) -> list[Listed]:
        """The symbols of an exchange and market segment, all where None. Raises UnknownExchange."""
        if exchange is not None:
            exchange = self._exchange(exchange)
        return [
            one
            for one in self.listed
            if (exchange is None or one.key.exchange == exchange) and (market is None or one.key.market == market)
        ]

    def find(
        self, symbol: str, exchange: str | None = None, market: str | None = None, derivative: bool = False
    ) -> Listed:
        """The one symbol meant, by the venue's spelling or the canonical instrument, in any case.

        Within an exchange and segment its own spelling wins over a canonical name, but not over what the name means on
        another exchange: that is ambiguous. Without `market`, spot is meant where several segments have it, or with
        `derivative` the others. Raises UnknownExchange, UnknownSymbol, BadParameter when several exchanges have it.
        """
        among = self.select(exchange, market)
        found = [one for segment in _segments(among) for one in _matching(segment, symbol)]
        if not found:
            where = " ".join(filter(None, (exchange, market))) or "any exchange"
            raise UnknownSymbol(f"no symbol {symbol!r} on {where} here", symbol=symbol, near=_near(among, symbol))
        if market is None and len(found) > 1:
            found = [one for one in found if (one.key.market != "spot") is derivative] or found
        if len(found) > 1:
            raise BadParameter(
                f"{symbol!r} is ambiguous: name the exchange and market", candidates=[str(one.key) for one in found]
            )
        return found[0]

    def _exchange(self, name: str) -> str:
        wanted = name.strip().lower()
        if wanted not in self.exchanges:
            raise UnknownExchange(f"no exchange {name!r} here", exchange=name, known=self.exchanges)
        return wanted


def _segments(among: Sequence[Listed]) -> list[list[Listed]]:
    """One list for each exchange and market segment, in the order they stand."""
    segments: dict[tuple[str, str], list[Listed]] = {}
    for one in among:
        segments.setdefault((one.key.exchange, one.key.market), []).append(one)
    return list(segments.values())


def _matching(among: Sequence[Listed], symbol: str) -> list[Listed]:
    wanted = symbol.strip().upper()
    return (
        [one for one in among if one.key.symbol.upper() == wanted]
        or [one for one in among if one.instrument.upper() == wanted != ""]
        or [one for one in among if _plain(one.instrument) == _plain(wanted) and "/" in wanted]
    )


def _plain(name: str) -> str:
    """`BTC/USDT` and `BTC-USDT` are the same instrument."""
    return name.upper().replace("/", "-")


def _near(among: Sequence[Listed], symbol: str) -> list[str]:
    names = {name.upper(): one.key.symbol for one in among for name in (one.key.symbol, one.instrument) if name}
    close = difflib.get_close_matches(symbol.strip().upper(), names, n=2 * NEAR_MAX, cutoff=0.6)
    return list(dict.fromkeys(names[name] for name in close))[:NEAR_MAX]
