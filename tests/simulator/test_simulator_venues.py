"""The running venues beside Binance spot: books that can be followed, faults of their own, and what was sent."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import signal
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.simulator_process import SimulatorProcess, simulator

SETTINGS: dict[str, Any] = {
    "symbols": ["BTCUSDT"],
    "venue_frames_per_s": 500.0,
    "connection_attempts_per_5_min_max": 0,
    "venues": {"usdm": ["BTCUSDT"], "okx": ["BTC-USDT", "BTC-USDT-SWAP"]},
}
SWAP = "BTC-USDT-SWAP"
OKX_PUBLIC, OKX_BUSINESS = "/okx/ws/v5/public", "/okx/ws/v5/business"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimulatorProcess]:
    with simulator(tmp_path_factory.mktemp("sim") / "state", **SETTINGS) as process:
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


async def sent(exchange: SimulatorProcess, venue: str, **fields: Any) -> Any:
    return await asyncio.to_thread(exchange.get, "/sim/sent", venue=venue, **fields)


async def subscribe(socket: ClientConnection, *channels: str, inst_id: str = SWAP) -> None:
    """Have channels of one instrument; their acks are read."""
    args = [{"channel": channel, "instId": inst_id} for channel in channels]
    await socket.send(json.dumps({"op": "subscribe", "args": args}))
    for _ in args:
        told = json.loads(await socket.recv())
        assert told["event"] == "subscribe", told


async def next_of(socket: ClientConnection, channel: str) -> Any:
    """The next data frame of a channel."""
    while True:
        told = json.loads(await socket.recv())
        if told.get("arg", {}).get("channel") == channel and "data" in told:
            return told


async def until_closed(socket: ClientConnection) -> None:
    """Read until the connection's end is raised."""
    while True:
        await socket.recv()


Book = dict[str, dict[str, str]]


def apply(book: Book, row: Any) -> None:
    for side in ("asks", "bids"):
        for price, size, zero, orders in row[side]:
            assert (zero, orders == "0") == ("0", size == "0")
            if size == "0":
                book[side].pop(price, None)
            else:
                book[side][price] = size


def best(book: Book, side: str, count: int = 400) -> list[list[str]]:
    ordered = sorted(book[side].items(), key=lambda level: float(level[0]), reverse=side == "bids")
    return [list(level) for level in ordered[:count]]


# --- OKX --------------------------------------------------------------------------------------------------------------


def test_okx_books_are_the_books_rest_tells(exchange: SimulatorProcess) -> None:
    async def work() -> int:
        compared = gap = 0
        async with connect(exchange.ws_url + OKX_PUBLIC) as socket:
            await subscribe(socket, "books")
            first = await next_of(socket, "books")
            assert (first["action"], first["data"][0]["prevSeqId"]) == ("snapshot", -1)
            book: Book = {"asks": {}, "bids": {}}
            apply(book, first["data"][0])
            assert [len(book[side]) for side in book] == [400, 400]
            last = wanted = first["data"][0]["seqId"]
            theirs: Any = None
            while compared < 5:
                told = await next_of(socket, "books")
                [row] = told["data"]
                assert (told["action"], row["prevSeqId"], row["checksum"]) == ("update", last, 0)
                gap += row["seqId"] > last + 1
                last = row["seqId"]
                apply(book, row)
                if last > wanted:  # else the answer took long: what came meanwhile is read first
                    reply = await asyncio.to_thread(exchange.get, "/okx/api/v5/market/books", instId=SWAP, sz=400)
                    [theirs] = reply["data"]
                    wanted = theirs["seqId"]
                if wanted != last:
                    continue
                for side in ("asks", "bids"):
                    assert best(book, side) == [level[:2] for level in theirs[side]]
                compared += 1
        return gap

    assert run(work), "ids are not consecutive"


