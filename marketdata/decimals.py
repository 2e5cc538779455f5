"""Exact decimals: text in, text out, integers in between. No binary floats, no precision to choose.

A number is an integer `units` and a `scale`: units / 10**scale.
"""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Final

from marketdata.errors import UnparsableFrame

TEXT_MAX: Final = 64
"""Longest number accepted: an exponent must not blow up into megabytes of zeros."""

_POWERS: Final[tuple[int, ...]] = tuple(10**n for n in range(2 * TEXT_MAX))


def plain(text: str) -> str:
    """`text` itself where it is a plain decimal, else the same number in plain notation (`1e-7` -> `0.0000001`).

    Raises UnparsableFrame for anything that is no finite number, or too long a one.
    """
    # the common cases, cheaper than the pattern: digits, one point, digits
    head, point, tail = text.partition(".")
    if (
        head.isdigit()
        and (tail.isdigit() or not point)
        and (head[0] != "0" or len(head) == 1)
        and text.isascii()
        and len(text) <= TEXT_MAX
    ):
        return text
    return _rewritten(text)


def plain_or_absent(text: str) -> str:
    """The same, but "" stays "": the venue did not say."""
    return plain(text) if text else ""


def _rewritten(text: str) -> str:
    try:
        number = Decimal(text)
    except InvalidOperation:
        raise UnparsableFrame(f"{text[:TEXT_MAX]!r} is not a number") from None
    if (
        not number.is_finite()
        or abs(number.adjusted()) > TEXT_MAX // 2
        or "_" in text
        or not text.isascii()
        or text != text.strip()
    ):
        raise UnparsableFrame(f"{text[:TEXT_MAX]!r} is not a number we accept")
    out = f"{number:f}"
    if len(out) > TEXT_MAX:
        raise UnparsableFrame(f"{text[:TEXT_MAX]!r} has too many digits")
    return out


def is_whole(text: str) -> bool:
    """True for the digits of a natural number, not too many of them: `int` reads it.

    >>> is_whole("1700000000000"), is_whole("1e3"), is_whole("²")
    (True, False, False)
    """
    return text.isascii() and text.isdigit() and len(text) <= TEXT_MAX


def to_units(text: str) -> tuple[int, int]:
    """(units, scale) of a plain decimal. Raises ValueError on other text.

    >>> to_units("0.0150")
    (150, 4)
    """
    head, point, tail = text.partition(".")
    return int(head + tail), len(tail) if point else 0


def rescale(units: int, scale: int, to_scale: int) -> int:
    """The same number in a finer scale."""
    return units * _POWERS[to_scale - scale]


def to_text(units: int, scale: int) -> str:
    """Plain notation without trailing zeros: one spelling for each number.

    >>> to_text(150, 4)
    '0.015'
    """
    if not units:
        return "0"
    sign = "-" if units < 0 else ""
    digits = str(abs(units))
    if scale <= 0:
        return sign + digits + "0" * -scale
    digits = digits.zfill(scale + 1)
    fraction = digits[-scale:].rstrip("0")
    return f"{sign}{digits[:-scale]}.{fraction}" if fraction else sign + digits[:-scale]


def subtract(a: str, b: str) -> str:
    """a - b, exactly."""
    return to_text(*difference(a, b))


def difference(a: str, b: str) -> tuple[int, int]:
    """(units, scale) of a - b."""
    (au, ascale), (bu, bscale) = to_units(a), to_units(b)
    scale = max(ascale, bscale)
    return rescale(au, ascale, scale) - rescale(bu, bscale, scale), scale


def same(a: str, b: str) -> bool:
    """True when both texts are the same number."""
    return a == b or difference(a, b)[0] == 0


def less(a: str, b: str) -> bool:
    """a < b, exactly."""
    if len(a) == len(b) and a.find(".") == b.find(".") and a[0] != "-" != b[0]:
        return a < b  # same shape: text order is number order
    return difference(a, b)[0] < 0


def is_zero(text: str) -> bool:
    return not text.strip("0.-")
