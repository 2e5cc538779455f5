"""Candles: stored ones from ClickHouse, the newest and the open one from Redis, and what is missing in them."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Query

from api import models, queries, views
from api.context import Context
from api.envelope import Envelope, StoreDown, now_ms, ok
from api.params import GapsQuery, KlinesQuery
from api.routes.deps import BAD, DOWN, UNKNOWN, Ctx
from marketdata import types as t
from marketdata.keys import Key

router = APIRouter(prefix="/api/v1/data", tags=["market data"])

GAPS_MAX = 500
"""Gaps named in an answer about candles."""


@router.get("/klines", summary="Candles of a symbol", responses={**UNKNOWN, **BAD, **DOWN})
async def klines(context: Ctx, query: Annotated[KlinesQuery, Query()]) -> Envelope[models.Klines]:
    """Our candles, made of trades by the exchange's trade time. Each says whether every trade of its interval is in
    it (`complete`), and why not; `missing` names candles there are none of, `gaps` the trades known to be missing."""
    one = await context.find(query)
    limit = context.limited(query)
    rows, (live, warnings), gaps = await asyncio.gather(
        context.history.select(
            *queries.klines(one.key, query.interval, query.start, query.end, limit, query.provisional)
        ),
        _live(context, one.key, query),
        _trade_gaps(context, one.key, query.start, query.end),
    )
    cut = queries.page(rows, limit, newest_first=query.start is None)
    found, cut_off = views.merge_klines([*map(queries.to_kline, cut.rows)], live, query.start, query.end, limit)
    if len(gaps) > GAPS_MAX and found:
        # Some of the gaps within the candles may not be among them: ask again for just their range.
        gaps = await _trade_gaps(context, one.key, found[0].open_time, found[-1].close_time + 1)
    return ok(
        models.Klines.model_construct(
            **context.whose(one),
            interval=query.interval,
            klines=found,
            has_more=cut.has_more or cut_off,
            missing=views.missing_klines(found, query.interval),
            gaps=views.gaps_within(gaps, found)[:GAPS_MAX],
            age_ms=views.age_ms(now_ms(), found[-1].recv_time_ns) if found else None,
            warnings=warnings,
        )
    )


@router.get("/gaps", summary="What is missing of a symbol", responses={**UNKNOWN, **BAD, **DOWN})
async def gaps(context: Ctx, query: Annotated[GapsQuery, Query()]) -> Envelope[models.Gaps]:
    """Data known not to be there, in every gap that overlaps the range. An empty list means: nothing known missing."""
    one = await context.find(query)
    limit = context.limited(query)
    channels = [query.channel] if query.channel else []
    rows = await context.history.select(
        *queries.gaps(one.key, query.start, query.end, limit, channels, query.include_filled)
    )
    cut = queries.page(rows, limit, newest_first=query.start is None)
    return ok(
        models.Gaps.model_construct(**context.whose(one), gaps=[*map(queries.to_gap, cut.rows)], has_more=cut.has_more)
    )


async def _live(context: Context, key: Key, query: KlinesQuery) -> tuple[list[t.Kline], list[str]]:
    """The newest candles Redis has; it may be down, stored candles are still worth having."""
    try:
        records = await context.latest.kline(key, query.interval)
    except StoreDown as exc:
        return [], [f"without the newest candle: {exc.message}"]
    return [r for r in records if isinstance(r, t.Kline) and (r.is_closed or query.provisional)], []


async def _trade_gaps(context: Context, key: Key, start_ms: int | None, end_ms: int | None) -> list[models.Gap]:
    """Gaps of trades in a range, one more than GAPS_MAX where there are more."""
    rows = await context.history.select(*queries.gaps(key, start_ms, end_ms, GAPS_MAX, ("trade", "agg_trade")))
    return [*map(queries.to_gap, rows)]
