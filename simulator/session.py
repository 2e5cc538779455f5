"""What a WebSocket connection asked for: Binance's live control messages. Pure.

Source: web-socket-streams.md, "Live Subscribing/Unsubscribing to streams". Errors have the recorded form
`{"error":{"code":..,"msg":..},"id":..}`. An unknown symbol or a name in the wrong case is acknowledged and silent.
"""

from __future__ import annotations

import json
import re
from typing import Any, NamedTuple
from urllib.parse import parse_qs

from simulator import wire
from simulator.dialect import Close
from simulator.faults import Payload
from simulator.forms import MS, Form, text_frame

METHODS = ("SUBSCRIBE", "UNSUBSCRIBE", "LIST_SUBSCRIPTIONS", "SET_PROPERTY", "GET_PROPERTY")
PARAMS_MAX = {"SET_PROPERTY": 2, "GET_PROPERTY": 1, "LIST_SUBSCRIPTIONS": 0}
ID_TEXT = re.compile(r"^[A-Za-z0-9_-]{0,36}$")


class TooManyStreams(Close):
    """More streams than one connection may carry: the venue disconnects."""

    def __init__(self) -> None:
        super().__init__(1008, "Too many streams")


class Refused(Exception):
    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class Opened(NamedTuple):
    """What a connection's address says."""

    combined: bool
    streams: tuple[str, ...]
    microseconds: bool


class Plain:
    """Payloads as they are, their times in a unit (microseconds)."""

    def __init__(self, unit: int) -> None:
        self.unit = unit

    def reply(self, data: bytes) -> bytes:
        return text_frame(data)

    def event(self, stream: str, payload: Payload) -> bytes:
        del stream
        return text_frame(payload.by_unit[self.unit])


class Combined(Plain):
    """Events with the name of their stream around them."""

    def event(self, stream: str, payload: Payload) -> bytes:
        return text_frame(payload.whole or wire.wrap(stream, payload.by_unit[self.unit]))


FORMS: dict[tuple[bool, int], Form] = {
    (combined, unit): (Combined if combined else Plain)(unit) for combined in (False, True) for unit in (1, MS)
}


def parse_target(path: str, query: str) -> Opened | None:
    """From the decoded path and the query of a handshake; None: no such endpoint."""
    values = parse_qs(query, keep_blank_values=True)
    microseconds = values.get("timeUnit", [""])[0].upper() == "MICROSECOND"
    if path in ("/stream", "/stream/"):
        names = values.get("streams", [""])[0].split("/")
        return Opened(True, tuple(dict.fromkeys(name for name in names if name)), microseconds)
    if path == "/ws" or path.startswith("/ws/"):
        return Opened(False, tuple(dict.fromkeys(name for name in path[4:].split("/") if name)), microseconds)
    return None


class Session:
    """Subscriptions and properties of one connection: Binance's, spot and futures."""

    def __init__(self, opened: Opened, streams_max: int) -> None:
        if len(opened.streams) > streams_max:
            raise TooManyStreams
        self.combined = opened.combined
        self.unit = 1 if opened.microseconds else MS
        self.streams: dict[str, None] = dict.fromkeys(opened.streams)
        self.streams_max = streams_max
        self.form = FORMS[self.combined, self.unit]

    def greeting(self) -> list[bytes]:
        return []

    def tick(self, now_s: float, pushed_s: float, heard_s: float) -> list[bytes]:
        """Heartbeats are WebSocket pings."""
        del now_s, pushed_s, heard_s
        return []

    def shutdown_notice(self, now_ms: int) -> bytes | None:
        data = b'{"e":"serverShutdown","E":%d}' % now_ms
        return wire.wrap("!serverShutdown", data) if self.combined else data

    def handle(self, data: bytes, now_s: float = 0.0) -> list[bytes]:
        """The reply to a client's message. Changes `streams` and `combined`. Raises TooManyStreams."""
        del now_s
        try:
            message = json.loads(data)
        except (json.JSONDecodeError, UnicodeDecodeError) as exc:
            line, column = getattr(exc, "lineno", 1), getattr(exc, "colno", 1)
            return [_error(3, f"Invalid JSON: expected value at line {line} column {column}", None)]
        request_id = message.get("id") if isinstance(message, dict) else None
        try:
            _check_id(request_id)
            result = self._act(message)
        except Refused as refused:
            return [_error(refused.code, str(refused), request_id)]
        return [json.dumps({"result": result, "id": request_id}, separators=(",", ":"), ensure_ascii=False).encode()]

    def _act(self, message: Any) -> Any:
        if not isinstance(message, dict):
            raise Refused(2, "Invalid request: expected an object")
        if "method" not in message:
            raise Refused(2, "Invalid request: missing field `method` at line 1 column 1")
        method = message["method"]
        if method not in METHODS:
            said = ", ".join(f"`{name}`" for name in METHODS)
            raise Refused(2, f"Invalid request: unknown variant `{method}`, expected one of {said}")
        params = message.get("params", [])
        if not isinstance(params, list):
            raise Refused(2, "Invalid request: streams must be an array")
        if len(params) > PARAMS_MAX.get(method, len(params)):
            raise Refused(2, "Invalid request: too many parameters")
        return getattr(self, f"_{method.lower()}")(params)

    def _subscribe(self, params: list[Any]) -> None:
        for name in _names(params):
            self.streams[name] = None
        if len(self.streams) > self.streams_max:
            raise TooManyStreams

    def _unsubscribe(self, params: list[Any]) -> None:
        for name in _names(params):
            self.streams.pop(name, None)

    def _list_subscriptions(self, params: list[Any]) -> list[str]:
        del params
        return list(self.streams)

    def _set_property(self, params: list[Any]) -> None:
        _property(params)
        if len(params) < 2 or not isinstance(params[1], bool):
            raise Refused(1, "Invalid value type: expected Boolean")
        self.combined = params[1]
        self.form = FORMS[self.combined, self.unit]

    def _get_property(self, params: list[Any]) -> bool:
        _property(params)
        return self.combined


def _names(params: list[Any]) -> list[str]:
    if not all(isinstance(name, str) for name in params):
        raise Refused(2, "Invalid request: stream names must be strings")
    return params


def _property(params: list[Any]) -> None:
    if not params or not isinstance(params[0], str):
        raise Refused(2, "Invalid request: property name must be a string")
    if params[0] != "combined":
        raise Refused(0, "Unknown property")


def _check_id(value: Any) -> None:
    if value is None or (isinstance(value, int) and not isinstance(value, bool) and -(2**63) <= value < 2**63):
        return
    if isinstance(value, str) and ID_TEXT.match(value):
        return
    raise Refused(2, "Invalid request: request ID must be an unsigned integer")


def _error(code: int, message: str, request_id: Any) -> bytes:
    out: dict[str, Any] = {"error": {"code": code, "msg": message}}
    if request_id is not None:
        out["id"] = request_id
    return json.dumps(out, separators=(",", ":"), ensure_ascii=False).encode()
