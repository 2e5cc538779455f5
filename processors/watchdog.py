"""Ends a processor that hangs instead of dying, so that its supervisor starts a fresh one.

Three ways to stand still were seen: the loop hangs in a call; the loop polls for ever and gets nothing although there
are records (once, after a broker was killed); the whole process was stopped past its session (SIGSTOP, a laptop's
sleep) and its partitions, with newer state, may be someone else's. The judgement is in two pure classes; the thread
only asks the broker and the clock.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import msgspec
from confluent_kafka import Consumer, KafkaException, TopicPartition
from msgspec import Struct

EXIT_STATUS = 70
"""EX_SOFTWARE: what the process ends with when it ends itself."""
TICK_S = 0.25
CHECK_INTERVAL_S = 2.0
LAG_EVERY = 5
"""While the loop advances the broker is asked only at every so many checks, for the lag that /metrics shows."""
BROKER_TIMEOUT_S = 5.0
STACK_LINES = 8
"""How much of the loop's stack the last log line shows."""
STARTING_FACTOR = 10
"""Joining a group and taking over partitions has its own slow steps, and others may delay it: give it longer."""


@dataclass(frozen=True)
class BrokerView:
    """What the broker says about us."""

    answers: bool
    lag: int = 0
    """Records waiting in the partitions assigned to us; in all of them while none is."""


class StuckDetector:
    """No progress for `timeout_s` while the broker answered and records waited, at every look in between."""

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._progress = -1
        self._since: float | None = None
        self.said: str | None = None
        """Why the loop counts as stuck (for /livez); None while it does not."""

    def observe(self, now_s: float, progress: int, view: BrokerView, starting: bool = False) -> str | None:
        """One look. `starting`: partitions are being taken over. Returns the reason to end the process, or None."""
        if progress != self._progress or not view.answers or view.lag <= 0:
            self._progress, self._since, self.said = progress, None, None
            return None
        if self._since is None:
            self._since = now_s
        limit_s = self._timeout_s * (STARTING_FACTOR if starting else 1)
        stood_s = now_s - self._since
        if stood_s < limit_s:
            return None
        where = " while joining the group" if starting else ""
        self.said = f"no record processed for {stood_s:.0f} s with {view.lag} waiting{where}"
        return self.said


class Progress:
    """How far the loop has come; written by the loop's thread, read by the watchdog's."""

    def __init__(self, topics: list[str]) -> None:
        self.topics = topics
        """Input topics, with the environment's prefix."""
        self.assigned: list[tuple[str, int]] = []
        """Input partitions that are ours."""
        self.next_offset: dict[tuple[str, int], int] = {}
        self.processed = 0
        self.received = 0
        """Records received from the broker as the Kafka client counts them: grows while state is recovered."""
        self.joined = False
        """The group has given us our partitions (which may be none)."""
        self.assigning = False
        """The loop is in the middle of taking partitions over."""

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
    main = sys._current_frames().get(threading.main_thread().ident or 0)
    stack = [line.strip() for line in traceback.format_stack(main)[-STACK_LINES:]] if main is not None else []
    logging.getLogger("watchdog").error("ending the process", extra={"data": {"reason": reason, "loop_at": stack}})
    logging.shutdown()
    os._exit(EXIT_STATUS)


class Watchdog:
    """The threads: one feels whether the process itself runs, one asks the broker."""

    def __init__(
        self,
        client_settings: dict[str, Any],
        group: str,
        progress: Progress,
        timeout_s: float,
        session_timeout_s: float,
        on_lag: Callable[[dict[tuple[str, int], int]], None] = lambda _: None,
        end: Callable[[str], None] = end_process,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        # asks for the group's offsets without joining it
        self._client = Consumer({**client_settings, "group.id": group}, logger=logging.getLogger("rdkafka"))
        self._progress = progress
        self._on_lag = on_lag
        self._end = end
        self._monotonic = monotonic
        self._seen, self._looks = -1, 0
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
            self.check()

    def check(self) -> None:
        """See once whether the loop advances; end the process if it stands."""
        count = self._progress.count()
        moved, self._seen, self._looks = count != self._seen, count, self._looks + 1
        if moved and self._looks % LAG_EVERY:
            return
        view = self.look()
        if self._stop.is_set():
            return
        starting = self._progress.assigning or not self._progress.joined
        # counted anew: a slow broker's answer takes its time, and the loop goes on meanwhile
        if reason := self.stuck.observe(self._monotonic(), self._progress.count(), view, starting):
            self._end(reason)

    def look(self) -> BrokerView:
        """Ask the broker how much waits for us."""
        try:
            lag = dict(self._lag(self._progress.assigned or self._all_partitions()))
        except KafkaException:
            return BrokerView(answers=False)
        self._on_lag(lag)
        return BrokerView(answers=True, lag=sum(lag.values()))

    def _all_partitions(self) -> list[tuple[str, int]]:
        have = self._client.list_topics(timeout=BROKER_TIMEOUT_S).topics
        return [(name, p) for name in self._progress.topics if name in have for p in have[name].partitions]

    def _lag(self, places: list[tuple[str, int]]) -> Iterator[tuple[tuple[str, int], int]]:
        """(place, records waiting there); what is processed but not committed yet does not wait."""
        asked = [TopicPartition(topic, partition) for topic, partition in places]
        for tp in self._client.committed(asked, timeout=BROKER_TIMEOUT_S) if asked else ():
            place = (tp.topic, tp.partition)
            low, high = self._client.get_watermark_offsets(tp, timeout=BROKER_TIMEOUT_S)
            yield place, max(0, high - max(tp.offset, low, self._progress.next_offset.get(place, 0)))
