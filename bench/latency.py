"""Socket to Redis: from the receive time stamped at the socket to the moment a Redis subscriber has the value.

The whole local stack runs (all processors, both sinks, API, simulator), 50 symbols at 2,000 frames/s. The subscriber
that measures is on the same machine and counts too.
"""

from __future__ import annotations

import time
from collections import defaultdict
from typing import Any

import msgspec
import redis

from bench.harness import Figure, figure
from bench.stack import stack

SYMBOLS = 50
FRAMES_PER_S = 2_000
WARM_UP_S = 15.0
RUN_S = 20.0
RUNS = 3
BARS_MS = {50: 15.0, 99: 35.0}


class Received(msgspec.Struct):
    recv_time_ns: str


_decode = msgspec.json.Decoder(Received).decode


def run() -> list[Figure]:
    with stack(SYMBOLS, FRAMES_PER_S) as endpoints:
        client = redis.Redis.from_url(endpoints["redis"]["url"])
        time.sleep(WARM_UP_S)
        runs = [measure(client, endpoints["redis"]["prefix"]) for _ in range(RUNS)]
        client.close()
    figures = []
    for kind in ("trade", "bbo", "book"):
        for percent, bar in BARS_MS.items():
            values = [percentile(run_[kind], percent) for run_ in runs]
            name = f"socket to Redis subscriber, {kind}, p{percent}"
            figures.append(figure(name, values, "ms", bar, higher_is_better=False, note=note(runs, kind)))
    return figures


def note(runs: list[dict[str, list[float]]], kind: str) -> str:
    per_s = sum(len(r[kind]) for r in runs) / (RUN_S * len(runs))
    return f"{SYMBOLS} symbols, {FRAMES_PER_S} frames/s asked, {per_s:.0f} values/s seen, whole stack on this machine"


def percentile(values: list[float], percent: int) -> float:
    return sorted(values)[min(len(values) - 1, len(values) * percent // 100)]


def measure(client: Any, prefix: str) -> dict[str, list[float]]:
    """Latencies in ms of every value published in `RUN_S`, by kind."""
    found: dict[str, list[float]] = defaultdict(list)
    feed = client.pubsub(ignore_subscribe_messages=True)
    feed.psubscribe(f"ch:{prefix}md:last:*", f"ch:{prefix}md:book:*")
    deadline = time.monotonic() + RUN_S
    while time.monotonic() < deadline:
        message = feed.get_message(timeout=0.2)
        if message is None:
            continue
        channel = message["channel"]
        kind = "book" if b"md:book:" in channel else channel.rpartition(b":")[2].decode()
        received = _decode(message["data"]).recv_time_ns
        found[kind].append((time.time_ns() - int(received)) / 1e6)
    feed.close()
    return found
