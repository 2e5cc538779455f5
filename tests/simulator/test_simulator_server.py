"""The running exchange: both protocols on its port, limits, faults, and going on after restarts."""

from __future__ import annotations

import asyncio
import itertools
import json
import signal
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, ConnectionClosedError, InvalidStatus

from tests.simulator_process import SimulatorProcess, simulator, wait_for

FAST = {"frames_per_s": 800.0, "connection_attempts_per_5_min_max": 0}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimulatorProcess]:
    with simulator(tmp_path_factory.mktemp("sim") / "state", **FAST) as process:
        yield process


@pytest.fixture
def exchange(running: SimulatorProcess) -> Iterator[SimulatorProcess]:
    """The shared process, without faults left over."""
    yield running
    running.fault("clear")


def run(work: Callable[[], Awaitable[Any]]) -> Any:
    async def bounded() -> Any:
        return await asyncio.wait_for(work(), 40)

    return asyncio.run(bounded())


async def fault(exchange: SimulatorProcess, kind: str, **fields: Any) -> None:
    await asyncio.to_thread(exchange.fault, kind, **fields)


async def take(socket: ClientConnection, count: int, stream: str | None = None) -> list[Any]:
    """The next frames (of one stream)."""
    out: list[Any] = []
    while len(out) < count:
        told = json.loads(await socket.recv())
        if stream is None or told.get("stream") == stream:
            out.append(told)
    return out


async def applied(exchange: SimulatorProcess) -> Counter[str]:
    """How often each fault has struck."""
    return Counter((await asyncio.to_thread(exchange.get, "/sim/status"))["faults"]["applied"])


async def until_odd(socket: ClientConnection) -> None:
    """Read until a frame that is no JSON raises."""
    while True:
        await take(socket, 1)


async def until_closed(socket: ClientConnection) -> None:
    """Read until the connection's end is raised."""
    while True:
        await socket.recv()


async def call(socket: ClientConnection, message: dict[str, Any]) -> Any:
    await socket.send(json.dumps(message))
    while True:
        told = json.loads(await socket.recv())
        if told.get("id") == message["id"]:
            return told


def streams(*names: str) -> str:
    return "/stream?streams=" + "/".join(names)


def test_paths_decide_the_form(exchange: SimulatorProcess) -> None:
    async def work() -> None:
        async with connect(exchange.ws_url + streams("btcusdt@trade")) as combined:
            assert list((await take(combined, 1))[0]) == ["stream", "data"]
        async with connect(exchange.ws_url + "/ws/btcusdt@trade") as raw:
            assert (await take(raw, 1))[0]["e"] == "trade"
            await call(raw, {"method": "SET_PROPERTY", "params": ["combined", True], "id": 1})
            assert (await take(raw, 1))[0]["stream"] == "btcusdt@trade"
        async with connect(exchange.ws_url + streams("btcusdt@trade") + "&timeUnit=MICROSECOND") as fine:
            assert (await take(fine, 1))[0]["data"]["T"] > 10**15
        with pytest.raises(InvalidStatus):
            await connect(exchange.ws_url + "/nowhere")

    run(work)


def test_every_stream_kind_delivers(exchange: SimulatorProcess) -> None:
    names = [
        *(f"btcusdt@{kind}" for kind in ("trade", "aggTrade", "bookTicker", "depth@100ms", "depth", "kline_1m")),
        *(f"btcusdt@{kind}" for kind in ("kline_1s", "kline_1h", "ticker", "miniTicker", "depth5", "depth20@100ms")),
        "!miniTicker@arr",
    ]

    async def work() -> set[str]:
        seen: set[str] = set()
        async with connect(exchange.ws_url + streams(*names)) as socket:
            while seen != set(names):
                seen.add((await take(socket, 1))[0]["stream"])
        return seen

    assert run(work) == set(names)


