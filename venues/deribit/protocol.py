"""How to talk to Deribit: one address and JSON-RPC for all markets, and what each frame is.

Every request has a numeric id. Subscriptions have the caller's; ours of the heartbeat stand far above them.
Source: https://docs.deribit.com (2026) and wire measurements of 2026-09-22.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import UNSET, Raw

from marketdata.codec import UNDECODABLE
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
    Reply,
    Request,
    RestPool,
    SnapshotEnvelope,
    Stream,
    Unknown,
    VenueError,
)  # fmt: skip
from venues.defaults import PlainProtocol
from venues.deribit import messages as m
from venues.deribit.book_frames import book_envelope, parse_snapshot
from venues.deribit.symbols import instrument_name_of, is_combo, is_index, market_of, parse_channel, symbol_of

CHANNEL_STREAMS = {
    "trade": "trades.{}.100ms",
    "book": "book.{}.100ms",
    "bbo": "quote.{}",
    "ticker": "ticker.{}.100ms",
    "kline": "chart.trades.{}.1",
    "volatility": "deribit_volatility_index.{}",
}
"""Our channels and the venue's names. `100ms` needs no login, `raw` does."""

ALIASES = {"liquidation": "trade", "mark_price": "ticker", "open_interest": "ticker", "funding": "ticker"}
"""Channels that arrive inside another one's frames."""

MARKET_CHANNELS = {
    "perp": ("trade", "book", "bbo", "ticker", "kline", "liquidation", "mark_price", "open_interest", "funding"),
    "future": ("trade", "book", "bbo", "ticker", "kline", "liquidation", "mark_price", "open_interest"),
    "option": (
        "trade", "book", "bbo", "ticker", "kline", "liquidation", "mark_price", "open_interest", "volatility",
    ),
    "spot": ("trade", "book", "bbo", "ticker", "kline"),
}  # fmt: skip

VOLATILITY_INDICES = frozenset(("BTC_USD", "ETH_USD"))
"""The venue's page names 47 indices and takes subscriptions to them; these two have values."""

INSTRUMENT_KINDS = {"perp": "future", "future": "future", "option": "option", "spot": "spot"}
"""The venue's `kind`: perpetuals are futures there."""

MARKET_STREAMS = (
    Stream("instrument.state.any.any", "instrument", EVERY_SYMBOL),
    Stream("instrument.creation.any.any", "instrument", EVERY_SYMBOL),
    Stream("platform_state", "instrument", EVERY_SYMBOL),
)

HEARTBEAT_ID = 2_000_000_001
TEST_ID = 2_000_000_002
_OWN_IDS = frozenset((HEARTBEAT_ID, TEST_ID))

HEARTBEAT_S = 10
"""The least the venue takes. Unanswered test requests end the connection 10 s later."""

BOOK_DEPTHS = (1, 5, 10, 20, 50, 100, 1000, 10000)
"""What `public/get_order_book` can be asked for."""

SILENCE_S: Mapping[str, Mapping[str, float]] = {
    "perp": {"ticker": 300.0, "book": 600.0},
    "future": {"ticker": 1800.0},
    "option": {"ticker": 3600.0, "volatility": 300.0},
    "spot": {"ticker": 1800.0},
}
"""A book was silent for 53 s on a day of trade, an option's may be for hours: besides perpetuals only tickers are
judged, which move with the index, and patiently."""

_PREFIX = b'{"jsonrpc":"2.0","method":"subscription","params":{"channel":"'
_PREFIX_LEN = len(_PREFIX)
_TIME = b'"timestamp":'
_TIME_LEN = len(_TIME)
_TIME_DIGITS = 13
"""Of a time in milliseconds between 2001 and 2286."""
_CACHE_MAX = 8192
"""Channel names remembered. Emptied when full."""
_UNTIMED = frozenset(("kline", "combo"))
"""Channels whose frames have no time of their own, or several."""

_envelope = msgspec.json.Decoder(m.Envelope).decode
_params = msgspec.json.Decoder(m.Params[Raw]).decode
_named = msgspec.json.Decoder(m.Named).decode
_named_list = msgspec.json.Decoder(list[m.Named]).decode
_heartbeat = msgspec.json.Decoder(m.HeartbeatParams).decode
_platform = msgspec.json.Decoder(m.PlatformState).decode
_names = msgspec.json.Decoder(list[str]).decode
_instrument_name = msgspec.json.Decoder(m.InstrumentName).decode
_encode = msgspec.json.Encoder().encode


