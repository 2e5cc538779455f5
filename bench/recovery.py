"""How long values stand still: from the kill of a part until Redis shows data received after it.

For a dropped socket and for what carries books: until a verified book is shown again. The supervisor restarts what is
killed; nothing here helps it.
"""

from __future__ import annotations

import json
import os
import signal
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import redis

from bench.harness import Figure, figure
from bench.stack import stack
from deploy.local.supervisor_client import SupervisorClient

SYMBOLS = 10
FRAMES_PER_S = 500
SETTLE_S = 15.0
TIMEOUT_S = 90.0
RUNS = 3

CASES: tuple[tuple[str, str, float], ...] = (
    ("socket", "book", 3.0),
    ("ingest", "book", 5.0),
    ("normalise", "trade", 5.0),
    ("books", "book", 5.0),
    ("redis-sink", "trade", 5.0),
    ("kafka", "book", 30.0),
)
"""(what is killed, which value must be fresh again, bar in s)"""


def run() -> list[Figure]:
    taken: dict[str, list[float]] = {name: [] for name, *_ in CASES}
    with stack(SYMBOLS, FRAMES_PER_S) as endpoints:
        time.sleep(SETTLE_S)
        for _ in range(RUNS):
            for name, kind, _bar in CASES:
                taken[name].append(standstill_s(endpoints, name, kind))
                time.sleep(SETTLE_S)
    return [
        figure(f"{kind} fresh again after {name} was killed", taken[name], "s", bar, higher_is_better=False)
        for name, kind, bar in CASES
    ]


def standstill_s(endpoints: dict[str, Any], name: str, kind: str) -> float:
    """Seconds until every symbol that is not quiet shows a value received after the kill."""
    client = redis.Redis.from_url(endpoints["redis"]["url"], decode_responses=True)
    keys = busy_keys(client, endpoints["redis"]["prefix"], kind)
    killed_ns = time.time_ns()
    killer(endpoints, name)()
    waiting = dict.fromkeys(keys)
    begun = time.monotonic()
    while waiting:
        if time.monotonic() - begun > TIMEOUT_S:
            raise RuntimeError(f"{sorted(waiting)} not fresh {TIMEOUT_S:.0f} s after {name} was killed")
        for key in list(waiting):
            if fresh(client, key, kind, killed_ns):
                del waiting[key]
        time.sleep(0.01)
    client.close()
    return time.monotonic() - begun


def busy_keys(client: Any, prefix: str, kind: str) -> list[str]:
    """Keys of symbols whose value changed within the last two seconds: others may be quiet for long."""
    pattern = f"{prefix}md:book:*}}" if kind == "book" else f"{prefix}md:last:*}}:{kind}"
    return [k for k in client.scan_iter(pattern, count=1000) if fresh(client, k, kind, time.time_ns() - 2 * 10**9)]


def fresh(client: Any, key: str, kind: str, since_ns: int) -> bool:
    text = client.get(key) if kind == "book" else client.hget(key, "json")
    if text is None:
        return False
    value = json.loads(text)
    return int(value["recv_time_ns"]) > since_ns and value.get("state", "ok") == "ok"


def killer(endpoints: dict[str, Any], name: str) -> Callable[[], None]:
    if name == "socket":
        url = endpoints["exchanges"]["binance.spot"]["rest_url"] + "/sim/fault"
        body = json.dumps({"kind": "disconnect", "abrupt": True}).encode()
        request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
        return lambda: urllib.request.urlopen(request, timeout=10).close()
    known = json.loads((Path(endpoints["data_dir"]) / "run" / "run.json").read_text())
    client = SupervisorClient(known["supervisor_port"], known["supervisor_password"])
    pid = next(p.pid for p in client.processes() if p.name == name)
    return lambda: os.kill(pid, signal.SIGKILL)
