"""Kinds of columns: what ClickHouse stores, what we send for it, and which values fit.

Values are sent in the cheapest form the server can turn into the stored type exactly (decimals and nanoseconds as the
strings they are, times as plain integers), through `INSERT ... SELECT <cast> FROM input(...)`. Whatever the server
would round, truncate or wrap without a word is refused here, with BadData: code `decimal_range`, `time_range` or
`integer_range`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain
from typing import Any

from marketdata.errors import BadData

Prepare = Callable[[list[Any]], list[Any]]
"""The values of one column as they are sent. Raises BadData when one of them does not fit."""

DECIMAL = "Decimal(38, 18)"
U64_END = 1 << 64
U64_DIGITS_MAX = 20
TIME_US_END = 10_413_792_000_000_000
"""2300-01-01: the end of DateTime64 at microseconds."""
TIME_NS_END = 1 << 63

_is_decimal = re.compile(r"-?[0-9]{1,20}(?:\.[0-9]{1,18})?").fullmatch
# One match over all values, a line each, costs less than half of a match per value (possessive: nothing to go back to).
_are_decimals = re.compile(r"(?:-?[0-9]{1,20}+(?:\.[0-9]{1,18}+)?+\n)*+").fullmatch
_are_optional_decimals = re.compile(r"(?:(?:-?[0-9]{1,20}+(?:\.[0-9]{1,18}+)?+)?+\n)*+").fullmatch
_is_plain_id = re.compile(r"[1-9][0-9]{0,18}").fullmatch
"""Below 10**19 every number fits 64 bits; the few ids between that and 2**64 are kept as text."""


@dataclass(frozen=True)
class Kind:
    stored: str
    """The column's type in the table."""
    sent: str
    """The type of what the client sends."""
    cast: str = "{}"
    """SQL from the sent value to the stored one; `{}`, or each `{0}`, is the column."""
    prepare: Prepare = list
    codec: str = ""


def _all_lines(match: Callable[[str], object], values: list[str]) -> bool:
    lines = "\n".join(values) + "\n" if values else ""
    return match(lines) is not None and lines.count("\n") == len(values)


def _decimals(values: list[str]) -> list[str]:
    if not _all_lines(_are_decimals, values):
        bad = next(v for v in values if not _is_decimal(v))
        raise BadData("decimal_range", f"{bad!r} is not a decimal of at most 20 digits before and 18 behind the point")
    return values


def _optional_decimals(values: list[str]) -> list[str]:
    if not _all_lines(_are_optional_decimals, values):
        _decimals([v for v in values if v])
    return values


def _prices(sides: list[list[tuple[str, str]]]) -> list[list[str]]:
    prices = [[price for price, _ in side] for side in sides]
    _decimals(list(chain.from_iterable(prices)))
    return prices


def _quantities(sides: list[list[tuple[str, str]]]) -> list[list[str]]:
    quantities = [[quantity for _, quantity in side] for side in sides]
    _decimals(list(chain.from_iterable(quantities)))
    return quantities


def _within(code: str, end: int, what: str) -> Prepare:
    def prepare(values: list[int]) -> list[int]:
        if values and not (min(values) >= 0 and max(values) < end):
            bad = next(v for v in values if not 0 <= v < end)
            raise BadData(code, f"{bad} is no {what}")
        return values

    return prepare


def _signed(values: list[int]) -> list[int]:
    if values and not (min(values) >= -(1 << 63) and max(values) < 1 << 63):
        raise BadData("integer_range", "a number beyond 64 bits")
    return values


def _nanoseconds(values: list[str]) -> list[int]:
    try:
        numbers = [int(v) if v else 0 for v in values]
    except ValueError as exc:
        raise BadData("time_range", f"not a time in nanoseconds: {exc}") from None
    return _ns_range(numbers)


def _u64_text(values: list[str]) -> list[int]:
    if not all(v.isascii() and v.isdigit() and len(v) <= U64_DIGITS_MAX for v in values):
        raise BadData("integer_range", "not a number of at most 64 bits")
    return _u64(list(map(int, values)))


