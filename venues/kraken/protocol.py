"""How to talk to Kraken spot, WebSocket API v2, and what each frame is.

A subscribe request names one channel and many symbols, and each symbol is acknowledged on its own. So streams of
different channels travel on different connections (`route`), and a stream's name is ours: `book.BTC/USD`.
Source: https://docs.kraken.com/exchange/api-reference/spot-websocket-v2/ (2026).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from marketdata.codec import UNDECODABLE
from marketdata.errors import BadData, ConfigError, UnparsableFrame
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
    Request,
    RestPool,
    SnapshotEnvelope,
    Stream,
    Unknown,
    VenueError,
)  # fmt: skip
from venues.defaults import PlainProtocol
from venues.kraken import messages as m
from venues.kraken.book import DEPTH, book_envelope, parse_snapshot, time_us
from venues.kraken.instruments import listed_symbol

CHANNELS = ("trade", "book")
"""Those we subscribe; the venue's names are the same."""

OTHER_CHANNELS = {"ticker": "ticker", "ohlc": "kline"}
"""Recognised only."""

TOO_FAST = (b'"EAPI:Rate limit exceeded"', b'"EGeneral:Too many requests"')
"""Errors that tell us to wait."""

_envelope = msgspec.json.Decoder(m.Envelope).decode
_named = msgspec.json.Decoder(m.Named).decode
_pairs = msgspec.json.Decoder(m.PairsReply).decode
_encode = msgspec.json.Encoder().encode


class KrakenProtocol(PlainProtocol):
    """See `venues.contract.VenueProtocol`."""

    recovery = BookRecovery.RESUBSCRIBE

    def __init__(self) -> None:
        self.limits = Limits(
            streams_per_connection=200,
            messages_per_s=2.0,  # the venue names no number: "Exceeded msg rate"
            streams_per_request=50,
            connection_attempts_per_5_min=60,  # 150 in 10 minutes, by older documents
            connection_max_age_s=30 * 86400,  # none is documented
            rotate_after_s=7 * 86400,
            server_ping_interval_s=None,
            client_ping_interval_s=10.0,
            rest_pools={"": RestPool(10, 10.0)},
            first_data_timeout_s=30.0,
            silence_timeout_s={"book": 900.0},  # not documented: a thin pair's book may rest for minutes
            quiet_channels=frozenset(("trade",)),
            idle_timeout_s=25.0,  # a heartbeat comes every second when nothing else does
        )

    # --- subscriptions ---

    def streams(self, symbols: Sequence[str], channels: Sequence[str]) -> list[Stream]:
        for channel in channels:
            if channel not in CHANNELS:
                raise ConfigError(f"kraken spot has no channel {channel!r}; it has {', '.join(CHANNELS)}")
        return [_stream(channel, symbol) for symbol in symbols for channel in channels]

    def route(self, stream: Stream) -> str:
        return stream.channel

    def connection_url(self, ws_url: str, streams: Sequence[Stream]) -> str:  # noqa: ARG002  one address for all
        return ws_url.rstrip("/") + "/v2"

    def subscribe(self, streams: Sequence[Stream], request_id: int) -> str:
        return self._request("subscribe", streams, request_id)

    def unsubscribe(self, streams: Sequence[Stream], request_id: int) -> str:
        return self._request("unsubscribe", streams, request_id)

    def _request(self, method: str, streams: Sequence[Stream], request_id: int) -> str:
        """Trades are asked for without the last 50 of before: they would stand in front of what was captured."""
        channel = streams[0].channel
        params: dict[str, object] = {"channel": channel, "symbol": [s.symbol for s in streams]}
        if channel == "book":
            params["depth"] = DEPTH
        if method == "subscribe":
            params["snapshot"] = channel == "book"
        return _encode({"method": method, "params": params, "req_id": request_id}).decode()

    def ping(self) -> str | None:
        return '{"method":"ping"}'

    # --- frames ---

    def classify(self, frame: bytes) -> Classified:
        try:
            msg = _envelope(frame)
            if msg.channel in CHANNELS or msg.channel in OTHER_CHANNELS:
                return _data(msg)
        except (*UNDECODABLE, BadData) as exc:
            return Unknown(f"not a message of Kraken: {exc}")
        if msg.channel == "heartbeat" or msg.method == "pong":
            return Alive()
        if msg.channel == "status":
            return Notice("status", frame.decode(errors="replace"))
        if msg.method in ("subscribe", "unsubscribe"):
            return _answer(msg)
        if msg.error:
            return VenueError(msg.req_id, msg.method or "", msg.error)
        return Unknown(f"channel {(msg.channel or '')[:40]!r}, method {(msg.method or '')[:40]!r}: of no kind we know")

    # --- REST ---

    def snapshot_request(self, symbol: str, levels: int) -> Request:
        count = min(max(levels, 1), 500)
        return Request("/0/public/Depth", {"pair": symbol, "count": str(count)}, 1, count)

    def instruments_request(self) -> Request:
        return Request("/0/public/AssetPairs", {}, 1)

    def instruments_reply(self, body: bytes) -> Iterable[tuple[str, bytes]]:
        """Without pairs whose names need lower case (`AAPLx/USD`), for our symbols have none, and without those that
        have no name on the socket: one odd entry does not hide the others."""
        try:
            reply = _pairs(body)
        except UNDECODABLE as exc:
            raise UnparsableFrame(f"not an AssetPairs reply of Kraken: {exc}") from None
        if reply.error:
            raise UnparsableFrame(f"Kraken refused to list its pairs: {reply.error}")
        named = [(listed_symbol(entry), bytes(entry)) for entry in (reply.result or {}).values()]
        if not any(symbol for symbol, _ in named):
            raise UnparsableFrame("an AssetPairs reply of Kraken without a pair we can read")
        return [(symbol, entry) for symbol, entry in named if symbol and symbol == symbol.upper()]

    def ban_until_ms(self, status: int, body: bytes) -> int | None:  # noqa: ARG002
        """Kraken refuses with status 200 and does not say until when."""
        return 0 if any(reason in body for reason in TOO_FAST) else None

    def book_envelope(self, frame: bytes) -> BookEnvelope:
        return book_envelope(frame)

    def snapshot_envelope(self, body: bytes) -> SnapshotEnvelope:
        return parse_snapshot(body).envelope


