"""OKX instruments from the entries of `/api/v5/public/instruments`."""

from __future__ import annotations

from typing import Literal

import msgspec

from marketdata.codec import UNDECODABLE
from marketdata.decimals import is_whole, plain, to_text, to_units
from marketdata.errors import UnparsableFrame
from marketdata.types import Instrument
from venues.contract import Context
from venues.names import future_name, option_name, perp_name, spot_name
from venues.okx import messages as m
from venues.okx.symbols import OkxMarket, market_of

_decode = msgspec.json.Decoder(m.InstrumentMsg).decode


def parse_instrument(body: bytes, ctx: Context) -> Instrument:
    """What an instrument is; its market is the one its id is spelled like, which must be the context's where that
    names a symbol. Raises BadData.

    Streams count contracts of `ctVal` x `ctMult` (`ctValCcy`: base coin, or USD of inverse ones), so that product is
    the multiplier; both may change, and with it the meaning of all sizes. `expTime` of spot and perpetuals announces
    a delisting: it is no expiry.
    """
    try:
        msg = _decode(body)
    except UNDECODABLE as exc:
        raise UnparsableFrame(f"not an instrument of OKX: {exc}") from None
    if ctx.symbol and msg.instId != ctx.symbol:
        raise UnparsableFrame(f"the entry of {ctx.symbol} says {msg.instId!r}")
    market = market_of(msg.instId)
    base, quote = msg.instId.split("-", 2)[:2]
    inverse = msg.ctType == "inverse"
    dated = market in ("future", "option")
    expiry_us = _milliseconds(msg, "expTime") * 1000 if dated else 0
    return Instrument(
        exchange=ctx.exchange,
        market=market,
        symbol=msg.instId,
        instrument=_name(market, base, quote, expiry_us, msg),
        recv_time_ns=ctx.recv_time_ns,
        base=base,
        quote=quote.partition("_")[0],
        settle=msg.settleCcy or quote,
        status=msg.state,
        tick_size=_size(msg.tickSz),
        lot_size=_size(msg.lotSz),
        min_quantity=_size(msg.minSz),
        contract_multiplier="1" if market == "spot" else _multiplier(msg, base, quote, inverse),
        inverse=inverse,
        contract_size=plain(msg.ctVal) if msg.ctVal else "",
        expiry_us=expiry_us,
        strike=plain(msg.stk) if market == "option" else "",
        option_kind=_option_kind(msg) if market == "option" else "",
    )


def _name(market: OkxMarket, base: str, quote: str, expiry_us: int, msg: m.InstrumentMsg) -> str:
    """A linear contract quoted in USD (`BTC-USD_UM-SWAP`) keeps the venue's suffix: the inverse one is another."""
    if market == "spot":
        return spot_name(base, quote)
    if market == "perp":
        return perp_name(base, quote)
    if market == "future":
        return future_name(base, quote, expiry_us)
    settled_in_base = msg.settleCcy == base
    return option_name(base, "" if settled_in_base else quote, expiry_us, plain(msg.stk), _option_kind(msg))


def _option_kind(msg: m.InstrumentMsg) -> Literal["call", "put"]:
    if msg.optType not in ("C", "P"):
        raise UnparsableFrame(f"option {msg.instId} of type {msg.optType[:40]!r}")
    return "call" if msg.optType == "C" else "put"


def _multiplier(msg: m.InstrumentMsg, base: str, quote: str, inverse: bool) -> str:
    """Raises UnparsableFrame where the contract's value is not in the currency that its kind counts in."""
    currency = quote.partition("_")[0] if inverse else base
    if msg.ctValCcy != currency:
        raise UnparsableFrame(f"a contract of {msg.instId} is worth {msg.ctVal} {msg.ctValCcy!r}, not {currency}")
    (value, value_scale), (times, times_scale) = to_units(plain(msg.ctVal)), to_units(plain(msg.ctMult))
    if value <= 0 or times <= 0:
        raise UnparsableFrame(f"a contract of {msg.instId} is worth {msg.ctVal} x {msg.ctMult}")
    return to_text(value * times, value_scale + times_scale)


def _milliseconds(msg: m.InstrumentMsg, name: str) -> int:
    text = getattr(msg, name)
    if not is_whole(text):
        raise UnparsableFrame(f"{name} {text[:40]!r} of {msg.instId} is no time")
    return int(text)


def _size(value: str) -> str:
    """Empty where there is no rule."""
    return plain(value) if value.strip("0.") else ""
