"""What tells one market-data record from the others of its kind, so that the same one received twice is published once.

A record comes twice by connections that overlap, by a reply that says again what the last one said, by a restart. Its
identity is made of what the venue says, never of our receive time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple
from zlib import crc32

from marketdata.types import (
    AnyRecord,
    Bbo,
    Funding,
    Liquidation,
    LongShort,
    MarkPrice,
    OpenInterest,
    Ticker,
    VenueKline,
    Volatility,
)


class Identified(NamedTuple):
    """A record's place among those of its key and channel."""

    series: str
    """Identities are compared within a series: one record type, and what divides it further."""
    record_id: int | str | None
    """A number that grows with time, or a text; None where nothing tells a repeat."""
    time_us: int
    """The record's own time, 0 where it has none."""


def identity(record: AnyRecord) -> Identified:
    """The record's identity. Two liquidations of one millisecond are two unless all that is said of them is equal."""
    make = _IDENTITIES.get(type(record))
    if make is None:
        return Identified(type(record).__name__, None, getattr(record, "event_time_us", 0))
    return make(record)


def _bbo(r: Bbo) -> Identified:
    if r.update_id.isdigit():
        return Identified("bbo", int(r.update_id), r.event_time_us)
    quote = f"{r.update_id}:{r.bid_price}:{r.bid_quantity}:{r.ask_price}:{r.ask_quantity}"
    if r.event_time_us or not r.update_id:
        return Identified("bbo", _by_time_and_content(r.event_time_us, quote), r.event_time_us)
    return Identified("bbo", quote, r.event_time_us)


def _venue_kline(r: VenueKline) -> Identified:
    """All of it: a venue may send two candles, or two states of one, with one time or none."""
    prices = f"{r.open}:{r.high}:{r.low}:{r.close}"
    content = f"{r.open_time}:{r.is_closed:d}:{prices}:{r.volume}:{r.quote_volume}:{r.trade_count}"
    record_id = _by_time_and_content(r.event_time_us, content) or content
    return Identified(f"kline:{r.interval}", record_id, r.event_time_us)


def _by_time(series: str) -> Callable[[Any], Identified]:
    def make(record: Any) -> Identified:
        return Identified(series, record.event_time_us or None, record.event_time_us)

    return make


def _funding(r: Funding) -> Identified:
    """A settled rate is the only one of its funding time; an estimate is told by when it was made."""
    if r.settled:
        return Identified("funding:settled", r.funding_time_us or None, r.event_time_us)
    estimate = f"{r.event_time_us}:{r.funding_time_us}"
    return Identified("funding", estimate if r.event_time_us else f"{estimate}:{r.rate}:{r.next_rate}", r.event_time_us)


def _liquidation(r: Liquidation) -> Identified:
    content = f"{r.event_time_us}:{r.liquidation_id}:{r.side}:{r.price}:{r.quantity}:{r.average_price}"
    return Identified("liquidation", content, r.event_time_us)


def _open_interest(r: OpenInterest) -> Identified:
    content = f"{r.open_interest}:{r.raw_open_interest}:{r.value}"
    return Identified("open_interest", _by_time_and_content(r.event_time_us, content), r.event_time_us)


def _long_short(r: LongShort) -> Identified:
    """A period may be told before it is over, and again with its last values."""
    record_id = _by_time_and_content(r.event_time_us, f"{r.ratio}:{r.long}:{r.short}")
    return Identified(f"long_short:{r.ratio_kind}:{r.period}", record_id, r.event_time_us)


def _by_time_and_content(time_us: int, content: str) -> int | None:
    """A number that grows with time and differs where the content does."""
    return time_us << 32 | crc32(content.encode()) if time_us else None


def _volatility(r: Volatility) -> Identified:
    return Identified(f"volatility:{r.index}", r.event_time_us or None, r.event_time_us)


_IDENTITIES: dict[type, Callable[[Any], Identified]] = {
    Bbo: _bbo,
    VenueKline: _venue_kline,
    Ticker: _by_time("ticker"),
    MarkPrice: _by_time("mark_price"),
    Funding: _funding,
    OpenInterest: _open_interest,
    Liquidation: _liquidation,
    LongShort: _long_short,
    Volatility: _volatility,
}
