"""Contracts to base coin, and JSON numbers to decimals: exact, or rounded where the page says so."""

from __future__ import annotations

import json
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from marketdata.errors import BadData, UnparsableFrame
from marketdata.types import Instrument
from marketdata.units import INVERSE_PLACES, Units, units_of
from venues.json_numbers import levels, number

amounts = st.decimals(0, 10**12, places=4, allow_nan=False).map(lambda d: f"{d:f}")
prices = st.decimals("0.00001", 10**7, places=5, allow_nan=False).map(lambda d: f"{d:f}")
multipliers = st.sampled_from(["1", "0.01", "0.001", "10", "100", "1000000", "0.1"])


@pytest.mark.parametrize(
    ("multiplier", "inverse", "amount", "price", "base"),
    [
        ("0.01", False, "34.95", "63913.4", "0.3495"),  # OKX BTC-USDT-SWAP, okx.md section 6
        ("1", False, "34.9500", "63913.4", "34.9500"),  # base coin already: spelled as it came
        ("1.0", False, "34.9500", "1", "34.9500"),
        ("100", True, "3", "60000", "0.005"),
        ("1", True, "10", "30000", "0.000333333333"),
        ("1", True, "20", "30000", "0.000666666667"),
        ("100", True, "0", "", "0"),
        ("100", True, "", "", ""),
        ("0.01", False, "0", "5", "0"),
        ("0.01", False, "1e3", "5", None),
    ],
)
def test_base(multiplier: str, inverse: bool, amount: str, price: str, base: str | None) -> None:
    units = Units(multiplier, inverse)
    if base is None:
        with pytest.raises(ValueError, match="invalid literal"):
            units.base(amount, price)
    else:
        assert units.base(amount, price) == base


@given(amounts, multipliers)
def test_linear_is_exact(amount: str, multiplier: str) -> None:
    assert Decimal(Units(multiplier, False).base(amount, "1")) == Decimal(amount) * Decimal(multiplier)


@given(amounts, prices, multipliers)
def test_inverse_is_off_by_half_a_place_at_most(amount: str, price: str, multiplier: str) -> None:
    exact = Fraction(amount) * Fraction(multiplier) / Fraction(price)
    assert abs(Fraction(Units(multiplier, True).base(amount, price)) - exact) <= Fraction(1, 2 * 10**INVERSE_PLACES)


@given(st.lists(st.tuples(prices, amounts)), multipliers, st.booleans())
def test_levels_keep_price_and_zero(found: list[tuple[str, str]], multiplier: str, inverse: bool) -> None:
    units = Units(multiplier, inverse)
    converted = units.levels(found)
    assert [price for price, _ in converted] == [price for price, _ in found]
    for (price, amount), (_, quantity) in zip(found, converted, strict=True):
        assert Decimal(quantity) == Decimal(units.base(amount, price))
        if not Decimal(amount):
            assert not Decimal(quantity)


@given(st.lists(st.tuples(prices, st.one_of(amounts, st.integers(0, 10**9).map(str)))), multipliers, st.booleans())
def test_levels_are_converted_as_single_amounts_are(
    found: list[tuple[str, str]], multiplier: str, inverse: bool
) -> None:
    units = Units(multiplier, inverse)
    expected = [(price, Units(multiplier, inverse).base(amount, price)) for price, amount in found]
    assert [tuple(level) for level in units.levels(found)] == expected
    assert [tuple(level) for level in units.levels(found)] == expected, "and so again"


@pytest.mark.parametrize("level", [("0", "5"), ("-1", "5"), ("0.00", "0.1")])
def test_levels_at_no_price_are_refused(level: tuple[str, str]) -> None:
    with pytest.raises(BadData, match="inverse"):
        Units("10", True).levels([level])
    assert list(Units("10", True).levels([(level[0], "0")])) == [(level[0], "0")]


@pytest.mark.parametrize("price", ["0", "", "-1"])
def test_an_inverse_amount_without_price_is_refused(price: str) -> None:
    with pytest.raises(BadData, match="implausible"):
        Units("100", True).base("5", price)


def test_without_metadata_nothing_is_assumed() -> None:
    with pytest.raises(BadData, match="no_instrument"):
        units_of(None, "the trade")
    instrument = Instrument(
        exchange="okx", market="perp", symbol="X", base="X", quote="USDT", status="live", contract_multiplier="0.1"
    )
    assert units_of(instrument, "the trade").base("3", "1") == "0.3"


@pytest.mark.parametrize("inverse", [False, True])
@pytest.mark.parametrize("amount", ["x", "1.2.3", "1e5", "nan", ".", "1" * 5_000])
def test_a_level_of_no_size_is_bad_data(amount: str, inverse: bool) -> None:
    with pytest.raises(BadData, match="implausible: book level"):
        Units("10", inverse).levels([("99.5", amount)])


@pytest.mark.parametrize("price", ["x", "1.2.3", "1." + "1" * 300])
def test_a_level_at_no_price_is_bad_data(price: str) -> None:
    with pytest.raises(BadData, match="implausible: book level"):
        Units("10", True).levels([(price, "1")])


json_numbers = st.one_of(
    st.integers(0, 10**18).map(str),
    st.decimals(0, 10**9, places=8, allow_nan=False).map(lambda d: f"{d:f}"),
    st.tuples(st.integers(1, 9999), st.integers(-12, 12)).map(lambda t: f"{t[0]}e{t[1]}"),
    st.tuples(st.integers(1, 9), st.integers(0, 999), st.integers(-9, 9)).map(lambda t: f"{t[0]}.{t[1]}E{t[2]:+d}"),
)


@given(json_numbers)
def test_a_json_number_keeps_its_value_and_a_plain_one_its_digits(text: str) -> None:
    found = number(Raw(text.encode()))
    assert Decimal(found) == Decimal(text)
    assert "e" not in found.lower()
    if "e" not in text.lower():
        assert found == text


@given(st.lists(st.tuples(json_numbers, json_numbers)), st.sampled_from(["", " "]))
def test_levels_are_those_of_a_json_parser(pairs: list[tuple[str, str]], gap: str) -> None:
    text = "[" + f",{gap}".join(f"[{price},{gap}{size}]" for price, size in pairs) + "]"
    expected = json.loads(text, parse_float=Decimal, parse_int=Decimal)
    assert [[Decimal(p), Decimal(s)] for p, s in levels(Raw(text.encode()))] == expected


@pytest.mark.parametrize(("raw", "expected"), [(b"null", ""), (b"", ""), (b'""', ""), (b'"1.50"', "1.50")])
def test_absent_and_quoted_numbers(raw: bytes, expected: str) -> None:
    assert number(Raw(raw)) == expected


@pytest.mark.parametrize("raw", [b'" "', b'"x"', b"true", b"{}", b"[]", b'"', b'"\xff"'])
def test_what_is_no_number_is_refused(raw: bytes) -> None:
    with pytest.raises(UnparsableFrame):
        number(Raw(raw))


@pytest.mark.parametrize(
    "raw", [b'""', b'[["",1]]', b"[1,2]", b"[[1]]", b"[[1,2,3]]", b"[[1,null]]", b"[[1,true]]", b'[["x",1]]', b"{}"]
)
def test_what_is_no_list_of_levels_is_refused(raw: bytes) -> None:
    with pytest.raises(UnparsableFrame):
        levels(Raw(raw))


@pytest.mark.parametrize("raw", [b"null", b"", b"[]", b"[ ]"])
def test_no_levels(raw: bytes) -> None:
    assert levels(Raw(raw)) == []
