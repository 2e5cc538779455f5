"""A group of streams kept on a live connection for ever: connect, reconnect, rotate, replace."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Callable
from dataclasses import dataclass

from websockets.exceptions import InvalidStatus

from ingest.budget import REFUSED_STATUS, ordered_wait_s, retry_after_s
from ingest.connection import Connection
from ingest.handover import can_replace, take_over
from ingest.lines import Group, Host
from ingest.metrics import events
from ingest.pacing import Backoff, Window
from ingest.plan import Group as StreamGroup
from ingest.wire import ConnectError, Wire, close_wire, open_wire
from runtime.config.ingest import Ingest
from venues.contract import Stream

ATTEMPTS_SHARE = 0.8
"""Of the venue's connection attempts per 5 minutes; others may live behind the same address."""
ATTEMPTS_SPAN_S = 300.0
ATTEMPTS_PER_S = 2.0
"""One after the other; faster only where our share of the venue's bound is more than that on average. OKX counts 3 in a
second as they arrive: two sent together and held up would meet the next two there."""
ROTATION_JITTER = 0.1
"""Connections opened together must not all be replaced together: each rotates up to this part earlier."""
REPLACEMENT_WAIT_FACTOR = 2.0
"""A replacement that does not deliver everything within so many first-data timeouts is given up."""
BOOKS_WAIT_S = 600.0
"""The old connection stays so long for books that the new one has no anchor for yet; then it closes all the same."""
GONE_POLL_S = 0.05
ATTEMPT_POLL_S = 0.2


class Attempts:
    """Connection attempts to one address: within the venue's bound per 5 minutes, spaced, and none while the venue told
    us to wait. `sharers`: processes that divide the bound."""

    def __init__(self, per_5_min: int, sharers: int = 1) -> None:
        share = ATTEMPTS_SHARE / sharers
        self._long = Window(int(per_5_min * share), ATTEMPTS_SPAN_S)
        self._short = Window(1, 1.0 / max(ATTEMPTS_PER_S / sharers, per_5_min * share / ATTEMPTS_SPAN_S))
        self._blocked_until_s = 0.0

    def wait_s(self, now_s: float) -> float:
        return max(self._long.wait_s(now_s), self._short.wait_s(now_s), self._blocked_until_s - now_s)

    def block(self, wait_s: float, now_s: float) -> None:
        """The venue refused a handshake: nobody tries for so long. Never shortens an earlier order."""
        self._blocked_until_s = max(self._blocked_until_s, now_s + wait_s)

    def take(self, now_s: float) -> None:
        self._long.take(now_s)
        self._short.take(now_s)


@dataclass(frozen=True)
class Around:
    """What all feeds of a market share."""

    ws_url: str
    proxy: str | None
    settings: Ingest
    attempts: Attempts
    next_conn: Callable[[], str]
    may_connect: Callable[[], bool]
    """False while the spill is full: nowhere to put frames."""


class Link:
    """A socket and its Connection."""

    def __init__(self, wire: Wire, connection: Connection, host: Host) -> None:
        self.wire = wire
        self.connection = connection
        self.closed = asyncio.Event()
        self._host = host
        self._closing: asyncio.Task[None] | None = None
        wire.attach(self)

    def on_frame(self, frame: bytes, binary: bool, recv_ns: int, now_s: float) -> None:
        if self.connection.ended:
            return
        try:
            self.connection.on_frame(frame, binary, recv_ns, now_s)
        except Exception as exc:  # noqa: BLE001  outermost: a bug of ours must lose no frame and no connection
            market = ".".join(self._host.market)
            events.frame_failed(market)
            self._host.metrics.count("dead_letters", *self._host.market, "ingest_error")
            self._host.publish(self._host.records.dead_letter(frame, "ingest_error", repr(exc), recv_ns))

    def on_server_ping(self, now_s: float) -> None:
        self.connection.on_server_ping(now_s)

    def on_closed(self, reason: str) -> None:
        self.connection.end(reason, time.time_ns())
        self.closed.set()

    def close(self, reason: str) -> None:
        """Leave for a reason of ours; frames after this moment are not taken any more."""
        self.connection.end(reason, time.time_ns())
        self.closed.set()
        if self._closing is None:
            self._closing = asyncio.create_task(close_wire(self.wire))

    async def gone(self) -> None:
        if self._closing is not None:
            await self._closing


