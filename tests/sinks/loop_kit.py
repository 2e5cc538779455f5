"""A service without a configuration file, and a Kafka consumer that does what a test says."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from marketdata.codec import encoder
from marketdata.errors import StoreError
from marketdata.topics import Topic, topic_name
from runtime.config import Config
from runtime.service import Service
from sinks.consumer import Partition


@contextmanager
def service(**sections: Any) -> Iterator[Service]:
    made = Service("sink", Config.model_validate(sections), 0)
    try:
        yield made
    finally:
        made.server.shutdown()
        made.server.server_close()


class Message:
    """As confluent_kafka gives them."""

    def __init__(self, topic: str, record: Any, offset: int, key: str = "binance.spot.BTCUSDT") -> None:
        self._topic, self._key, self._offset = topic, key, offset
        self._value = record if isinstance(record, bytes) else encoder()(record)

    def topic(self) -> str:
        return self._topic

    def partition(self) -> int:
        return 0

    def offset(self) -> int:
        return self._offset

    def key(self) -> bytes:
        return self._key.encode()

    def value(self) -> bytes:
        return self._value

    def timestamp(self) -> tuple[int, int]:
        return 1, 1_767_225_600_000

    def error(self) -> None:
        return None


class FakeConsumer:
    """In the place of SinkConsumer. `waiting` is what comes next; `said` what the sink did, in order."""

    def __init__(self, config: Config, group: str, topics: Iterable[Topic], start_at: Any = None) -> None:
        self.topics = {topic_name(config.environment.topic_prefix, topic): topic for topic in topics}
        self.assigned: set[Partition] = {(name, 0) for name in self.topics}
        self.fresh: list[Partition] = []
        self.generation = 0
        self.trouble: str | None = None
        self.waiting: list[Message] = []
        self.said: list[object] = []
        self.deaf_for = 0
        """So many questions Kafka does not answer."""

    def consume(self, records_max: int, bytes_max: int, timeout_s: float) -> list[Message]:
        taken, self.waiting = self.waiting, []
        return taken

    def keep_alive(self, wait_s: float) -> None:
        self.said.append("alive")

    def resume(self) -> None:
        """Nothing was paused."""

    def take_fresh(self) -> list[Partition]:
        return self.fresh

    def committed(self, partitions: Iterable[Partition]) -> dict[Partition, int]:
        self._answer()
        return dict.fromkeys(partitions, 500_000)

    def ends(self, partitions: Iterable[Partition]) -> dict[Partition, tuple[int, int]]:
        self._answer()
        return dict.fromkeys(partitions, (0, 1_000_000))

    def commit(self, next_offsets: Mapping[Partition, int]) -> bool:
        self.said.append(dict(next_offsets))
        return True

    def commit_soon(self, next_offsets: Mapping[Partition, int]) -> None:
        self.commit(next_offsets)

    def lag(self, next_offsets: Mapping[Partition, int]) -> dict[Partition, int]:
        return {}

    def close(self) -> None:
        self.said.append("closed")

    def _answer(self) -> None:
        if self.deaf_for:
            self.deaf_for -= 1
            raise StoreError("Kafka does not answer")
