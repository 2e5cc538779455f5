"""A recorded session through the running pipeline: what arrives equals what the pure code makes of the file."""

from __future__ import annotations

import contextlib
import json
from collections import defaultdict
from collections.abc import Iterable
from decimal import Decimal
from heapq import nlargest, nsmallest
from pathlib import Path
from typing import Any

import pytest
import redis as redis_client

from marketdata.types import Trade
from runtime.config import Config
from tests.frames import frames_dir
from tests.integration.accounting import RAW, Tables, problems, read_topics, sort_raw
from tests.integration.conftest import MakeConfig
from tests.integration.pipeline import (
    PROCESSORS,
    SINKS,
    ServiceFactory,
    get_json,
    running,
    wait_until,
    wait_until_empty,
)
from tests.ports import free_ports
from venues import find_venue
from venues.contract import Context

pytestmark = pytest.mark.timeout(900)

SPEED = 15.0
MINUTE_MS = 60_000
LEVELS = 400

SESSIONS = {
    "seq_hft_btcusdt_20240808.jsonl": (["BTCUSDT"], ["trade", "book", "bbo"]),
    "seq_cf_20210404_3sym_aggtrade_depth_kline.jsonl": (
        ["BTCUSDT", "ETHUSDT", "DOTUSDT"],
        ["agg_trade", "book", "kline"],
    ),
}

Levels = list[tuple[Decimal, Decimal]]


def trades_of(path: Path) -> list[Trade]:
    """What the venue's normaliser makes of the file's trades."""
    venue = find_venue("binance", "spot")
    out: list[Trade] = []
    for line in path.read_bytes().splitlines():
        stream = str(json.loads(line).get("stream", ""))
        channel = {"trade": "trade", "aggTrade": "agg_trade"}.get(stream.partition("@")[2])
        if channel:
            context = Context("binance", "spot", stream.partition("@")[0].upper(), "0")
            out += [r for r in venue.normalisers[channel](line, context) if isinstance(r, Trade)]
    return out


