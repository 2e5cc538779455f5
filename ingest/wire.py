"""One websocket, frames handed over as they come.

`websockets` gives messages through `recv()`: a task switch per frame, and no sight of the server's pings. We take
frames where the library has parsed them, stamp the time before that, and see the pings (it answers them by itself).
"""

from __future__ import annotations

import time
from typing import Any, Protocol

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException
from websockets.frames import Frame, Opcode
from websockets.protocol import Event

from marketdata.topics import SNAPSHOT_MAX_BYTES

CLOSE_TIMEOUT_S = 2.0

ConnectError = (OSError, TimeoutError, WebSocketException, ValueError, EOFError)
"""What opening a socket may raise: network, proxy, TLS, handshake, a redirect that makes no sense."""


class Receiver(Protocol):
    """Who takes what a socket delivers. Called from the event loop, in order."""

    def on_frame(self, frame: bytes, binary: bool, recv_ns: int, now_s: float) -> None:
        """One message; `recv_ns` was read before it was parsed, `now_s` is the monotonic clock."""

    def on_server_ping(self, now_s: float) -> None: ...

    def on_closed(self, reason: str) -> None:
        """The socket is gone: `closed <code> <text>`."""


class Wire(ClientConnection):
    """A connection of `websockets` that feeds a Receiver instead of a queue."""

    receiver: Receiver | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._recv_ns = 0
        self._now_s = 0.0
        self._parts: list[bytes] = []
        self._binary = False
        self._early: list[tuple[bytes, bool, int, float]] = []

    def attach(self, receiver: Receiver) -> None:
        """Begin to deliver; what came between the handshake and now comes first."""
        self.receiver = receiver
        early, self._early = self._early, []
        for frame in early:
            receiver.on_frame(*frame)

    def data_received(self, data: bytes) -> None:
        self._recv_ns = time.time_ns()
        self._now_s = time.monotonic()
        super().data_received(data)

    def process_event(self, event: Event) -> None:
        if self.response is None or not isinstance(event, Frame):
            super().process_event(event)
            return
        opcode = event.opcode
        if opcode is Opcode.TEXT or opcode is Opcode.BINARY:
            if event.fin:
                self._deliver(bytes(event.data), opcode is Opcode.BINARY)
            else:
                self._parts = [bytes(event.data)]
                self._binary = opcode is Opcode.BINARY
        elif opcode is Opcode.CONT:
            self._parts.append(bytes(event.data))
            if event.fin:
                self._deliver(b"".join(self._parts), self._binary)
                self._parts = []
        elif opcode is Opcode.PING:
            if self.receiver is not None:
                self.receiver.on_server_ping(self._now_s)
        else:
            super().process_event(event)

    def _deliver(self, frame: bytes, binary: bool) -> None:
        if self.receiver is not None:
            self.receiver.on_frame(frame, binary, self._recv_ns, self._now_s)
        else:
            self._early.append((frame, binary, self._recv_ns, self._now_s))

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self.receiver is not None:
            self.receiver.on_closed(self.close_text())

    def close_text(self) -> str:
        """How the socket ended: `closed <code> <the venue's text>`; 1006 when it just broke."""
        received = self.protocol.close_rcvd
        if received is not None:
            return f"closed {int(received.code)} {received.reason}".rstrip()
        why = f" {self.connection_exc}" if self.connection_exc else ""
        return f"closed 1006{why}"

    def send_now(self, message: str | bytes) -> None:
        """Send without waiting for the socket's buffer; requests are few and small. Nothing on a closing socket."""
        if self.protocol.state.name != "OPEN":
            return
        if isinstance(message, str):
            self.protocol.send_text(message.encode())
        else:
            self.protocol.send_binary(message)
        self.send_data()


async def open_wire(url: str, proxy: str | None, timeout_s: float) -> Wire:
    """Connect. Raises one of ConnectError.

    The library's own keepalive is off: its pings would count against the venue's message limit, and its pong deadline
    closes healthy sockets. Liveness is judged by the server's pings and by data.
    """
    wire = await connect(
        url,
        create_connection=Wire,
        proxy=proxy,
        compression=None,
        open_timeout=timeout_s,
        ping_interval=None,
        close_timeout=CLOSE_TIMEOUT_S,
        max_size=SNAPSHOT_MAX_BYTES,
    )
    assert isinstance(wire, Wire)
    return wire


async def close_wire(wire: Wire, code: int = 1000, reason: str = "") -> None:
    """Say goodbye; the socket is gone at the latest after CLOSE_TIMEOUT_S."""
    try:
        await wire.close(code, reason)
    except (TimeoutError, OSError):
        wire.transport.abort()
