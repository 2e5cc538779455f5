"""How payloads become WebSocket frames: text or gzip. Frames are unmasked (RFC 6455, 5.2): the same for everybody."""

from __future__ import annotations

import gzip
from typing import Protocol

from simulator.faults import Payload

TEXT_FRAME = 0x81
BINARY_FRAME = 0x82
MS = 1000
"""Microseconds per unit of time on the wire, where a venue has no choice of it."""


def frame(kind: int, payload: bytes) -> bytes:
    size = len(payload)
    if size < 126:
        return bytes((kind, size)) + payload
    if size < 65536:
        return bytes((kind, 126)) + size.to_bytes(2, "big") + payload
    return bytes((kind, 127)) + size.to_bytes(8, "big") + payload


def text_frame(payload: bytes) -> bytes:
    return frame(TEXT_FRAME, payload)


class Form(Protocol):
    """Of one connection. Equal forms are the same object: an event is framed once for each."""

    @property
    def unit(self) -> int:
        """Microseconds per unit of time: which of a payload's variants."""

    def reply(self, data: bytes) -> bytes:
        """The frame of an answer."""

    def event(self, stream: str, payload: Payload) -> bytes:
        """The frame of a stream's event."""


class Text:
    """Payloads as they are, in text frames."""

    unit = MS

    def reply(self, data: bytes) -> bytes:
        return frame(TEXT_FRAME, data)

    def event(self, stream: str, payload: Payload) -> bytes:
        del stream
        return frame(TEXT_FRAME, payload.by_unit[MS])


class Gzip:
    """Payloads compressed, in binary frames."""

    unit = MS

    def reply(self, data: bytes) -> bytes:
        return frame(BINARY_FRAME, gzip.compress(data, 1, mtime=0))

    def event(self, stream: str, payload: Payload) -> bytes:
        del stream
        return frame(BINARY_FRAME, gzip.compress(payload.by_unit[MS], 1, mtime=0))


TEXT = Text()
GZIP = Gzip()