def candles_of(trades: list[Trade]) -> dict[tuple[str, int], tuple[Any, ...]]:
    """(symbol, open time) -> (open, high, low, close, volume, quote volume, count), by plain arithmetic."""
    minutes: dict[tuple[str, int], list[Trade]] = defaultdict(list)
    for trade in trades:
        minutes[trade.symbol, trade.trade_time_us // 1000 // MINUTE_MS * MINUTE_MS].append(trade)
    out = {}
    for key, inside in minutes.items():
        prices = [Decimal(t.price) for t in inside]
        count = sum(int(t.last_trade_id) - int(t.first_trade_id) + 1 if t.aggregated else 1 for t in inside)
        out[key] = (
            prices[0], max(prices), min(prices), prices[-1], sum(Decimal(t.quantity) for t in inside),
            sum(Decimal(t.price) * Decimal(t.quantity) for t in inside), count,
        )  # fmt: skip
    return out


def books_of(path: Path) -> dict[str, dict[str, tuple[Levels, Levels]]]:
    """symbol -> update id -> the best levels, after every update of the file: dicts and sorting, nothing else."""
    sides: dict[str, tuple[dict[str, str], dict[str, str]]] = {}
    last: dict[str, int] = {}
    held: dict[str, list[Any]] = defaultdict(list)
    out: dict[str, dict[str, tuple[Levels, Levels]]] = defaultdict(dict)
    for line in path.read_bytes().splitlines():
        message = json.loads(line)
        if "_rest" in message:
            symbol = message["_rest"].partition("symbol=")[2].partition("&")[0]
            body = message["body"]
            sides[symbol] = (dict(body["bids"]), dict(body["asks"]))
            last[symbol] = body["lastUpdateId"]
            out[symbol][str(last[symbol])] = best(sides[symbol])
            updates = held.pop(symbol, [])
        elif "@depth" in message["stream"]:
            symbol = message["data"]["s"]
            updates = [message["data"]]
        else:
            continue
        for update in updates:
            if symbol not in sides:
                held[symbol].append(update)
            elif update["u"] > last[symbol]:
                assert update["U"] <= last[symbol] + 1
                last[symbol] = update["u"]
                put(sides[symbol][0], update["b"])
                put(sides[symbol][1], update["a"])
                out[symbol][str(update["u"])] = best(sides[symbol])
    return out


def put(side: dict[str, str], levels: list[list[str]]) -> None:
    for price, quantity in levels:
        if float(quantity):
            side[price] = quantity
        else:
            side.pop(price, None)


def best(sides: tuple[dict[str, str], dict[str, str]]) -> tuple[Levels, Levels]:
    bids = nlargest(LEVELS, sides[0].items(), key=lambda level: float(level[0]))
    asks = nsmallest(LEVELS, sides[1].items(), key=lambda level: float(level[0]))
    return numbers(bids), numbers(asks)


def numbers(levels: Any) -> Levels:
    return [(Decimal(price), Decimal(quantity)) for price, quantity in levels]


def config_for(make_config: MakeConfig, path: Path, symbols: list[str], channels: list[str]) -> Config:
    (port,) = free_ports(1)
    market = {
        "ws_url": f"ws://127.0.0.1:{port}",
        "rest_url": f"http://127.0.0.1:{port}",
        "symbols": symbols,
        "channels": channels,
    }
    return make_config(
        exchanges={"binance": {"spot": market}},
        simulator={"port": port, "recording": str(path), "speed": SPEED},
        processors={"commit_interval_s": 1.0},
    )


@pytest.mark.parametrize("name", SESSIONS)
def test_what_arrives_is_what_the_file_says(name: str, make_config: MakeConfig, service: ServiceFactory) -> None:
    path = frames_dir() / "binance" / "spot" / name
    symbols, channels = SESSIONS[name]
    config = config_for(make_config, path, symbols, channels)
    trades, books = trades_of(path), books_of(path)
    redis = redis_client.Redis.from_url(config.redis.url, decode_responses=True)
    prefix = config.environment.redis_prefix
    seen = redis.pubsub(ignore_subscribe_messages=True)  # type: ignore[no-untyped-call]
    seen.psubscribe(f"ch:{prefix}md:book:*")
    assert seen.get_message(timeout=5) is None, "the subscription's own reply is ignored"
    with running(service, config, *SINKS, *PROCESSORS, "simulator"), service("ingest", config):
        status = f"{config.exchanges['binance']['spot'].rest_url}/sim/status"
        wait_until(lambda: get_json(status)["state"] == "ended", 180, "the recording ends")
        with contextlib.closing(Tables(config)) as tables:
            wait_until_empty(lambda: problems(sort_raw(read_topics(config, RAW)), tables), 180)
            wait_until(
                lambda: all("recording ended" in shown(redis, prefix, symbol).get("reason", "") for symbol in symbols),
                180,
                "Redis says that the recording ended",
            )
            assert_trades(trades, tables)
            assert_books(books, tables)
            assert_top_books(books, config, seen)
            wait_until_empty(lambda: candle_problems(trades, tables), 180)
            assert tables.rows("SELECT * FROM gaps") == []
            assert tables.rows("SELECT * FROM dead_letters") == []
            if "kline" in channels:
                # the session holds no whole minute: the venue's closed candles began before capture
                wait_until(
                    lambda: len(tables.rows("SELECT DISTINCT symbol FROM kline_residuals")) == len(symbols),
                    120,
                    "our candles are compared with the venue's",
                )
                assert not tables.rows("SELECT * FROM kline_residuals WHERE ours_complete AND NOT matched")
    seen.close()
    redis.close()


def shown(redis: Any, prefix: str, symbol: str) -> dict[str, Any]:
    text = redis.get(f"{prefix}md:book:{{binance.spot.{symbol}}}")
    return json.loads(text) if text else {}


def assert_trades(trades: list[Trade], tables: Tables) -> None:
    rows = tables.rows(
        """SELECT symbol, trade_id, price, quantity, side, toUnixTimestamp64Micro(trade_time), aggregated,
                  first_trade_id, last_trade_id FROM trades"""
    )
    want = sorted(
        (t.symbol, int(t.trade_id), Decimal(t.price), Decimal(t.quantity), t.side, t.trade_time_us, t.aggregated,
         int(t.first_trade_id or 0), int(t.last_trade_id or 0))
        for t in trades
    )  # fmt: skip
    assert sorted(rows) == want


def assert_books(books: dict[str, dict[str, tuple[Levels, Levels]]], tables: Tables) -> None:
    rows = tables.rows(
        """SELECT symbol, toString(update_id), bid_prices, bid_quantities, ask_prices, ask_quantities
           FROM book_snapshots WHERE state = 'ok'"""
    )
    assert {row[0] for row in rows} == books.keys()
    for symbol, update_id, bid_prices, bid_sizes, ask_prices, ask_sizes in rows:
        ours = (list(zip(bid_prices, bid_sizes, strict=True)), list(zip(ask_prices, ask_sizes, strict=True)))
        assert update_id in books[symbol], f"{symbol} {update_id} is no update of the file"
        assert ours == books[symbol][update_id], f"book of {symbol} at {update_id}"


def assert_top_books(books: dict[str, dict[str, tuple[Levels, Levels]]], config: Config, seen: Any) -> None:
    """All that were published, and those pushed through Redis: of what comes faster than it writes, the newest."""
    assert same_books(books, (m.value for m in read_topics(config, ["md.book"]))) > 50
    assert same_books(books, (m["data"] for m in iter(lambda: seen.get_message(timeout=0.5), None))) > 0


def same_books(books: dict[str, dict[str, tuple[Levels, Levels]]], texts: Iterable[str | bytes]) -> int:
    """How many were compared with the file's and equal them."""
    compared = 0
    for text in texts:
        book = json.loads(text)
        if book["state"] != "ok":
            assert (book["bids"], book["asks"]) == ([], [])
            continue
        bids, asks = books[book["symbol"]][book["update_id"]]
        assert (numbers(book["bids"]), numbers(book["asks"])) == (bids[:20], asks[:20]), book["update_id"]
        compared += 1
    return compared


def candle_problems(trades: list[Trade], tables: Tables) -> list[str]:
    """Of our closed candles; they come last, and are revised."""
    want = candles_of(trades)
    rows = tables.rows(
        """SELECT symbol, toUnixTimestamp64Milli(open_time), open, high, low, close, volume, quote_volume, trade_count,
                  complete FROM klines WHERE interval = '1m' AND is_closed"""
    )
    if not rows:
        return ["no candle is closed"]
    found = []
    first = {symbol: min(at for s, at in want if s == symbol) for symbol, _ in want}
    for symbol, open_time, *values, complete in rows:
        if tuple(values) != want[symbol, open_time]:
            found.append(f"{symbol} {open_time}: {values}, the file says {want[symbol, open_time]}")
        if complete != (open_time > first[symbol]):
            found.append(f"{symbol} {open_time}: complete is {complete}, only the first minute began before capture")
    return found
