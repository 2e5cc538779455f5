"""Values that cannot be true, by record type."""

from __future__ import annotations

from typing import Any

import pytest

from marketdata.errors import BadData
from marketdata.types import (
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
from marketdata.validation import OPEN_AHEAD_MAX_US, REASONS, check_record

OPEN_MS = 1_700_000_040_000
WHOSE: dict[str, Any] = {"exchange": "x", "market": "spot", "symbol": "S"}


def bbo(bid: str, ask: str, bid_quantity: str = "1", ask_quantity: str = "1") -> Bbo:
    return Bbo(
        **WHOSE, update_id="7", bid_price=bid, bid_quantity=bid_quantity, ask_price=ask, ask_quantity=ask_quantity
    )


def kline(**over: Any) -> VenueKline:
    values: dict[str, Any] = {
        "interval": "1m", "open_time": OPEN_MS, "close_time": OPEN_MS + 59_999,
        "open": "10", "high": "12", "low": "9", "close": "11",
        "volume": "5", "quote_volume": "50", "trade_count": 3, "taker_buy_volume": "2", "taker_buy_quote_volume": "20",
        "is_closed": True,
    }  # fmt: skip
    return VenueKline(**WHOSE, **{**values, **over})


GOOD = [
    bbo("99.9", "100"),
    bbo("", "100", bid_quantity=""),
    bbo("99", "", ask_quantity=""),
    bbo("9.99", "10.00", "0", "0"),
    kline(),
    kline(event_time_us=OPEN_MS * 1000 - OPEN_AHEAD_MAX_US + 1),
    kline(open="9", high="9", low="9", close="9", volume="0", taker_buy_volume="0", trade_count=0),
    Ticker(**WHOSE, last_price="5", high="6", low="4"),
    Ticker(**WHOSE, last_price="5"),
]
BAD = [
    (bbo("100", "100"), "crossed_quote"),
    (bbo("100", "99.99"), "crossed_quote"),
    (bbo("100.0", "20"), "crossed_quote"),
    (bbo("-1", "100"), "implausible"),
    (bbo("0.00", "100"), "implausible"),
    (bbo("99", "100", ask_quantity="-1"), "implausible"),
    (kline(high="10.5"), "implausible"),
    (kline(low="10.5"), "implausible"),
    (kline(volume="-1"), "implausible"),
    (kline(taker_buy_volume="6"), "implausible"),
    (kline(close_time=-1), "implausible"),
    (kline(open="0"), "implausible"),
    (kline(open_time=-60_000, close_time=-1), "implausible"),
    (kline(open_time=OPEN_MS * 1000, close_time=OPEN_MS * 1000 + 59_999), "implausible"),
    (kline(close_time=OPEN_MS * 1000), "implausible"),
    (kline(event_time_us=OPEN_MS * 1000 - OPEN_AHEAD_MAX_US), "implausible"),
    (Ticker(**WHOSE, last_price="5", high="3", low="4"), "implausible"),
    (Ticker(**WHOSE, last_price="5", volume="-3"), "implausible"),
]


@pytest.mark.parametrize("record", GOOD)
def test_good(record: Any) -> None:
    check_record(record)


@pytest.mark.parametrize(("record", "code"), BAD)
def test_bad(record: Any, code: str) -> None:
    with pytest.raises(BadData) as caught:
        check_record(record)
    assert caught.value.code == code
    assert code in REASONS


def funding(**over: Any) -> Funding:
    return Funding(**WHOSE, **{"rate": "0.0001", "funding_time_us": 1_700_000_000_000_000, **over})


def long_short(**over: Any) -> LongShort:
    return LongShort(**WHOSE, **{"ratio_kind": "global_account", "period": "5m", "ratio": "1.5", **over})


UNTOLD = {"trade_count": -1, "quote_volume": "", "taker_buy_volume": "", "taker_buy_quote_volume": ""}


@pytest.mark.parametrize(
    "record",
    [
        kline(**UNTOLD),
        kline(**UNTOLD, volume=""),
        kline(**UNTOLD, volume="0"),
        kline(**UNTOLD, volume="0", open="", high="", low="", close=""),
        Ticker(**WHOSE, last_price=""),
        MarkPrice(**WHOSE, mark_price="0"),
        MarkPrice(**WHOSE, mark_price="0.0005", index_price="60000"),
        funding(rate="-0.0075", next_rate="-0.001"),
        funding(rate="0", funding_time_us=0),
        OpenInterest(**WHOSE, open_interest="0"),
        Liquidation(**WHOSE, side="sell", price="0.0005", quantity="0.1"),
        long_short(long="0.6", short="0.4"),
        long_short(ratio_kind="taker_volume", long="1000", short="666"),
        long_short(ratio="0"),
        Volatility(**WHOSE, index="btc_usd", value="45.17"),
    ],
)
def test_what_is_only_unusual_passes(record: Any) -> None:
    check_record(record)


@pytest.mark.parametrize(
    "record",
    [
        kline(trade_count=-2),
        kline(open="", high="", low="", close=""),
        kline(raw_volume="-1"),
        MarkPrice(**WHOSE, mark_price=""),
        MarkPrice(**WHOSE, mark_price="-1"),
        funding(rate="1.5"),
        funding(rate="NaN"),
        funding(rate=""),
        funding(next_rate="-2"),
        funding(funding_time_us=5),
        funding(interval_ms=-1),
        OpenInterest(**WHOSE, open_interest="-1"),
        OpenInterest(**WHOSE, open_interest="1", value="-1"),
        Liquidation(**WHOSE, side="sell", price="0", quantity="0.1"),
        Liquidation(**WHOSE, side="sell", price="1", quantity="0"),
        long_short(ratio="-1"),
        long_short(ratio=""),
        long_short(long="60", short="40"),
        Volatility(**WHOSE, index="btc_usd", value="-1"),
        Volatility(**WHOSE, index="btc_usd", value="Infinity"),
    ],
)
def test_what_cannot_be_is_rejected(record: Any) -> None:
    with pytest.raises(BadData) as caught:
        check_record(record)
    assert caught.value.code == "implausible"
