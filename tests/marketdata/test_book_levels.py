"""The level store against a naive model: a dict of Decimals."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marketdata.book import WINDOW, LevelBook
from marketdata.errors import ImplausibleValue

Levels = Sequence[tuple[str, str]]


class Model:
    """Both sides as {price: (spelling, quantity)}, sorted only when asked."""

    def __init__(self) -> None:
        self.bids: dict[Decimal, tuple[str, str]] = {}
        self.asks: dict[Decimal, tuple[str, str]] = {}

    def apply(self, bids: Levels, asks: Levels) -> None:
        for side, levels in ((self.bids, bids), (self.asks, asks)):
            for price, quantity in levels:
                if Decimal(quantity) == 0:
                    side.pop(Decimal(price), None)
                else:
                    side[Decimal(price)] = (price, quantity)

    def best(self, levels: int) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
        bids = [self.bids[p] for p in sorted(self.bids, reverse=True)]
        asks = [self.asks[p] for p in sorted(self.asks)]
        return (bids[:levels], asks[:levels]) if levels else (bids, asks)


def view(book: LevelBook, levels: int) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    return book.bids.levels(levels), book.asks.levels(levels)


def spell(value: int, decimals: int, extra_zeros: int) -> str:
    """value / 10**decimals in plain notation, with zeros behind it."""
    digits = str(value).rjust(decimals + 1, "0")
    whole, fraction = (digits[:-decimals], digits[-decimals:]) if decimals else (digits, "")
    fraction += "0" * extra_zeros
    return f"{whole}.{fraction}" if fraction else whole


near_prices = st.builds(spell, st.integers(1, 400), st.just(2), st.integers(0, 6))
wild_prices = st.builds(
    spell,
    st.one_of(st.integers(1, 10**12), st.integers(10**15, 10**15 + 50), st.integers(1, 10**30)),
    st.integers(0, 18),
    st.integers(0, 3),
)
quantities = st.one_of(
    st.sampled_from(["0", "0.0", "0.00000000", "00.0"]),
    st.builds(spell, st.integers(1, 10**9), st.integers(0, 18), st.integers(0, 2)),
)


def batches(prices: st.SearchStrategy[str]) -> st.SearchStrategy[list[tuple[Levels, Levels]]]:
    levels = st.lists(st.tuples(prices, quantities), max_size=50)
    return st.lists(st.tuples(levels, levels), max_size=6)


def check_against_model(updates: list[tuple[Levels, Levels]], window: int = WINDOW) -> None:
    book, model = LevelBook(window=window), Model()
    for bids, asks in updates:
        book.apply(bids, asks)
        model.apply(bids, asks)
        for levels in (1, 20, 0):
            assert view(book, levels) == model.best(levels)
        best_bid, best_ask = model.best(1)
        crossed = bool(best_bid and best_ask and Decimal(best_bid[0][0]) >= Decimal(best_ask[0][0]))
        assert book.crossed() == crossed
        restored = LevelBook.load(book.dump())
        assert view(restored, 0) == view(book, 0)
        assert (restored.bids.edge_price, restored.asks.edge_price) == (book.bids.edge_price, book.asks.edge_price)


@given(batches(near_prices), st.sampled_from([1, 5, WINDOW, 400]))
@settings(max_examples=60, deadline=None)
def test_follows_the_model_where_prices_are_dense(updates: list[tuple[Levels, Levels]], window: int) -> None:
    check_against_model(updates, window)


@given(batches(wild_prices))
@settings(max_examples=60, deadline=None)
def test_follows_the_model_at_any_magnitude_and_precision(updates: list[tuple[Levels, Levels]]) -> None:
    check_against_model(updates)


@given(batches(near_prices), st.integers(1, 10**6))
@settings(max_examples=30, deadline=None)
def test_a_long_price_in_a_full_book_keeps_every_level(updates: list[tuple[Levels, Levels]], tail: int) -> None:
    """The switch from float to integer keys, in the middle of a book's life."""
    long_price = f"1.{tail:018d}"
    check_against_model([*updates, ([(long_price, "1")], [(long_price, "2")]), *updates])


def test_prices_that_floats_cannot_tell_apart_are_two_levels() -> None:
    book = LevelBook()
    a, b = "100000000.123456781", "100000000.123456782"
    assert float(a) == float(b)
    book.apply([(a, "1"), (b, "2")], [])
    assert book.bids.levels(0) == [(b, "2"), (a, "1")]


def test_two_spellings_of_a_price_are_one_level() -> None:
    book = LevelBook()
    book.apply([("1.0", "5")], [])
    book.apply([("1.00", "7")], [])
    assert book.bids.levels(0) == [("1.00", "7")]
    book.apply([("1", "0.000")], [])
    assert book.bids.levels(0) == []


@pytest.mark.parametrize(
    "level", [("-1", "1"), ("0", "1"), ("1", "-1"), ("nan", "1"), ("1", "nan"), ("x", "1"), ("1", ""), ("1", "inf")]
)
def test_refuses_a_level_that_cannot_be_and_stays_as_it_was(level: tuple[str, str]) -> None:
    book = LevelBook()
    book.apply([("1", "1")], [("2", "1")])
    before = view(book, 0)
    with pytest.raises(ImplausibleValue):
        book.apply([("1.5", "3")], [("3", "1"), level])
    assert view(book, 0) == before


