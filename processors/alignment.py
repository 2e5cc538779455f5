"""Reading a backlog of several partitions in the order of time.

Kafka hands out what it has fetched, partition by partition: after a standstill one partition may be read hours ahead of
another. Where records of several partitions are merged by time, that would have to be buffered. So partitions that run
ahead are paused until the others, as far as they have anything left to read, have come so far too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import inf
from typing import Any, Protocol

from confluent_kafka import TopicPartition
from quixstreams import message_context

from processors.outputs import Output

LOOK_INTERVAL_S = 0.05
REQUEST_TIMEOUT_S = 10.0

Step = Callable[[bytes, bytes, int, Any, Any], Iterable[Output]]


class Consumer(Protocol):
    """What is needed of quixstreams' consumer."""

    def committed(self, partitions: list[TopicPartition], timeout: Any = ...) -> list[TopicPartition]: ...

    def position(self, partitions: list[TopicPartition]) -> list[TopicPartition]: ...

    def get_watermark_offsets(
        self, partition: TopicPartition, timeout: Any = ..., cached: bool = ...
    ) -> tuple[int, int]: ...

    def pause(self, partitions: list[TopicPartition]) -> None: ...

    def resume(self, partitions: list[TopicPartition]) -> None: ...


class Alignment:
    """One topic. `noting` wraps the processing function, `look` pauses and resumes."""

    def __init__(self, topic: str, ahead_ms_max: int) -> None:
        self.topic = topic
        self.paused: set[int] = set()
        self._ahead_ms_max = ahead_ms_max
        self._newest_ms: dict[int, int] = {}
        """By partition assigned; 0 before its first record."""
        self._starts: dict[int, int] = {}
        self._looked_s = 0.0
        self._allowed_ms: float = 0
        """Who passes this is too far ahead, as of the last look."""
        self._urgent = False

    def noting(self, step: Step, partition_of: Callable[[], int] | None = None) -> Step:
        """The same function, which also tells how far each partition has been read."""
        of = partition_of or _partition_of_message

        def stepped(value: bytes, key: bytes, timestamp: int, headers: Any, state: Any) -> Iterable[Output]:
            partition = of()
            if timestamp > self._newest_ms.get(partition, 0):
                self._newest_ms[partition] = timestamp
                if timestamp > self._allowed_ms:
                    self._urgent = True
            return step(value, key, timestamp, headers, state)

        return stepped

    def assign(self, consumer: Consumer, partitions: Iterable[int]) -> None:
        """These partitions are read from now on, from their committed offsets; none is paused."""
        self.paused.clear()
        self._allowed_ms = 0
        self._newest_ms = dict.fromkeys(partitions, 0)
        known = [TopicPartition(self.topic, p) for p in self._newest_ms]
        for at in consumer.committed(known, timeout=REQUEST_TIMEOUT_S) if known else ():
            if at.offset < 0:
                at.offset, _ = consumer.get_watermark_offsets(at, timeout=REQUEST_TIMEOUT_S)
            self._starts[at.partition] = at.offset

    def look(self, consumer: Consumer, now_s: float) -> None:
        """Pause what is ahead, resume what is not any more: after each record, and every LOOK_INTERVAL_S unless one was
        too far ahead."""
        if not (self._urgent or now_s - self._looked_s >= LOOK_INTERVAL_S) or len(self._newest_ms) < 2:
            return
        self._looked_s, self._urgent = now_s, False
        behind = self._behind(consumer)
        self._allowed_ms = min((self._newest_ms[p] for p in behind), default=inf) + self._ahead_ms_max
        ahead = ahead_of(self._newest_ms, behind, self._ahead_ms_max)
        if fresh := ahead - self.paused:
            consumer.pause([TopicPartition(self.topic, p) for p in sorted(fresh)])
        if over := self.paused - ahead:
            consumer.resume([TopicPartition(self.topic, p) for p in sorted(over)])
        self.paused = ahead

    def _behind(self, consumer: Consumer) -> set[int]:
        """Partitions that have more to read. Where they begin and end is as of the last fetch: no request is made.

        Before the first fetch an end is not known; such a partition counts as having more. One whose records all
        expired unread has none.
        """
        left: set[int] = set()
        for at in consumer.position([TopicPartition(self.topic, p) for p in self._newest_ms]):
            begin, end = consumer.get_watermark_offsets(TopicPartition(at.topic, at.partition), cached=True)
            read_to = max(begin, at.offset if at.offset >= 0 else self._starts.get(at.partition, 0))
            if end < 0 or end > read_to:
                left.add(at.partition)
        return left


def ahead_of(newest_ms: dict[int, int], behind: set[int], ahead_ms_max: int) -> set[int]:
    """The partitions to hold back: further than the bound ahead of the slowest one that has more to read."""
    slowest = min((at for partition, at in newest_ms.items() if partition in behind), default=None)
    if slowest is None:
        return set()
    return {partition for partition, at in newest_ms.items() if at > slowest + ahead_ms_max}


def _partition_of_message() -> int:
    return int(message_context().partition)
