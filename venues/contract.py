"""What a venue is to the rest of the system: pure functions and small state machines, no I/O, no clock.

A venue is one folder with `protocol` (URLs, requests, acks, pings, limits), `messages` (wire shapes), `normalise`
(frames to records) and `book_sync` (sequence rules), and exports one `Venue` object that `venues.VENUES` lists.
Ingest uses `protocol` and `book_sync`; processors use `normalisers` and `book_sync`; conformance uses all of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, Protocol

from msgspec import Struct

from marketdata.book import LevelBook
from marketdata.book_feed import SequenceRules
from marketdata.types import AnyRecord, Instrument, Level

# --- streams and frames (ingest) -------------------------------------------------------------------


class Stream(NamedTuple):
    """One subscription: the venue's own name for it, our channel, and the symbol it is about."""

    name: str
    channel: str
    symbol: str


class Data(NamedTuple):
    """A frame that carries market data of one stream."""

    stream: Stream
    event_time_ms: int | None
    """The venue's clock in the frame, where it has one: moves the heartbeat's clock."""


class Ack(NamedTuple):
    request_id: int


class VenueError(NamedTuple):
    """The venue refused a request (request_id None: it did not say which)."""

    request_id: int | None
    code: str
    message: str


class Reply(NamedTuple):
    """An application-level ping: send these bytes back at once."""

    payload: bytes | str


class Notice(NamedTuple):
    """`shutdown`: open a replacement connection first, then leave this one. Other kinds are only recorded."""

    kind: str
    detail: str


class Unknown(NamedTuple):
    """A frame we cannot attribute; kept in md.dead_letter."""

    reason: str


Classified = Data | Ack | VenueError | Reply | Notice | Unknown


class Request(NamedTuple):
    """A REST call: path and query relative to the venue's REST base, with its cost in the venue's weight units."""

    path: str
    query: Mapping[str, str]
    weight: int
    levels: int = 0
    """Of a book snapshot: levels per side the reply is cut at. A side with fewer is whole."""


@dataclass(frozen=True)
class Limits:
    """A venue's connection rules. Units are in the names."""

    streams_per_connection: int
    messages_per_s: float
    """Client to server, everything counted."""
    streams_per_request: int
    connection_attempts_per_5_min: int
    connection_max_age_s: float
    rotate_after_s: float
    """When to open the replacement; well before `connection_max_age_s`."""
    server_ping_interval_s: float | None
    """Protocol-level pings of the server; two missed mean a dead connection. None: the server sends none."""
    client_ping_interval_s: float | None
    """Application-level ping we must send when idle (see `VenueProtocol.ping`). None: none wanted."""
    rest_weight_per_min: int
    first_data_timeout_s: float
    """A subscribed stream that never delivered a frame by then counts as not subscribed (channels that may be quiet
    for long are listed in `quiet_channels`)."""
    silence_timeout_s: Mapping[str, float] = field(default_factory=dict)
    """Per channel: how long an open stream may be silent before its connection counts as broken. Missing: never."""
    quiet_channels: frozenset[str] = frozenset()
    rest_used_weight_header: str | None = None
    """Header of REST replies that counts the weight used this minute by everyone behind our address."""


class VenueProtocol(Protocol):
    """How to talk to the venue."""

    limits: Limits

    def streams(self, symbols: Sequence[str], channels: Sequence[str]) -> list[Stream]:
        """The streams for these symbols and channels. Raises ConfigError on a channel the venue does not have."""

    def connection_url(self, ws_url: str, streams: Sequence[Stream]) -> str:
        """Address to open for these streams (all on one route)."""

    def route(self, stream: Stream) -> str:
        """Streams with different routes cannot share a connection ("" where there is only one)."""

    def subscribe(self, streams: Sequence[Stream], request_id: int) -> str: ...

    def unsubscribe(self, streams: Sequence[Stream], request_id: int) -> str: ...

    def ping(self) -> str | None:
        """The application-level ping to send every `client_ping_interval_s`."""

    def decode_binary(self, frame: bytes) -> bytes:
        """The text of a binary frame (HTX: gunzip). Raises UnparsableFrame where the venue sends none."""

    def classify(self, frame: bytes) -> Classified:
        """What a frame is, from its envelope only: levels and prices stay undecoded. Never raises on venue data."""

    def snapshot_request(self, symbol: str, levels: int) -> Request:
        """The REST book snapshot with at least `levels` a side (the venue's nearest allowed depth)."""

    def instruments_request(self) -> Request: ...

    def instruments_reply(self, body: bytes) -> Iterable[tuple[str, bytes]]:
        """(symbol, its metadata cut out byte for byte) from the reply. Raises UnparsableFrame."""

    def ban_until_ms(self, status: int, body: bytes) -> int | None:
        """For a refusal: until when (epoch ms) the venue says it bans us, where the body says so."""

    def book_envelope(self, frame: bytes) -> BookEnvelope:
        """Ids of a book frame without its levels. Raises UnparsableFrame."""

    def snapshot_envelope(self, body: bytes) -> SnapshotEnvelope: ...