class Feed:
    """Streams of one group. `run` is the task; `tick` drives time."""

    def __init__(self, group: StreamGroup, host: Host, around: Around) -> None:
        self.group = group
        self._host = host
        self._around = around
        self._links: list[Link] = []
        self._backoff = Backoff(
            around.settings.reconnect_delay_s_min, around.settings.reconnect_delay_s_max, random.random
        )
        self._rotate_at_s = 0.0
        self._not_before_s = 0.0  # after a failed replacement
        self._stopping = ""
        self._opening: asyncio.Task[Wire] | None = None
        self._wake = asyncio.Event()

    # --- what the market asks ---

    @property
    def connections(self) -> list[Connection]:
        """Live connections, oldest first."""
        return [link.connection for link in list(self._links) if not link.connection.ended]

    def covered(self, conn: str, group: Group) -> bool:
        """Does a live connection other than `conn` deliver all of that (key, topic)?"""
        return any(c.conn != conn and c.covers(group) for c in self.connections)

    def add(self, streams: list[Stream]) -> None:
        """Streams already in `group`, to be carried by what is connected now too."""
        for connection in self.connections:
            connection.add(streams)

    def remove(self, streams: list[Stream]) -> None:
        for stream in streams:
            self.group.streams.pop(stream.name, None)
        if not self.group.streams:
            self.stop("unsubscribed")
            return
        for connection in self.connections:
            connection.remove(streams)

    def share(self, name: str, symbol: str) -> None:
        for connection in self.connections:
            connection.share(name, symbol)

    def unshare(self, name: str, symbol: str) -> None:
        for connection in self.connections:
            connection.unshare(name, symbol, time.time_ns())

    def rotate(self, conn: str) -> None:
        """Replace the connection `conn` now."""
        if self._links and self._links[0].connection.conn == conn and len(self._links) == 1:
            self._rotate_at_s = min(self._rotate_at_s, max(time.monotonic(), self._not_before_s))
            self._wake.set()

    def close(self, reason: str) -> None:
        """End what is open; `run` opens it again when it may."""
        for link in list(self._links):
            link.close(reason)

    def stop(self, reason: str) -> None:
        """End what is open for good; `run` returns."""
        self._stopping = reason
        self.close(reason)
        if self._opening is not None:  # a venue that does not answer must not hold up the end
            self._opening.cancel()
        self._wake.set()

    def tick(self, now_s: float, recv_ns: int) -> None:
        for link in self._links:
            link.connection.tick(now_s, recv_ns)
            if link.connection.broken and not link.connection.ended:
                link.close(link.connection.broken)
            elif link.connection.doubtful:
                self.rotate(link.connection.conn)

    # --- the task ---

    async def run(self) -> None:
        reason = "start"
        while not self._stopping:
            link = await self._open(reason)
            if link is not None:
                await self._serve(link)
                reason = "reconnect"
        for link in self._links:
            await link.gone()

    async def _serve(self, link: Link) -> None:
        """Until no connection is left; rotates on the way."""
        while True:
            if await self._until_rotation(link):
                replacement = await self._replace(link)
                link = replacement or link
                if not link.closed.is_set():
                    continue
            lived_s = time.monotonic() - link.connection.opened_s
            if lived_s >= self._around.settings.reconnect_healthy_s:
                self._backoff.reset()
            self._drop(link)
            if not self._stopping:
                await self._pause(self._backoff.next_delay_s())
            return

    async def _until_rotation(self, link: Link) -> bool:
        """True when it is time to replace the link, False when it closed."""
        while not link.closed.is_set():
            left_s = self._rotate_at_s - time.monotonic()
            if left_s <= 0:
                return not self._stopping
            self._wake.clear()
            waits = [asyncio.create_task(link.closed.wait()), asyncio.create_task(self._wake.wait())]
            try:
                await asyncio.wait(waits, timeout=left_s, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for wait in waits:
                    wait.cancel()
        return False

    async def _replace(self, old: Link) -> Link | None:
        """Open a second connection; close the old one when the new one delivers all. None: it did not come to that."""
        if not await self._may_attempt(old):
            return None
        new = await self._try_open("rotation", on_failure=old)
        if new is None:
            self._rotate_at_s = self._not_before_s = time.monotonic() + self._backoff.next_delay_s()
            return None
        limits = self._host.protocol.limits
        begun_s = time.monotonic()
        give_up_s = begun_s + REPLACEMENT_WAIT_FACTOR * limits.first_data_timeout_s
        while not new.closed.is_set() and not old.closed.is_set():
            now_s = time.monotonic()
            if can_replace(old.connection, new.connection, now_s):
                if now_s - begun_s < BOOKS_WAIT_S and not self._host.books_anchored(new.connection.conn):
                    give_up_s = now_s + REPLACEMENT_WAIT_FACTOR * limits.first_data_timeout_s
                    await asyncio.sleep(GONE_POLL_S)
                    continue
                take_over(old.connection, new.connection, now_s, time.time_ns())
                old.connection.be_patient(now_s)
                old.close(old.connection.doubtful or "rotation")
                break
            if time.monotonic() > give_up_s:
                new.close("replacement_failed")
                break
            await asyncio.sleep(GONE_POLL_S)
        if new.closed.is_set():
            self._drop(new)
            self._rotate_at_s = self._not_before_s = time.monotonic() + self._backoff.next_delay_s()
            return None
        self._drop(old)
        return new

    async def _may_attempt(self, old: Link) -> bool:
        """Wait for the bound on attempts: a venue's notice makes all connections rotate at once. False: too late."""
        while (wait_s := self._around.attempts.wait_s(time.monotonic())) > 0:
            if old.closed.is_set() or self._stopping:
                return False
            await asyncio.sleep(min(wait_s, ATTEMPT_POLL_S))
        return not old.closed.is_set()

    # --- opening ---

    async def _open(self, reason: str) -> Link | None:
        """One attempt when the bounds allow it; waits out the backoff after a failure."""
        if not self._around.may_connect():
            await self._pause(0.2)
            return None
        wait_s = self._around.attempts.wait_s(time.monotonic())
        if wait_s > 0:
            await self._pause(wait_s)
            return None
        return await self._try_open(reason, on_failure=None)

    async def _try_open(self, reason: str, on_failure: Link | None) -> Link | None:
        around, host = self._around, self._host
        streams = list(self.group.streams.values())
        url = host.protocol.connection_url(around.ws_url, streams)
        around.attempts.take(time.monotonic())
        self._opening = asyncio.create_task(open_wire(url, around.proxy, around.settings.connect_timeout_s))
        try:
            wire = await self._opening
        except asyncio.CancelledError:
            if not self._stopping:
                raise
            return None
        except ConnectError as exc:
            host.metrics.count("connect_failures", *host.market)
            delay_s = max(self._backoff.next_delay_s(), self._ordered_wait_s(exc))
            events.connect_failed(".".join(host.market), f"{type(exc).__name__}: {exc}", delay_s)
            if on_failure is None:
                await self._pause(delay_s)
            return None
        if self._stopping or not around.may_connect():
            await close_wire(wire)
            return None
        now_s = time.monotonic()
        connection = Connection(around.next_conn(), url, reason, host, wire.send_now, now_s)
        connection.add(self.group.streams.values())
        link = Link(wire, connection, host)
        self._links.append(link)
        events.connected(".".join(host.market), connection.conn, url, len(connection.lines), reason)
        host.metrics.count("connections_opened", *host.market, reason)
        self._rotate_at_s = now_s + host.protocol.limits.rotate_after_s * (1 - ROTATION_JITTER * random.random())
        connection.tick(now_s, time.time_ns())
        if wire.connection_lost_waiter.done():
            link.on_closed(wire.close_text())
        return link

    def _ordered_wait_s(self, exc: Exception) -> float:
        """What a refused handshake tells everybody who connects to this address: too fast (429), banned, shut out."""
        if not isinstance(exc, InvalidStatus) or exc.response.status_code not in REFUSED_STATUS:
            return 0.0
        status, body = exc.response.status_code, bytes(exc.response.body or b"")
        until_ms = self._host.protocol.ban_until_ms(status, body)
        ban_s = None if until_ms is None else until_ms / 1000 - time.time()
        wait_s = ordered_wait_s(status, retry_after_s(exc.response.headers.get("Retry-After")), ban_s)
        self._around.attempts.block(wait_s, time.monotonic())
        self._host.metrics.count("connect_refusals", *self._host.market, str(status))
        return wait_s

    def _drop(self, link: Link) -> None:
        if link in self._links:
            self._links.remove(link)

    async def _pause(self, seconds: float) -> None:
        """Wait, but not longer than until `stop`."""
        deadline = time.monotonic() + seconds
        while not self._stopping and (left_s := deadline - time.monotonic()) > 0:
            self._wake.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left_s):
                    await self._wake.wait()
