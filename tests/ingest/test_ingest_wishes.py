from __future__ import annotations

import pytest

from ingest.wishes import Wishes
from marketdata.errors import ConfigError
from tests.ingest.ingest_toy import toy_venue
from venues import find_venue

SHARED = "liquidation:*"


Moves = tuple[list[str], list[str], list[tuple[str, str]], list[tuple[str, str]]]
"""Streams to add and to remove, symbols that join a stream and that leave one."""


class Bench:
    def __init__(self, *units: str) -> None:
        self.wishes = Wishes(toy_venue(unit_channels=units))
        self.known: set[str] = set()

    def change(self, **channels: list[str]) -> Moves:
        for symbol, names in channels.items():
            self.wishes.set(symbol, names)
        return self.settle(*channels)

    def settle(self, *symbols: str) -> Moves:
        change = self.wishes.settle(symbols, self.known.__contains__)
        return [s.name for s in change.fresh], [s.name for s in change.gone], change.joins, change.parts

    def polls(self) -> dict[str, list[str]]:
        found = self.wishes.polls(self.known.__contains__)
        return {path: sorted(wish.symbols) for (_, path), wish in found.items()}


def test_another_spelling_of_a_symbol_cannot_take_its_streams() -> None:
    wishes = Wishes(find_venue("binance", "spot"))
    wishes.set("BTCUSDT", ["trade", "book"])
    with pytest.raises(ConfigError, match="btcusdt@trade is that of BTCUSDT already"):
        wishes.set("btcusdt", ["ticker", "trade"])
    wishes.set("btcusdt", [])
    change = wishes.settle(["BTCUSDT", "btcusdt"], lambda _: True)
    assert [(s.name, s.symbol) for s in change.fresh] == [
        ("btcusdt@trade", "BTCUSDT"), ("btcusdt@depth@100ms", "BTCUSDT"),
    ]  # fmt: skip
    assert change.gone == []
    wishes.set("BTCUSDT", ["book"])
    wishes.set("btcusdt", ["trade"])  # nobody's any more
    assert list(wishes.channels) == ["BTCUSDT", "btcusdt"]


def test_streams_come_and_go_with_their_channels() -> None:
    b = Bench()
    assert b.change(A=["trade", "book"]) == (["trade:A", "book:A"], [], [], [])
    assert b.change(A=["book", "ticker"], B=["trade"]) == (["ticker:A", "trade:B"], ["trade:A"], [], [])
    assert b.change(A=[], B=["trade"]) == ([], ["book:A", "ticker:A"], [], [])
    assert list(b.wishes.channels) == ["B"]


def test_two_channels_of_one_stream() -> None:
    b = Bench()
    assert b.change(A=["mark_price", "funding"]) == (["ticker:A"], [], [], [])
    assert b.change(A=["mark_price", "ticker"]) == ([], [], [], [])
    assert b.change(A=["funding"]) == ([], [], [], [])
    assert b.change(A=[]) == ([], ["ticker:A"], [], [])
    assert b.wishes.set("A", ["mark_price", "funding", "open_interest"]) == {"ticker", "open_interest"}


def test_one_subscription_is_shared() -> None:
    b = Bench()
    assert b.change(A=["liquidation"], B=["liquidation"]) == ([SHARED], [], [(SHARED, "B")], [])
    assert list(b.wishes.sharers[SHARED]) == ["A", "B"]
    assert b.change(A=[]) == ([], [], [], [(SHARED, "A")])
    assert b.change(C=["liquidation"], B=[]) == ([], [], [(SHARED, "C")], [(SHARED, "B")])
    assert b.change(C=[]) == ([], [SHARED], [], [])
    assert b.wishes.sharers == {}


def test_what_counts_contracts_waits_for_metadata() -> None:
    b = Bench("trade", "liquidation", "open_interest")
    assert b.change(A=["trade", "bbo", "liquidation", "open_interest", "long_short"]) == (["bbo:A"], [], [], [])
    assert b.wishes.held == {"A"}
    assert b.polls() == {"/ratio?s=A": ["A"]}
    assert b.settle("A") == ([], [], [], [])
    b.known.add("A")
    assert b.settle("A") == (["trade:A", SHARED], [], [], [])
    assert b.wishes.held == set()
    assert b.polls() == {"/ratio?s=A": ["A"], "/oi": ["A"]}


def test_a_symbol_that_waits_only_for_a_poll_is_held_too() -> None:
    b = Bench("open_interest")
    b.change(A=["open_interest"])
    assert b.wishes.held == {"A"}
    b.change(A=[])
    assert b.wishes.held == set()


def test_one_reply_serves_many_symbols() -> None:
    b = Bench()
    b.change(A=["open_interest"], B=["open_interest", "long_short"], C=["trade"])
    assert b.polls() == {"/oi": ["A", "B"], "/ratio?s=B": ["B"]}


def test_an_unknown_channel_changes_nothing() -> None:
    b = Bench()
    b.change(A=["trade"])
    with pytest.raises(ConfigError):
        b.wishes.set("A", ["trade", "weather"])
    assert b.wishes.channels == {"A": ("trade",)}
