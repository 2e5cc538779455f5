"""Kafka keys: `exchange.market.symbol`, the identity of a stream everywhere."""

from __future__ import annotations

from typing import NamedTuple

from marketdata.errors import UnparsableFrame


class Key(NamedTuple):
    """Whose data a record is. `str()` gives the Kafka key's text; symbols may contain dots and non-ASCII letters."""

    exchange: str
    market: str
    symbol: str

    def __str__(self) -> str:
        return f"{self.exchange}.{self.market}.{self.symbol}"

    def encode(self) -> bytes:
        return str(self).encode()


def parse_key(key: bytes | str) -> Key:
    """The parts of a Kafka key. Raises UnparsableFrame when it has fewer than three, or is no text."""
    try:
        text = key.decode() if isinstance(key, bytes) else key
    except UnicodeDecodeError:
        raise UnparsableFrame(f"key {key!r} is not UTF-8") from None
    parts = text.split(".", 2)
    if len(parts) != 3 or not all(parts):
        raise UnparsableFrame(f"key {text!r} is not exchange.market.symbol")
    return Key(*parts)
