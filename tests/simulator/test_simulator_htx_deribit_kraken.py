"""HTX, Deribit and Kraken over real sockets: what a fault takes away is exactly what /sim/sent has more."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import itertools
import json
import time
from collections.abc import Iterator
from datetime import datetime
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from runtime.config.simulator import Simulator
from simulator.dialect import CUT, Close
from simulator.server import Server
from tests.simulator_process import SimulatorProcess, simulator, wait_for


class Case(NamedTuple):
    """A venue's book over the wire, and how its updates are numbered."""

    venue: str
    symbol: str
    path: str
    stream: str
    subscribe: dict[str, Any]


MBP, HIGH_FREQ = "market.btcusdt.mbp.150", "market.BTC-USDT.depth.size_150.high_freq"
CASES = (
    Case("htx", "BTCUSDT", "/htx/feed", MBP, {"sub": MBP, "id": "1"}),
    Case(
        "hbdm",
        "BTC-USDT",
        "/hbdm/linear-swap-ws",
        HIGH_FREQ,
        {"sub": HIGH_FREQ, "data_type": "incremental", "id": "1"},
    ),
    Case(
        "deribit",
        "BTC-PERPETUAL",
        "/deribit/ws/api/v2",
        "book.BTC-PERPETUAL.100ms",
        {"jsonrpc": "2.0", "id": 1, "method": "public/subscribe", "params": {"channels": ["book.BTC-PERPETUAL.100ms"]}},
    ),
    Case(
        "kraken",
        "BTC/USD",
        "/kraken/v2",
        "book.10.BTC/USD",
        {"method": "subscribe", "params": {"channel": "book", "symbol": ["BTC/USD"], "depth": 10}},
    ),
)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimulatorProcess]:
    settings = {"venue_frames_per_s": 150.0, "venues": {case.venue: [case.symbol] for case in CASES}}
    with simulator(tmp_path_factory.mktemp("sim") / "state", **settings) as process:
        yield process


@pytest.fixture
def exchange(running: SimulatorProcess) -> Iterator[SimulatorProcess]:
    yield running
    running.fault("clear")


def update_id(told: dict[str, Any]) -> int | None:
    """The number /sim/sent has a book update under; None: another frame, or a snapshot."""
    tick = told.get("tick", {})
    if "seqNum" in tick:
        return int(tick["seqNum"])
    if tick.get("event") == "update":
        return int(tick["mrid"])
    data = told.get("params", {}).get("data", told.get("data"))
    if isinstance(data, dict) and data.get("type") == "change":
        return int(data["change_id"])
    if told.get("channel") == "book" and told["type"] == "update":
        stamp = data[0]["timestamp"]
        return round(datetime.fromisoformat(stamp).timestamp() * 1_000_000)
    return None


def read(frame: str | bytes) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(gzip.decompress(frame) if isinstance(frame, bytes) else frame)
    return told


async def listen(socket: ClientConnection, seconds: float) -> list[int]:
    ids: list[int] = []
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        try:
            told = read(await asyncio.wait_for(socket.recv(), left))
        except TimeoutError:
            break
        if "ping" in told:
            await socket.send(json.dumps({"pong": told["ping"]}))
        if (found := update_id(told)) is not None:
            ids.append(found)
    return ids


def fault(exchange: SimulatorProcess, case: Case, kind: str, **fields: Any) -> None:
    exchange.fault(kind, venue=case.venue, **fields)


def sent(exchange: SimulatorProcess, case: Case, first: int) -> dict[int, int]:
    """Times in ms of the updates from this one on, by their numbers."""
    told = exchange.get("/sim/sent", venue=case.venue, symbol=case.symbol, stream="book", limit=10_000)
    return {row[1]: row[2] for row in told["updates"] if row[1] >= first}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.venue)
