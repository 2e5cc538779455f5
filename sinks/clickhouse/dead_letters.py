"""Sends what no table can take to md.dead_letter, and does not return before Kafka has it."""

from __future__ import annotations

from collections.abc import Callable

from confluent_kafka import KafkaError, Message, Producer

from marketdata.codec import encoder
from marketdata.errors import StoreError
from marketdata.topics import MD_DEAD_LETTER, topic_name
from marketdata.types import DeadLetter
from runtime.config import Config
from runtime.kafka import producer_settings


class DeadLetterProducer:
    """Made with the first dead letter: a sink in good order never opens a producer."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._topic = topic_name(config.environment.topic_prefix, MD_DEAD_LETTER)
        self._encode = encoder(config.kafka.encoding)
        self._producer: Producer | None = None

    def send(self, letters: list[tuple[bytes, int, DeadLetter]], while_waiting: Callable[[], bool]) -> None:
        """Publish (key, Kafka timestamp, letter). Raises StoreError when the broker refused one, or when
        `while_waiting`, called about every 0.5 s, returns False."""
        if not letters:
            return
        if self._producer is None:
            self._producer = Producer(producer_settings(self._config))
        failed: list[KafkaError] = []

        def delivered(error: KafkaError | None, _: Message) -> None:
            if error is not None:
                failed.append(error)

        for key, timestamp_ms, letter in letters:
            # as on every output of the processors: the record it came from
            source = f"{letter.raw_topic}:{letter.raw_offset}:0".encode()
            self._producer.produce(
                self._topic, self._encode(letter), key, timestamp=max(0, timestamp_ms), headers=[("src", source)],
                on_delivery=delivered,
            )  # fmt: skip
        while self._producer.flush(0.5):
            if not while_waiting():
                raise StoreError("told to stop before Kafka took all dead letters")
        if failed:
            raise StoreError(f"Kafka refused {len(failed)} dead letters: {failed[0]}")