class BookEnvelope(NamedTuple):
    first_id: int
    last_id: int
    prev_id: int | None
    """Id of the update before it where the venue says so (`pu`, `prev_change_id`, `prevSeqId`)."""
    event_time_us: int
    is_snapshot: bool = False
    """The stream itself delivered a full book (venues that bootstrap in-stream)."""


class SnapshotEnvelope(NamedTuple):
    last_id: int
    event_time_us: int


class BookFrame(NamedTuple):
    """A book frame with its levels, for the processor."""

    envelope: BookEnvelope
    bids: Sequence[Level]
    asks: Sequence[Level]


class SnapshotFrame(NamedTuple):
    envelope: SnapshotEnvelope
    bids: Sequence[Level]
    asks: Sequence[Level]
    limit: int
    """Levels asked for per side, 0 if unknown: a side with fewer is known complete."""


# --- normalise (processors) ------------------------------------------------------------------------


class Context(Struct, frozen=True):
    """What a normaliser may know besides the frame."""

    exchange: str
    market: str
    symbol: str
    recv_time_ns: str
    instrument: Instrument | None = None


Normaliser = Callable[[bytes, Context], Sequence[AnyRecord]]
"""Frame bytes to records; [] is a normal answer. Raises BadData on a frame that cannot be accepted."""


class RestReply(NamedTuple):
    """What a REST reply is and what it says."""

    kind: str
    """The venue's reply by our name for it: `book`, `trade`, `kline`, `instrument`, `time`, `ping`, `error` ..."""
    symbol: str = ""
    records: Sequence[AnyRecord] = ()
    snapshot: SnapshotFrame | None = None
    """Of kind `book`."""
    error: VenueError | None = None
    """Of kind `error`."""


# --- what the venue's streams promise (validation) -------------------------------------------------


@dataclass(frozen=True)
class StreamRules:
    """How to check one channel, see `marketdata.validation`."""

    continuous_ids: bool = False
    """Ids grow by exactly one: a skip is a gap."""
    monotonic_ids: bool = False
    """Ids only grow; an id at or below the last is a duplicate or late."""
    max_ahead_ms: int = 10_000
    """How far a record's time may lie ahead of the venue's clock."""


@dataclass(frozen=True)
class Venue:
    """One exchange's market segment."""

    exchange: str
    market: Literal["spot", "perp", "future", "option"]
    protocol: VenueProtocol
    normalisers: Mapping[str, Normaliser]
    """By channel, also those of kinds we recognise and do not subscribe to. `book` is `parse_book`'s."""
    parse_instrument: Callable[[bytes, Context], Instrument]
    """From the bytes of an `instrument` raw record."""
    rules: Mapping[str, StreamRules]
    book_sync: Callable[[], SequenceRules]
    """A fresh set of sequence rules for one book."""
    parse_book: Callable[[bytes], BookFrame]
    parse_snapshot: Callable[[bytes], SnapshotFrame]
    read_rest: Callable[[str, bytes, Context], RestReply]
    """(path with query or "" if unknown, body, context) of any REST reply. Raises BadData. The symbol is the query's
    where it has one, then the context's, then the reply's own."""
    recordings: tuple[str, ...]
    """Folders of recorded frames that are this venue's: the last parts of their path, like `binance/spot`."""
    kline_source: Literal["trade", "agg_trade"] = "trade"
    """Which trades the venue's own candles are made of, when both are captured."""
    verify_checksum: Callable[[BookFrame, LevelBook], bool | None] | None = None
    """Compares the frame's checksum with the book after it; None where that frame carries none."""
