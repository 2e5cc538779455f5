"""What the protocols of Binance's segments share: the combined endpoint, its control messages, its kinds of frames.

On the combined endpoint (`/stream`) every data frame names its stream: `{"stream":"<name>","data":{..}}`. On the raw
one a spot bookTicker has neither type nor time, and partial and diff depth of the futures look alike.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import msgspec
from msgspec import UNSET, Raw

from marketdata.codec import UNDECODABLE
from marketdata.errors import BadData, ConfigError, UnparsableFrame
from venues.binance import messages as m
from venues.binance import replies
from venues.contract import (
    EVERY_SYMBOL,
    Ack,
    BookEnvelope,
    Classified,
    Data,
    Limits,
    Notice,
    Request,
    RestPool,
    SnapshotEnvelope,
    Stream,
    Unknown,
    VenueError,
)  # fmt: skip
from venues.defaults import PlainProtocol
from venues.names import lower_ascii, upper_ascii

PREFIX = b'{"stream":"'
_PREFIX_LEN = len(PREFIX)
TIME_DIGITS = 13
"""Of a time in milliseconds between 2001 and 2286."""
_TIME_KEY = b'"E":'
_CACHE_MAX = 8192
"""Stream names remembered; twice what any of our processes subscribes to. Emptied when full."""
_BANNED_UNTIL = re.compile(rb"banned until (\d{13})")

_envelope = msgspec.json.Decoder(m.Envelope).decode
_payload = msgspec.json.Decoder(m.Payload).decode
_payloads = msgspec.json.Decoder(list[m.Payload]).decode
_depth_ids = msgspec.json.Decoder(m.DepthFrame).decode
_bare_depth_ids = msgspec.json.Decoder(m.DepthIds).decode
_snapshot_id = msgspec.json.Decoder(m.SnapshotId).decode
_error = msgspec.json.Decoder(m.VenueErrorBody).decode
_encode = msgspec.json.Encoder().encode


class Kind(NamedTuple):
    """One of the venue's streams: what its name matches after `<symbol>@` (or `!`), and what it is to us."""

    pattern: re.Pattern[str]
    channel: str
    event: str
    """The type (`e`) with which its payloads begin, before the event time; "" where they begin otherwise."""
    route: str
    """First part of the path that serves it; "" where there is only one address."""
    timed: bool
    """Its payloads have an event time, somewhere."""


def kind(pattern: str, channel: str, event: str = "", route: str = "", timed: bool = False) -> Kind:
    return Kind(re.compile(pattern), channel, event, route, timed or bool(event))


class _Known(NamedTuple):
    """A stream name seen before, and where its frames keep the event time."""

    stream: Stream
    untimed: Data
    head: bytes
    """What follows the name up to the event time's digits, on frames laid out as the venue does; b"" if elsewhere."""
    head_len: int
    timed: bool


