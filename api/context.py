"""What every route works with: the configuration, the stores and the list of known symbols."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from api import queries
from api.catalogue import Catalogue, Listed
from api.envelope import BadParameter, StoreDown, UnknownExchange, UnknownSymbol
from api.params import DerivativesQuery, GapsQuery, KlinesQuery, SymbolQuery, TradesQuery
from api.stores import HistoryStore, LatestStore
from marketdata.keys import Key
from marketdata.types import Record
from runtime.config import Config

INSTRUMENTS_AGE_S_MAX = 60.0

NEVER = float("-inf")
"""Monotonic time of what has not happened yet."""


class Context:
    """One per application, made and closed by its lifespan."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.latest = LatestStore(config)
        self.history = HistoryStore(config)
        self.catalogue_warnings: list[str] = []
        self._configured = [
            Listed(Key(exchange, market, symbol), "", tuple(section.channels))
            for exchange, markets in config.exchanges.items()
            for market, section in markets.items()
            for symbol in section.symbols
        ]
        self._configured_keys = frozenset(one.key for one in self._configured)
        self.catalogue = Catalogue(self._configured)
        self._catalogue_at = NEVER
        self._instruments: list[Listed] = []
        self._instruments_at = NEVER
        self._lock = asyncio.Lock()

    async def close(self) -> None:
        await self.latest.close()
        await self.history.close()

    @property
    def environment(self) -> dict[str, Any]:
        """The fields of `models.Answer`."""
        return {"environment": self.config.environment.name, "simulated": self.config.environment.simulated}

    def whose(self, one: Listed, record: Record | None = None) -> dict[str, Any]:
        """The fields of `models.SymbolAnswer`."""
        key = one.key
        instrument = one.instrument or (record.instrument if record else "")
        return {
            **self.environment,
            "exchange": key.exchange,
            "market": key.market,
            "symbol": key.symbol,
            "instrument": instrument,
        }

    def is_configured(self, key: Key) -> bool:
        """The configuration names the symbol itself."""
        return key in self._configured_keys

    def may_be_captured(self, key: Key) -> bool:
        """False where the configuration rules out that the symbol is captured, any more."""
        exchanges = self.config.exchanges
        if not exchanges or self.is_configured(key):
            return True
        section = exchanges.get(key.exchange, {}).get(key.market)
        return section is not None and (bool(section.select) or not section.symbols)

    def limited(self, query: TradesQuery | KlinesQuery | GapsQuery) -> int:
        """`limit`, if it is within what the configuration allows. Raises BadParameter."""
        rows_max = self.config.api.rows_max
        if query.limit <= rows_max:
            return query.limit
        if "limit" in query.model_fields_set:
            raise BadParameter(f"limit: at most {rows_max}", parameter="limit")
        return rows_max

    async def find(self, query: SymbolQuery) -> Listed:
        """The symbol a request means. Raises UnknownExchange, UnknownSymbol, BadParameter."""
        derivative = isinstance(query, DerivativesQuery)
        if self._catalogue_at == NEVER:  # just started: so far the configuration alone has told us anything
            await self.refresh()
        try:
            return self.catalogue.find(query.symbol, query.exchange, query.market, derivative)
        except (UnknownSymbol, UnknownExchange):
            # It may have appeared since: look again before saying no.
            await self.refresh()
            return self.catalogue.find(query.symbol, query.exchange, query.market, derivative)

    async def refresh(self) -> None:
        """Learn the known symbols anew, unless they were learnt within `api.catalogue_age_s_max`.

        A store that is down leaves out what only it knows; `catalogue_warnings` says so.
        """
        async with self._lock:
            if time.monotonic() - self._catalogue_at >= self.config.api.catalogue_age_s_max:
                await self._refresh()

    async def _refresh(self) -> None:
        warnings = []
        seen: list[Listed] = []
        named = {one.key: one.instrument for one in (*self.catalogue.listed, *self._instruments)}
        try:
            seen = [Listed(key, named.get(key, "")) for key in await self.latest.keys()]
            unnamed = [one.key for one in seen if not one.instrument]
            for key, got in zip(unnamed, await self.latest.many(unnamed) if unnamed else (), strict=True):
                records = [r for r in (got.trade, got.bbo, got.ticker, got.book) if isinstance(r, Record)]
                seen.append(Listed(key, next((r.instrument for r in records if r.instrument), "")))
        except StoreDown as exc:
            warnings.append(f"symbols only redis knows are left out: {exc.message}")
            # What it said before still holds: a symbol does not become unknown because a store is away.
            seen = list(self.catalogue.listed)
        try:
            if time.monotonic() - self._instruments_at >= INSTRUMENTS_AGE_S_MAX:
                rows = await self.history.select(*queries.instruments())
                self._instruments = [Listed(Key(*row[:3]), row[3]) for row in rows]
                # None yet is asked again at once: the first symbols are about to come.
                self._instruments_at = time.monotonic() if rows else NEVER
        except StoreDown as exc:
            warnings.append(f"symbols only clickhouse knows are left out: {exc.message}")
        self.catalogue_warnings = warnings
        self.catalogue = Catalogue([*self._configured, *self._instruments, *seen])
        self._catalogue_at = time.monotonic()
