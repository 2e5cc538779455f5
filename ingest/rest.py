"""REST calls to one venue, each paid from its weight budget, with the venue's orders to wait obeyed."""

from __future__ import annotations

import time
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any

import httpx

from ingest.budget import WeightBudget, retry_after_s
from ingest.metrics import Metrics, events
from venues.contract import Request, VenueProtocol

REFUSED_STATUS = (429, 418)


@dataclass(frozen=True)
class Answer:
    """`status` 0: no reply came (`error` says why). `recv_ns`: when it came."""

    status: int
    body: bytes
    recv_ns: int
    error: str = ""

    @property
    def ok(self) -> bool:
        return self.status == 200


class Rest:
    """One venue's REST API. Callers ask the budget first (`wait_s`); `get` spends."""

    def __init__(
        self,
        base_url: str,
        protocol: VenueProtocol,
        budget: WeightBudget,
        metrics: Metrics,
        market: tuple[str, str],
        proxy: str | None,
        timeout_s: float,
    ) -> None:
        self.budget = budget
        self._protocol = protocol
        self._metrics = metrics
        self._market = market
        self._base_url = base_url.rstrip("/")
        self._client = httpx.AsyncClient(
            proxy=proxy,
            verify=base_url.startswith("https"),  # no TLS context where there is no TLS; plain http is the simulator
            trust_env=False,  # the proxy was chosen by ingest.proxy, with one rule for sockets and REST
            timeout=timeout_s,
            limits=httpx.Limits(max_connections=8, max_keepalive_connections=4, keepalive_expiry=30.0),
        )

    def get(self, request: Request) -> Coroutine[Any, Any, Answer]:
        """One call, its weight spent at once; never raises on the network's or the venue's account."""
        self.budget.spend(request.weight, time.monotonic())
        return self._get(request)

    async def _get(self, request: Request) -> Answer:
        try:
            reply = await self._client.get(self._base_url + request.path, params=dict(request.query))
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as exc:
            events.rest_failed(".".join(self._market), request.path, f"{type(exc).__name__}: {exc}")
            return Answer(0, b"", time.time_ns(), f"{type(exc).__name__}: {exc}")
        answer = Answer(reply.status_code, reply.content, time.time_ns())
        self._learn(reply, answer)
        if not answer.ok and answer.status not in REFUSED_STATUS:
            text = answer.body[:200].decode(errors="replace")
            events.rest_failed(".".join(self._market), request.path, f"status {answer.status}: {text}")
        return answer

    def _learn(self, reply: httpx.Response, answer: Answer) -> None:
        """What the reply says about our budget: weight used by all, or an order to wait."""
        now_s = time.monotonic()
        header = self._protocol.limits.rest_used_weight_header
        used = reply.headers.get(header, "") if header else ""
        if used.isdigit():
            self.budget.observe(int(used), now_s)
        if answer.status in REFUSED_STATUS:
            until_ms = self._protocol.ban_until_ms(answer.status, answer.body)
            ban_s = None if until_ms is None else until_ms / 1000 - time.time()
            wait_s = self.budget.refused(answer.status, retry_after_s(reply.headers.get("Retry-After")), ban_s, now_s)
            self._metrics.count("rest_refusals", *self._market, str(answer.status))
            events.rest_refused(".".join(self._market), answer.status, wait_s)

    async def close(self) -> None:
        await self._client.aclose()
