"""Every frame the simulator makes has the keys, their order and the types of recorded ones."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from runtime.config.simulator import Simulator
from simulator import wire
from simulator.market import market as market_module
from simulator.market.candles import Bar
from simulator.market.market import Deaf, Market
from simulator.market.symbol import Agg, Depth, SymbolMarket, Trade
from simulator.market.ticker import Day
from simulator.rest import SyntheticRest
from simulator.rest_params import Query
from simulator.store import Store
from tests.frames import frames_dir

T0_US = 1_726_000_000_000_000


class Samples(Deaf):
    """One payload of every stream kind."""

    def __init__(self) -> None:
        self.of: dict[str, dict[str, Any]] = {}

    def on_trades(self, market: SymbolMarket, trades: list[Trade], aggs: list[Agg]) -> None:
        self.of["trade"] = json.loads(wire.trade(market, trades[0], 1000))
        self.of["aggTrade"] = json.loads(wire.agg_trade(market, aggs[0], 1000))

    def on_best(self, market: SymbolMarket, time_us: int) -> None:
        self.of["bookTicker"] = json.loads(wire.book_ticker(market))

    def on_depth(self, market: SymbolMarket, depth: Depth) -> None:
        if depth.bids and depth.asks:
            self.of["depth"] = json.loads(wire.depth_update(market, depth, 1000))
        self.of["depth20"] = json.loads(wire.depth_snapshot(market, 20))

    def on_minute(self, market: SymbolMarket, closed: Bar, time_us: int) -> None:
        self.of["kline_1m"] = json.loads(wire.kline(market, closed, "1m", time_us, 1000, closed=True))
        day = Day(market)
        self.of["ticker"] = json.loads(wire.ticker(market, day, time_us, 1000))
        self.of["miniTicker"] = json.loads(wire.mini_ticker(market, day, time_us, 1000))


@cache
def samples() -> dict[str, dict[str, Any]]:
    market, made = Market(["BTCUSDT"], 1, 200.0, T0_US), Samples()
    market.advance(T0_US + 61_000_000, made)
    return made.of


def shape(value: Any) -> Any:
    """Keys in order and JSON types; a list is one of its first element; a decimal string shows its places."""
    if isinstance(value, dict):
        return [(key, shape(inner)) for key, inner in value.items()]
    if isinstance(value, list):
        return ["list", *([shape(value[0])] if value else [])]
    if isinstance(value, str) and value.lstrip("-").replace(".", "").isdigit() and "." in value:
        return f"decimal{len(value.partition('.')[2])}"
    return type(value).__name__


def recorded(stream_kind: str) -> Iterator[dict[str, Any]]:
    """Payloads of a kind from the recorded files, live ones only."""
    for path in sorted((frames_dir() / "binance" / "spot").glob("*.jsonl")):
        if ".docs." in path.name or "_tardis" in path.name or path.name.startswith("rest_"):
            continue
        taken = 0
        with path.open() as lines:
            for line in lines:
                if f'@{stream_kind}"' in line[:80] or f'@{stream_kind}@100ms"' in line[:80]:
                    data = json.loads(line)["data"]
                    if "generated" not in data and complete(data):
                        yield data
                        taken += 1
                if taken >= 50:
                    break


def complete(data: dict[str, Any]) -> bool:
    """Empty level lists say nothing of their elements."""
    return data.get("b") != [] and data.get("a") != [] and data.get("bids") != []


@pytest.mark.parametrize(
    "kind", ["trade", "aggTrade", "bookTicker", "depth", "depth20", "kline_1m", "ticker", "miniTicker"]
)
def test_stream_payloads_have_the_recorded_shape(kind: str) -> None:
    ours = shape(samples()[kind])
    compared = 0
    for theirs in recorded(kind):
        if kind == "trade" and "b" in theirs:
            theirs = {key: value for key, value in theirs.items() if key not in ("a", "b")}  # order ids, gone since
        assert shape(theirs) == ours
        compared += 1
    assert compared


def test_recorded_id_relations_hold_here_too() -> None:
    """What the recordings show and the simulator relies on: T <= E, a batch's u >= U, an aggregate's l >= f."""
    for data in (samples()["trade"], *recorded("trade"), samples()["aggTrade"], *recorded("aggTrade")):
        assert 0 <= data["E"] - data["T"] <= 1000
    for data in (samples()["depth"], *recorded("depth")):
        assert data["U"] <= data["u"]
    for data in (samples()["kline_1m"], *recorded("kline_1m")):
        bar = data["k"]
        assert bar["T"] == bar["t"] + 59_999
        assert bar["n"] == bar["L"] - bar["f"] + 1
    for data in (samples()["ticker"], *recorded("ticker")):
        assert data["C"] - data["O"] == 86_400_000
        assert data["n"] == data["L"] - data["F"] + 1


@pytest.fixture
def rest(tmp_path: Path) -> Iterator[SyntheticRest]:
    store = Store(tmp_path)
    market = store.open_market(["BTCUSDT", "ETHUSDT"], 1, 200.0, T0_US)
    market.advance(T0_US + 200_000_000, Deaf())
    yield SyntheticRest(market, store, 6000)
    store.close()


def ask(rest: SyntheticRest, path: str, **query: str) -> Any:
    return json.loads(asyncio.run(rest.rest(path, Query(query))))


def rest_samples(*names: str) -> Iterator[Any]:
    for name in names:
        for line in (frames_dir() / "binance" / "spot" / f"{name}.jsonl").read_text().splitlines():
            if line:
                yield json.loads(line)["body"]


@pytest.mark.parametrize(
    ("path", "query", "names"),
    [
        ("depth", {"symbol": "BTCUSDT", "limit": "10"}, ("rest_depth.docs", "rest_book")),
        ("trades", {"symbol": "BTCUSDT"}, ("rest_trades.docs", "rest_historical_trades.docs")),
        ("historicalTrades", {"symbol": "BTCUSDT"}, ("rest_historical_trades.docs",)),
        ("aggTrades", {"symbol": "BTCUSDT"}, ("rest_agg_trades.docs",)),
        ("klines", {"symbol": "BTCUSDT", "interval": "1m"}, ("rest_klines.docs", "rest_klines")),
        ("time", {}, ("rest_time.docs",)),
        ("ping", {}, ("rest_ping.docs",)),
        ("ticker/price", {"symbol": "BTCUSDT"}, ("rest_ticker_price.docs",)),
        ("ticker/bookTicker", {"symbol": "BTCUSDT"}, ("rest_book_ticker.docs",)),
    ],
)
def test_rest_replies_have_the_recorded_shape(
    rest: SyntheticRest, path: str, query: dict[str, str], names: tuple[str, ...]
) -> None:
    ours = shape(ask(rest, path, **query))
    compared = 0
    for theirs in rest_samples(*names):
        assert shape(theirs) == ours
        compared += 1
    assert compared


def test_24h_ticker_has_the_recorded_keys_and_types(rest: SyntheticRest) -> None:
    """Recorded with keys sorted, so the order is not compared."""
    ours = shape(ask(rest, "ticker/24hr", symbol="BTCUSDT"))
    for reply in rest_samples("rest_ticker24h"):
        for theirs in reply if isinstance(reply, list) else [reply]:
            assert sorted(shape(theirs)) == sorted(ours)


def test_exchange_info_has_what_was_recorded(rest: SyntheticRest) -> None:
    told = ask(rest, "exchangeInfo")
    ours = {key: shape(value) for key, value in told["symbols"][0].items()}
    for theirs in rest_samples("rest_exchange_info"):
        assert told.keys() == theirs.keys()
        assert shape(told["rateLimits"][0]) == shape(theirs["rateLimits"][0])
        for key, value in theirs["symbols"][0].items():
            if key not in ("filters", "permissions"):
                assert ours[key] == shape(value), key
        filters = {each["filterType"]: shape(each) for each in told["symbols"][0]["filters"]}
        for each in theirs["symbols"][0]["filters"]:
            if each["filterType"] in filters:
                assert filters[each["filterType"]] == shape(each)
        assert {"PRICE_FILTER", "LOT_SIZE", "NOTIONAL"} <= filters.keys()


def test_levels_and_prices_are_whole_ticks_and_steps(rest: SyntheticRest) -> None:
    info = ask(rest, "exchangeInfo", symbol="BTCUSDT")["symbols"][0]
    filters = {each["filterType"]: each for each in info["filters"]}
    tick = int(filters["PRICE_FILTER"]["tickSize"].replace(".", ""))
    step = int(filters["LOT_SIZE"]["stepSize"].replace(".", ""))
    for price, qty in ask(rest, "depth", symbol="BTCUSDT", limit="5000")["bids"]:
        assert int(price.replace(".", "")) % tick == 0
        assert int(qty.replace(".", "")) % step == 0


def test_default_settings_are_the_venues() -> None:
    config = Simulator()
    assert (config.ping_interval_s, config.pong_timeout_s) == (20, 60)
    assert (config.messages_per_s_max, config.streams_per_connection_max) == (5, 1024)
    assert (config.connection_attempts_per_5_min_max, config.rest_weight_per_min_max) == (300, 6000)
    assert config.connection_max_age_s == 86_400


def test_history_older_than_memory_comes_from_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(market_module, "TRADES_MAX", 200)
    monkeypatch.setattr(market_module, "BARS_MAX", 60)
    store = Store(tmp_path)
    market = store.open_market(["BTCUSDT"], 1, 30.0, T0_US)
    one = market.symbols["BTCUSDT"]
    for second in range(1, 80 * 60, 10):
        market.advance(T0_US + second * 1_000_000, Deaf())
        store.save(market.order)
    rest = SyntheticRest(market, store, 6000)
    first = one.instrument.first_trade_id + 1
    assert one.trades[0].id > first
    told = ask(rest, "historicalTrades", symbol="BTCUSDT", fromId=str(first), limit="1000")
    assert [trade["id"] for trade in told] == list(range(first, first + 1000))
    aggs = ask(rest, "aggTrades", symbol="BTCUSDT", fromId=str(one.instrument.first_agg_id + 1), limit="1000")
    assert aggs[0]["f"] == first
    assert all(a["l"] + 1 == b["f"] for a, b in itertools.pairwise(aggs))
    rows = ask(rest, "klines", symbol="BTCUSDT", interval="1m", limit="1000")
    assert [row[0] for row in rows] == list(range(T0_US // 60_000_000 * 60_000, rows[-1][0] + 1, 60_000))
    assert len(one.bars) < len(rows)
    hours = ask(rest, "klines", symbol="BTCUSDT", interval="1h", startTime=str(rows[0][0] - 3_600_000))
    assert sum(row[8] for row in hours) == sum(row[8] for row in rows) == one.trade_id - first + 1
    from_third = ask(rest, "klines", symbol="BTCUSDT", interval="1m", startTime=str(rows[2][0]), limit="3")
    assert from_third == rows[2:5]
    store.prune(T0_US + 1_800_000_000)
    assert store.trades(0, 0, 1)[0].time_us >= T0_US + 1_800_000_000
    store.close()
