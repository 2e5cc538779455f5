"""Values that cannot be true, by record type."""

from __future__ import annotations

from typing import Any

import pytest

from marketdata.errors import BadData
from marketdata.types import Bbo, Ticker, VenueKline
from marketdata.validation import REASONS, check_record

WHOSE: dict[str, Any] = {"exchange": "x", "market": "spot", "symbol": "S"}


def bbo(bid: str, ask: str, bid_quantity: str = "1", ask_quantity: str = "1") -> Bbo:
    return Bbo(
        **WHOSE, update_id="7", bid_price=bid, bid_quantity=bid_quantity, ask_price=ask, ask_quantity=ask_quantity
    )


def kline(**over: Any) -> VenueKline:
    values: dict[str, Any] = {
        "interval": "1m", "open_time": 0, "close_time": 59_999, "open": "10", "high": "12", "low": "9", "close": "11",
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
