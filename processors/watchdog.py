"""Ends a processor that hangs instead of dying, so that its supervisor starts a fresh one.

Three ways to stand still were seen: the loop hangs in a call; the loop polls for ever and gets nothing although there
are records (once, after a broker was killed); the whole process was stopped past its session (SIGSTOP, a laptop's
sleep) and its partitions, with newer state, may be someone else's. The judgement is in two pure classes; the thread
only asks the broker and the clock.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec
from confluent_kafka import ConsumerGroupTopicPartitions, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec
from msgspec import Struct

EXIT_STATUS = 70
"""EX_SOFTWARE: what the process ends with when it ends itself."""
TICK_S = 0.25
CHECK_INTERVAL_S = 2.0
BROKER_TIMEOUT_S = 5.0
NOT_MEMBER_FACTOR = 3
"""A process that is not in its group may be waiting for a rebalance that others delay: give it longer."""


@dataclass(frozen=True)
class BrokerView:
    """What the broker says about us."""

    answers: bool
    member: bool = False
    """The group holds a member with our instance id."""
    lag: int = 0
    """Records waiting in the partitions assigned to us, or in the whole group where we are no member."""


class StuckDetector:
    """No progress for `timeout_s` while the broker answered and records waited, at every look in between."""

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._progress = -1
        self._since: float | None = None
        self.said: str | None = None
        """Why the loop counts as stuck (for /livez); None while it does not."""

    def needs_view(self, progress: int) -> bool:
        """False while the loop advances: then the broker need not be asked."""
        return progress == self._progress

    def observe(self, now_s: float, progress: int, view: BrokerView | None) -> str | None:
        """One look. `view` is None where it was not asked for. Returns the reason to end the process, or None."""
        if progress != self._progress or view is None or not view.answers or view.lag <= 0:
            self._progress, self._since, self.said = progress, None, None
            return None
        if self._since is None:
            self._since = now_s
        limit_s = self._timeout_s * (1 if view.member else NOT_MEMBER_FACTOR)
        stood_s = now_s - self._since
        if stood_s < limit_s:
            return None
        where = "" if view.member else ", not a member of the group"
        self.said = f"no record processed for {stood_s:.0f} s with {view.lag} waiting{where}"
        return self.said


class Progress:
    """How far the loop has come; written by the loop's thread, read by the watchdog's."""

    def __init__(self, topics: list[str]) -> None:
        self.topics = topics
        """Input topics, with the environment's prefix."""
        self.next_offset: dict[tuple[str, int], int] = {}
        self.processed = 0
        self.received = 0
        """Records received from the broker as the Kafka client counts them: grows while state is recovered."""
        self.joined = False
        """The group has given us our partitions (which may be none)."""

    def on_message_processed(self, topic: str, partition: int, offset: int) -> None:
        self.processed += 1
        self.next_offset[topic, partition] = offset + 1

    def on_statistics(self, text: str) -> None:
        """librdkafka's statistics, delivered on the loop's own thread whenever it polls."""
        stats = _decode_statistics(text)
        self.received = stats.rxmsgs
        self.joined = stats.cgrp is not None and stats.cgrp.join_state == "steady"

    def count(self) -> int:
        return self.processed + self.received


class _Group(Struct):
    join_state: str = ""


class _Statistics(Struct):
    rxmsgs: int = 0
    cgrp: _Group | None = None


_decode_statistics = msgspec.json.Decoder(_Statistics).decode


class StandstillDetector:
    """The process itself did not run for longer than its session lasts."""

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._last_s: float | None = None

    def tick(self, now_s: float) -> str | None:
        last, self._last_s = self._last_s, now_s
        if last is not None and now_s - last > self._limit_s:
            return f"stood still for {now_s - last:.1f} s, longer than the session: others may own the partitions"
        return None


def end_process(reason: str) -> None:
    """Leave at once, without another checkpoint: the committed one is the truth."""
    logging.getLogger("watchdog").error("ending the process", extra={"data": {"reason": reason}})
    logging.shutdown()
    os._exit(EXIT_STATUS)


