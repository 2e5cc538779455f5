"""Snapshots and metadata over real HTTP, from a small venue on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from ingest.books import Books
from ingest.instruments import Instruments
from ingest.metrics import Metrics
from ingest.pools import LocalLedger, Pools
from ingest.records import Records
from ingest.rest import Rest
from runtime.config.ingest import Ingest
from runtime.config.stores import Environment
from tests.ingest.ingest_kit import RECV_NS, VENUE, Log
from tests.ingest.ingest_servers import connect_proxy, socks5_proxy, tcp_server, until
from venues.binance.protocol import BinanceSpotProtocol
from venues.contract import Request, RestPool

SETTINGS = Ingest(snapshot_demand_interval_s=0.3, reanchor_interval_s=1000)
ROOM = 10_000


class FakeRest:
    """Answers /api/v3/depth with `last_id`, /api/v3/exchangeInfo with `symbols`, or with what is queued instead."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.asked_s: list[float] = []
        self.last_id = 100
        self.symbols = {"BTCUSDT": "TRADING", "ETHUSDT": "TRADING", "OTHER": "BREAK"}
        self.instead: list[tuple[int, dict[str, str], bytes]] = []
        self.used = 0

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.readuntil(b"\r\n\r\n"):
            target = head.split(b" ", 2)[1].decode()
            self.asked.append(target)
            self.asked_s.append(time.monotonic())
            status, headers, body = self.instead.pop(0) if self.instead else (200, {}, self._body(target))
            more = "".join(f"{k}: {v}\r\n" for k, v in {**headers, "X-MBX-USED-WEIGHT-1M": self.used}.items())
            writer.write(f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\n{more}\r\n".encode() + body)
            await writer.drain()

    def _body(self, target: str) -> bytes:
        parts = urlsplit(target)
        if parts.path.endswith("exchangeInfo"):
            known = [{"symbol": s, "status": v, "baseAsset": s[:3]} for s, v in self.symbols.items()]
            return json.dumps({"symbols": known}).encode()
        limit = parse_qs(parts.query)["limit"][0]
        return b'{"lastUpdateId":%d,"bids":[["1.0","%s"]],"asks":[]}' % (self.last_id, limit.encode())

    def limits(self) -> list[str]:
        return [parse_qs(urlsplit(t).query)["limit"][0] for t in self.asked if "depth" in t]


class Hands:
    """Connections that do nothing."""

    def renew_book(self, conn: str, symbol: str) -> bool:
        raise AssertionError(f"{symbol} on {conn}: books are anchored by REST here")

    request_book = renew_book

    def rotate(self, conn: str) -> None:
        raise AssertionError(conn)

    def seq_of(self, conn: str) -> int:
        return 7


class Run:
    def __init__(self, venue: FakeRest, rest: Rest, log: Log, metrics: Metrics) -> None:
        records = Records(Environment(), "binance", "spot")
        self.venue, self.rest, self.log, self.metrics = venue, rest, log, metrics
        self.books = Books(VENUE, rest, records, log.add, metrics, SETTINGS, Hands())
        self.instruments = Instruments(VENUE.protocol, rest, records, log.add, metrics, "pod-1-0")

    def update(self, first: int, last: int, conn: str = "c1", symbol: str = "BTCUSDT") -> None:
        data = f'{{"e":"depthUpdate","E":1700000000000,"s":"{symbol}","U":{first},"u":{last},"b":[],"a":[]}}'
        frame = f'{{"stream":"{symbol.lower()}@depth@100ms","data":{data}}}'.encode()
        self.books.on_frame(symbol, conn, frame, RECV_NS)

    def outcomes(self, name: str) -> int:
        return self.metrics.counted("snapshots", "binance", "spot", name)

    def published(self) -> list[int]:
        return [json.loads(r.value)["lastUpdateId"] for r in self.log.of("snapshot")]


@contextlib.asynccontextmanager
async def running(proxy: str | None = None, base_url: str | None = None) -> AsyncIterator[Run]:
    venue, log, metrics = FakeRest(), Log(), Metrics()
    protocol = BinanceSpotProtocol()
    protocol.limits = replace(protocol.limits, rest_used_weight_header="X-MBX-USED-WEIGHT-1M")
    async with tcp_server(venue.handle) as port:
        url = base_url or f"http://127.0.0.1:{port}"
        pools = Pools(LocalLedger({"": RestPool(ROOM, 60.0)}, 1.0))
        rest = Rest(url, protocol, pools, metrics, ("binance", "spot"), proxy, 2.0)
        run = Run(venue, rest, log, metrics)
        task = asyncio.create_task(run.books.snapshots.run())
        try:
            yield run
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await run.books.snapshots.stop()
            await rest.close()


def drive(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(test())


def test_fetched_only_after_the_first_update_then_deepened() -> None:
    async def test() -> None:
        async with running() as run:
            run.books.on_connected("BTCUSDT", "c1", False)
            await asyncio.sleep(0.7)
            assert run.venue.asked == []
            run.update(95, 105)
            await until(lambda: run.venue.limits() == ["1000", "5000"])
            await until(lambda: run.outcomes("anchored") + run.outcomes("stale") == 2)
            record = run.log.of("snapshot")[0]
            headers = run.log.headers(record)
            assert (headers.channel, headers.conn, headers.seq) == ("book", "c1", "7")
            assert record.value == b'{"lastUpdateId":100,"bids":[["1.0","1000"]],"asks":[]}'
            assert record.topic == "raw.book"
            assert run.books.waiting == 0

    drive(test)


def test_too_old_is_published_and_fetched_again() -> None:
    async def test() -> None:
        async with running() as run:
            run.books.on_connected("BTCUSDT", "c1", False)
            run.update(500, 505)
            await until(lambda: run.outcomes("too_old") >= 2)
            run.venue.last_id = 502
            await until(lambda: run.outcomes("anchored") >= 1)
            assert run.published()[:2] == [100, 100]

    drive(test)


def test_a_gap_brings_a_new_snapshot_a_reconnect_that_continues_does_not() -> None:
    async def test() -> None:
        async with running() as run:
            run.books.on_connected("BTCUSDT", "c1", False)
            run.update(95, 105)
            await until(lambda: len(run.published()) == 2)
            run.books.on_disconnected("BTCUSDT", "c1", "closed 1001")
            run.books.on_connected("BTCUSDT", "c2", False)
            run.update(106, 110, "c2")
            await asyncio.sleep(0.6)
            assert len(run.published()) == 2
            run.venue.last_id = 200
            run.update(199, 201, "c2")
            await until(lambda: len(run.published()) >= 3)
            assert run.published()[2] == 200
            assert run.log.headers(run.log.of("snapshot")[2]).conn == "c2"
            assert run.metrics.counted("book_gaps", "binance", "spot") == 1

    drive(test)


def test_rotation_needs_no_snapshot() -> None:
    async def test() -> None:
        async with running() as run:
            run.books.on_connected("BTCUSDT", "c1", False)
            run.update(95, 105)
            await until(lambda: len(run.published()) == 2)
            run.books.on_connected("BTCUSDT", "c2", True)
            run.update(106, 107, "c2")
            run.update(106, 107, "c1")
            run.books.on_disconnected("BTCUSDT", "c1", "rotation")
            run.update(108, 109, "c2")
            await asyncio.sleep(0.6)
            assert len(run.published()) == 2

    drive(test)


def test_orders_to_wait_are_obeyed() -> None:
    async def test() -> None:
        async with running() as run:
            run.venue.instead = [(429, {"Retry-After": "1"}, b'{"code":-1003,"msg":"Too many requests"}')]
            run.books.on_connected("BTCUSDT", "c1", False)
            run.update(95, 105)
            await until(lambda: run.outcomes("refused") == 1)
            await until(lambda: len(run.venue.asked) >= 2)
            assert run.venue.asked_s[1] - run.venue.asked_s[0] >= 1.0
            assert run.metrics.counted("rest_refusals", "binance", "spot", "429") == 1

    drive(test)


@pytest.mark.parametrize(
    ("status", "headers", "body", "wait_s"),
    [
        (429, {"Retry-After": "7"}, b"{}", 7),
        (418, {}, b"{}", 120),
        (418, {"Retry-After": "5"}, b'{"code":-1003,"msg":"IP banned until %d"}', 90),
    ],
)
def test_how_long_a_refusal_lasts(status: int, headers: dict[str, str], body: bytes, wait_s: float) -> None:
    async def test() -> None:
        async with running() as run:
            data = body % int((time.time() + 90) * 1000) if b"%d" in body else body
            run.venue.instead = [(status, headers, data)]
            answer = await run.rest.get(Request("/api/v3/depth", {"symbol": "X", "limit": "5"}, 5))
            assert answer.status == status
            assert abs(run.rest.pools.local.pools[""].wait_s(1, time.monotonic()) - wait_s) < 2

    drive(test)


def test_weight_others_use_is_learned() -> None:
    async def test() -> None:
        async with running() as run:
            run.venue.used = 9_990
            await run.rest.get(Request("/api/v3/depth", {"symbol": "X", "limit": "5"}, 5))
            assert run.rest.pools.local.pools[""].used(time.monotonic()) == 9_990
            assert run.rest.pools.local.pools[""].wait_s(50, time.monotonic()) > 50

    drive(test)


def test_a_lower_limit_that_metadata_tell_holds() -> None:
    async def test() -> None:
        async with running() as run:
            for limit, allowed in ((1200, ROOM * 1200 // 6000), (6000, ROOM), (60_000, ROOM)):
                told = {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": limit}
                run.venue.instead = [(200, {}, json.dumps({"symbols": [], "rateLimits": [told]}).encode())]
                await run.instruments.refresh()
                assert run.rest.pools.local.pools[""].allowed == allowed

    drive(test)


@pytest.mark.parametrize(
    ("left", "used"), [("4", 6), ("10", 0), ("99", 0), ("", 0), ("none", 0), ("\u00b2", 0), ("9" * 5000, 0)]
)
def test_what_a_pool_has_left_is_learned(left: str, used: int) -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(f"HTTP/1.1 200 X\r\nContent-Length: 2\r\nX-Left: {left}\r\n\r\n{{}}".encode("latin-1"))
        await writer.drain()

    async def test() -> None:
        protocol = BinanceSpotProtocol()
        pools = {"": RestPool(1000, 60.0), "data": RestPool(10, 60.0)}
        protocol.limits = replace(protocol.limits, rest_pools=pools, rest_left_header="x-left")
        ledger = LocalLedger(pools, 1.0)
        async with tcp_server(handle) as port:
            url = f"http://127.0.0.1:{port}"
            rest = Rest(url, protocol, Pools(ledger), Metrics(), ("binance", "spot"), None, 2.0)
            assert (await rest.get(Request("/x", {}, 1, pool="data"))).ok
            await rest.close()
        now_s = time.monotonic()
        assert (ledger.pools["data"].used(now_s), ledger.pools[""].used(now_s)) == (used, 0)

    drive(test)


def test_demand_fetches_a_live_book_again_at_a_bounded_pace() -> None:
    async def test() -> None:
        async with running() as run:
            run.books.on_connected("BTCUSDT", "c1", False)
            run.update(95, 105)
            await until(lambda: len(run.published()) == 2)
            run.books.demand("BTCUSDT", "")
            await until(lambda: len(run.published()) == 3)
            for _ in range(20):
                run.books.demand("BTCUSDT", "")
                await asyncio.sleep(0.03)
            await asyncio.sleep(0.4)
            assert 4 <= len(run.published()) <= 6
            run.books.demand("NOBODY", "")
            assert run.metrics.counted("snapshot_requests", "binance", "spot", "not_subscribed") == 1

    drive(test)


def test_no_reply_is_retried() -> None:
    async def test() -> None:
        async with running(base_url="http://127.0.0.1:9") as run:
            run.books.on_connected("BTCUSDT", "c1", False)
            run.update(95, 105)
            await until(lambda: run.outcomes("failed") >= 2)
            assert run.books.waiting == 1

    drive(test)


def test_a_reply_in_dribbles_is_given_up() -> None:
    async def dribble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.02)

    async def test() -> None:
        protocol = BinanceSpotProtocol()
        pools = Pools(LocalLedger(protocol.limits.rest_pools, 1.0))
        async with tcp_server(dribble) as port:
            url = f"http://127.0.0.1:{port}"
            rest = Rest(url, protocol, pools, Metrics(), ("binance", "spot"), None, 0.5)
            async with asyncio.timeout(20):
                answer = await rest.get(Request("/api/v3/time", {}, 1))
            assert (answer.status, answer.ok) == (0, False)
            await rest.close()

    drive(test)


def test_metadata_is_written_once_per_topic_and_at_each_change() -> None:
    async def test() -> None:
        async with running() as run:
            run.instruments.want("BTCUSDT", ["trade", "agg_trade", "book"])
            run.instruments.want("NOSUCH", ["trade"])
            assert await run.instruments.refresh()
            assert [(r.topic, r.key) for r in run.log.of("instrument")] == [
                ("raw.book", b"binance.spot.BTCUSDT"), ("raw.trade", b"binance.spot.BTCUSDT"),
            ]  # fmt: skip
            metadata = b'{"symbol": "BTCUSDT", "status": "TRADING", "baseAsset": "BTC"}'
            assert run.log.of("instrument")[0].value == metadata
            assert run.instruments.missing == ["NOSUCH"]
            await run.instruments.refresh()
            assert len(run.log.of("instrument")) == 2
            run.venue.symbols["BTCUSDT"] = "HALT"
            await run.instruments.refresh()
            assert len(run.log.of("instrument")) == 4
            run.instruments.want("BTCUSDT", ["trade", "book", "bbo"])
            run.instruments.write()
            assert run.log.of("instrument")[-1].topic == "raw.bbo"
            assert len(run.log.of("instrument")) == 5
            run.instruments.write_again()
            assert sorted(r.topic for r in run.log.of("instrument")[5:]) == ["raw.bbo", "raw.book", "raw.trade"]

    drive(test)


@pytest.mark.parametrize("kind", ["http", "socks5"])
def test_rest_goes_through_the_proxy(kind: str) -> None:
    async def test() -> None:
        seen: list[str] = []
        handler = connect_proxy(seen) if kind == "http" else socks5_proxy(seen)
        async with tcp_server(handler) as port, running(proxy=f"{kind}://127.0.0.1:{port}") as run:
            answer = await run.rest.get(Request("/api/v3/depth", {"symbol": "X", "limit": "5"}, 5))
            assert answer.ok
            assert len(seen) == 1
            assert answer.body == b"the proxy" if kind == "http" else b"lastUpdateId" in answer.body

    drive(test)
