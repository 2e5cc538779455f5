"""Feeds on real sockets: a small venue on loopback that can misbehave."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import replace
from typing import Any

import pytest

from ingest.budget import BANNED_WAIT_S
from ingest.feed import Around, Attempts, Feed
from ingest.lines import Host
from ingest.plan import Group
from marketdata.raw import connected_decoder, disconnected_decoder
from runtime.config.ingest import Ingest
from tests.ingest.ingest_kit import VENUE, Log, make_host, streams
from tests.ingest.ingest_servers import FakeVenue, connect_proxy, socks5_proxy, tcp_server, until
from venues.binance.protocol import BinanceSpotProtocol

TRADE, BOOK = "btcusdt@trade", "btcusdt@depth@100ms"
SHUTDOWN = '{"stream":"!serverShutdown","data":{"e":"serverShutdown","E":1}}'
SETTINGS = Ingest(reconnect_delay_s_min=0.05, reconnect_delay_s_max=0.2, connect_timeout_s=2.0)


class Protocol(BinanceSpotProtocol):
    """Binance spot with limits that suit a test's patience."""

    def __init__(self, **limits: Any) -> None:
        super().__init__()
        self.limits = replace(VENUE.protocol.limits, **limits)


class Run:
    def __init__(self, feed: Feed, log: Log, host: Host, attempts: Attempts) -> None:
        self.feed = feed
        self.log = log
        self.attempts = attempts
        self._host = host

    def failures(self) -> int:
        return self._host.metrics.counted("connect_failures", "binance", "spot")

    def refusals(self, status: int) -> int:
        return self._host.metrics.counted("connect_refusals", "binance", "spot", str(status))

    def disconnects(self) -> list[str]:
        return [
            disconnected_decoder.decode(r.value).reason for r in self.log.of("disconnected") if r.topic == "raw.book"
        ]

    def connects(self) -> list[tuple[str, bool]]:
        values = [connected_decoder.decode(r.value) for r in self.log.of("connected") if r.topic == "raw.book"]
        return [(v.reason, v.overlaps) for v in values]

    def frames(self) -> int:
        return self.log.kinds("raw.book").count("frame:book")


@contextlib.asynccontextmanager
async def running(
    venue: FakeVenue,
    proxy: str | None = None,
    may_connect: Callable[[], bool] = lambda: True,
    settings: Ingest = SETTINGS,
    **limits: Any,
) -> AsyncIterator[Run]:
    log = Log()
    holder: list[Feed] = []
    host = make_host(
        log,
        covered=lambda conn, group: holder[0].covered(conn, group),
        protocol=Protocol(**limits),
    )
    numbers = itertools.count(1)
    around = Around(venue.url, proxy, settings, Attempts(300), lambda: f"pod-1-{next(numbers)}", may_connect)
    feed = Feed(Group(1, "", {s.name: s for s in streams(TRADE, BOOK)}), host, around)
    holder.append(feed)
    task = asyncio.create_task(feed.run())

    async def tick() -> None:
        while True:
            feed.tick(time.monotonic(), time.time_ns())
            await asyncio.sleep(0.02)

    ticking = asyncio.create_task(tick())
    try:
        yield Run(feed, log, host, around.attempts)
    finally:
        feed.stop("stopping")
        await asyncio.wait_for(task, 10)
        ticking.cancel()


