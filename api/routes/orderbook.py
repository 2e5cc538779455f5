"""Order books: the live top from Redis, deeper views from ClickHouse."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from api import models, queries, views
from api.envelope import Envelope, NoValueYet, StoreDown, now_ms, ok
from api.params import BookQuery
from api.routes.deps import BAD, DOWN, UNKNOWN, Ctx
from marketdata import types as t
from marketdata.keys import Key

router = APIRouter(prefix="/api/v1/data", tags=["market data"])


@router.get("/orderbook", summary="Order book of a symbol", responses={**UNKNOWN, **BAD, **DOWN})
async def orderbook(context: Ctx, query: Annotated[BookQuery, Query()]) -> Envelope[models.OrderBook]:
    """The book with its state. Only a book verified against the exchange's sequence has levels: any other is answered
    with its `state` and `reason` and empty sides. `age_ms` is the time since it was last proven right."""
    one = await context.find(query)
    warnings: list[str] = []
    live: t.BookRecord | None = None
    if query.source != "history":
        live = await _live(context, one.key)
        # A deeper view of a book that is no longer good would be shown as good.
        if live is not None and (query.source == "live" or live.state != "ok" or _enough(live, query.depth)):
            return ok(views.book(context.whose(one, live), live, "live", query.depth, now_ms()))
        if query.source == "live":
            raise NoValueYet(f"no book of {one.key} has arrived yet", key=str(one.key))
    try:
        rows = await context.history.select(*queries.newest_snapshot(one.key))
    except StoreDown as exc:
        if live is None:
            raise
        warnings.append(f"no deeper view: {exc.message}")
        return ok(views.book(context.whose(one, live), live, "live", query.depth, now_ms(), warnings))
    stored = queries.to_snapshot(one.key, rows[0]) if rows else None
    if stored is None or (live is not None and stored.state != "ok"):
        if live is None:
            raise NoValueYet(f"no book of {one.key} has arrived yet", key=str(one.key))
        warnings.append("no deeper view is stored yet")
        return ok(views.book(context.whose(one, live), live, "live", query.depth, now_ms(), warnings))
    if live is not None and (late_ms := _late_ms(stored, live)) > context.config.api.stale_after_s * 1000:
        warnings.append(f"the deeper view that is stored is {late_ms / 1000:.0f} s older: source=history shows it")
        return ok(views.book(context.whose(one, live), live, "live", query.depth, now_ms(), warnings))
    return ok(views.book(context.whose(one, stored), stored, "history", query.depth, now_ms()))


async def _live(context: Ctx, key: Key) -> t.BookRecord | None:
    record = await context.latest.book(key)
    return record if isinstance(record, t.BookRecord) else None


def _enough(book: t.BookRecord, depth: int) -> bool:
    """True when each side has the levels asked for, or all there are."""
    return (len(book.bids) >= depth or book.bid_known_to == "0") and (
        len(book.asks) >= depth or book.ask_known_to == "inf"
    )


def _late_ms(stored: t.BookRecord, live: t.BookRecord) -> int:
    """How much longer ago the stored view was proven right."""
    return (int(live.verified_time_ns or 0) - int(stored.verified_time_ns or 0)) // 1_000_000
