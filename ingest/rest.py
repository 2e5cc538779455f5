"""REST calls to one venue, each paid from a weight budget, with the venue's orders to wait obeyed."""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass
from urllib.parse import urlencode

import httpx

from ingest.budget import REFUSED_STATUS, retry_after_s
from ingest.metrics import Metrics, events
from ingest.pools import Pools
from venues.contract import Request, VenueProtocol

REFUSAL_BYTES_MAX = 1000
"""Some venues refuse with status 200 and a small body; larger ones are answers."""
WAIT_S_MAX = 30.0
"""The budget is looked at again at least this often while it allows nothing."""
COUNT_DIGITS_MAX = 15
JITTER = 0.2
REPLY_TIMEOUTS = 3.0
"""A reply that comes in dribbles is given up after so many timeouts: it must not keep others waiting for ever."""


@dataclass(frozen=True)
class Answer:
    """`status` 0: no reply came (`error` says why). `recv_ns`: when it came."""

    status: int
    body: bytes
    recv_ns: int
    error: str = ""
    refused: bool = False
    """The venue told us to wait."""

    @property
    def ok(self) -> bool:
        return self.status == 200 and not self.refused


def path_of(request: Request) -> str:
    """Path and query, as the `path` header of a `poll` record has them."""
    return f"{request.path}?{urlencode(dict(request.query))}" if request.query else request.path


def count_in(reply: httpx.Response, header: str | None) -> int | None:
    """The number in a header; None where it is absent or no number a count can be."""
    text = reply.headers.get(header, "") if header else ""
    return int(text) if text.isdecimal() and len(text) <= COUNT_DIGITS_MAX else None


def jittered(seconds: float) -> float:
    """A little longer than that: what waits for the same moment must not all come at it."""
    return seconds * (1 + JITTER * random.random())


class Rest:
    """One venue's REST API. `ask` waits for the budget; or callers `reserve` first, and `get` then."""

    def __init__(
        self,
        base_url: str,
        protocol: VenueProtocol,
        pools: Pools,
        metrics: Metrics,
        market: tuple[str, str],
        proxy: str | None,
        timeout_s: float,
    ) -> None:
        self.pools = pools
        self._protocol = protocol
        self._metrics = metrics
        self._market = market
        self._base_url = base_url.rstrip("/")
        self._reply_s_max = REPLY_TIMEOUTS * timeout_s
        self._client = httpx.AsyncClient(
            proxy=proxy,
            verify=base_url.startswith("https"),  # no TLS context where there is no TLS; plain http is the simulator
            trust_env=False,  # the proxy was chosen by ingest.proxy, with one rule for sockets and REST
            timeout=timeout_s,
            limits=httpx.Limits(max_connections=8, max_keepalive_connections=4, keepalive_expiry=30.0),
        )

    async def reserve(self, request: Request, share: float = 1.0) -> float:
        """Pay for the request; 0 when it may go now, else how long to wait."""
        return await self.pools.reserve(request, share)

    async def ask(self, request: Request, share: float = 1.0) -> Answer:
        """One call, as soon as the budget allows."""
        while (wait_s := await self.reserve(request, share)) > 0:
            await asyncio.sleep(min(jittered(wait_s), WAIT_S_MAX))
        return await self.get(request)

    async def get(self, request: Request) -> Answer:
        """One call that is paid already; never raises on the network's or the venue's account."""
        try:
            async with asyncio.timeout(self._reply_s_max):
                reply = await self._client.get(self._base_url + request.path, params=dict(request.query))
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as exc:
            events.rest_failed(".".join(self._market), request.path, f"{type(exc).__name__}: {exc}")
            return Answer(0, b"", time.time_ns(), f"{type(exc).__name__}: {exc}")
        recv_ns = time.time_ns()
        refused = await self._learn(request, reply, recv_ns)
        if reply.status_code != 200 and not refused:
            text = reply.content[:200].decode(errors="replace")
            events.rest_failed(".".join(self._market), request.path, f"status {reply.status_code}: {text}")
        return Answer(reply.status_code, reply.content, recv_ns, refused=refused)

    async def _learn(self, request: Request, reply: httpx.Response, recv_ns: int) -> bool:
        """What the reply says about our budget: weight used by all, or an order to wait (True)."""
        limits = self._protocol.limits
        if (used := count_in(reply, limits.rest_used_weight_header)) is not None:
            await self.pools.observe(used)
        if (left := count_in(reply, limits.rest_left_header)) is not None:
            await self.pools.observe(limits.rest_pools[request.pool].weight - left, request.pool)
        status, body = reply.status_code, reply.content
        small = status != 200 or len(body) <= REFUSAL_BYTES_MAX
        until_ms = self._protocol.ban_until_ms(status, body) if small else None
        if status not in REFUSED_STATUS and until_ms is None:
            return False
        ban_s = None if until_ms is None else until_ms / 1000 - recv_ns / 1e9
        wait_s = await self.pools.refused(request, status, retry_after_s(reply.headers.get("Retry-After")), ban_s)
        self._metrics.count("rest_refusals", *self._market, str(status))
        events.rest_refused(".".join(self._market), status, wait_s)
        return True

    def learn_limits(self, body: bytes) -> None:
        """What metadata say of how much may be asked."""
        for name, told in self._protocol.rest_limits(body).items():
            known = self._protocol.limits.rest_pools[name]
            share = min(1.0, (told.weight / told.window_s) / (known.weight / known.window_s))
            if self.pools.allow(name, share):
                events.rest_limited(".".join(self._market), name, told.weight, told.window_s)

    async def close(self) -> None:
        await self._client.aclose()