def test_faults_take_away_exactly_what_is_missing(exchange: SimulatorProcess, case: Case) -> None:
    async def work() -> None:
        async with connect(exchange.ws_url + case.path) as socket:
            await socket.send(json.dumps(case.subscribe))
            clean = await listen(socket, 1.5)
            assert len(clean) > 3
            await asyncio.to_thread(fault, exchange, case, "drop", stream=case.stream, count=2)
            struck = await listen(socket, 2.0)
            await asyncio.to_thread(fault, exchange, case, "duplicate", stream=case.stream, count=3)
            struck += await listen(socket, 2.0)
            told = await asyncio.to_thread(sent, exchange, case, clean[0])
        got = [*clean, *struck]
        made = {each for each in told if each <= got[-1]}
        assert len(made - set(got)) == 2, "two updates dropped"
        assert set(got) <= made
        assert len(got) - len(set(got)) == 3, "three came twice"

    asyncio.run(asyncio.wait_for(work(), 30))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.venue)
def test_silence_and_disconnect(exchange: SimulatorProcess, case: Case) -> None:
    async def work() -> None:
        async with connect(exchange.ws_url + case.path) as socket:
            await socket.send(json.dumps(case.subscribe))
            heard = await listen(socket, 1.0)
            await asyncio.to_thread(fault, exchange, case, "silence", stream=case.stream, duration_s=1.5)
            pauses: list[tuple[int, int]] = []
            while not pauses:  # it goes on afterwards, and by the times of the updates it was long
                heard += await listen(socket, 0.5)
                times = await asyncio.to_thread(sent, exchange, case, heard[0])
                pauses = [(a, b) for a, b in itertools.pairwise(heard) if times[b] - times[a] > 750]
            made = [each for each in times if each <= heard[-1]]
            [(last, first)] = pauses
            assert [each for each in made if each not in heard] == made[made.index(last) + 1 : made.index(first)] != []
            await asyncio.to_thread(fault, exchange, case, "disconnect", code=1001)
            with pytest.raises(ConnectionClosed):
                await listen(socket, 5.0)

    asyncio.run(asyncio.wait_for(work(), 30))


def test_status_tells_all_venues(exchange: SimulatorProcess) -> None:
    status = json.dumps(exchange.get("/sim/status"))
    assert all(case.venue in status for case in CASES)
    reply = exchange.http.get("/sim/sent", params={"venue": "htx", "symbol": "NOPE"})
    assert reply.status_code == 400


def test_the_33rd_connection_of_an_address_to_deribit_is_refused(exchange: SimulatorProcess) -> None:
    """HTTP requests count while they are answered; other venues have no such limit."""
    case = next(case for case in CASES if case.venue == "deribit")
    path = "/deribit/api/v2/public/get_time"

    async def work() -> None:
        async with contextlib.AsyncExitStack() as stack:
            for _ in range(31):
                await stack.enter_async_context(connect(exchange.ws_url + case.path))
            assert (await asyncio.to_thread(exchange.http.get, path)).status_code == 200
            await stack.enter_async_context(connect(exchange.ws_url + case.path))
            with pytest.raises(InvalidStatus) as refused:
                await connect(exchange.ws_url + case.path)
            assert refused.value.response.status_code == 429
            assert (await asyncio.to_thread(exchange.http.get, path)).status_code == 429
            async with connect(exchange.ws_url + "/kraken/v2"):
                pass

    asyncio.run(asyncio.wait_for(work(), 30))
    wait_for(lambda: exchange.http.get(path).status_code == 200, what="they are gone")


def test_a_session_may_end_without_a_close_frame() -> None:
    """As Deribit ends idle ones: the client sees 1006."""

    class Idle:
        def tick(self, now_s: float, pushed_s: float, heard_s: float) -> list[bytes]:
            raise Close(CUT, "idle")

    server, ended = Server(Simulator()), list[str]()
    accepted = SimpleNamespace(venue="spot", session=Idle())
    connection: Any = SimpleNamespace(
        accepted=accepted, unanswered_since_s=None, opened_s=0.0, pinged_s=0.0, pushed_s=0.0, heard_s=0.0,
        abort=lambda: ended.append("cut"), close=lambda *_: ended.append("closed"),
    )  # fmt: skip
    server._keep_alive(connection, 0.0)
    assert ended == ["cut"]
