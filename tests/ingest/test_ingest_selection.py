from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from ingest.control import WITHDRAWN, Subscription
from ingest.desired import Desired
from ingest.selection import Listed, select, top, turnovers
from runtime.config import Config
from runtime.config.ingest import Select

LISTED = [Listed("BTC-USDT", "USDT"), Listed("ETH-USDT", "USDT"), Listed("BTC-EUR", "EUR"), Listed("DOGE-USDT", "USDT")]
TURNOVER = turnovers([("BTC-USDT", "900"), ("ETH-USDT", "500.5"), ("BTC-EUR", "700"), ("DOGE-USDT", "x"), ("Y", "NaN")])


@pytest.mark.parametrize(
    ("rules", "symbols"),
    [
        ([{"symbols": ["X"]}], ["X"]),  # what is named is wanted, listed or not
        ([{"patterns": ["BTC-*", "DOGE-*"]}], ["BTC-EUR", "BTC-USDT", "DOGE-USDT"]),
        ([{"quotes": ["usdt"]}], ["BTC-USDT", "DOGE-USDT", "ETH-USDT"]),
        ([{"quotes": ["USDT"], "patterns": ["BTC-*"]}], ["BTC-USDT"]),
        ([{"top": 2}], ["BTC-EUR", "BTC-USDT"]),
        ([{"top": 1, "quotes": ["USDT"]}, {"symbols": ["X"]}], ["BTC-USDT", "X"]),
        ([{"top": 9}], ["BTC-EUR", "BTC-USDT", "DOGE-USDT", "ETH-USDT"]),
        ([{"patterns": ["SOL-*"]}], []),
    ],
)
def test_rules(rules: list[dict[str, object]], symbols: list[str]) -> None:
    chosen = select([Select.model_validate(r) for r in rules], ["trade"], LISTED, TURNOVER, set())
    assert sorted(chosen) == symbols
    assert set(chosen.values()) <= {("trade",)}


def test_channels_of_a_rule_and_of_several() -> None:
    rules = [Select(quotes=["EUR"], channels=["book"]), Select(patterns=["*"]), Select(symbols=["X"], channels=[])]
    chosen = select(rules, ["trade"], LISTED, TURNOVER, set())
    assert chosen["BTC-EUR"] == ("book", "trade")
    assert chosen["ETH-USDT"] == ("trade",)
    assert chosen["X"] == ()


def test_a_rule_must_say_something() -> None:
    with pytest.raises(ValidationError, match="a rule needs"):
        Select(channels=["trade"])


RANKS = st.lists(st.integers(1, 10**6), min_size=1, max_size=60, unique=True)


@given(RANKS, st.integers(1, 60), st.data())
def test_a_top_is_full_and_its_edge_is_soft(values: list[int], count: int, draw: st.DataObject) -> None:
    turnover = {f"S{n}": Decimal(v) for n, v in enumerate(values)}
    before = set(draw.draw(st.lists(st.sampled_from(sorted(turnover)), max_size=count)))
    chosen = top(turnover, count, turnover, before)
    assert len(chosen) == len(set(chosen)) == min(count, len(turnover))
    ranked = sorted(turnover, key=lambda s: -turnover[s])
    edge = max(1, int(count * 0.1))
    assert set(ranked[: max(0, count - edge)]) <= set(chosen)
    assert set(chosen) <= set(ranked[: count + edge])
    assert set(top(turnover, count, turnover, set(chosen))) == set(chosen)  # at rest


def test_symbols_at_the_edge_do_not_flap() -> None:
    symbols = [f"S{n:02d}" for n in range(30)]
    turnover = {s: Decimal(1000 - n) for n, s in enumerate(symbols)}
    first = set(top(symbols, 20, turnover, set()))
    swapped = {**turnover, "S19": turnover["S20"], "S20": turnover["S19"]}
    assert set(top(symbols, 20, swapped, first)) == first
    gone = {**turnover, "S19": Decimal(1)}
    assert set(top(symbols, 20, gone, first)) == (first - {"S19"}) | {"S20"}
    risen = {**turnover, "S25": Decimal(10_000)}
    assert set(top(symbols, 20, risen, first)) == (first - {"S19"}) | {"S25"}


MARKET = {"ws_url": "ws://x", "rest_url": "http://x", "symbols": ["A"], "channels": ["trade"]}
CONFIG = Config.model_validate(
    {"exchanges": {"toy": {"perp": {**MARKET, "select": [{"top": 2, "channels": ["book"]}]}}}}
)
NAME = ("toy", "perp")
NAMED = Config.model_validate(
    {"exchanges": {"toy": {"perp": {**MARKET, "select": [{"top": 2}, {"symbols": ["N", "A"]}]}}}}
)


def ours(*channels: str) -> Subscription:
    return Subscription(list(channels), "config")


def test_what_is_selected_is_wanted_and_what_leaves_is_withdrawn() -> None:
    desired = Desired(CONFIG, lambda _: True)
    assert desired.seeds() == {"toy.perp.A": ours("trade")}
    desired.select(NAME, {"A": ("book",), "B": ("book",)})
    assert desired.wanted() == {"toy.perp.A": ours("trade", "book"), "toy.perp.B": ours("book")}
    desired.held.update(desired.seeds())
    assert desired.seeds() == {}
    desired.select(NAME, {"C": ("book",)})
    assert desired.seeds() == {"toy.perp.A": ours("trade"), "toy.perp.B": WITHDRAWN, "toy.perp.C": ours("book")}


def test_what_others_decided_wins_over_a_selection() -> None:
    desired = Desired(CONFIG, lambda _: True)
    desired.held["toy.perp.B"] = Subscription([])
    desired.held["toy.perp.C"] = None
    desired.select(NAME, {"B": ("book",), "C": ("book",), "D": ("book",)})
    assert desired.seeds() == {"toy.perp.A": ours("trade"), "toy.perp.D": ours("book")}
    assert desired.decided() == {"toy.perp.B": Subscription([]), "toy.perp.C": None}


def test_symbols_that_a_rule_names_need_no_answer_of_the_venue() -> None:
    assert Desired(NAMED, lambda _: True).wanted() == {"toy.perp.A": ours("trade"), "toy.perp.N": ours("trade")}


def test_an_earlier_selection_stays_until_the_venue_answers() -> None:
    desired = Desired(CONFIG, lambda _: True)
    desired.held.update({"toy.perp.B": ours("book"), "toy.perp.A": ours("trade"), "toy.spot.Z": ours("book")})
    assert desired.seeds() == {"toy.spot.Z": WITHDRAWN}
    assert desired.before(NAME) == {"B"}
    desired.select(NAME, {"C": ("book",)})
    assert desired.before(NAME) == {"C"}
    assert desired.seeds() == {"toy.perp.B": WITHDRAWN, "toy.perp.C": ours("book"), "toy.spot.Z": WITHDRAWN}
