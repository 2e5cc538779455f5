"""How to talk to OKX v5: addresses, requests, limits, and what each frame is.

A subscription is an `arg` object; every data frame begins with its own, `{"arg":{"channel":..,"instId":..},..`. The
venue acknowledges each arg by itself, quoting the request's id, and refuses with an error event that names the arg in
its text at best. Source: https://www.okx.com/docs-v5/en/ (overview, error codes; copies of March to August 2026).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

import msgspec
from msgspec import UNSET

from marketdata.codec import UNDECODABLE
from marketdata.decimals import plain, to_text, to_units
from marketdata.errors import ConfigError, UnparsableFrame
from venues.contract import (
    EVERY_SYMBOL,
    Ack,
    Alive,
    BookEnvelope,
    BookRecovery,
    Classified,
    Data,
    Limits,
    Notice,
    Poll,
    Request,
    RestPool,
    SnapshotEnvelope,
    Stream,
    Unknown,
    VenueError,
)  # fmt: skip
from venues.defaults import PlainProtocol
from venues.okx import messages as m
from venues.okx.book_frames import book_envelope, snapshot_envelope
from venues.okx.polls import STATISTICS, long_short_polls, read_rows
from venues.okx.streams import (
    CHANNEL_STREAMS,
    POLLED,
    PUBLIC,
    arg_of,
    name_of,
    route_of,
    stream_of,
    symbol_stream,
)
from venues.okx.symbols import INST_TYPES, OkxMarket, find_market

BOOK_LEVELS: Final = 400
"""A side of `books` and of `/api/v5/market/books`."""
OPTION_FAMILIES: Final = ("BTC-USD", "ETH-USD")
"""The venue lists options by family alone, one request each."""

LIMITS = Limits(
    streams_per_connection=240,  # the venue publishes no number, only the close codes 4008 and 4009
    messages_per_s=2.0,
    streams_per_request=200,  # 64 KB of args a request; ours stay below 100 bytes each
    connection_attempts_per_5_min=300,  # 3 a second and address, which several markets share
    connection_max_age_s=24 * 3600,  # none is documented; the venue announces upgrades instead
    rotate_after_s=23 * 3600,
    server_ping_interval_s=None,
    client_ping_interval_s=20.0,  # the venue closes a socket that was silent for 30 s
    rest_pools={
        "": RestPool(20, 2.0),
        "books": RestPool(40, 2.0),
        "tickers": RestPool(20, 2.0),
        "instruments": RestPool(20, 2.0),
        **{statistic.pool: RestPool(5, 2.0) for statistic in STATISTICS},
    },
    first_data_timeout_s=75.0,  # without a snapshot in the stream a quiet book first speaks after about 60 s
    # Books say that nothing changed after about 60 s, mark prices come every 10 s, funding rates every 90 s. Of the
    # other channels an illiquid contract may be silent for days: a dead socket is known by its missing pong.
    silence_timeout_s={"book": 90.0, "mark_price": 90.0, "funding": 400.0},
    quiet_channels=frozenset(
        ("trade", "agg_trade", "bbo", "kline", "ticker", "funding", "open_interest", "liquidation", "instrument")
    ),
    idle_timeout_s=45.0,
    requests_per_hour=480,
    symbols_per_book_connection=25,  # the venue recommends fewer than 30
)

HEAD: Final = b'{"arg":{'
_HEAD_LEN: Final = len(HEAD)
_BODIES: Final = (b'},"data":[{', b'},"action":"')
"""What follows the arg in frames laid out as the venue writes them."""
_TIME: Final = b'"ts":"'
_TIME_LEN: Final = len(_TIME)
TIME_DIGITS: Final = 13
"""Of a time in milliseconds between 2001 and 2286."""
_CACHE_MAX: Final = 8192
"""Args remembered; more than any of our processes subscribes to. Emptied when full."""

_UNTIMED: Final = frozenset(("kline", "price_kline"))
"""Rows without the venue's clock: their time is the candle's."""
_NAMED = re.compile(r"channel:([\w-]+)(?:,(?:instId|instType|instFamily|uly):([\w.-]+))?")

_envelope = msgspec.json.Decoder(m.Envelope).decode
_row = msgspec.json.Decoder(m.Row).decode
_liquidated = msgspec.json.Decoder(m.Frame[m.Row]).decode
_reply = msgspec.json.Decoder(m.Reply[msgspec.Raw]).decode
_volumes = msgspec.json.Decoder(m.Reply[m.VolumeMsg]).decode
_encode = msgspec.json.Encoder().encode


class _Known(NamedTuple):
    """The stream of an arg seen before, and whether its frames tell the venue's time."""

    stream: Stream
    untimed: Data
    is_timed: bool


