"""How to talk to Binance spot: addresses, requests, limits, and what each frame is.

We use the combined endpoint (`/stream`), where every data frame names its stream: `{"stream":"<name>","data":{..}}`.
On the raw endpoint a bookTicker has neither type nor time and could not be told apart.
Source: https://github.com/binance/binance-spot-api-docs (web-socket-streams.md, rest-api.md; 2026-07-21).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import msgspec
from msgspec import UNSET

from marketdata.errors import ConfigError, UnparsableFrame
from venues.binance import messages as m
from venues.contract import (
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

CHANNEL_STREAMS = {
    "trade": "trade",
    "agg_trade": "aggTrade",
    "book": "depth@100ms",
    "bbo": "bookTicker",
    "kline": "kline_1m",
    "ticker": "ticker",
}
"""Our channels and the part of the venue's stream name after `<symbol>@`."""

SNAPSHOT_WEIGHTS = ((100, 5), (500, 25), (1000, 50), (5000, 250))
"""Weight of `/api/v3/depth` up to each limit, rest-api.md. Asking for the whole step costs nothing more."""

LIMITS = Limits(
    streams_per_connection=1024,
    messages_per_s=4.0,  # the venue disconnects above 5, pongs and network jitter included
    streams_per_request=100,
    connection_attempts_per_5_min=300,
    connection_max_age_s=24 * 3600,
    rotate_after_s=23 * 3600,
    server_ping_interval_s=20.0,
    client_ping_interval_s=None,
    rest_pools={"": RestPool(6000, 60.0)},
    rest_used_weight_header="X-MBX-USED-WEIGHT-1M",
    first_data_timeout_s=30.0,
    # A stream speaks only when something changes: quotes of a thin pair rest for minutes (recorded: RUNEEUR, no quote
    # in 30 s), a candle appears with its first trade.
    silence_timeout_s={
        "book": 120.0,
        "ticker": 120.0,
        "bbo": 300.0,
        "kline": 600.0,
        "trade": 900.0,
        "agg_trade": 900.0,
    },
    quiet_channels=frozenset(("trade", "agg_trade", "bbo", "kline")),
)

_SUFFIX_CHANNELS = (
    (re.compile(r"trade"), "trade"),
    (re.compile(r"aggTrade"), "agg_trade"),
    (re.compile(r"depth(@100ms|@1000ms)?"), "book"),
    (re.compile(r"bookTicker"), "bbo"),
    (re.compile(r"kline_\w+(@\+08:00)?"), "kline"),
    (re.compile(r"ticker"), "ticker"),
    (re.compile(r"ticker_\w+"), "window_ticker"),
    (re.compile(r"miniTicker"), "mini_ticker"),
    (re.compile(r"avgPrice"), "avg_price"),
    (re.compile(r"blockTrade"), "block_trade"),
    (re.compile(r"referencePrice"), "reference_price"),
    (re.compile(r"depth\d+(@100ms|@1000ms)?"), "partial_book"),
    (re.compile(r"depthSnapshot"), "tardis_snapshot"),  # not the venue's: Tardis' re-wrapped REST replies
)

_EVENT_CHANNELS = {
    "trade": ("trade", "trade"),
    "aggTrade": ("agg_trade", "aggTrade"),
    "depthUpdate": ("book", "depth"),
    "24hrTicker": ("ticker", "ticker"),
    "24hrMiniTicker": ("mini_ticker", "miniTicker"),
    "avgPrice": ("avg_price", "avgPrice"),
    "blockTrade": ("block_trade", "blockTrade"),
    "referencePrice": ("reference_price", "referencePrice"),
}

_EVENT_NAMES = {channel: event for event, (channel, _) in _EVENT_CHANNELS.items()} | {"kline": "kline"}

PREFIX = b'{"stream":"'
_PREFIX_LEN = len(PREFIX)
TIME_DIGITS = 13
"""Of a time in milliseconds between 2001 and 2286."""
_CACHE_MAX = 8192
"""Stream names remembered; twice what any of our processes subscribes to. Emptied when full."""
_BANNED_UNTIL = re.compile(rb"banned until (\d{13})")

_envelope = msgspec.json.Decoder(m.Envelope).decode
_payload = msgspec.json.Decoder(m.Payload).decode
_exchange_info = msgspec.json.Decoder(m.ExchangeInfo).decode
_symbol_name = msgspec.json.Decoder(m.SymbolName).decode
_depth_ids = msgspec.json.Decoder(m.DepthFrame).decode
_snapshot_id = msgspec.json.Decoder(m.SnapshotId).decode
_encode = msgspec.json.Encoder().encode


class _Known(NamedTuple):
    """A stream name seen before, and where its frames keep the event time."""

    stream: Stream
    untimed: Data
    head: bytes
    """What follows the name up to the event time's digits, on frames laid out as the venue does; b"" if untimed."""
    head_len: int


def lower_ascii(symbol: str) -> str:
    """Binance lower-cases symbols in stream names. Only ASCII letters, so that it can be undone for any symbol."""
    return symbol.encode().lower().decode()


def upper_ascii(symbol: str) -> str:
    return symbol.encode().upper().decode()


def parse_stream(name: str) -> Stream | None:
    """The stream a name stands for; None when it is of no kind we know. All-market streams have no symbol."""
    if name.startswith("!"):
        base, symbol = name[1:].removesuffix("@arr"), ""
    else:
        symbol, _, base = name.partition("@")
        if not symbol:
            return None
    for pattern, channel in _SUFFIX_CHANNELS:
        if pattern.fullmatch(base):
            return Stream(name, channel, upper_ascii(symbol))
    return None


