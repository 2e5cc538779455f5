"""Records of several partitions put into one order: that of their receive time, behind a watermark. Pure.

Within a partition, receive times grow but for a little disorder: several collectors write to it. So a record counts
when it is at most `delay_ns` behind the newest of its own partition before it; else it is late, and dropped. What is
late is thereby decided within each partition alone.

The watermark is the least, over the partitions in use, of (newest receive time - `delay_ns`). Events up to it come out,
ordered by (receive time, key, order within the partition). So what comes out does not depend on how the partitions were
read, as long as none is read further ahead of the others than `hold_ns`; the application reads a backlog in the order
of time, which keeps that. For so much of the log nothing comes out at the beginning, until all partitions have shown
themselves, and so far the watermark stays behind while a partition rests that may come back (all its keys are
disconnected). One whose keys were all given up is out of use.

At the bound `events_max` the oldest event comes out whatever the watermark says; that is counted (`forced`).
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
    """Keys connected now."""
    resting: bool = False
    """Keys were connected and none is now; they may come back."""
    unused: bool = False
    """Its keys were given up."""


class MergeState(Struct, array_like=True):
    """What is persisted beside the waiting events."""

    partitions: dict[int, Partition] = {}
    first_ns: int = 0
    released_ns: int = 0
    """Events up to here have come out."""
    late: int = 0
    forced: int = 0


class Merger(Generic[E]):
    """`add` every record; take what comes out of `ready`."""

    def __init__(self, delay_ns: int, hold_ns: int, events_max: int, state: MergeState | None = None) -> None:
        self.state = state or MergeState()
        self._delay_ns, self._hold_ns, self._events_max = delay_ns, hold_ns, events_max
        self.heap: list[Event[E]] = []
        self._watermark_ns: int | None = None
        """As last computed; None: something it depends on has changed since."""
        self._least_ns = 0
        """While no partition's newest time was at or below this, no new record moves the watermark."""

    def connected(self, partition: int, key: str) -> None:
        """A key of this partition is connected: the partition is in use."""
        part = self._partition(partition)
        if key not in part.live:
            part.live.append(key)
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
        """A record came; None: it only tells the time. False: it is late and dropped."""
        state, part = self.state, self._partition(partition)
        if not state.first_ns:
            state.first_ns = recv_ns
        part.number += 1
        on_time = recv_ns >= part.newest_ns - self._delay_ns and recv_ns > state.released_ns
        if recv_ns > part.newest_ns:
            if part.newest_ns <= self._least_ns:
                self._watermark_ns = None
            part.newest_ns = recv_ns
        if payload is None:
            return True
        if not on_time:
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

    def _compute_watermark(self) -> int:
        """Usually it hangs on the one partition that is furthest behind; else on all of them."""
        state = self.state
        parts = [part for part in state.partitions.values() if not part.unused]
        newest_ns = max((part.newest_ns for part in parts), default=0)
        self._least_ns = newest_ns
        if newest_ns < state.first_ns + self._hold_ns:
            return 0
        held_ns = newest_ns - self._hold_ns
        reached_ns = min(
            (max(part.newest_ns, held_ns) if part.resting else part.newest_ns for part in parts), default=0
        )
        if not any(part.resting for part in parts):
            self._least_ns = reached_ns
        return max(0, reached_ns - self._delay_ns)

    def _partition(self, number: int) -> Partition:
        found = self.state.partitions.get(number)
        if found is None:
            found = self.state.partitions[number] = Partition()
            self._watermark_ns = None
        return found
