"""Metrics of the API."""

from __future__ import annotations

import time

from prometheus_client import Counter, Gauge, Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

REQUESTS = Counter("marketprism_api_requests", "Requests answered", ["route", "status"])
LATENCY = Histogram(
    "marketprism_api_request_seconds",
    "Time from request to the answer's last byte",
    ["route"],
    buckets=(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
UNDER_WAY = Gauge("marketprism_api_requests_under_way", "Requests being answered")
STORE_UP = Gauge("marketprism_api_store_up", "1 while the store answers", ["store"])
STORE_ERRORS = Counter("marketprism_api_store_errors", "Queries a store did not answer", ["store", "code"])


class Measured:
    """ASGI middleware that counts and times requests by route (the template, so that labels stay few)."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        status = 500

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        begun = time.perf_counter()
        UNDER_WAY.inc()
        try:
            await self.app(scope, receive, noting)
        finally:
            UNDER_WAY.dec()
            route = getattr(scope.get("route"), "path", None) or "(none)"
            REQUESTS.labels(route, str(status)).inc()
            LATENCY.labels(route).observe(time.perf_counter() - begun)
