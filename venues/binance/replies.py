"""REST replies about every symbol, cut by symbol. One broken row must not cost the others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import msgspec
from msgspec import Raw

from marketdata.codec import UNDECODABLE
from marketdata.decimals import plain, to_text, to_units
from marketdata.errors import UnparsableFrame
from venues.binance import messages as m
from venues.contract import RestPool

T = TypeVar("T")

COUNTS = range(1, 1 << 53)
"""What a limit may be; none allows nothing at all."""
INTERVALS_S = {"SECOND": 1.0, "MINUTE": 60.0, "HOUR": 3600.0, "DAY": 86_400.0}

_exchange_info = msgspec.json.Decoder(m.ExchangeInfo).decode
_rate_limits = msgspec.json.Decoder(m.RateLimits).decode
_rows = msgspec.json.Decoder(list[Raw]).decode
_symbol_name = msgspec.json.Decoder(m.SymbolName).decode
_ticker = msgspec.json.Decoder(m.RestTicker).decode


def instruments(body: bytes) -> list[tuple[str, bytes]]:
    """(symbol, its entry byte for byte) of `exchangeInfo`. Raises UnparsableFrame where not one can be read."""
    try:
        entries = _exchange_info(body).symbols
    except UNDECODABLE as exc:
        raise UnparsableFrame(f"not an exchangeInfo reply of Binance: {exc}") from None
    return _readable(entries, lambda entry: (_symbol_name(entry).symbol, bytes(entry)))


def request_weight(body: bytes) -> dict[str, RestPool]:
    """The weight that `rateLimits` of `exchangeInfo` allow an address, of the pool ""; the strictest if there are
    several. Nothing where they do not say."""
    try:
        told = _rate_limits(body).rateLimits
    except UNDECODABLE:
        return {}
    pools = [
        RestPool(limit.limit, limit.intervalNum * INTERVALS_S[limit.interval])
        for limit in told or ()
        if limit.rateLimitType == "REQUEST_WEIGHT"
        and limit.interval in INTERVALS_S
        and limit.limit in COUNTS
        and limit.intervalNum in COUNTS
    ]
    return {"": min(pools, key=lambda pool: pool.weight / pool.window_s)} if pools else {}


def turnovers(body: bytes) -> list[tuple[str, str]]:
    """(symbol, its turnover in quote currency) of `ticker/24hr` without a symbol. Raises UnparsableFrame where not one
    can be read."""
    try:
        rows = _rows(body)
    except UNDECODABLE as exc:
        raise UnparsableFrame(f"not the 24 h tickers of Binance: {exc}") from None
    return _readable(rows, _turnover)


def _turnover(row: Raw) -> tuple[str, str]:
    """COIN-M tells base coin only; times the average price of the day that is its worth."""
    msg = _ticker(row)
    if msg.quoteVolume:
        return msg.symbol, plain(msg.quoteVolume)
    (base, base_scale), (price, price_scale) = (
        to_units(plain(text or "")) for text in (msg.baseVolume, msg.weightedAvgPrice or msg.lastPrice)
    )
    return msg.symbol, to_text(base * price, base_scale + price_scale)


def _readable(rows: Sequence[Raw], read: Callable[[Raw], T]) -> list[T]:
    found: list[T] = []
    broken: Exception | None = None
    for row in rows:
        try:
            found.append(read(row))
        except (*UNDECODABLE, UnparsableFrame) as exc:
            broken = exc
    if broken is not None and not found:
        raise UnparsableFrame(f"none of {len(rows)} rows of Binance can be read, the last because: {broken}")
    return found
