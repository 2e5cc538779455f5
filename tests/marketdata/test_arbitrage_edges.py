"""What the finder passes over without exact sums: nothing may depend on it."""

from __future__ import annotations

import itertools
import random
from decimal import Decimal

import msgspec
import pytest

from marketdata.arbitrage import Finder, Instrument, Quote, Terms, profit_of

KEYS = ("binance.spot.BTCUSDT", "kraken.spot.BTC/USD", "okx.perp.BTC-USDT-SWAP", "okx.spot.BTC-USDT")
FEES = {"binance": Decimal("0.0004"), "kraken.spot": Decimal("-0.0001"), "default": Decimal("0.0005")}
PRICES = ["99.9", "99.95", "99.99", "100", "100.00000001", "100.01", "100.05", "100.1", "100.2", ""]


def open_pairs(finder: Finder, terms: Terms) -> set[str]:
    """By exact sums over every pair."""
    found = set()
    for buy, sell in itertools.permutations(finder.state["X"].quotes if "X" in finder.state else (), 2):
        quotes = finder.state["X"].quotes
        profit = profit_of(quotes[buy], quotes[sell], finder._market(buy).fee, finder._market(sell).fee)
        if profit is not None and Decimal(profit.profit) > 0 and profit.bps >= terms.min_bps:
            found.add(f"{buy}|{sell}")
    return found


@pytest.mark.parametrize("min_bps", ["0", "2", "5.0001"])
@pytest.mark.parametrize("seed", range(5))
def test_no_opportunity_is_passed_over(seed: int, min_bps: str) -> None:
    rng = random.Random(seed)
    terms = Terms(FEES, Decimal(min_bps), 10**9, 0)
    finder = Finder(terms, {})
    seen = 0
    for at_ns in range(1, 600):
        key = rng.choice(KEYS)
        kind = rng.random()
        if kind < 0.9:
            finder.quote("X", key, Quote(at_ns, 1, rng.choice(PRICES), "1", rng.choice(PRICES), "1"))
        elif kind < 0.95:
            finder.leave(key, at_ns)
        elif "X" in finder.state and key in finder.state["X"].quotes:
            finder.expire("X", key, finder.state["X"].quotes[key].recv_ns)
        open_now = set(finder.state["X"].episodes) if "X" in finder.state else set()
        assert open_now == open_pairs(finder, terms)
        seen += len(open_now)
        if at_ns % 50 == 0:
            blob = msgspec.json.encode(finder.state)
            finder = Finder(terms, msgspec.json.decode(blob, type=dict[str, Instrument]))
    assert seen > 100


def test_exactly_the_least_profit_is_enough() -> None:
    """Where the float edges meet, exact sums decide."""
    finder = Finder(Terms({}, Decimal("10"), 10**9, 0), {})
    finder.quote("X", KEYS[0], Quote(1, 1, "99", "1", "100", "1"))
    assert [found.net_profit_bps for found in finder.quote("X", KEYS[1], Quote(2, 2, "100.1", "1", "200", "1"))] == [
        "10.0000"
    ]
    assert [found.action for found in finder.quote("X", KEYS[1], Quote(3, 3, "100.0999", "1", "200", "1"))] == ["close"]
