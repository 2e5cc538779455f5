"""One connection to HTX in either protocol family: subscriptions, replies, and pings made of messages. Pure.

Family A (market sockets) speaks `sub`/`unsub`/`req`, one topic a message; family B (swap notifications) speaks `op`.
The hub's stream names are the topics.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Protocol

from simulator.dialect import Close
from simulator.forms import GZIP, Form
from simulator.limits import Window

PING_S = 5.0
SPOT_UNANSWERED_MAX, SWAP_UNANSWERED_MAX = 2, 5
REQ_INTERVAL_S = 0.1
REQUESTS_PER_S = 50
SUBSCRIPTIONS_PER_S = 40
MISSING_PARAMETER = 2040
"""Family B's code for an operation it does not have: 2001 to 2003 are about authentication."""
EXPIRED_CODE, EXPIRED_REASON = 1003, "ping check expired"


class Refused(Exception):
    """A topic the socket does not have: error code and words."""

    def __init__(self, code: str | int, message: str) -> None:
        super().__init__(message)
        self.code = code


class Topics(Protocol):
    """What a path of a dialect offers."""

    def stream(self, topic: str, message: dict[str, Any]) -> str:
        """Hub stream of a topic. Raises Refused."""

    def reply(self, topic: str, message: dict[str, Any], since_ms: int | None) -> str:
        """`data` of a request's answer; `since_ms`: when this connection subscribed to the topic, None: it did not.
        Raises Refused."""


