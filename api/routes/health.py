"""Whether the API can answer, and how fresh what it answers is."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Sequence

from fastapi import APIRouter, Response

from api import models, views
from api.catalogue import Listed
from api.context import Context
from api.envelope import Envelope, ErrorInfo, StoreDown, now_ms, ok
from api.feeds import feeds as feeds_of
from api.metrics import STORE_UP
from api.routes.deps import Ctx, Responses
from api.stores import Latest
from marketdata import types as t
from marketdata.keys import Key

router = APIRouter(tags=["health"])

PROBLEMS_MAX = 50
UNSUBSCRIBED = "unsubscribed"
"""Why a feed ended that nobody wants any more, as ingest writes it."""
NO_STORE: Responses = {
    503: {"model": Envelope[models.Health], "description": "No store answers; `data` still says what is known"}
}


@router.get("/health", summary="State of stores, feeds and books", responses=NO_STORE)
async def health(context: Ctx, response: Response) -> Envelope[models.Health]:
    """`ok`, `degraded` (something is missing or old; the rest answers) or `down` (no store answers, HTTP 503).
    Symbols that are not captured any more are left out."""
    state = await examine(context)
    answer = ok(state)
    if state.status == "down":
        response.status_code = 503
        answer.success = False
        answer.error = ErrorInfo(code="store_down", message="; ".join(state.problems[:2]))
    return answer


async def examine(context: Context) -> models.Health:
    """Ask both stores now and judge what they hold."""
    redis, clickhouse = await asyncio.gather(
        probe("redis", context.latest.ping), probe("clickhouse", context.history.ping)
    )
    stores = {"redis": redis, "clickhouse": clickhouse}
    problems = [f"{name} does not answer: {store.error}" for name, store in stores.items() if store.state == "down"]
    await context.refresh()
    listed = list(context.catalogue.listed)
    symbols: list[models.SymbolHealth] = []
    if redis.state == "ok" and listed:
        try:
            latest = await context.latest.many([one.key for one in listed])
            others = await _others(context, listed, latest)
            stale_ms = int(context.config.api.stale_after_s * 1000)
            judged = [
                judge(one, got, now_ms(), stale_ms, others.get(one.key, ()))
                for one, got in zip(listed, latest, strict=True)
            ]
            symbols = [
                state
                for one, state in zip(listed, judged, strict=True)
                if not _is_history(context, one, state, stale_ms)
            ]
            problems += books_behind(latest, stale_ms)
        except StoreDown as exc:
            redis = stores["redis"] = models.StoreHealth(state="down", error=exc.reason)
            problems.append(exc.message)
    feeds = [feed for symbol in symbols for feed in symbol.feeds if feed.state in ("connected", "disconnected")]
    lost = [feed for feed in feeds if _is_lost(feed)]
    problems += _summary(lost, len(feeds), symbols)
    if all(store.state == "down" for store in stores.values()):
        status = "down"
    else:
        status = "degraded" if problems else "ok"
    return models.Health(
        **context.environment,
        status=status,
        problems=problems,
        stores=stores,
        feeds_connected=len(feeds) - len(lost),
        feeds_disconnected=len(lost),
        ended=bool(feeds) and all(f.state == "disconnected" and _by_venue(f.reason) for f in feeds),
        symbols=symbols,
    )


async def _others(
    context: Context, listed: Sequence[Listed], latest: Sequence[Latest]
) -> dict[Key, Collection[t.Record]]:
    """What derivatives have, of symbols without anything else: volatility indices have neither trades nor quotes."""
    bare = [one.key for one, got in zip(listed, latest, strict=True) if not any(got[:4])]
    found = await context.latest.derivatives(bare) if bare else []
    return {key: records.values() for key, records in zip(bare, found, strict=True)}


def judge(one: Listed, got: Latest, now: int, stale_ms: int, others: Collection[t.Record] = ()) -> models.SymbolHealth:
    """The state of one symbol from what Redis holds of it."""
    feeds = feeds_of(one.key, one.channels, got.feeds, now)
    records = [r for r in (got.trade, got.ticker, got.bbo, got.book, *others) if isinstance(r, t.Record)]
    ages = [age for r in records if (age := views.age_ms(now, r.recv_time_ns)) is not None]
    book = got.book if isinstance(got.book, t.BookRecord) else None
    lost = [feed for feed in feeds if _is_lost(feed)]
    problems = [f"{feed.channel} is disconnected: {feed.reason or 'no reason given'}" for feed in lost]
    if not ages:
        problems.append("nothing has arrived yet")
    elif min(ages) > stale_ms:
        problems.append(f"silent for {min(ages) / 1000:.0f} s")
    if book is not None and book.state != "ok":
        problems.append(f"the book is {book.state}: {book.reason or 'no reason given'}")
    elif "book" in one.channels and book is None:
        problems.append("no book has arrived yet")
    return models.SymbolHealth(
        exchange=one.key.exchange,
        market=one.key.market,
        symbol=one.key.symbol,
        state="ok" if not problems else "degraded" if ages and min(ages) <= stale_ms else "down",
        problems=problems,
        age_ms=min(ages, default=None),
        book=book.state if book else "",
        book_age_ms=views.age_ms(now, book.verified_time_ns) if book else None,
        feeds=feeds,
    )


def books_behind(latest: Sequence[Latest], stale_ms: int) -> list[str]:
    """What to say where no book was proven right for long while their trades or quotes went on. One book may rest, and
    its update may be on the way; not all of them."""
    with_book = [(got, got.book) for got in latest if isinstance(got.book, t.BookRecord) and got.book.state == "ok"]
    proven_ns = max((int(book.verified_time_ns or 0) for _, book in with_book), default=0)
    moved_ns = max(
        (int(r.recv_time_ns or 0) for got, _ in with_book for r in (got.trade, got.bbo) if isinstance(r, t.Record)),
        default=0,
    )
    late_ms = (moved_ns - proven_ns) // 1_000_000
    if not with_book or late_ms <= stale_ms:
        return []
    return [f"no book was proven right for {late_ms / 1000:.0f} s, while trades and quotes came: are books processed?"]


def _is_lost(feed: models.Feed) -> bool:
    return feed.state == "disconnected" and feed.reason != UNSUBSCRIBED


def _is_history(context: Context, one: Listed, state: models.SymbolHealth, stale_ms: int) -> bool:
    """Nothing is captured of the symbol any more (it expired, or was taken out of the configuration), and nothing is
    wrong with that."""
    if context.is_configured(one.key) or (state.age_ms is not None and state.age_ms <= stale_ms):
        return False
    reported = [feed for feed in state.feeds if feed.state in ("connected", "disconnected")]
    return not context.may_be_captured(one.key) or all(feed.reason == UNSUBSCRIBED for feed in reported)


def _summary(lost: Sequence[models.Feed], feeds: int, symbols: Sequence[models.SymbolHealth]) -> list[str]:
    """Few sentences, however many symbols there are; each symbol has its own list."""
    said = [
        f"{count} of {feeds} feeds are disconnected: {reason or 'no reason given'}"
        for reason, count in Counter(feed.reason for feed in lost).most_common(PROBLEMS_MAX)
    ]
    other = [s for s in symbols if any("disconnected" not in problem for problem in s.problems)]
    for symbol in other[:PROBLEMS_MAX]:
        rest = [p for p in symbol.problems if "disconnected" not in p]
        said.append(f"{symbol.exchange}.{symbol.market}.{symbol.symbol}: {'; '.join(rest)}")
    if len(other) > PROBLEMS_MAX:
        said.append(f"and {len(other) - PROBLEMS_MAX} more symbols")
    return said


def _by_venue(reason: str) -> bool:
    """True where the other side closed the connection (ingest writes `closed <code> <venue's text>`)."""
    return reason.startswith("closed ")


async def probe(name: str, ping: Callable[[], Awaitable[None]]) -> models.StoreHealth:
    begun = time.perf_counter()
    try:
        await ping()
    except StoreDown as exc:
        STORE_UP.labels(name).set(0)
        return models.StoreHealth(state="down", error=exc.reason)
    STORE_UP.labels(name).set(1)
    return models.StoreHealth(state="ok", latency_ms=round((time.perf_counter() - begun) * 1000, 2))