def test_acknowledged_but_silent(exchange: SimulatorProcess) -> None:
    """Unknown symbols and upper case: an ack proves nothing."""

    async def work() -> None:
        async with connect(exchange.ws_url + "/stream") as socket:
            silent = ["BTCUSDT@trade", "nopeusdt@trade", "btcusdt@nothing"]
            assert await call(socket, {"method": "SUBSCRIBE", "params": silent, "id": 7}) == {"result": None, "id": 7}
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(socket.recv(), 0.5)
            assert (await call(socket, {"method": "LIST_SUBSCRIPTIONS", "id": 8}))["result"] == silent

    run(work)


def test_too_many_messages_disconnect(exchange: SimulatorProcess) -> None:
    async def work() -> int:
        async with connect(exchange.ws_url + "/ws") as socket:
            for i in range(6):
                await socket.send(json.dumps({"method": "LIST_SUBSCRIPTIONS", "id": i}))
            with pytest.raises(ConnectionClosed) as closed:
                await until_closed(socket)
            assert closed.value.rcvd is not None
            return closed.value.rcvd.code

    assert run(work) == 1008


def test_client_pings_count_too(exchange: SimulatorProcess) -> None:
    async def work() -> None:
        async with connect(exchange.ws_url + "/ws", ping_interval=None) as socket:
            for _ in range(6):
                await socket.ping()
            with pytest.raises(ConnectionClosed):
                await socket.recv()

    run(work)


def test_snapshot_and_stream_make_one_book(exchange: SimulatorProcess) -> None:
    """The official steps over the wire, against the exchange's own book at the same id."""

    async def work() -> None:
        async with connect(exchange.ws_url + streams("ethusdt@depth@100ms"), max_size=None) as socket:
            events = [each["data"] for each in await take(socket, 2)]
            told = await asyncio.to_thread(exchange.get, "/api/v3/depth", symbol="ETHUSDT", limit=5000)
            assert told["lastUpdateId"] >= events[0]["U"]
            sides = {"b": dict(told["bids"]), "a": dict(told["asks"])}
            last, compared, now = told["lastUpdateId"], 0, told
            while compared < 3:
                event = events.pop(0) if events else (await take(socket, 1))[0]["data"]
                if event["u"] <= last:
                    continue
                assert event["U"] <= last + 1
                for name, levels in sides.items():
                    for price, qty in event[name]:
                        levels[price] = qty
                last = event["u"]
                if last > now["lastUpdateId"]:  # else the answer took long: what came meanwhile is read first
                    now = await asyncio.to_thread(exchange.get, "/api/v3/depth", symbol="ETHUSDT", limit=100)
                if now["lastUpdateId"] == last:
                    compared += 1
                    for name, side in (("b", now["bids"]), ("a", now["asks"])):
                        full = [[p, q] for p, q in sides[name].items() if float(q)]
                        full.sort(key=lambda level: float(level[0]), reverse=name == "b")
                        assert full[:100] == side

    run(work)


def test_rest_errors_and_weights(exchange: SimulatorProcess) -> None:
    http = exchange.http
    before = int(http.get("/api/v3/ping").headers["X-MBX-USED-WEIGHT-1M"])
    after = int(http.get("/api/v3/depth", params={"symbol": "BTCUSDT"}).headers["X-MBX-USED-WEIGHT-1M"])
    assert after in (before + 5, 5)  # 5: a minute began between
    for path, query, code in (
        ("depth", {"symbol": "NOPE"}, -1121),
        ("depth", {}, -1102),
        ("klines", {"symbol": "BTCUSDT", "interval": "7m"}, -1120),
        ("depth", {"symbol": "BTCUSDT", "limit": "x"}, -1100),
    ):
        reply = http.get(f"/api/v3/{path}", params=query)
        assert (reply.status_code, reply.json()["code"]) == (400, code)
    assert http.get("/api/v3/nothing").status_code == 404
    assert [s["symbol"] for s in exchange.get("/api/v3/exchangeInfo", symbols='["ETHUSDT"]')["symbols"]] == ["ETHUSDT"]