class _Instruments(msgspec.Struct):
    result: list[Raw]


_instruments = msgspec.json.Decoder(_Instruments).decode


def rpc(method: str, params: Mapping[str, Any], request_id: int) -> str:
    return _encode({"jsonrpc": "2.0", "id": request_id, "method": method, "params": params}).decode()


TEST = rpc("public/test", {}, TEST_ID)


class DeribitProtocol(PlainProtocol):
    """See `venues.contract.VenueProtocol`. One instance per market: they differ in channels and instruments alone."""

    recovery = BookRecovery.RESUBSCRIBE

    def __init__(self, market: str) -> None:
        self.market = market
        self.limits = Limits(
            streams_per_connection=500,
            messages_per_s=3.0,  # a subscribe call costs 3,000 credits, of which 10,000 a second come back
            streams_per_request=100,
            connection_attempts_per_5_min=60,
            connection_max_age_s=30 * 86400,  # the venue ends none by age
            rotate_after_s=7 * 86400,
            server_ping_interval_s=None,
            client_ping_interval_s=None,
            rest_pools={"": RestPool(100, 10.0), "instruments": RestPool(5, 50.0)},
            first_data_timeout_s=30.0,
            silence_timeout_s=SILENCE_S.get(market, {}),
            quiet_channels=frozenset(("trade", "bbo", "kline", "instrument")),
            idle_timeout_s=35.0,
        )
        self._known: dict[bytes, Data] = {}

    # --- subscriptions ---

    def streams(self, symbols: Sequence[str], channels: Sequence[str]) -> list[Stream]:
        known = MARKET_CHANNELS[self.market]
        for channel in channels:
            if channel not in known:
                raise ConfigError(f"deribit {self.market} has no channel {channel!r}; it has {', '.join(known)}")
        for symbol in symbols:
            if "volatility" in channels and is_index(symbol) and symbol not in VOLATILITY_INDICES:
                raise ConfigError(
                    f"deribit has volatilities of {', '.join(sorted(VOLATILITY_INDICES))}, not of {symbol}"
                )
        ours = dict.fromkeys(ALIASES.get(channel, channel) for channel in channels)
        return [
            _stream(symbol, channel)
            for symbol in symbols
            for channel in ours
            if is_index(symbol) == (channel == "volatility")
        ]

    def market_streams(self) -> list[Stream]:
        return list(MARKET_STREAMS)

    def greeting(self) -> Sequence[str]:
        return (rpc("public/set_heartbeat", {"interval": HEARTBEAT_S}, HEARTBEAT_ID),)

    def connection_url(self, ws_url: str, streams: Sequence[Stream]) -> str:  # noqa: ARG002  one address for all
        return ws_url.rstrip("/") + "/ws/api/v2"

    def subscribe(self, streams: Sequence[Stream], request_id: int) -> str:
        return rpc("public/subscribe", {"channels": [s.name for s in streams]}, request_id)

    def unsubscribe(self, streams: Sequence[Stream], request_id: int) -> str:
        return rpc("public/unsubscribe", {"channels": [s.name for s in streams]}, request_id)

    # --- frames ---

    def classify(self, frame: bytes) -> Classified:
        """What a frame is. Data frames laid out as the venue writes them are told by slicing alone."""
        if frame.startswith(_PREFIX):
            known = self._known.get(frame[_PREFIX_LEN : frame.find(b'"', _PREFIX_LEN)])
            if known is not None:
                if known.stream.channel in _UNTIMED:
                    return known
                start = frame.rfind(_TIME) + _TIME_LEN
                end = start + _TIME_DIGITS
                if start > _PREFIX_LEN and frame[end : end + 1] in b",}" and frame[start:end].isdigit():
                    return Data(known.stream, int(frame[start:end]))
        return self._classify_decoded(frame)

    def _classify_decoded(self, frame: bytes) -> Classified:
        """The exact way: for first sights, other layouts, and everything that is not data."""
        try:
            envelope = _envelope(frame)
            if envelope.error is not None:
                return _error(envelope.id, envelope.error)
            if envelope.result is not UNSET:
                return _result(envelope.id, bytes(envelope.result))
            if envelope.params is UNSET:
                return Unknown("neither a notification, a result nor an error")
            if envelope.method == "subscription":
                return self._subscription(_params(envelope.params))
            if envelope.method == "heartbeat":
                kind = _heartbeat(envelope.params).type
                return Reply(TEST) if kind == "test_request" else Alive()
        except UNDECODABLE as exc:
            return Unknown(f"not a message of Deribit: {exc}")
        return Unknown(f"method {(envelope.method or '')[:100]!r} is of no kind we know")

    def _subscription(self, params: m.Params[Raw]) -> Classified:
        name, payload = params.channel, bytes(params.data)
        if name.startswith(("instrument.state.", "instrument.creation.")):
            return self._instrument_notice(payload)
        if name.startswith("platform_state"):
            return _platform_notice(payload)
        stream = parse_channel(name)
        if stream is None:
            return Unknown(f"channel {name[:100]!r} is of no kind we know")
        entries = _named_list(payload) if payload[:1] == b"[" else [_named(payload)]
        times = [entry.timestamp for entry in entries if entry.timestamp is not None]
        time_ms = times[-1] if times and stream.channel not in _UNTIMED else None
        if stream.symbol == EVERY_SYMBOL:
            symbols = dict.fromkeys(symbol_of(entry.instrument_name) for entry in entries if entry.instrument_name)
            return Data(stream, time_ms, tuple(symbols))
        if len(self._known) >= _CACHE_MAX:
            self._known.clear()
        self._known[_encode(name)[1:-1]] = Data(stream, None)
        return Data(stream, time_ms)

    def _instrument_notice(self, payload: bytes) -> Classified:
        """Only of this market, combos (which are no instruments of ours) left out: the channel tells of all, and
        options and combos come and go all day."""
        symbol = symbol_of(_named(payload).instrument_name or "")
        ours = market_of(symbol) == self.market and not is_combo(symbol)
        return Notice("instruments", _text(payload)) if ours else Alive()

    # --- REST ---

    def snapshot_request(self, symbol: str, levels: int) -> Request:
        depth = next((step for step in BOOK_DEPTHS if levels <= step), BOOK_DEPTHS[-1])
        query = {"instrument_name": instrument_name_of(symbol), "depth": str(depth)}
        return Request("/api/v2/public/get_order_book", query, 1, depth)

    def instruments_request(self) -> Request:
        query = {"currency": "any", "kind": INSTRUMENT_KINDS[self.market], "expired": "false"}
        return Request("/api/v2/public/get_instruments", query, 1, pool="instruments")

    def instruments_reply(self, body: bytes) -> Iterable[tuple[str, bytes]]:
        try:
            return list(self._cut_instruments(body))
        except UNDECODABLE as exc:
            raise UnparsableFrame(f"not an instruments reply of Deribit: {exc}") from None

    def _cut_instruments(self, body: bytes) -> Iterator[tuple[str, bytes]]:
        for entry in _instruments(body).result:
            named = _instrument_name(entry)
            symbol = symbol_of(named.instrument_name)
            if named.kind == INSTRUMENT_KINDS[self.market] and market_of(symbol) == self.market:
                yield symbol, bytes(entry)

    def book_envelope(self, frame: bytes) -> BookEnvelope:
        return book_envelope(frame)

    def snapshot_envelope(self, body: bytes) -> SnapshotEnvelope:
        return parse_snapshot(body).envelope


