"""The synthetic market: one book, many views of it, all of them equal."""

from __future__ import annotations

import heapq
import itertools
import json
from collections import Counter
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator import wire
from simulator.market.candles import INTERVALS, Bar, next_open_time, open_time, resample
from simulator.market.market import Deaf, Market
from simulator.market.symbol import Agg, Depth, SymbolMarket, Trade
from simulator.market.ticker import Day

T0_US = 1_726_000_000_000_000
SYMBOLS = ["BTCUSDT", "DOTETH", "PEPEUSDT", "STILLUSDT"]


class Tape(Deaf):
    """Writes down the frames of every event, in order."""

    def __init__(self) -> None:
        self.frames: list[tuple[str, str, bytes]] = []

    def note(self, kind: str, market: SymbolMarket, payload: bytes) -> None:
        self.frames.append((kind, market.instrument.symbol, payload))

    def on_trades(self, market: SymbolMarket, trades: list[Trade], aggs: list[Agg]) -> None:
        for trade in trades:
            self.note("trade", market, wire.trade(market, trade, 1))
        for agg in aggs:
            self.note("agg", market, wire.agg_trade(market, agg, 1))

    def on_best(self, market: SymbolMarket, time_us: int) -> None:
        self.note("best", market, wire.book_ticker(market))

    def on_depth(self, market: SymbolMarket, depth: Depth) -> None:
        self.note("depth", market, wire.depth_update(market, depth, 1))

    def on_slow_depth(self, market: SymbolMarket, depth: Depth) -> None:
        self.note("slow", market, wire.depth_update(market, depth, 1))

    def on_minute(self, market: SymbolMarket, closed: Bar, time_us: int) -> None:
        self.note("kline", market, wire.kline(market, closed, "1m", time_us, 1000, closed=True))

    def of(self, kind: str, symbol: str) -> list[dict[str, Any]]:
        return [json.loads(payload) for k, s, payload in self.frames if (k, s) == (kind, symbol)]


class PlainBook:
    """The venue's official steps in a few lines of dicts; knows nothing of the simulator."""

    def __init__(self, snapshot: dict[str, Any]) -> None:
        self.id = snapshot["lastUpdateId"]
        self.sides = {"b": dict(map(tuple, snapshot["bids"])), "a": dict(map(tuple, snapshot["asks"]))}
        self.absent_deletes = 0

    def apply(self, event: dict[str, Any]) -> None:
        if event["u"] <= self.id:
            return
        assert event["U"] <= self.id + 1, "gap"
        for name, levels in self.sides.items():
            for price, qty in event[name]:
                if Decimal(qty) == 0:
                    self.absent_deletes += levels.pop(price, None) is None
                else:
                    levels[price] = qty
        self.id = event["u"]

    def top(self, name: str, count: int) -> list[list[str]]:
        pick = heapq.nlargest if name == "b" else heapq.nsmallest
        return [list(level) for level in pick(count, self.sides[name].items(), key=lambda level: float(level[0]))]


def snapshot(market: SymbolMarket, limit: int) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(wire.depth_snapshot(market, limit))
    return told


