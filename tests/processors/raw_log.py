"""Raw records as Kafka would hand them to a processing function."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import msgspec

from marketdata import raw
from marketdata.codec import decode
from marketdata.types import AnyRecord
from processors.outputs import Output, SourceRecord

KEY = b"binance.spot.BTCUSDT"
RECV_NS = 1_700_000_000_000_000_000


class RawLog:
    """Makes raw records with growing offsets and receive times."""

    def __init__(self, topic: str = "raw.trade", key: bytes = KEY) -> None:
        self._topic, self._key = topic, key
        self._offsets = itertools.count()

    def record(
        self, kind: str, channel: str, value: bytes, conn: str = "c1", recv_ns: int | None = None
    ) -> SourceRecord:
        offset = next(self._offsets)
        recv_ns = RECV_NS + offset * 1_000_000 if recv_ns is None else recv_ns
        headers = raw.to_kafka(raw.Headers(kind, channel, str(recv_ns), conn, str(offset)))
        return SourceRecord(self._topic, 0, offset, self._key, value, headers, recv_ns // 1_000_000)

    def frame(self, channel: str, body: dict[str, Any] | bytes, conn: str = "c1") -> SourceRecord:
        return self.record("frame", channel, body if isinstance(body, bytes) else msgspec.json.encode(body), conn)

    def heartbeat(self, venue_time_us: int, conn: str = "c1") -> SourceRecord:
        return self.record("heartbeat", "", raw.encode_value(raw.HeartbeatValue(venue_time_us)), conn)

    def connected(
        self, channels: Sequence[str], conn: str = "c1", reason: str = "start", overlaps: bool = False
    ) -> SourceRecord:
        value = raw.ConnectedValue("ws://x", list(channels), reason, overlaps)
        return self.record("connected", "", raw.encode_value(value), conn)

    def disconnected(self, channels: Sequence[str], conn: str = "c1", reason: str = "closed 1006") -> SourceRecord:
        return self.record("disconnected", "", raw.encode_value(raw.DisconnectedValue(reason, list(channels))), conn)


def decoded(outputs: Sequence[Output]) -> list[tuple[str, AnyRecord]]:
    return [(output.topic, decode(output.value)) for output in outputs]