class CombinedProtocol(PlainProtocol):
    """See `venues.contract.VenueProtocol`. A segment states its tables and its REST paths."""

    limits: Limits
    title: str
    """The segment's name in errors."""
    channels: Mapping[str, str]
    """Our channels and the part of the venue's stream name after `<symbol>@`. Two channels may share a stream."""
    aliases: Mapping[str, str] = MappingProxyType({})
    """Channels that arrive inside another one's frames."""
    polled: frozenset[str] = frozenset()
    """Channels that only REST has."""
    kinds: tuple[Kind, ...]
    bare_suffixes: Mapping[str, str]
    """By event type: the stream name's part after `<symbol>@`, for payloads that come without their stream's name."""

    def __init__(self) -> None:
        self._names: dict[bytes, _Known] = {}

    def owns(self, symbol: str) -> bool:
        """Whether a symbol, by its spelling, is of this segment."""
        return bool(symbol)

    # --- subscriptions ---

    def streams(self, symbols: Sequence[str], channels: Sequence[str]) -> list[Stream]:
        wanted: dict[str, None] = {}
        for channel in channels:
            name = self.aliases.get(channel, channel)
            if name in self.channels:
                wanted[name] = None
            elif name not in self.polled:
                known = ", ".join((*self.channels, *self.aliases, *sorted(self.polled)))
                raise ConfigError(f"{self.title} has no channel {channel!r}; it has {known}")
        return [
            Stream(f"{lower_ascii(symbol)}@{self.channels[channel]}", channel, symbol)
            for symbol in symbols
            for channel in wanted
        ]

    def connection_url(self, ws_url: str, streams: Sequence[Stream]) -> str:  # noqa: ARG002  one address for all
        """The combined endpoint, without streams: they are subscribed by message, so that each one is acknowledged."""
        return ws_url.rstrip("/") + "/stream"

    def subscribe(self, streams: Sequence[Stream], request_id: int) -> str:
        return self._request("SUBSCRIBE", streams, request_id)

    def unsubscribe(self, streams: Sequence[Stream], request_id: int) -> str:
        return self._request("UNSUBSCRIBE", streams, request_id)

    def _request(self, method: str, streams: Sequence[Stream], request_id: int) -> str:
        return _encode({"method": method, "params": [s.name for s in streams], "id": request_id}).decode()

    # --- frames ---

    def classify(self, frame: bytes) -> Classified:
        """What a frame is. Data frames laid out as the venue writes them are told by slicing alone."""
        if frame.startswith(PREFIX):
            end = frame.find(b'"', _PREFIX_LEN)
            known = self._names.get(frame[_PREFIX_LEN:end])
            if known is not None:
                stream, untimed, head, head_len, timed = known
                if head:
                    start = end + head_len
                    digits_end = start + TIME_DIGITS
                    if frame[end:start] == head and frame[digits_end : digits_end + 1] == b",":
                        try:
                            return Data(stream, int(frame[start:digits_end]))
                        except ValueError:
                            pass
                elif not timed:
                    return untimed
                else:
                    start = frame.find(_TIME_KEY, end) + len(_TIME_KEY)
                    digits = frame[start : start + TIME_DIGITS]
                    if digits.isdigit() and frame[start + TIME_DIGITS : start + TIME_DIGITS + 1] in (b",", b"}"):
                        return Data(stream, int(digits))
        return self._classify_decoded(frame)

    def _classify_decoded(self, frame: bytes) -> Classified:
        """The exact way: for first sights, other layouts, and everything that is not data."""
        try:
            envelope = _envelope(frame)
            if envelope.stream is not UNSET and envelope.data is not UNSET:
                return self._classify_combined(envelope.stream, envelope.data)
            if envelope.error is not UNSET:
                return VenueError(_request_id(envelope.id), str(envelope.error.code), envelope.error.msg)
            if envelope.code is not UNSET:
                return VenueError(_request_id(envelope.id), str(envelope.code), envelope.msg or "")
            if envelope.result is not UNSET:
                request_id = _request_id(envelope.id)
                return Unknown("an ack without a request id of ours") if request_id is None else Ack(request_id)
            if envelope.serverTime is not UNSET:
                return Notice("server_time", str(envelope.serverTime))
            return self._classify_bare(_payload(frame))
        except UNDECODABLE as exc:
            return Unknown(f"not a message of {self.title}: {exc}")

    def _classify_combined(self, name: str, data: Raw) -> Classified:
        if name == "!serverShutdown":
            return Notice("shutdown", bytes(data).decode(errors="replace"))
        found = self.parse_stream(name)
        if found is None:
            return Unknown(f"stream {name[:100]!r} is of no kind we know")
        stream, of = found
        if bytes(data).startswith(b"["):  # many symbols at once
            entries = _payloads(data)
            symbols = tuple(dict.fromkeys(symbol for entry in entries if self.owns(symbol := entry.symbol)))
            return Data(stream._replace(symbol=EVERY_SYMBOL), entries[0].E if entries else None, symbols)
        payload = _payload(data)
        if (notice := self.notice(payload)) is not None:
            return notice
        if not stream.symbol:
            return Data(stream._replace(symbol=payload.symbol), payload.E)
        self._remember(name, stream, of)
        return Data(stream, payload.E)

    def _classify_bare(self, payload: m.Payload) -> Classified:
        """A payload without its stream name, as the raw endpoint sends it."""
        if payload.e == "serverShutdown":
            return Notice("shutdown", f"at {payload.E}")
        if (notice := self.notice(payload)) is not None:
            return notice
        name = lower_ascii(payload.symbol)
        if payload.e in self.bare_suffixes and name:
            interval = payload.k.get("i", "") if isinstance(payload.k, dict) else ""
            found = self.parse_stream(f"{name}@{self.bare_suffixes[payload.e]}{interval}")
            if found is not None:
                return Data(found[0], payload.E)
        if not payload.e and name and payload.u is not None and payload.B is not None:
            return Data(Stream(f"{name}@bookTicker", "bbo", payload.s), None)
        if payload.e:
            return Unknown(f"event {payload.e[:100]!r} is of no kind we know")
        return Unknown("neither a stream, an ack, an error nor an event")

    def notice(self, payload: m.Payload) -> Notice | None:  # noqa: ARG002
        """What a payload tells about the market as a whole."""
        return None

    def parse_stream(self, name: str) -> tuple[Stream, Kind] | None:
        """The stream a name stands for; None when it is of no kind we know. All-market streams have no symbol."""
        if name.startswith("!"):
            base, symbol = name[1:].partition("@arr")[0], ""
        else:
            symbol, _, base = name.partition("@")
            if not symbol:
                return None
        for of in self.kinds:
            if of.pattern.fullmatch(base):
                return Stream(name, of.channel, upper_ascii(symbol)), of
        return None

    def _remember(self, name: str, stream: Stream, of: Kind) -> None:
        if len(self._names) >= _CACHE_MAX:
            self._names.clear()
        head = f'","data":{{"e":"{of.event}","E":'.encode() if of.event else b""
        self._names[_encode(name)[1:-1]] = _Known(stream, Data(stream, None), head, len(head), of.timed)

    # --- REST ---

    def instruments_reply(self, body: bytes) -> Iterable[tuple[str, bytes]]:
        return [(symbol, entry) for symbol, entry in replies.instruments(body) if self.owns(symbol)]

    def rest_limits(self, body: bytes) -> Mapping[str, RestPool]:
        return replies.request_weight(body)

    def volume_reply(self, body: bytes) -> Iterable[tuple[str, str]]:
        return [(symbol, turnover) for symbol, turnover in replies.turnovers(body) if self.owns(symbol)]

    def poll_reply(self, request: Request, body: bytes) -> Iterable[tuple[str, bytes]]:
        """The whole body, for the symbol asked about. Raises BadData (`refused`) on the venue's error."""
        if body.lstrip()[:1] == b"{":
            try:
                error = _error(body)
            except UNDECODABLE:
                pass  # has no code: data
            else:
                raise BadData("refused", f"{request.path}: {error.code} {error.msg}")
        return [(self.symbol_of(request.query), body)]

    def symbol_of(self, query: Mapping[str, str]) -> str:
        """The symbol a REST query is about; "" where it is about none, or many."""
        return query.get("symbol", "")

    def ban_until_ms(self, status: int, body: bytes) -> int | None:
        """`{"code":-1003,"msg":"Way too much request weight used; IP banned until 1659146400000. .."}` with 418/429."""
        found = _BANNED_UNTIL.search(body) if status in (403, 418, 429) else None
        return int(found[1]) if found else None

    def book_envelope(self, frame: bytes) -> BookEnvelope:
        try:
            ids = _depth_ids(frame).data if b'"stream"' in frame else _bare_depth_ids(frame)
        except UNDECODABLE as exc:
            raise UnparsableFrame(f"not a depthUpdate of {self.title}: {exc}") from None
        return BookEnvelope(ids.U, ids.u, ids.pu, ids.E * 1000)

    def snapshot_envelope(self, body: bytes) -> SnapshotEnvelope:
        """A spot snapshot has no time of its own: event_time_us is 0."""
        try:
            snapshot = _snapshot_id(body)
        except UNDECODABLE as exc:
            raise UnparsableFrame(f"not a depth reply of {self.title}: {exc}") from None
        return SnapshotEnvelope(snapshot.lastUpdateId, snapshot.E * 1000)


def weight_of(levels: int, steps: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """(limit, weight) of the first step with as many levels, else of the last. `steps` holds such pairs, ascending."""
    return next((step for step in steps if levels <= step[0]), steps[-1])


def _request_id(value: object) -> int | None:
    """Ours are positive integers; the venue may also quote null or a string of someone else's."""
    return value if isinstance(value, int) and not isinstance(value, bool) else None
