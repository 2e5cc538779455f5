"""Wishes that reach ingest through Kafka: control.subscription (desired state) and control.snapshot (one-off).

control.subscription is compacted, key `exchange.market.symbol`:
- value `{"channels": ["trade", "book"]}`: capture these channels; no channel: capture nothing, and keep it so.
- a tombstone: nothing is captured now, and the configuration rules again at the next start.
- `"source": "config"` marks what ingest wrote itself from its configuration; a later configuration may change or
  withdraw it (no channel, still `"source": "config"`), and a rule may bring it back. A value without it (the API's)
  wins over the configuration.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from confluent_kafka import OFFSET_BEGINNING, OFFSET_END, Consumer, KafkaException, TopicPartition
from msgspec import Struct

from ingest.metrics import events
from marketdata.control import SnapshotRequest
from marketdata.errors import UnparsableFrame
from marketdata.keys import parse_key
from marketdata.topics import CONTROL_SNAPSHOT, CONTROL_SUBSCRIPTION, topic_name
from runtime.config import Config

POLL_S = 0.5
RETRY_S = 2.0
LATE_REQUEST_S = 30.0


class Subscription(Struct, frozen=True, omit_defaults=True):
    """Value of a control.subscription record."""

    channels: list[str] = []
    source: str = ""


WITHDRAWN = Subscription([], "config")
"""The configuration wanted it once and does not now."""

encode_subscription = msgspec.json.Encoder().encode
_subscription = msgspec.json.Decoder(Subscription).decode
_snapshot_request = msgspec.json.Decoder(SnapshotRequest).decode


def seeds(
    wanted: Mapping[str, Subscription], held: Mapping[str, Subscription | None], mine: Callable[[str], bool]
) -> dict[str, Subscription]:
    """Records to write so that control.subscription (`held`, None for a tombstone) agrees with the configuration.

    Only keys nobody else decided about: new ones, and those the configuration wrote earlier. What it wants no more is
    withdrawn by a value: a tombstone would be another's word.
    """
    out: dict[str, Subscription] = {}
    for key, subscription in wanted.items():
        if key not in held or ((now := held[key]) is not None and now.source == "config" and now != subscription):
            out[key] = subscription
    for key, value in held.items():
        if value is not None and value.source == "config" and value.channels and key not in wanted and mine(key):
            out[key] = WITHDRAWN
    return out


class Control:
    """Reads both topics in a thread of its own; hands what it reads to the event loop."""

    def __init__(
        self,
        config: Config,
        loop: asyncio.AbstractEventLoop,
        on_subscription: Callable[[str, Subscription | None], None],
        on_snapshot: Callable[[str, SnapshotRequest], None],
    ) -> None:
        prefix = config.environment.topic_prefix
        self._subscription = topic_name(prefix, CONTROL_SUBSCRIPTION)
        self._snapshot = topic_name(prefix, CONTROL_SNAPSHOT)
        self._settings: dict[str, Any] = {
            "bootstrap.servers": config.kafka.bootstrap_servers,
            "group.id": f"{prefix}ingest-control",  # required by the client; never joined, nothing is committed
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "reconnect.backoff.max.ms": 1000,
            "fetch.wait.max.ms": 500,
            "queued.max.messages.kbytes": 1024,
            "log_level": 0,
            **config.kafka.extra,
        }
        self._loop = loop
        self._on_subscription = on_subscription
        self._on_snapshot = on_snapshot
        self._stop = threading.Event()
        self._next: dict[str, int] = {self._subscription: OFFSET_BEGINNING, self._snapshot: OFFSET_END}
        self.caught_up = asyncio.Event()
        """Set when all of control.subscription that was there at the start has been handed over."""
        self._thread = threading.Thread(target=self._run, name="control", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(3)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._read()
            except KafkaException as exc:
                events.control_failed(str(exc))
                self._stop.wait(RETRY_S)

    def _read(self) -> None:
        consumer = Consumer(self._settings)
        try:
            consumer.assign([TopicPartition(topic, 0, offset) for topic, offset in self._next.items()])
            while not self._stop.is_set():
                message = consumer.poll(POLL_S)
                if message is None:
                    continue
                error = message.error()
                topic = message.topic() or ""
                if error is None:
                    self._next[topic] = (message.offset() or 0) + 1
                    self._take(topic, message.key() or b"", message.value(), message.timestamp()[1])
                elif error.code() == error._PARTITION_EOF:
                    if topic == self._subscription:
                        self._call(self.caught_up.set)
                elif not error.retriable() and error.code() != error._ALL_BROKERS_DOWN:
                    raise KafkaException(error)
        finally:
            consumer.close()

    def _take(self, topic: str, raw_key: bytes, value: bytes | None, timestamp_ms: int) -> None:
        try:
            key = str(parse_key(raw_key))
            if topic == self._subscription:
                self._call(self._on_subscription, key, _subscription(value) if value else None)
            elif value and time.time() - timestamp_ms / 1000 < LATE_REQUEST_S:
                self._call(self._on_snapshot, key, _snapshot_request(value))
        except (msgspec.MsgspecError, UnparsableFrame, UnicodeDecodeError) as exc:
            events.bad_control(topic, raw_key.decode(errors="replace"), str(exc))

    def _call(self, function: Callable[..., None], *args: object) -> None:
        try:
            self._loop.call_soon_threadsafe(function, *args)
        except RuntimeError:  # the loop has ended; so do we
            self._stop.set()
