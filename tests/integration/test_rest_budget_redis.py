"""REST budgets that several ingest pods share, against a real Redis (Valkey) that may go away."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any
from urllib.parse import urlsplit

import pytest

from ingest.addresses import Addresses
from ingest.budget import REFUSED_WAIT_S
from ingest.metrics import Metrics
from ingest.pools import LocalLedger, Pools
from ingest.shared_ledger import SharedLedger, connect
from runtime.config import Config
from tests.ingest.ingest_servers import tcp_server
from venues import find_venue
from venues.contract import Request, RestPool

POOLS = {"": RestPool(40, 1.0), "heavy": RestPool(10, 60.0)}
GRAIN_S = 0.02


class Pod:
    """One pod's view of the budgets of an address."""

    def __init__(self, url: str, place: str, number: int, shards: int, share: float = 1.0) -> None:
        self.redis = connect(url)
        self.place = place
        self.metrics = Metrics()
        self.local = LocalLedger(POOLS, share, shards)
        self.ledger = SharedLedger(self.redis, place, f"pod-{number}", POOLS, share, self.local, self.metrics)
        self.pools = Pools(self.local, self.ledger)

    def is_alone(self) -> bool:
        return self.ledger.away


@contextlib.asynccontextmanager
async def pods(url: str, count: int, shards: int = 0, share: float = 1.0) -> AsyncIterator[list[Pod]]:
    place = f"t{secrets.token_hex(4)}:ingest:rest:default:https://x"
    made = [Pod(url, place, n, shards or count, share) for n in range(count)]
    try:
        yield made
    finally:
        for pod in made:
            await pod.redis.aclose()


