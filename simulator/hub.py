"""Who gets which frame: every event is serialised once per form asked for and handed to its stream's subscribers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Protocol

from simulator.faults import Faults, Payload
from simulator.forms import MS, Form


class Subscriber(Protocol):
    """A connection as the hub sees it."""

    @property
    def form(self) -> Form: ...

    def queue(self, frame: bytes) -> None: ...


class Hub:
    """Subscriptions of one dialect by stream name. Names nobody produces are kept too: they stay silent.

    `units` are the time units its payloads can be asked for in.
    """

    def __init__(
        self,
        faults: Faults,
        monotonic: Callable[[], float],
        *,
        venue: str = "spot",
        units: tuple[int, ...] = (MS,),
        kind_of: Callable[[str], str] = lambda stream: stream,
    ) -> None:
        self.subscribers: dict[str, dict[Subscriber, None]] = {}
        self.waiting: dict[str, dict[Subscriber, None]] = {}
        """Joined, and to be admitted with a first frame that fits the next one."""
        self.faults = faults
        self.monotonic = monotonic
        self.venue = venue
        self.units = units
        self.kind_of = kind_of
        self.kinds: dict[str, str] = {}
        self.frames_sent = 0
        self.frames_by_kind: Counter[str] = Counter()

    def subscribe(self, subscriber: Subscriber, stream: str) -> None:
        self.subscribers.setdefault(stream, {})[subscriber] = None

    def wait(self, subscriber: Subscriber, stream: str) -> None:
        """Have `admit` subscribe it."""
        self.waiting.setdefault(stream, {})[subscriber] = None

    def unsubscribe(self, subscriber: Subscriber, stream: str) -> None:
        for table in (self.subscribers, self.waiting):
            if (those := table.get(stream)) is not None:
                those.pop(subscriber, None)
                if not those:
                    del table[stream]

    def wanted(self, stream: str) -> bool:
        """Whether anybody has it or waits for it: what nobody has need not be made."""
        return stream in self.subscribers or stream in self.waiting

    def publish(self, stream: str, make: Callable[[int], bytes]) -> None:
        """Send an event to a stream's subscribers. `make` gives its JSON for a time unit."""
        those = self.subscribers.get(stream)
        if not those:
            return
        if not self.faults.frame_faults:
            payload = Payload({unit: make(unit) for unit in {each.form.unit for each in those}})
            self._send(stream, those, payload)
            return
        # A held frame may meet a subscriber with another unit later: have all.
        payload = Payload({unit: make(unit) for unit in self.units})
        for each in self.faults.frames(stream, payload, self.monotonic(), self.venue):
            self._send(stream, those, each)

    def publish_bytes(self, stream: str, data: bytes, whole: bytes) -> None:
        """Send a recorded frame: `whole` in the combined form as it was, `data` its payload."""
        those = self.subscribers.get(stream)
        if not those:
            return
        payload = Payload(dict.fromkeys(self.units, data), whole)
        struck: Sequence[Payload] = (payload,)
        if self.faults.frame_faults:
            struck = self.faults.frames(stream, payload, self.monotonic(), self.venue)
        for each in struck:
            self._send(stream, those, each)

    def admit(self, stream: str, make: Callable[[], bytes]) -> None:
        """Let those who wait have a first frame (a book as it is now), and everything published from now on.

        Call it right after an update was published, when the book is exactly in the state that update led to. First
        frames are exempt from frame faults, silence excepted (see the fault `no_snapshot`)."""
        those = self.waiting.pop(stream, None)
        if not those:
            return
        if not self.faults.silenced(stream, self.monotonic(), self.venue):
            data = make()
            self._send(stream, those, Payload(dict.fromkeys(self.units, data)))
        for each in those:
            self.subscribe(each, stream)

    def _send(self, stream: str, those: dict[Subscriber, None], payload: Payload) -> None:
        frames: dict[Form, bytes] = {}
        for each in those:
            form = each.form
            frame = frames.get(form)
            if frame is None:
                frame = frames[form] = form.event(stream, payload)
            each.queue(frame)
        self.frames_sent += len(those)
        kind = self.kinds.get(stream)
        if kind is None:
            kind = self.kinds[stream] = self.kind_of(stream)
        self.frames_by_kind[kind] += len(those)
