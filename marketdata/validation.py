"""What can be true of one record, whatever came before it; and the reasons why one is rejected.

Bounds are wide: what they reject is wrong, not unusual. Decisions that compare with earlier records are made by
`marketdata.trade_flow`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from marketdata.decimals import is_zero, less, to_units
from marketdata.errors import BadData, ImplausibleValue
from marketdata.types import (
    AnyRecord,
    Bbo,
    Funding,
    Liquidation,
    LongShort,
    MarkPrice,
    OpenInterest,
    Ticker,
    Trade,
    VenueKline,
    Volatility,
)

REASONS: dict[str, str] = {
    "unparsable": "the frame is not of a shape we know, or its symbol is not its stream's",
    "implausible": "a value cannot be true: a price or quantity that is not positive, a candle whose high is below "
    "its low, a time outside any market's life",
    "crossed_quote": "the best bid is not below the best ask",
    "ahead_of_clock": "the record's time lies further ahead of the venue's clock than its rules allow",
    "too_old": "the record's time lies a day or more behind the venue's clock",
    "price_jump": "the price is off the last one by more than a factor of ten and the next trade did not confirm it",
    "late_untracked": "an old id of a gap that is no longer followed: it may have been published before",
    "overlapping_ids": "a merged trade covers ids published before and others that were not: it cannot be taken apart",
    "late_dropped": "a trade came after a candle it belongs to could be revised; the detail names the intervals",
    "unknown_venue": "the key names an exchange and market this version does not know",
    "unknown_channel": "the venue has no normaliser for the channel",
    "no_instrument": "the venue counts contracts and has not said yet how much one is",
    "unattributable": "ingest could not tell what the frame belongs to",
    "no_key": "the record has no key",
    "decimal_range": "a decimal has more than 20 digits before or 18 behind the point: no table can hold it exactly",
    "time_range": "a time lies outside what a table can hold",
    "integer_range": "a number needs more than 64 bits",
    "refused_by_store": "ClickHouse does not take the row; the detail is its own words",
    "internal": "our bug: the record could not be processed; the log has the traceback",
}
"""Codes of `DeadLetter.reason`, stable."""

TIME_MIN_US = 1_230_768_000_000_000
"""2009: before the first bitcoin nothing was traded."""
TIME_MAX_US = 4_102_444_800_000_000
"""2100."""
OPEN_AHEAD_MAX_US = 60_000_000
"""How far a venue's candle may begin after the venue says that it told us."""
AGE_MAX_US = 86_400_000_000
"""Older than the venue's clock by more than this: too old."""


def check_record(record: AnyRecord) -> None:
    """Raises BadData when the record's own values cannot be true."""
    check = _CHECKS.get(type(record))
    if check is not None:
        check(record)


def check_time(
    time_us: int, clock_us: int, max_ahead_us: int, record_id: str = "", age_max_us: int = AGE_MAX_US
) -> None:
    """Raises BadData when a time is impossible, or not near the venue's clock (0: not known, not checked)."""
    if not TIME_MIN_US < time_us < TIME_MAX_US:
        raise ImplausibleValue(f"time {time_us} us", record_id)
    if clock_us:
        if time_us > clock_us + max_ahead_us:
            raise BadData("ahead_of_clock", f"time {time_us} us, the venue's clock is at {clock_us}", record_id)
        if time_us < clock_us - age_max_us:
            raise BadData("too_old", f"time {time_us} us, the venue's clock is at {clock_us}", record_id)


def positive(name: str, text: str, record_id: str = "") -> None:
    """Raises ImplausibleValue unless the number is above zero."""
    if text[:1] == "-" or is_zero(text):
        raise ImplausibleValue(f"{name} {text}", record_id)


def not_negative(name: str, text: str, record_id: str = "") -> None:
    """Raises ImplausibleValue for a number below zero; "" (absent) passes."""
    if text[:1] == "-" and not is_zero(text):
        raise ImplausibleValue(f"{name} {text}", record_id)


def within(name: str, text: str, low: int, high: int, record_id: str = "") -> None:
    """Raises ImplausibleValue unless the number lies between the two, inclusive; "" (absent) passes."""
    if not text:
        return
    try:
        units, scale = to_units(text)
    except ValueError:
        raise ImplausibleValue(f"{name} {text!r} is no number", record_id) from None
    if not low * 10**scale <= units <= high * 10**scale:
        raise ImplausibleValue(f"{name} {text} is not between {low} and {high}", record_id)


def _check_trade(trade: Trade) -> None:
    positive("price", trade.price, trade.trade_id)
    positive("quantity", trade.quantity, trade.trade_id)


def _check_bbo(bbo: Bbo) -> None:
    not_negative("bid quantity", bbo.bid_quantity, bbo.update_id)
    not_negative("ask quantity", bbo.ask_quantity, bbo.update_id)
    if bbo.bid_price:
        positive("bid price", bbo.bid_price, bbo.update_id)
    if bbo.ask_price:
        positive("ask price", bbo.ask_price, bbo.update_id)
    if bbo.bid_price and bbo.ask_price and not less(bbo.bid_price, bbo.ask_price):
        raise BadData("crossed_quote", f"bid {bbo.bid_price}, ask {bbo.ask_price}", bbo.update_id)


