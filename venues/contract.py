"""What a venue is to the rest of the system: pure functions and small state machines, no I/O, no clock.

A venue is one folder with `protocol` (URLs, requests, acks, pings, limits), `messages` (wire shapes), `normalise`
(frames to records) and `book_sync` (sequence rules), and exports one `Venue` object that `venues.VENUES` lists.
Ingest uses `protocol` and `book_sync`; processors use `normalisers` and `book_sync`; conformance uses all of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Literal, NamedTuple, Protocol

from msgspec import Struct

from marketdata.book import LevelBook
from marketdata.book_feed import SequenceRules
from marketdata.errors import UnparsableFrame
from marketdata.types import AnyRecord, Instrument, Level, Market

# --- streams and frames (ingest) -------------------------------------------------------------------


EVERY_SYMBOL = "*"
"""The symbol of a stream, or of a poll, that carries many symbols at once."""


class Stream(NamedTuple):
    """One subscription: the venue's own name for it, our channel, and the symbol it is about."""

    name: str
    channel: str
    symbol: str
    """EVERY_SYMBOL where the venue offers the channel only for many symbols at once."""


class Data(NamedTuple):
    """A frame that carries market data of one stream."""

    stream: Stream
    event_time_ms: int | None
    """The venue's clock in the frame, where it has one: moves the heartbeat's clock."""
    symbols: tuple[str, ...] = ()
    """Of a stream for EVERY_SYMBOL: whose data the frame holds. It is recorded, whole, under each of them that is
    captured; its normaliser takes what is of the context's symbol."""


class Ack(NamedTuple):
    """The venue took a request, or (`names`) these streams of it."""

    request_id: int | None
    """None: the ack does not quote it; `names` then say what it is about."""
    names: tuple[str, ...] | None = None
    """Names of the streams acknowledged; None: all that the request named."""
    final: bool = False
    """With `names`: nothing more comes; a stream of the request that is not named was dropped without a word."""


class VenueError(NamedTuple):
    """The venue refused a request (request_id None: it did not say which), or (`names`) these streams of it."""

    request_id: int | None
    code: str
    message: str
    names: tuple[str, ...] = ()


class Reply(NamedTuple):
    """An application-level ping: send these bytes back at once."""

    payload: bytes | str


class Alive(NamedTuple):
    """A sign of life that says nothing else: the answer to our ping, the venue's heartbeat."""


class Notice(NamedTuple):
    """Something the venue tells about itself.

    `shutdown`: open a replacement connection first, then leave this one. `instruments`: metadata changed, ask for them
    again. Other kinds are only recorded.
    """

    kind: str
    detail: str


class Unknown(NamedTuple):
    """A frame we cannot attribute; kept in md.dead_letter."""

    reason: str


Classified = Data | Ack | VenueError | Reply | Alive | Notice | Unknown


class Request(NamedTuple):
    """A REST call: path and query relative to the venue's REST base, with its cost in the venue's weight units."""

    path: str
    query: Mapping[str, str]
    weight: int
    levels: int = 0
    """Of a book snapshot: levels per side the reply is cut at. A side with fewer is whole."""
    pool: str = ""
    """Which of `Limits.rest_pools` pays the weight."""


class RestPool(NamedTuple):
    """So much weight in any so many seconds, per address, as the venue counts it."""

    weight: int
    window_s: float


class Poll(NamedTuple):
    """Something the venue offers by REST alone: asked for again and again, each reply a `poll` record of the log."""

    channel: str
    symbol: str
    """EVERY_SYMBOL: one reply holds many symbols (`VenueProtocol.poll_reply` takes it apart)."""
    request: Request
    interval_s: float
    """How often it is worth asking; where the budget does not allow that, all polls of the pool take turns."""


