"""`python -m sinks.redis`: the newest value of everything in Redis, within milliseconds, and published.

One record is read at a time, without a batching delay. The first value of a key is written at once, later ones at most
every `min_interval_ms`, always ending with the last one. Writes are guarded by sequence, so records may repeat.

While Redis is away reading goes on and only the newest value per key is kept: memory is bounded by the number of keys,
and on its return Redis gets the newest at once. Offsets are committed only after everything read before them was
written. A Redis that lost its data (its marker key is gone) is filled again: from memory when this process has been
running, by re-reading the tail of each topic when it has just started.
"""

from __future__ import annotations

import logging
import sys
import time
from collections import Counter

from confluent_kafka import Message

from marketdata.errors import BadData, StoreError
from runtime.service import Service
from sinks.consumer import Partition, SinkConsumer
from sinks.process import Backoff, Liveness, run_sink
from sinks.redis import metrics
from sinks.redis.commands import UNTIMED, Coalescer, Command, commands
from sinks.redis.tables import HEADS, KINDS, lasting
from sinks.redis.writer import Writer

GROUP = "sink-redis"
IDLE_WAIT_S = 0.1
READ_MAX = 200
"""Records read before what they changed is written, at most ..."""
READ_S_MAX = 0.002
"""... or for this long."""

ASK_AGAIN_S = 0.5
FIRST_KEEP_S = 60.0
"""Every connection says something meanwhile."""
KEEPS_PER_TTL = 4

log = logging.getLogger("sinks.redis")


