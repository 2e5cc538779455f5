"""What a connection carries: lines (one per stream), groups (what is recorded together), and its surroundings."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from ingest.metrics import ChannelTally, Metrics
from ingest.records import Header, Record, Records
from venues.contract import EVERY_SYMBOL, Stream, VenueProtocol

MARKET_CHANNEL = "instrument"
"""Channel of streams about the market as a whole (`market_streams`): their frames stand in raw.control."""


@dataclass(slots=True)
class Group:
    """What is recorded together: one key in one raw topic."""

    topic: str
    key: bytes
    symbol: str
    lines: dict[str, Line] = field(default_factory=dict)
    """By stream name."""
    connected: bool = False
    told: tuple[str, ...] = ()
    """Names of the streams the newest `connected` record stands for."""

    @property
    def place(self) -> tuple[str, bytes]:
        return self.topic, self.key

    @property
    def channels(self) -> list[str]:
        """The channels underneath: an alias stands in no record."""
        return list(dict.fromkeys(line.stream.channel for line in self.lines.values()))


class Line:
    """One stream on this connection. It is recorded in one group, or (a stream for EVERY_SYMBOL) in one for each
    symbol that shares it, or (a market stream) in none."""

    __slots__ = (
        "acked", "acked_s", "announced", "channel", "frames", "group", "is_book", "key", "last_s", "quiet",
        "refusals", "refused_s", "resubscribe_s", "retry_s", "shared", "stream", "tally", "topic",
    )  # fmt: skip

    def __init__(self, stream: Stream, group: Group | None, tally: ChannelTally, quiet: bool) -> None:
        self.stream = stream
        self.group = group
        self.shared: dict[str, Group] | None = {} if is_shared(stream) else None
        """By symbol."""
        self.key = group.key if group else b""
        self.topic = group.topic if group else ""
        self.channel: Header = ("channel", stream.channel.encode())
        self.is_book = stream.channel == "book"
        self.quiet = quiet
        """It may rest for long: an ack is all the proof there is."""
        self.tally = tally
        self.frames = 0
        self.last_s = 0.0
        self.acked = False
        self.acked_s = 0.0
        self.refusals = 0
        """How often in a row the venue did not take it, by word or without one."""
        self.refused_s = 0.0  # when first
        self.announced = False
        """`connected` was written for its group; of a shared line the groups tell."""
        self.retry_s = 0.0  # when to subscribe again for want of a first frame; 0: not subscribed yet
        self.resubscribe_s = 0.0  # how long that took last time

    @property
    def groups(self) -> Iterable[Group]:
        if self.group is not None:
            return (self.group,)
        return self.shared.values() if self.shared is not None else ()

    @property
    def delivers(self) -> bool:
        """It is proven to work, or cannot be: a quiet stream that was acknowledged."""
        return self.frames > 0 or (self.acked and self.quiet)


def is_shared(stream: Stream) -> bool:
    """A stream for EVERY_SYMBOL that carries data of symbols."""
    return stream.symbol == EVERY_SYMBOL and stream.channel != MARKET_CHANNEL


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
    sharers: Mapping[str, Iterable[str]]
    """Symbols that share a stream for EVERY_SYMBOL, by its name."""
    covered: Callable[[str, Group], bool]
    """(conn, group): does another live connection deliver all of it? Then `connected` overlaps."""
    on_book: Callable[[str, str, bytes, int], None]
    """(symbol, conn, frame, recv_ns) after a book frame was published."""
    on_book_connected: Callable[[str, str, bool], None]
    """(symbol, conn, overlaps)"""
    on_book_disconnected: Callable[[str, str, str], None]
    """(symbol, conn, reason)"""
    books_anchored: Callable[[str], bool]
    """(conn): every book this connection carries is made from it (or needs not be)."""
    on_instruments: Callable[[], None]
    """The venue said that metadata changed."""
