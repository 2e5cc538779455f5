"""COIN-M's records in base coin. A contract is worth a fixed sum of the quote currency (BTC 100 USD, others 10 USD).

What the venue writes where others write base coin are contracts, and where others write the quote volume stands the
base volume. A recorded candle shows it: 191 contracts near 29,106 with a `q` of 0.65623556 are 191 x 100 / 0.65623556 =
29,105.40 apiece.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from marketdata.types import AnyRecord, Bbo, Liquidation, Ticker, Trade, VenueKline
from marketdata.units import Units, units_of
from venues.contract import Context, Normaliser, PassedId


def in_base(records: Sequence[AnyRecord | PassedId], ctx: Context) -> Sequence[AnyRecord | PassedId]:
    """Records as `normalise` reads them, with quantities in base coin and the venue's numbers kept beside.

    Raises BadData `no_instrument` when one counts contracts and the size of one is not known.
    """
    return [_converted(record, ctx) for record in records]


def counts_contracts(record: AnyRecord) -> bool:
    """Whether a record of this type holds quantities that the venue gives in contracts."""
    return type(record) in _CONVERSIONS


def _converted(record: Any, ctx: Context) -> Any:
    convert = _CONVERSIONS.get(type(record))
    return record if convert is None else convert(record, units_of(ctx.instrument, "a quantity"))


def worth(contracts: str, units: Units) -> str:
    """In quote currency, exactly."""
    return Units(units.multiplier, False).base(contracts, "")


def _trade(record: Trade, units: Units) -> Trade:
    return replace(record, quantity=units.base(record.quantity, record.price), raw_quantity=record.quantity)


def _bbo(record: Bbo, units: Units) -> Bbo:
    return replace(
        record,
        bid_quantity=units.base(record.bid_quantity, record.bid_price),
        ask_quantity=units.base(record.ask_quantity, record.ask_price),
        raw_bid_quantity=record.bid_quantity,
        raw_ask_quantity=record.ask_quantity,
    )


def _kline(record: VenueKline, units: Units) -> VenueKline:
    return replace(
        record,
        volume=record.quote_volume,
        quote_volume=worth(record.volume, units),
        taker_buy_volume=record.taker_buy_quote_volume,
        taker_buy_quote_volume=worth(record.taker_buy_volume, units),
        raw_volume=record.volume,
    )


def _ticker(record: Ticker, units: Units) -> Ticker:
    return replace(
        record,
        last_quantity=units.base(record.last_quantity, record.last_price),
        volume=record.quote_volume,
        quote_volume=worth(record.volume, units),
        raw_volume=record.volume,
        bid_quantity=units.base(record.bid_quantity, record.bid_price),
        ask_quantity=units.base(record.ask_quantity, record.ask_price),
    )


def _liquidation(record: Liquidation, units: Units) -> Liquidation:
    """At the price it was filled at, where it was."""
    price = record.average_price or record.price
    return replace(record, quantity=units.base(record.quantity, price), raw_quantity=record.quantity)


_CONVERSIONS: dict[type, Callable[[Any, Units], AnyRecord]] = {
    Trade: _trade,
    Bbo: _bbo,
    VenueKline: _kline,
    Ticker: _ticker,
    Liquidation: _liquidation,
}


def _converting(normalise: Normaliser) -> Normaliser:
    def converting(frame: bytes, ctx: Context) -> Sequence[AnyRecord | PassedId]:
        return in_base(normalise(frame, ctx), ctx)

    return converting


def converting_all(normalisers: Mapping[str, Normaliser]) -> dict[str, Normaliser]:
    """The same channels, in base coin."""
    return {channel: _converting(normalise) for channel, normalise in normalisers.items()}