def _stream(channel: str, symbol: str) -> Stream:
    return Stream(f"{channel}.{symbol}", channel, symbol)


def _data(msg: m.Envelope) -> Classified:
    channel = OTHER_CHANNELS.get(msg.channel or "", msg.channel or "")
    entries = [_named(entry) for entry in msg.data or ()]
    symbols = tuple(dict.fromkeys(entry.symbol or "" for entry in entries))
    if not symbols or not all(symbols):
        return Unknown(f"a frame of {channel} that names no symbol")
    times_us = [time_us(entry.timestamp) for entry in entries]
    time_ms = max(times_us) // 1000 or None
    if len(symbols) > 1:
        return Data(_stream(channel, EVERY_SYMBOL), time_ms, symbols)
    return Data(_stream(channel, symbols[0]), time_ms)


def _answer(msg: m.Envelope) -> Classified:
    """One per symbol. A refusal may name the symbol alone: of the connection's one channel, whichever that is."""
    if not msg.success:
        names = tuple(f"{channel}.{msg.symbol}" for channel in CHANNELS) if msg.symbol else ()
        return VenueError(msg.req_id, msg.method or "", msg.error or "", names)
    result = msg.result or {}
    channel, symbol = result.get("channel"), result.get("symbol")
    if not isinstance(channel, str) or not isinstance(symbol, str):
        return Unknown(f"an ack of {msg.method} that names no channel and symbol")
    return Ack(msg.req_id, (f"{channel}.{symbol}",))