class Watchdog:
    """The threads: one feels whether the process itself runs, one asks the broker."""

    def __init__(
        self,
        client_settings: dict[str, Any],
        group: str,
        instance_id: str,
        progress: Progress,
        timeout_s: float,
        session_timeout_s: float,
        on_lag: Callable[[dict[tuple[str, int], int]], None] = lambda _: None,
        end: Callable[[str], None] = end_process,
    ) -> None:
        self._admin = AdminClient({**client_settings, "logger": logging.getLogger("rdkafka")})
        self._group, self._instance_id = group, instance_id
        self._progress = progress
        self._on_lag = on_lag
        self._end = end
        self.stuck = StuckDetector(timeout_s)
        self._standstill = StandstillDetector(session_timeout_s)
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._tick_loop, name="watchdog-tick", daemon=True),
            threading.Thread(target=self._check_loop, name="watchdog-check", daemon=True),
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End both threads (a clean stop of the application may take longer than the limits)."""
        self._stop.set()

    def live(self) -> str | None:
        """For /livez: None while fine."""
        return self.stuck.said

    def _tick_loop(self) -> None:
        while not self._stop.wait(TICK_S):
            # CLOCK_BOOTTIME goes on while the machine sleeps
            if reason := self._standstill.tick(time.clock_gettime(time.CLOCK_BOOTTIME)):
                self._end(reason)

    def _check_loop(self) -> None:
        while not self._stop.wait(CHECK_INTERVAL_S):
            progress = self._progress.count()
            view = self.look()
            if self._stop.is_set():
                return
            if reason := self.stuck.observe(time.monotonic(), progress, view):
                self._end(reason)

    def look(self) -> BrokerView:
        """Ask the broker who is in the group and how much waits."""
        try:
            described = self._admin.describe_consumer_groups([self._group], request_timeout=BROKER_TIMEOUT_S)
            members = described[self._group].result(timeout=BROKER_TIMEOUT_S).members
            ours = [m for m in members if m.group_instance_id == self._instance_id]
            wanted = [tp for m in ours for tp in m.assignment.topic_partitions] if ours else self._all_partitions()
            lag = self._lag(
                [TopicPartition(tp.topic, tp.partition) for tp in wanted if tp.topic in self._progress.topics]
            )
        except (KafkaException, TimeoutError):
            return BrokerView(answers=False)
        self._on_lag(lag)
        return BrokerView(answers=True, member=bool(ours), lag=sum(lag.values()))

    def _all_partitions(self) -> list[TopicPartition]:
        have = self._admin.list_topics(timeout=BROKER_TIMEOUT_S).topics
        return [
            TopicPartition(name, p) for name in self._progress.topics if name in have for p in have[name].partitions
        ]

    def _lag(self, partitions: list[TopicPartition]) -> dict[tuple[str, int], int]:
        if not partitions:
            return {}
        ends = self._ask_offsets(partitions, OffsetSpec.latest())
        starts = self._ask_offsets(partitions, OffsetSpec.earliest())
        request = ConsumerGroupTopicPartitions(self._group, partitions)
        answer = self._admin.list_consumer_group_offsets([request], request_timeout=BROKER_TIMEOUT_S)
        committed = answer[self._group].result(timeout=BROKER_TIMEOUT_S).topic_partitions
        lag = {}
        for tp in committed:
            at = (tp.topic, tp.partition)
            # what is processed but not committed yet does not wait
            lag[at] = max(0, ends[at] - max(tp.offset, starts[at], self._progress.next_offset.get(at, 0)))
        return lag

    def _ask_offsets(self, partitions: list[TopicPartition], spec: OffsetSpec) -> dict[tuple[str, int], int]:
        futures = self._admin.list_offsets(dict.fromkeys(partitions, spec), request_timeout=BROKER_TIMEOUT_S)
        return {
            (tp.topic, tp.partition): future.result(timeout=BROKER_TIMEOUT_S).offset for tp, future in futures.items()
        }
