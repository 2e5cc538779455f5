"""What only derivatives have, and volatility indices: the newest values, from Redis."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from api import models, views
from api.envelope import Envelope, NoValueYet, now_ms, ok
from api.params import DerivativesQuery
from api.routes.deps import BAD, DOWN, UNKNOWN, Ctx

router = APIRouter(prefix="/api/v1/data", tags=["market data"])


@router.get("/derivatives", summary="Mark price, funding, open interest and more", responses={**UNKNOWN, **BAD, **DOWN})
async def derivatives(context: Ctx, query: Annotated[DerivativesQuery, Query()]) -> Envelope[models.Derivatives]:
    """The newest mark price, funding estimate, open interest, liquidation, long/short ratios and volatility of a
    symbol, each with its age. History, settled rates among it, is in ClickHouse."""
    one = await context.find(query)
    (records,) = await context.latest.derivatives([one.key])
    if not records and one.key.market == "spot":
        raise NoValueYet(f"{one.key} is a spot market: only derivatives have these values", key=str(one.key))
    if not records:
        raise NoValueYet(f"no derivative's value of {one.key} has arrived yet", key=str(one.key))
    whose = context.whose(one, next(iter(records.values())))
    return ok(views.derivatives(whose, records, now_ms()))
