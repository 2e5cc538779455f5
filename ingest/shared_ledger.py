"""REST budgets shared by all pods behind one address, in Redis.

Each pool is a sorted set of what was spent, by the time of Redis' own clock; a script looks at the sliding window and
pays in one step, so that pods cannot overdraw it together. A venue's order to wait is a key with that lifetime, read by
every pod. While Redis is away each pod takes its part (share / shards) by its own count, and says so. What a pod knows
by itself holds whatever Redis says, which may have been restarted: the orders it got, and what it spent.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Mapping
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError

from ingest.metrics import Metrics, events
from ingest.pools import LocalLedger
from venues.contract import RestPool

TIMEOUT_S = 0.5
RETRY_S = 5.0
"""How long the local part rules after Redis failed, before it is tried again."""
AWAY = (RedisError, OSError, TimeoutError)

RESERVE = """
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local weight, window, allowed = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local wait = 0
for i = 2, 3 do
  wait = math.max(wait, tonumber(redis.call('GET', KEYS[i]) or '0') - now)
end
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - window)
local spent = redis.call('ZRANGE', KEYS[1], 0, -1, 'WITHSCORES')
local sum = 0
for i = 1, #spent, 2 do
  sum = sum + tonumber(string.match(spent[i], '^%d+'))
end
local over = sum + math.min(weight, allowed) - allowed
local freed = 0
for i = 1, #spent, 2 do
  if freed >= over then break end
  freed = freed + tonumber(string.match(spent[i], '^%d+'))
  if freed >= over then
    wait = math.max(wait, tonumber(spent[i + 1]) + window - now)
  end
end
if wait > 0 then return wait end
redis.call('ZADD', KEYS[1], now, weight .. ':' .. ARGV[4])
redis.call('PEXPIRE', KEYS[1], window)
return 0
"""
"""KEYS: spent, block of the pool, block of all. ARGV: weight, window (ms), allowed, a unique name. Gives how many
milliseconds to wait, 0 when paid."""

OBSERVE = """
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - tonumber(ARGV[2]))
local sum = 0
for _, entry in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
  sum = sum + tonumber(string.match(entry, '^%d+'))
end
local others = tonumber(ARGV[1]) - sum
if others <= 0 then return 0 end
redis.call('ZADD', KEYS[1], now, others .. ':' .. ARGV[3])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return others
"""
"""KEYS: spent. ARGV: the venue's count, window (ms), a unique name."""

BLOCK = """
local t = redis.call('TIME')
local till = t[1] * 1000 + math.floor(t[2] / 1000) + tonumber(ARGV[1])
if till <= tonumber(redis.call('GET', KEYS[1]) or '0') then return 0 end
redis.call('SET', KEYS[1], string.format('%.0f', till), 'PX', ARGV[1])
return 1
"""
"""KEYS: block. ARGV: how long (ms)."""


class SharedLedger:
    """Of one REST address. `place`: the keys' beginning, with the environment's prefix and the address group."""

    def __init__(
        self,
        redis: Redis,
        place: str,
        pod: str,
        pools: Mapping[str, RestPool],
        share: float,
        local: LocalLedger,
        metrics: Metrics,
    ) -> None:
        self._place = place
        self._pod = pod
        self._window_ms = {name: int(pool.window_s * 1000) for name, pool in pools.items()}
        self._local = local
        self._own = LocalLedger(pools, share)
        self._orders: dict[str, float] = {}
        """Orders to wait that Redis was not told: key -> until when (monotonic)."""
        self._metrics = metrics
        self._numbers = itertools.count(time.time_ns())
        self._reserve = redis.register_script(RESERVE)
        self._observe = redis.register_script(OBSERVE)
        self._block = redis.register_script(BLOCK)
        self._away_until_s = 0.0
        self.away = False
        """Redis does not answer: this pod keeps to its own part."""

    async def reserve(self, pool: str, weight: int, share: float) -> float:
        await self._repeat_orders()
        wait_s = self._own.pools[pool].wait_s(weight, time.monotonic(), share)
        if wait_s > 0:
            return wait_s
        allowed = max(1, int(self._own.pools[pool].allowed * share))
        keys = [self._key(pool), self._key(pool, "block"), f"{self._place}:block"]
        wait_ms = await self._call(self._reserve, keys, [weight, self._window_ms[pool], allowed, self._unique()])
        if wait_ms is None:
            wait_s = await self._local.reserve(pool, weight, share)
            if wait_s <= 0:
                self._own.pools[pool].spend(weight, time.monotonic())
            return wait_s
        if wait_ms <= 0:
            for ledger in (self._own, self._local):  # should Redis go away or come back empty, this counts
                ledger.pools[pool].spend(weight, time.monotonic())
        return wait_ms / 1000

    async def observe(self, pool: str, used_weight: int) -> None:
        args = [used_weight, self._window_ms[pool], self._unique()]
        if await self._call(self._observe, [self._key(pool)], args) is None:
            await self._local.observe(pool, used_weight)

    def allow(self, pool: str, part: float) -> bool:
        self._own.allow(pool, part)
        return self._local.allow(pool, part)

    async def block(self, pool: str | None, wait_s: float) -> None:
        for ledger in (self._own, self._local):
            await ledger.block(pool, wait_s)
        key = f"{self._place}:block" if pool is None else self._key(pool, "block")
        until_s = time.monotonic() + wait_s
        if await self._call(self._block, [key], [max(1, int(wait_s * 1000))]) is None:
            self._orders[key] = max(until_s, self._orders.get(key, 0.0))

    async def _repeat_orders(self) -> None:
        """Once Redis is back, the other pods must know too."""
        orders, self._orders = self._orders, {}
        for key, until_s in orders.items():
            left_ms = int((until_s - time.monotonic()) * 1000)
            if left_ms > 0 and await self._call(self._block, [key], [left_ms]) is None:
                self._orders[key] = until_s

    def _key(self, pool: str, what: str = "spent") -> str:
        return f"{self._place}:{pool or '-'}:{what}"

    def _unique(self) -> str:
        return f"{self._pod}:{next(self._numbers)}"

    async def _call(self, script: Any, keys: list[str], args: list[Any]) -> int | None:
        """What the script says; None while Redis is away."""
        if time.monotonic() < self._away_until_s:
            return None
        try:
            said = int(await script(keys=keys, args=args))
        except AWAY as exc:
            self._away_until_s = time.monotonic() + RETRY_S
            if not self.away:
                events.budget_alone(self._place, f"{type(exc).__name__}: {exc}")
            self.away = True
            self._metrics.count("rest_budget_failures")
            return None
        if self.away:
            self.away = False
            events.budget_shared_again(self._place)
        return said


def connect(url: str) -> Redis:
    """A client that gives up soon: a request must not wait for Redis."""
    client: Redis = Redis.from_url(url, socket_timeout=TIMEOUT_S, socket_connect_timeout=TIMEOUT_S)
    return client
