"""Keeps a market's selection rules resolved: at each listing of the venue, with turnovers where a rule needs them."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal

from ingest.instruments import Listing
from ingest.metrics import events
from ingest.rest import Rest, jittered
from ingest.selection import Listed, select, turnovers
from marketdata.errors import BadData
from runtime.config.ingest import MarketConfig
from venues.contract import Context, Venue

RETRY_S = 5.0
NOTHING_RETRY_S = 60.0
"""A venue with nothing to trade is asked again after this: it is in maintenance, and its end is not always told."""
PARSED_AT_ONCE = 50
"""Instruments looked at before the event loop has another turn."""

MarketName = tuple[str, str]


class Selector:
    """Of one market. `on_selected` gets the channels of every selected symbol, whenever they may have changed;
    `before` tells what was selected until now. `ask_again` has the venue list its symbols soon."""

    def __init__(
        self,
        venue: Venue,
        market: MarketConfig,
        rest: Rest,
        on_selected: Callable[[MarketName, Mapping[str, tuple[str, ...]]], None],
        before: Callable[[MarketName], Iterable[str]],
        ask_again: Callable[[], None],
    ) -> None:
        self._venue = venue
        self._name = (venue.exchange, venue.market)
        self._rules = market.select
        self._channels = market.channels
        self._rest = rest
        self._on_selected = on_selected
        self._before = before
        self._ask_again = ask_again
        self._listing: Listing | None = None
        self._news = asyncio.Event()

    @property
    def active(self) -> bool:
        return bool(self._rules)

    def look(self, listing: Listing) -> None:
        """The venue lists these symbols now."""
        if self.active:
            self._listing = listing
            self._news.set()

    async def run(self) -> None:
        """Resolve the rules at each listing, until cancelled."""
        while True:
            await self._news.wait()
            self._news.clear()
            listing, self._listing = self._listing, None
            if listing is None:
                continue
            listed = await self._tradable(listing)
            del listing  # megabytes, at some venues
            if not listed:  # what was selected stays: all of it would have to come back
                events.nothing_tradable(".".join(self._name))
                await asyncio.sleep(jittered(NOTHING_RETRY_S))
                self._ask_again()
                continue
            while (turnover := await self._turnovers()) is None:
                await asyncio.sleep(RETRY_S * (0.8 + 0.4 * random.random()))
            before = set(self._before(self._name))
            chosen = select(self._rules, self._channels, listed, turnover, before)
            self._on_selected(self._name, chosen)

    async def _tradable(self, listing: Listing) -> list[Listed]:
        out = []
        for number, (symbol, metadata) in enumerate(listing.items()):
            if number % PARSED_AT_ONCE == PARSED_AT_ONCE - 1:
                await asyncio.sleep(0)
            context = Context(*self._name, symbol, "0")
            try:
                instrument = self._venue.parse_instrument(metadata, context)
            except BadData as exc:
                events.rest_failed(".".join(self._name), f"metadata of {symbol}", exc.detail)
                continue
            if instrument.status in self._venue.tradable:
                out.append(Listed(symbol, instrument.quote))
        return out

    async def _turnovers(self) -> dict[str, Decimal] | None:
        """By symbol; nothing where no rule needs them; None when the venue did not tell, or of no symbol."""
        request = self._venue.protocol.volume_request()
        if request is None or all(rule.top is None for rule in self._rules):
            return {}
        answer = await self._rest.ask(request)
        if not answer.ok:
            return None
        try:
            return turnovers(self._venue.protocol.volume_reply(answer.body)) or None
        except BadData as exc:
            events.rest_failed(".".join(self._name), "turnovers", exc.detail)
            return None