def make(seed: int, frames_per_s: float = 400.0, symbols: list[str] = SYMBOLS) -> Market:
    return Market(symbols, seed, frames_per_s, T0_US)


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 10**6), begin_ms=st.integers(0, 20_000), length_ms=st.integers(500, 20_000))
@pytest.mark.parametrize("stream", ["depth", "slow"])
def test_diffs_on_a_snapshot_give_the_book(stream: str, seed: int, begin_ms: int, length_ms: int) -> None:
    market = make(seed)
    tape = Tape()
    market.advance(T0_US + begin_ms * 1000, tape)
    books = {name: PlainBook(snapshot(each, 5000)) for name, each in market.symbols.items()}
    market.advance(market.at_us + length_ms * 1000, tape)
    # Let the last batch out, and see that nothing came after it.
    for name, each in market.symbols.items():
        while (each.flushed_id if stream == "depth" else each.slow_flushed_id) != each.update_id:
            each.step(tape)
        for event in tape.of(stream, name):
            books[name].apply(event)
        now = snapshot(each, 1000)
        assert books[name].id == now["lastUpdateId"] or not tape.of(stream, name)
        assert books[name].top("b", len(now["bids"])) == now["bids"]
        assert books[name].top("a", len(now["asks"])) == now["asks"]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_ids_chain_and_books_never_cross(seed: int) -> None:
    market, tape = make(seed), Tape()
    market.advance(T0_US + 30_000_000, tape)
    absent = 0
    for name, each in market.symbols.items():
        for stream in ("depth", "slow"):
            events = tape.of(stream, name)
            assert events[0]["U"] == each.instrument.first_update_id + 1
            assert all(b["U"] == a["u"] + 1 for a, b in itertools.pairwise(events))
            assert all(event["U"] <= event["u"] for event in events)
        bests = tape.of("best", name)
        assert all(Decimal(best["b"]) < Decimal(best["a"]) for best in bests)
        assert all(Decimal(best["B"]) > 0 < Decimal(best["A"]) for best in bests)
        assert all(a["u"] < b["u"] for a, b in itertools.pairwise(bests))
        book = PlainBook(snapshot(make(seed).symbols[name], 5000))
        by_id = {best["u"]: best for best in bests}
        compared = 0
        for event in tape.of("depth", name):
            book.apply(event)
            if (best := by_id.get(event["u"])) is not None:
                compared += 1
                assert book.top("b", 1) == [[best["b"], best["B"]]]
                assert book.top("a", 1) == [[best["a"], best["A"]]]
        assert compared or each.instrument.quiet
        absent += book.absent_deletes
    assert absent > 10, "removals of levels nobody had are part of the venue's behaviour"


@pytest.mark.parametrize("seed", [4, 5])
def test_trades_aggregates_and_candles_tell_the_same(seed: int) -> None:
    market, tape = make(seed), Tape()
    market.advance(T0_US + 130_000_000, tape)
    for name, each in market.symbols.items():
        trades, aggs = tape.of("trade", name), tape.of("agg", name)
        if not trades:
            continue
        assert [t["t"] for t in trades] == list(range(each.instrument.first_trade_id + 1, each.trade_id + 1))
        assert [a["a"] for a in aggs] == list(range(each.instrument.first_agg_id + 1, each.agg_id + 1))
        assert all(b["f"] == a["l"] + 1 for a, b in itertools.pairwise(aggs))
        by_id = {t["t"]: t for t in trades}
        for agg in aggs:
            parts = [by_id[i] for i in range(agg["f"], agg["l"] + 1)]
            assert sum(Decimal(p["q"]) for p in parts) == Decimal(agg["q"])
            assert {(p["p"], p["T"], p["m"]) for p in parts} == {(agg["p"], agg["T"], agg["m"])}
        for frame in tape.of("kline", name):
            check_candle(frame["k"], trades)