def test_what_okx_books_miss_is_what_sent_tells(exchange: SimulatorProcess) -> None:
    async def work() -> None:
        async with connect(exchange.ws_url + OKX_PUBLIC) as socket:
            await subscribe(socket, "books")
            seen = [(await next_of(socket, "books"))["data"][0]]
            await fault(exchange, "drop", venue="okx", stream="books:*", count=2)
            while sum(a["seqId"] != b["prevSeqId"] for a, b in itertools.pairwise(seen)) < 1 or len(seen) < 20:
                seen.append((await next_of(socket, "books"))["data"][0])
            told = await sent(exchange, "okx", symbol=SWAP, stream="books", **{"from": seen[0]["seqId"] + 1})
        made = {(before, seq) for before, seq, _ in told["updates"] if seq <= seen[-1]["seqId"]}
        received = {(row["prevSeqId"], row["seqId"]) for row in seen[1:]}
        missing = sorted(made - received)
        assert received < made
        assert len(missing) == 2
        assert missing[0][1] == missing[1][0], "two in a row"

    run(work)


def test_okx_sequences_reset_without_a_gap(exchange: SimulatorProcess) -> None:
    async def work() -> None:
        async with connect(exchange.ws_url + OKX_PUBLIC) as socket:
            await subscribe(socket, "books", inst_id="BTC-USDT")
            rows = [(await next_of(socket, "books"))["data"][0]]
            await fault(exchange, "sequence_reset", venue="okx", stream="books:BTC-USDT")
            while rows[-1]["seqId"] >= rows[0]["seqId"]:
                rows.append((await next_of(socket, "books"))["data"][0])
            rows.append((await next_of(socket, "books"))["data"][0])
            assert all(a["seqId"] == b["prevSeqId"] for a, b in itertools.pairwise(rows))
            assert rows[-2]["seqId"] < rows[-2]["prevSeqId"]
            assert rows[-1]["seqId"] > rows[-1]["prevSeqId"]

    run(work)


def test_okx_streams_without_a_snapshot_splice_onto_rest(exchange: SimulatorProcess) -> None:
    async def work() -> None:
        async with connect(exchange.ws_url + OKX_PUBLIC) as socket:
            await fault(exchange, "no_snapshot", venue="okx", stream=f"books:{SWAP}", count=1)
            await subscribe(socket, "books")
            rows = [await next_of(socket, "books")]
            assert rows[0]["action"] == "update"
            reply = await asyncio.to_thread(exchange.get, "/okx/api/v5/market/books", instId=SWAP, sz=400)
            [anchor] = reply["data"]
            assert anchor["seqId"] >= rows[0]["data"][0]["prevSeqId"]
            while rows[-1]["data"][0]["seqId"] <= anchor["seqId"]:
                rows.append(await next_of(socket, "books"))
            assert rows[-1]["data"][0]["prevSeqId"] <= anchor["seqId"] < rows[-1]["data"][0]["seqId"]
            await socket.send(json.dumps({"op": "unsubscribe", "args": [{"channel": "books", "instId": SWAP}]}))
            while json.loads(await socket.recv()).get("event") != "unsubscribe":
                pass
            await subscribe(socket, "books")
            assert (await next_of(socket, "books"))["action"] == "snapshot"

    run(work)


def test_okx_acknowledges_a_subscription_and_drops_it(exchange: SimulatorProcess) -> None:
    async def work() -> None:
        async with connect(exchange.ws_url + OKX_PUBLIC) as socket:
            await fault(exchange, "drop_subscription", venue="okx", stream="tickers:*", count=1)
            await subscribe(socket, "tickers")
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(socket.recv(), 0.7)
        async with connect(exchange.ws_url + OKX_PUBLIC) as socket:
            await subscribe(socket, "tickers")
            assert (await next_of(socket, "tickers"))["data"][0]["instId"] == SWAP

    run(work)


def test_okx_trades_missing_are_those_dropped(exchange: SimulatorProcess) -> None:
    async def work() -> None:
        async with connect(exchange.ws_url + OKX_BUSINESS) as socket:
            await subscribe(socket, "trades-all")
            ids = [int((await next_of(socket, "trades-all"))["data"][0]["tradeId"])]
            await fault(exchange, "drop", venue="okx", stream=f"trades-all:{SWAP}", count=3)
            while len(ids) < 40 or len(ids) == ids[-1] - ids[0] + 1:
                ids.append(int((await next_of(socket, "trades-all"))["data"][0]["tradeId"]))
            told = await sent(exchange, "okx", symbol=SWAP, stream="trades-all", **{"from": ids[0]})
        made = [int(json.loads(row)["tradeId"]) for row in told["trades"]]
        missing = [number for number in made if number <= ids[-1] and number not in ids]
        assert made == list(range(made[0], made[-1] + 1))
        assert len(missing) == 3

    run(work)


