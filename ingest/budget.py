"""One REST weight budget (a pool of a venue, for one address): what may be asked now, and when it may be asked again.

Venues count weight per clock minute or the like; we never use more than our share in ANY span of that length, which is
stricter and needs no knowledge of the venue's clock. What others behind the same address use is learned from the
venue's own count in its replies, where it has one. Pure: times are monotonic seconds given by the caller.
"""

from __future__ import annotations

from collections import deque
from math import isfinite, nan

REFUSED_STATUS = (429, 418, 403)
"""Too fast, banned, shut out: by REST, or when a socket is opened."""
REFUSED_WAIT_S = 60.0
"""Pause after a 429 that names no Retry-After: the venue's counter has turned by then."""
BANNED_WAIT_S = 120.0
"""The shortest ban (418) Binance documents, where the reply does not say."""


class WeightBudget:
    """Weight spent in the last `window_s`, and the venue's orders to wait. A share below 1 makes 1 in a longer time."""

    def __init__(self, weight: int, share: float, window_s: float = 60.0) -> None:
        self._weight, self._span_s, self._part = weight * share, window_s, 1.0
        self._set()
        self.blocked_until_s = 0.0
        self._spent: deque[tuple[float, int]] = deque()
        self._sum = 0

    def _set(self) -> None:
        weight = self._weight * self._part
        self.allowed = max(1, int(weight))
        self.window_s = self._span_s / min(1.0, weight)

    def allow(self, part: float) -> bool:
        """The venue allows this part of the weight. False: it is what we knew."""
        known, self._part = self._part, part
        self._set()
        return part != known

    def used(self, now_s: float) -> int:
        """Weight of the last window, ours and what the venue says of others."""
        while self._spent and self._spent[0][0] <= now_s - self.window_s:
            self._sum -= self._spent.popleft()[1]
        return self._sum

    def peek(self, now_s: float) -> int:
        """The same without forgetting what is old: for other threads."""
        return sum(weight for at_s, weight in list(self._spent) if at_s > now_s - self.window_s)

    def wait_s(self, weight: int, now_s: float, share: float = 1.0) -> float:
        """0 when a request of `weight` may go now, else seconds until it may.

        `share` is the part of the budget this caller may fill: less urgent requests leave room for urgent ones. A
        request heavier than its part may go when nothing else was spent.
        """
        wait = max(0.0, self.blocked_until_s - now_s)
        over = self.used(now_s) + min(weight, int(self.allowed * share)) - int(self.allowed * share)
        if over > 0:
            freed = 0
            for at_s, spent in self._spent:
                freed += spent
                if freed >= over:
                    return max(wait, at_s + self.window_s - now_s)
        return wait

    def spend(self, weight: int, now_s: float) -> None:
        """A request of `weight` goes out now."""
        self._spent.append((now_s, weight))
        self._sum += weight

    def observe(self, used_weight: int, now_s: float) -> None:
        """The venue's own count for the minute: what exceeds ours was spent by others of the same address."""
        others = used_weight - self.used(now_s)
        if others > 0:
            self.spend(others, now_s)

    def refused(self, status: int, retry_after_s: float | None, ban_s: float | None, now_s: float) -> float:
        """The venue said 429 (too fast), 418 (banned) or 403 (shut out). Returns how long nothing may be asked.

        `ban_s`: seconds until the end of the ban that the body names; the longest order counts.
        """
        wait = ordered_wait_s(status, retry_after_s, ban_s)
        self.block(wait, now_s)
        return wait

    def block(self, wait_s: float, now_s: float) -> None:
        """Nothing may be asked for so long; never shortens an earlier order."""
        self.blocked_until_s = max(self.blocked_until_s, now_s + wait_s)


def ordered_wait_s(status: int, retry_after_s: float | None, ban_s: float | None) -> float:
    """How long a refusal tells us to wait; where it does not say, what its status usually means."""
    wait = max(retry_after_s or 0.0, ban_s or 0.0)
    if wait <= 0:
        wait = BANNED_WAIT_S if status in (418, 403) else REFUSED_WAIT_S
    return wait


def retry_after_s(header: str | None) -> float | None:
    """Seconds of a Retry-After header; None where absent or not a number (venues send seconds, never dates)."""
    try:
        seconds = float(header) if header else nan
    except ValueError:
        return None
    return max(0.0, seconds) if isfinite(seconds) else None