def snapshot(levels: int) -> tuple[Levels, Levels]:
    return (
        [(str(10_000 - i), "1") for i in range(levels)],
        [(str(10_001 + i), "1") for i in range(levels)],
    )


def test_a_full_snapshot_is_known_to_its_edge() -> None:
    book = LevelBook()
    book.replace(*snapshot(100), limit=100)
    assert (book.bids.edge_price, book.asks.edge_price) == ("9901", "10100")
    assert book.known(100)
    book.apply([("9000", "1")], [])  # below the edge: real, but what lies between is not known
    assert book.known(100)
    assert not book.known(101)


def test_a_side_with_fewer_levels_than_asked_for_is_complete() -> None:
    book = LevelBook()
    bids, asks = snapshot(100)
    book.replace(bids, asks[:30], limit=100)
    assert (book.bids.edge_price, book.asks.edge_price) == ("9901", "inf")
    book.replace(bids[:30], asks)  # limit not known: the longer side shows it
    assert (book.bids.edge_price, book.asks.edge_price) == ("0", "10100")
    book.replace([], [])
    assert (book.bids.edge_price, book.asks.edge_price) == ("0", "inf")
    assert book.problem() == ""


def test_a_book_whose_known_levels_are_used_up_says_so() -> None:
    book = LevelBook()
    book.replace([("10", "1"), ("9", "1")], [("11", "1"), ("12", "1")], limit=2)
    book.apply([("10", "0"), ("5", "1")], [])
    assert book.problem() == ""
    book.apply([("9", "0")], [])
    assert book.problem().startswith("range: the best bid")
    book.apply([("5", "0")], [])
    assert book.problem().startswith("range: the best bid")


def test_a_crossed_book_says_so() -> None:
    book = LevelBook()
    book.replace([("10", "1")], [("11", "1")], limit=2)
    book.apply([("11.0", "1")], [])
    assert book.problem() == "crossed: bid 11.0 at or above ask 11"


def test_the_cap_drops_the_worst_levels_and_moves_the_known_edge() -> None:
    book = LevelBook(levels_max=200)
    bids, asks = snapshot(150)
    book.replace(bids, asks, limit=1000)
    assert book.bids.edge_price == "0"
    book.apply([(str(9_850 - i), "1") for i in range(100)], [])
    assert len(book.bids) == 200
    assert book.bids.levels(0)[-1] == ("9801", "1")
    assert book.bids.edge_price == "9801"
    assert book.asks.edge_price == "inf"


@given(st.lists(st.integers(1, 2000), min_size=1, max_size=200), st.integers(100, 150))
@settings(max_examples=30, deadline=None)
def test_a_capped_book_is_right_within_its_known_range(prices: list[int], cap: int) -> None:
    book, model = LevelBook(cap), Model()
    bids = [(str(p), "1") for p in range(1, 500)]
    book.replace(bids, [], limit=1000)
    model.apply(bids, [])
    for i, price in enumerate(prices):
        update = [(str(price), "0" if price % 3 == 0 else "2")]
        book.apply(update, [])
        model.apply(update, [])
        if i % 7 == 0:
            restored = LevelBook.load(book.dump(), cap)
            assert view(restored, 0) == view(book, 0)
            assert restored.bids.edge_price == book.bids.edge_price
            book = restored
        known = [level for level in book.bids.levels(0) if Decimal(level[0]) >= Decimal(book.bids.edge_price)]
        assert known == [level for level in model.best(0)[0] if Decimal(level[0]) >= Decimal(book.bids.edge_price)]
        assert len(book.bids) <= cap + cap // 8


def test_the_window_survives_being_emptied_from_the_top() -> None:
    book, model = LevelBook(), Model()
    bids, asks = snapshot(10 * WINDOW)
    book.replace(bids, asks, limit=1000)
    model.apply(bids, asks)
    for price, _ in asks:
        book.apply([], [(price, "0.000")])
        model.apply([], [(price, "0")])
        assert view(book, 20) == model.best(20)


@settings(max_examples=200)
@given(
    frames=st.lists(st.lists(st.tuples(st.integers(1, 60), st.integers(0, 3)), max_size=8), min_size=1, max_size=25),
    depth=st.sampled_from([1, 3, 10, 45]),
    window=st.sampled_from([2, 40]),
)
def test_a_book_kept_at_a_depth_holds_the_best_levels_and_knows_how_far(
    frames: list[list[tuple[int, int]]], depth: int, window: int
) -> None:
    book = LevelBook(100, window)
    book.replace([], [], depth)
    naive: dict[int, int] = {}
    for frame in frames:
        asks = [(str(price), str(size)) for price, size in frame]
        book.apply([], asks)
        book.keep_best(depth)
        for price, size in frame:
            naive[price] = size
            if not size:
                del naive[price]
        assert book.take_trimmed() == max(len(naive) - depth, 0)
        naive = dict(sorted(naive.items())[:depth])
        assert book.asks.levels(0) == [(str(p), str(s)) for p, s in naive.items()]
        assert book.asks.edge_price == (str(max(naive)) if len(naive) == depth else "inf")
        assert book.asks.known(depth)