def _stream(symbol: str, channel: str) -> Stream:
    spelled = symbol.lower() if channel == "volatility" else instrument_name_of(symbol)
    return Stream(CHANNEL_STREAMS[channel].format(spelled), channel, symbol)


def _text(payload: bytes) -> str:
    return payload.decode(errors="replace")


def _error(request_id: object, error: m.ErrorBody) -> VenueError:
    detail = f": {_text(_encode(error.data))}" if error.data is not None else ""
    ours = isinstance(request_id, int) and request_id not in _OWN_IDS
    return VenueError(request_id if ours else None, str(error.code), (error.message or "") + detail)  # type: ignore[arg-type]


def _result(request_id: object, result: bytes) -> Classified:
    """A list is what a subscribe or unsubscribe took, in any order; what is not in it was dropped without a word."""
    if not isinstance(request_id, int):
        return Unknown("a result without a request id of ours")
    if request_id in _OWN_IDS:
        return Alive()
    if result.startswith(b"["):
        return Ack(request_id, tuple(_names(result)), final=True)
    return Ack(request_id)


def _platform_notice(payload: bytes) -> Classified:
    """`locked: false` comes several times a second and says nothing."""
    state = _platform(payload)
    if state.maintenance is not None:
        return Notice("maintenance", _text(payload))
    return Notice("locked", _text(payload)) if state.locked else Alive()