def test_okx_announces_an_upgrade_and_others_go_on(exchange: SimulatorProcess) -> None:
    async def work() -> int:
        spot = exchange.ws_url + "/ws/btcusdt@trade"
        async with connect(exchange.ws_url + OKX_PUBLIC) as socket, connect(spot) as other:
            await subscribe(socket, "trades")
            await fault(exchange, "shutdown", venue="okx", delay_s=0.3)
            told: dict[str, Any] = {}
            while told.get("event") != "notice":
                told = json.loads(await socket.recv())
            assert told["code"] == "64008"
            with pytest.raises(ConnectionClosed) as closed:
                await until_closed(socket)
            assert json.loads(await other.recv())["e"] == "trade"
            assert closed.value.rcvd is not None
            return closed.value.rcvd.code

    assert run(work) == 1001


def test_refusals_and_rest_faults_strike_one_venue(exchange: SimulatorProcess) -> None:
    async def work() -> None:
        await fault(exchange, "refuse", venue="okx", status=503, count=1)
        async with connect(exchange.ws_url + "/usdm/public/ws"):
            pass
        with pytest.raises(InvalidStatus):
            await connect(exchange.ws_url + OKX_PUBLIC)

    run(work)
    exchange.fault("rest", venue="okx", path="/api/v5/rubik/*", status=429, count=1)
    path = "/okx/api/v5/rubik/stat/contracts/long-short-account-ratio-contract"
    assert exchange.http.get("/okx/api/v5/public/time").json()["code"] == "0"
    refused = exchange.http.get(path, params={"instId": SWAP})
    assert (refused.status_code, refused.json()["code"]) == (429, "50011")
    assert exchange.http.get(path, params={"instId": SWAP}).status_code == 200
    exchange.fault("rest", venue="usdm", path="/fapi/v1/depth", status=418, retry_after_s=9, count=1)
    banned = exchange.http.get("/usdm/fapi/v1/depth", params={"symbol": "BTCUSDT"})
    assert (banned.status_code, banned.headers["Retry-After"], banned.json()["code"]) == (418, "9", -1003)
    assert "X-MBX-USED-WEIGHT-1M" in banned.headers


def test_okx_limits_requests_of_an_endpoint(exchange: SimulatorProcess) -> None:
    path = "/okx/api/v5/rubik/stat/taker-volume-contract"
    statuses = [exchange.http.get(path, params={"instId": SWAP}).status_code for _ in range(8)]
    assert statuses[:5] == [200] * 5
    assert 429 in statuses[5:]


# --- USD-M ------------------------------------------------------------------------------------------------------------


def test_usdm_books_bridge_onto_the_snapshot_by_pu(exchange: SimulatorProcess) -> None:
    async def work() -> None:
        async with connect(exchange.ws_url + "/usdm/public/ws/btcusdt@depth@100ms") as socket:
            events = [json.loads(await socket.recv()) for _ in range(3)]
            query = {"symbol": "BTCUSDT", "limit": 1000}
            anchor = await asyncio.to_thread(exchange.get, "/usdm/fapi/v1/depth", **query)
            while events[-1]["u"] < anchor["lastUpdateId"]:
                events.append(json.loads(await socket.recv()))
            events += [json.loads(await socket.recv()) for _ in range(10)]
            assert all(a["u"] == b["pu"] for a, b in itertools.pairwise(events))
            assert any(event["U"] != event["pu"] + 1 for event in events), "ids jump"
            kept = [event for event in events if event["u"] >= anchor["lastUpdateId"]]
            assert kept[0]["pu"] <= anchor["lastUpdateId"] <= kept[0]["u"]
            await fault(exchange, "drop", venue="usdm", stream="btcusdt@depth@100ms", count=1)
            seen = [json.loads(await socket.recv()) for _ in range(12)]
            told = await sent(exchange, "usdm", symbol="BTCUSDT", stream="depth", **{"from": seen[0]["u"]})
        made = [tuple(row[:3]) for row in told["updates"] if row[1] <= seen[-1]["u"]]
        received = [(event["U"], event["u"], event["pu"]) for event in seen]
        gaps = sum(a["u"] != b["pu"] for a, b in itertools.pairwise(seen))
        assert len(set(made) - set(received)) == gaps <= 1

    run(work)


