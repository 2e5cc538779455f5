"""Canonical instrument names: the same thing has the same name on every exchange, whatever its symbol there.

    spot            BTC-USDT
    perpetual       BTC-USDT-PERP            inverse: BTC-USD-PERP
    dated future    BTC-USDT-26DEC26         inverse: BTC-USD-26DEC26
    option          BTC-26DEC26-100000-C     settled in the quote currency: BTC-USDC-26DEC26-100000-C

The date is the UTC day of expiry, day of two digits (`05DEC26`).
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Literal

from marketdata.decimals import to_text, to_units

_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")  # whatever the locale
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def date_name(expiry_us: int) -> str:
    """`05DEC26`; raises OverflowError on a time beyond the calendar."""
    day = _EPOCH + timedelta(microseconds=expiry_us)
    return f"{day.day:02d}{_MONTHS[day.month - 1]}{day.year % 100:02d}"


def spot_name(base: str, quote: str) -> str:
    return f"{base}-{quote}"


def perp_name(base: str, quote: str) -> str:
    return f"{base}-{quote}-PERP"


def future_name(base: str, quote: str, expiry_us: int) -> str:
    return f"{base}-{quote}-{date_name(expiry_us)}"


def option_name(base: str, quote: str, expiry_us: int, strike: str, kind: Literal["call", "put"]) -> str:
    """`quote` is "" for options settled in the base coin; `strike` a plain decimal."""
    underlying = f"{base}-{quote}" if quote else base
    return f"{underlying}-{date_name(expiry_us)}-{to_text(*to_units(strike))}-{'C' if kind == 'call' else 'P'}"


def lower_ascii(symbol: str) -> str:
    """For venues that lower-case symbols in stream names. Only ASCII letters: it can be undone for any symbol."""
    return symbol.encode().lower().decode()


def upper_ascii(symbol: str) -> str:
    """What `lower_ascii` changed, undone."""
    return symbol.encode().upper().decode()
