"""Every part of the running stack killed in turn under load: nothing lost, nothing doubled, nothing made up.

What the exchange sent while ingest was dead must be named in md.gap; all else must be there.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from deploy.local import scrape
from marketdata import topics
from runtime.config import Config, load
from tests.integration.accounting import (
    RAW,
    Raw,
    Tables,
    differences,
    distinct,
    holes,
    ids_of,
    problems,
    read_topics,
    sort_raw,
    update_ids_of,
)
from tests.integration.conftest import ServiceFactory
from tests.integration.local_run import FULL_STACK, LocalRun
from tests.integration.pipeline import get_json, running, wait_until, wait_until_empty

pytestmark = pytest.mark.timeout(1500)

BUSY = {"BTCUSDT", "ETHUSDT", "SOLUSDT"}
QUIET = "XRPUSDT"
"""The simulator's fourth symbol may not trade for minutes: no trade, no candle."""
SYMBOLS = (*sorted(BUSY), QUIET)
MINUTE_S = 60
PROCESSORS = ("normalise", "books", "klines", "reconcile")
STOPPED_S = 9.0
"""Longer than a processor's session in its group."""
BACK_S = 180.0
"""How long any part may take until it is ready again. On an idle machine it is seconds."""

UNPROMISED = (topics.MD_BOOK_REPLY, topics.MD_BBO_MERGED)
"""The second is md.bbo again, in the order its partitions happened to be read in."""
DERIVED = [t.name for t in topics.TOPICS if t.name.startswith("md.") and t not in UNPROMISED]
"""What the replay promise speaks of."""


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[LocalRun]:
    run = LocalRun(
        FULL_STACK,
        tmp_path / "data",
        tmp_path / "output",
        MARKETPRISM_SIMULATOR__FRAMES_PER_S="150",
        MARKETPRISM_SIMULATOR__SYMBOLS=str(list(SYMBOLS)),
        MARKETPRISM_SIMULATOR__CONNECTION_ATTEMPTS_PER_5_MIN_MAX="0",
        MARKETPRISM_EXCHANGES__BINANCE__SPOT__SYMBOLS=str(list(SYMBOLS)),
    )
    run.wait_up()
    yield run
    run.end()


def test_nothing_is_lost_doubled_or_made_up(stack: LocalRun, service: ServiceFactory) -> None:
    config = load(stack.data_dir / "run" / "config.yaml", env={})
    exchange = config.exchanges["binance"]["spot"].rest_url
    with contextlib.closing(Tables(config)) as tables:
        for name in (*PROCESSORS, "clickhouse-sink", "redis-sink", "kafka"):
            kill(stack, name)
        stop_and_continue(stack, "klines")
        # Before anything is lost: the minute that ingest dies in cannot be complete.
        wait_until(lambda: complete_symbols(tables) >= BUSY, 5 * MINUTE_S, "a complete candle of each busy symbol")
        kill(stack, "ingest")
        sleep_into_minute(6)
        stack.client().stop("ingest", "ingest")

        raw = sort_raw(read_topics(config, RAW))
        wait_until_empty(lambda: problems(raw, tables), 240)
        assert_lost_is_named(raw, exchange, tables)
        wait_until_empty(lambda: candle_problems(exchange, tables), 180)
        assert_no_half_good_books(config)
        assert_replay_is_equal(config, service, tables)


def complete_symbols(tables: Tables) -> set[str]:
    """Symbols of which a candle is proven to hold every trade."""
    rows = tables.rows("SELECT DISTINCT symbol FROM klines WHERE interval = '1m' AND is_closed AND complete")
    return {symbol for (symbol,) in rows}


