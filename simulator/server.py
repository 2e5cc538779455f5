"""The exchanges on one port: connections, faults, pings and ages, around the dialects and their markets."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from pydantic import ValidationError

from runtime.config.simulator import Simulator
from simulator import metrics, spot
from simulator.connection import Accepted, Connection
from simulator.dialect import CUT, Close, Dialect, Request
from simulator.faults import ALL, Fault, Faults
from simulator.hub import Hub
from simulator.limits import Window
from simulator.rest_params import ApiError, Reply, error_body, not_found

SHUTDOWN_CODE, SHUTDOWN_REASON = 1001, "Server shutdown"
Control = Callable[[str, dict[str, str], bytes], Awaitable[Reply]]


class Place:
    """A dialect on the server."""

    def __init__(self, name: str, prefix: str, dialect: Dialect, hub: Hub) -> None:
        self.name = name
        self.prefix = prefix
        self.dialect = dialect
        self.hub = hub


class Server:
    """Implements `connection.Exchange`. Binance spot is always there, under no prefix."""

    def __init__(self, config: Simulator) -> None:
        self.config = config
        self.write_buffer_bytes_max = config.write_buffer_bytes_max
        self.faults = Faults()
        self.counters: Counter[str] = Counter()
        self.hub = spot.hub_of(self.faults, time.monotonic)
        self.spot = spot.Spot(config, self.hub, self.faults, self.counters)
        self.places: dict[str, Place] = {}
        self.by_prefix: dict[str, Place] = {}
        self.add(Place(spot.NAME, "", self.spot, self.hub))
        self.on_subscribed: Callable[[], None] = lambda: None
        self.refusal: Reply | None = None
        """When set, every handshake is refused with it (the recording ended)."""
        self.connections: dict[int, Connection] = {}
        self.pending: dict[Connection, None] = {}
        self.attempts: dict[tuple[str, str], Window] = {}
        self.in_flight: Counter[tuple[str, str]] = Counter()
        """HTTP requests by place and IP."""

    def add(self, place: Place) -> None:
        self.places[place.name] = place
        self.by_prefix[place.prefix] = place

    def place_of(self, path: str) -> tuple[Place, str]:
        """Whose path it is, and the path without the prefix."""
        prefix = "/" + path[1:].partition("/")[0]
        found = self.by_prefix.get(prefix)
        return (found, path[len(prefix) :]) if found is not None else (self.by_prefix[""], path)

    @property
    def frames_sent(self) -> int:
        return sum(place.hub.frames_sent for place in self.places.values())

    # --- what connections need ----------------------------------------------------------------------

    def monotonic(self) -> float:
        return time.monotonic()

    def opened(self, connection: Connection) -> None:
        self.connections[connection.number] = connection
        self.counters["connections"] += 1
        metrics.CONNECTIONS.inc()

    def closed(self, connection: Connection) -> None:
        if self.connections.pop(connection.number, None) is not None:
            metrics.CONNECTIONS.dec()
        self.pending.pop(connection, None)
        if connection.accepted is not None:
            for stream in connection.accepted.session.streams:
                connection.accepted.hub.unsubscribe(connection, stream)

    def accept(self, target: str, ip: str, number: int) -> Accepted | Reply:
        parts = urlsplit(target)
        place, path = self.place_of(unquote(parts.path))
        dialect = place.dialect
        if (refusal := self._may_upgrade(place, ip)) is not None:
            return refusal
        try:
            session = dialect.open(path, parts.query, number)
        except Close as refused:
            return Reply(400, f"{refused.reason.lower()}\n".encode(), content_type="text/plain")
        if session is None:
            return not_found()
        return Accepted(place.name, session, place.hub, dialect.limits.messages_per_s_max)

    def _may_upgrade(self, place: Place, ip: str) -> Reply | None:
        limits = place.dialect.limits
        window = self.attempts.get((place.name, ip))
        if window is None:
            window = Window(limits.connection_attempts_max, limits.connection_attempts_window_s)
            self.attempts[place.name, ip] = window
        if not window.add(time.monotonic()):
            self.counters["handshakes_refused"] += 1
            return Reply(429, error_body(-1003, "Too many connection attempts."))
        if self._crowded(place, ip):
            self.counters["handshakes_refused"] += 1
            return Reply(429, b"too many connections\n", content_type="text/plain")
        if (fault := self.faults.take("refuse", time.monotonic(), venue=place.name)) is not None:
            self.counters["handshakes_refused"] += 1
            return Reply(fault.fault.status, b"refused on request\n", content_type="text/plain")
        return self.refusal

    def _crowded(self, place: Place, ip: str) -> bool:
        """The address has as many connections as it may have."""
        most = place.dialect.limits.connections_max
        if not most:
            return False
        held = sum(
            each.ip == ip and each.accepted is not None and each.accepted.venue == place.name
            for each in self.connections.values()
        )
        return held + self.in_flight[place.name, ip] >= most

    def subscriptions_changed(self, connection: Connection, before: dict[str, None]) -> None:
        accepted = connection.accepted
        assert accepted is not None
        now = accepted.session.streams
        for stream in before.keys() - now.keys():
            accepted.hub.unsubscribe(connection, stream)
        dialect = self.places[accepted.venue].dialect
        for stream in now:
            if stream not in before:
                self._join(connection, accepted, dialect, stream)
        self.on_subscribed()

    def _join(self, connection: Connection, accepted: Accepted, dialect: Dialect, stream: str) -> None:
        """Let a stream flow, behind its first frames."""
        hub, venue, now = accepted.hub, accepted.venue, time.monotonic()
        if self.faults.active:
            if self.faults.take("drop_subscription", now, venue=venue, stream=stream) is not None:
                return
            if self.faults.take("no_snapshot", now, venue=venue, stream=stream) is not None:
                hub.subscribe(connection, stream)
                return
        first = dialect.joined(stream)
        if first is None:
            hub.wait(connection, stream)
            return
        if first and not self.faults.silenced(stream, now, venue):
            connection.tell(first)
        hub.subscribe(connection, stream)

    def has_output(self, connection: Connection) -> None:
        self.pending[connection] = None

    # --- pace ---------------------------------------------------------------------------------------

    def flush(self) -> None:
        """Write what every connection has queued."""
        if not self.pending:
            return
        now = time.monotonic()
        pending, self.pending = self.pending, {}
        for connection in pending:
            accepted = connection.accepted
            slow = self.faults.slow_by_s(now, accepted.venue) if self.faults.active and accepted is not None else 0.0
            connection.flush(slow)
            if connection.late:
                self.pending[connection] = None

    async def keep_alive(self) -> None:
        """Pings, overdue pongs, heartbeats of the sessions, the age limit. Runs for ever."""
        every_s = [1.0]
        for place in self.places.values():
            limits = place.dialect.limits
            if limits.ping_interval_s:
                every_s += [limits.ping_interval_s / 4, limits.pong_timeout_s / 4]
        while True:
            await asyncio.sleep(min(every_s))
            now = time.monotonic()
            for connection in list(self.connections.values()):
                self._keep_alive(connection, now)

    def _keep_alive(self, connection: Connection, now: float) -> None:
        accepted = connection.accepted
        if accepted is None:
            return
        limits = self.places[accepted.venue].dialect.limits
        waiting = connection.unanswered_since_s
        if waiting is not None and now - waiting >= limits.pong_timeout_s:
            connection.close(1008, "Pong timeout")
            return
        if limits.max_age_s and now - connection.opened_s >= limits.max_age_s:
            connection.close(1001, "Connection age limit")
            return
        if limits.ping_interval_s and now - connection.pinged_s >= limits.ping_interval_s:
            connection.ping(str(time.time_ns() // 1_000_000).encode())
        try:
            due = accepted.session.tick(now, connection.pushed_s, connection.heard_s)
        except Close as asked:
            connection.abort() if asked.code == CUT else connection.close(asked.code, asked.reason)
            return
        if due:
            connection.tell(due)

    def announce_shutdown(self, connections: list[Connection]) -> None:
        """What each venue says before it goes down."""
        now_ms = time.time_ns() // 1_000_000
        for connection in connections:
            if connection.session is not None and (notice := connection.session.shutdown_notice(now_ms)) is not None:
                connection.tell([notice])

    def close_all(self, code: int, reason: str) -> None:
        for connection in list(self.connections.values()):
            connection.close(code, reason)

    # --- HTTP ---------------------------------------------------------------------------------------

    async def request(self, method: str, target: str, body: bytes, ip: str) -> Reply:
        parts = urlsplit(target)
        values = dict(parse_qsl(parts.query, keep_blank_values=True))
        path = unquote(parts.path)
        metrics.REQUESTS.inc()
        if path.startswith("/sim/"):
            return await self.control(method, path[5:], values, body)
        place, path = self.place_of(path)
        if self._crowded(place, ip):
            return Reply(429, b"too many connections\n", content_type="text/plain")
        self.in_flight[place.name, ip] += 1
        try:
            return await place.dialect.rest(Request(method, path, values, body, ip))
        finally:
            self.in_flight[place.name, ip] -= 1

    # --- control ------------------------------------------------------------------------------------

    async def control(self, method: str, path: str, values: dict[str, str], body: bytes) -> Reply:
        """GET /sim/status, GET /sim/sent?venue=NAME (see each dialect's `sent`), POST /sim/fault (see `Fault`)."""
        if (method, path) == ("GET", "status"):
            return _json(self.status())
        if (method, path) == ("GET", "sent") and values.get("venue", spot.NAME) in self.places:
            try:
                return _json(self.places[values.get("venue", spot.NAME)].dialect.sent(values))
            except ApiError as error:
                return error.reply()
        if (method, path) == ("POST", "fault"):
            try:
                fault = Fault.model_validate_json(body or b"{}")
            except ValidationError as exc:
                return Reply(400, exc.json(include_url=False, include_context=False).encode())
            await self._apply(fault)
            return _json(self.faults.status())
        return Reply(404, b"try GET /sim/status, GET /sim/sent or POST /sim/fault\n", content_type="text/plain")

    def _chosen(self, fault: Fault) -> list[Connection]:
        return [
            each
            for each in self.connections.values()
            if fault.connection in (None, each.number)
            and each.accepted is not None
            and fault.venue in (ALL, each.accepted.venue)
        ]

    async def _apply(self, fault: Fault) -> None:
        metrics.FAULTS.labels(fault.kind).inc()
        chosen = self._chosen(fault)
        if fault.kind == "clear":
            self.faults.requested["clear"] += 1
            self.faults.clear()
            self.spot.snapshots.clear()
        elif fault.kind == "disconnect":
            self.faults.requested["disconnect"] += 1
            for connection in chosen:
                self.faults.applied["disconnect"] += 1
                connection.abort() if fault.abrupt else connection.close(fault.code, fault.reason)
        elif fault.kind == "shutdown":
            self.faults.requested["shutdown"] += 1
            self.faults.applied["shutdown"] += 1
            self.announce_shutdown(chosen)
            loop = asyncio.get_running_loop()
            for connection in chosen:
                loop.call_later(fault.delay_s, connection.close, SHUTDOWN_CODE, SHUTDOWN_REASON)
        elif fault.kind in ("sequence_reset", "instrument_state"):
            self.faults.requested[fault.kind] += 1
            for place in self.places.values():
                if fault.venue in (ALL, place.name):
                    self.faults.applied[fault.kind] += await place.dialect.apply(fault)
        else:
            if fault.kind == "stale_snapshot":
                for place in self.places.values():
                    if fault.venue in (ALL, place.name):
                        await place.dialect.apply(fault)
            self.faults.add(fault, time.monotonic())

    def status(self) -> dict[str, Any]:
        now = time.monotonic()
        by_kind: Counter[str] = Counter()
        for place in self.places.values():
            by_kind.update(place.hub.frames_by_kind)
        return {
            **self.spot.status(),
            "venues": {
                place.name: {
                    **place.dialect.status(),
                    "prefix": place.prefix,
                    "streams": len(place.hub.subscribers),
                    "frames_sent": place.hub.frames_sent,
                    "frames_by_kind": dict(place.hub.frames_by_kind),
                }
                for place in self.places.values()
                if place.name != spot.NAME
            },
            "connections": [
                {
                    "number": c.number,
                    "venue": c.accepted.venue if c.accepted else "",
                    "streams": len(c.session.streams) if c.session else 0,
                    "combined": bool(getattr(c.session, "combined", False)),
                    "age_s": round(now - c.opened_s, 3),
                    "frames_sent": c.frames_sent,
                    "buffered_bytes": c.transport.get_write_buffer_size(),
                }
                for c in self.connections.values()
            ],
            "streams": sum(len(place.hub.subscribers) for place in self.places.values()),
            "frames_sent": self.frames_sent,
            "frames_by_kind": dict(by_kind),
            "counters": dict(self.counters),
            "faults": self.faults.status(),
        }


def _json(value: Any) -> Reply:
    return Reply(200, json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode())