class BookRecovery(Enum):
    """How a book without an anchor gets one."""

    REST = "rest"
    """A REST snapshot (`snapshot_request`), joined with the stream by ids."""
    RESUBSCRIBE = "resubscribe"
    """The stream's first frame after a subscription is the whole book: unsubscribe, await the ack, subscribe."""
    REQUEST = "request"
    """A message on the same connection (`book_request`) is answered by a frame of the book's stream that holds the
    whole book. Sent only after a first update has come."""


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
    """We send `VenueProtocol.ping` when nothing came for this long. None: none wanted."""
    rest_pools: Mapping[str, RestPool]
    """By name; "" is the one that pays where a request names no other."""
    first_data_timeout_s: float
    """A subscribed stream that never delivered a frame by then counts as not subscribed (channels that may be quiet
    for long are listed in `quiet_channels`)."""
    silence_timeout_s: Mapping[str, float] = field(default_factory=dict)
    """Per channel: how long an open stream may be silent before its connection counts as broken. Missing: never. A
    `book` of which nothing was said for longer is published as stale."""
    quiet_channels: frozenset[str] = frozenset()
    rest_used_weight_header: str | None = None
    """Header of REST replies that counts the weight used this minute, of pool "", by everyone behind our address."""
    rest_left_header: str | None = None
    """Header of REST replies that counts how many more requests the request's pool has left, for everyone behind our
    address."""
    rest_account: str = ""
    """The venue counts REST requests to all addresses of this name together. "": each address has its own budgets."""
    idle_timeout_s: float | None = None
    """No frame of any kind (data, pings, answers to ours) for this long means a dead connection. None: not judged."""
    requests_per_hour: int | None = None
    """Subscribe and unsubscribe requests one connection may send in any hour. None: no such limit."""
    symbols_per_book_connection: int | None = None
    """Books one connection should carry at most, where the venue advises it."""


class VenueProtocol(Protocol):
    """How to talk to the venue."""

    limits: Limits
    recovery: BookRecovery
    recovery_fallback: BookRecovery | None
    """What to do where the stream began with an update although `recovery` expects a whole book, or where it brought
    none several times. None: go on trying."""

    def streams(self, symbols: Sequence[str], channels: Sequence[str]) -> list[Stream]:
        """The streams for these symbols and channels, each once. Raises ConfigError on a channel the venue has not.

        A channel that arrives inside another one's frames gives that one's stream (Binance `funding` gives the mark
        price stream); one that is polled gives none; one shared by all symbols gives one for EVERY_SYMBOL.
        """

    def polls(self, symbols: Sequence[str], channels: Sequence[str]) -> list[Poll]:
        """What to ask by REST for these symbols and channels."""

    def poll_reply(self, request: Request, body: bytes) -> Iterable[tuple[str, bytes]]:
        """(symbol, its part of the reply byte for byte) of a poll's reply; the request's own symbol and the whole body
        where it is about one. Raises BadData where the body says that it is no answer."""

    def market_streams(self) -> list[Stream]:
        """Streams about the market as a whole that tell when metadata change (channel `instrument`): their frames
        classify as Notice `instruments` and stand in raw.control."""

    def greeting(self) -> Sequence[str]:
        """Messages to send when a connection is open, before anything else."""

    def connection_url(self, ws_url: str, streams: Sequence[Stream]) -> str:
        """Address to open for these streams (all on one route)."""

    def route(self, stream: Stream) -> str:
        """Streams with different routes cannot share a connection ("" where there is only one)."""

    def subscribe(self, streams: Sequence[Stream], request_id: int) -> str: ...

    def unsubscribe(self, streams: Sequence[Stream], request_id: int) -> str: ...

    def ping(self) -> str | None:
        """The application-level ping to send after `client_ping_interval_s` without a frame."""

    def book_request(self, stream: Stream, request_id: int) -> str:
        """For `BookRecovery.REQUEST`: the message that asks for the whole book of this stream."""

    def decode_binary(self, frame: bytes) -> bytes:
        """The text of a binary frame (HTX: gunzip). Raises UnparsableFrame where the venue sends none."""

    def classify(self, frame: bytes) -> Classified:
        """What a frame is, from its envelope only: levels and prices stay undecoded. Never raises on venue data."""

    def snapshot_request(self, symbol: str, levels: int) -> Request:
        """The REST book snapshot with at least `levels` a side (the venue's nearest allowed depth)."""

    def volume_request(self) -> Request | None:
        """The REST call that tells the 24 h turnover of every symbol. None: the venue has none."""

    def volume_reply(self, body: bytes) -> Iterable[tuple[str, str]]:
        """(symbol, turnover in quote currency as a decimal) of this market's symbols. Raises UnparsableFrame."""

    def instruments_request(self) -> Request: ...

    def instruments_requests(self) -> Sequence[Request]:
        """All requests whose replies together are the market's metadata, where the venue gives them in parts (OKX
        options: by family); else `instruments_request` alone."""

    def instruments_reply(self, body: bytes) -> Iterable[tuple[str, bytes]]:
        """(symbol, its metadata cut out byte for byte) from the reply, of this market's symbols alone. Raises
        UnparsableFrame."""

    def rest_limits(self, body: bytes) -> Mapping[str, RestPool]:
        """What a reply with metadata says of REST pools: the venue may allow less than `limits` has. Nothing where it
        does not say."""

    def ban_until_ms(self, status: int, body: bytes) -> int | None:
        """For a refusal: until when (epoch ms) the venue says it bans us, where the body says so; 0 where it says that
        we are to wait, and not until when."""

    def book_envelope(self, frame: bytes) -> BookEnvelope:
        """Ids of a book frame without its levels. Raises UnparsableFrame."""

    def snapshot_envelope(self, body: bytes) -> SnapshotEnvelope: ...


