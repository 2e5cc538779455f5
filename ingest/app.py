"""The process: markets, the way to Kafka, control topics, one tick for everything that waits for time."""

from __future__ import annotations

import asyncio
import itertools
import os
import threading
import time
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any

from ingest.addresses import Addresses
from ingest.control import Control, Subscription, encode_subscription
from ingest.desired import Desired
from ingest.market import Market, Surroundings
from ingest.memory import give_back
from ingest.metrics import GAUGES, MARKET, Metrics, events
from ingest.plan import shard_of
from ingest.producer import RawProducer
from ingest.records import Record, Records
from ingest.spill import Spill
from marketdata.control import SnapshotRequest
from marketdata.errors import ConfigError, MarketPrismError
from marketdata.keys import parse_key
from marketdata.topics import CONTROL_SUBSCRIPTION, MD_DEAD_LETTER, topic_name
from runtime.config import Config
from runtime.kafka import ensure_topics, producer_settings
from runtime.service import Service
from venues import find_venue

TICK_S = 0.05
KAFKA_WAIT_S = 10.0
"""How long capture waits for Kafka at the start; then it begins, and frames go to the spill."""
LIVE_LIMIT_S = 10.0
"""An event loop that did not tick for this long is not alive."""
APPLY_DELAY_S = 0.2
"""Subscription records that come together are applied together."""


