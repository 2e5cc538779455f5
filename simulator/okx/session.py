"""OKX's control messages: one ack per arg, errors that name the arg, text ping and pong, idle closes.

Source: "WebSocket" and "Error code" of the v5 documentation. Stream names are "<channel>:<instId, instType or
instFamily>".
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable
from typing import Any

from simulator.dialect import Close
from simulator.forms import TEXT, Form
from simulator.okx.bars import BARS

IDLE_S_MAX = 30.0
REQUESTS_PER_HOUR_MAX = 480
ARGS_BYTES_MAX = 64 * 1024
ID_CHARACTERS_MAX = 32
BY_INSTRUMENT = {
    "public": ("tickers", "trades", "books", "books5", "bbo-tbt", "mark-price", "funding-rate", "open-interest",
               "index-tickers"),
    "business": ("trades-all", "mark-price-candle1m", "index-candle1m", *(f"candle{bar}" for bar in BARS)),
}  # fmt: skip
BY_TYPE = {"public": ("liquidation-orders", "instruments"), "business": ()}
INST_TYPES = ("SPOT", "MARGIN", "SWAP", "FUTURES", "OPTION", "ANY")
LOGIN = ("books-l2-tbt", "books50-l2-tbt")
CLOSE_IDLE = 4004
MIGRATED = "This channel has been migrated to the '/business' URL. Please subscribe using the new URL."
NOT_BUSINESS = "This channel is not supported by the '/business' URL. Please use the '/public' URL for public channels."
UNAVAILABLE = "Subscription parameter uly is unavailable anymore. Please replace uly with instFamily."
USE_CORRECT = "Please use the correct URL, channel and parameters referring to API document."
NOTICE = "The connection will soon be closed for a service upgrade. Please reconnect."


class Refused(Exception):
    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


def named(arg: dict[str, Any]) -> str:
    """How errors name an arg."""
    fields = [f"{key}:{value}" for key, value in arg.items()]
    return ",".join(fields)


class OkxSession:
    """See `dialect.Session`. `exists` tells whether a channel has an instrument."""

    form: Form = TEXT

    def __init__(self, route: str, number: int, exists: Callable[[str, str], bool]) -> None:
        self.route = route
        self.conn_id = f"{(number * 0x9E3779B1) & 0xFFFFFFFF:08x}"
        self.exists = exists
        self.streams: dict[str, None] = {}
        self.requests: deque[float] = deque()

    def greeting(self) -> list[bytes]:
        return []

    def shutdown_notice(self, now_ms: int) -> bytes | None:
        del now_ms
        return self._event({"event": "notice", "code": "64008", "msg": NOTICE})

    def tick(self, now_s: float, pushed_s: float, heard_s: float) -> list[bytes]:
        """Nothing pushed, nothing heard: the venue closes."""
        if now_s - max(pushed_s, heard_s) >= IDLE_S_MAX:
            raise Close(CLOSE_IDLE, "No data received in 30s.")
        return []

    def handle(self, data: bytes, now_s: float) -> list[bytes]:
        if data == b"ping":
            return [b"pong"]
        request_id: str | None = None
        try:
            message = json.loads(data)
            if not isinstance(message, dict):
                raise Refused(60012, f"Invalid request: {data.decode(errors='replace')}")
            request_id = self._id(message.get("id"))
            return self._act(message, request_id, now_s)
        except (json.JSONDecodeError, UnicodeDecodeError):
            return [self._error(60012, f"Invalid request: {data.decode(errors='replace')[:200]}", None)]
        except Refused as refused:
            return [self._error(refused.code, str(refused), request_id)]

    def _id(self, value: Any) -> str | None:
        if value is None or (isinstance(value, str) and len(value) <= ID_CHARACTERS_MAX and value.isalnum()):
            return value
        raise Refused(60012, "Invalid request: id")

    def _act(self, message: dict[str, Any], request_id: str | None, now_s: float) -> list[bytes]:
        op, args = message.get("op"), message.get("args")
        if op not in ("subscribe", "unsubscribe"):
            raise Refused(60012, f"Invalid request: {json.dumps(message, separators=(',', ':'))[:200]}")
        self._count(now_s)
        if not isinstance(args, list) or not args or not all(isinstance(arg, dict) for arg in args):
            raise Refused(60013, "Invalid args")
        if len(json.dumps(args)) > ARGS_BYTES_MAX:
            raise Close(1009, "Request frame is too long.")
        out = []
        for arg in args:
            try:
                name = self._stream(arg)
            except Refused as refused:
                out.append(self._error(refused.code, str(refused), request_id))
                continue
            if op == "subscribe":
                self.streams[name] = None
            else:
                self.streams.pop(name, None)
            head = {"id": request_id} if request_id is not None else {}
            out.append(self._event({**head, "event": op, "arg": arg}))
        return out

    def _count(self, now_s: float) -> None:
        while self.requests and self.requests[0] <= now_s - 3600:
            self.requests.popleft()
        if len(self.requests) >= REQUESTS_PER_HOUR_MAX:
            raise Refused(60014, "Requests too frequent")
        self.requests.append(now_s)

    def _stream(self, arg: dict[str, Any]) -> str:
        channel = arg.get("channel")
        if not isinstance(channel, str) or not channel:
            raise Refused(60013, "Invalid args")
        if "uly" in arg:
            raise Refused(
                64000, "Subscription parameter uly is unavailable anymore. Please replace uly with instFamily."
            )
        if channel in LOGIN and self.route == "public":
            raise Refused(60011, "Please log in")
        if channel in BY_INSTRUMENT[self.route]:
            inst_id = arg.get("instId")
            if not isinstance(inst_id, str) or not self.exists(channel, inst_id):
                raise self._unknown(arg)
            return f"{channel}:{inst_id}"
        if channel in BY_TYPE[self.route]:
            if arg.get("instType") not in INST_TYPES:
                raise self._unknown(arg)
            return f"{channel}:{arg['instType']}"
        if self.route == "public" and channel in BY_INSTRUMENT["business"]:
            raise Refused(64001, MIGRATED)
        if self.route == "business" and (channel in BY_INSTRUMENT["public"] or channel in BY_TYPE["public"]):
            raise Refused(64002, NOT_BUSINESS)
        raise self._unknown(arg)

    def _unknown(self, arg: dict[str, Any]) -> Refused:
        return Refused(60018, f"Wrong URL or {named(arg)} doesn't exist. {USE_CORRECT}")

    def _event(self, fields: dict[str, Any]) -> bytes:
        return json.dumps({**fields, "connId": self.conn_id}, separators=(",", ":"), ensure_ascii=False).encode()

    def _error(self, code: int, message: str, request_id: str | None) -> bytes:
        head = {"id": request_id} if request_id is not None else {}
        return self._event({**head, "event": "error", "code": str(code), "msg": message})
