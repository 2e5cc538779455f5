"""What a frame of HTX is, by its envelope, in both of its protocol families.

    family A   /ws, /feed, /linear-swap-ws ..        {"sub":..,"id":..}  {"ping":n}            {"ch":..,"tick":..}
    family B   /linear-swap-notification ..          {"op":"sub","cid":..,"topic":..}  {"op":"ping","ts":"n"}
                                                     {"op":"notify","topic":..,"data":[..]}

Every frame of the server is binary: gzip-compressed JSON. See README.md for the evidence.
"""

from __future__ import annotations

import zlib

import msgspec
from msgspec import UNSET

from marketdata.codec import UNDECODABLE
from marketdata.errors import UnparsableFrame
from venues.contract import EVERY_SYMBOL, Ack, Classified, Data, Notice, Reply, Stream, Unknown, VenueError
from venues.htx import messages as m
from venues.htx.symbols import TICKERS, parse_stream
from venues.names import upper_ascii

FRAME_MAX_BYTES = 8 * 1024 * 1024
"""Largest frame accepted after decompression: forty times the largest known one, every ticker of spot."""

REPEATED_SUBSCRIPTION = 2014
"""Family B's `err-code` for a topic, or a wider one, that is subscribed already: what was asked for is the case."""

_GZIP = 16 + zlib.MAX_WBITS
_PREFIX = b'{"ch":"'
_NAME_AT = len(_PREFIX)
_TS = b'","ts":'
_TAIL_TS = b'},"ts":'
_TIME_DIGITS = 13
"""Of a time in milliseconds between 2001 and 2286."""
_NAMES_MAX = 8192
"""Stream names remembered; twice what any of our processes subscribes to. Emptied when full."""

_envelope = msgspec.json.Decoder(m.Envelope).decode
_codes = msgspec.json.Decoder(list[m.ContractCode]).decode
_symbols = msgspec.json.Decoder(list[m.SymbolName]).decode
_action_ping = msgspec.json.Decoder(m.ActionPing).decode
_encode = msgspec.json.Encoder().encode


def gunzip(frame: bytes) -> bytes:
    """The text of a frame. Raises UnparsableFrame on what is not one whole gzip stream, or too large a one."""
    unpacker = zlib.decompressobj(_GZIP)
    try:
        text = unpacker.decompress(frame, FRAME_MAX_BYTES + 1)
    except zlib.error as exc:
        raise UnparsableFrame(f"a binary frame of {len(frame)} bytes is not gzip: {exc}") from None
    if len(text) > FRAME_MAX_BYTES:
        raise UnparsableFrame(f"a frame of {len(frame)} bytes holds more than {FRAME_MAX_BYTES}")
    if not unpacker.eof or unpacker.unused_data:
        raise UnparsableFrame(f"a frame of {len(frame)} bytes is cut short, or more than one")
    return text


