"""A load generator that looks like Binance spot: pre-serialised frames at a steady rate, in a process of its own.

`python -m bench.venue_load PORT SYMBOLS FRAMES_PER_S SECONDS`. It serves one websocket (`/stream`, any SUBSCRIBE is
acknowledged, then frames flow for SECONDS) and the two REST calls ingest makes. Half of the frames are trades, a
quarter quotes, a quarter book updates with consecutive ids; sizes as recorded from the venue.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import random
import struct
import sys
import time
from collections.abc import Callable
from typing import cast

TICK_S = 0.001
SETTLE_S = 1.0
CHANNELS = ("trade", "trade", "bbo", "book")


def symbols(count: int) -> list[str]:
    return [f"LOAD{n:04d}USDT" for n in range(count)]


class Frames:
    """All frames of a run, made before it begins, and the newest book id of each symbol at every moment."""

    def __init__(self, names: list[str], frames_per_s: int, seconds: int) -> None:
        self.seed = random.Random(1)
        self.ids = dict.fromkeys(names, 1_000_000)
        self.newest = dict(self.ids)
        self.sent = 0
        self._names = names
        self._made: list[tuple[bytes, str, int]] = []
        begin_ms = time.time_ns() // 1_000_000
        for n in range(frames_per_s * seconds):
            self._made.append(self._frame(n, begin_ms + n * 1000 // frames_per_s))

    def _frame(self, n: int, at_ms: int) -> tuple[bytes, str, int]:
        name = self._names[n // len(CHANNELS) % len(self._names)]
        channel = CHANNELS[n % len(CHANNELS)]
        low = name.lower()
        price = f"{self.seed.uniform(100, 101):.8f}"
        if channel == "trade":
            data = (
                f'{{"stream":"{low}@trade","data":{{"e":"trade","E":{at_ms},"s":"{name}","t":{n},"p":"{price}",'
                f'"q":"0.01300000","T":{at_ms},"m":true,"M":true}}}}'
            )
        elif channel == "bbo":
            data = (
                f'{{"stream":"{low}@bookTicker","data":{{"u":{self.ids[name]},"s":"{name}","b":"{price}",'
                f'"B":"1.20000000","a":"{price}","A":"3.40000000"}}}}'
            )
        else:
            first, last = self.ids[name] + 1, self.ids[name] + 12
            self.ids[name] = last
            levels = ",".join(
                f'["{self.seed.uniform(99, 102):.8f}","{self.seed.uniform(0, 9):.8f}"]' for _ in range(10)
            )
            data = (
                f'{{"stream":"{low}@depth@100ms","data":{{"e":"depthUpdate","E":{at_ms},"s":"{name}","U":{first},'
                f'"u":{last},"b":[{levels}],"a":[{levels}]}}}}'
            )
        return text_frame(data.encode()), name, self.ids[name]

    @property
    def done(self) -> bool:
        return self.sent >= len(self._made)

    def take(self, count: int) -> bytes:
        part = self._made[self.sent : self.sent + count]
        self.sent += len(part)
        for _, name, book_id in part:
            self.newest[name] = book_id
        return b"".join(data for data, _, _ in part)


def text_frame(data: bytes) -> bytes:
    """An unmasked websocket text frame."""
    if len(data) < 126:
        return struct.pack(">BB", 0x81, len(data)) + data
    return struct.pack(">BBH", 0x81, 126, len(data)) + data


class Client(asyncio.Protocol):
    """One HTTP connection, which may become the websocket."""

    def __init__(self, frames: Frames, on_subscribed: Callable[[asyncio.Transport], None]) -> None:
        self._frames = frames
        self._on_subscribed = on_subscribed
        self._websocket = False
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if self._websocket:
            self._control()
        elif b"\r\n\r\n" in self._buffer:
            head, self._buffer = self._buffer.split(b"\r\n\r\n", 1)
            self._request(head.decode())

    def _request(self, head: str) -> None:
        path = head.split(" ", 2)[1]
        headers = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:])
        if "upgrade" in headers.get("connection", ""):
            key = next(
                line.split(": ", 1)[1] for line in head.split("\r\n") if line.lower().startswith("sec-websocket-key")
            )
            digest = hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()
            accept = base64.b64encode(digest).decode()
            self._websocket = True
            self._transport.write(
                f"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                f"Sec-WebSocket-Accept: {accept}\r\n\r\n".encode()
            )
            return
        body = self._rest(path)
        self._transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)

    def _rest(self, path: str) -> bytes:
        if "exchangeInfo" in path:
            known = [{"symbol": s, "status": "TRADING", "baseAsset": s[:8], "quoteAsset": "USDT", "filters": []}
                     for s in self._frames.ids]  # fmt: skip
            return json.dumps({"symbols": known}).encode()
        name = path.split("symbol=")[1].split("&")[0]
        levels = [[f"{100 - n / 100:.8f}", "1.00000000"] for n in range(1000)]
        return json.dumps({"lastUpdateId": self._frames.newest[name], "bids": levels, "asks": levels}).encode()

    def _control(self) -> None:
        """Masked client frames: acknowledge every SUBSCRIBE."""
        while len(self._buffer) >= 2:
            size, at = self._buffer[1] & 0x7F, 2
            if size == 126:
                size, at = struct.unpack(">H", self._buffer[2:4])[0], 4
            if len(self._buffer) < at + 4 + size:
                return
            mask, body = self._buffer[at : at + 4], self._buffer[at + 4 : at + 4 + size]
            opcode, self._buffer = self._buffer[0] & 0x0F, self._buffer[at + 4 + size :]
            if opcode == 8:
                self._transport.close()
                return
            text = bytes(b ^ mask[i % 4] for i, b in enumerate(body))
            if opcode == 1:
                self._transport.write(text_frame(b'{"result":null,"id":%d}' % json.loads(text)["id"]))
                self._on_subscribed(self._transport)


async def serve(port: int, count: int, frames_per_s: int, seconds: int) -> None:
    frames = Frames(symbols(count), frames_per_s, seconds)
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[asyncio.Transport] = loop.create_future()

    def on_subscribed(transport: asyncio.Transport) -> None:
        if not ready.done():
            loop.call_later(SETTLE_S, begin, transport)

    def begin(transport: asyncio.Transport) -> None:
        if not ready.done():
            ready.set_result(transport)

    server = await loop.create_server(lambda: Client(frames, on_subscribed), "127.0.0.1", port)
    print("listening", flush=True)
    transport = await ready
    begin_s = time.perf_counter()
    while not frames.done and not transport.is_closing():
        due = int((time.perf_counter() - begin_s) * frames_per_s) - frames.sent
        if due > 0:
            transport.write(frames.take(due))
        await asyncio.sleep(TICK_S)
    print(json.dumps({"sent": frames.sent, "seconds": time.perf_counter() - begin_s}), flush=True)
    await asyncio.sleep(2)
    server.close()


if __name__ == "__main__":
    import uvloop

    uvloop.run(serve(*map(int, sys.argv[1:5])))
