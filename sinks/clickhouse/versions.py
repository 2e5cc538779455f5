"""What makes one version of a record newer than another: a number made of its content, the highest is the valid one."""

from __future__ import annotations

from marketdata import types
from sinks.clickhouse import kinds as k

ID_DIGITS_MAX = 40
"""2**128 has 39."""


def candle_version(candle: types.Kline | types.VenueKline) -> int:
    """(is_closed, revision, last_trade_id, trade_count, event_time_us) as one number that orders alike.

    The count comes after the id because a back-filled trade raises it while the last id stays. A candle of an exchange
    that gives no time has our receive time instead.
    """
    last = _number(candle.last_trade_id)
    revision = candle.revision if isinstance(candle, types.Kline) else 0
    time_us = candle.event_time_us
    if not time_us and isinstance(candle, types.VenueKline):
        time_us = received_ns(candle) // 1000
    version = int(candle.is_closed)
    for value, width in ((revision, 31), (last, 128), (candle.trade_count, 32), (time_us, 63)):
        version = version << width | _bits(value, width)
    return version


def residual_version(residual: types.KlineResidual) -> int:
    """(revision, event_time_us) as one number that orders alike."""
    return _bits(residual.revision, 64) << 64 | _bits(residual.event_time_us, 64)


def received_ns(record: types.Record) -> int:
    """For records that have but a receive time to order by. Raises BadData, as the column of that time does."""
    (number,) = k.TIME_NS.prepare([record.recv_time_ns])
    return int(number)


def _bits(value: int, width: int) -> int:
    return min(max(value, 0), (1 << width) - 1)


def _number(text: str) -> int:
    """0 for what is no number. One too long for any column is the highest there is: Python reads but 4300 digits."""
    if not (text.isascii() and text.isdigit()):
        return 0
    return int(text) if len(text) <= ID_DIGITS_MAX else 10**ID_DIGITS_MAX