def _check_venue_kline(kline: VenueKline) -> None:
    """What the venue does not say ("", -1) is not judged; all four prices may be missing where nothing was traded."""
    record_id = f"{kline.interval}:{kline.open_time}"
    prices = {name: getattr(kline, name) for name in ("open", "high", "low", "close")}
    if any(prices.values()) or not is_zero(kline.volume):
        for name, price in prices.items():
            positive(name, price, record_id)
        for name in ("open", "low", "close"):
            if less(kline.high, prices[name]):
                raise ImplausibleValue(f"high {kline.high} below {name} {prices[name]}", record_id)
        for name in ("open", "close"):
            if less(prices[name], kline.low):
                raise ImplausibleValue(f"low {kline.low} above {name} {prices[name]}", record_id)
    for name in ("volume", "quote_volume", "taker_buy_volume", "taker_buy_quote_volume", "raw_volume"):
        not_negative(name, getattr(kline, name), record_id)
    if kline.volume and kline.taker_buy_volume and less(kline.volume, kline.taker_buy_volume):
        raise ImplausibleValue(f"taker volume {kline.taker_buy_volume} above volume {kline.volume}", record_id)
    if kline.close_time < kline.open_time or kline.trade_count < -1:
        raise ImplausibleValue("it ends before it begins, or counts fewer than no trades", record_id)
    # One candle of the far future would make every later one look late for ever.
    newest_us = kline.event_time_us + OPEN_AHEAD_MAX_US if kline.event_time_us else TIME_MAX_US
    if not TIME_MIN_US < kline.open_time * 1000 < newest_us or kline.close_time * 1000 > TIME_MAX_US:
        raise ImplausibleValue(f"a candle of {kline.open_time} ms, told at {kline.event_time_us} us", record_id)


def _check_ticker(ticker: Ticker) -> None:
    not_negative("last price", ticker.last_price)
    for name in ("volume", "quote_volume", "bid_quantity", "ask_quantity"):
        not_negative(name, getattr(ticker, name))
    if ticker.high and ticker.low and less(ticker.high, ticker.low):
        raise ImplausibleValue(f"high {ticker.high} below low {ticker.low}")


def _check_mark_price(mark: MarkPrice) -> None:
    not_negative("mark price", mark.mark_price)  # zero: an option nobody expects to pay
    not_negative("index price", mark.index_price)
    not_negative("settle price", mark.settle_price)
    if not mark.mark_price:
        raise ImplausibleValue("no mark price")


def _check_funding(funding: Funding) -> None:
    """Either sign; the whole position in one period is beyond any venue's cap."""
    within("rate", funding.rate, -1, 1)
    within("next rate", funding.next_rate, -1, 1)
    if not funding.rate:
        raise ImplausibleValue("no rate")
    if funding.interval_ms < 0 or (funding.funding_time_us and not TIME_MIN_US < funding.funding_time_us < TIME_MAX_US):
        raise ImplausibleValue(f"interval {funding.interval_ms} ms, funding time {funding.funding_time_us} us")


def _check_open_interest(interest: OpenInterest) -> None:
    not_negative("open interest", interest.open_interest)
    not_negative("raw open interest", interest.raw_open_interest)
    not_negative("value", interest.value)


def _check_liquidation(liquidation: Liquidation) -> None:
    positive("price", liquidation.price, liquidation.liquidation_id)
    positive("quantity", liquidation.quantity, liquidation.liquidation_id)
    not_negative("average price", liquidation.average_price, liquidation.liquidation_id)


def _check_long_short(ratio: LongShort) -> None:
    record_id = f"{ratio.ratio_kind}:{ratio.period}"
    within("ratio", ratio.ratio, 0, 1_000_000_000, record_id)
    if not ratio.ratio:
        raise ImplausibleValue("no ratio", record_id)
    high = 1_000_000_000_000_000 if ratio.ratio_kind == "taker_volume" else 1
    within("long", ratio.long, 0, high, record_id)
    within("short", ratio.short, 0, high, record_id)


def _check_volatility(volatility: Volatility) -> None:
    within("volatility", volatility.value, 0, 100_000, volatility.index)
    if not volatility.value:
        raise ImplausibleValue("no value", volatility.index)


_CHECKS: dict[type, Callable[[Any], None]] = {
    Trade: _check_trade,
    Bbo: _check_bbo,
    VenueKline: _check_venue_kline,
    Ticker: _check_ticker,
    MarkPrice: _check_mark_price,
    Funding: _check_funding,
    OpenInterest: _check_open_interest,
    Liquidation: _check_liquidation,
    LongShort: _check_long_short,
    Volatility: _check_volatility,
}
