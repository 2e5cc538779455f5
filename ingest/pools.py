"""All REST budgets of one venue's address: one per pool, alone in this process or shared by all pods through Redis."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Protocol

from ingest.budget import WeightBudget
from venues.contract import Request, RestPool


class Ledger(Protocol):
    """Where weight is paid from. Times in seconds from now."""

    async def reserve(self, pool: str, weight: int, share: float) -> float:
        """0: paid, the request may go; else how long to wait before asking again."""

    async def observe(self, pool: str, used_weight: int) -> None:
        """The venue's own count, of everyone behind our address."""

    async def block(self, pool: str | None, wait_s: float) -> None:
        """Nothing may be asked from this pool (None: from any) for so long."""

    def allow(self, pool: str, part: float) -> bool:
        """The venue allows this part of what we took it to allow. False: we knew."""


class LocalLedger:
    """Budgets of this process alone. `share`: of what the venue allows; `sharers`: processes that divide it."""

    def __init__(self, pools: Mapping[str, RestPool], share: float, sharers: int = 1) -> None:
        self.pools: Mapping[str, WeightBudget] = {
            name: WeightBudget(pool.weight, share / sharers, pool.window_s) for name, pool in pools.items()
        }

    async def reserve(self, pool: str, weight: int, share: float) -> float:
        budget, now_s = self.pools[pool], time.monotonic()
        wait_s = budget.wait_s(weight, now_s, share)
        if wait_s <= 0:
            budget.spend(weight, now_s)
        return wait_s

    async def observe(self, pool: str, used_weight: int) -> None:
        self.pools[pool].observe(used_weight, time.monotonic())

    def allow(self, pool: str, part: float) -> bool:
        return self.pools[pool].allow(part)

    async def block(self, pool: str | None, wait_s: float) -> None:
        for name, budget in self.pools.items():
            if pool is None or name == pool:
                budget.block(wait_s, time.monotonic())


class Pools:
    """What REST clients of one address ask. `peek` may be called from other threads."""

    def __init__(self, local: LocalLedger, ledger: Ledger | None = None) -> None:
        self.local = local
        self._ledger: Ledger = ledger or local

    async def reserve(self, request: Request, share: float = 1.0) -> float:
        """Pay for a request. 0: it may go now; else how many seconds to wait. `share` is the part of the pool that
        this caller may fill: less urgent requests leave room for urgent ones."""
        return await self._ledger.reserve(request.pool, request.weight, share)

    async def observe(self, used_weight: int, pool: str = "") -> None:
        """The venue's own count of what everyone behind our address used of a pool."""
        await self._ledger.observe(pool, used_weight)

    async def refused(self, request: Request, status: int, retry_after_s: float | None, ban_s: float | None) -> float:
        """The venue told us to wait: too fast (429) in this request's pool, or banned altogether. Seconds obeyed."""
        budget = self.local.pools[request.pool]
        wait_s = budget.refused(status, retry_after_s, ban_s, time.monotonic())
        everything = status != 429 or ban_s is not None
        await self._ledger.block(None if everything else request.pool, wait_s)
        return wait_s

    def allow(self, pool: str, part: float) -> bool:
        """The venue allows this part of what we took it to allow, from now on. False: we knew."""
        return self._ledger.allow(pool, part)

    def peek(self) -> int:
        """Weight of the last window, over all pools, as far as this process knows."""
        return sum(budget.peek(time.monotonic()) for budget in self.local.pools.values())
