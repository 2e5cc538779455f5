"""Instrument metadata in the raw log: before a key's first frame in each of its raw topics, and at each change."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Callable, Iterable, Mapping
from math import inf

from ingest.metrics import Metrics, events
from ingest.pacing import Backoff
from ingest.records import Place, Record, Records
from ingest.rest import Rest
from marketdata.errors import UnparsableFrame
from venues.contract import VenueProtocol

RETRY_S = 5.0
RETRY_S_MAX = 300.0
"""A venue that does not answer is asked again ever more slowly, up to this."""
POKE_INTERVAL_S = 10.0
"""The venue's own notices that metadata changed lead to at most one request in this long."""

Listing = Mapping[str, bytes]
"""All symbols of the market with their metadata, as the venue lists them now."""


class Instruments:
    """Metadata of the captured symbols of one market. `conn` names this process in the records' headers;
    `on_listing` is told after each reply of the venue."""

    def __init__(
        self,
        protocol: VenueProtocol,
        rest: Rest,
        records: Records,
        publish: Callable[[Record], None],
        metrics: Metrics,
        conn: str,
        on_listing: Callable[[Listing], None] = lambda _: None,
    ) -> None:
        self._rest = rest
        self._protocol = protocol
        self._records = records
        self._publish = publish
        self._metrics = metrics
        self._conn = conn
        self._on_listing = on_listing
        self._topics: dict[str, frozenset[str]] = {}  # symbol -> raw topics it is captured in
        self._known: dict[str, bytes] = {}
        self._written: dict[tuple[str, str], bytes] = {}
        self._lock = asyncio.Lock()
        self._poked = asyncio.Event()
        self._retry = Backoff(RETRY_S, RETRY_S_MAX, random.random)
        self._asked_s = -1e9
        self._answered = False
        self._spacing_s = POKE_INTERVAL_S
        self._gone: frozenset[str] = frozenset()
        self.asked_once = False
        """The venue has answered at least once."""

    def want(self, symbol: str, channels: Iterable[str]) -> None:
        """The symbol is captured in the raw topics of these channels (none: not any more)."""
        topics = frozenset(self._records.topic(channel) for channel in channels)
        if topics:
            self._topics[symbol] = topics
        else:
            self._topics.pop(symbol, None)
            self._known.pop(symbol, None)
        for place in [(symbol, t) for t in self._records.topics if t not in topics]:
            self._written.pop(place, None)

    def knows(self, symbol: str) -> bool:
        return symbol in self._known

    @property
    def missing(self) -> list[str]:
        """Captured symbols without metadata."""
        return [symbol for symbol in list(self._topics) if symbol not in self._known]

    @property
    def unlisted(self) -> list[str]:
        """Captured symbols that the venue, when it was asked last, did not list (any more)."""
        return [s for s in list(self._topics) if s in self._gone or s not in self._known] if self.asked_once else []

    def write(self) -> None:
        """Write what is known and not written yet, or changed."""
        recv_ns = time.time_ns()
        for symbol, topics in self._topics.items():
            metadata = self._known.get(symbol)
            if metadata is None:
                continue
            for topic in sorted(topics):
                if self._written.get((symbol, topic)) != metadata:
                    self._written[symbol, topic] = metadata
                    place = Place(topic, self._records.key(symbol), self._conn, 0, recv_ns)
                    self._publish(self._records.instrument(place, metadata))
                    self._metrics.count("instrument_changes", self._records.exchange, self._records.market)

    def write_again(self) -> None:
        """Write all that is known once more: some of it may have been lost."""
        self._written.clear()
        self.write()

    async def refresh(self, since_s: float = inf) -> bool:
        """Ask the venue once and write what is new; where someone else did since `since_s`, that counts. False when it
        did not answer; `run` then asks again."""
        async with self._lock:
            if self._asked_s >= since_s:
                return self._answered
            self._poked.clear()
            self._answered, listing = False, None
            try:
                listing = await self._ask()
            finally:
                self._asked_s = time.monotonic()
                if listing is None:  # also where the asker could not wait for the answer
                    self._poked.set()
            if listing is None:
                self._spacing_s = self._retry.next_delay_s()
                return False
            self._answered = True
            self._retry.reset()
            self._spacing_s = POKE_INTERVAL_S
            self._known.update((s, listing[s]) for s in self._topics if s in listing)
            known, self._gone = self._gone, frozenset(s for s in self._topics if s not in listing)
            self.asked_once = True
            if self._gone - known:
                events.unknown_symbols(f"{self._records.exchange}.{self._records.market}", sorted(self._gone)[:50])
            self.write()
            self._on_listing(listing)
            return True

    async def _ask(self) -> dict[str, bytes] | None:
        """The whole listing, in as many requests as the venue wants; None where a part of it did not come."""
        listing: dict[str, bytes] = {}
        for request in self._protocol.instruments_requests():
            answer = await self._rest.ask(request)
            if not answer.ok:
                return None
            self._rest.learn_limits(answer.body)
            try:
                listing.update(self._protocol.instruments_reply(answer.body))
            except UnparsableFrame as exc:
                events.rest_failed(f"{self._records.exchange}.{self._records.market}", "instruments", exc.detail)
                return None
        return listing

    async def first(self, timeout_s: float) -> bool:
        """Metadata of all captured symbols, asking again until `timeout_s`. False: capture begins without."""
        try:
            async with asyncio.timeout(timeout_s):
                while not await self.refresh(time.monotonic()):
                    await asyncio.sleep(min(RETRY_S, timeout_s / 4))
        except TimeoutError:
            return False
        return True

    def poke(self) -> None:
        """The venue says that metadata changed: look soon."""
        self._poked.set()

    async def run(self, interval_s: float) -> None:
        """Look for changes for ever; sooner after a failure, or when the venue says that something changed."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(interval_s * (0.9 + 0.2 * random.random())):
                    await self._poked.wait()
            if self._poked.is_set():
                await asyncio.sleep(max(0.0, self._asked_s + self._spacing_s - time.monotonic()))
                if not self._poked.is_set():
                    continue  # someone else has asked in the meantime
            await self.refresh()
