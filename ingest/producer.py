"""The way to Kafka: never blocks the event loop, never drops, keeps the order of each key.

Records go straight to the Kafka client while it takes them. When its queue is full, nothing was delivered for a while,
or a record came back undelivered, everything goes to the spill instead until that is drained again: so a record never
overtakes an older one. Only one event loop uses this object; the client's own threads do the sending.

The client never gives a record up by time (`message.timeout.ms` 0): its queue is bounded by count and bytes, what does
not fit waits on disk, and at the disk's bound, or when the disk refuses, the caller closes its connections (`full`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from ingest.metrics import ProducerTally, events
from ingest.records import Record
from ingest.spill import Segment, Spill

REFUSED = frozenset(
    (
        KafkaError.MSG_SIZE_TOO_LARGE,
        KafkaError.INVALID_MSG,
        KafkaError.INVALID_TIMESTAMP,
        KafkaError.INVALID_RECORD,
        KafkaError.RECORD_LIST_TOO_LARGE,
    )
)
"""The record itself is at fault: sending it again would not help."""

DRAIN_AT_ONCE = 1000
"""Spilled records handed to the client per tick: 20,000 a second, and at most some 10 ms of the event loop."""
DRAIN_QUEUE_MAX = 5000
"""Spilled records in the client's queue: a crash repeats at most these and one segment."""
RECOVERY_DELAY_S_MAX = 30.0
DISK_RETRY_S = 5.0
"""A disk that refused a record is tried again after this, with new connections."""

Report = Callable[[KafkaError | None, Message], None]