def test_usdm_gives_each_route_its_streams_and_the_unrouted_the_public_ones(exchange: SimulatorProcess) -> None:
    names = ["btcusdt@bookTicker", "btcusdt@trade", "btcusdt@aggTrade", "btcusdt@markPrice@1s"]

    async def kinds(path: str, expected: set[str]) -> None:
        """What comes within 1.5 s, and longer where the machine is slow, is what is expected."""
        async with connect(exchange.ws_url + "/usdm" + path) as socket:
            await socket.send(json.dumps({"method": "SUBSCRIBE", "params": names, "id": 1}))
            seen, until_s = set[str](), time.monotonic() + 1.5
            while time.monotonic() < until_s or not expected <= seen:
                with contextlib.suppress(TimeoutError):
                    seen.add(json.loads(await asyncio.wait_for(socket.recv(), 0.2)).get("stream", "ack"))
            assert seen == expected

    async def work() -> None:
        public, market = {"ack", *names[:2]}, {"ack", *names[2:]}
        await asyncio.gather(kinds("/public/stream", public), kinds("/market/stream", market), kinds("/stream", public))

    run(work)


def test_usdm_trades_have_some_that_no_taker_made(exchange: SimulatorProcess) -> None:
    async def work() -> None:
        trades: list[Any] = []
        async with connect(exchange.ws_url + "/usdm/public/ws/btcusdt@trade") as socket:
            while not (specials := [trade for trade in trades[:-1] if trade["X"] != "MARKET"]):
                trades.append(json.loads(await socket.recv()))
        ids = [trade["t"] for trade in trades]
        assert ids == list(range(ids[0], ids[-1] + 1))
        assert specials[0]["X"] in ("INSURANCE_FUND", "ADL")
        near = [trade for trade in trades if trade["X"] == "MARKET"]
        assert abs(float(specials[0]["p"]) / float(near[-1]["p"]) - 1) > 0.05
        told = await sent(exchange, "usdm", symbol="BTCUSDT", stream="trade", **{"from": ids[0], "limit": len(ids)})
        assert [json.loads(row) for row in told["trades"]][: len(ids)] == trades

    run(work)


# --- all --------------------------------------------------------------------------------------------------------------


def test_venues_trade_near_one_price(exchange: SimulatorProcess) -> None:
    def middle(bid: str, ask: str) -> float:
        return (float(bid) + float(ask)) / 2

    spot = exchange.get("/api/v3/ticker/bookTicker", symbol="BTCUSDT")
    future = exchange.get("/usdm/fapi/v1/ticker/bookTicker", symbol="BTCUSDT")
    [swap] = exchange.get("/okx/api/v5/market/ticker", instId=SWAP)["data"]
    prices = [middle(each["bidPrice"], each["askPrice"]) for each in (spot, future)]
    prices.append(middle(swap["bidPx"], swap["askPx"]))
    assert max(prices) / min(prices) < 1.01


def test_status_tells_of_each_venue(exchange: SimulatorProcess) -> None:
    told = exchange.get("/sim/status")
    assert told["venues"].keys() == {"usdm", "okx"}
    assert told["venues"]["okx"]["symbols"] == ["BTC-USDT", SWAP]
    assert exchange.http.get("/sim/sent", params={"venue": "nobody"}).status_code == 404
    assert exchange.http.get("/okx/ws/v5/private").status_code == 404


def test_ids_go_on_after_a_kill(tmp_path: Path) -> None:
    with simulator(tmp_path / "state", **SETTINGS) as process:
        before = (
            process.get("/sim/sent", venue="okx", symbol=SWAP),
            process.get("/sim/sent", venue="usdm", symbol="BTCUSDT"),
        )
        process.end(signal.SIGKILL)
        process.start()
        after = (
            process.get("/sim/sent", venue="okx", symbol=SWAP),
            process.get("/sim/sent", venue="usdm", symbol="BTCUSDT"),
        )
    assert after[0]["trade_id"] >= before[0]["trade_id"]
    assert after[0]["seq_id"] >= before[0]["seq_id"]
    assert after[1]["update_id"] >= before[1]["update_id"]
