"""Trades: the newest from Redis, history from ClickHouse."""

from __future__ import annotations

import contextlib
from typing import Annotated, Literal

from fastapi import APIRouter, Query

from api import models, queries, views
from api.context import Context
from api.envelope import BadParameter, Envelope, StoreDown, now_ms, ok
from api.params import TradesQuery
from api.routes.deps import BAD, DOWN, UNKNOWN, Ctx
from marketdata import types as t
from marketdata.keys import Key

router = APIRouter(prefix="/api/v1/data", tags=["market data"])


@router.get("/trades", summary="Trades of a symbol", responses={**UNKNOWN, **BAD, **DOWN})
async def trades(context: Ctx, query: Annotated[TradesQuery, Query()]) -> Envelope[models.Trades]:
    """Oldest first. Stored trades arrive about a second after the newest value (`limit=1`, or `source=live`)."""
    one = await context.find(query)
    limit = context.limited(query)
    ranged = query.start is not None or query.end is not None or query.aggregated is not None
    if query.source == "live" and ranged:
        raise BadParameter("source=live knows the newest trade alone: leave out start, end and aggregated")
    found: list[models.Trade] = []
    has_more = False
    source: Literal["live", "history"] = "history"
    if query.source == "live":
        found, source = await _newest(context, one.key), "live"
    elif query.source == "auto" and limit == 1 and not ranged:
        # A stored trade is as good where Redis has none: it is a cache, which expires or may be away.
        with contextlib.suppress(StoreDown):
            found = await _newest(context, one.key)
        source = "live" if found else "history"
    if source == "history":
        rows = await context.history.select(*queries.trades(one.key, query.start, query.end, limit, query.aggregated))
        cut = queries.page(rows, limit, newest_first=query.start is None)
        found, has_more = [queries.to_trade(row) for row in cut.rows], cut.has_more
    return ok(
        models.Trades.model_construct(
            **context.whose(one),
            source=source,
            trades=found,
            has_more=has_more,
            age_ms=views.age_ms(now_ms(), found[-1].recv_time_ns) if found else None,
        )
    )


async def _newest(context: Context, key: Key) -> list[models.Trade]:
    record = await context.latest.last(key, "trade")
    return [views.trade(record)] if isinstance(record, t.Trade) else []
