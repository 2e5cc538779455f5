"""Exact arithmetic on the venue's numbers: halves, products, and the many decimals of coin-margined amounts; times."""

from __future__ import annotations

from msgspec import Raw

from marketdata.decimals import is_whole, to_text, to_units
from marketdata.errors import UnparsableFrame
from marketdata.units import INVERSE_PLACES
from venues.json_numbers import number

RATIO_PLACES = 12
"""Decimals of a quotient of two shares; the venue gives shares with fewer."""


def half(text: str) -> str:
    """One side of a number that counts both, exactly; "" stays ""."""
    if not text:
        return text
    units, scale = to_units(text)
    return to_text(units * 5, scale + 1)


def product(a: str, b: str) -> str:
    """a x b, exactly; "" where either is."""
    if not a or not b:
        return ""
    (a_units, a_scale), (b_units, b_scale) = to_units(a), to_units(b)
    return to_text(a_units * b_units, a_scale + b_scale)


def coin_amount(text: str) -> str:
    """A sum of contracts / price, which the venue writes with up to 37 decimals, at `INVERSE_PLACES` of them.

    Rounded half to even, as our own conversion does (`marketdata.units`).
    """
    if not text:
        return text
    units, scale = to_units(text)
    if scale <= INVERSE_PLACES:
        return text
    return to_text(_divide_half_even(units, 10 ** (scale - INVERSE_PLACES)), INVERSE_PLACES)


def ratio(a: str, b: str) -> str:
    """a / b at `RATIO_PLACES` decimals; "" where b is zero or either is absent."""
    if not a or not b:
        return ""
    (a_units, a_scale), (b_units, b_scale) = to_units(a), to_units(b)
    if not b_units:
        return ""
    return to_text(_divide_half_even(a_units * 10 ** (RATIO_PLACES + b_scale), b_units * 10**a_scale), RATIO_PLACES)


def required(raw: Raw, what: str) -> str:
    """A number that must be there. Raises UnparsableFrame."""
    text = number(raw)
    if not text:
        raise UnparsableFrame(f"{what} is missing")
    return text


def milliseconds(text: str | None) -> int:
    """A time that is written as text. Raises UnparsableFrame."""
    if text is None or not is_whole(text):
        raise UnparsableFrame(f"{(text or '')[:40]!r} is no time in milliseconds")
    return int(text)


def quote_side(price: Raw, quantity: Raw) -> tuple[str, str]:
    """("", "") for an empty side: null, absent, or a price of zero."""
    text = number(price)
    if not text.strip("0."):
        return "", ""
    return text, required(quantity, "the quantity of a quote")


def _divide_half_even(numerator: int, denominator: int) -> int:
    """`denominator` above zero."""
    quotient, rest = divmod(numerator, denominator)
    twice = 2 * rest
    return quotient + 1 if twice > denominator or (twice == denominator and quotient & 1) else quotient