class BookEnvelope(NamedTuple):
    """Where the venue names one id per update, it is both the first and the last."""

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
    """Prices and quantities in the venue's own spelling and unit (contracts); zero removes a level."""
    asks: Sequence[Level]
    checksum: int | None = None
    """Of the book after this frame, where the venue sends one; see `Venue.verify_checksum`."""


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


def canonical(ctx: Context) -> str:
    """The canonical name of the context's instrument; "" while that is not known."""
    return ctx.instrument.instrument if ctx.instrument is not None else ""


def foreign(symbol: str, ctx: Context) -> UnparsableFrame:
    """A frame that names another symbol than the stream it came on: nothing in it can be trusted."""
    return UnparsableFrame(f"the stream is {ctx.symbol}'s but its payload says {symbol!r}")


class PassedId(NamedTuple):
    """A trade id that is no trade of ours (an insurance fund's print): nothing is missing, nothing is published."""

    record_id: str
    time_us: int
    reason: str


Normaliser = Callable[[bytes, Context], Sequence[AnyRecord | PassedId]]
"""Frame bytes to records; [] is a normal answer. Raises BadData on a frame that cannot be accepted.

One frame may give records of several types. All quantities are in base coin: see `marketdata.units`."""


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
    id_ranges: bool = False
    """With `continuous_ids`: what chains is `first_trade_id`..`last_trade_id` of one trade to those of the next."""
    passes_ids: bool = False
    """With `continuous_ids`: some ids are no trades (`PassedId`), so that a skip in md.trade which no gap announces is
    nothing missing."""
    closed_by_next: bool = False
    """Of candles: the venue does not say when one is closed; it is when the next one begins."""
    monotonic_ids: bool = False
    """Ids only grow; an id at or below the last is a duplicate or late."""
    confirms_jumps: bool = True
    """Of trades: a price ten times off the last one waits for another to confirm it, see `marketdata.trade_flow`. False
    where prices are worth few ticks, so that they jump by right (options)."""
    max_ahead_ms: int = 10_000
    """How far a record's time may lie ahead of the venue's clock."""


@dataclass(frozen=True)
class Venue:
    """One exchange's market segment."""

    exchange: str
    market: Market
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
    """Folders of recorded frames that may hold this venue's: the last parts of their path, like `binance/spot`. Several
    markets of an exchange may name one folder: `owns` tells whose a frame is."""
    owns: Callable[[str], bool] = lambda symbol: bool(symbol)
    """Whether a symbol, by its spelling, is of this market: tells the markets apart that share a protocol."""
    unit_channels: frozenset[str] = frozenset()
    """Channels whose quantities are not in base coin on the wire: nothing can be said of them without the instrument's
    metadata. Ingest subscribes them only when it has these; normalisers raise BadData `no_instrument` without. With
    `book` in it the book processor converts the levels that `parse_book` and `parse_snapshot` give."""
    tradable: frozenset[str] = frozenset(("TRADING", "live", "online", "open", "1"))
    """Statuses (`Instrument.status`) of symbols that can be traded now; the default knows the words of all venues."""
    read_poll: Callable[[str, bytes, Context], Sequence[AnyRecord]] | None = None
    """(path with query, one symbol's part of the reply, context) of a `poll` record. Raises BadData."""
    book_depth: int = 0
    """Levels a side the stream keeps up to date: those that fall out are not removed by the venue but by us, after each
    frame. 0: the venue removes all itself."""
    kline_source: Literal["trade", "agg_trade"] = "trade"
    """Which trades the venue's own candles are made of, when both are captured."""
    verify_checksum: Callable[[BookFrame, LevelBook], bool | None] | None = None
    """Compares the frame's checksum with the book (in the venue's own spelling and unit) after it; None where that
    frame carries none. A mismatch makes the book invalid."""

    @property
    def converts_books(self) -> bool:
        """Whether the levels on the wire are not in base coin."""
        return "book" in self.unit_channels

    @property
    def joins_stream_books(self) -> bool:
        """Whether a whole book on the socket is an answer of its own, to be joined with the updates by ids, rather than
        a part of the stream from which the updates go on."""
        return self.protocol.recovery is BookRecovery.REQUEST
