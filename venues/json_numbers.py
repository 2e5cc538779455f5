"""Exact decimals from venues that write prices and sizes as JSON numbers: the digits as they stand, never a float."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Raw

from marketdata.codec import UNDECODABLE
from marketdata.decimals import plain
from marketdata.errors import UnparsableFrame
from marketdata.types import Level

_pairs = msgspec.json.Decoder(list[tuple[str, str]]).decode
_EMPTY = (b"", b"null")
_NO_NUMBER = (*_EMPTY, b'""')
_SPACE = b" \t\r\n"
_PLAIN = b"0123456789.,[]"


def number(raw: Raw) -> str:
    """A JSON number (or a string holding one) in plain notation. "" for null, an empty string and what is absent.

    Raises UnparsableFrame on anything else.
    """
    text = bytes(raw)
    if text in _NO_NUMBER:
        return ""
    if text[:1] == b'"':
        text = text[1:-1]
    try:
        return plain(text.decode("ascii"))
    except UnicodeDecodeError:
        raise UnparsableFrame(f"{text[:40]!r} is not a number") from None


def levels(raw: Raw) -> list[Level]:
    """An array of [price, size] arrays of JSON numbers as levels in plain notation; [] for null and for what is absent.

    Raises UnparsableFrame.
    """
    text = bytes(raw).translate(None, _SPACE)
    if text in _EMPTY or text == b"[]":
        return []
    if text.translate(None, _PLAIN) or text[:2] != b"[[" or text[-2:] != b"]]":  # an exponent, a sign, a string
        return [_level(entry) for entry in _decode_any(text)]
    # [[1,2],[3,4]] -> [["1","2"],["3","4"]]
    quoted = b'[["' + text[2:-2].replace(b",", b'","').replace(b']","[', b'"],["') + b'"]]'
    try:
        return _pairs(quoted)
    except UNDECODABLE as exc:
        raise UnparsableFrame(f"not a list of levels: {exc}") from None


_raw_entries = msgspec.json.Decoder(list[list[Raw]]).decode


def _decode_any(text: bytes) -> list[list[Raw]]:
    try:
        return _raw_entries(text)
    except UNDECODABLE as exc:
        raise UnparsableFrame(f"not a list of levels: {exc}") from None


def _level(entry: list[Any]) -> Level:
    if len(entry) != 2:
        raise UnparsableFrame(f"a level of {len(entry)} values")
    price, size = number(entry[0]), number(entry[1])
    if not price or not size:
        raise UnparsableFrame("a level without price or size")
    return price, size