def drive(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(test())


def request(weight: int, pool: str = "") -> Request:
    return Request("/x", {}, weight, pool=pool)


class Since:
    """What is left of an order to wait. How long a busy machine takes between two calls is no matter."""

    def __init__(self, total_s: float) -> None:
        self._begun_s, self._total_s = time.monotonic(), total_s

    def leaves(self, wait_s: float) -> bool:
        """`GRAIN_S`: Redis counts whole milliseconds of a clock of its own."""
        least_s = self._begun_s + self._total_s - time.monotonic()
        return least_s - GRAIN_S <= wait_s <= self._total_s + GRAIN_S


def test_pods_together_stay_within_the_budget_of_any_window(redis_url: str) -> None:
    async def test() -> None:
        paid: list[tuple[float, float, int]] = []

        async def spend(pod: Pod, weight: int, until_s: float) -> None:
            while (before_s := time.monotonic()) < until_s:
                wait_s = await pod.pools.reserve(request(weight))
                if wait_s <= 0:
                    paid.append((before_s, time.monotonic(), weight))
                else:
                    await asyncio.sleep(min(wait_s, 0.05))

        async with pods(redis_url, 4) as made:
            end_s = time.monotonic() + 3.2
            await asyncio.gather(*(spend(pod, 1 + n * 2, end_s) for n, pod in enumerate(made)))
        for begun_s, _, _ in paid:  # the script's own clock stood between asking and the answer
            assert sum(w for t, told_s, w in paid if begun_s <= t and told_s < begun_s + 1.0 - GRAIN_S) <= 40
        assert sum(w for _, _, w in paid) >= 3 * 40 * 0.8  # and the budget is used
        assert {w for _, _, w in paid} == {1, 3, 5, 7}

    drive(test)


def test_less_urgent_requests_leave_room_for_everybodys_urgent_ones(redis_url: str) -> None:
    async def test() -> None:
        async with pods(redis_url, 2) as (one, two):
            for _ in range(4):
                assert await one.pools.reserve(request(1, "heavy"), 0.5) == 0
            assert await two.pools.reserve(request(1, "heavy"), 0.5) == 0
            assert await two.pools.reserve(request(1, "heavy"), 0.5) > 50
            assert await one.pools.reserve(request(5, "heavy")) == 0
            assert await one.pools.reserve(request(1, "heavy")) > 50

    drive(test)


def test_a_request_heavier_than_the_pool_goes_when_nothing_was_spent(redis_url: str) -> None:
    async def test() -> None:
        async with pods(redis_url, 1) as (pod,):
            spent = Since(60)
            assert await pod.pools.reserve(request(25, "heavy")) == 0
            assert spent.leaves(await pod.pools.reserve(request(1, "heavy")))

    drive(test)


def test_the_venues_own_count_and_its_orders_reach_every_pod(redis_url: str) -> None:
    async def test() -> None:
        async with pods(redis_url, 2) as (one, two):
            full = Since(1)
            await one.pools.observe(40)
            assert full.leaves(await two.pools.reserve(request(1)))
            order = Since(70)
            assert await one.pools.refused(request(1, "heavy"), 429, 70.0, None) == 70.0
            assert order.leaves(await two.pools.reserve(request(1, "heavy")))
            await asyncio.sleep(1.0)
            assert await two.pools.reserve(request(1)) == 0  # another pool goes on
            assert await one.pools.refused(request(1, "heavy"), 429, 3.0, None) == 3.0
            assert order.leaves(await two.pools.reserve(request(1, "heavy")))  # a shorter order shortens nothing
            ban = Since(90)
            assert await one.pools.refused(request(1), 418, None, 90.0) == 90.0
            assert ban.leaves(await two.pools.reserve(request(1)))
            assert ban.leaves(await two.pools.reserve(request(1, "heavy")))

    drive(test)


def test_a_limit_the_venue_lowered_holds_against_redis_too(redis_url: str) -> None:
    async def test() -> None:
        async with pods(redis_url, 2) as (one, two):
            for pod in (one, two):
                assert pod.pools.allow("heavy", 0.4)
            assert await one.pools.reserve(request(3, "heavy")) == 0
            assert await two.pools.reserve(request(1, "heavy")) == 0
            assert await two.pools.reserve(request(1, "heavy")) > 50

    drive(test)


@contextlib.asynccontextmanager
async def gate(redis_url: str) -> AsyncIterator[tuple[str, asyncio.Event]]:
    """A way to Redis that is open while the event is set."""
    parts, is_open = urlsplit(redis_url), asyncio.Event()
    is_open.set()

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while (chunk := await reader.read(65536)) and is_open.is_set():
            writer.write(chunk)
            await writer.drain()
        writer.close()

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not is_open.is_set():
            return
        up_reader, up_writer = await asyncio.open_connection(parts.hostname, parts.port)
        ways: tuple[Awaitable[None], Awaitable[None]] = (copy(reader, up_writer), copy(up_reader, writer))
        await asyncio.gather(*ways)

    async with tcp_server(forward) as port:
        yield f"redis://127.0.0.1:{port}/0", is_open


def test_without_redis_each_pod_keeps_to_its_part_and_comes_back(
    redis_url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("ingest.shared_ledger.RETRY_S", 0.3)

    async def test() -> None:
        async with gate(redis_url) as (url, is_open), pods(url, 2, share=0.5) as (one, two):
            for _ in range(3):
                assert await one.pools.reserve(request(1, "heavy")) == 0
            is_open.clear()
            # 10 x 0.5 / 2 pods = 2 each: the first has had its part, the second takes its own and no more
            assert await one.pools.reserve(request(1, "heavy")) > 0
            assert await two.pools.reserve(request(2, "heavy")) == 0
            assert await two.pools.reserve(request(1, "heavy")) > 0
            assert one.is_alone()
            assert two.metrics.counted("rest_budget_failures") >= 1
            await two.pools.refused(request(1), 429, None, None)
            assert await two.pools.reserve(request(1)) > REFUSED_WAIT_S - 1
            is_open.set()
            await asyncio.sleep(0.4)
            assert await one.pools.reserve(request(2, "heavy")) == 0  # five in all, three spent
            assert not one.is_alone()
            assert await one.pools.reserve(request(1, "heavy")) > 0
            assert await two.pools.reserve(request(1)) > REFUSED_WAIT_S - 2
            assert await one.pools.reserve(request(1)) > REFUSED_WAIT_S - 2  # what only the second pod knew

    with caplog.at_level("INFO"):
        drive(test)
    said = [r.message for r in caplog.records]
    assert sum("keeps to its own part" in text for text in said) == 2
    assert sum("shared again" in text for text in said) >= 1


def test_a_redis_that_comes_back_empty_takes_back_no_order_and_no_weight(redis_url: str) -> None:
    async def test() -> None:
        async with pods(redis_url, 1) as (pod,):

            async def empty() -> None:
                keys = [key async for key in pod.redis.scan_iter(f"{pod.place}*")]
                assert await pod.redis.delete(*keys) >= 1

            assert await pod.pools.reserve(request(10, "heavy")) == 0
            await empty()
            assert 50 < await pod.pools.reserve(request(1, "heavy")) <= 60
            assert await pod.pools.refused(request(1), 418, 3600.0, None) == 3600.0
            await empty()
            assert await pod.pools.reserve(request(1)) > 3590

    drive(test)


@pytest.mark.parametrize(
    ("settings", "shared"), [({"shards": 2}, True), ({"rest_budget_shared": True}, True), ({}, False)]
)
def test_several_shards_share_by_address_and_egress(redis_url: str, settings: dict[str, Any], shared: bool) -> None:
    prefix = f"t{secrets.token_hex(4)}:"
    market = {"ws_url": "ws://x", "rest_url": "http://x/okx", "symbols": []}
    binance = {**market, "rest_url": "http://x"}
    config = Config.model_validate(
        {
            "environment": {"redis_prefix": prefix},
            "redis": {"url": redis_url},
            "exchanges": {
                "binance": {"spot": binance, "perp": binance, "inverse": {**binance, "rest_url": "http://y"}},
                "okx": {"spot": market, "perp": market},
            },
            "ingest": {"egress": "east", **settings},
        }
    )

    async def test() -> None:
        addresses = Addresses(config, "pod-0", Metrics())

        def pools(exchange: str, name: str) -> Pools:
            limits = find_venue(exchange, name).protocol.limits
            return addresses.pools(exchange, config.exchanges[exchange][name].rest_url, limits)

        spot = pools("okx", "spot")
        assert spot is pools("okx", "perp")
        assert pools("binance", "spot") is not spot
        assert pools("binance", "perp") is pools("binance", "inverse")  # the venue counts both addresses together
        assert pools("binance", "perp") is not pools("binance", "spot")
        assert await spot.reserve(request(1, "books")) == 0
        redis = connect(redis_url)
        found = [key.decode() async for key in redis.scan_iter(f"{prefix}*")]
        assert found == ([f"{prefix}ingest:rest:east:http://x/okx:books:spent"] if shared else [])
        assert not addresses.alone
        await redis.aclose()
        await addresses.close()

    drive(test)
