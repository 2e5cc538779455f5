"""The normalise and klines applications Kafka to Kafka on one core: trades in, validated trades and candles out."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from bench.harness import Figure, figure
from bench.processor_run import Input, broker, make_config, measure, publish
from bench.trade_core import SYMBOLS, T0_MS, make_frames
from marketdata import raw, topics

RUNS = 3
HEARTBEAT_EVERY = 20
"""Frames of a symbol per heartbeat: 2,000 frames/s over 50 symbols are 40 a second each."""


def make_input() -> Iterator[Input]:
    """What ingest writes for the frames: headers, a connection per symbol, heartbeats."""
    for s in range(SYMBOLS):
        value = raw.encode_value(raw.ConnectedValue("ws://bench", ["trade"], "start"))
        yield f"binance.spot.SYM{s}USDT".encode(), value, headers("connected", "", 0)
    for n, (s, frame) in enumerate(make_frames()):
        key = f"binance.spot.SYM{s}USDT".encode()
        yield key, frame, headers("frame", "trade", n)
        if n // SYMBOLS % HEARTBEAT_EVERY == HEARTBEAT_EVERY - 1:
            yield key, raw.encode_value(raw.HeartbeatValue((T0_MS + n) * 1000)), headers("heartbeat", "", n)


def headers(kind: str, channel: str, number: int) -> list[tuple[str, bytes]]:
    recv_ns = (T0_MS + number) * 1_000_000
    return raw.to_kafka(raw.Headers(kind, channel, str(recv_ns), "bench-0-1", str(number)))


def run() -> list[Figure]:
    normalise, klines = [], []
    for _ in range(RUNS):
        with tempfile.TemporaryDirectory() as name, broker(Path(name)) as bootstrap:
            config = make_config(bootstrap, Path(name))
            records = publish(config, topics.RAW_TRADE, make_input())
            normalise.append(measure("processors.normalise", config, Path(name), records))
            klines.append(measure("processors.klines", config, Path(name), records))
    note = "records per second of CPU, all threads; 50 symbols, 5 % heartbeats, 2 partitions, zstd, linger 5 ms"
    return [
        figure("normalise_app", [r.per_cpu_s for r in normalise], "records/s", None, note=note),
        figure("normalise_app_wall", [r.per_s for r in normalise], "records/s", None, note="as the clock saw it"),
        figure("klines_app", [r.per_cpu_s for r in klines], "records/s", None, note=note),
        figure("klines_app_wall", [r.per_s for r in klines], "records/s", None, note="as the clock saw it"),
    ]


if __name__ == "__main__":
    for one in run():
        print(one)