class Classifier:
    """Remembers the streams whose names it has seen."""

    def __init__(self) -> None:
        self._names: dict[bytes, Stream] = {}

    def __call__(self, frame: bytes) -> Classified:
        """What a frame is. Frames laid out as the venue writes them are told by slicing alone."""
        if frame.startswith(_PREFIX):
            end = frame.find(b'"', _NAME_AT)
            stream = self._names.get(frame[_NAME_AT:end])
            if stream is not None:
                start = end + len(_TS)
                if frame[end:start] == _TS:
                    digits, after = frame[start : start + _TIME_DIGITS], frame[start + _TIME_DIGITS :][:1]
                    if digits.isdigit() and after == b",":
                        return Data(stream, int(digits))
                elif frame[-21:-14] == _TAIL_TS and frame[-14:-1].isdigit():  # high_freq frames end with it
                    return Data(stream, int(frame[-14:-1]))
        return self._decoded(frame)

    def _decoded(self, frame: bytes) -> Classified:
        """The exact way: for first sights, other layouts, and everything that is not data."""
        try:
            envelope = _envelope(frame)
            return self._by_keys(envelope)
        except UNDECODABLE as exc:
            return Unknown(f"not a frame of HTX: {exc}")

    def _by_keys(self, e: m.Envelope) -> Classified:
        if isinstance(e.ch, str) and not e.action:
            return self._data(e.ch, e)
        if e.ping is not UNSET:
            return Reply(_encode({"pong": e.ping}).decode())
        if isinstance(e.op, str):
            return _family_b(e, e.op)
        if e.action:
            return _action(e)
        if e.status == "error" or e.error_code is not None:
            return _refusal(e, e.id)
        if isinstance(e.rep, str):
            return self._reply(e.rep, e)
        for name in (e.subbed, e.unsubbed):
            if isinstance(name, str):
                return _ack(e.id, name)
        if e.code is not None:
            return Notice("market_status", f"{e.code} {bytes(e.data)[:200].decode(errors='replace')}")
        return Unknown("neither data, an ack, an error, a ping nor a notice")

    def _data(self, name: str, e: m.Envelope) -> Classified:
        stream = parse_stream(name)
        if stream is None:
            return Unknown(f"stream {name[:100]!r} is of no kind we know")
        if stream is TICKERS:
            return Data(stream, _time_ms(e.ts), tuple(upper_ascii(s.symbol) for s in _symbols(e.data)))
        if len(self._names) >= _NAMES_MAX:
            self._names.clear()
        self._names[_encode(name)[1:-1]] = stream
        return Data(stream, _time_ms(e.ts))

    def _reply(self, name: str, e: m.Envelope) -> Classified:
        """A reply to `req`. That for a book is a frame of the book's stream; we send no others."""
        stream = parse_stream(name)
        if stream is None:
            return Unknown(f"a reply about {name[:100]!r}, of no kind we know")
        if stream.channel == "book":
            return Data(stream, _time_ms(e.ts))
        return Notice("reply", name)


def _family_b(e: m.Envelope, op: str) -> Classified:
    if op == "ping":
        return Reply(_encode({"op": "pong", "ts": e.ts}).decode())
    if op == "notify":
        return _notification(e)
    if op in ("sub", "unsub"):
        if not e.error_code or (op == "sub" and e.error_code == REPEATED_SUBSCRIPTION):
            return _ack(e.cid, _topic_name(e.topic))
        return _refusal(e, e.cid)
    if op == "error":
        return _refusal(e, e.cid)
    if op in ("close", "auth"):  # the server says `close` before it closes
        kind = "shutdown" if op == "close" else op
        return Notice(kind, f"{op} {_text(e.error_code)} {_text(e.error_message)}".strip())
    return Unknown(f"op {op[:100]!r} is of no kind we know")


def _notification(e: m.Envelope) -> Classified:
    stream = parse_stream(e.topic)
    if stream is None:
        if e.topic.endswith(".heartbeat"):
            return Notice("system_status", bytes(e.data)[:200].decode(errors="replace"))
        return Unknown(f"topic {e.topic[:100]!r} is of no kind we know")
    if stream.channel == "instrument":
        # `init` follows the subscription and `snapshot` comes every minute: only `update` says that something changed
        return Notice("instruments" if e.event == "update" else "contract_info", f"{stream.name} {e.event}")
    if stream.symbol != EVERY_SYMBOL:
        return Data(stream, _time_ms(e.ts))
    codes = dict.fromkeys(upper_ascii(entry.contract_code) for entry in _codes(e.data))
    return Data(stream, _time_ms(e.ts), tuple(codes))


def _action(e: m.Envelope) -> Classified:
    """The account socket's form, which needs no account to be seen: pings, and the answer to a request."""
    if e.action == "ping":
        return Reply(_encode({"action": "pong", "data": {"ts": _action_ping(e.data).ts}}).decode())
    return Notice("account", f"{e.action} {_text(e.ch)} {_text(e.code)}")


def _ack(request_id: object, name: str) -> Ack:
    """By our id where it quotes one: the venue may spell the name in another case than we did."""
    number = _request_id(request_id)
    return Ack(number) if number is not None else Ack(None, (name,))


def _refusal(e: m.Envelope, request_id: object) -> VenueError:
    name = e.rep if isinstance(e.rep, str) else _topic_name(e.topic)
    return VenueError(
        _request_id(request_id), _text(e.error_code), _text(e.error_message)[:500], (name,) if name else ()
    )


def _topic_name(topic: str) -> str:
    stream = parse_stream(topic)
    return topic if stream is None else stream.name


def _request_id(value: object) -> int | None:
    """Ours are positive integers, sent as text; the venue quotes them as it got them."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 18:
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _time_ms(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _text(value: object) -> str:
    return "" if value is None or value is UNSET else str(value)
