"""What a connection carries: lines (one per stream), groups (what is recorded together), and its surroundings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from ingest.metrics import ChannelTally, Metrics
from ingest.records import Header, Record, Records
from venues.contract import Stream, VenueProtocol


class Line:
    """One stream on this connection."""

    __slots__ = (
        "acked", "acked_s", "announced", "channel", "frames", "group", "is_book", "key", "last_s", "resubscribe_s",
        "retry_s", "stream", "tally", "topic",
    )  # fmt: skip

    def __init__(self, stream: Stream, group: Group, tally: ChannelTally) -> None:
        self.stream = stream
        self.group = group
        self.key = group.key
        self.topic = group.topic
        self.channel: Header = ("channel", stream.channel.encode())
        self.is_book = stream.channel == "book"
        self.tally = tally
        self.frames = 0
        self.last_s = 0.0
        self.acked = False
        self.acked_s = 0.0
        self.announced = False
        self.retry_s = 0.0  # when to subscribe again for want of a first frame; 0: not subscribed yet
        self.resubscribe_s = 0.0  # how long that took last time


@dataclass
class Group:
    """What is recorded together: one key in one raw topic."""

    topic: str
    key: bytes
    symbol: str
    lines: dict[str, Line] = field(default_factory=dict)
    """By channel."""
    connected: bool = False

    @property
    def place(self) -> tuple[str, bytes]:
        return self.topic, self.key


@dataclass(frozen=True)
class Host:
    """What a connection needs from around it."""

    protocol: VenueProtocol
    records: Records
    publish: Callable[[Record], None]
    metrics: Metrics
    market: tuple[str, str]
    heartbeat_interval_s: float
    patience_s: dict[str, float]
    """Silence timeouts of streams that turned out to rest longer than their channel's; by stream name, shared by all
    connections of a market."""
    covered: Callable[[str, Group], bool]
    """(conn, group): does another live connection deliver all of it? Then `connected` overlaps."""
    on_book: Callable[[str, str, bytes, int], None]
    """(symbol, conn, frame, recv_ns) after a book frame was published."""
    on_book_connected: Callable[[str, str, bool], None]
    """(symbol, conn, overlaps)"""
    on_book_disconnected: Callable[[str, str, str], None]
    """(symbol, conn, reason)"""
    on_shutdown: Callable[[str], None]
    """(conn): the venue announced that it will close; open a replacement."""
