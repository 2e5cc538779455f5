"""The toy venue on loopback, websocket and REST, and one market of ingest that captures it."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

from websockets.asyncio.server import ServerConnection, serve

from ingest.feed import Attempts
from ingest.market import Market, Surroundings
from ingest.metrics import Metrics
from ingest.pools import LocalLedger, Pools
from marketdata.raw import Headers
from runtime.config import Config
from runtime.config.ingest import MarketConfig
from tests.ingest.ingest_kit import Log
from tests.ingest.ingest_servers import tcp_server
from tests.ingest.ingest_toy import data, update
from venues.contract import Venue


class ToyServer:
    """Acknowledges each stream by itself; a frame of every subscribed stream each `pace_s`."""

    def __init__(self, pace_s: float = 0.02) -> None:
        self.pace_s = pace_s
        self.subscribed: dict[ServerConnection, dict[str, int]] = {}
        """By socket: streams, and the newest id of each."""
        self.requests: list[tuple[str, list[str]]] = []
        self.opened = 0
        self.unknown: set[str] = set()
        """Streams that are dropped without a word."""
        self.wholes = True
        """Book streams begin with the whole book."""
        self.skip: set[str] = set()
        """Streams whose next frame misses some ids."""
        self.listing: dict[str, dict[str, str]] = {}
        self.volumes: dict[str, int] = {}
        self.asked: list[str] = []
        self.instead: list[tuple[str, int, bytes]] = []
        """(path, status, body) to answer with once."""
        self.silent: set[str] = set()
        """Paths whose answers wait until they are taken out of here."""
        self.ws_url = self.rest_url = ""

    @contextlib.asynccontextmanager
    async def run(self) -> AsyncIterator[ToyServer]:
        async with serve(self._serve, "127.0.0.1", 0, ping_interval=None) as server, tcp_server(self._http) as port:
            self.ws_url = f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}"
            self.rest_url = f"http://127.0.0.1:{port}"
            beat = asyncio.create_task(self._beat())
            try:
                yield self
            finally:
                beat.cancel()

    async def _serve(self, socket: ServerConnection) -> None:
        self.opened += 1
        streams = self.subscribed[socket] = {}
        with contextlib.suppress(Exception):
            async for message in socket:
                if message == "ping":
                    await socket.send("pong")
                    continue
                m = json.loads(message)
                self.requests.append((m["op"], m["names"]))
                if m["op"] == "book":
                    name = m["names"][0]
                    await socket.send(update(name.partition(":")[2], streams[name], whole=True).decode())
                    continue
                taken = [n for n in m["names"] if n not in self.unknown]
                for name in m["names"]:
                    if m["op"] == "unsub":
                        streams.pop(name, None)
                if m["op"] != "hello":
                    await socket.send(json.dumps({"id": m["id"], "ok": taken, "final": True}))
                if m["op"] == "sub":
                    for name in taken:
                        await self._begin(socket, streams, name)
        del self.subscribed[socket]

    async def _begin(self, socket: ServerConnection, streams: dict[str, int], name: str) -> None:
        streams[name] = 1000 * self.opened
        if name.startswith("book:") and self.wholes:
            await socket.send(update(name[5:], streams[name], whole=True).decode())

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(self.pace_s)
            for socket, streams in list(self.subscribed.items()):
                for name in [n for n in streams if n != "listings"]:
                    streams[name] += 10 if name in self.skip else 1
                    self.skip.discard(name)
                    channel, _, symbol = name.partition(":")
                    if channel == "book":
                        frame = update(symbol, streams[name])
                    else:
                        about = ["A", "B", "C"] if symbol == "*" else []
                        frame = data(name, time.time_ns() // 1_000_000, about, n=streams[name])
                    with contextlib.suppress(Exception):
                        await socket.send(frame.decode())

    async def say(self, **message: Any) -> None:
        """A message to all."""
        for socket in list(self.subscribed):
            await socket.send(json.dumps(message))

    def subscriptions(self, name: str) -> int:
        """How often a stream was asked for."""
        return sum(names.count(name) for op, names in self.requests if op == "sub")

    async def _http(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.readuntil(b"\r\n\r\n"):
            target = head.split(b" ", 2)[1].decode()
            self.asked.append(target)
            while urlsplit(target).path in self.silent:
                await asyncio.sleep(0.01)
            status, body = 200, self._body(target)
            for entry in self.instead:
                if entry[0] == urlsplit(target).path:
                    self.instead.remove(entry)
                    status, body = entry[1], entry[2]
                    break
            writer.write(f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
            await writer.drain()

    def _body(self, target: str) -> bytes:
        parts = urlsplit(target)
        if parts.path == "/instruments":
            return json.dumps(self.listing).encode()
        if parts.path == "/volumes":
            return json.dumps(self.volumes).encode()
        if parts.path == "/oi":
            return json.dumps({"rows": {s: {"oi": len(self.asked)} for s in ("A", "B", "C", "X")}}).encode()
        if parts.path == "/ratio":
            return json.dumps({"rows": [], "ratio": "1.5", "of": parse_qs(parts.query)["s"][0]}).encode()
        return json.dumps({"id": 1}).encode()


class Capture:
    """One market of ingest, ticking."""

    def __init__(self, market: Market, log: Log, metrics: Metrics) -> None:
        self.market, self.log, self.metrics = market, log, metrics
        self.selected: list[dict[str, tuple[str, ...]]] = []

    def kinds(self, topic: str, symbol: str) -> list[str]:
        return self.log.kinds(topic, f"toy.perp.{symbol}")

    def counted(self, name: str, *labels: str) -> int:
        return self.metrics.counted(name, "toy", "perp", *labels)

    def headers(self, kind: str) -> list[Headers]:
        return [self.log.headers(r) for r in self.log.of(kind)]


@contextlib.asynccontextmanager
async def capturing(
    server: ToyServer, venue: Venue, ingest: Mapping[str, Any] | None = None, **market: Any
) -> AsyncIterator[Capture]:
    log, metrics, numbers = Log(), Metrics(), itertools.count(1)
    settings = {"reconnect_delay_s_min": 0.05, "reconnect_delay_s_max": 0.2, "snapshot_demand_interval_s": 0.2}
    config = Config.model_validate({"ingest": {**settings, "instruments_wait_s": 0.5, **(ingest or {})}})
    failed: list[BaseException] = []

    def on_task_done(task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (exc := task.exception()) is not None:
            failed.append(exc)

    holder: list[Capture] = []

    def on_selected(_: tuple[str, str], symbols: Mapping[str, tuple[str, ...]]) -> None:
        holder[0].selected.append(dict(symbols))

    def before(_: tuple[str, str]) -> Iterable[str]:
        return holder[0].selected[-1] if holder[0].selected else ()

    around = Surroundings(
        config, log.add, metrics, lambda: f"c{next(numbers)}", lambda: True, {}, on_task_done, on_selected, before
    )
    place = MarketConfig.model_validate({"ws_url": server.ws_url, "rest_url": server.rest_url, "symbols": [], **market})
    pools = Pools(LocalLedger(venue.protocol.limits.rest_pools, 1.0))
    capture = Capture(Market(venue, place, around, pools, Attempts(3000)), log, metrics)
    holder.append(capture)

    async def tick() -> None:
        while True:
            capture.market.tick(time.monotonic(), time.time_ns())
            await asyncio.sleep(0.02)

    await capture.market.start()
    ticking = asyncio.create_task(tick())
    try:
        yield capture
    finally:
        ticking.cancel()
        await capture.market.stop()
        if failed:
            raise failed[0]
