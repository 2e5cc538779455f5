"""Book snapshots: run each book's sequence rules on ids alone, fetch a snapshot where one is needed, publish it.

The machine is the one the book processor runs (`marketdata.book_feed`), fed with the same records in the same order,
levels left undecoded; so both come to the same decisions. A snapshot is fetched only after an update was seen.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Callable, Coroutine
from typing import Any

from ingest.metrics import Metrics, events
from ingest.records import Place, Record, Records
from ingest.rest import Answer, Rest
from ingest.snapshot_queue import Pick, SnapshotQueue
from marketdata.book_feed import BookFeed, Hole, Outcome, SnapshotVerdict
from marketdata.errors import BadData
from runtime.config.ingest import Ingest
from venues.contract import Venue

IDLE_CHECK_S = 0.5
"""How often the slow schedules are looked at when nothing is urgent."""


class Snapshots:
    """All books of one market. `run` is the task that fetches."""

    def __init__(
        self,
        venue: Venue,
        rest: Rest,
        records: Records,
        publish: Callable[[Record], None],
        metrics: Metrics,
        settings: Ingest,
        seq_of: Callable[[str], int],
    ) -> None:
        self._venue = venue
        self._protocol = venue.protocol
        self._rest = rest
        self._records = records
        self._publish = publish
        self._metrics = metrics
        self._market = (venue.exchange, venue.market)
        self._seq_of = seq_of
        self._topic = records.topic("book")
        self._feeds: dict[str, BookFeed[None]] = {}
        self._asked: dict[str, int] = {}
        self._queue = SnapshotQueue(
            settings.snapshot_levels_first,
            settings.snapshot_levels_deep,
            settings.reanchor_interval_s,
            settings.snapshot_demand_interval_s,
            random.random,
        )
        self._wake = asyncio.Event()
        self._slots = asyncio.Semaphore(settings.snapshot_concurrency)
        self._fetches: set[asyncio.Task[None]] = set()

    @property
    def waiting(self) -> int:
        return self._queue.waiting

    # --- what happens on the connections, in the order of the log ---

    def on_connected(self, symbol: str, conn: str, overlaps: bool) -> None:
        self._feed(symbol).connected(conn, overlaps)

    def on_disconnected(self, symbol: str, conn: str, reason: str) -> None:
        feed = self._feed(symbol)
        feed.disconnected(conn, reason)
        if not feed.connections:
            self._queue.settled(symbol)  # a snapshot now would anchor nothing; the next update asks again
            if reason == "unsubscribed":
                self._feeds.pop(symbol, None)
                self._queue.forget(symbol)

    def on_frame(self, symbol: str, conn: str, frame: bytes, recv_ns: int) -> None:  # noqa: ARG002
        """A book frame was published."""
        feed = self._feed(symbol)
        try:
            first, last, prev, event_time_us, is_snapshot = self._protocol.book_envelope(frame)
        except BadData as exc:
            events.rest_failed(".".join(self._market), f"book frame of {symbol}", exc.detail)
            return  # in the log as it came; the book processor says what is wrong with it
        if is_snapshot:
            feed.snapshot(last, None, conn)
            return
        outcome = feed.update(first, last, prev, event_time_us, None, conn)
        if outcome is Outcome.APPLY:
            return
        gaps = sum(1 for step in feed.steps if isinstance(step, Hole) and not step.filled_count)
        if gaps:
            self._metrics.count("book_gaps", *self._market, by=gaps)
        self._look(symbol, feed)

    def demand(self, symbol: str, update_id: str) -> None:
        """A book processor wants a snapshot (control.snapshot), at least as new as `update_id`."""
        if symbol not in self._feeds:
            self._metrics.count("snapshot_requests", *self._market, "not_subscribed")
            return
        if update_id.isdigit():
            self._asked[symbol] = max(int(update_id), self._asked.get(symbol, 0))
        taken = self._queue.demand(symbol, time.monotonic())
        self._metrics.count("snapshot_requests", *self._market, "taken" if taken else "underway")
        self._wake.set()

    def _look(self, symbol: str, feed: BookFeed[None]) -> None:
        if feed.needs_snapshot:
            self._queue.need(symbol, time.monotonic())
            self._wake.set()
        elif feed.last_id is not None:
            self._queue.settled(symbol)

    def _feed(self, symbol: str) -> BookFeed[None]:
        feed = self._feeds.get(symbol)
        if feed is None:
            feed = self._feeds[symbol] = BookFeed(self._venue.book_sync())
        return feed

    # --- fetching ---

    async def run(self) -> None:
        """Fetch what is due, within the budget, until cancelled."""
        while True:
            await self._slots.acquire()
            pick, wait_s = self._pick(time.monotonic())
            if pick is None:
                self._slots.release()
                await self._sleep(wait_s)
                continue
            request = self._protocol.snapshot_request(pick.symbol, pick.levels)
            fetch = asyncio.create_task(self._fetch(pick, request.levels, self._rest.get(request)))
            self._fetches.add(fetch)
            fetch.add_done_callback(self._fetched)

    def _pick(self, now_s: float) -> tuple[Pick | None, float]:
        """The next book to fetch, or how long until it is worth asking again."""
        pick = self._queue.next(now_s)
        if pick is None:
            return None, IDLE_CHECK_S
        weight = self._protocol.snapshot_request(pick.symbol, pick.levels).weight
        wait_s = self._rest.budget.wait_s(weight, now_s, pick.share)
        if wait_s > 0:
            return None, min(wait_s, IDLE_CHECK_S)
        self._queue.started(pick.symbol, pick.why, now_s)
        return pick, 0.0

    def _fetched(self, fetch: asyncio.Task[None]) -> None:
        self._slots.release()
        self._fetches.discard(fetch)
        self._wake.set()

    async def _fetch(self, pick: Pick, levels: int, reply: Coroutine[Any, Any, Answer]) -> None:
        symbol, why = pick.symbol, pick.why
        outcome = "failed"
        try:
            answer = await reply
            if answer.ok:
                outcome = self._take(symbol, answer.body, levels, answer.recv_ns)
            elif answer.status in (418, 429):
                outcome = "refused"
        finally:
            now_s = time.monotonic()
            self._metrics.count("snapshots", *self._market, outcome)
            if outcome in ("anchored", "waiting"):
                self._queue.succeeded(symbol, why, now_s)
            elif outcome == "unwanted":
                self._queue.dropped(symbol)
            else:
                self._queue.failed(symbol, why, now_s)
            feed = self._feeds.get(symbol)
            if feed is not None:
                self._look(symbol, feed)

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
        conn = feed.connections[-1]
        place = Place(self._topic, self._records.key(symbol), conn, self._seq_of(conn), recv_ns)
        self._publish(self._records.snapshot(place, body, levels))
        verdict = feed.snapshot(envelope.last_id, None, conn)
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
