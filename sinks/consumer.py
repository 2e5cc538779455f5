"""What every sink shares: a Kafka consumer that commits only what was written, and survives long outages of the store.

A sink reads records, writes them to its store and then commits. While the store is away it calls `keep_alive`
instead of reading: the partitions are paused, the group membership lives on and nothing is dropped. Whenever the
assignment changes, `generation` grows: rows gathered under an older one are thrown away unwritten or uncommitted,
because whoever owns the partition now (perhaps this process again) starts from the committed offset.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from marketdata.errors import StoreError
from marketdata.topics import Topic, topic_name
from runtime.config import Config
from runtime.kafka import consumer_settings

PREFETCH_KBYTES_MAX = 16 * 1024
"""What librdkafka may hold fetched ahead; bounds memory while the store is away."""

CLOCK_GRAIN_S = 0.002
"""The client waits in whole milliseconds: less than this is not worth another try."""

Partition = tuple[str, int]
"""(topic, partition)"""

StartAt = Callable[["SinkConsumer", list[Partition]], Mapping[Partition, int]]
"""Where to start partitions just assigned, where that is not the committed offset."""

log = logging.getLogger("sinks.consumer")


class SinkConsumer:
    """One member of a sink's consumer group. Not thread-safe; use it from the sink's loop alone."""

    def __init__(self, config: Config, group: str, topics: Iterable[Topic], start_at: StartAt | None = None) -> None:
        settings = consumer_settings(config, group, config.sinks.instance)
        settings |= {"queued.max.messages.kbytes": PREFETCH_KBYTES_MAX, "error_cb": self._on_error}
        self.topics = {topic_name(config.environment.topic_prefix, topic): topic for topic in topics}
        self.assigned: set[Partition] = set()
        self.fresh: list[Partition] = []
        """Assigned since the sink last called `take_fresh`."""
        self.generation = 0
        self.paused = False
        self._start_at = start_at
        self.trouble: str | None = None
        """A sentence while the broker cannot be reached, for /readyz."""
        k = config.kafka
        self._asker_settings = {"bootstrap.servers": k.bootstrap_servers, "group.id": "-", **k.extra}
        self._asker: Consumer | None = None
        self._consumer = Consumer(settings, logger=logging.getLogger("rdkafka"))
        self._consumer.subscribe(list(self.topics), on_assign=self._on_assign, on_revoke=self._on_revoke)

    # --- reading -----------------------------------------------------------------------------------

    def poll(self, timeout_s: float) -> Message | None:
        """The next record, or None when none came in time. Raises StoreError on a fatal error of the client."""
        message = self._consumer.poll(timeout_s)
        return message if message is not None and self._good(message) else None

    def consume(self, records_max: int, bytes_max: int, timeout_s: float) -> list[Message]:
        """As `poll`, for many records at once, until there are so many or so many bytes of them. When the assignment
        changes on the way, what was read before is dropped: the new assignment starts from the committed offset. (One
        `poll` each, not the client's batch call, because only so is it certain on which side of a rebalance a record
        stands.)"""
        generation = self.generation
        messages: list[Message] = []
        size_bytes = 0
        deadline_s = time.monotonic() + timeout_s
        while len(messages) < records_max and size_bytes < bytes_max:
            message = self._consumer.poll(max(0.0, deadline_s - time.monotonic()) if not messages else 0)
            if generation != self.generation:
                generation, messages, size_bytes = self.generation, [], 0
            if message is None:
                if messages or time.monotonic() >= deadline_s - CLOCK_GRAIN_S:
                    break
            elif self._good(message):
                messages.append(message)
                size_bytes += len(message.value() or b"")
        return messages

    def keep_alive(self, wait_s: float) -> None:
        """Wait without reading: the group's view of us stays alive and rebalances are answered."""
        self.pause()
        message = self._consumer.poll(wait_s)
        if message is not None and self._good(message):
            # fetched before the pause took hold: put it back
            self._consumer.seek(TopicPartition(message.topic(), message.partition(), message.offset()))

    def pause(self) -> None:
        if not self.paused:
            self.paused = True
            self._consumer.pause(self._partitions())

    def resume(self) -> None:
        if self.paused:
            self.paused = False
            self._consumer.resume(self._partitions())

    # --- positions ---------------------------------------------------------------------------------

    def take_fresh(self) -> list[Partition]:
        """Partitions assigned since the last call: checked by the sink before it reads on."""
        fresh, self.fresh = self.fresh, []
        return fresh

    def committed(self, partitions: Iterable[Partition], timeout_s: float = 10.0) -> dict[Partition, int]:
        """Committed offsets; partitions without one are left out. Raises StoreError when the broker does not answer."""
        asked = [TopicPartition(*p) for p in partitions]
        try:
            answers = self._consumer.committed(asked, timeout=timeout_s) if asked else []
        except KafkaException as exc:
            raise StoreError(f"Kafka does not tell the committed offsets: {exc}") from None
        return {(tp.topic, tp.partition): tp.offset for tp in answers if tp.offset >= 0 and tp.error is None}

    def ends(self, partitions: Iterable[Partition], timeout_s: float = 10.0) -> dict[Partition, tuple[int, int]]:
        """(first offset kept, offset of the next record) of each partition. Raises StoreError.

        Asked on a connection of its own: on the consumer's each question waits behind a fetch, half a second. Not by
        an AdminClient: one whose broker dies has aborted the whole process.
        """
        found = {}
        for partition in partitions:
            if self._asker is None:
                self._asker = Consumer(self._asker_settings, logger=logging.getLogger("rdkafka"))
            try:
                found[partition] = self._asker.get_watermark_offsets(TopicPartition(*partition), timeout=timeout_s)
            except KafkaException as exc:
                raise StoreError(f"Kafka does not tell the ends of its partitions: {exc}") from None
        return found

    def commit(self, next_offsets: Mapping[Partition, int]) -> bool:
        """Commit offsets of partitions still ours. False when the broker refused or is away; then commit them again
        with what follows: what was written twice meanwhile is the same rows."""
        offsets = [TopicPartition(*p, offset) for p, offset in next_offsets.items() if p in self.assigned]
        if not offsets:
            return True
        try:
            for done in self._consumer.commit(offsets=offsets, asynchronous=False) or ():
                if done.error is not None:
                    log.warning("offset not committed", extra={"data": {"topic": done.topic, "error": str(done.error)}})
                    return False
        except KafkaException as exc:
            log.warning("offsets not committed", extra={"data": {"error": str(exc)}})
            return False
        return True

    def commit_soon(self, next_offsets: Mapping[Partition, int]) -> None:
        """Commit without waiting for the answer, for a sink that may read a second of records again unharmed."""
        offsets = [TopicPartition(*p, offset) for p, offset in next_offsets.items() if p in self.assigned]
        if offsets:
            try:
                self._consumer.commit(offsets=offsets, asynchronous=True)
            except KafkaException as exc:
                log.warning("offsets not committed", extra={"data": {"error": str(exc)}})

    def lag(self, next_offsets: Mapping[Partition, int]) -> dict[Partition, int]:
        """Records behind the end as the last fetch saw it, for partitions whose end is known; asks nobody."""
        behind = {}
        for partition, offset in next_offsets.items():
            if partition in self.assigned:
                _, high = self._consumer.get_watermark_offsets(TopicPartition(*partition), cached=True)
                if high >= 0:
                    behind[partition] = max(0, high - offset)
        return behind

    def close(self) -> None:
        self._consumer.close()
        if self._asker is not None:
            self._asker.close()

    # --- callbacks (run inside poll and consume) -----------------------------------------------------

    def _on_assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self.generation += 1
        self.assigned = {(tp.topic, tp.partition) for tp in partitions}
        self.fresh = sorted(self.assigned)
        start_at = self._start_at(self, self.fresh) if self._start_at is not None else {}
        for tp in partitions:
            tp.offset = start_at.get((tp.topic, tp.partition), tp.offset)
        consumer.assign(partitions)
        # a partition that left while it was paused comes back paused
        (consumer.pause if self.paused else consumer.resume)(partitions)

    def _on_revoke(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        self.generation += 1
        self.assigned -= {(tp.topic, tp.partition) for tp in partitions}

    def _on_error(self, error: KafkaError) -> None:
        if error.code() == KafkaError._ALL_BROKERS_DOWN:
            self.trouble = f"no Kafka broker answers: {error.str()}"

    def _good(self, message: Message) -> bool:
        error = message.error()
        if error is None:
            self.trouble = None
            return True
        if error.fatal():
            raise StoreError(f"Kafka ended our membership: {error}")
        if error.code() != KafkaError._PARTITION_EOF:
            self.trouble = str(error)
            log.warning("kafka", extra={"data": {"error": str(error), "topic": message.topic()}})
        return False

    def _partitions(self) -> list[TopicPartition]:
        return [TopicPartition(*p) for p in sorted(self.assigned)]
