"""How often something may be tried: reconnect delays, connection attempts, messages. Pure, times are given."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable


class Backoff:
    """Exponential delay with jitter, for ever: between half and all of min * 2**n, never above max.

    `random` returns a number in [0, 1).
    """

    def __init__(self, delay_s_min: float, delay_s_max: float, random: Callable[[], float]) -> None:
        self._min = delay_s_min
        self._max = delay_s_max
        self._random = random
        self.failures = 0

    def next_delay_s(self) -> float:
        """How long to wait now; the next answer is longer."""
        ceiling = min(self._max, self._min * 2.0 ** min(self.failures, 32))
        self.failures += 1
        return ceiling * (0.5 + 0.5 * self._random())

    def reset(self) -> None:
        self.failures = 0


class Repeats:
    """When something that was asked for may be done: at once after a calm time, else a pause after the last time; the
    pause doubles while it is asked for again and again."""

    def __init__(self, pause_s_min: float, pause_s_max: float, calm_s: float) -> None:
        self._min, self._max, self._calm_s = pause_s_min, pause_s_max, calm_s
        self._pause_s = pause_s_min
        self._done_s: float | None = None

    def next_s(self, now_s: float) -> float:
        """When it may be done; the pause after it is a longer one unless it was calm until now."""
        if self._done_s is None or now_s - self._done_s > self._pause_s + self._calm_s:
            self._pause_s = self._min
            return now_s
        at_s = max(now_s, self._done_s + self._pause_s)
        self._pause_s = min(self._max, 2 * self._pause_s)
        return at_s

    def done(self, now_s: float) -> None:
        self._done_s = now_s


class Window:
    """At most `limit` events in any `span_s` seconds."""

    def __init__(self, limit: int, span_s: float) -> None:
        self._limit = max(1, limit)
        self._span_s = span_s
        self._times: deque[float] = deque()

    def wait_s(self, now_s: float) -> float:
        """0 when one more is allowed now, else how long until it is."""
        while self._times and self._times[0] <= now_s - self._span_s:
            self._times.popleft()
        if len(self._times) < self._limit:
            return 0.0
        return self._times[0] + self._span_s - now_s

    def take(self, now_s: float) -> None:
        self._times.append(now_s)