def sleep_into_minute(second: float) -> None:
    """Until that second of the next minute: candles must see whole minutes."""
    target = (time.time() // MINUTE_S + 1) * MINUTE_S + second
    wait_until(lambda: time.time() >= target, MINUTE_S + second + 5, "the next minute")


def kill(stack: LocalRun, name: str) -> None:
    before = stack.info(name).pid
    os.kill(before, signal.SIGKILL)
    wait_back(stack, name, lambda pid: pid not in (0, before))


def stop_and_continue(stack: LocalRun, name: str) -> None:
    """As a laptop that sleeps: its session ends meanwhile, and it must not go on as if nothing had been."""
    pid = stack.info(name).pid
    started = time.monotonic()
    os.kill(pid, signal.SIGSTOP)
    try:
        wait_until(lambda: time.monotonic() - started >= STOPPED_S, STOPPED_S + 5, "the session's end")
    finally:
        os.kill(pid, signal.SIGCONT)
    wait_back(stack, name, lambda now: now not in (0, pid))


def wait_back(stack: LocalRun, name: str, started_again: Callable[[int], bool]) -> None:
    wait_until(lambda: started_again(stack.info(name).pid), BACK_S, f"{name} is started again")
    ports = stack.metrics_ports()
    if name in ports:
        wait_until(lambda: scrape.problem(ports[name], "/readyz") is None, BACK_S, f"{name} is ready again")
    else:
        wait_until(
            lambda: all(scrape.problem(ports[p], "/readyz") is None for p in PROCESSORS), BACK_S, f"all after {name}"
        )


def assert_lost_is_named(raw: Raw, exchange: str, tables: Tables) -> None:
    """The holes in what we captured are just what was sent meanwhile; that md.gap names them is in `problems`."""
    for symbol, captured in ids_of(raw.trades).items():
        sent: set[int] = set()
        lowest = min(captured)
        while True:
            page = get_json(f"{exchange}/sim/sent?symbol={symbol}&stream=trade&from={lowest}&limit=10000")["trades"]
            numbers = {int(json.loads(trade)["t"]) for trade in page}
            sent |= numbers
            if not numbers or max(numbers) >= max(captured):
                break
            lowest = max(numbers) + 1
        assert holes(captured) == {n for n in sent if min(captured) < n < max(captured)} - captured, symbol
    assert sum(len(holes(ids)) for ids in ids_of(raw.trades).values()) > 0, "nothing was sent while ingest was dead"
    assert sum(len(holes(ids)) for ids in update_ids_of(raw.deltas).values()) > 0
    channels = {row[0] for row in tables.rows("SELECT DISTINCT channel FROM gaps WHERE missing_count = 0")}
    assert {"bbo", "ticker"} <= channels, "streams without ids: what cannot be known is named by time"


def candle_problems(exchange: str, tables: Tables) -> list[str]:
    """Our closed 1 m candles against the exchange's own; where ours is not complete it must say why."""
    rows = tables.rows(
        """SELECT symbol, toUnixTimestamp64Milli(open_time), open, high, low, close, volume, quote_volume, trade_count,
                  complete, reasons, gaps FROM klines WHERE interval = '1m' AND is_closed"""
    )
    found: list[str] = []
    incomplete: set[str] = set()
    for symbol, open_time, *values, is_complete, reasons, gaps in rows:
        if not is_complete:
            incomplete.add(symbol)
            if not reasons or ("gap" in reasons and not gaps):
                found.append(f"{symbol} {open_time} is not complete and does not say why: {reasons} {gaps}")
            continue
        theirs = own_candle(exchange, symbol, open_time)
        if theirs is None or tuple(values) != theirs:
            found.append(f"{symbol} {open_time}: ours {values}, the exchange's {theirs}")
    if not (complete := complete_symbols(tables)) >= BUSY:
        found.append(f"only {sorted(complete)} have a complete candle")
    if not incomplete:
        found.append("no candle is incomplete although capture began in the middle of one")
    return found


def own_candle(exchange: str, symbol: str, open_time: int) -> tuple[Any, ...] | None:
    url = f"{exchange}/api/v3/klines?symbol={symbol}&interval=1m&startTime={open_time}&limit=1"
    rows = get_json(url)
    if not rows or rows[0][0] != open_time:
        return None
    o, h, low, c, v = (Decimal(x) for x in rows[0][1:6])
    return o, h, low, c, v, Decimal(rows[0][7]), rows[0][8]


def assert_no_half_good_books(config: Config) -> None:
    """A book is either ok, with levels that do not cross, or it shows none."""
    seen = 0
    for message in read_topics(config, ["md.book", "md.book_snapshot"]):
        book = json.loads(message.value)
        seen += 1
        if book["state"] == "ok":
            assert Decimal(book["bids"][0][0]) < Decimal(book["asks"][0][0])
        else:
            assert (book["bids"], book["asks"]) == ([], [])
    assert seen > 0


def assert_replay_is_equal(config: Config, service: ServiceFactory, tables: Tables) -> None:
    """A clean replay of the raw log into an empty environment: same records, same order, same bytes, no new row."""
    live = distinct(read_topics(config, DERIVED))
    views = [row[0] for row in tables.rows("SHOW TABLES") if not row[0].endswith("_log") and "schema" not in row[0]]
    before = {view: tables.rows(f"SELECT count() FROM `{view}`")[0][0] for view in views}
    environment = config.environment.model_dump()
    raw_prefix = environment["topic_prefix"]
    environment |= {"topic_prefix": "replay.", "raw_topic_prefix": raw_prefix}
    values = config.model_dump(mode="python")
    values["environment"] = environment
    values["processors"]["state_dir"] = str(Path(config.processors.state_dir) / "replay")
    replay_config = Config.model_validate(values)
    modules = [f"processors.{name}" for name in PROCESSORS]
    with running(service, replay_config, *modules, "sinks.clickhouse") as services:
        wait_until_empty(lambda: differences(live, distinct(read_topics(replay_config, DERIVED))), 360, 2.0)
        sink = services["sinks.clickhouse"]
        # Its lag says 0 as long as it has read nothing: what it wrote is counted.
        wanted = before["trades"] + before["book_deltas"]
        wait_until(
            lambda: (
                sink.total("marketprism_clickhouse_rows_total") >= wanted
                and sink.total("marketprism_clickhouse_lag_records") == 0
            ),
            180,
            "the replay went into the tables again",
        )
    assert {view: tables.rows(f"SELECT count() FROM `{view}`")[0][0] for view in views} == before