def dump(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


class Pings:
    """Pings every five seconds, and how many of them nobody answered."""

    def __init__(self, unanswered_max: int) -> None:
        self.unanswered_max = unanswered_max
        self.last_s: float | None = None
        self.waiting: list[int] = []

    def due(self, now_s: float, now_ms: int) -> int | None:
        """The number to ping with; None: not yet. Raises Close when too many went unanswered."""
        if self.last_s is None:
            self.last_s = now_s
        if now_s - self.last_s < PING_S:
            return None
        if len(self.waiting) >= self.unanswered_max:
            raise Close(EXPIRED_CODE, EXPIRED_REASON)
        self.last_s = now_s
        self.waiting.append(now_ms)
        return now_ms

    def answered(self, value: int) -> None:
        """A pong proves the connection alive when it repeats a ping's number."""
        if value in self.waiting:
            self.waiting.clear()


class MarketSession:
    """Family A. `spot` decides the order of an ack's keys, the cut-off, and the limits."""

    def __init__(self, topics: Topics, clock_ms: Callable[[], int], *, spot: bool, form: Form = GZIP) -> None:
        self.topics = topics
        self.clock_ms = clock_ms
        self.spot = spot
        self.form = form
        self.streams: dict[str, None] = {}
        self.pings = Pings(SPOT_UNANSWERED_MAX if spot else SWAP_UNANSWERED_MAX)
        self.requested_s = -1.0
        self.rate = Window(0 if spot else SUBSCRIPTIONS_PER_S, 1.0)
        self.requests = Window(0 if spot else REQUESTS_PER_S, 1.0)
        self.since_ms: dict[str, int] = {}

    def greeting(self) -> list[bytes]:
        return []

    def shutdown_notice(self, now_ms: int) -> bytes | None:
        del now_ms
        return None

    def tick(self, now_s: float, pushed_s: float, heard_s: float) -> list[bytes]:
        del pushed_s, heard_s
        ping = self.pings.due(now_s, self.clock_ms())
        return [] if ping is None else [dump({"ping": ping})]

    def handle(self, data: bytes, now_s: float) -> list[bytes]:
        try:
            message = json.loads(data)
        except ValueError:
            return [self._error(None, "bad-request", "invalid json")]
        if not isinstance(message, dict):
            return [self._error(None, "bad-request", "invalid json")]
        if "pong" in message:
            self.pings.answered(message["pong"])
            return []
        if "ping" in message:
            return [dump({"pong": message["ping"]})]
        identity = message.get("id")
        try:
            for verb in ("sub", "unsub", "req"):
                if isinstance(message.get(verb), str):
                    return [getattr(self, f"_{verb}")(message[verb], message, now_s)]
        except Refused as refused:
            return [self._error(identity, refused.code, str(refused))]
        return [self._error(identity, "bad-request", "unknown command")]

    def _sub(self, topic: str, message: dict[str, Any], now_s: float) -> bytes:
        if not self.rate.add(now_s):
            raise Refused("too-many-request", "too many subscriptions")
        stream = self.topics.stream(topic, message)
        if stream not in self.streams:
            self.since_ms[stream] = self.clock_ms()
        self.streams[stream] = None
        return self._ack("subbed", topic, message.get("id"))

    def _unsub(self, topic: str, message: dict[str, Any], now_s: float) -> bytes:
        del now_s
        stream = self.topics.stream(topic, message)
        if stream not in self.streams:
            raise Refused("bad-request", f"unsub with not subbed topic {topic}")
        del self.streams[stream]
        return self._ack("unsubbed", topic, message.get("id"))

    def _req(self, topic: str, message: dict[str, Any], now_s: float) -> bytes:
        if not self.requests.add(now_s) or (self.spot and now_s - self.requested_s < REQ_INTERVAL_S):
            raise Refused("too-many-request", "request too frequently")
        self.requested_s = now_s
        data = self.topics.reply(topic, message, self.since_ms.get(topic) if topic in self.streams else None)
        head = dump({"id": message.get("id"), "status": "ok", "ts": self.clock_ms(), "rep": topic}).decode()
        return f'{head[:-1]},"data":{data}}}'.encode()

    def _ack(self, word: str, topic: str, identity: Any) -> bytes:
        now_ms = self.clock_ms()
        if self.spot:
            return dump({"id": identity, "status": "ok", word: topic, "ts": now_ms})
        return dump({"id": identity, word: topic, "ts": now_ms, "status": "ok"})

    def _error(self, identity: Any, code: str | int, message: str) -> bytes:
        out = {"status": "error", "ts": self.clock_ms(), "id": identity, "err-code": code, "err-msg": message}
        return dump(out)


class NotificationSession:
    """Family B."""

    def __init__(self, topics: Topics, clock_ms: Callable[[], int]) -> None:
        self.topics = topics
        self.clock_ms = clock_ms
        self.form: Form = GZIP
        self.streams: dict[str, None] = {}
        self.pings = Pings(SWAP_UNANSWERED_MAX)

    def greeting(self) -> list[bytes]:
        return []

    def shutdown_notice(self, now_ms: int) -> bytes | None:
        return dump({"op": "close", "ts": now_ms})

    def tick(self, now_s: float, pushed_s: float, heard_s: float) -> list[bytes]:
        del pushed_s, heard_s
        ping = self.pings.due(now_s, self.clock_ms())
        return [] if ping is None else [dump({"op": "ping", "ts": str(ping)})]

    def handle(self, data: bytes, now_s: float) -> list[bytes]:
        del now_s
        try:
            message = json.loads(data)
        except ValueError:
            message = None
        op = message.get("op") if isinstance(message, dict) else None
        if op == "pong":
            stamp = str(message.get("ts"))
            if stamp.isdigit():
                self.pings.answered(int(stamp))
            return []
        if op not in ("sub", "unsub"):
            refusal = {"err-code": MISSING_PARAMETER, "err-msg": "Missing required parameter."}
            return [dump({"op": "error", "ts": self.clock_ms()} | refusal)]
        topic, cid = str(message.get("topic")), message.get("cid")
        try:
            stream = self.topics.stream(topic, message)
            if op == "sub" and stream in self.streams:
                raise Refused(2014, "Repeated subscription.")
            if op == "unsub" and stream not in self.streams:
                raise Refused(2012, "Please subscribe before unsubscribing.")
        except Refused as refused:
            out = {"op": op, "cid": cid, "topic": topic, "err-code": refused.code, "err-msg": str(refused)}
            return [dump(out | {"ts": self.clock_ms()})]
        if op == "sub":
            self.streams[stream] = None
        else:
            del self.streams[stream]
        return [dump({"op": op, "cid": cid, "topic": topic, "ts": self.clock_ms(), "err-code": 0})]
