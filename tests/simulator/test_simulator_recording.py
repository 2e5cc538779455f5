"""Recorded sessions: the same bytes, in order, to those who asked, and books that bridge."""

from __future__ import annotations

import asyncio
import json
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus

from simulator.recording import BadRecording, parse_recording, snapshot_at
from tests.frames import frames_dir
from tests.simulator_process import SimulatorProcess, simulator

SESSIONS = ("seq_cf_20211011_4sym", "seq_hft_btcusdt_20240808", "seq_cf_20210404_3sym_aggtrade_depth_kline")


def session_path(name: str) -> Path:
    return frames_dir() / "binance" / "spot" / f"{name}.jsonl"


def recorded_frames(path: Path) -> list[bytes]:
    return [line for line in path.read_bytes().splitlines() if line.startswith(b'{"stream"')]


async def until_closed(socket: ClientConnection, out: list[bytes]) -> tuple[int, str]:
    """Read everything; code and reason of the close."""
    async for frame in socket:
        out.append(str(frame).encode())
    return socket.close_code or 0, socket.close_reason or ""


@pytest.mark.parametrize("name", SESSIONS)
def test_the_whole_session_bridges_and_ends(name: str, tmp_path: Path) -> None:
    path = session_path(name)
    frames = recorded_frames(path)

    async def work(process: SimulatorProcess) -> None:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{process.port}", trust_env=False, timeout=30) as http:
            status = (await http.get("/sim/status")).json()
            assert (status["mode"], status["state"]) == ("recording", "waiting")
            names, symbols = status["recorded_streams"], status["symbols"]
            async with connect(f"{process.ws_url}/stream", max_size=None, max_queue=None) as socket:
                asked = [asyncio.create_task(depth(http, symbol)) for symbol in symbols]
                await socket.send(json.dumps({"method": "SUBSCRIBE", "params": names, "id": 1}))
                assert json.loads(await socket.recv()) == {"result": None, "id": 1}
                got: list[bytes] = []
                assert await until_closed(socket, got) == (1001, "recording ended")
            assert got == frames
            for symbol, reply in zip(symbols, await asyncio.gather(*asked), strict=True):
                assert reply.content in path.read_bytes(), "the recorded body, byte for byte"
                check_bridge(reply.json(), symbol, got)
            with pytest.raises(InvalidStatus) as refused:
                await connect(f"{process.ws_url}/stream")
            assert refused.value.response.status_code == 503
            assert b"recording ended" in (refused.value.response.body or b"")
            assert (await http.get("/sim/status")).json()["state"] == "ended"

    with simulator(tmp_path / "state", recording=str(path), speed=30.0) as process:
        asyncio.run(asyncio.wait_for(work(process), 60))


async def depth(http: httpx.AsyncClient, symbol: str) -> httpx.Response:
    return (await http.get("/api/v3/depth", params={"symbol": symbol, "limit": 1000})).raise_for_status()


def check_bridge(snapshot: dict[str, Any], symbol: str, frames: list[bytes]) -> None:
    """The official steps find no gap from this snapshot to the end of the session."""
    updates = [json.loads(f)["data"] for f in frames if f.startswith(f'{{"stream":"{symbol.lower()}@depth'.encode())]
    assert snapshot["lastUpdateId"] >= updates[0]["U"]
    last = snapshot["lastUpdateId"]
    for update in updates:
        if update["u"] > last:
            assert update["U"] <= last + 1
            last = update["u"]
    assert last == updates[-1]["u"]


def test_each_connection_gets_its_streams_at_the_pace_of_the_session(tmp_path: Path) -> None:
    path = session_path(SESSIONS[0])
    frames = recorded_frames(path)
    speed = 10.0
    times = [float(t) for t in path.with_name(path.name.replace(".jsonl", ".recv.txt")).read_text().split()]

    async def work(process: SimulatorProcess) -> None:
        mine = [b"nknusdt@depth@100ms", b"nknusdt@bookTicker"]
        target = "/stream?streams=" + b"/".join(mine).decode()
        began = time.monotonic()
        connecting = connect(process.ws_url + target), connect(process.ws_url + "/ws/lrcbtc@depth@100ms")
        socket, raw = await asyncio.gather(*connecting)  # at once: half a second after the first one it begins
        async with socket, raw:
            got: list[bytes] = []
            other: list[bytes] = []
            ends = await asyncio.gather(until_closed(socket, got), until_closed(raw, other))
            took = time.monotonic() - began
        assert set(ends) == {(1001, "recording ended")}
        assert got == [f for f in frames if any(f.startswith(b'{"stream":"%b"' % name) for name in mine)]
        lrc = [f for f in frames if f.startswith(b'{"stream":"lrcbtc@depth@100ms"')]
        assert [b'{"stream":"lrcbtc@depth@100ms","data":%b}' % f for f in other] == lrc
        expected = (times[-1] - times[0]) / speed
        assert expected <= took + 0.1
        assert took < speed * expected / 2, "far faster than the session was"

    with simulator(tmp_path / "state", recording=str(path), speed=speed, start_wait_s_max=0.5) as process:
        asyncio.run(asyncio.wait_for(work(process), 60))