class OkxProtocol(PlainProtocol):
    """See `venues.contract.VenueProtocol`. One market's; `classify` understands the frames of all."""

    limits = LIMITS
    recovery = BookRecovery.RESUBSCRIBE
    recovery_fallback: BookRecovery | None = BookRecovery.REST

    def __init__(self, market: OkxMarket) -> None:
        self.market = market
        self._known: dict[bytes, _Known] = {}

    # --- subscriptions ---

    def streams(self, symbols: Sequence[str], channels: Sequence[str]) -> list[Stream]:
        names = CHANNEL_STREAMS[self.market]
        for channel in channels:
            if channel not in names and channel not in POLLED[self.market]:
                known = ", ".join((*names, *POLLED[self.market]))
                raise ConfigError(f"okx {self.market} has no channel {channel!r}; it has {known}")
        streams = (symbol_stream(self.market, c, symbol) for symbol in symbols for c in channels if c in names)
        return list(dict.fromkeys(streams))

    def polls(self, symbols: Sequence[str], channels: Sequence[str]) -> list[Poll]:
        if "long_short" not in channels or "long_short" not in POLLED[self.market]:
            return []
        return [poll for symbol in symbols for poll in long_short_polls(symbol)]

    def poll_reply(self, request: Request, body: bytes) -> Iterable[tuple[str, bytes]]:
        read_rows(body)
        return [(request.query["instId"], body)]

    def market_streams(self) -> list[Stream]:
        return [Stream(f"instruments:{INST_TYPES[self.market]}", "instrument", EVERY_SYMBOL)]

    def route(self, stream: Stream) -> str:
        return route_of(stream.name)

    def connection_url(self, ws_url: str, streams: Sequence[Stream]) -> str:
        route = self.route(streams[0]) if streams else PUBLIC
        return f"{ws_url.rstrip('/')}/ws/v5/{route}"

    def subscribe(self, streams: Sequence[Stream], request_id: int) -> str:
        return self._request("subscribe", streams, request_id)

    def unsubscribe(self, streams: Sequence[Stream], request_id: int) -> str:
        return self._request("unsubscribe", streams, request_id)

    def _request(self, op: str, streams: Sequence[Stream], request_id: int) -> str:
        return _encode({"id": str(request_id), "op": op, "args": [arg_of(s.name) for s in streams]}).decode()

    def ping(self) -> str:
        return "ping"

    # --- frames ---

    def classify(self, frame: bytes) -> Classified:
        """What a frame is. Data frames laid out as the venue writes them are told by slicing alone."""
        if frame.startswith(HEAD):
            end = frame.find(b"}", _HEAD_LEN)
            known = self._known.get(frame[:end])
            if known is not None and known.is_timed and frame.startswith(_BODIES, end):
                start = frame.rfind(_TIME, end) + _TIME_LEN
                digits_end = start + TIME_DIGITS
                if start > end and frame[digits_end : digits_end + 1] == b'"':
                    try:
                        return Data(known.stream, int(frame[start:digits_end]))
                    except ValueError:
                        pass
        return self._classify_decoded(frame)

    def _classify_decoded(self, frame: bytes) -> Classified:
        """The exact way: for first sights, other layouts, and everything that is not data."""
        if frame == b"pong":
            return Alive()
        try:
            envelope = _envelope(frame)
            if envelope.event is not UNSET:
                return _classify_event(envelope.event, envelope)
            if envelope.arg is not UNSET and envelope.data is not UNSET:
                return self._classify_data(frame, envelope.arg, envelope.data)
        except (*UNDECODABLE, ValueError) as exc:
            return Unknown(f"not a message of OKX: {exc}")
        return Unknown("neither an event nor data")

    def _classify_data(self, frame: bytes, arg: m.Arg, data: list[msgspec.Raw]) -> Classified:
        if arg.channel == "instruments":
            return Notice("instruments", f"{len(data)} of {arg.instType}")
        if arg.channel == "status":
            return Notice("status", b",".join(map(bytes, data)).decode()[:2000])
        stream = stream_of(arg)
        if stream is None:
            return Unknown(f"channel {arg.channel[:100]!r} is of no kind we know")
        if stream.symbol == EVERY_SYMBOL:
            rows = [_row(row) for row in data]
            return Data(stream, None, tuple(dict.fromkeys(row.instId for row in rows if row.instId)))
        untimed = Data(stream, None)
        if len(self._known) >= _CACHE_MAX:
            self._known.clear()
        if frame.startswith(HEAD):
            end = frame.find(b"}", _HEAD_LEN)
            self._known[frame[:end]] = _Known(stream, untimed, stream.channel not in _UNTIMED)
        if stream.channel in _UNTIMED or not data:
            return untimed
        time = _row(data[-1]).ts
        return Data(stream, int(time)) if time.isascii() and time.isdigit() else untimed

    # --- REST ---

    def snapshot_request(self, symbol: str, levels: int) -> Request:  # noqa: ARG002  all depths cost the same
        query = {"instId": symbol, "sz": str(BOOK_LEVELS), "source": "0"}
        return Request("/api/v5/market/books", query, 1, BOOK_LEVELS, "books")

    def volume_request(self) -> Request | None:
        """None for options, whose turnover is given in coin and whose prices are no help to turn it into dollars."""
        if self.market == "option":
            return None
        return Request("/api/v5/market/tickers", {"instType": INST_TYPES[self.market]}, 1, pool="tickers")

    def volume_reply(self, body: bytes) -> Iterable[tuple[str, str]]:
        """Spot: `volCcy24h` is in quote currency. Contracts: it is in base coin, worth its last price."""
        try:
            reply = _volumes(body)
        except UNDECODABLE as exc:
            raise UnparsableFrame(f"not a tickers reply of OKX: {exc}") from None
        _refuse(reply.code, reply.msg)
        return list(self._volumes(reply.data))

    def _volumes(self, rows: Iterable[m.VolumeMsg]) -> Iterator[tuple[str, str]]:
        for row in rows:
            if find_market(row.instId) != self.market or not row.volCcy24h:
                continue
            volume = plain(row.volCcy24h)
            if self.market == "spot":
                yield row.instId, volume
            elif row.last:
                (units, scale), (price, price_scale) = to_units(volume), to_units(plain(row.last))
                yield row.instId, to_text(units * price, scale + price_scale)

    def instruments_request(self) -> Request:
        return self.instruments_requests()[0]

    def instruments_requests(self) -> Sequence[Request]:
        """All that make up the market's metadata."""
        query = {"instType": INST_TYPES[self.market]}
        queries = [query | {"instFamily": f} for f in OPTION_FAMILIES] if self.market == "option" else [query]
        return [Request("/api/v5/public/instruments", q, 1, pool="instruments") for q in queries]

    def instruments_reply(self, body: bytes) -> Iterable[tuple[str, bytes]]:
        try:
            reply = _reply(body)
            _refuse(reply.code, reply.msg)
            entries = [(_row(entry).instId, bytes(entry)) for entry in reply.data]
        except UNDECODABLE as exc:
            raise UnparsableFrame(f"not an instruments reply of OKX: {exc}") from None
        return [(symbol, entry) for symbol, entry in entries if find_market(symbol) == self.market]

    def book_envelope(self, frame: bytes) -> BookEnvelope:
        return book_envelope(frame)

    def snapshot_envelope(self, body: bytes) -> SnapshotEnvelope:
        return snapshot_envelope(body)


