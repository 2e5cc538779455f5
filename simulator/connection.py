"""One TCP connection: HTTP/1.1 with keep-alive until it asks to become a WebSocket, then frames.

Both on one port, with bytes under our control: frames are written in batches to the transport, and a connection can
be cut as rudely as a fault asks for. HTTP is parsed by h11, WebSocket by the sans-I/O part of websockets.
"""

from __future__ import annotations

import asyncio
import contextlib
import http
import itertools
import socket
from collections import deque
from collections.abc import Coroutine, Sequence
from typing import Any, NamedTuple, Protocol, cast

import h11
from websockets.exceptions import ProtocolError
from websockets.frames import CloseCode, Frame, Opcode
from websockets.http11 import Request as WsRequest
from websockets.protocol import State
from websockets.server import ServerProtocol

from simulator.dialect import Close, Session
from simulator.forms import TEXT, Form
from simulator.hub import Hub
from simulator.limits import Window
from simulator.rest_params import Reply

BODY_BYTES_MAX = 1_000_000
MESSAGE_BYTES_MAX = 1_000_000
CLOSE_TIMEOUT_S = 3.0
numbers = itertools.count(1)


class Accepted(NamedTuple):
    """A handshake that may go on."""

    venue: str
    session: Session
    hub: Hub
    messages_per_s_max: int


class Exchange(Protocol):
    """What connections need of the server."""

    write_buffer_bytes_max: int

    def monotonic(self) -> float: ...

    def opened(self, connection: Connection) -> None: ...

    def closed(self, connection: Connection) -> None: ...

    def accept(self, target: str, ip: str, number: int) -> Accepted | Reply:
        """What a handshake leads to, or its refusal."""

    def subscriptions_changed(self, connection: Connection, before: dict[str, None]) -> None: ...

    def has_output(self, connection: Connection) -> None: ...

    def request(self, method: str, target: str, body: bytes, ip: str) -> Coroutine[Any, Any, Reply]: ...