class App:
    """Everything one ingest process does. `run` returns the exit status."""

    def __init__(self, service: Service, metrics: Metrics | None = None) -> None:
        self._service = service
        self._config = service.config
        settings = self._config.ingest
        self.metrics = metrics or Metrics()
        prefix = self._config.environment.topic_prefix
        self._pod = f"{settings.pod}-{int(time.time() * 1000)}"
        self._numbers = itertools.count()
        spill = Spill(
            Path(settings.spill_dir) / f"{prefix}{settings.pod}", settings.spill_bytes_max, settings.spill_segment_bytes
        )
        if spill.size_bytes:
            events.leftover_spill(spill.size_bytes)
        self._spill = spill
        self.producer = RawProducer(
            kafka_settings(self._config), spill, self.metrics.producer, settings.stall_after_s, self._refused
        )
        self._records = Records(self._config.environment, "ingest", settings.pod, self._config.kafka.encoding)
        self._dead_topic = topic_name(prefix, MD_DEAD_LETTER)
        self._subscription_topic = topic_name(prefix, CONTROL_SUBSCRIPTION)
        self.markets: dict[tuple[str, str], Market] = {}
        self._addresses = Addresses(self._config, self._pod, self.metrics)
        self._desired = Desired(self._config, self._mine)
        self._control: Control | None = None
        self._seeding = False
        self._changed: dict[str, Subscription | None] = {}
        self._apply_at: asyncio.TimerHandle | None = None
        self._background: set[asyncio.Task[None]] = set()
        self._ticked_s = time.monotonic()
        self._paused = False
        self._capturing = False
        self._torn = 0
        self._recoveries = 0
        self._failed: BaseException | None = None
        self._topics_ready = asyncio.Event()

    # --- life ---

    async def run(self) -> int:
        loop = asyncio.get_running_loop()
        stop = asyncio.Event()
        self._watch_stop(loop, stop)
        self._make_markets()
        self._surface()
        started_s = time.monotonic()
        ticking = asyncio.create_task(self._tick())
        ticking.add_done_callback(self._on_task_done)
        self._make_topics(loop)
        control = self._control = Control(self._config, loop, self._on_subscription, self._on_snapshot_request)
        try:
            if not await self._first(self._topics_ready, stop, KAFKA_WAIT_S):
                events.waiting_for_kafka(time.monotonic() - started_s)
            control.start()
            await self._first(control.caught_up, stop, KAFKA_WAIT_S if self._topics_ready.is_set() else 0.1)
            if not stop.is_set():
                self._spawn(self._capture())
                self._spawn(self._seed(control))
            await stop.wait()
        finally:
            await self._end(control, ticking)
        return 1 if self._failed is not None else 0

    async def _end(self, control: Control, ticking: asyncio.Task[None]) -> None:
        events.stopping()
        self._service.stop.set()
        if self._apply_at is not None:
            self._apply_at.cancel()
        for task in self._background:
            task.cancel()
        try:
            await asyncio.gather(*(market.stop() for market in self.markets.values()))
            ticking.cancel()
            control.stop()
            await self._addresses.close()
        finally:  # whatever failed: what Kafka has not got must be on disk
            self.producer.close(self._config.ingest.stop_timeout_s)
        events.stopped(self.metrics.producer.delivered, self._spill.size_bytes)

    def _watch_stop(self, loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
        """SIGTERM and SIGINT set `service.stop` (a threading event); a thread carries that into the loop."""

        def wait() -> None:
            self._service.stop.wait()
            loop.call_soon_threadsafe(stop.set)

        threading.Thread(target=wait, name="stop", daemon=True).start()

    async def _first(self, event: asyncio.Event, stop: asyncio.Event, timeout_s: float) -> bool:
        """Until `event`, `stop` or the timeout; whether `event` is set."""
        waits = [asyncio.create_task(event.wait()), asyncio.create_task(stop.wait())]
        await asyncio.wait(waits, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()
        return event.is_set()

    def _on_task_done(self, task: asyncio.Task[None]) -> None:
        """A task that failed is a bug of ours: stop loudly, cleanly; the supervisor starts us again."""
        if not task.cancelled() and (exc := task.exception()) is not None and self._failed is None:
            self._failed = exc
            self._service.log.critical("a task failed", exc_info=(type(exc), exc, exc.__traceback__))
            self._service.stop.set()

    def _make_topics(self, loop: asyncio.AbstractEventLoop) -> None:
        threading.Thread(target=self._ensure_topics, args=(loop,), name="topics", daemon=True).start()

    def _ensure_topics(self, loop: asyncio.AbstractEventLoop) -> None:
        """In a thread: it waits while the broker is away."""
        try:
            ensure_topics(self._config, stop=self._service.stop)
        except MarketPrismError as exc:
            self._service.log.critical("cannot use Kafka: %s", exc)
            self._failed = exc
            self._service.stop.set()
            return
        if not self._service.stop.is_set():
            loop.call_soon_threadsafe(self._on_topics)

    def _on_topics(self) -> None:
        if not self._topics_ready.is_set():
            self.producer.release()
            self._topics_ready.set()

    # --- capture ---

    def _make_markets(self) -> None:
        around = Surroundings(
            config=self._config,
            publish=self.producer.publish,
            metrics=self.metrics,
            next_conn=self._next_conn,
            may_connect=lambda: not self._paused,
            env=os.environ,
            on_task_done=self._on_task_done,
            on_selected=self._on_selected,
            selected_before=self._desired.before,
        )
        for exchange, markets in self._config.exchanges.items():
            for name, market in markets.items():
                venue = find_venue(exchange, name)
                pools = self._addresses.pools(exchange, market.rest_url, venue.protocol.limits)
                attempts = self._addresses.attempts(market.ws_url)
                self.markets[exchange, name] = Market(venue, market, around, pools, attempts)

    def _next_conn(self) -> str:
        """Identity of a connection: `{pod}-{start ms}-{number}`."""
        return f"{self._pod}-{next(self._numbers)}"

    def _mine(self, key: str) -> bool:
        settings = self._config.ingest
        return shard_of(key, settings.shards) == settings.shard

    async def _capture(self) -> None:
        """Begin with the desired state as far as it is known: the configuration, and what others decided."""
        for market in self.markets.values():
            await market.start()
        self._capturing = True
        self._changed = {}
        await self._apply({**self._desired.wanted(), **self._desired.decided()})
        settings = self._config.ingest
        streams = sum(m.streams() for m in self.markets.values())
        symbols = sum(len(m.symbols()) for m in self.markets.values())
        give_back()
        events.capturing(symbols, streams, f"{settings.shard}/{settings.shards}")

    def _caught_up(self) -> bool:
        """All of control.subscription that was there at the start is known."""
        return self._control is not None and self._control.caught_up.is_set()

    async def _seed(self, control: Control) -> None:
        """Write the configuration's wishes, once all that others decided earlier is known."""
        await control.caught_up.wait()
        self._seeding = True
        self._write_seeds(self._desired.seeds())

    def _write_seeds(self, seeds: dict[str, Subscription]) -> None:
        now_ms = time.time_ns() // 1_000_000
        for key, subscription in seeds.items():
            self._desired.held[key] = subscription
            value = encode_subscription(subscription)
            self.producer.publish(Record(self._subscription_topic, key.encode(), value, [], now_ms))

    def _on_selected(self, name: tuple[str, str], symbols: Mapping[str, tuple[str, ...]]) -> None:
        """A market's rules select these symbols now: follow, and say so in control.subscription."""
        before = self._desired.before(name)
        self._desired.select(name, symbols)
        joined, left = sorted(set(symbols) - before), sorted(before - set(symbols))
        if joined or left:
            events.selected(".".join(name), joined, left)
            self.metrics.count("selection_changes", *name, "joined", by=len(joined))
            self.metrics.count("selection_changes", *name, "left", by=len(left))
        changes = self._desired.seeds()
        if self._seeding:  # else `_seed` writes them, when all that others decided is known
            self._write_seeds(changes)
        self._spawn(self._apply(changes))

    def _on_subscription(self, key: str, subscription: Subscription | None) -> None:
        """A record of control.subscription, old or new."""
        held = self._desired.held
        if held.get(key, Subscription(["?"])) == subscription:
            return
        if subscription is None and not self._caught_up():
            subscription = self._desired.forget(key)
        else:
            held[key] = subscription
        if self._capturing:
            self._changed[key] = subscription
            if self._apply_at is None:
                self._apply_at = asyncio.get_running_loop().call_later(APPLY_DELAY_S, self._apply_changes)

    def _apply_changes(self) -> None:
        self._apply_at = None
        changes, self._changed = self._changed, {}
        for key, subscription in changes.items():
            events.subscription(key, subscription.channels if subscription else [])
        self._spawn(self._apply(changes))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)
        task.add_done_callback(self._on_task_done)

    async def _apply(self, changes: Mapping[str, Subscription | None]) -> None:
        by_market: dict[tuple[str, str], dict[str, list[str]]] = {}
        for text, subscription in changes.items():
            key = parse_key(text)
            if not self._mine(text):
                continue
            if (key.exchange, key.market) in self.markets:
                channels = subscription.channels if subscription else []
                by_market.setdefault((key.exchange, key.market), {})[key.symbol] = channels
            elif subscription and subscription.channels:
                events.bad_control(self._subscription_topic, text, "its market is not in the configuration")
        await asyncio.gather(*(self.markets[name].apply(symbols) for name, symbols in by_market.items()))

    def _on_snapshot_request(self, text: str, request: SnapshotRequest) -> None:
        key = parse_key(text)
        market = self.markets.get((key.exchange, key.market))
        if market is not None and self._mine(text):
            market.books.demand(key.symbol, request.update_id)

    def _refused(self, record: Record, reason: str) -> None:
        """Kafka will never take this record: keep it as a dead letter, unless it is one."""
        if record.topic != self._dead_topic:
            detail = f"Kafka refused a record of {record.topic}, key {record.key.decode()}: {reason}"
            self.producer.publish(self._records.dead_letter(record.value, "refused_by_kafka", detail, time.time_ns()))

    # --- time ---

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            now_s = time.monotonic()
            self._ticked_s = now_s
            self.producer.tick(now_s)
            self._mind_room()
            if self.producer.recoveries != self._recoveries:  # the broker may have come back empty
                self._recoveries = self.producer.recoveries
                self._make_topics(asyncio.get_running_loop())
            recv_ns = time.time_ns()
            for market in self.markets.values():
                market.tick(now_s, recv_ns)
            if self._spill.torn != self._torn:
                self.metrics.count("spill_torn_tails", by=self._spill.torn - self._torn)
                self._torn = self._spill.torn
                events.torn_spill(self._spill.torn, self._spill.torn_bytes)

    def _mind_room(self) -> None:
        """At the spill's bound stop receiving: what is missed then is told by `disconnected` and the ids. Where the
        disk refused, records of ours may be lost too: connections write theirs anew, and so do the metadata."""
        if not self._paused and self.producer.full:
            self._paused = True
            events.no_room(self._spill.size_bytes)
            for market in self.markets.values():
                market.close_connections("buffer_full")
        elif self._paused and self.producer.roomy:
            self._paused = False
            events.room_again()
            for market in self.markets.values():
                market.instruments.write_again()

    # --- surfaces ---

    def _surface(self) -> None:
        health = self._service.health
        health.live["event_loop"] = self._alive
        health.ready["kafka"] = self._kafka_ready
        health.ready["streams"] = self._streams_ready
        for name, (_, labels) in GAUGES.items():
            if labels == MARKET:
                self.metrics.gauge(name, self._market_gauge(name))
        own: dict[str, Callable[[], float]] = {
            "queue_records": lambda: self.producer.outstanding,
            "spill_bytes": lambda: self._spill.size_bytes,
            "spilling": lambda: float(self.producer.spilling),
            "rest_budget_alone": lambda: float(self._addresses.alone),
        }
        for name, read in own.items():
            self.metrics.gauge(name, lambda read=read: [((), read())])  # type: ignore[misc]

    def _market_gauge(self, name: str) -> Callable[[], Any]:
        return lambda: [(m.name, found[name]) for m in self.markets.values() if name in (found := m.gauges())]

    def _alive(self) -> str | None:
        behind_s = time.monotonic() - self._ticked_s
        return f"the event loop stands still for {behind_s:.0f} s" if behind_s > LIVE_LIMIT_S else None

    def _kafka_ready(self) -> str | None:
        return "frames go to the spill" if self.producer.spilling else None

    def _streams_ready(self) -> str | None:
        if not self._capturing:
            return "not capturing yet"
        found = [f"{'.'.join(m.name)}: {said}" for m in self.markets.values() if (said := m.not_ready())]
        return "; ".join(found) or None


def kafka_settings(config: Config) -> dict[str, Any]:
    """The client's queue is bounded; nothing in it is given up by time: what does not fit waits in the spill."""
    return {
        **producer_settings(config),
        "queue.buffering.max.messages": config.ingest.queue_frames_max,
        "queue.buffering.max.kbytes": max(1, config.ingest.queue_bytes_max // 1024),
        "delivery.timeout.ms": 0,
    }


def check(config: Config) -> None:
    """Raises ConfigError where the configuration asks for what no venue has."""
    if not config.exchanges:
        raise ConfigError("no exchange is configured (exchanges: ...): nothing to capture")
    for exchange, markets in config.exchanges.items():
        for name, market in markets.items():
            protocol = find_venue(exchange, name).protocol
            protocol.streams(market.symbols, market.channels)
            for number, rule in enumerate(market.select):
                protocol.streams(rule.symbols, rule.channels or market.channels)
                if rule.top is not None and protocol.volume_request() is None:
                    where = f"exchanges.{exchange}.{name}.select.{number}.top"
                    raise ConfigError(f"{where}: this venue does not tell the turnover of its symbols")
