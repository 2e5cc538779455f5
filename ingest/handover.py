"""When a new connection may take the place of an old one, and what is written then. Pure."""

from __future__ import annotations

from ingest.connection import Connection

REFUSALS = 2
OVERLAP_S_MIN = 1.0
"""Two connections run beside each other at least this long before the old one closes."""


def can_replace(old: Connection, new: Connection, now_s: float) -> bool:
    """Everything is subscribed, and what the old connection delivered since then came over the new one too.

    A thin stream that neither of them delivered in the meantime is no reason to wait, nor is one that the old one did
    not deliver at all: nothing is lost with it. Nor one that the venue will not let us have any more, asked twice, and
    that the old one did not deliver since either (an instrument that expired).
    """
    if not new.requests.idle:
        return False
    for name, was in old.lines.items():
        if name not in old.wanted or not was.delivers:
            continue
        line = new.lines.get(name)
        if line is not None and line.refusals >= REFUSALS and was.last_s < line.refused_s:
            continue
        if line is None or (line.frames == 0 and not line.acked):
            return False
        if line.frames == 0 and was.last_s > line.acked_s:
            return False
        if line.acked and now_s - line.acked_s < OVERLAP_S_MIN:
            return False
    return True


def take_over(old: Connection, new: Connection, now_s: float, recv_ns: int) -> None:
    """The old connection is about to close: say `connected`, overlapping, for thin streams that had no frame on the new
    one yet but are subscribed. Not for those that fell silent on the old one: what they missed nobody knows."""
    for place, was in old.carriage.groups.items():
        group = new.carriage.groups.get(place)
        if group is None or not all(line.acked for line in group.lines.values()):
            continue
        thin = [n for n in was.told if n in group.lines and n not in group.told and n in was.lines]
        if any(not old.watchdog.is_silent(was.lines[name], now_s) for name in thin):
            new.carriage.announce(group, recv_ns)
