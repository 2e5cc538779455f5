"""The venue's limits: client messages a second, connection attempts, REST weight. Pure: `now_s` is given."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

WINDOW_5_MIN_S = 300.0
REFUSED_UNTIL_BAN = 10
"""Requests after a 429, within its minute, that turn it into a ban."""


class Window:
    """At most `limit` events in any `length_s`; 0: no limit."""

    def __init__(self, limit: int, length_s: float) -> None:
        self.limit = limit
        self.length_s = length_s
        self.times: deque[float] = deque()

    def add(self, now_s: float) -> bool:
        """Count one event; False when it is one too many."""
        if not self.limit:
            return True
        while self.times and self.times[0] <= now_s - self.length_s:
            self.times.popleft()
        self.times.append(now_s)
        return len(self.times) <= self.limit

    def wait_s(self, now_s: float) -> float:
        """After one too many: how long until the next is not."""
        return self.times[-self.limit] + self.length_s - now_s


class Refusal(NamedTuple):
    status: int
    retry_after_s: int
    message: str


class WeightBudget:
    """REST weight of one IP in the current minute, and its bans."""

    def __init__(self, limit: int, ban_s: float) -> None:
        self.limit = limit
        self.first_ban_s = self.ban_s = ban_s
        self.minute = -1
        self.used = 0
        self.refused = 0
        self.banned_until_s = 0.0

    def spend(self, weight: int, now_s: float) -> Refusal | None:
        """Count a request. A refusal says when to come back."""
        if (ban := self.ban(now_s)) is not None:
            return ban
        self.used += weight
        if not self.limit or self.used <= self.limit:
            return None
        return self.refuse(
            now_s,
            int(60 - now_s % 60) + 1,
            f"Too much request weight used; current limit is {self.limit} request weight per 1 MINUTE. "
            "Please use WebSocket Streams for live updates to avoid polling the API.",
        )

    def refuse(self, now_s: float, retry_after_s: int, message: str) -> Refusal:
        """A request over this limit or another of the IP's: 429, and a ban for going on after it."""
        self.refused += 1
        if self.refused > REFUSED_UNTIL_BAN:
            self.banned_until_s = now_s + self.ban_s
            self.ban_s *= 2
        return self.ban(now_s) or Refusal(429, retry_after_s, message)

    def ban(self, now_s: float) -> Refusal | None:
        """What everything is refused with while the IP is banned."""
        if int(now_s // 60) != self.minute:
            self.minute = int(now_s // 60)
            self.used = self.refused = 0
        if now_s >= self.banned_until_s:
            return None
        return Refusal(
            418,
            int(self.banned_until_s - now_s) + 1,
            f"Way too much request weight used; IP banned until {int(self.banned_until_s * 1000)}. "
            "Please use WebSocket Streams for live updates to avoid bans.",
        )
