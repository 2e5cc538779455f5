"""Binance spot's dialect: its paths, REST weights and shutdown, over the synthetic market or a recording."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from runtime.config.simulator import Simulator
from simulator.dialect import Limits, Request
from simulator.faults import ALL, Fault, Faults
from simulator.forms import MS
from simulator.hub import Hub
from simulator.limits import WeightBudget
from simulator.market.symbol import Sink
from simulator.publisher import Publisher
from simulator.rest import Backend
from simulator.rest_params import ApiError, Query, Reply, error_body, not_found, weight
from simulator.session import Session, parse_target

NAME = "spot"
ROOT = "/api/v3/"


def hub_of(faults: Faults, monotonic: Callable[[], float]) -> Hub:
    return Hub(faults, monotonic, venue=NAME, units=(1, MS), kind_of=lambda stream: stream.partition("@")[2])


class Spot:
    """See `dialect.Dialect`. The backend comes later: `Synthetic` or `Replay`."""

    def __init__(self, config: Simulator, hub: Hub, faults: Faults, counters: Counter[str]) -> None:
        self.config = config
        self.hub = hub
        self.faults = faults
        self.counters = counters
        self.limits = Limits(
            messages_per_s_max=config.messages_per_s_max,
            connection_attempts_max=config.connection_attempts_per_5_min_max,
            ping_interval_s=config.ping_interval_s,
            pong_timeout_s=config.pong_timeout_s,
            max_age_s=config.connection_max_age_s,
        )
        self.publisher = Publisher(hub)
        self.backend: Backend | None = None
        self.status_of_backend: Callable[[], dict[str, Any]] = dict
        self.sent_of_backend: Callable[[dict[str, str]], Any] = lambda _: {}
        self.budgets: dict[str, WeightBudget] = {}
        self.snapshots: dict[str, bytes] = {}

    @property
    def sink(self) -> Sink:
        return self.publisher

    def open(self, path: str, query: str, number: int) -> Session | None:
        del number
        opened = parse_target(path, query)
        return None if opened is None else Session(opened, self.config.streams_per_connection_max)

    def joined(self, stream: str) -> Sequence[bytes] | None:
        """No stream begins with anything."""
        del stream
        return ()

    def status(self) -> dict[str, Any]:
        return {
            **self.status_of_backend(),
            "used_weight": {ip: budget.used for ip, budget in self.budgets.items()},
        }

    def sent(self, values: dict[str, str]) -> Any:
        return self.sent_of_backend(values)

    # --- REST ---------------------------------------------------------------------------------------

    async def rest(self, request: Request) -> Reply:
        if not request.path.startswith(ROOT) or self.backend is None:
            return not_found()
        if request.method != "GET":
            return Reply(405, b"", (("Allow", "GET"),))
        return await self._rest(request.path.removeprefix(ROOT), request.values, request.ip)

    async def _rest(self, path: str, values: dict[str, str], ip: str) -> Reply:
        config = self.config
        self.counters[f"rest_{path}"] += 1
        budget = self.budgets.setdefault(ip, WeightBudget(config.rest_weight_per_min_max, config.ban_s))
        refusal = budget.spend(weight(path, values), time.time())
        used = ("X-MBX-USED-WEIGHT", str(budget.used)), ("X-MBX-USED-WEIGHT-1M", str(budget.used))
        if (fault := self.faults.take("rest", time.monotonic(), path=path, venue=NAME)) is not None:
            return self._refuse(fault.fault.status, fault.fault.retry_after_s, "Refused on request.", used)
        if refusal is not None:
            return self._refuse(refusal.status, refusal.retry_after_s, refusal.message, used)
        assert self.backend is not None
        try:
            stale = self._stale_snapshot(path, values)
            return Reply(200, stale or await self.backend.rest(path, Query(values)), used)
        except ApiError as error:
            return error.reply(used)
        except KeyError:
            return Reply(404, b"404 page not found\n", used, "text/plain")

    def _refuse(self, status: int, retry_after_s: int, message: str, used: tuple[tuple[str, str], ...]) -> Reply:
        self.counters[f"rest_refused_{status}"] += 1
        headers = (*used, ("Retry-After", str(retry_after_s))) if status in (418, 429, 503) else used
        return Reply(status, error_body(-1003 if status in (418, 429) else -1000, message), headers)

    # --- faults -------------------------------------------------------------------------------------

    async def apply(self, fault: Fault) -> int:
        """Binance's ids never count anew; snapshots go stale."""
        if fault.kind != "stale_snapshot" or self.backend is None:
            return 0
        names = self.status_of_backend().get("symbols", []) if fault.symbol == ALL else [fault.symbol]
        for name in names:
            self.snapshots[name] = await self.backend.rest("depth", Query({"symbol": name, "limit": "5000"}))
        return len(names)

    def _stale_snapshot(self, path: str, values: dict[str, str]) -> bytes | None:
        """The snapshot captured when the fault was asked for."""
        symbol = values.get("symbol", "")
        if path != "depth" or symbol not in self.snapshots:
            return None
        if self.faults.take("stale_snapshot", time.monotonic(), symbol=symbol, venue=NAME) is None:
            self.snapshots.clear()
            return None
        limit = Query(values).limit(100, 5000)
        body = json.loads(self.snapshots[symbol])
        body["bids"], body["asks"] = body["bids"][:limit], body["asks"][:limit]
        return json.dumps(body, separators=(",", ":")).encode()
