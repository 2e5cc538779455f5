"""ClickHouse insert rate through the sink's own path: bytes as Kafka has them -> records -> rows -> acknowledged.

Starts a ClickHouse of its own in a temporary folder. The server shares the machine with the client, so wall time holds
both; the client's own share is a figure beside it.
"""

from __future__ import annotations

import itertools
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from bench.harness import Figure, figure
from deploy.local import servers
from marketdata import types as t
from marketdata.codec import encoder
from runtime.config import Config
from sinks.clickhouse.migrate import migrate
from sinks.clickhouse.rows import Row, record_of, to_columns
from sinks.clickhouse.table import Table
from sinks.clickhouse.writer import Writer, new_token

RUNS = 5
PASSWORDS = ("admin-pw", "writer-pw", "reader-pw")
START_MS = 1_767_225_600_000

Make = Callable[[int], Any]


def _whose(number: int) -> dict[str, Any]:
    received_ns = START_MS * 1_000_000 + number * 500_000
    return {
        "exchange": "binance",
        "market": "spot",
        "symbol": f"COIN{number % 50}USDT",
        "recv_time_ns": str(received_ns),
    }


def trade(number: int) -> t.Trade:
    return t.Trade(
        **_whose(number),
        trade_id=str(5_000_000_000 + number),
        price=f"{87_000 + number % 977 / 100:.8f}",
        quantity=f"{number % 1009 / 10_000:.8f}",
        side="buy" if number % 3 else "sell",
        trade_time_us=START_MS * 1000 + number * 500,
        event_time_us=START_MS * 1000 + number * 500 + 90,
    )


def quote(number: int) -> t.Bbo:
    bid = 87_000 + number % 977 / 100
    return t.Bbo(
        **_whose(number),
        update_id=str(70_000_000_000 + number),
        bid_price=f"{bid:.8f}",
        bid_quantity="1.25000000",
        ask_price=f"{bid + 0.01:.8f}",
        ask_quantity="0.50000000",
    )


def delta(number: int) -> t.BookDelta:
    levels = [(f"{87_000 + (number + i) % 977 / 100:.8f}", f"{i / 8:.8f}") for i in range(10)]
    return t.BookDelta(
        **_whose(number),
        first_update_id=str(70_000_000_000 + number * 10),
        last_update_id=str(70_000_000_009 + number * 10),
        event_time_us=START_MS * 1000 + number * 500,
        bids=levels,
        asks=levels,
    )


CASES: tuple[tuple[str, str, Make, int], ...] = (
    ("trades", "md.trade", trade, 50_000),
    ("quotes", "md.bbo", quote, 50_000),
    ("deltas_20_levels", "md.book_delta", delta, 10_000),
)
"""(figure, topic, record, records per insert)"""


def run() -> list[Figure]:
    with tempfile.TemporaryDirectory(prefix="marketprism-bench-") as folder:
        port, http_port = servers.free_ports(2)
        server = servers.clickhouse(Path(folder) / "clickhouse", port, http_port, PASSWORDS)
        with servers.Running(server, Path(folder) / "clickhouse.log") as running:
            running.wait_ready()
            config = _config(port, http_port)
            migrate(config)
            writer = Writer(config)
            try:
                return list(itertools.chain.from_iterable(_case(writer, *case) for case in CASES))
            finally:
                writer.close()


def _case(writer: Writer, name: str, topic: str, make: Make, count: int) -> Iterator[Figure]:
    encode = encoder()
    walls, cpus = [], []
    for number in range(RUNS):
        payloads = [encode(make(number * count + i)) for i in range(count)]
        wall_s, cpu_s = time.perf_counter(), time.process_time()
        table, rows = _rows(topic, payloads)
        writer.insert(table, to_columns(table, rows), new_token())
        walls.append(count / (time.perf_counter() - wall_s))
        cpus.append((time.process_time() - cpu_s) / count * 1e6)
    note = f"{count} records an insert, bytes to acknowledgement, server on the same machine"
    yield figure(f"clickhouse_insert_{name}", walls, "rows/s", note=note)
    yield figure(f"clickhouse_insert_{name}_client_cpu", cpus, "us/row", higher_is_better=False)


def _rows(topic: str, payloads: list[bytes]) -> tuple[Table, list[Row]]:
    table: Table | None = None
    rows = []
    for offset, payload in enumerate(payloads):
        found = record_of(topic, payload)
        if found is None:
            raise ValueError(f"{topic}: makes no row")
        table, record = found
        rows.append(Row(record, topic, 0, offset, START_MS, b"", payload))
    if table is None:
        raise ValueError("nothing to insert")
    return table, rows


def _config(port: int, http_port: int) -> Config:
    admin, writer, reader = PASSWORDS
    return Config.model_validate(
        {
            "environment": {"name": "bench", "database": "md_bench", "simulated": True},
            "clickhouse": {
                "port": port, "http_port": http_port, "ttl": False,
                "admin_password": admin, "password": writer, "reader_password": reader,
            },
        }
    )  # fmt: skip