def check_candle(bar: dict[str, Any], trades: list[dict[str, Any]]) -> None:
    inside = [t for t in trades if bar["t"] <= t["T"] // 1000 <= bar["T"]]
    assert bar["n"] == len(inside)
    if not inside:
        assert (bar["f"], bar["L"]) == (-1, -1)
        assert bar["o"] == bar["h"] == bar["l"] == bar["c"]
        assert bar["v"] == bar["q"] == bar["V"] == bar["Q"] == "0.00000000"
        return
    assert (bar["f"], bar["L"]) == (inside[0]["t"], inside[-1]["t"])
    prices = [Decimal(t["p"]) for t in inside]
    assert [Decimal(bar[k]) for k in "ohlc"] == [prices[0], max(prices), min(prices), prices[-1]]
    quotes = [Decimal(t["p"]) * Decimal(t["q"]) for t in inside]
    taker = [not t["m"] for t in inside]
    assert Decimal(bar["v"]) == sum(Decimal(t["q"]) for t in inside)
    assert Decimal(bar["q"]) == sum(quotes)
    assert Decimal(bar["V"]) == sum(Decimal(t["q"]) for t, is_taker in zip(inside, taker, strict=True) if is_taker)
    assert Decimal(bar["Q"]) == sum(q for q, is_taker in zip(quotes, taker, strict=True) if is_taker)


def test_quiet_symbols_have_minutes_without_trades() -> None:
    class Minutes(Tape):
        on_trades = Deaf.on_trades
        on_best = Deaf.on_best
        on_depth = on_slow_depth = Deaf.on_depth

    market, tape = make(7, 100.0), Minutes()
    market.advance(T0_US + 900_000_000, tape)
    bars = [frame["k"] for frame in tape.of("kline", "STILLUSDT")]
    assert len(bars) >= 14
    assert any(bar["n"] == 0 for bar in bars)
    assert any(bar["n"] for bar in bars)
    for before, bar in itertools.pairwise(bars):
        if bar["n"] == 0:
            assert bar["c"] == before["c"]


@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 10**6), cuts=st.lists(st.integers(1, 8_000_000), max_size=8))
def test_cutting_time_changes_nothing(seed: int, cuts: list[int]) -> None:
    whole, pieces = Tape(), Tape()
    make(seed).advance(T0_US + 8_000_000, whole)
    market = make(seed)
    for cut in sorted(cuts):
        market.advance(T0_US + cut, pieces)
    market.advance(T0_US + 8_000_000, pieces)
    assert pieces.frames == whole.frames


@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 10**6), cut=st.integers(1, 20_000_000))
def test_a_restored_state_goes_on_the_same(seed: int, cut: int) -> None:
    first, market = Tape(), make(seed)
    market.advance(T0_US + cut, Deaf())
    states = [each.state() for each in market.order]
    again = Market(SYMBOLS, seed, 400.0, T0_US + cut)
    for each, state in zip(again.order, states, strict=True):
        each.restore(json.loads(json.dumps(state, default=lambda raw: list(raw))) | {"rng": state["rng"]})
    again.rebuild()
    second = Tape()
    market.advance(T0_US + cut + 5_000_000, first)
    again.advance(T0_US + cut + 5_000_000, second)
    assert first.frames == second.frames
    for each, other in zip(market.order, again.order, strict=True):
        assert wire.depth_snapshot(each, 5000) == wire.depth_snapshot(other, 5000)


def test_standing_still_gives_candles_without_trades() -> None:
    market, tape = make(3), Tape()
    market.advance(T0_US + 90_000_000, tape)
    before = {name: (each.update_id, each.trade_id) for name, each in market.symbols.items()}
    market.skip_to(T0_US + 600_000_000)
    assert {name: (each.update_id, each.trade_id) for name, each in market.symbols.items()} == before
    market.advance(T0_US + 660_000_000, tape)
    for name, each in market.symbols.items():
        opens = [bar.open_ms for bar in each.bars]
        assert opens == list(range(opens[0], opens[0] + 60_000 * len(opens), 60_000))
        trades = tape.of("trade", name)
        for bar in each.bars:
            check_candle(json.loads(wire.kline(each, bar, "1m", market.at_us, 1000, closed=True))["k"], trades)


