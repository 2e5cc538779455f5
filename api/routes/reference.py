"""What there is: exchanges, symbols."""

from __future__ import annotations

from collections import defaultdict
from typing import Annotated

from fastapi import APIRouter, Query

from api import models
from api.catalogue import Listed
from api.envelope import Envelope, StoreDown, now_ms, ok
from api.feeds import feeds as feeds_of
from api.params import MarketQuery
from api.routes.deps import BAD, UNKNOWN_EXCHANGE, Ctx
from api.stores import Latest

router = APIRouter(prefix="/api/v1", tags=["reference"])


@router.get("/exchanges", summary="Exchanges and their market segments")
async def exchanges(context: Ctx) -> Envelope[models.Exchanges]:
    """Configured, or with data in a store."""
    await context.refresh()
    markets: dict[str, dict[str, list[Listed]]] = defaultdict(lambda: defaultdict(list))
    for one in context.catalogue.listed:
        markets[one.key.exchange][one.key.market].append(one)
    found = [
        models.ExchangeInfo(
            exchange=exchange,
            markets=[
                models.MarketInfo(
                    market=market, symbols=len(listed), channels=sorted({c for one in listed for c in one.channels})
                )
                for market, listed in sorted(segments.items())
            ],
        )
        for exchange, segments in sorted(markets.items())
    ]
    return ok(models.Exchanges(**context.environment, exchanges=found, warnings=context.catalogue_warnings))


@router.get("/symbols", summary="Symbols and the state of their feeds", responses={**UNKNOWN_EXCHANGE, **BAD})
async def symbols(context: Ctx, query: Annotated[MarketQuery, Query()]) -> Envelope[models.Symbols]:
    """Every known symbol, with each of its streams as ingest last reported it."""
    await context.refresh()
    listed = context.catalogue.select(query.exchange, query.market)
    warnings = list(context.catalogue_warnings)
    latest: list[Latest | None] = [None] * len(listed)
    try:
        latest = [*await context.latest.many([one.key for one in listed])] if listed else []
    except StoreDown as exc:
        warnings.append(f"the state of feeds is unknown: {exc.message}")
    now = now_ms()
    found = [
        models.SymbolInfo(
            exchange=one.key.exchange,
            market=one.key.market,
            symbol=one.key.symbol,
            instrument=one.instrument,
            feeds=feeds_of(one.key, one.channels, got.feeds if got else {}, now),
        )
        for one, got in zip(listed, latest, strict=True)
    ]
    return ok(models.Symbols(**context.environment, symbols=found, warnings=warnings))