class RawProducer:
    """See the module. `tick` must be called every 50 ms or so.

    `settings` are librdkafka's. `on_refused` gets a record Kafka will never take, with the reason.
    """

    def __init__(
        self,
        settings: dict[str, Any],
        spill: Spill,
        tally: ProducerTally,
        stall_after_s: float,
        on_refused: Callable[[Record, str], None],
    ) -> None:
        self._settings = {
            **settings,
            "error_cb": self._on_error,
            "logger": logging.getLogger("rdkafka"),
            "log_level": 0,
        }
        self._spill = spill
        self._tally = tally
        self._stall_after_s = stall_after_s
        self._on_refused = on_refused
        self._kafka = Producer(self._settings)
        self._direct = False  # begins spilling: until the topics are there (`release`), and what an earlier one left
        self._held = True
        self._number = 0
        self._failed: list[tuple[int, Record, str]] = []
        self._fatal = ""
        self.recoveries = 0
        """How often the client was replaced; topics may have to be made again."""
        self._retry_at_s = 0.0
        self._delivered_seen = 0
        self._progress_s = 0.0
        self._stalled = False
        self._disk_refuses = False
        self._disk_retry_at_s = 0.0

    # --- what callers see ---

    @property
    def outstanding(self) -> int:
        """Records in the client's hands, not yet reported."""
        t = self._tally
        return t.enqueued - t.delivered - t.returned

    @property
    def spilling(self) -> bool:
        return not self._direct

    @property
    def held(self) -> bool:
        """True until `release`, and after a failure until the next try."""
        return self._held

    @property
    def full(self) -> bool:
        """The spill is at its bound, or cannot be written (what came then is lost): stop receiving until `roomy`."""
        return self._spill.full or self._disk_refuses

    @property
    def roomy(self) -> bool:
        return self._spill.size_bytes < 0.8 * self._spill.bytes_max and not self._disk_refuses

    def publish(self, record: Record) -> None:
        """Take a record. Never blocks and never raises on Kafka's account."""
        if not (self._direct and self._hand_over(record, None)):
            self._append(record)

    def release(self) -> None:
        """The topics exist: begin to send."""
        self._held = False

    def tick(self, now_s: float) -> None:
        """Serve delivery reports, notice stalls, recover, drain the spill."""
        self._kafka.poll(0)
        t = self._tally
        if t.delivered != self._delivered_seen or self.outstanding == 0:
            self._delivered_seen = t.delivered
            self._progress_s = now_s
            self._stalled = False
        elif self._direct and now_s - self._progress_s > self._stall_after_s:
            self._stalled = True
            self._spill_from_now("stalled")
        if self._failed or self._fatal:
            self._recover(now_s)
        if self._held and 0 < self._retry_at_s <= now_s:
            self._retry_at_s = 0.0
            self._held = False
        if not (self._direct or self._held or self._stalled):
            self._drain()
        self._mind_disk(now_s)

    def close(self, timeout_s: float) -> None:
        """Send what can be sent within `timeout_s`; the rest stays in the spill for the next start."""
        if self._direct or self.outstanding:
            self._kafka.flush(timeout_s)
        if self.outstanding or self._failed:
            self._take_back()
            events.left_in_spill(self._spill.size_bytes)
        self._spill.close()

    # --- handing over ---

    def _hand_over(self, record: Record, segment: Segment | None) -> bool:
        """False when the client cannot take it now."""
        self._number += 1
        try:
            self._kafka.produce(
                record.topic,
                record.value,
                record.key,
                timestamp=record.timestamp_ms,
                headers=record.headers,
                on_delivery=partial(self._report, self._number, record, segment),
            )
        except BufferError:
            self._spill_from_now("queue_full")
            return False
        except KafkaException as exc:
            error = exc.args[0]
            if error.code() in REFUSED:
                self._refuse(record, segment, error.name())
                return True
            self._fatal = self._fatal or error.name()
            self._spill_from_now("failed")
            return False
        self._tally.enqueued += 1
        return True

    def _report(self, number: int, record: Record, segment: Segment | None, err: KafkaError | None, _: Message) -> None:
        if err is None:
            self._tally.delivered += 1
            if segment is not None:
                self._spill.delivered(segment)
            return
        self._tally.returned += 1
        if err.code() in REFUSED:
            self._refuse(record, segment, err.name())
        else:
            self._failed.append((number, record, err.name()))

    def _refuse(self, record: Record, segment: Segment | None, reason: str) -> None:
        self._tally.refused += 1
        if segment is not None:
            self._spill.delivered(segment)
        events.refused(record.topic, record.key, reason, len(record.value))
        self._on_refused(record, reason)

    def _append(self, record: Record) -> None:
        try:
            self._spill.append(record)
        except OSError as exc:
            self._tally.lost += 1
            self._disk_refuses, self._disk_retry_at_s = True, 0.0
            events.lost(record.topic, record.key, str(exc))
        else:
            self._tally.spilled += 1

    def _mind_disk(self, now_s: float) -> None:
        if self._disk_refuses:
            self._disk_retry_at_s = self._disk_retry_at_s or now_s + DISK_RETRY_S
            self._disk_refuses = now_s < self._disk_retry_at_s

    def _spill_from_now(self, reason: str) -> None:
        if self._direct:
            self._direct = False
            events.spilling(reason, self.outstanding)

    def _drain(self) -> None:
        """Hand spilled records to the client; back to the direct way when none is left."""
        for _ in range(DRAIN_AT_ONCE):
            if self.outstanding >= DRAIN_QUEUE_MAX:
                return
            found = self._spill.read()
            if found is None:
                self._direct = True
                self._progress_s = 0.0
                self._delivered_seen = -1
                if self._number:
                    events.drained()
                return
            record, segment = found
            if not self._hand_over(record, segment):
                self._spill.take_back(segment, record)
                return

    # --- failures ---

    def _on_error(self, err: KafkaError) -> None:
        if err.fatal():
            self._fatal = err.name()
        elif err.code() == KafkaError._ALL_BROKERS_DOWN:
            events.broker_away(err.str())

    def _recover(self, now_s: float) -> None:
        """Records came back or the client died: take all back in order, and go on with a new client."""
        reason = self._fatal or self._failed[0][2]
        self._spill_from_now("failed")
        self._take_back()
        self._fatal = ""
        self._kafka = Producer(self._settings)
        self.recoveries += 1
        delay_s = min(RECOVERY_DELAY_S_MAX, 1.0 * 2 ** min(self.recoveries - 1, 10))
        self._held, self._retry_at_s = True, now_s + delay_s
        events.recovering(reason, delay_s)

    def _take_back(self) -> None:
        self._kafka.purge()
        self._kafka.poll(0)
        while self.outstanding > 0 and self._kafka.poll(0.1):
            pass
        taken = sorted(self._failed, key=lambda failed: failed[0])
        self._failed = []
        self._tally.requeued += len(taken)
        try:
            self._spill.put_in_front(record for _, record, _ in taken)
        except OSError as exc:
            self._tally.lost += len(taken)
            events.lost_many(len(taken), str(exc))
