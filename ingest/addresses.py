"""What markets behind one address of a venue share: its REST budgets, and the bound on connection attempts.

Where a venue counts the requests to several addresses together (`Limits.rest_account`), those share their budgets.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ingest.feed import Attempts
from ingest.metrics import Metrics
from ingest.pools import LocalLedger, Pools
from runtime.config import Config
from venues import find_venue
from venues.contract import Limits, RestPool

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from ingest.shared_ledger import SharedLedger


def account(exchange: str, rest_url: str, limits: Limits) -> str:
    """Whose budgets pay for requests to this address."""
    return f"{exchange}:{limits.rest_account}" if limits.rest_account else rest_url.rstrip("/")


class Addresses:
    """By address as the configuration gives it; where its markets state different limits, the lower ones rule.

    Budgets are shared with other pods through Redis when there are several shards or a setting says so.
    """

    def __init__(self, config: Config, pod: str, metrics: Metrics) -> None:
        self._config = config
        self._pod = pod
        self._metrics = metrics
        self._ledgers: list[SharedLedger] = []
        self._redis: Redis | None = None
        if config.ingest.rest_budget_shared or config.ingest.shards > 1:
            from ingest.shared_ledger import connect  # megabytes that a single pod does not need

            self._redis = connect(config.redis.url)
        attempts: dict[str, int] = {}
        pools: dict[str, dict[str, RestPool]] = {}
        for exchange, markets in config.exchanges.items():
            for name, market in markets.items():
                limits = find_venue(exchange, name).protocol.limits
                most = limits.connection_attempts_per_5_min
                attempts[market.ws_url] = min(most, attempts.get(market.ws_url, most))
                have = pools.setdefault(account(exchange, market.rest_url, limits), {})
                for pool, rule in limits.rest_pools.items():
                    have[pool] = min(rule, have.get(pool, rule), key=lambda r: r.weight / r.window_s)
        shards = config.ingest.shards
        self._attempts = {address: Attempts(most, shards) for address, most in attempts.items()}
        self._pools = {name: self._budgets(name, have) for name, have in pools.items()}

    def _budgets(self, name: str, pools: Mapping[str, RestPool]) -> Pools:
        settings, share = self._config.ingest, self._config.ingest.rest_budget_share
        if self._redis is None:
            return Pools(LocalLedger(pools, share))
        from ingest.shared_ledger import SharedLedger

        local = LocalLedger(pools, share, settings.shards)
        prefix = self._config.environment.redis_prefix
        place = f"{prefix}ingest:rest:{settings.egress}:{name}"
        ledger = SharedLedger(self._redis, place, self._pod, pools, share, local, self._metrics)
        self._ledgers.append(ledger)
        return Pools(local, ledger)

    def pools(self, exchange: str, rest_url: str, limits: Limits) -> Pools:
        """REST budgets of this market's address."""
        return self._pools[account(exchange, rest_url, limits)]

    def attempts(self, ws_url: str) -> Attempts:
        """Connection attempts to this address."""
        return self._attempts[ws_url]

    @property
    def alone(self) -> bool:
        """A shared budget is not shared now: Redis is away."""
        return any(ledger.away for ledger in self._ledgers)

    async def close(self) -> None:
        if self._redis is not None:
            await self._redis.aclose()
