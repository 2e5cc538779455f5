"""REST snapshots of books: fetched by urgency, within the budget, published on the connection they anchor."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Callable, Mapping

from ingest.metrics import Metrics, events
from ingest.records import Place, Record, Records
from ingest.rest import Rest
from ingest.snapshot_queue import Pick, SnapshotQueue, Why
from marketdata.book_feed import BookFeed, SnapshotVerdict
from marketdata.errors import BadData
from runtime.config.ingest import Ingest
from venues.contract import Request, Venue

IDLE_CHECK_S = 0.5
"""How often the slow schedules are looked at when nothing is urgent."""


class Snapshots:
    """Of one market. `run` is the task that fetches; `look` is called where a fetch may have changed what a book
    needs."""

    def __init__(
        self,
        venue: Venue,
        rest: Rest,
        records: Records,
        publish: Callable[[Record], None],
        metrics: Metrics,
        settings: Ingest,
        feeds: Mapping[str, BookFeed[None]],
        seq_of: Callable[[str], int],
        look: Callable[[str], None],
        deepens: bool = True,
    ) -> None:
        self._protocol = venue.protocol
        self._rest = rest
        self._records = records
        self._publish = publish
        self._metrics = metrics
        self._market = (venue.exchange, venue.market)
        self._seq_of = seq_of
        self._look = look
        self._topic = records.topic("book")
        self._feeds = feeds
        self._asked: dict[str, int] = {}
        self._queue = SnapshotQueue(
            settings.snapshot_levels_first,
            settings.snapshot_levels_deep,
            settings.reanchor_interval_s,
            settings.snapshot_demand_interval_s,
            random.random,
            deepens,
        )
        self._wake = asyncio.Event()
        self._slots = asyncio.Semaphore(settings.snapshot_concurrency)
        self._fetches: set[asyncio.Task[None]] = set()

    # --- wishes ---

    def need(self, symbol: str) -> None:
        """The book has no anchor."""
        self._queue.need(symbol, time.monotonic())
        self._wake.set()

    def settled(self, symbol: str) -> None:
        """Nothing is urgent about this book any more."""
        self._queue.settled(symbol)

    def lost(self, symbol: str) -> None:
        """No connection carries the book."""
        self._queue.lost(symbol, time.monotonic())

    def demand(self, symbol: str, update_id: str) -> bool:
        """Someone wants a snapshot at least as new as `update_id`. False: one is on its way anyway."""
        if update_id.isdigit():
            self._asked[symbol] = max(int(update_id), self._asked.get(symbol, 0))
        taken = self._queue.demand(symbol, time.monotonic())
        self._wake.set()
        return taken

    def forget(self, symbol: str) -> None:
        self._queue.forget(symbol)
        self._asked.pop(symbol, None)

    # --- fetching ---

    async def run(self) -> None:
        """Fetch what is due, within the budget, until cancelled."""
        while True:
            await self._slots.acquire()
            pick, request, wait_s = await self._pick(time.monotonic())
            if pick is None:
                self._slots.release()
                await self._sleep(wait_s)
                continue
            fetch = asyncio.create_task(self._fetch(pick, request))
            self._fetches.add(fetch)
            fetch.add_done_callback(self._fetched)

    async def _pick(self, now_s: float) -> tuple[Pick | None, Request, float]:
        """The next book to fetch, paid for, or how long until it is worth asking again."""
        pick = self._queue.next(now_s)
        if pick is None:
            return None, Request("", {}, 0), IDLE_CHECK_S
        request = self._protocol.snapshot_request(pick.symbol, pick.levels)
        wait_s = await self._rest.reserve(request, pick.share)
        if wait_s > 0:
            return None, request, min(wait_s, IDLE_CHECK_S)
        if pick.symbol not in self._queue:  # unsubscribed while the budget was asked
            return None, request, 0.0
        self._queue.started(pick.symbol, pick.why, now_s)
        return pick, request, 0.0

    def _fetched(self, fetch: asyncio.Task[None]) -> None:
        self._slots.release()
        self._fetches.discard(fetch)
        if not fetch.cancelled() and (exc := fetch.exception()) is not None:  # a bug of ours: the other books go on
            events.reply_failed(".".join(self._market), "snapshot", exc)
        self._wake.set()

    async def _fetch(self, pick: Pick, request: Request) -> None:
        symbol, why = pick.symbol, pick.why
        outcome = "failed"
        try:
            answer = await self._rest.get(request)
            if answer.ok:
                outcome = self._take(symbol, answer.body, request.levels, answer.recv_ns)
            elif answer.refused:
                outcome = "refused"
        finally:
            now_s = time.monotonic()
            self._metrics.count("snapshots", *self._market, outcome)
            if outcome in ("anchored", "waiting"):
                self._queue.succeeded(symbol, why, now_s)
            elif outcome == "older_than_asked":  # an anchor all the same
                self._queue.succeeded(symbol, why, now_s)
                self._queue.failed(symbol, Why.DEMAND, now_s)
            elif outcome == "unwanted":
                self._queue.dropped(symbol, now_s)
            else:
                self._queue.failed(symbol, why, now_s)
            self._look(symbol)

    def _take(self, symbol: str, body: bytes, levels: int, recv_ns: int) -> str:
        """Publish a snapshot and see what it does to the book; returns the outcome's name."""
        feed = self._feeds.get(symbol)
        if feed is None or not feed.connections:
            return "unwanted"  # unsubscribed, or the connection it was to anchor is gone
        try:
            envelope = self._protocol.snapshot_envelope(body)
        except BadData as exc:
            events.rest_failed(".".join(self._market), f"snapshot of {symbol}", exc.detail)
            return "unparsable"
        conn = feed.snapshot_conn
        place = Place(self._topic, self._records.key(symbol), conn, self._seq_of(conn), recv_ns)
        self._publish(self._records.snapshot(place, body, levels))
        verdict = feed.snapshot(envelope.last_id, None, conn, envelope.event_time_us)
        if verdict in (SnapshotVerdict.TOO_OLD, SnapshotVerdict.STALE):
            return str(verdict.value)
        if envelope.last_id < self._asked.get(symbol, 0):
            return "older_than_asked"
        self._asked.pop(symbol, None)
        return str(verdict.value)

    async def _sleep(self, seconds: float) -> None:
        self._wake.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):  # not wait_for, which may swallow a cancellation (Python 3.11)
                await self._wake.wait()

    async def stop(self) -> None:
        for fetch in list(self._fetches):
            fetch.cancel()
        await asyncio.gather(*self._fetches, return_exceptions=True)