def _known(stream: Stream) -> _Known:
    event = _EVENT_NAMES.get(stream.channel)
    head = f'","data":{{"e":"{event}","E":'.encode() if event else b""
    return _Known(stream, Data(stream, None), head, len(head))


class BinanceSpotProtocol(PlainProtocol):
    """See `venues.contract.VenueProtocol`."""

    limits = LIMITS

    def __init__(self) -> None:
        self._names: dict[bytes, _Known] = {}

    # --- subscriptions ---

    def streams(self, symbols: Sequence[str], channels: Sequence[str]) -> list[Stream]:
        for channel in channels:
            if channel not in CHANNEL_STREAMS:
                known = ", ".join(CHANNEL_STREAMS)
                raise ConfigError(f"binance spot has no channel {channel!r}; it has {known}")
        return [
            Stream(f"{lower_ascii(symbol)}@{CHANNEL_STREAMS[channel]}", channel, symbol)
            for symbol in symbols
            for channel in channels
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
                stream, untimed, head, head_len = known
                if not head:
                    return untimed
                start = end + head_len
                digits_end = start + TIME_DIGITS
                if frame[end:start] == head and frame[digits_end : digits_end + 1] == b",":
                    try:
                        return Data(stream, int(frame[start:digits_end]))
                    except ValueError:
                        pass
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
            return _classify_bare(_payload(frame))
        except (msgspec.MsgspecError, UnicodeDecodeError) as exc:
            return Unknown(f"not a message of Binance spot: {exc}")

    def _classify_combined(self, name: str, data: msgspec.Raw) -> Classified:
        if name == "!serverShutdown":
            return Notice("shutdown", bytes(data).decode(errors="replace"))
        stream = parse_stream(name)
        if stream is None:
            return Unknown(f"stream {name[:100]!r} is of no kind we know")
        if bytes(data).startswith(b"["):  # all-market arrays carry many symbols: no single stream
            return Data(stream, None)
        payload = _payload(data)
        if not stream.symbol:
            return Data(stream._replace(symbol=payload.s), payload.E)
        self._remember(name, stream)
        return Data(stream, payload.E)

    def _remember(self, name: str, stream: Stream) -> None:
        if len(self._names) >= _CACHE_MAX:
            self._names.clear()
        self._names[_encode(name)[1:-1]] = _known(stream)

    # --- REST ---

    def snapshot_request(self, symbol: str, levels: int) -> Request:
        limit, weight = next((step for step in SNAPSHOT_WEIGHTS if levels <= step[0]), SNAPSHOT_WEIGHTS[-1])
        return Request("/api/v3/depth", {"symbol": symbol, "limit": str(limit)}, weight, limit)

    def instruments_request(self) -> Request:
        """Without permission sets, which are most of the reply's megabytes and say nothing about the instrument."""
        return Request("/api/v3/exchangeInfo", {"showPermissionSets": "false"}, 20)

    def instruments_reply(self, body: bytes) -> Iterable[tuple[str, bytes]]:
        try:
            return list(self._cut_instruments(body))
        except msgspec.MsgspecError as exc:
            raise UnparsableFrame(f"not an exchangeInfo reply of Binance spot: {exc}") from None

    def _cut_instruments(self, body: bytes) -> Iterator[tuple[str, bytes]]:
        for entry in _exchange_info(body).symbols:
            yield _symbol_name(entry).symbol, bytes(entry)

    def ban_until_ms(self, status: int, body: bytes) -> int | None:
        """`{"code":-1003,"msg":"Way too much request weight used; IP banned until 1659146400000. .."}` with 418/429."""
        found = _BANNED_UNTIL.search(body) if status in (403, 418, 429) else None
        return int(found[1]) if found else None

    def book_envelope(self, frame: bytes) -> BookEnvelope:
        try:
            ids = _depth_ids(frame).data
        except (msgspec.MsgspecError, UnicodeDecodeError) as exc:
            raise UnparsableFrame(f"not a depthUpdate of Binance spot: {exc}") from None
        return BookEnvelope(ids.U, ids.u, None, ids.E * 1000)

    def snapshot_envelope(self, body: bytes) -> SnapshotEnvelope:
        """A REST snapshot has no time of its own: event_time_us is 0."""
        try:
            return SnapshotEnvelope(_snapshot_id(body).lastUpdateId, 0)
        except (msgspec.MsgspecError, UnicodeDecodeError) as exc:
            raise UnparsableFrame(f"not a depth reply of Binance spot: {exc}") from None


def _request_id(value: object) -> int | None:
    """Ours are positive integers; the venue may also quote null or a string of someone else's."""
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _classify_bare(payload: m.Payload) -> Classified:
    """A payload without its stream name, as the raw endpoint sends it."""
    if payload.e == "serverShutdown":
        return Notice("shutdown", f"at {payload.E}")
    symbol = lower_ascii(payload.s)
    if payload.e == "kline" and payload.k is not None and symbol:
        return Data(Stream(f"{symbol}@kline_{payload.k.i}", "kline", payload.s), payload.E)
    if payload.e in _EVENT_CHANNELS and symbol:
        channel, suffix = _EVENT_CHANNELS[payload.e]
        return Data(Stream(f"{symbol}@{suffix}", channel, payload.s), payload.E)
    if not payload.e and symbol and payload.u is not None and payload.B is not None:
        return Data(Stream(f"{symbol}@bookTicker", "bbo", payload.s), None)
    if payload.e:
        return Unknown(f"event {payload.e[:100]!r} is of no kind we know")
    return Unknown("neither a stream, an ack, an error nor an event")
