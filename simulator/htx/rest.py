"""What both HTX segments' REST endpoints share: envelopes, errors, the limit and its headers."""

from __future__ import annotations

import time
from collections.abc import Callable

from simulator.dialect import Desk, Request
from simulator.htx.candles import PERIODS
from simulator.htx.session import Refused, dump
from simulator.limits import Window
from simulator.rest_params import Reply

Answer = Callable[[dict[str, str]], str]


class Endpoints:
    """GET endpoints of a segment: `paths` give the JSON of a whole body."""

    def __init__(self, desk: Desk, paths: dict[str, Answer], requests_max: int, window_s: float) -> None:
        self.desk = desk
        self.paths = paths
        self.requests_max = requests_max
        self.window_s = window_s
        self.windows: dict[str, Window] = {}

    def now_ms(self) -> int:
        return self.desk.market.at_us // 1000

    def answer(self, request: Request, monotonic_s: float | None = None) -> Reply:
        """The reply; headers tell what is left of the limit. `monotonic_s` counts requests, now where left out."""
        now_s = time.monotonic() if monotonic_s is None else monotonic_s
        struck = self.desk.faults.take("rest", now_s, path=request.path, venue=self.desk.name)
        if struck is not None:
            return self._refused(struck.fault.status, struck.fault.retry_after_s)
        window = self.windows.setdefault(request.ip, Window(self.requests_max, self.window_s))
        if not window.add(now_s):
            return self._refused(429, max(1, int(self.window_s)))
        headers = self._headers(self.requests_max - len(window.times))
        found = self.paths.get(request.path)
        if found is None:
            return Reply(404, b'{"status":"error","err-code":"not-found","err-msg":"not found"}', headers)
        if request.method != "GET":
            return Reply(405, b"", (("Allow", "GET"),))
        try:
            return Reply(200, found(request.values).encode(), headers)
        except Refused as refused:
            body = {"status": "error", "err-code": refused.code, "err-msg": str(refused), "ts": self.now_ms()}
            return Reply(200, dump(body), headers)

    def _headers(self, left: int) -> tuple[tuple[str, str], ...]:
        reset_ms = self.now_ms() + int(self.window_s * 1000)
        return (
            ("ratelimit-limit", str(self.requests_max)),
            ("ratelimit-interval", str(int(self.window_s * 1000))),
            ("ratelimit-remaining", str(left)),
            ("ratelimit-reset", str(reset_ms)),
            ("X-HB-RateLimit-Requests-Remain", str(left)),
            ("X-HB-RateLimit-Requests-Expire", str(reset_ms)),
        )

    def _refused(self, status: int, retry_after_s: int) -> Reply:
        body = {"status": "error", "err-code": "too-many-requests", "err-msg": "too many requests", "ts": self.now_ms()}
        return Reply(status, dump(body), (*self._headers(0), ("Retry-After", str(retry_after_s))))


def size_of(values: dict[str, str], default: int, most: int) -> int:
    """The parameter `size`. Raises Refused."""
    text = values.get("size", str(default))
    if not text.isascii() or not text.isdigit() or len(text) > 9 or not 0 < int(text) <= most:
        raise Refused("invalid-parameter", "invalid size")
    return int(text)


def period_of(values: dict[str, str]) -> str:
    """The parameter `period`. Raises Refused."""
    period = values.get("period", "")
    if period not in PERIODS:
        raise Refused("invalid-parameter", "invalid period")
    return period


def ok(data: str, ts_ms: int) -> str:
    return f'{{"status":"ok","data":{data},"ts":{ts_ms}}}'
