"""Small real servers on loopback: a venue's websocket, an HTTP CONNECT proxy, a SOCKS5 proxy."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from websockets.asyncio.server import ServerConnection, serve

from tests.ingest.ingest_kit import frame

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class FakeVenue:
    """Acknowledges what is asked, sends a frame of every subscribed stream each `pace_s`; unhealthy on request."""

    def __init__(self, pace_s: float = 0.02) -> None:
        self.pace_s = pace_s
        self.sockets: list[ServerConnection] = []
        self.opened = 0
        self.deaf_from: int | None = None
        """Sockets opened as this number or later subscribe to nothing."""
        self.deliver = True
        self.subscribed: dict[ServerConnection, list[str]] = {}
        self.n = 0
        self.port = 0

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    @contextlib.asynccontextmanager
    async def run(self) -> AsyncIterator[FakeVenue]:
        async with serve(self._serve, "127.0.0.1", self.port, ping_interval=None) as server:
            self.port = next(iter(server.sockets)).getsockname()[1]
            beat = asyncio.create_task(self._beat())
            try:
                yield self
            finally:
                beat.cancel()

    async def _serve(self, socket_: ServerConnection) -> None:
        self.opened += 1
        self.sockets.append(socket_)
        self.subscribed[socket_] = []
        deaf = self.deaf_from is not None and self.opened >= self.deaf_from
        with contextlib.suppress(Exception):
            async for message in socket_:
                request = json.loads(message)
                names = [] if deaf else self.subscribed[socket_]
                if request["method"] == "SUBSCRIBE":
                    names += [n for n in request["params"] if n not in names]
                else:
                    self.subscribed[socket_] = [n for n in names if n not in request["params"]]
                await socket_.send(json.dumps({"result": None, "id": request["id"]}))
        self.sockets.remove(socket_)

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(self.pace_s)
            self.n += 1
            for socket_ in list(self.sockets) if self.deliver else ():
                for name in list(self.subscribed[socket_]):
                    with contextlib.suppress(Exception):
                        await socket_.send(frame(name, n=self.n).decode())


@contextlib.asynccontextmanager
async def tcp_server(handler: Handler) -> AsyncIterator[int]:
    """A server on a free port; its connections end with it."""
    tasks: set[asyncio.Task[Any]] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await handler(reader, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            tasks.discard(task)
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _pipe(a: tuple[asyncio.StreamReader, asyncio.StreamWriter], host: str, port: int) -> None:
    up_reader, up_writer = await asyncio.open_connection(host, port)

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        with contextlib.suppress(OSError):
            writer.write_eof()

    try:
        await asyncio.gather(copy(a[0], up_writer), copy(up_reader, a[1]))
    finally:
        up_writer.close()


def connect_proxy(seen: list[str]) -> Handler:
    """HTTP: CONNECT for tunnels, absolute URLs for plain requests."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        method, target, _ = head.split(" ", 2)
        seen.append(f"{method} {target}")
        if method == "CONNECT":
            host, _, port = target.rpartition(":")
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            await _pipe((reader, writer), host, int(port))
        else:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\nConnection: close\r\n\r\nthe proxy")
            await writer.drain()

    return handle


def socks5_proxy(seen: list[str]) -> Handler:
    """SOCKS5 without authentication, CONNECT only (RFC 1928)."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        _, methods = await reader.readexactly(2)
        await reader.readexactly(methods)
        writer.write(b"\x05\x00")
        _, _, _, kind = await reader.readexactly(4)
        if kind == 1:
            host = socket.inet_ntoa(await reader.readexactly(4))
        else:
            host = (await reader.readexactly((await reader.readexactly(1))[0])).decode()
        (port,) = struct.unpack(">H", await reader.readexactly(2))
        seen.append(f"{host}:{port}")
        writer.write(b"\x05\x00\x00\x01\x7f\x00\x00\x01\x00\x00")
        await _pipe((reader, writer), host, port)

    return handle


async def until(condition: Callable[[], object], timeout_s: float = 30.0, what: str = "the condition") -> None:
    """Wait for a condition, with a deadline."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout_s
    while not condition():
        assert loop.time() < deadline, f"{what} did not come true in {timeout_s:.0f} s"
        await asyncio.sleep(0.01)