def test_history_by_id(exchange: SimulatorProcess) -> None:
    def newest(path: str, limit: int) -> Any:
        found = exchange.get(path, symbol="BTCUSDT", limit=limit)
        return found if len(found) == limit else None

    latest = wait_for(lambda: newest("/api/v3/trades", 50), what="trades")
    first = latest[0]["id"]
    again = exchange.get("/api/v3/historicalTrades", symbol="BTCUSDT", fromId=first, limit=len(latest))
    assert again == latest
    aggs = wait_for(lambda: newest("/api/v3/aggTrades", 20), what="aggregated trades")
    assert exchange.get("/api/v3/aggTrades", symbol="BTCUSDT", fromId=aggs[3]["a"], limit=5) == aggs[3:8]
    told = exchange.get("/sim/sent", symbol="BTCUSDT", stream="trade", **{"from": first, "limit": 3})
    assert [json.loads(each)["t"] for each in told["trades"]] == [first, first + 1, first + 2]


def test_faults_on_frames(exchange: SimulatorProcess) -> None:
    async def work() -> None:
        stream = "btcusdt@trade"
        async with connect(exchange.ws_url + streams(stream)) as socket:

            async def steps_with(kind: str, count: int) -> list[int]:
                """Between ids, from before the fault to 20 frames after the last one it struck: however many come
                before it strikes."""
                ids = [each["data"]["t"] for each in await take(socket, 1)]
                before = (await applied(exchange))[kind]
                await fault(exchange, kind, stream=stream, count=count)
                while (await applied(exchange))[kind] < before + count:
                    ids += [each["data"]["t"] for each in await take(socket, 1)]
                told = await asyncio.to_thread(exchange.get, "/sim/sent", symbol="BTCUSDT")
                while ids[-1] <= told["trade_id"]:
                    ids += [each["data"]["t"] for each in await take(socket, 1)]
                ids += [each["data"]["t"] for each in await take(socket, 20)]
                return [b - a for a, b in itertools.pairwise(ids)]

            assert sum(step - 1 for step in await steps_with("drop", 3)) == 3
            assert (await steps_with("duplicate", 2)).count(0) == 2
            assert (await steps_with("reorder", 1)).count(-1) == 1
            await fault(exchange, "corrupt", stream=stream, count=1)
            with pytest.raises(json.JSONDecodeError):
                await until_odd(socket)
            at_ms = (await take(socket, 1))[0]["data"]["T"]
            await fault(exchange, "silence", duration_s=1.0)
            pause_s = 0.0
            while pause_s < 0.5:
                before_ms, asked = at_ms, time.monotonic()
                at_ms = (await take(socket, 1))[0]["data"]["T"]
                # Who hears late hears a shorter pause than there is between the trades.
                pause_s = max(time.monotonic() - asked, (at_ms - before_ms) / 1000)
            await fault(exchange, "slow", delay_s=0.6, duration_s=3)
            while time.time() - (await take(socket, 1))[0]["data"]["T"] / 1000 < 0.6:
                pass

    run(work)
    struck = exchange.get("/sim/status")["faults"]["applied"]
    assert (struck["drop"], struck["duplicate"], struck["reorder"], struck["corrupt"]) == (3, 2, 1, 1)


def test_faults_on_connections(exchange: SimulatorProcess) -> None:
    async def work() -> None:
        async with connect(exchange.ws_url + streams("btcusdt@depth@100ms")) as socket:
            await take(socket, 1)
            await fault(exchange, "disconnect", code=1001, reason="as asked")
            with pytest.raises(ConnectionClosed) as closed:
                await until_closed(socket)
            assert closed.value.rcvd is not None
            assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (1001, "as asked")
        async with connect(exchange.ws_url + streams("btcusdt@depth@100ms")) as socket:
            await take(socket, 1)
            await fault(exchange, "disconnect", abrupt=True)
            with pytest.raises(ConnectionClosedError) as cut:
                await until_closed(socket)
            assert cut.value.rcvd is None
        async with connect(exchange.ws_url + streams("btcusdt@depth@100ms")) as socket:
            await fault(exchange, "shutdown", delay_s=0.3)
            told = (await take(socket, 1, "!serverShutdown"))[0]
            assert told["data"]["e"] == "serverShutdown"
            with pytest.raises(ConnectionClosed):
                await until_closed(socket)
        await fault(exchange, "refuse", status=503, count=1)
        with pytest.raises(InvalidStatus):
            await connect(exchange.ws_url + "/ws")
        async with connect(exchange.ws_url + "/ws"):
            pass

    run(work)


