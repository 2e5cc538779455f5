"""The exchange: connections, REST with its limits, faults, pings and ages, around a backend (market or recording)."""

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
from simulator import metrics
from simulator.connection import Connection
from simulator.faults import ALL, Fault, Faults
from simulator.hub import Hub, text_frame
from simulator.limits import WINDOW_5_MIN_S, WeightBudget, Window
from simulator.rest import Backend
from simulator.rest_params import ApiError, Query, Reply, error_body, weight

SHUTDOWN_GRACE_S = 2.0
Control = Callable[[str, dict[str, str], bytes], Awaitable[Reply]]


class Server:
    """Implements `connection.Exchange`."""

    def __init__(self, config: Simulator) -> None:
        self.config = config
        self.streams_per_connection_max = config.streams_per_connection_max
        self.messages_per_s_max = config.messages_per_s_max
        self.write_buffer_bytes_max = config.write_buffer_bytes_max
        self.faults = Faults()
        self.hub = Hub(self.faults, time.monotonic)
        self.backend: Backend | None = None
        self.status_of_backend: Callable[[], dict[str, Any]] = dict
        self.sent: Callable[[dict[str, str]], Any] | None = None
        self.on_subscribed: Callable[[], None] = lambda: None
        self.refusal: Reply | None = None
        """When set, every handshake is refused with it (the recording ended)."""
        self.connections: dict[int, Connection] = {}
        self.pending: dict[Connection, None] = {}
        self.attempts: dict[str, Window] = {}
        self.budgets: dict[str, WeightBudget] = {}
        self.counters: Counter[str] = Counter()
        self.snapshots: dict[str, bytes] = {}

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
        if connection.session is not None:
            for stream in connection.session.streams:
                self.hub.unsubscribe(connection, stream)

    def may_upgrade(self, ip: str) -> Reply | None:
        limit = self.config.connection_attempts_per_5_min_max
        window = self.attempts.setdefault(ip, Window(limit, WINDOW_5_MIN_S))
        if not window.add(time.monotonic()):
            self.counters["handshakes_refused"] += 1
            return Reply(429, error_body(-1003, "Too many connection attempts."))
        if (fault := self.faults.take("refuse", time.monotonic())) is not None:
            self.counters["handshakes_refused"] += 1
            return Reply(fault.fault.status, b"refused on request\n", content_type="text/plain")
        return self.refusal

    def subscriptions_changed(self, connection: Connection, before: dict[str, None]) -> None:
        assert connection.session is not None
        now = connection.session.streams
        for stream in before.keys() - now.keys():
            self.hub.unsubscribe(connection, stream)
        for stream in now:
            if stream not in before:
                self.hub.subscribe(connection, stream)
        self.on_subscribed()

    def has_output(self, connection: Connection) -> None:
        self.pending[connection] = None

    # --- pace ---------------------------------------------------------------------------------------

    def flush(self) -> None:
        """Write what every connection has queued."""
        if not self.pending:
            return
        late_by_s = self.faults.slow_by_s(time.monotonic()) if self.faults.active else 0.0
        pending, self.pending = self.pending, {}
        for connection in pending:
            connection.flush(late_by_s)
            if connection.late:
                self.pending[connection] = None

    async def keep_alive(self) -> None:
        """Pings, overdue pongs, the age limit. Runs for ever."""
        while True:
            await asyncio.sleep(min(1.0, self.config.ping_interval_s / 4, self.config.pong_timeout_s / 4))
            now = time.monotonic()
            for connection in list(self.connections.values()):
                waiting = connection.unanswered_since_s
                if waiting is not None and now - waiting >= self.config.pong_timeout_s:
                    connection.close(1008, "Pong timeout")
                elif now - connection.opened_s >= self.config.connection_max_age_s:
                    connection.close(1001, "Connection age limit")
                elif now - connection.pinged_s >= self.config.ping_interval_s:
                    connection.ping(str(time.time_ns() // 1_000_000).encode())

    def announce_shutdown(self, connections: list[Connection]) -> None:
        """The serverShutdown event, then the close."""
        data = b'{"e":"serverShutdown","E":%d}' % (time.time_ns() // 1_000_000)
        for connection in connections:
            wrapped = b'{"stream":"!serverShutdown","data":%b}' % data if connection.combined else data
            connection.queue(text_frame(wrapped))
            connection.flush(0.0)

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
        if not path.startswith("/api/v3/") or self.backend is None:
            return Reply(404, b"404 page not found\n", content_type="text/plain")
        if method != "GET":
            return Reply(405, b"", (("Allow", "GET"),))
        return await self._rest(path[8:], values, ip)

    async def _rest(self, path: str, values: dict[str, str], ip: str) -> Reply:
        config = self.config
        self.counters[f"rest_{path}"] += 1
        budget = self.budgets.setdefault(ip, WeightBudget(config.rest_weight_per_min_max, config.ban_s))
        refusal = budget.spend(weight(path, values), time.time())
        used = ("X-MBX-USED-WEIGHT", str(budget.used)), ("X-MBX-USED-WEIGHT-1M", str(budget.used))
        if (fault := self.faults.take("rest", time.monotonic(), path=path)) is not None:
            return self._refuse(fault.fault.status, fault.fault.retry_after_s, "Refused on request.", used)
        if refusal is not None:
            return self._refuse(refusal.status, refusal.retry_after_s, refusal.message, used)
        assert self.backend is not None
        try:
            stale = self._stale_snapshot(path, values)
            return Reply(200, stale or await self.backend.rest(path, Query(values)), used)
        except ApiError as error:
            return error.reply(used)
        except KeyError:
            return Reply(404, b"404 page not found\n", used, "text/plain")

    def _refuse(self, status: int, retry_after_s: int, message: str, used: tuple[tuple[str, str], ...]) -> Reply:
        self.counters[f"rest_refused_{status}"] += 1
        headers = (*used, ("Retry-After", str(retry_after_s))) if status in (418, 429, 503) else used
        return Reply(status, error_body(-1003 if status in (418, 429) else -1000, message), headers)

    def _stale_snapshot(self, path: str, values: dict[str, str]) -> bytes | None:
        """The snapshot captured when the fault was asked for."""
        symbol = values.get("symbol", "")
        if path != "depth" or symbol not in self.snapshots:
            return None
        if self.faults.take("stale_snapshot", time.monotonic(), symbol=symbol) is None:
            self.snapshots.clear()
            return None
        limit = Query(values).limit(100, 5000)
        body = json.loads(self.snapshots[symbol])
        body["bids"], body["asks"] = body["bids"][:limit], body["asks"][:limit]
        return json.dumps(body, separators=(",", ":")).encode()

    # --- control ------------------------------------------------------------------------------------

    async def control(self, method: str, path: str, values: dict[str, str], body: bytes) -> Reply:
        """GET /sim/status, GET /sim/sent (see `Synthetic.sent`), POST /sim/fault (see `Fault`)."""
        if (method, path) == ("GET", "status"):
            return _json(self.status())
        if (method, path) == ("GET", "sent") and self.sent is not None:
            try:
                return _json(self.sent(values))
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

    async def _apply(self, fault: Fault) -> None:
        metrics.FAULTS.labels(fault.kind).inc()
        chosen = [c for c in self.connections.values() if fault.connection in (None, c.number)]
        if fault.kind == "clear":
            self.faults.requested["clear"] += 1
            self.faults.clear()
            self.snapshots.clear()
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
                loop.call_later(fault.delay_s, connection.close, 1001, "Server shutdown")
        else:
            if fault.kind == "stale_snapshot":
                await self._capture(fault.symbol)
            self.faults.add(fault, time.monotonic())

    async def _capture(self, symbol: str) -> None:
        assert self.backend is not None
        names = self.status_of_backend().get("symbols", []) if symbol == ALL else [symbol]
        for name in names:
            self.snapshots[name] = await self.backend.rest("depth", Query({"symbol": name, "limit": "5000"}))

    def status(self) -> dict[str, Any]:
        return {
            **self.status_of_backend(),
            "connections": [
                {
                    "number": c.number,
                    "streams": len(c.session.streams) if c.session else 0,
                    "combined": c.combined,
                    "age_s": round(time.monotonic() - c.opened_s, 3),
                    "frames_sent": c.frames_sent,
                    "buffered_bytes": c.transport.get_write_buffer_size(),
                }
                for c in self.connections.values()
            ],
            "streams": len(self.hub.subscribers),
            "frames_sent": self.hub.frames_sent,
            "frames_by_kind": dict(self.hub.frames_by_kind),
            "counters": dict(self.counters),
            "faults": self.faults.status(),
            "used_weight": {ip: budget.used for ip, budget in self.budgets.items()},
        }


def _json(value: Any) -> Reply:
    return Reply(200, json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode())
