"""What the venue tells by REST alone (open interest, ratios): asked for again and again, each reply a `poll` record.

All polls of a budget pool take fair turns: the one that waits longest goes first, so that a budget too small for all
makes every interval longer instead of starving some. They leave part of the pool to snapshots and metadata.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import itertools
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ingest.metrics import Metrics, events
from ingest.records import Place, Record, Records
from ingest.rest import Answer, Rest, jittered, path_of
from marketdata.errors import BadData
from venues.contract import EVERY_SYMBOL, Poll, VenueProtocol

POLL_SHARE = 0.5
"""Part of a pool that polls may fill: snapshots and metadata come first."""
IDLE_CHECK_S = 1.0
CONCURRENCY = 4
FIRST_SPREAD_S = 10.0
"""New polls are asked for the first time within this."""
JITTER = 0.1
"""Of an interval, both ways."""

PollKey = tuple[str, str]
"""(channel, path with query)."""


@dataclass(frozen=True)
class Wish:
    """A poll, and the captured symbols that want it."""

    poll: Poll
    symbols: frozenset[str]

    @property
    def key(self) -> PollKey:
        return self.poll.channel, path_of(self.poll.request)


class PollQueue:
    """Whose turn it is. Pure: times are monotonic seconds given by the caller; `random` gives numbers in [0, 1)."""

    def __init__(self, random: Callable[[], float]) -> None:
        self._random = random
        self._wishes: dict[PollKey, Wish] = {}
        self._heaps: dict[str, list[tuple[float, int, PollKey]]] = {}
        self._queued: set[PollKey] = set()
        self._fresh: set[PollKey] = set()
        """Never asked yet."""
        self._numbers = itertools.count()

    def __len__(self) -> int:
        return len(self._wishes)

    def want(self, wishes: Mapping[PollKey, Wish], now_s: float) -> None:
        """Exactly these polls from now on. New ones are asked soon."""
        self._wishes = dict(wishes)
        for key, wish in wishes.items():
            if key not in self._queued:
                self._fresh.add(key)
                self._push(key, wish, now_s + min(wish.poll.interval_s, FIRST_SPREAD_S) * self._random())

    def next(self, now_s: float, blocked_until_s: Mapping[str, float]) -> tuple[Wish | None, float]:
        """The poll that is due longest, of a pool that is not blocked; or None and how long until it is worth asking
        again. Call `asked` when it goes out."""
        waits: list[tuple[float, float, str]] = []  # (not before, due, pool)
        for pool, heap in self._heaps.items():
            while heap and heap[0][2] not in self._wishes:
                self._queued.discard(heapq.heappop(heap)[2])
            if heap:
                waits.append((max(heap[0][0], blocked_until_s.get(pool, 0.0)), heap[0][0], pool))
        due = min((w for w in waits if w[0] <= now_s), key=lambda w: w[1], default=None)
        if due is None:
            return None, min((w[0] - now_s for w in waits), default=IDLE_CHECK_S)
        return self._wishes[self._heaps[due[2]][0][2]], 0.0

    def asked(self, wish: Wish, now_s: float) -> None:
        """It goes out: its next turn comes after its interval; the second turn somewhere within it, or polls that began
        together would come together for ever."""
        heap = self._heaps[wish.poll.request.pool]
        for at, entry in enumerate(heap):
            if entry[2] == wish.key:  # the first one, as a rule
                heap[at] = heap[-1]
                heap.pop()
                heapq.heapify(heap)
                break
        factor = self._random() if wish.key in self._fresh else 1 + JITTER * (2 * self._random() - 1)
        self._fresh.discard(wish.key)
        self._push(wish.key, wish, now_s + wish.poll.interval_s * factor)

    def _push(self, key: PollKey, wish: Wish, due_s: float) -> None:
        self._queued.add(key)
        heapq.heappush(self._heaps.setdefault(wish.poll.request.pool, []), (due_s, next(self._numbers), key))


class Polls:
    """All polls of one market. `run` is the task; `conn` names this process in the records' headers; while `may_ask`
    says no, nothing is asked."""

    def __init__(
        self,
        protocol: VenueProtocol,
        rest: Rest,
        records: Records,
        publish: Callable[[Record], None],
        metrics: Metrics,
        conn: str,
        may_ask: Callable[[], bool],
    ) -> None:
        self._may_ask = may_ask
        self._protocol = protocol
        self._rest = rest
        self._records = records
        self._publish = publish
        self._metrics = metrics
        self._market = (records.exchange, records.market)
        self._conn = conn
        self._seq = 0
        self._queue = PollQueue(random.random)
        self._blocked: dict[str, float] = {}
        self._last: dict[tuple[str, str, str], int] = {}
        self._slots = asyncio.Semaphore(CONCURRENCY)
        self._wake = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    def want(self, wishes: Mapping[PollKey, Wish]) -> None:
        """Ask for exactly these from now on."""
        self._queue.want(wishes, time.monotonic())
        self._last = {place: seen for place, seen in self._last.items() if (place[0], place[1]) in wishes}
        self._wake.set()

    @property
    def count(self) -> int:
        return len(self._queue)

    async def run(self) -> None:
        """Ask what is due, within the budget, until cancelled."""
        while True:
            await self._slots.acquire()
            wish = await self._next()
            if wish is None:
                self._slots.release()
                continue
            task = asyncio.create_task(self._ask(wish))
            self._tasks.add(task)
            task.add_done_callback(self._asked)

    async def _next(self) -> Wish | None:
        """The next poll, paid for; or None after some waiting."""
        now_s = time.monotonic()
        wish, wait_s = self._queue.next(now_s, self._blocked) if self._may_ask() else (None, IDLE_CHECK_S)
        if wish is None:
            self._wake.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(wait_s, IDLE_CHECK_S)):
                    await self._wake.wait()
            return None
        request = wish.poll.request
        wait_s = await self._rest.reserve(request, POLL_SHARE)
        if wait_s > 0:
            self._blocked[request.pool] = now_s + jittered(wait_s)
            return None
        self._queue.asked(wish, now_s)
        return wish

    def _asked(self, task: asyncio.Task[None]) -> None:
        self._slots.release()
        self._tasks.discard(task)
        if not task.cancelled() and (exc := task.exception()) is not None:  # a bug of ours: the other polls go on
            events.reply_failed(".".join(self._market), "poll", exc)

    async def _ask(self, wish: Wish) -> None:
        answer = await self._rest.get(wish.poll.request)
        outcome = "refused" if answer.refused else self._take(wish, answer) if answer.ok else "failed"
        self._metrics.count("polls", *self._market, wish.poll.channel, outcome)

    def _take(self, wish: Wish, answer: Answer) -> str:
        """Publish a reply under each symbol it is about; returns the outcome's name."""
        poll = wish.poll
        path = path_of(poll.request)
        try:
            found = list(self._protocol.poll_reply(poll.request, answer.body))
        except BadData as exc:
            detail = f"{exc.detail} (poll {path})"
            events.dead_letter(".".join(self._market), exc.code, detail)
            self._metrics.count("dead_letters", *self._market, exc.code)
            self._publish(self._records.dead_letter(answer.body, exc.code, detail, answer.recv_ns))
            return "bad"
        topic, changed = self._records.topic(poll.channel), False
        self._seq += 1
        for symbol, value in found:
            if symbol not in wish.symbols:
                continue
            seen, place = hash(value), (*wish.key, symbol)
            changed = changed or self._last.get(place) != seen
            self._last[place] = seen
            at = Place(topic, self._records.key(symbol), self._conn, self._seq, answer.recv_ns)
            self._publish(self._records.poll(at, value, poll.channel, path))
        if poll.symbol != EVERY_SYMBOL and not found:
            return "empty"
        return "ok" if changed else "unchanged"

    async def stop(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
