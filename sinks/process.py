"""The process around a sink: start and exit status, waiting for Kafka, pauses between tries, the answer to /livez."""

from __future__ import annotations

import time
from collections.abc import Callable

from marketdata.errors import ConfigError, StoreError
from runtime.kafka import ensure_topics
from runtime.service import Service, start

NEEDS_A_PERSON = 3
"""Exit status: another start would end the same way."""


def run_sink(name: str, run: Callable[[Service], None]) -> int:
    """The exit status of `python -m {name}`. `run` begins when every topic is there and ends when told to stop."""
    service = start(name)
    service.install_signals()
    try:
        if wait_for_topics(service):
            run(service)
    except (ConfigError, StoreError) as exc:
        service.log.error(str(exc), extra={"data": {"kind": type(exc).__name__}})
        return NEEDS_A_PERSON
    return 0


def wait_for_topics(service: Service) -> bool:
    """Create the topics that are missing, waiting for the broker as long as it takes. False when told to stop."""
    while not service.stop.is_set():
        try:
            ensure_topics(service.config, timeout_s=5)
            return True
        except StoreError as exc:
            service.log.warning("waiting for Kafka", extra={"data": {"error": str(exc)}})
            service.stop.wait(1.0)
    return False


class Backoff:
    """Growing pauses between tries: 0.1 s doubling to 5 s."""

    def __init__(self, delay_s_min: float = 0.1, delay_s_max: float = 5.0) -> None:
        self._delay_s_min, self._delay_s_max = delay_s_min, delay_s_max
        self._delay_s = delay_s_min

    def next_s(self) -> float:
        delay_s, self._delay_s = self._delay_s, min(self._delay_s * 2, self._delay_s_max)
        return delay_s

    def reset(self) -> None:
        self._delay_s = self._delay_s_min


class Liveness:
    """Answers /livez: the loop has turned lately."""

    def __init__(self, stalled_after_s: float = 60.0) -> None:
        self.stalled_after_s = stalled_after_s
        self._last_s = time.monotonic()

    def tick(self) -> None:
        self._last_s = time.monotonic()

    def check(self) -> str | None:
        still_s = time.monotonic() - self._last_s
        return f"the loop has not turned for {still_s:.0f} s" if still_s > self.stalled_after_s else None
