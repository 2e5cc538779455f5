"""Records of several partitions put into one order: that of their receive time, behind a watermark. Pure.

Within a partition, receive times grow but for a little disorder: several collectors write to it. So a record counts
when it is at most `delay_ns` behind the newest of its own partition before it; else it is late, and dropped.

A partition joins with its first record, with the first one after its keys were all given up, and with one that ends a
silence of more than `silence_ns`. What it received less than `hold_ns` after that does not count: the others may have
gone on without it. So what counts is decided within each partition alone.

The watermark is what all partitions waited for have passed, less `delay_ns`; events up to it come out, ordered by
(receive time, key, order within the partition). A partition is waited for from when it joins until its keys are given
up, or until the others are `silence_ns + hold_ns` past its newest record: a collector that was killed does not say that
its keys are gone. While all its keys are disconnected, the others wait for `hold_ns` at most.

How far the others are is told by the newest time before the last one of a partition: the last record may lie anywhere
ahead, for nobody knows a time before it was read. As long as partitions are in this sense read no further apart than
`hold_ns`, what comes out does not depend on how they were read. What comes after its place was passed is late.

At the bound `events_max` the oldest event comes out whatever the watermark says; that is counted (`forced`). It changes
the result only where so many events came within the time that partitions are read apart.
"""

from __future__ import annotations

from collections.abc import Iterator
from heapq import heappop, heappush
from typing import Generic, NamedTuple, TypeVar

from msgspec import Struct

E = TypeVar("E")


class Event(NamedTuple, Generic[E]):
    """One event in its order. The payload never decides: no two have the same number on one partition."""

    recv_ns: int
    key: str
    number: int
    payload: E


class Partition(Struct, array_like=True):
    newest_ns: int = 0
    number: int = 0
    """Records taken so far."""
    live: list[str] = []
    """Keys connected now, as far as we were told: a collector that was killed says nothing."""
    resting: bool = False
    """Keys were connected and none is now; they may come back."""
    unused: bool = False
    """Its keys were given up."""
    counts_ns: int = 0
    """It joined: what it received before does not count."""


class MergeState(Struct, array_like=True):
    """What is persisted beside the waiting events."""

    partitions: dict[int, Partition] = {}
    passed_ns: int = 0
    """How far the partition furthest ahead has come: its newest time before the last one."""
    released_ns: int = 0
    """Events up to here have come out."""
    late: int = 0
    forced: int = 0
    joining: int = 0
    """Dropped because their partition had just joined."""


class Merger(Generic[E]):
    """`add` every record; take what comes out of `ready`."""

    def __init__(
        self, delay_ns: int, hold_ns: int, silence_ns: int, events_max: int, state: MergeState | None = None
    ) -> None:
        self.state = state or MergeState()
        self._delay_ns, self._hold_ns, self._silence_ns, self._events_max = delay_ns, hold_ns, silence_ns, events_max
        self.heap: list[Event[E]] = []
        self.waits_for: int | None = None
        """The partition the watermark hangs on; None: on none, all of them are up with the one furthest ahead."""
        self._watermark_ns: int | None = None
        """As last computed; None: something it depends on has changed since."""
        self._least_ns = 0
        """The watermark moves when a partition goes on whose newest time was at or below this,"""
        self._steady_ns = 0
        """and when `passed_ns` exceeds this."""

    def connected(self, partition: int, key: str) -> None:
        """A key of this partition is connected: the partition is in use. The record that says so is to be added."""
        part = self._partition(partition)
        if key not in part.live:
            part.live.append(key)
        if part.unused:
            part.newest_ns = 0  # it joins anew
        part.resting = part.unused = False
        self._watermark_ns = None

    def disconnected(self, partition: int, key: str, for_good: bool) -> None:
        """A key of this partition is not connected any more; `for_good`: nobody wants it now."""
        part = self._partition(partition)
        if key in part.live:
            part.live.remove(key)
        if not part.live:
            part.resting, part.unused = not for_good, for_good
        self._watermark_ns = None

    def add(self, partition: int, recv_ns: int, key: str, payload: E | None) -> bool:
        """A record came; None: it only tells the time. False: it does not count and was dropped."""
        state, part = self.state, self._partition(partition)
        before_ns = part.newest_ns
        part.number += 1
        if not before_ns or recv_ns - before_ns > self._silence_ns:
            part.counts_ns = recv_ns + self._hold_ns
        if recv_ns > before_ns:
            part.newest_ns = recv_ns
            state.passed_ns = max(state.passed_ns, before_ns)
            if before_ns <= self._least_ns or state.passed_ns > self._steady_ns:
                self._watermark_ns = None
        if payload is None:
            return True
        if recv_ns < part.counts_ns:
            state.joining += 1
            return False
        if recv_ns < before_ns - self._delay_ns or recv_ns <= state.released_ns:
            state.late += 1
            return False
        heappush(self.heap, Event(recv_ns, key, part.number, payload))
        return True

    def later(self, recv_ns: int, key: str, number: int, payload: E) -> None:
        """An event of our own making, to come out in its place (a time limit)."""
        heappush(self.heap, Event(recv_ns, key, number, payload))

    def ready(self) -> Iterator[Event[E]]:
        """The events that come out now, in order; more may be added on the way."""
        state, heap = self.state, self.heap
        watermark = self.watermark_ns
        while heap and (heap[0].recv_ns <= watermark or len(heap) > self._events_max):
            if heap[0].recv_ns > watermark:
                state.forced += 1
            event = heappop(heap)
            if event.recv_ns > state.released_ns:
                state.released_ns = event.recv_ns - 1  # more of the same time may still be here
            yield event
        state.released_ns = max(state.released_ns, watermark)

    @property
    def watermark_ns(self) -> int:
        """Everything up to here is known; 0 while that cannot be said."""
        if self._watermark_ns is None:
            self._watermark_ns = self._compute_watermark()
        return self._watermark_ns

    @property
    def behind_ns(self) -> int:
        """How far what has come out is behind the partition furthest ahead."""
        return max(0, self.state.passed_ns - self.state.released_ns) if self.state.released_ns else 0

    def _compute_watermark(self) -> int:
        """Usually it hangs on the one partition that is furthest behind."""
        passed_ns, patience_ns = self.state.passed_ns, self._silence_ns + self._hold_ns
        self._least_ns = self._steady_ns = passed_ns
        self.waits_for = None
        for number, part in self.state.partitions.items():
            if part.unused or part.newest_ns < passed_ns - patience_ns:
                continue
            reached_ns = max(part.newest_ns, passed_ns - self._hold_ns) if part.resting else part.newest_ns
            if reached_ns < self._least_ns:
                self._least_ns, self.waits_for = reached_ns, number
                self._steady_ns = reached_ns + (self._hold_ns if part.resting else patience_ns)
        return max(0, self._least_ns - self._delay_ns - 1)  # more of the very time may still come

    def _partition(self, number: int) -> Partition:
        found = self.state.partitions.get(number)
        if found is None:
            found = self.state.partitions[number] = Partition()
            self._watermark_ns = None
        return found
