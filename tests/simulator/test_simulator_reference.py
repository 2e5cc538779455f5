"""One price for a coin at all venues, arbitrage now and then, and contract data: functions of seed and time."""

from __future__ import annotations

import itertools
import json
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.market import derivatives
from simulator.market.instruments import E8
from simulator.market.market import Deaf, Market
from simulator.market.reference import STRAY_MOST, coin_factor, fair_factor, noise
from simulator.market.symbol import Agg, SymbolMarket, Trade
from simulator.okx.instruments import make_instrument as okx_instrument
from simulator.usdm import wire
from simulator.usdm.instruments import make_instrument as usdm_instrument
from simulator.usdm.publisher import trade_frames

T0_US = 1_790_000_000_000_000
TIMES = st.integers(T0_US, T0_US + 10**14)


@given(TIMES, st.integers(1, 2**32))
def test_noise_is_bounded_and_has_no_jumps(at_us: int, key: int) -> None:
    here, next_ = noise(key, at_us, 1_000_000), noise(key, at_us + 1_000, 1_000_000)
    assert -1.0 <= here <= 1.0
    assert abs(here - next_) <= 2 * 1.5 * 0.001 + 1e-9


@given(TIMES)
def test_venues_stray_from_one_price_within_bounds(at_us: int) -> None:
    spot = fair_factor(1, "spot", "BTCUSDT", "BTC", "USDT", at_us)
    okx = fair_factor(1, "okx", "BTC-USDT", "BTC", "USDT", at_us)
    assert abs(spot / okx - 1.0) < 2 * STRAY_MOST + 0.001
    assert fair_factor(1, "okx", "BTC-USDT", "BTC", "USDT", at_us) == okx
    assert coin_factor(1, "USDT", at_us) == 1.0


@cache
def two_venues() -> tuple[list[float], Market, Market]:
    """Ten minutes of ETH at two venues: how much one pays more than the other asks, each half second."""
    spot = Market(["ETHUSDT"], 1, 60.0, T0_US)
    okx = Market(["ETH-USDT", "ETH-USDT-SWAP", "ETH-USD-SWAP"], 1, 120.0, T0_US, okx_instrument, "okx")
    edges = []
    for step in range(1, 1200):
        for market in (spot, okx):
            market.advance(T0_US + step * 500_000, Deaf())
        (a, b) = spot.symbols["ETHUSDT"], okx.symbols["ETH-USDT"]
        tick_a, tick_b = a.instrument.tick_e8, b.instrument.tick_e8
        bids, asks = (a.best[0] * tick_a, b.best[0] * tick_b), (a.best[2] * tick_a, b.best[2] * tick_b)
        edges.append(max(bids[0] / asks[1], bids[1] / asks[0]) - 1.0)
    return edges, spot, okx


def test_arbitrage_opens_and_closes() -> None:
    edges, _, _ = two_venues()
    open_ = [edge > 0.0015 for edge in edges]
    episodes = sum(now and not before for before, now in itertools.pairwise(open_))
    assert episodes >= 1
    assert sum(open_) / len(open_) < 0.2


def test_contracts_follow_the_coin_and_count_in_contracts() -> None:
    _, _, okx = two_venues()
    for name, value in (("ETH-USDT-SWAP", E8 // 10), ("ETH-USD-SWAP", 10 * E8)):
        market = okx.symbols[name]
        assert market.instrument.contract is not None
        assert market.instrument.contract.value_e8 == value
        middle = (market.best[0] + market.best[2]) / 2
        assert middle == pytest.approx(market.fair_at(market.at_us), rel=0.002)
        coins, dollars = derivatives.value_e8(market, 1_000, middle)
        assert dollars / coins == pytest.approx(middle * market.instrument.tick_e8 / E8, rel=1e-6)


def test_every_update_leaves_the_book_uncrossed() -> None:
    class Watching(Deaf):
        def on_best(self, market: SymbolMarket, time_us: int) -> None:
            bid, bid_qty, ask, ask_qty = market.best
            assert bid < ask
            assert bid_qty > 0 < ask_qty

    market = Market(["BTCUSDT", "BTCUSDT_261225", "XRPUSDT"], 3, 300.0, T0_US, usdm_instrument, "usdm")
    market.advance(T0_US + 120_000_000, Watching())
    for one in market.order:
        drift = (one.best[0] + one.best[2]) / 2 / one.fair_at(one.at_us) - 1.0
        assert abs(drift) < 0.005


def test_funding_settles_every_eight_hours_at_the_rate_it_drifted_to() -> None:
    _, _, okx = two_venues()
    market = okx.symbols["ETH-USDT-SWAP"]
    told = derivatives.funding(market, T0_US)
    assert told.time_us % derivatives.FUNDING_INTERVAL_US == 0
    assert told.previous_time_us <= T0_US < told.time_us == told.next_time_us - derivatives.FUNDING_INTERVAL_US
    just_before, after = derivatives.funding(market, told.time_us - 1), derivatives.funding(market, told.time_us)
    assert just_before.rate == pytest.approx(after.previous_rate, abs=1e-9)
    assert after.previous_time_us == told.time_us


def test_liquidations_are_some_of_the_big_orders_of_contracts() -> None:
    _, spot, okx = two_venues()
    swap = okx.symbols["ETH-USDT-SWAP"]

    def sweep(first: int, levels: int) -> list[Trade]:
        return [Trade(first * 10 + i, 100 + i, 5, T0_US, False, first + i) for i in range(levels)]

    told = derivatives.Liquidations()
    found = [each for first in range(0, 4000, 10) if (each := told.note(swap, sweep(first, 3))) is not None]
    assert 20 <= len(found) <= 90
    assert (found[0].qty, found[0].average, found[0].is_sell) == (15, 101.0, False)
    assert all(told.note(swap, sweep(first, 2)) is None for first in range(100))
    assert all(told.note(spot.symbols["ETHUSDT"], sweep(first, 3)) is None for first in range(100))


@given(st.integers(0, 10**12))
def test_usdm_update_ids_grow_with_jumps(number: int) -> None:
    assert 0 < wire.update_id(number + 1) - wire.update_id(number) < 2 * wire.IDS_APART


def test_usdm_trade_ids_leave_room_between_aggregates_alone() -> None:
    class Kept(Deaf):
        def __init__(self) -> None:
            self.ids: list[int] = []
            self.aggs: list[tuple[int, int]] = []

        def on_trades(self, market: SymbolMarket, trades: list[Trade], aggs: list[Agg]) -> None:
            self.ids += [json.loads(data)["t"] for data in trade_frames(market, trades)]
            for agg in aggs:
                told = json.loads(wire.agg_trade(market, agg))
                assert told["l"] - told["f"] == agg.last - agg.first
                self.aggs.append((told["f"], told["l"]))

    market, kept = Market(["BTCUSDT"], 1, 200.0, T0_US, usdm_instrument, "usdm"), Kept()
    market.advance(T0_US + 60_000_000, kept)
    assert kept.ids == list(range(kept.ids[0], kept.ids[-1] + 1))
    jumps = [b[0] - a[1] for a, b in itertools.pairwise(kept.aggs)]
    assert set(jumps) == {1, 2}
    assert jumps.count(2) == pytest.approx(len(jumps) / wire.SPECIAL_EVERY, abs=1)
    one = market.symbols["BTCUSDT"]
    assert wire.id_at(one, one.trade_id) == kept.aggs[-1][1]
    assert wire.id_at(one, -1) == -1
