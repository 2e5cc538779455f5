"""Latency of the API: latest value (ticker, book) and a history of 1,000 candles, as a client on loopback sees it.

The API is the real process over real stores, which the sinks' own code filled: 20 symbols, 1,500 candles each with
three versions (as before merges), and 100,000 trades. Two clients ask at once, each on one connection.
"""

from __future__ import annotations

import http.client
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import msgspec

from bench.harness import Figure, figure
from deploy.local import config_file, servers
from marketdata import types as t
from runtime.config import Config
from tests.api import records as r

SYMBOLS = [f"BENCH{n:02d}USDT" for n in range(20)]
CANDLES = 1_500
TRADES = 100_000
CLIENTS = 2
REQUESTS = 400
"""Per client and run; p99 is then the eighth slowest of all."""
WARM_UP = 50
RUNS = 3
LATEST_BAR_MS = 10.0
HISTORY_BAR_MS = 50.0

PATHS = (
    ("api_latest_ticker_p99", "/api/v1/data/ticker?exchange=binance&symbol=BENCH07USDT", LATEST_BAR_MS),
    ("api_latest_orderbook_p99", "/api/v1/data/orderbook?exchange=binance&symbol=BENCH07USDT", LATEST_BAR_MS),
    ("api_klines_1000_p99", "/api/v1/data/klines?exchange=binance&symbol=BENCH07USDT&limit=1000", HISTORY_BAR_MS),
    ("api_trades_1000_p99", "/api/v1/data/trades?exchange=binance&symbol=BENCH07USDT&limit=1000", HISTORY_BAR_MS),
)


def fill(config: Config) -> None:
    """Put the records into both stores."""
    for symbol in SYMBOLS:
        whose: dict[str, Any] = {"symbol": symbol, "instrument": symbol.replace("USDT", "-USDT")}
        candles = [r.kline(n, **whose) for n in range(CANDLES)]
        open_ = [msgspec.structs.replace(c, status="provisional", is_closed=False, trade_count=1) for c in candles]
        r.to_clickhouse(config, [*open_, *(msgspec.structs.replace(c, trade_count=2) for c in open_), *candles])
        live: list[t.AnyRecord] = [
            r.ticker(**whose), r.bbo(**whose), r.book(**whose), candles[-1],
            r.kline(CANDLES, is_closed=False, status="provisional", **whose), r.feed("trade", **whose),
        ]  # fmt: skip
        r.to_redis(config, live)
    r.to_clickhouse(config, [r.trade(n, symbol=SYMBOLS[7]) for n in range(TRADES)])


@contextmanager
def serving(folder: Path) -> Iterator[int]:
    """The port of an API over filled stores."""
    port, http_port, redis_port, api_port = servers.free_ports(4)
    passwords = ("admin-pw", "writer-pw", "reader-pw")
    config = Config.model_validate(
        {
            "environment": {"name": "bench", "database": "md_bench", "redis_prefix": "bench:", "simulated": True},
            "clickhouse": {
                "host": servers.HOST, "port": port, "http_port": http_port, "ttl": False,
                "admin_password": passwords[0], "password": passwords[1], "reader_password": passwords[2],
            },
            "redis": {"url": f"redis://{servers.HOST}:{redis_port}/0"},
            "api": {"port": api_port},
        }
    )  # fmt: skip
    with ExitStack() as stack:
        for server in (
            servers.valkey(folder / "valkey", redis_port),
            servers.clickhouse(folder / "clickhouse", port, http_port, passwords),
        ):
            stack.enter_context(servers.Running(server, folder / f"{server.name}.log")).wait_ready()
        fill(config)
        file = config_file.write(config, folder / "config.yaml")
        api = subprocess.Popen(
            [sys.executable, "-m", "api", "--config", str(file)], cwd=servers.REPO, stderr=subprocess.DEVNULL
        )
        try:
            deadline = time.monotonic() + 30
            while not servers.listening(api_port):
                assert time.monotonic() < deadline, "the API did not start"
                time.sleep(0.05)
            yield api_port
        finally:
            api.terminate()
            api.wait(15)


def latencies_ms(port: int, path: str, requests: int) -> list[float]:
    """Time of each request on one kept connection, the body read."""
    connection = http.client.HTTPConnection(servers.HOST, port, timeout=30)
    took = []
    try:
        for _ in range(requests):
            begun = time.perf_counter()
            connection.request("GET", path)
            response = connection.getresponse()
            body = response.read()
            took.append((time.perf_counter() - begun) * 1000)
            assert response.status == 200, body
    finally:
        connection.close()
    return took


def p99_ms(port: int, path: str) -> float:
    latencies_ms(port, path, WARM_UP)
    with ThreadPoolExecutor(CLIENTS) as pool:
        runs = pool.map(lambda _: latencies_ms(port, path, REQUESTS), range(CLIENTS))
        took = [ms for run in runs for ms in run]
    return statistics.quantiles(took, n=100)[98]


def run() -> list[Figure]:
    """The figures, best of RUNS."""
    figures = []
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder)) as port:
        for name, path, bar in PATHS:
            runs = [p99_ms(port, path) for _ in range(RUNS)]
            figures.append(figure(name, runs, "ms", bar, higher_is_better=False))
    return figures


if __name__ == "__main__":
    for measured in run():
        print(measured)