def _id_numbers(values: list[str]) -> list[int]:
    if not any(values):
        return [0] * len(values)
    return [int(v) if _is_plain_id(v) else 0 for v in values]


def _id_texts(values: list[str]) -> list[str]:
    if not any(values) or all(map(_is_plain_id, values)):
        return [""] * len(values)
    return ["" if _is_plain_id(v) else v for v in values]


_ns_range = _within("time_range", TIME_NS_END, "time in nanoseconds that can be stored")
_u64 = _within("integer_range", U64_END, "number of at most 64 bits")

NAME = Kind("LowCardinality(String)", "LowCardinality(String)")
NAMES = Kind("Array(LowCardinality(String))", "Array(String)")
TEXT = Kind("String", "String", codec="ZSTD(1)")
TEXTS = Kind("Array(String)", "Array(String)", codec="ZSTD(1)")
FLAG = Kind("Bool", "Bool")
SIDE = Kind("Enum8('unknown' = 0, 'buy' = 1, 'sell' = 2)", "LowCardinality(String)", "toString({})")
COUNT = Kind("UInt64", "UInt64", prepare=_u64, codec="ZSTD(1)")
OPTIONAL_COUNT = Kind("Nullable(UInt64)", "Int64", "if({0} < 0, NULL, toUInt64({0}))", prepare=_signed, codec="ZSTD(1)")
"""A count the venue may leave out (-1 becomes NULL)."""
DIFFERENCE = Kind("Int64", "Int64", prepare=_signed, codec="ZSTD(1)")
PRICE = Kind(DECIMAL, "String", "toDecimal128({}, 18)", _decimals, "ZSTD(1)")
OPTIONAL = Kind(f"Nullable({DECIMAL})", "String", "toDecimal128OrNull({}, 18)", _optional_decimals, "ZSTD(1)")
"""A decimal the venue may leave out ("" becomes NULL)."""
LEVEL_PRICES = Kind(f"Array({DECIMAL})", "Array(String)", "arrayMap(x -> toDecimal128(x, 18), {})", _prices, "ZSTD(1)")
LEVEL_QUANTITIES = Kind(
    f"Array({DECIMAL})", "Array(String)", "arrayMap(x -> toDecimal128(x, 18), {})", _quantities, "ZSTD(1)"
)
TIME_MS = Kind(
    "DateTime64(3, 'UTC')",
    "DateTime64(3, 'UTC')",
    prepare=_within("time_range", TIME_US_END // 1000, "time in milliseconds that can be stored"),
    codec="Delta(8), ZSTD(1)",
)
TIME_US = Kind(
    "DateTime64(6, 'UTC')",
    "DateTime64(6, 'UTC')",
    prepare=_within("time_range", TIME_US_END, "time in microseconds that can be stored"),
    codec="Delta(8), ZSTD(1)",
)
TIME_NS = Kind(
    "DateTime64(9, 'UTC')",
    "Int64",
    "fromUnixTimestamp64Nano({}, 'UTC')",
    _nanoseconds,
    "Delta(8), ZSTD(1)",
)
ID = Kind("UInt64", "UInt64", prepare=_id_numbers, codec="DoubleDelta, ZSTD(1)")
"""A numeric id as a number; 0 where the id is no plain number below 10**19: then ID_TEXT has it."""
ID_TEXT = Kind("String", "String", prepare=_id_texts, codec="ZSTD(1)")
"""The id where ID cannot hold it, else ""."""
OFFSET_TEXT = Kind("UInt64", "UInt64", prepare=_u64_text, codec="Delta(8), ZSTD(1)")
PARTITION = Kind("UInt16", "UInt16", prepare=_within("integer_range", 1 << 16, "number of at most 16 bits"))
OFFSET = Kind("UInt64", "UInt64", codec="Delta(8), ZSTD(1)")
VERSION = Kind("UInt256", "UInt256", codec="ZSTD(1)")


def id_of(number: int, text: str) -> str:
    """The id as it stood in the record, from the two columns."""
    return text or (str(number) if number else "")