def test_faults_on_rest(exchange: SimulatorProcess) -> None:
    exchange.fault("rest", status=429, retry_after_s=7, count=1, path="depth")
    reply = exchange.http.get("/api/v3/depth", params={"symbol": "BTCUSDT"})
    assert (reply.status_code, reply.headers["Retry-After"], reply.json()["code"]) == (429, "7", -1003)
    exchange.fault("rest", status=418, count=1)
    assert exchange.http.get("/api/v3/time").status_code == 418
    assert exchange.http.get("/api/v3/time").status_code == 200
    exchange.fault("stale_snapshot", symbol="BTCUSDT", count=1)
    asked = exchange.get("/sim/sent", symbol="BTCUSDT")["update_id"]
    wait_for(lambda: exchange.get("/sim/sent", symbol="BTCUSDT")["update_id"] > asked + 20, what="the book moves on")
    stale = exchange.get("/api/v3/depth", symbol="BTCUSDT", limit=1000)
    assert stale["lastUpdateId"] <= asked
    assert exchange.get("/api/v3/depth", symbol="BTCUSDT")["lastUpdateId"] > asked
    assert exchange.http.post("/sim/fault", json={"kind": "nonsense"}).status_code == 400


def test_limits_of_a_stingy_venue(tmp_path: Path) -> None:
    settings = {
        "connection_attempts_per_5_min_max": 3,
        "rest_weight_per_min_max": 60,
        "ping_interval_s": 0.4,
        "pong_timeout_s": 2.0,
        "streams_per_connection_max": 2,
        "connection_max_age_s": 3.5,
    }

    async def pong_to_the_end(url: str) -> None:
        began = time.monotonic()
        async with connect(url + "/ws") as answering:
            with pytest.raises(ConnectionClosed) as closed:
                await answering.recv()
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.reason == "Connection age limit", "pongs kept it alive until then"
            assert time.monotonic() - began > 3

    async def never_pong(url: str) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
        key = b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        writer.write(b"GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" + key + b"\r\n")
        head = await reader.readuntil(b"\r\n\r\n")
        assert b"101" in head
        ping = await reader.readexactly(2)
        assert ping[0] == 0x89
        assert (await reader.readexactly(ping[1])).isdigit()
        rest = await asyncio.wait_for(reader.read(), 30)
        assert b"\x88" in rest
        assert b"Pong timeout" in rest
        writer.close()

    async def sockets(url: str) -> None:
        async with connect(url + "/ws", ping_interval=None) as socket:
            await call(socket, {"method": "SUBSCRIBE", "params": ["a@trade", "b@trade"], "id": 1})
            await socket.send(json.dumps({"method": "SUBSCRIBE", "params": ["c@trade"], "id": 2}))
            with pytest.raises(ConnectionClosed):
                await socket.recv()
        await asyncio.gather(pong_to_the_end(url), never_pong(url))
        with pytest.raises(InvalidStatus) as refused:
            await connect(url + "/ws")
        assert refused.value.response.status_code == 429

    with simulator(tmp_path / "state", **settings) as exchange:
        run(lambda: sockets(exchange.ws_url))
        # 12 are answered and 10 more refused until all are banned; a minute that begins before that counts anew.
        statuses = [exchange.http.get("/api/v3/depth", params={"symbol": "BTCUSDT"}) for _ in range(46)]
        codes = [reply.status_code for reply in statuses]
        assert codes[0] == 200
        assert 429 in codes
        assert codes[-1] == 418
        assert int(statuses[-1].headers["Retry-After"]) > 60


