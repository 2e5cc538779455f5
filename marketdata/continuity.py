"""What the ids of a stream prove: next, gap, fill, duplicate, reset. Pure, one object per key and channel.

A gap is a range of ids we know we do not have. It stays open, as the list of ranges still missing, until later
records fill it. After a reconnect that did not overlap, a lower id with a later time means that the venue began its
sequence anew (epoch + 1). Where records cover ranges of ids (trades merged by the venue), ranges chain instead of ids.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

import msgspec
from msgspec import Struct

OPEN_GAPS_MAX = 64
"""Gaps followed per stream; the oldest is given up (and stays unfilled for good)."""
RESET_MARGIN_US = 60_000_000
"""Without a reconnect a lower id is of a new sequence only when its time is later than the newest id's by more than
this: times need not grow exactly as ids do."""
MINUTE_US = 60_000_000
RANGES_MAX = 256
"""Missing ranges followed per gap; a gap more riddled than that keeps its newest ones."""


class Verdict(Enum):
    """What a record's id says about it."""

    NEXT = "next"
    """The one expected, or the first of all."""
    GAP = "gap"
    """Ids before it are missing; accept it."""
    FILL = "fill"
    """It was missing; accept it."""
    DUPLICATE = "duplicate"
    RESET = "reset"
    """The venue began a new sequence; accept it."""
    LATE = "late"
    """Its gap was given up: it may or may not have been accepted before."""
    OVERLAP = "overlap"
    """Of the ids it covers some are known and some are not: it can neither be accepted nor called a repeat."""


class OpenGap(Struct):
    """A gap and which parts of it are still missing."""

    gap_id: str
    first: int
    last: int
    missing: list[tuple[int, int]]
    """Ranges still missing, inclusive, ascending."""
    from_time_us: int
    to_time_us: int
    reason: str
    epoch: int
    count: int
    filled: int = 0


class Step(NamedTuple):
    """A verdict and the gap it opened or filled."""

    verdict: Verdict
    gap: OpenGap | None = None


_NEXT = Step(Verdict.NEXT)
_DUPLICATE = Step(Verdict.DUPLICATE)
_LATE = Step(Verdict.LATE)
_OVERLAP = Step(Verdict.OVERLAP)


class Continuity(Struct):
    """Follows ids that grow by exactly one."""

    channel: str
    last_id: int | None = None
    last_time_us: int = 0
    epoch: int = 0
    gaps: list[OpenGap] = []
    given_up_to: int = -1
    """Ids up to here may belong to gaps no longer followed."""
    break_reason: str = ""
    """`disconnected` or `capture_restarted` between a connection that overlaps no other and its first record."""

    def broken(self, reason: str) -> None:
        """A connection opened that overlaps no other: what lies before its first record may be missing."""
        self.break_reason = reason

    def check(self, record_id: int, time_us: int, first_id: int | None = None) -> Step:
        """Judge a record's id, or the range from `first_id` to it, and go on from there. `time_us` is the venue's."""
        last, first = self.last_id, record_id if first_id is None else first_id
        if last is None or first == last + 1:
            self._advance(record_id, time_us)
            return _NEXT
        if first > last:
            gap = self._open(last + 1, first - 1, time_us)
            self._advance(record_id, time_us)
            return Step(Verdict.GAP, gap)
        margin_us = 0 if self.break_reason else RESET_MARGIN_US
        if time_us > self.last_time_us + margin_us and not self._is_missing(first, record_id, time_us):
            return self._reset(first, record_id, time_us)
        return _OVERLAP if record_id > last else self._fill(first, record_id)

    def lack(self, record_id: int, time_us: int, first_id: int | None = None) -> OpenGap | None:
        """The next record is known and cannot be accepted, or not yet: the gap that says so, until it comes after all.

        None for a record that is not just the next one, and after a reconnect: then its id alone proves little. None
        also for more than one in a row and minute: they may be many. The next accepted one tells what else is missing.
        """
        last, first = self.last_id, record_id if first_id is None else first_id
        if last is None or first != last + 1 or self.break_reason:
            return None
        time_us = max(time_us, self.last_time_us)
        newest = self.gaps[-1].missing[-1][1] if self.gaps else None
        if newest == last and time_us // MINUTE_US == self.last_time_us // MINUTE_US:
            return None
        gap = self._open(first, record_id, time_us)
        self._advance(record_id, time_us)
        return gap

    def _is_missing(self, first_id: int, last_id: int, time_us: int) -> bool:
        """Whether a gap of about that time lacks these ids."""
        return any(
            first <= first_id and last_id <= last
            for gap in self.gaps
            if time_us <= gap.to_time_us + RESET_MARGIN_US
            for first, last in gap.missing
        )

    def _advance(self, record_id: int, time_us: int) -> None:
        self.last_id, self.last_time_us, self.break_reason = record_id, time_us, ""

    def _open(self, first: int, last: int, time_us: int) -> OpenGap:
        gap = OpenGap(
            gap_id=gap_id(self.channel, first, last, self.epoch),
            first=first,
            last=last,
            missing=[(first, last)],
            from_time_us=self.last_time_us,
            to_time_us=time_us,
            reason=self.break_reason or "id_skip",
            epoch=self.epoch,
            count=last - first + 1,
        )
        self.gaps.append(gap)
        if len(self.gaps) > OPEN_GAPS_MAX:
            self.given_up_to = max(self.given_up_to, self.gaps.pop(0).last)
        return gap

    def _reset(self, first: int, record_id: int, time_us: int) -> Step:
        self.epoch += 1
        self.gaps.clear()
        self.given_up_to = -1
        gap = OpenGap(
            gap_id=gap_id(self.channel, first, record_id, self.epoch) + ":reset",
            first=0,
            last=-1,
            missing=[],
            from_time_us=self.last_time_us,
            to_time_us=time_us,
            reason="sequence_reset",
            epoch=self.epoch,
            count=0,
        )
        self._advance(record_id, time_us)
        return Step(Verdict.RESET, gap)

    def _fill(self, first_id: int, last_id: int) -> Step:
        for at, gap in enumerate(self.gaps):
            if first_id > gap.last or last_id < gap.first:
                continue
            for i, (first, last) in enumerate(gap.missing):
                if first_id > last or last_id < first:
                    continue
                if first_id < first or last_id > last:
                    return _OVERLAP
                gap.missing[i : i + 1] = [r for r in ((first, first_id - 1), (last_id + 1, last)) if r[0] <= r[1]]
                gap.filled += last_id - first_id + 1
                if len(gap.missing) > RANGES_MAX:
                    self.given_up_to = max(self.given_up_to, gap.missing.pop(0)[1])
                if not gap.missing:
                    del self.gaps[at]
                return Step(Verdict.FILL, gap)
        return _LATE if first_id <= self.given_up_to else _DUPLICATE


