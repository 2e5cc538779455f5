"""24 h statistics and best quotes: the newest values, from Redis."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from api import models, views
from api.catalogue import Listed
from api.context import Context
from api.envelope import Envelope, NoValueYet, now_ms, ok
from api.params import MarketQuery, SymbolQuery
from api.routes.deps import BAD, DOWN, UNKNOWN, UNKNOWN_EXCHANGE, Ctx
from api.stores import Latest
from marketdata import types as t

router = APIRouter(prefix="/api/v1", tags=["market data"])


@router.get("/data/ticker", summary="Newest ticker of a symbol", responses={**UNKNOWN, **BAD, **DOWN})
async def ticker(context: Ctx, query: Annotated[SymbolQuery, Query()]) -> Envelope[models.Ticker]:
    """Rolling 24 h statistics as the exchange computes them, and the best bid and offer, each with its age."""
    one = await context.find(query)
    (got,) = await context.latest.many([one.key])
    if got.ticker is None and got.bbo is None:
        raise NoValueYet(f"no ticker or quote of {one.key} has arrived yet", key=str(one.key))
    return ok(_ticker(context, one, got))


@router.get("/tickers", summary="Newest tickers of all symbols", responses={**UNKNOWN_EXCHANGE, **BAD, **DOWN})
async def tickers(context: Ctx, query: Annotated[MarketQuery, Query()]) -> Envelope[models.Tickers]:
    """One entry per symbol that has a ticker or a quote."""
    await context.refresh()
    listed = context.catalogue.select(query.exchange, query.market)
    latest = await context.latest.many([one.key for one in listed]) if listed else []
    found = [
        _ticker(context, one, got)
        for one, got in zip(listed, latest, strict=True)
        if got.ticker is not None or got.bbo is not None
    ]
    return ok(models.Tickers(**context.environment, tickers=found))


def _ticker(context: Context, one: Listed, got: Latest) -> models.Ticker:
    now = now_ms()
    stats = got.ticker if isinstance(got.ticker, t.Ticker) else None
    best = got.bbo if isinstance(got.bbo, t.Bbo) else None
    return models.Ticker(
        **context.whose(one, stats or best), ticker=views.ticker(stats, now), quote=views.quote(best, now)
    )