def test_the_book_is_deep_and_bursts_happen() -> None:
    market, tape = make(1), Tape()
    market.advance(T0_US + 120_000_000, tape)
    btc = market.symbols["BTCUSDT"]
    told = snapshot(btc, 5000)
    assert len(told["bids"]) == len(told["asks"]) == 5000
    assert len(list(btc.bids.levels(20_000))) > 5000, "levels exist beyond the edge of a snapshot"
    assert told["bids"] == sorted(told["bids"], key=lambda level: Decimal(level[0]), reverse=True)
    assert len({level[0] for level in told["asks"]}) == 5000
    edge = Decimal(snapshot(btc, 1000)["bids"][-1][0])
    assert any(Decimal(p) < edge for event in tape.of("depth", "BTCUSDT") for p, _ in event["b"])
    per_100_ms = Counter(trade["T"] // 100_000 for trade in tape.of("trade", "BTCUSDT"))
    mean = sum(per_100_ms.values()) / 1200
    spread = sum((per_100_ms.get(T0_US // 100_000 + i, 0) - mean) ** 2 for i in range(1200)) / 1200
    assert spread > 3 * mean, "arrivals are clustered, not Poisson"


@pytest.mark.parametrize(("count", "asked"), [(4, 200.0), (50, 2000.0), (300, 3000.0)])
def test_the_pace_is_the_one_asked_for(count: int, asked: float) -> None:
    class Count(Deaf):
        frames = 0
        told: dict[str, int] = {}  # noqa: RUF012 (one instance)

        def on_trades(self, market: SymbolMarket, trades: list[Trade], aggs: list[Agg]) -> None:
            self.frames += len(trades) + len(aggs)

        def on_best(self, market: SymbolMarket, time_us: int) -> None:
            self.frames += 1

        def on_depth(self, market: SymbolMarket, depth: Depth) -> None:
            self.frames += 1

        def on_second(self, market: SymbolMarket, time_us: int) -> None:
            name = market.instrument.symbol
            if self.told.get(name) != market.update_id:
                self.told[name] = market.update_id
                self.frames += 1

    counted = Count()
    market = make(11, asked, [f"S{i}USDT" for i in range(count)])
    market.advance(T0_US + 60_000_000, counted)
    assert 0.6 * asked < counted.frames / 60 < 1.6 * asked


def test_a_thousand_symbols() -> None:
    market = make(2, 5000.0, [f"C{i}USDT" for i in range(1000)])
    tape = Tape()
    market.advance(T0_US + 3_000_000, tape)
    assert len({symbol for _, symbol, _ in tape.frames}) > 500
    assert all(each.best[0] < each.best[2] for each in market.order)


def test_24h_statistics_are_those_of_the_trades() -> None:
    market, tape = make(9, 150.0), Tape()
    market.advance(T0_US + 200_000_000, tape)
    each = market.symbols["BTCUSDT"]
    told = json.loads(wire.ticker(each, Day(each), market.at_us, 1000))
    trades = tape.of("trade", "BTCUSDT")
    prices = [Decimal(t["p"]) for t in trades]
    assert (told["n"], told["F"], told["L"]) == (len(trades), trades[0]["t"], trades[-1]["t"])
    assert [Decimal(told[k]) for k in "ohlc"] == [prices[0], max(prices), min(prices), prices[-1]]
    assert Decimal(told["v"]) == sum(Decimal(t["q"]) for t in trades)
    assert Decimal(told["q"]) == sum(Decimal(t["p"]) * Decimal(t["q"]) for t in trades)
    assert Decimal(told["p"]) == prices[-1] - prices[0]
    assert abs(Decimal(told["w"]) - Decimal(told["q"]) / Decimal(told["v"])) <= Decimal("0.00000001")
    assert told["Q"] == trades[-1]["q"]


@given(at_ms=st.integers(10**12, 4 * 10**12), interval=st.sampled_from(INTERVALS))
def test_intervals_tile_time(at_ms: int, interval: str) -> None:
    opened = open_time(interval, at_ms)
    after = next_open_time(interval, opened)
    assert opened <= at_ms < after
    assert open_time(interval, after) == after
    assert open_time(interval, after - 1) == opened


def test_weeks_open_on_monday_and_months_on_the_first() -> None:
    assert open_time("1w", 1_795_250_000_000) == 1_794_787_200_000  # 2026-11-16
    assert open_time("1M", 1_795_250_000_000) == 1_793_491_200_000  # 2026-11-01


def test_longer_candles_are_made_of_minutes() -> None:
    market = make(5, 50.0)
    market.advance(T0_US + 1_800_000_000, Deaf())
    each = market.symbols["DOTETH"]
    minutes = [*each.bars, each.bar]
    for bar in resample("5m", minutes):
        parts = [m for m in minutes if open_time("5m", m.open_ms) == bar.open_ms]
        assert bar.count == sum(m.count for m in parts)
        assert bar.volume == sum(m.volume for m in parts)
        assert bar.c == parts[-1].c
        assert bar.h == max(m.h for m in parts if m.count or not bar.count)