def drive(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(test())


def test_subscribes_and_delivers() -> None:
    async def test() -> None:
        async with FakeVenue().run() as venue, running(venue) as run:
            await until(lambda: run.frames() > 5)
            assert run.connects() == [("start", False)]
            assert run.log.kinds("raw.trade")[0] == "connected"
        assert run.disconnects() == ["stopping"]

    drive(test)


def test_reconnects_and_says_what_the_venue_said() -> None:
    async def test() -> None:
        async with FakeVenue().run() as venue, running(venue) as run:
            await until(lambda: run.frames() > 2)
            await venue.sockets[0].close(1001, "recording ended")
            await until(lambda: len(run.connects()) == 2)
            assert run.disconnects() == ["closed 1001 recording ended"]
            assert run.connects() == [("start", False), ("reconnect", False)]

    drive(test)


def test_a_cut_line_is_a_disconnect_too() -> None:
    async def test() -> None:
        async with FakeVenue().run() as venue, running(venue) as run:
            await until(lambda: run.frames() > 2)
            venue.sockets[0].transport.abort()
            await until(lambda: len(run.connects()) == 2)
            assert run.disconnects()[0].startswith("closed 1006")

    drive(test)


def test_keeps_trying_while_the_venue_is_away() -> None:
    async def test() -> None:
        venue = FakeVenue()
        async with venue.run(), running(venue) as run:
            await until(lambda: run.frames() > 0)
        port = venue.port
        async with running(venue) as run:  # nobody listens
            await until(lambda: run.failures() >= 3)
            venue.port = port
            async with venue.run():
                await until(lambda: run.frames() > 0)

    drive(test)


def test_a_venue_that_does_not_answer_holds_up_no_stop() -> None:
    knocked = asyncio.Event()

    async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        knocked.set()
        await reader.read()

    async def test() -> None:
        venue = FakeVenue()
        patient = Ingest(connect_timeout_s=600.0)
        async with tcp_server(mute) as venue.port, running(venue, settings=patient):  # it gives the stop 10 s
            await asyncio.wait_for(knocked.wait(), 20)

    drive(test)


def test_rotation_overlaps_and_loses_nothing() -> None:
    async def test() -> None:
        async with FakeVenue().run() as venue, running(venue) as run:
            await until(lambda: run.frames() > 2)
            run.feed.rotate(run.feed.connections[0].conn)
            await until(lambda: run.disconnects() == ["rotation"])
            await until(lambda: len(venue.sockets) == 1)
            seen = run.frames()
            await until(lambda: run.frames() > seen)
            assert run.connects() == [("start", False), ("rotation", True)]
        books = [r for r in run.log.of("frame") if r.topic == "raw.book"]
        numbers = sorted({int(r.value.split(b'"u":')[1].split(b",")[0]) for r in books})
        assert numbers == list(range(numbers[0], numbers[-1] + 1))

    drive(test)


@pytest.mark.parametrize("pods", [1, 2])
def test_attempts_come_a_few_at_once_and_within_the_venues_bound_however_many_pods_divide_it(pods: int) -> None:
    each, now_s, taken = [Attempts(300, pods) for _ in range(pods)], 0.0, []
    while now_s < 400:
        for attempts in each:
            if attempts.wait_s(now_s) <= 0:
                attempts.take(now_s)
                taken.append(now_s)
        now_s += 0.125
    for at_s in taken:
        assert sum(1 for t in taken if at_s <= t < at_s + 1) <= 2
        assert sum(1 for t in taken if at_s <= t < at_s + 300) <= 240


def test_old_age_rotates() -> None:
    async def test() -> None:
        async with FakeVenue().run() as venue, running(venue, rotate_after_s=0.5) as run:
            await until(lambda: len(run.disconnects()) >= 2)
            assert set(run.disconnects()) == {"rotation"}
            assert {overlaps for _, overlaps in run.connects()[1:]} == {True}

    drive(test)


def test_an_announced_shutdown_rotates_at_once() -> None:
    async def test() -> None:
        async with FakeVenue().run() as venue, running(venue) as run:
            await until(lambda: run.frames() > 2)
            await venue.sockets[0].send(SHUTDOWN)
            await until(lambda: run.disconnects() == ["shutdown"])
            assert run.connects()[1] == ("rotation", True)

    drive(test)


def test_a_shutdown_announced_to_a_replacement_is_not_forgotten() -> None:
    async def test() -> None:
        async with FakeVenue().run() as venue, running(venue) as run:
            await until(lambda: run.frames() > 2)
            run.feed.rotate(run.feed.connections[0].conn)
            await until(lambda: len(venue.sockets) == 2)
            await venue.sockets[1].send(SHUTDOWN)  # while both are open
            assert run.disconnects() == []
            await until(lambda: run.disconnects() == ["rotation", "shutdown"])
            assert run.connects() == [("start", False), ("rotation", True), ("rotation", True)]

    drive(test)


@pytest.mark.parametrize(
    ("status", "header", "least_s"),
    [(429, "Retry-After: 7\r\n", 7.0), (418, "", BANNED_WAIT_S), (403, "", BANNED_WAIT_S), (503, "", 0.0)],
)
def test_a_refused_handshake_holds_everybody_back_at_that_address(status: int, header: str, least_s: float) -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(f"HTTP/1.1 {status} No\r\n{header}Content-Length: 0\r\nConnection: close\r\n\r\n".encode())
        await writer.drain()

    async def test() -> None:
        venue = FakeVenue()
        async with tcp_server(refuse) as venue.port, running(venue) as run:
            await until(lambda: run.failures() >= 1)
            wait_s = run.attempts.wait_s(time.monotonic())
            assert least_s - 5 < wait_s <= max(least_s, 1.0)
            assert run.refusals(status) == (1 if least_s else 0)

    drive(test)


def test_a_replacement_that_delivers_nothing_is_given_up() -> None:
    async def test() -> None:
        async with FakeVenue().run() as venue, running(venue, first_data_timeout_s=1.0) as run:
            await until(lambda: run.frames() > 2)
            venue.deaf_from = 2
            first = run.feed.connections[0].conn
            run.feed.rotate(first)
            await until(lambda: venue.opened >= 2 and len(run.feed.connections) == 1)
            assert run.feed.connections[0].conn == first
            assert run.disconnects() == []  # it never carried anything, so it has nothing to take back
            venue.deaf_from = None
            await until(lambda: run.disconnects() == ["rotation"])  # tried again

    drive(test)


def test_a_silent_socket_is_replaced() -> None:
    async def test() -> None:
        async with FakeVenue().run() as venue, running(venue, silence_timeout_s={"book": 1.0}) as run:
            await until(lambda: run.frames() > 2)
            venue.deliver = False
            await until(lambda: run.disconnects() == ["silent book"])
            venue.deliver = True
            await until(lambda: len(run.connects()) == 2)

    drive(test)


def test_one_silent_stream_is_replaced_without_hurting_the_others() -> None:
    async def test() -> None:
        limits = {"book": 1.0, "trade": 10.0}
        async with FakeVenue().run() as venue, running(venue, silence_timeout_s=limits) as run:
            await until(lambda: run.frames() > 2)
            venue.subscribed[venue.sockets[0]].remove(BOOK)  # the venue forgets the stream and says nothing
            await until(lambda: run.disconnects() == ["silent book"])
            frames = run.frames()
            await until(lambda: run.frames() > frames)
            values = [connected_decoder.decode(r.value) for r in run.log.of("connected") if r.topic == "raw.trade"]
            assert [(v.reason, v.overlaps) for v in values] == [("start", False), ("rotation", True)]
            assert run.connects() == [("start", False), ("rotation", False)]  # updates may be missing
        trades = [r for r in run.log.of("frame") if r.topic == "raw.trade"]
        numbers = sorted({int(r.value.split(b'"t":')[1].split(b",")[0]) for r in trades})
        assert numbers == list(range(numbers[0], numbers[-1] + 1))

    drive(test)


def test_live_changes_reach_the_running_connection() -> None:
    async def test() -> None:
        async with FakeVenue().run() as venue, running(venue) as run:
            await until(lambda: run.frames() > 2)
            fresh = streams("ethusdt@ticker")
            run.feed.group.streams.update((s.name, s) for s in fresh)
            run.feed.add(fresh)
            await until(lambda: run.log.kinds("raw.ticker").count("frame:ticker") > 2)
            run.feed.remove(fresh)
            await until(lambda: run.log.kinds("raw.ticker")[-1] == "disconnected")
            assert venue.opened == 1
            assert run.disconnects() == []

    drive(test)


def test_without_room_nothing_is_opened() -> None:
    async def test() -> None:
        room = [True]
        async with FakeVenue().run() as venue, running(venue, may_connect=lambda: room[0]) as run:
            await until(lambda: run.frames() > 2)
            room[0] = False
            run.feed.close("buffer_full")
            await until(lambda: run.disconnects() == ["buffer_full"])
            frames, opened = run.frames(), venue.opened
            await asyncio.sleep(0.6)
            assert (run.frames(), venue.opened) == (frames, opened)
            room[0] = True
            await until(lambda: run.frames() > frames)

    drive(test)


@pytest.mark.parametrize("kind", ["http", "socks5"])
def test_through_a_proxy(kind: str) -> None:
    async def test() -> None:
        seen: list[str] = []
        handler = connect_proxy(seen) if kind == "http" else socks5_proxy(seen)
        async with (
            FakeVenue().run() as venue,
            tcp_server(handler) as port,
            running(venue, proxy=f"{kind}://127.0.0.1:{port}") as run,
        ):
            await until(lambda: run.frames() > 2)
            assert any(f"127.0.0.1:{venue.port}" in line for line in seen)

    drive(test)
