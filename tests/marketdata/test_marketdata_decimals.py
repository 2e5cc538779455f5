"""Exact decimals: every operation agrees with `decimal.Decimal`."""

from __future__ import annotations

from decimal import Decimal, localcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from marketdata.decimals import difference, is_zero, less, plain, rescale, same, subtract, to_text, to_units
from marketdata.errors import UnparsableFrame

plain_text = st.from_regex(r"\A-?[0-9]{1,20}(\.[0-9]{1,20})?\Z")


@pytest.mark.parametrize(
    ("given_text", "expected"),
    [
        ("0.00100000", "0.00100000"),
        ("42", "42"),
        ("-1.5", "-1.5"),
        ("1e-7", "0.0000001"),
        ("1.5E+3", "1500"),
        (".5", "0.5"),
        ("1.", "1"),
        ("007.50", "7.50"),
        ("-0.5", "-0.5"),
    ],
)
def test_plain(given_text: str, expected: str) -> None:
    assert plain(given_text) == expected


@pytest.mark.parametrize(
    "text", ["", "abc", "NaN", "Infinity", "-inf", "1e999999", "1_000", " 1", "1 ", "٣", "²", "9" * 65, "0x10"]
)
def test_what_is_no_number_is_refused(text: str) -> None:
    with pytest.raises(UnparsableFrame):
        plain(text)


@given(plain_text)
def test_text_and_back(text: str) -> None:
    units, scale = to_units(text)
    assert Decimal(to_text(units, scale)) == Decimal(text)
    assert to_text(*to_units(to_text(units, scale))) == to_text(units, scale), "one spelling for each number"
    assert to_text(rescale(units, scale, scale + 5), scale + 5) == to_text(units, scale)


@given(plain_text, plain_text)
def test_comparisons(a: str, b: str) -> None:
    with localcontext() as ctx:
        ctx.prec = 60
        x, y = Decimal(a), Decimal(b)
        assert less(a, b) == (x < y)
        assert same(a, b) == (x == y)
        assert Decimal(subtract(a, b)) == x - y
        assert (difference(a, b)[0] == 0) == (x == y)
        assert is_zero(a) == (x == 0)
