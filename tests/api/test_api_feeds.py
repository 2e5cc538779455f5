"""What is said of a symbol's channels: by their own stream, by the stream that brings them, or that there is none."""

from __future__ import annotations

import pytest

from api.feeds import POLLED, carrier_of, feeds
from marketdata.keys import Key
from marketdata.types import FeedStatus

NOW_MS = 1_700_000_005_000


def status(key: Key, channel: str, state: str = "connected") -> FeedStatus:
    return FeedStatus(
        exchange=key.exchange, market=key.market, symbol=key.symbol, recv_time_ns="1700000000000000000",
        channel=channel, state=state, reason="start", connection="c1",  # type: ignore[arg-type]  # given as text
    )  # fmt: skip


@pytest.mark.parametrize(
    ("key", "channel", "carrier"),
    [
        ("binance.spot.BTCUSDT", "trade", "trade"),
        ("binance.perp.BTCUSDT", "funding", "mark_price"),
        ("binance.perp.BTCUSDT", "open_interest", POLLED),
        ("binance.perp.BTCUSDT", "long_short", POLLED),
        ("okx.perp.BTC-USDT-SWAP", "open_interest", "open_interest"),
        ("okx.perp.BTC-USDT-SWAP", "long_short", POLLED),
        ("htx.perp.BTC-USDT", "funding", "funding"),
        ("htx.perp.BTC-USDT", "open_interest", POLLED),
        ("deribit.perp.BTC-PERPETUAL", "mark_price", "ticker"),
        ("deribit.perp.BTC-PERPETUAL", "liquidation", "trade"),
        ("nowhere.spot.BTCUSDT", "trade", "trade"),
        ("binance.spot.BTCUSDT", "no such channel", "no such channel"),
    ],
)
def test_what_brings_a_channel(key: str, channel: str, carrier: str) -> None:
    assert carrier_of(Key(*key.split(".", 2)), channel) == carrier


def test_a_channel_without_a_stream_is_no_unknown_one() -> None:
    key = Key("binance", "perp", "BTCUSDT")
    records = {c: status(key, c) for c in ("trade", "mark_price")}
    found = feeds(key, ("trade", "book", "mark_price", "funding", "open_interest"), records, NOW_MS)
    assert {f.channel: f.state for f in found} == {
        "trade": "connected", "book": "unknown", "mark_price": "connected", "funding": "connected",
        "open_interest": "polled",
    }  # fmt: skip
    assert {f.since_ms for f in found if f.state == "connected"} == {5_000}


def test_what_brings_a_channel_may_be_lost() -> None:
    key = Key("binance", "perp", "BTCUSDT")
    found = feeds(key, ("funding",), {"mark_price": status(key, "mark_price", "disconnected")}, NOW_MS)
    assert [(f.channel, f.state) for f in found] == [("funding", "disconnected"), ("mark_price", "disconnected")]


def test_a_reported_channel_is_shown_though_the_venue_has_none_such() -> None:
    key = Key("binance", "inverse", "BTCUSD_261225")  # a dated future: ratios are polled for the perpetual
    assert feeds(key, ("long_short",), {}, NOW_MS) == []
    reported = {"long_short": status(key, "long_short")}
    assert [f.state for f in feeds(key, ("long_short",), reported, NOW_MS)] == ["connected"]