class Connection(asyncio.Protocol):
    """See the module."""

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange
        self.number = next(numbers)
        self.http = h11.Connection(h11.SERVER)
        self.ws: ServerProtocol | None = None
        self.accepted: Accepted | None = None
        self.out: list[bytes] = []
        self.late: deque[tuple[float, bytes]] = deque()
        self.frames_sent = 0
        self.rate = Window(0, 1.0)
        self.opened_s = self.pinged_s = self.pushed_s = self.heard_s = exchange.monotonic()
        self.unanswered_since_s: float | None = None
        self.task: asyncio.Task[None] | None = None
        self.head: h11.Request | None = None
        self.body = b""
        self.ip = ""

    @property
    def session(self) -> Session | None:
        """None while it speaks HTTP."""
        return self.accepted.session if self.accepted is not None else None

    @property
    def form(self) -> Form:
        return self.accepted.session.form if self.accepted is not None else TEXT

    # --- TCP ----------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass
        peer = transport.get_extra_info("peername")
        self.ip = peer[0] if isinstance(peer, tuple) else ""
        if (sock := transport.get_extra_info("socket")) is not None:
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def data_received(self, data: bytes) -> None:
        if self.ws is not None:
            self._ws_data(data)
        else:
            self.http.receive_data(data)
            self._http_events()

    def eof_received(self) -> bool:
        if self.ws is not None:
            self.ws.receive_eof()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        if self.task is not None:
            self.task.cancel()
        if self.session is not None:
            self.exchange.closed(self)

    # --- HTTP ---------------------------------------------------------------------------------------

    def _http_events(self) -> None:
        try:
            while True:
                event = self.http.next_event()
                if isinstance(event, h11.Request):
                    self.head, self.body = event, b""
                elif isinstance(event, h11.Data):
                    self.body += event.data
                    if len(self.body) > BODY_BYTES_MAX:
                        return self.transport.close()
                elif isinstance(event, h11.EndOfMessage):
                    return self._dispatch()
                elif isinstance(event, h11.ConnectionClosed):
                    return self.transport.close()
                else:
                    return None
        except h11.RemoteProtocolError:
            self.transport.close()

    def _dispatch(self) -> None:
        head = self.head
        assert head is not None
        target = head.target.decode("latin-1")
        headers = {name.lower(): value for name, value in head.headers}
        if headers.get(b"upgrade", b"").lower() == b"websocket":
            self._upgrade(head, target)
            return
        self.task = asyncio.get_running_loop().create_task(self._answer(head.method.decode(), target))

    async def _answer(self, method: str, target: str) -> None:
        reply = await self.exchange.request(method, target, self.body, self.ip)
        self._send_reply(reply)
        if self.http.our_state is h11.MUST_CLOSE:
            self.transport.close()
        elif self.http.our_state is h11.DONE and self.http.their_state is h11.DONE:
            self.http.start_next_cycle()
            self._http_events()

    def _send_reply(self, reply: Reply) -> None:
        headers = [
            ("Content-Type", reply.content_type),
            ("Content-Length", str(len(reply.body))),
            ("Server", "nginx"),
            *reply.headers,
        ]
        head = self.http.send(
            h11.Response(status_code=reply.status, headers=headers, reason=http.HTTPStatus(reply.status).phrase)
        )
        body = self.http.send(h11.Data(data=reply.body))
        end = self.http.send(h11.EndOfMessage())
        self.transport.write(b"".join(part for part in (head, body, end) if part))

    def _upgrade(self, head: h11.Request, target: str) -> None:
        accepted = self.exchange.accept(target, self.ip, self.number)
        if isinstance(accepted, Reply):
            self._send_reply(accepted)
            self.transport.close()
            return
        self._begin_ws(head, target, accepted)

    def _begin_ws(self, head: h11.Request, target: str, accepted: Accepted) -> None:
        ws = ServerProtocol(max_size=MESSAGE_BYTES_MAX)
        lines = [f"GET {target} HTTP/1.1".encode("latin-1"), *(b"%b: %b" % pair for pair in head.headers)]
        ws.receive_data(b"\r\n".join(lines) + b"\r\n\r\n" + self.http.trailing_data[0])
        request = next(event for event in ws.events_received() if isinstance(event, WsRequest))
        response = ws.accept(request)
        ws.send_response(response)
        self.ws = ws
        if response.status_code != 101:
            self._flush_protocol()
            return
        self.accepted = accepted
        self.rate = Window(accepted.messages_per_s_max, 1.0)
        self._flush_protocol()
        self.exchange.opened(self)
        self.tell(accepted.session.greeting())
        self.exchange.subscriptions_changed(self, {})
        self._ws_data(b"")

    # --- WebSocket ----------------------------------------------------------------------------------

    def _ws_data(self, data: bytes) -> None:
        assert self.ws is not None
        try:
            if data:
                self.ws.receive_data(data)
        except (EOFError, ProtocolError):
            self.transport.abort()
            return
        for event in self.ws.events_received():
            if isinstance(event, Frame):
                self._frame(event)
        self._flush_protocol()

    def _frame(self, frame: Frame) -> None:
        if self.session is None or self.ws is None or self.ws.state is not State.OPEN:
            return
        if frame.opcode is Opcode.PONG:
            self.unanswered_since_s = None
        if frame.opcode is not Opcode.CLOSE and not self.rate.add(self.exchange.monotonic()):
            self.close(CloseCode.POLICY_VIOLATION, "Too many requests")
            return
        if frame.opcode in (Opcode.TEXT, Opcode.BINARY):
            self.heard_s = self.exchange.monotonic()
            before = dict(self.session.streams)
            try:
                replies = self.session.handle(bytes(frame.data), self.heard_s)
            except Close as asked:
                self.close(asked.code, asked.reason)
                return
            self.tell(replies)
            if self.session.streams.keys() != before.keys():
                self.exchange.subscriptions_changed(self, before)

    def tell(self, payloads: Sequence[bytes]) -> None:
        """Write answers at once, behind what is queued."""
        for payload in payloads:
            self.queue(self.form.reply(payload))
        self.flush(0.0)

    def queue(self, frame: bytes) -> None:
        """Have a ready-made frame sent with the next flush."""
        if not self.out:
            self.exchange.has_output(self)
        self.out.append(frame)

    def flush(self, late_by_s: float) -> None:
        """Write what is queued; held back while `late_by_s` is not 0, order kept."""
        batch, self.out = self.out, []
        self.frames_sent += len(batch)
        if batch:
            self.pushed_s = self.exchange.monotonic()
        if self.ws is None or self.ws.state is not State.OPEN:
            return
        if late_by_s or self.late:
            now = self.exchange.monotonic()
            if batch:
                self.late.append((now + late_by_s, b"".join(batch)))
            ready = []
            while self.late and self.late[0][0] <= now:
                ready.append(self.late.popleft()[1])
            batch = ready
        if batch:
            self.transport.write(b"".join(batch))
            if self.transport.get_write_buffer_size() > self.exchange.write_buffer_bytes_max:
                self.transport.abort()

    def ping(self, payload: bytes) -> None:
        if self.ws is not None and self.ws.state is State.OPEN:
            self.ws.send_ping(payload)
            self.pinged_s = self.exchange.monotonic()
            if self.unanswered_since_s is None:
                self.unanswered_since_s = self.pinged_s
            self._flush_protocol()

    def close(self, code: int, reason: str) -> None:
        """Close with a code; the transport goes when the peer answered or did not within a few seconds."""
        if self.ws is None or self.ws.state is not State.OPEN:
            return
        self.flush(0.0)
        self.ws.send_close(code, reason)
        self._flush_protocol()
        asyncio.get_running_loop().call_later(CLOSE_TIMEOUT_S, self.transport.abort)

    def abort(self) -> None:
        """Cut the TCP connection without a word (RST)."""
        if (sock := self.transport.get_extra_info("socket")) is not None:
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.transport.abort()

    def _flush_protocol(self) -> None:
        assert self.ws is not None
        for data in self.ws.data_to_send():
            if data:
                self.transport.write(data)
            else:
                self.transport.close()
