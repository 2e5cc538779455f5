"""Instrument metadata in the raw log: before a key's first frame in each of its raw topics, and at each change."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Iterable

from ingest.metrics import Metrics, events
from ingest.records import Place, Record, Records
from ingest.rest import Rest
from marketdata.errors import UnparsableFrame
from venues.contract import VenueProtocol

RETRY_S = 5.0


class Instruments:
    """Metadata of the captured symbols of one market. `conn` names this process in the records' headers."""

    def __init__(
        self,
        protocol: VenueProtocol,
        rest: Rest,
        records: Records,
        publish: Callable[[Record], None],
        metrics: Metrics,
        conn: str,
    ) -> None:
        self._rest = rest
        self._protocol = protocol
        self._records = records
        self._publish = publish
        self._metrics = metrics
        self._conn = conn
        self._topics: dict[str, set[str]] = {}  # symbol -> raw topics it is captured in
        self._known: dict[str, bytes] = {}
        self._written: dict[tuple[str, str], bytes] = {}
        self._lock = asyncio.Lock()

    def want(self, symbol: str, channels: Iterable[str]) -> None:
        """The symbol is captured in the raw topics of these channels (none: not any more)."""
        topics = {self._records.topic(channel) for channel in channels}
        if topics:
            self._topics[symbol] = topics
        else:
            self._topics.pop(symbol, None)
            self._known.pop(symbol, None)
        for place in [p for p in self._written if p[0] == symbol and p[1] not in topics]:
            del self._written[place]

    @property
    def missing(self) -> list[str]:
        """Captured symbols without metadata."""
        return [symbol for symbol in self._topics if symbol not in self._known]

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
            request = self._protocol.instruments_request()
            wait_s = self._rest.budget.wait_s(request.weight, time.monotonic())
            if wait_s > 0:
                await asyncio.sleep(wait_s)
            answer = await self._rest.get(request)
            if not answer.ok:
                return False
            try:
                found = {s: cut for s, cut in self._protocol.instruments_reply(answer.body) if s in self._topics}
            except UnparsableFrame as exc:
                events.rest_failed(f"{self._records.exchange}.{self._records.market}", "instruments", exc.detail)
                return False
            self._known.update(found)
            if missing := self.missing:
                events.unknown_symbols(f"{self._records.exchange}.{self._records.market}", sorted(missing)[:50])
            self.write()
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

    async def run(self, interval_s: float) -> None:
        """Look for changes for ever; sooner while nothing is known."""
        while True:
            pause_s = interval_s * (0.9 + 0.2 * random.random())
            await asyncio.sleep(RETRY_S if self._topics and not self._known else pause_s)
            await self.refresh()