def gap_id(channel: str, first: int, last: int, epoch: int) -> str:
    """The deterministic id of a gap; later epochs are told apart because ids come again."""
    return f"{channel}:{first}-{last}" + (f"@{epoch}" if epoch else "")


RECENT_IDS_MAX = 256
"""Ids remembered to tell a repeat from a late record: more than two overlapping connections lie apart."""

Identity = int | str
"""What tells one record from the others of its kind: a number that grows with time, or any text."""


class Recent(Struct):
    """Tells repeats by a bounded memory of the last identities."""

    newest: int = -1
    """The highest number seen."""
    ids: list[Identity] = []
    forgotten_to: int = -1
    """The highest number no longer remembered."""

    def knows(self, record_id: Identity) -> bool:
        """True for one of the last identities."""
        if isinstance(record_id, int) and record_id > self.newest:
            return False
        return record_id in self.ids

    def seen(self, record_id: Identity, old_is_seen: bool = False) -> bool:
        """True for a repeat of one of the last identities; else remembers it. `old_is_seen`: also for a number at or
        below the highest one forgotten, for sources that say their whole past again and again."""
        if self.knows(record_id):
            return True
        if isinstance(record_id, int):
            if old_is_seen and record_id <= self.forgotten_to:
                return True
            self.newest = max(self.newest, record_id)
        self.ids.append(record_id)
        if len(self.ids) > RECENT_IDS_MAX:
            self.forgotten_to = max([self.forgotten_to, *(n for n in self.ids[:FORGET_AT_ONCE] if isinstance(n, int))])
            del self.ids[:FORGET_AT_ONCE]
        return False


FORGET_AT_ONCE = RECENT_IDS_MAX // 4


class Unnumbered(Struct):
    """A stream whose ids do not tell what is missing: repeats are dropped, a reconnect leaves a gap in time.

    It may carry several series (record types, intervals), which have identities of their own and share the gaps.
    """

    channel: str
    last_time_us: int = 0
    epoch: int = 0
    break_reason: str = ""
    recent: Recent = msgspec.field(default_factory=Recent)
    """Of the series ""."""
    others: dict[str, Recent] = {}
    """Of the other series, by name."""
    grows: bool = False
    """Numbers are ids that only grow: after a reconnect a lower one means that the venue began its sequence anew."""

    def broken(self, reason: str) -> None:
        """A connection opened that overlaps no other."""
        self.break_reason = reason

    def repeats(self, record_id: Identity | None, series: str = "", old_is_seen: bool = False) -> bool:
        """True for a repeat (see `Recent.seen`); without an identity nothing is one."""
        return record_id is not None and self._recent(series).seen(record_id, old_is_seen)

    def check(self, record_id: Identity | None, time_us: int, series: str = "") -> Step:
        """Judge a record by its identity; None where it has none."""
        reason, before = self.break_reason, self.last_time_us
        reset = bool(reason) and self._began_anew(record_id, time_us, series)
        if reset:
            self.epoch += 1
            self.recent = Recent()
            self.others = {}
        if self.repeats(record_id, series):
            return _DUPLICATE
        self.break_reason = ""
        if time_us > self.last_time_us:
            self.last_time_us = time_us
        if not reason or not before:
            return _NEXT
        gap = OpenGap(
            gap_id=f"{self.channel}:{before}" + (f"@{self.epoch}" if self.epoch else ""),
            first=0,
            last=-1,
            missing=[],
            from_time_us=before,
            to_time_us=max(before, time_us),
            reason="sequence_reset" if reset else reason,
            epoch=self.epoch,
            count=0,
        )
        return Step(Verdict.RESET if reset else Verdict.GAP, gap)

    def _began_anew(self, record_id: Identity | None, time_us: int, series: str) -> bool:
        recent = self._recent(series)
        return (
            self.grows
            and isinstance(record_id, int)
            and record_id < recent.newest
            and time_us > self.last_time_us
            and not recent.knows(record_id)
        )

    def _recent(self, series: str) -> Recent:
        if not series:
            return self.recent
        found = self.others.get(series)
        if found is None:
            found = self.others[series] = Recent()
        return found