def test_requests_around_the_recorded_snapshot(tmp_path: Path) -> None:
    path = session_path(SESSIONS[1])

    async def work(process: SimulatorProcess) -> None:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{process.port}", trust_env=False, timeout=30) as http:
            early = await http.get("/api/v3/depth", params={"symbol": "BTCUSDT", "limit": 1000})
            assert early.status_code == 503, "nobody subscribed: the session does not run"
            deeper = await http.get("/api/v3/depth", params={"symbol": "BTCUSDT", "limit": 5000})
            assert (deeper.status_code, deeper.json()["code"]) == (400, -1130), "1,000 levels must not pass for 5,000"
            unknown = await http.get("/api/v3/depth", params={"symbol": "NOPE"})
            assert (unknown.status_code, unknown.json()["code"]) == (400, -1121)
            info = (await http.get("/api/v3/exchangeInfo")).json()["symbols"][0]
            assert (info["symbol"], info["baseAsset"], info["quoteAsset"]) == ("BTCUSDT", "BTC", "USDT")
            assert info["filters"][0]["tickSize"] == "0.01000000"
            stream = "btcusdt@depth@100ms"
            async with connect(f"{process.ws_url}/stream?streams={stream}", max_size=None) as first:
                while json.loads(await first.recv())["data"]["u"] < 50093240000:
                    pass
                async with connect(f"{process.ws_url}/stream?streams={stream}", max_size=None) as late:
                    update = json.loads(await late.recv())["data"]
                    told = (await depth(http, "BTCUSDT")).json()
                    assert told["lastUpdateId"] >= update["U"] - 1, "a late client must be able to bridge"
                    book = {"b": dict(told["bids"]), "a": dict(told["asks"])}
                    assert max(map(Decimal, book["b"])) < min(map(Decimal, book["a"]))

    with simulator(
        tmp_path / "state", recording=str(path), speed=4.0, start_wait_s_max=0.2, snapshot_wait_s_max=0.3
    ) as process:
        asyncio.run(asyncio.wait_for(work(process), 60))


def test_a_computed_snapshot_is_the_recorded_one_with_the_updates_since() -> None:
    path = session_path(SESSIONS[1])
    recording = parse_recording("x", path.read_bytes().splitlines(), None)
    snapshot = recording.snapshots["BTCUSDT"][0]
    assert json.loads(snapshot_at(recording, "BTCUSDT", snapshot, 0, 1000)) == json.loads(snapshot.body)
    position = len(recording.frames)
    told = json.loads(snapshot_at(recording, "BTCUSDT", snapshot, position, 1000))
    best = next(json.loads(f.data) for f in reversed(recording.frames) if f.stream.endswith("bookTicker"))
    assert abs(Decimal(told["bids"][0][0]) - Decimal(best["b"])) < 50
    assert told["lastUpdateId"] > snapshot.last_id


def test_without_receive_times_event_times_count() -> None:
    path = session_path(SESSIONS[0])
    lines = path.read_bytes().splitlines()
    told = parse_recording("x", lines, None)
    times = [frame.time_us for frame in told.frames]
    assert times == sorted(times)
    assert times[-1] - times[0] == pytest.approx(30e6, rel=0.1)


@pytest.mark.parametrize("lines", [[b'{"stream":"a@trade","data":'], [b'{"result":null,"id":1}'], []])
def test_what_is_no_recording_is_refused(lines: list[bytes]) -> None:
    with pytest.raises(BadRecording):
        parse_recording("x", lines, None)