async def listen(url: str, names: list[str], out: list[Any]) -> None:
    async with connect(url + streams(*names)) as socket:
        while True:
            out.append(json.loads(await socket.recv()))


def told_of(frames: list[Any], kind: str, symbol: str) -> list[Any]:
    return [frame["data"] for frame in frames if frame["data"]["e"] == kind and frame["data"]["s"] == symbol]


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGKILL])
def test_ids_and_books_go_on_after_a_restart(tmp_path: Path, sig: signal.Signals) -> None:
    """Nothing sent is forgotten, no id is given twice, and what was sent is what REST tells afterwards."""
    symbols = ("BTCUSDT", "ETHUSDT")
    process = SimulatorProcess(tmp_path / "state", symbols=list(symbols), frames_per_s=1500.0)
    names = [f"{s.lower()}@{kind}" for s in symbols for kind in ("trade", "depth@100ms", "aggTrade")]

    def session(seconds: float, sig: signal.Signals) -> list[Any]:
        got: list[Any] = []

        async def work() -> None:
            listening = asyncio.create_task(listen(process.ws_url, names, got))
            await asyncio.sleep(seconds)
            while not all(len(told_of(got, "trade", s)) > 20 and told_of(got, "depthUpdate", s) for s in symbols):
                await asyncio.sleep(0.05)
            await asyncio.to_thread(process.end, sig)
            with pytest.raises(ConnectionClosed):
                await listening

        run(work)
        return got

    try:
        process.start()
        before = session(2.5, sig)
        process.start()
        after = session(1.0, signal.SIGTERM)
        process.start()
        for name in symbols:
            sent, later = told_of(before, "trade", name), told_of(after, "trade", name)
            assert later[0]["t"] > sent[-1]["t"]
            told = process.get("/sim/sent", symbol=name, stream="trade", **{"from": sent[0]["t"], "limit": 100_000})
            trades = {trade["t"]: trade for trade in map(json.loads, told["trades"])}
            assert list(trades) == list(range(sent[0]["t"], told["trade_id"] + 1))
            for trade in (*sent, *later):
                assert trades[trade["t"]] == trade
            updates, renewed = told_of(before, "depthUpdate", name), told_of(after, "depthUpdate", name)
            assert renewed[0]["U"] > updates[-1]["u"]
            check_candles(process, name)
    finally:
        process.end(signal.SIGKILL)
        process.http.close()


def check_candles(process: SimulatorProcess, name: str) -> None:
    """The candles since the very first trade count every trade, across all restarts."""
    before = process.get("/sim/sent", symbol=name)
    rows = process.get("/api/v3/klines", symbol=name, interval="1m")
    after = process.get("/sim/sent", symbol=name)
    first = before["first_trade_id"]
    assert before["trade_id"] - first <= sum(row[8] for row in rows) <= after["trade_id"] - first
    assert [row[0] for row in rows] == list(range(rows[0][0], rows[-1][0] + 1, 60_000))


def test_another_seed_never_gives_an_id_again(tmp_path: Path) -> None:
    with simulator(tmp_path / "state", seed=1) as exchange:
        before = exchange.get("/sim/sent", symbol="BTCUSDT")
        exchange.end()
    with simulator(tmp_path / "state", seed=2) as exchange:
        after = exchange.get("/sim/sent", symbol="BTCUSDT")
    assert after["update_id"] > before["update_id"] + 1000
    assert after["trade_id"] > before["trade_id"] + 1000


def test_a_second_simulator_on_the_same_state_is_refused(tmp_path: Path) -> None:
    with simulator(tmp_path / "state"):
        second = SimulatorProcess(tmp_path / "state")
        with pytest.raises(AssertionError, match="cannot serve"):
            second.start()
        second.http.close()