def _refuse(code: str, message: str) -> None:
    """Raises UnparsableFrame where a reply says that it is none."""
    if code != "0":
        raise UnparsableFrame(f"OKX refuses: {code} {message[:200]}")


def _request_id(value: object) -> int | None:
    """Ours are positive integers, which the venue quotes as text; None for someone else's."""
    return int(value) if isinstance(value, str) and value.isascii() and value.isdigit() else None


def _classify_event(event: str, envelope: m.Envelope) -> Classified:
    request_id, code = _request_id(envelope.id), str(envelope.code)
    if event in ("subscribe", "unsubscribe") and envelope.arg is not UNSET:
        return Ack(request_id, (name_of(envelope.arg),))
    if event == "error":
        if envelope.arg is not UNSET:
            return VenueError(request_id, code, envelope.msg, (name_of(envelope.arg),))
        names = (f"{channel}:{scope}" if scope else channel for channel, scope in _NAMED.findall(envelope.msg))
        return VenueError(request_id, code, envelope.msg, tuple(names))
    if event == "notice":
        return Notice("shutdown" if code == "64008" else "notice", f"{code} {envelope.msg}")
    if event.startswith("channel-conn-count"):
        return Notice("channel_conn_count", f"{event} {envelope.channel} {envelope.connCount}")
    return Unknown(f"event {event[:100]!r} is of no kind we know")
