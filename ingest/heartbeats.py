"""When each (key, topic) of a connection has its heartbeat. Pure.

Heartbeats of one interval are spread over it: each group has one whenever the venue's clock or ours moved on by the
interval, so that a recording played fast has as many per minute of its own time. raw.trade and raw.book have them at
the full pace; raw.bbo at a fifth of it, which is enough for the watermark of what merges quotes of several venues.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ingest.lines import Group


@dataclass(slots=True)
class Ring:
    """Groups of one pace, in turns."""

    interval_s: float
    groups: list[Group] = field(default_factory=list)
    at: int = 0
    owed: float = 0.0

    def due(self, moved_s: float) -> list[Group]:
        count = len(self.groups)
        if not count:
            return []
        self.owed += count * moved_s / self.interval_s
        due = min(int(self.owed), count)
        self.owed = min(self.owed - due, count)
        out = []
        for _ in range(due):
            self.at = (self.at + 1) % count
            out.append(self.groups[self.at])
        return out


class Heartbeats:
    """See the module."""

    def __init__(self, interval_s: float) -> None:
        self._interval_s = interval_s
        self._rings: dict[int, Ring] = {}
        self._from: tuple[float, int] | None = None
        self._progress_s = 0.0

    def add(self, group: Group, pace: int) -> None:
        """One heartbeat in `pace` intervals."""
        ring = self._rings.setdefault(pace, Ring(self._interval_s * pace))
        ring.groups.append(group)

    def remove(self, group: Group) -> None:
        for ring in self._rings.values():
            ring.groups = [g for g in ring.groups if g is not group]

    def due(self, now_s: float, clock_us: int) -> list[Group]:
        """Whose turn it is; `clock_us` is the venue's time now, 0 while nothing has told it."""
        from_s, from_us = self._from or (now_s, 0)
        progress_s = now_s - from_s
        if clock_us:
            from_us = from_us or clock_us - int(progress_s * 1e6)
            progress_s = max(progress_s, (clock_us - from_us) / 1e6)
        self._from = (from_s, from_us)
        moved_s, self._progress_s = progress_s - self._progress_s, progress_s
        return [group for ring in self._rings.values() for group in ring.due(moved_s)]
