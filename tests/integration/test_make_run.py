"""The whole stack, twice on the same data: all parts ready, and the second run goes on where the first stopped."""

from __future__ import annotations

import json
import signal
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from clickhouse_driver import Client

from deploy.local import scrape
from tests.integration.local_run import END_S, FULL_STACK, LocalRun, until

CONTINUITY = """
SELECT symbol, aggregated, count() AS rows, max(trade_id) - min(trade_id) + 1 AS ids, min(trade_id), max(trade_id)
FROM {database}.trades_log FINAL GROUP BY symbol, aggregated ORDER BY symbol, aggregated
"""


class Whole:
    """Starts whole stacks on one data folder, one after the other."""

    def __init__(self, tmp_path: Path) -> None:
        self.tmp_path = tmp_path
        self.runs: list[LocalRun] = []

    def start(self) -> LocalRun:
        run = LocalRun(
            FULL_STACK, self.tmp_path / "data", self.tmp_path / f"out{len(self.runs)}",
            MARKETPRISM_SIMULATOR__SYMBOLS="[BTCUSDT, ETHUSDT]",
            MARKETPRISM_EXCHANGES__BINANCE__SPOT__SYMBOLS="[BTCUSDT, ETHUSDT]",
            MARKETPRISM_SIMULATOR__FRAMES_PER_S="60",
        )  # fmt: skip
        self.runs.append(run)
        run.wait_up()
        return run


@pytest.fixture
def whole(tmp_path: Path) -> Iterator[Whole]:
    stack = Whole(tmp_path)
    yield stack
    for run in stack.runs:
        run.end()


GAPS = """
SELECT symbol, channel, sum(missing_count - filled_count), groupUniqArray(reason), min(first_missing_id)
FROM {database}.gaps_log FINAL WHERE channel IN ('trade', 'agg_trade') AND missing_count > filled_count
GROUP BY symbol, channel
"""


def ask(run: LocalRun, query: str) -> list[tuple[Any, ...]]:
    """Rows from ClickHouse, as its reader."""
    ch = run.endpoints()["clickhouse"]
    client = Client(ch["host"], port=ch["port"], user=ch["user"], password=ch["password"])
    try:
        return list(client.execute(query.format(database=ch["database"])))
    finally:
        client.disconnect()


def trades(run: LocalRun) -> dict[tuple[str, bool], tuple[int, int, int, int]]:
    """(symbol, aggregated) -> rows, ids from the first to the last, first id, last id."""
    return {(symbol, bool(aggregated)): tuple(figures) for symbol, aggregated, *figures in ask(run, CONTINUITY)}


def health(run: LocalRun) -> dict[str, Any]:
    with urllib.request.urlopen(run.endpoints()["api"]["health"], timeout=30) as answer:
        found: dict[str, Any] = json.loads(answer.read())
    return found


def more_than(run: LocalRun, count: int) -> bool:
    found = trades(run)
    return len(found) == 4 and all(rows > count for rows, *_ in found.values())


def accounted(run: LocalRun, before: dict[tuple[str, bool], tuple[int, int, int, int]]) -> bool:
    """What the exchange traded while nobody listened, between the runs, is named; all other ids are one row each.

    The market goes on while ingest starts, as a real one would."""
    missing = {(symbol, channel == "agg_trade"): tuple(found) for symbol, channel, *found in ask(run, GAPS)}
    now = trades(run)
    for key, (rows, ids, first_id, last_id) in now.items():
        count, reasons, first_missing = missing.get(key, (0, [], 0))
        assert set(reasons) <= {"capture_restarted", "disconnected"}, reasons
        assert not count or first_missing > before[key][3]
        assert first_id == before[key][2]
        assert last_id > before[key][3]
        assert rows + count <= ids, f"{key}: {rows} rows and {count} missing of the ids {first_id} to {last_id}"
        if rows + count != ids:
            return False
    return True


@pytest.mark.timeout(1200)
def test_a_second_run_goes_on_with_nothing_lost_and_nothing_doubled(whole: Whole) -> None:
    first = whole.start()
    assert "is NOT ready" not in first.output.read_text()
    for name, port in first.metrics_ports().items():
        until(lambda port=port: scrape.problem(port, "/livez") is None, 30, f"{name} says that it is alive")  # type: ignore[misc]
    found = health(first)
    assert found["success"] is True
    assert found["data"]["simulated"] is True
    until(lambda: more_than(first, 20), 180, "trades of both symbols and kinds are in ClickHouse")
    at_stop = trades(first)
    first.process.send_signal(signal.SIGINT)
    assert first.process.wait(END_S) == 0
    until(first.nothing_left, END_S, "all processes are gone")

    second = whole.start()
    until(lambda: more_than(second, max(rows for rows, *_ in at_stop.values()) + 20), 180, "trades go on")
    until(lambda: accounted(second, at_stop), 120, "every id is a row or named as missing between the runs")
    second.process.send_signal(signal.SIGTERM)
    assert second.process.wait(END_S) == 0
    until(second.nothing_left, END_S, "all processes are gone")
