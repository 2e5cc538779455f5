"""The contract between the server and a venue's protocol: dialects, their sessions, and what both are given.

The server owns sockets, HTTP, timers, faults and who gets which frame. A dialect owns one venue segment's paths, words
and numbers, and is pure but for reading its market and store. Each dialect has a hub of its own: stream names need to
be unique within a dialect only.

    handshake    Dialect.open(path, query, number) -> Session, or None: no such path
    then         Session.greeting() is sent; streams of the address are joined
    message      Session.handle(data, now_s) -> reply payloads, sent at once; a raised `Close` ends the connection
    new streams  Dialect.joined(stream) -> payloads sent after the replies, then the stream flows; None: the stream
                 starts when the publisher calls `Hub.admit(stream, payload)`, for books whose first frame must fit
                 the update after it (see there)
    timers       Session.tick(now_s, pushed_s, heard_s) -> payloads due, or `Close`
    market       Dialect.sink hears every event and calls `Hub.publish(stream, make)`
    REST         Dialect.rest(request) -> Reply, its limits included
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from runtime.config.simulator import Simulator
from simulator.faults import Fault, Faults
from simulator.forms import Form
from simulator.hub import Hub
from simulator.market.instruments import Instrument
from simulator.market.market import Market
from simulator.market.symbol import Sink
from simulator.rest_params import Reply
from simulator.store import Store

CUT = 1006
"""Of `Close`: the TCP connection ends without a close frame."""


class Close(Exception):
    """The venue ends the connection with this WebSocket close code and reason."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


@dataclass(frozen=True)
class Limits:
    """What the server enforces for every connection of a dialect. 0: no limit, no pings."""

    messages_per_s_max: int = 0
    """Client to server, WebSocket pings and pongs counted; more: closed with 1008."""
    connection_attempts_max: int = 0
    """Per IP in `connection_attempts_window_s`; more: 429."""
    connection_attempts_window_s: float = 300.0
    connections_max: int = 0
    """Open WebSockets and HTTP requests in flight per IP; one more of either: 429."""
    ping_interval_s: float = 0.0
    """WebSocket ping frames. Heartbeats made of messages come from `Session.tick`."""
    pong_timeout_s: float = 60.0
    max_age_s: float = 0.0


class Request(NamedTuple):
    """A REST request; `path` is without the dialect's prefix and starts with a slash."""

    method: str
    path: str
    values: dict[str, str]
    """The query, decoded; of a repeated name the last."""
    body: bytes
    ip: str


class Session(Protocol):
    """What one connection asked for. Pure: times are given."""

    streams: dict[str, None]
    """Names in the dialect's hub. The server compares before and after `handle`. Names nobody publishes stay silent."""
    form: Form
    """How payloads become frames; may be exchanged in `handle` (Binance's `combined`)."""

    def greeting(self) -> list[bytes]:
        """Sent when the connection is open."""

    def handle(self, data: bytes, now_s: float) -> list[bytes]:
        """Replies to a message (text or binary). Changes `streams`. Raises Close."""

    def tick(self, now_s: float, pushed_s: float, heard_s: float) -> list[bytes]:
        """Called about once a second; when something was last sent to the client and last heard from it (messages,
        not WebSocket pings) is given, of the same monotonic clock. Heartbeats that are due. Raises Close."""

    def shutdown_notice(self, now_ms: int) -> bytes | None:
        """What the venue says before it closes for a restart (fault `shutdown`); None: nothing."""


class Dialect(Protocol):
    """One venue segment under its prefix."""

    limits: Limits

    @property
    def sink(self) -> Sink:
        """Hears the market's events and publishes them."""

    def open(self, path: str, query: str, number: int) -> Session | None:
        """The session of a handshake; `path` without the prefix, `number` the connection's. None: no such path.
        Raises Close: refused with status 400."""

    def joined(self, stream: str) -> Sequence[bytes] | None:
        """See the module; called for each stream new to a connection."""

    async def rest(self, request: Request) -> Reply:
        """Takes the fault `rest` from `Desk.faults` itself, for its refusals have the venue's form."""

    async def apply(self, fault: Fault) -> int:
        """`sequence_reset`, `stale_snapshot` and `instrument_state` are done by the dialect: how many streams or
        symbols it struck; 0 for what the venue has not."""

    def status(self) -> dict[str, Any]:
        """For GET /sim/status."""

    def sent(self, values: dict[str, str]) -> Any:
        """For GET /sim/sent?venue=NAME&...: what was produced, so that a test can tell exactly what is missing."""


@dataclass
class Desk:
    """What a dialect works with."""

    name: str
    config: Simulator
    hub: Hub
    faults: Faults
    market: Market
    store: Store

    def history_number(self, symbol: str) -> int:
        """The key of a symbol's history in the store."""
        return self.store.saved[symbol].number


@dataclass(frozen=True)
class Segment:
    """A row of `segments.SEGMENTS`."""

    name: str
    """Key of `simulator.venues`, `venue` of faults and of /sim/sent, folder of its state."""
    prefix: str
    """The first part of its paths, as "/okx"."""
    instrument: Callable[[int, str, int], Instrument]
    """(place in the list, symbol in the venue's spelling, seed) -> instrument. Raises ValueError: cannot be one."""
    dialect: Callable[[Desk], Dialect]
    stream_kind: Callable[[str], str]
    """What a stream's frames are counted under in /sim/status."""