class RedisSink:
    def __init__(self, service: Service) -> None:
        self.service = service
        self.settings = service.config.sinks.redis
        self.prefix = service.config.environment.redis_prefix
        self.writer = Writer(service.config)
        self.coalescer = Coalescer(self.settings.min_interval_ms / 1000)
        self.backoff = Backoff(delay_s_max=1.0)
        self.retry_at_s = 0.0
        self.trouble: str | None = None
        self.refilling = False
        """Redis was empty when we started: partitions are read from their tail, whatever was committed."""
        self.unmarked = False
        """Redis is being filled: it gets its marker once a start from the committed offsets would complete that."""
        self.symbols: set[str] = set()
        self.new_symbols: set[str] = set()
        self.alive: set[str] = set()
        """K of which something came since their lasting keys were last given their whole TTL."""
        self.keep_interval_s = self.settings.ttl_s / KEEPS_PER_TTL
        self.next_keep_s = time.monotonic() + min(FIRST_KEEP_S, self.keep_interval_s)
        self.generation = 0
        self.next_offsets: dict[Partition, int] = {}
        self.fates: Counter[tuple[str, str]] = Counter()
        self.outcomes: Counter[tuple[str, str]] = Counter()
        self.latency = {kind.topic.name: metrics.LATENCY.labels(kind.topic.name) for kind in KINDS}
        self.liveness = Liveness()
        self.consumer: SinkConsumer | None = None
        service.health.live["loop"] = self.liveness.check
        service.health.ready["redis"] = lambda: self.trouble
        service.health.ready["kafka"] = lambda: self.consumer.trouble if self.consumer else "not started"

    def run(self) -> None:
        if not self._wait_for_redis():
            return
        consumer = SinkConsumer(self.service.config, GROUP, [kind.topic for kind in KINDS], self._start_at)
        self.consumer = consumer
        next_commit_s = time.monotonic() + self.settings.commit_interval_s
        try:
            while not self.service.stop.is_set():
                self._read(consumer)
                now_s = time.monotonic()
                if consumer.generation != self.generation:
                    self._assigned_anew(consumer)
                if now_s >= next_commit_s:
                    next_commit_s = now_s + self.settings.commit_interval_s
                    self._checkpoint(consumer, now_s)
                elif now_s >= self.retry_at_s and (self.coalescer.ready or self._due(now_s)):
                    self._write(self.coalescer.take(now_s), now_s)
            if self._write(self.coalescer.take_all(time.monotonic()), time.monotonic()):
                consumer.commit(self.next_offsets)
        finally:
            consumer.close()
            self.writer.close()

    # --- reading -----------------------------------------------------------------------------------

    def _read(self, consumer: SinkConsumer) -> None:
        self.liveness.tick()
        message = consumer.poll(self._wait_s())
        until_s = time.monotonic() + READ_S_MAX
        for _ in range(READ_MAX):
            if message is None:
                return
            self._accept(consumer, message)
            if time.monotonic() >= until_s:
                return
            message = consumer.poll(0)

    def _assigned_anew(self, consumer: SinkConsumer) -> None:
        self.generation = consumer.generation
        self.next_offsets = {p: o for p, o in self.next_offsets.items() if p in consumer.assigned}
        metrics.LAG.clear()  # of partitions that another process has now

    def _wait_s(self) -> float:
        """How long the next read may wait: until something held may go out."""
        now_s = time.monotonic()
        if now_s < self.retry_at_s:
            return min(IDLE_WAIT_S, self.retry_at_s - now_s)
        if self.coalescer.ready:
            return 0.0
        due_s = self.coalescer.next_due_s()
        return IDLE_WAIT_S if due_s is None else min(IDLE_WAIT_S, max(0.0, due_s - now_s))

    def _accept(self, consumer: SinkConsumer, message: Message) -> None:
        topic = message.topic()
        name = consumer.topics[topic].name
        key = (message.key() or b"").decode(errors="replace")
        self.next_offsets[topic, message.partition()] = message.offset() + 1
        if HEADS[name][0].by_symbol:
            self.alive.add(key)
        try:
            found = commands(name, key, message.value() or b"", self.prefix)
        except BadData as exc:
            # the ClickHouse sink reads the same topics and sends it to md.dead_letter
            log.warning(
                "record passed over", extra={"data": {"topic": topic, "offset": message.offset(), "why": str(exc)}}
            )
            self.fates[name, "unparsable"] += 1
            return
        taken = [self.coalescer.offer(command) for command in found]
        self.fates[name, "newer" if any(taken) else ("older" if found else "no_key")] += 1
        if found and key not in self.symbols and HEADS[name][0].by_symbol:
            self.symbols.add(key)
            self.new_symbols.add(key)

    # --- writing -----------------------------------------------------------------------------------

    def _due(self, now_s: float) -> bool:
        due_s = self.coalescer.next_due_s()
        return due_s is not None and due_s <= now_s

    def _write(self, found: list[Command], now_s: float) -> bool:
        """Write, or keep for later while Redis is away. True when everything given was written."""
        if not found and not self.new_symbols:
            return True
        if now_s < self.retry_at_s:
            self.coalescer.restore(found)
            return False
        try:
            if self.trouble is not None:
                self._check_marker()
            began_s = time.perf_counter()
            newer = self.writer.write(found, self.new_symbols)
        except StoreError as exc:
            self._failed(exc)
            self.coalescer.restore(found)
            return False
        self.new_symbols = set()
        self._worked()
        metrics.FLUSH_SECONDS.observe(time.perf_counter() - began_s)
        written_ns = time.time_ns()
        for command, was_newer in zip(found, newer, strict=True):
            self.outcomes[command.topic, "newer" if was_newer else "older"] += 1
            if was_newer and command.ts != UNTIMED:
                self.latency[command.topic].observe((written_ns - int(command.ts)) / 1e9)
        return True

    def _checkpoint(self, consumer: SinkConsumer, now_s: float) -> None:
        """Write everything held, then commit what had been read; see that Redis still has what it was given."""
        try:
            if now_s >= self.retry_at_s:
                self._check_marker()
                self._keep(now_s)
                self._worked()
        except StoreError as exc:
            self._failed(exc)
        if self._write(self.coalescer.take_all(now_s), now_s):
            if self.unmarked:
                self._mark(consumer)
            else:
                consumer.commit_soon(self.next_offsets)
        for (topic, partition), lag in consumer.lag(self.next_offsets).items():
            metrics.LAG.labels(topic, partition).set(lag)
        for counts, metric in ((self.fates, metrics.RECORDS), (self.outcomes, metrics.WRITES)):
            for labels, count in counts.items():
                metric.labels(*labels).inc(count)
            counts.clear()

    def _check_marker(self) -> None:
        """Raises StoreError. An emptied Redis gets everything we know again."""
        if self.unmarked or self.writer.marked():
            return
        log.warning("Redis lost its data: filling it again", extra={"data": {"symbols": len(self.symbols)}})
        metrics.REFILLS.inc()
        self.coalescer.refill()
        self.new_symbols = set(self.symbols)
        self.unmarked = True

    def _keep(self, now_s: float) -> None:
        """Raises StoreError. A connection may live for a week without saying again that it is connected."""
        if now_s >= self.next_keep_s:
            self.writer.keep(key for k in self.alive for key in lasting(k))
            self.alive.clear()
            self.next_keep_s = now_s + self.keep_interval_s

    def _mark(self, consumer: SinkConsumer) -> None:
        if not consumer.assigned or not consumer.commit(self.next_offsets):
            return
        try:
            self.writer.mark()
        except StoreError as exc:
            self._failed(exc)
        else:
            self.unmarked = False

    def _failed(self, exc: StoreError) -> None:
        if self.trouble is None:
            log.warning("Redis is away, keeping the newest values", extra={"data": {"error": str(exc)}})
        self.trouble = str(exc)
        metrics.RETRIES.inc()
        self.retry_at_s = time.monotonic() + self.backoff.next_s()

    def _worked(self) -> None:
        if self.trouble is not None:
            log.info("Redis is back")
            self.trouble = None
        self.backoff.reset()

    # --- starting ----------------------------------------------------------------------------------

    def _wait_for_redis(self) -> bool:
        while not self.service.stop.is_set():
            self.liveness.tick()
            try:
                self.refilling = self.unmarked = not self.writer.marked()
            except StoreError as exc:
                self._failed(exc)
                self.service.stop.wait(max(0.0, self.retry_at_s - time.monotonic()))
            else:
                self._worked()
                return True
        return False

    def _start_at(self, consumer: SinkConsumer, partitions: list[Partition]) -> dict[Partition, int]:
        """The tail of partitions that were never committed, or of all when Redis came up empty."""
        while not self.service.stop.is_set():
            self.liveness.tick()
            try:
                committed = {} if self.refilling else consumer.committed(partitions)
                ends = consumer.ends(p for p in partitions if p not in committed)
            except StoreError as exc:
                # going on from the committed offsets would leave an empty Redis so, with its marker set
                log.warning("waiting for Kafka to say where to start", extra={"data": {"error": str(exc)}})
                self.service.stop.wait(ASK_AGAIN_S)
                continue
            starts = {p: max(low, high - self.settings.refill_records_max) for p, (low, high) in ends.items()}
            self.refilling = self.refilling and not partitions
            self.next_offsets |= starts  # so that the first commit names them all, also those not read from yet
            return starts
        return {}


if __name__ == "__main__":
    sys.exit(run_sink("sinks.redis", lambda service: RedisSink(service).run()))
