"""Who gets which frame: every event is serialised once per form asked for and handed to its stream's subscribers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Protocol

from simulator import wire
from simulator.faults import Faults, Payload

TEXT_FRAME = 0x81


def text_frame(payload: bytes) -> bytes:
    """An unmasked WebSocket text frame (RFC 6455, 5.2): the same bytes for every subscriber."""
    size = len(payload)
    if size < 126:
        return bytes((TEXT_FRAME, size)) + payload
    if size < 65536:
        return bytes((TEXT_FRAME, 126)) + size.to_bytes(2, "big") + payload
    return bytes((TEXT_FRAME, 127)) + size.to_bytes(8, "big") + payload


class Subscriber(Protocol):
    """A connection as the hub sees it."""

    combined: bool
    unit: int

    def queue(self, frame: bytes) -> None: ...


class Hub:
    """Subscriptions by stream name. Names nobody produces are kept too: they stay silent, as at the venue."""

    def __init__(self, faults: Faults, monotonic: Callable[[], float]) -> None:
        self.subscribers: dict[str, dict[Subscriber, None]] = {}
        self.faults = faults
        self.monotonic = monotonic
        self.frames_sent = 0
        self.frames_by_kind: Counter[str] = Counter()

    def subscribe(self, subscriber: Subscriber, stream: str) -> None:
        self.subscribers.setdefault(stream, {})[subscriber] = None

    def unsubscribe(self, subscriber: Subscriber, stream: str) -> None:
        if (those := self.subscribers.get(stream)) is not None:
            those.pop(subscriber, None)
            if not those:
                del self.subscribers[stream]

    def publish(self, stream: str, make: Callable[[int], bytes]) -> None:
        """Send an event to a stream's subscribers. `make` gives its JSON for a time unit."""
        those = self.subscribers.get(stream)
        if not those:
            return
        payload = Payload({unit: make(unit) for unit in {each.unit for each in those}})
        if not self.faults.frame_faults:
            self._send(stream, those, payload)
            return
        # A held frame may meet a subscriber with another unit later: have both.
        payload = Payload({unit: make(unit) for unit in (1, 1000)})
        for each in self.faults.frames(stream, payload, self.monotonic()):
            self._send(stream, those, each)

    def publish_bytes(self, stream: str, data: bytes, whole: bytes) -> None:
        """Send a recorded frame: `whole` in the combined form as it was, `data` its payload."""
        those = self.subscribers.get(stream)
        if not those:
            return
        payload = Payload({1: data, 1000: data}, whole)
        struck = self.faults.frames(stream, payload, self.monotonic()) if self.faults.frame_faults else (payload,)
        for each in struck:
            self._send(stream, those, each)

    def _send(self, stream: str, those: dict[Subscriber, None], payload: Payload) -> None:
        frames: dict[tuple[bool, int], bytes] = {}
        for each in those:
            form = (each.combined, each.unit)
            frame = frames.get(form)
            if frame is None:
                data = payload.by_unit[each.unit]
                frame = frames[form] = text_frame((payload.whole or wire.wrap(stream, data)) if each.combined else data)
            each.queue(frame)
        self.frames_sent += len(those)
        self.frames_by_kind[stream.partition("@")[2]] += len(those)
