"""Plays a recorded session to whoever subscribed: bytes unaltered, in order, at true speed or faster."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from runtime.config.simulator import Simulator
from simulator import metrics
from simulator.connection import Connection
from simulator.recording import RecordedFrame, RecordedSnapshot, Recording, parse_recording, snapshot_at
from simulator.rest_params import ApiError, Query, Reply, exchange_info, invalid_symbol
from simulator.server import Server

ENDED = "recording ended"
POLL_S = 0.01


def read_recording(path: Path) -> Recording:
    """The session and its receive times. Raises OSError, BadRecording."""
    times = path.with_name(path.name.removesuffix(".jsonl") + ".recv.txt")
    received = times.read_text().split() if times.exists() else None
    with path.open("rb") as lines:
        return parse_recording(path.name, lines, received)


class Replay:
    """Clock, position and REST replies of one playing."""

    def __init__(self, config: Simulator, server: Server, recording: Recording) -> None:
        self.config = config
        self.server = server
        self.recording = recording
        self.position = 0
        self.state = "waiting"
        self.first_subscribed_s: float | None = None
        self.started_s = 0.0
        self.wanted = set(recording.streams)
        self.joined: dict[tuple[int, str], int] = {}
        """(connection, depth stream) -> first U it was sent."""
        server.spot.backend = self
        server.spot.status_of_backend = self.status
        server.on_subscribed = self.subscribed
        self.paths: dict[str, Callable[[Query], bytes]] = {
            "ping": lambda _: b"{}",
            "time": lambda _: b'{"serverTime":%d}' % (self.now_us() // 1000),
            "exchangeInfo": self.exchange_info,
        }

    # --- clock --------------------------------------------------------------------------------------

    def subscribed(self) -> None:
        """Start when every stream has a subscriber; `run` starts anyway some time after the first has one."""
        missing = self.wanted - self.server.hub.subscribers.keys()
        if self.first_subscribed_s is None and len(missing) < len(self.wanted):
            self.first_subscribed_s = time.monotonic()
        if not missing:
            self._start()

    def _start(self) -> None:
        if self.state == "waiting":
            self.state = "playing"
            self.started_s = time.monotonic()

    def now_us(self) -> int:
        """The session's clock: where it stands, in the time of the recording."""
        first, last = self.recording.frames[0].time_us, self.recording.frames[-1].time_us
        if self.state == "waiting":
            return first
        return min(last, first + int((time.monotonic() - self.started_s) * 1e6 * self.config.speed))

    async def run(self) -> None:
        while self.state == "waiting":
            since = self.first_subscribed_s
            if since is not None and time.monotonic() - since >= self.config.start_wait_s_max:
                self._start()
            await asyncio.sleep(POLL_S)
        frames = self.recording.frames
        while self.position < len(frames):
            now_us = self.now_us()
            sent = self.server.hub.frames_sent
            while self.position < len(frames) and frames[self.position].time_us <= now_us:
                self._publish(frames[self.position])
                self.position += 1
            self.server.flush()
            metrics.FRAMES.inc(self.server.hub.frames_sent - sent)
            await asyncio.sleep(self.config.tick_ms / 1000)
        self._end()
        while True:
            await asyncio.sleep(3600)

    def _publish(self, frame: RecordedFrame) -> None:
        if "@depth" in frame.stream:
            for subscriber in self.server.hub.subscribers.get(frame.stream, ()):
                if isinstance(subscriber, Connection):
                    key = (subscriber.number, frame.stream)
                    if key not in self.joined:
                        self.joined[key] = json.loads(frame.data).get("U", 0)
        self.server.hub.publish_bytes(frame.stream, frame.data, frame.whole)

    def _end(self) -> None:
        self.state = "ended"
        self.server.refusal = Reply(503, ENDED.encode() + b"\n", content_type="text/plain")
        self.server.close_all(1001, ENDED)

    def close(self) -> None:
        """Nothing outlives a recording."""

    def status(self) -> dict[str, Any]:
        return {
            "mode": "recording",
            "simulated": True,
            "recording": self.recording.name,
            "state": self.state,
            "said": ENDED if self.state == "ended" else self.state,
            "speed": self.config.speed,
            "symbols": self.recording.symbols,
            "time_us": self.now_us(),
            "frames": len(self.recording.frames),
            "frames_played": self.position,
            "lines_skipped": self.recording.skipped,
            "recorded_streams": self.recording.streams,
            "streams_waited_for": sorted(self.wanted - self.server.hub.subscribers.keys()),
        }

    # --- REST ---------------------------------------------------------------------------------------

    async def rest(self, path: str, query: Query) -> bytes:
        if path == "depth":
            return await self._depth(query.text("symbol"), query.limit(100, 5000))
        if path in self.paths:
            return self.paths[path](query)
        raise ApiError(-1000, "This endpoint was not recorded.", 503)

    def exchange_info(self, query: Query) -> bytes:
        wanted = query.symbols()
        if wanted is not None and not set(wanted) <= set(self.recording.symbols):
            raise invalid_symbol()
        infos = [info for info in self.recording.infos if wanted is None or info["symbol"] in wanted]
        return exchange_info(infos, self.now_us() // 1000, self.config.rest_weight_per_min_max)

    async def _depth(self, symbol: str, limit: int) -> bytes:
        """The recorded reply, from the moment on at which it was recorded.

        A request before waits for it, for the reply is about updates that are still to come. The whole body goes to
        a request for as many levels as were recorded; a client that asks for more is told so: fewer levels than
        asked for would mean that the book ends there.
        """
        if symbol not in self.recording.symbols:
            raise invalid_symbol()
        recorded = self.recording.snapshots.get(symbol, [])
        if not recorded:
            raise ApiError(-1000, "No depth of this symbol was recorded.", 503)
        if limit > max(each.limit for each in recorded):
            raise ApiError(-1130, "Data sent for parameter 'limit' is not valid.")
        deadline = time.monotonic() + self.config.snapshot_wait_s_max
        while (snapshot := self._reached(recorded)) is None:
            if time.monotonic() >= deadline:
                raise ApiError(-1007, "Timeout waiting for response from backend server.", 503)
            await asyncio.sleep(POLL_S)
        if self._bridges(symbol, snapshot):
            return snapshot.body if limit >= snapshot.limit else _cut(snapshot.body, limit)
        return snapshot_at(self.recording, symbol, snapshot, self.position, limit)

    def _reached(self, recorded: list[RecordedSnapshot]) -> RecordedSnapshot | None:
        if self.state == "waiting":
            return None
        reached = [each for each in recorded if each.position <= self.position and each.time_us <= self.now_us()]
        return reached[-1] if reached else None

    def _bridges(self, symbol: str, snapshot: RecordedSnapshot) -> bool:
        """Whether every present subscriber can go on from the recorded reply with what it was sent."""
        stream = f"{symbol.lower()}@depth"
        firsts = [
            first
            for (number, name), first in self.joined.items()
            if name.startswith(stream) and number in self.server.connections
        ]
        return not firsts or max(firsts) <= snapshot.last_id + 1


def _cut(body: bytes, limit: int) -> bytes:
    told = json.loads(body)
    told["bids"], told["asks"] = told["bids"][:limit], told["asks"][:limit]
    return json.dumps(told, separators=(",", ":")).encode()
