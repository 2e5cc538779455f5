"""Instrument metadata in the raw log: before a key's first frame in each of its raw topics, and at each change."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Callable, Iterable, Mapping

from ingest.metrics import Metrics, events
from ingest.records import Place, Record, Records
from ingest.rest import Rest
from marketdata.errors import UnparsableFrame
from venues.contract import VenueProtocol

RETRY_S = 5.0
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
        self._said: frozenset[str] = frozenset()
        self._lock = asyncio.Lock()
        self._poked = asyncio.Event()
        self._asked_s = -1e9
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
        """Captured symbols that the venue, when it was asked, did not list."""
        return self.missing if self.asked_once else []

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

    async def refresh(self) -> bool:
        """Ask the venue once and write what is new. False when it did not answer."""
        async with self._lock:
            self._poked.clear()
            answer = await self._rest.ask(self._protocol.instruments_request())
            self._asked_s = time.monotonic()
            if not answer.ok:
                return False
            try:
                listing = dict(self._protocol.instruments_reply(answer.body))
            except UnparsableFrame as exc:
                events.rest_failed(f"{self._records.exchange}.{self._records.market}", "instruments", exc.detail)
                return False
            self._known.update((s, listing[s]) for s in self._topics if s in listing)
            self.asked_once = True
            missing = frozenset(self.missing)
            if missing - self._said:
                events.unknown_symbols(f"{self._records.exchange}.{self._records.market}", sorted(missing)[:50])
            self._said = missing
            self.write()
            self._on_listing(listing)
            return True

    async def first(self, timeout_s: float) -> bool:
        """Metadata of all captured symbols, asking again until `timeout_s`. False: capture begins without."""
        try:
            async with asyncio.timeout(timeout_s):
                while not await self.refresh():
                    await asyncio.sleep(min(RETRY_S, timeout_s / 4))
        except TimeoutError:
            return False
        return True

    def poke(self) -> None:
        """The venue says that metadata changed: look soon."""
        self._poked.set()

    async def run(self, interval_s: float) -> None:
        """Look for changes for ever; sooner while nothing is known, or when the venue says that something changed."""
        while True:
            pause_s = interval_s if self._known or not self._topics else RETRY_S
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause_s * (0.9 + 0.2 * random.random())):
                    await self._poked.wait()
            if self._poked.is_set():
                await asyncio.sleep(max(0.0, self._asked_s + POKE_INTERVAL_S - time.monotonic()))
                if not self._poked.is_set():
                    continue  # someone else has asked in the meantime
            await self.refresh()
