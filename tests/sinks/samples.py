"""One plain record of every kind that is stored, for tests of the sinks."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from marketdata import types as t

WHOSE: dict[str, Any] = {
    "exchange": "binance",
    "market": "spot",
    "symbol": "BTCUSDT",
    "instrument": "BTC-USDT",
    "recv_time_ns": "1767225600123456789",
}
MINUTE_MS = 1_767_225_600_000
"""2026-01-01 00:00 UTC."""
AT_US = MINUTE_MS * 1000


def trade(number: int = 1, **over: Any) -> t.Trade:
    fields = {
        "trade_id": str(number), "price": "87012.34000000", "quantity": "0.00120000", "side": "buy",
        "trade_time_us": AT_US + number, "event_time_us": AT_US + number + 500,
    }  # fmt: skip
    return t.Trade(**{**WHOSE, **fields, **over})


def bbo(number: int = 1, **over: Any) -> t.Bbo:
    fields = {
        "update_id": str(number), "bid_price": "87012.33", "bid_quantity": "1.5", "ask_price": "87012.34",
        "ask_quantity": "0.25",
    }  # fmt: skip
    return t.Bbo(**{**WHOSE, **fields, **over})


def ticker(number: int = 1, **over: Any) -> t.Ticker:
    return t.Ticker(**{**WHOSE, "last_price": "87012.34", "event_time_us": AT_US + number * 1_000_000, **over})


def book(number: int = 1, **over: Any) -> t.Book:
    fields = {"state": "ok", "update_id": str(number), "bids": [("87012.33", "1.5")], "asks": [("87012.34", "0.25")]}
    return t.Book(**{**WHOSE, **fields, **over})


def book_snapshot(number: int = 1, **over: Any) -> t.BookSnapshot:
    fields = {
        "state": "ok", "update_id": str(number), "bids": [("87012.33", "1.5"), ("87012.32", "2")],
        "asks": [("87012.34", "0.25")], "bid_known_to": "80000", "ask_known_to": "inf",
    }  # fmt: skip
    return t.BookSnapshot(**{**WHOSE, **fields, **over})


def book_delta(number: int = 1, **over: Any) -> t.BookDelta:
    fields = {
        "first_update_id": str(number), "last_update_id": str(number), "bids": [("87012.33", "0")],
        "asks": [("87012.35", "3")], "flags": ["bridged"], "event_time_us": AT_US,
    }  # fmt: skip
    return t.BookDelta(**{**WHOSE, **fields, **over})


def _candle(minute: int) -> dict[str, Any]:
    return {
        "interval": "1m", "open_time": MINUTE_MS + minute * 60_000, "close_time": MINUTE_MS + minute * 60_000 + 59_999,
        "open": "1", "high": "3", "low": "0.5", "close": "2", "volume": "10", "quote_volume": "20", "trade_count": 4,
        "taker_buy_volume": "4", "taker_buy_quote_volume": "8", "first_trade_id": "1", "last_trade_id": "4",
        "is_closed": True,
    }  # fmt: skip


def kline(minute: int = 0, **over: Any) -> t.Kline:
    return t.Kline(**{**WHOSE, **_candle(minute), "status": "final", "complete": True, **over})


def venue_kline(minute: int = 0, **over: Any) -> t.VenueKline:
    return t.VenueKline(**{**WHOSE, **_candle(minute), **over})


def residual(minute: int = 0, **over: Any) -> t.KlineResidual:
    at = MINUTE_MS + minute * 60_000
    fields = {
        "interval": "1m", "open_time": at, "close_time": at + 59_999, "revision": 0, "matched": True,
        "ours_complete": True,
    }  # fmt: skip
    return t.KlineResidual(**{**WHOSE, **fields, **over})


def gap(**over: Any) -> t.Gap:
    fields = {
        "gap_id": "trade:5-9", "channel": "trade", "first_missing_id": "5", "last_missing_id": "9", "missing_count": 5,
        "from_time_us": AT_US, "to_time_us": AT_US + 10, "reason": "id_skip",
    }  # fmt: skip
    return t.Gap(**{**WHOSE, **fields, **over})


def feed_status(**over: Any) -> t.FeedStatus:
    return t.FeedStatus(**{**WHOSE, "channel": "trade", "state": "connected", "connection": "ingest-0-1-1", **over})


def heartbeat(**over: Any) -> t.Heartbeat:
    return t.Heartbeat(**{**WHOSE, "event_time_us": AT_US, "connection": "ingest-0-1-1", **over})


def dead_letter(**over: Any) -> t.DeadLetter:
    fields = {
        "reason": "implausible", "detail": "negative price", "channel": "trade", "raw_topic": "raw.trade",
        "raw_partition": 1, "raw_offset": "42", "payload": '{"p":"-1"}',
    }  # fmt: skip
    return t.DeadLetter(**{**WHOSE, **fields, **over})


def arbitrage(number: int = 0, **over: Any) -> t.Arbitrage:
    fields = {
        "instrument": "BTC-USDT", "episode_id": "BTC-USDT:binance.spot.BTCUSDT:kraken.spot.BTC/USDT:1",
        "sequence": number, "action": "update" if number else "open", "buy_exchange": "binance", "buy_market": "spot",
        "buy_symbol": "BTCUSDT", "buy_price": "87012.34", "sell_exchange": "kraken", "sell_market": "spot",
        "sell_symbol": "BTC/USDT", "sell_price": "87412.5", "quantity": "0.25", "net_profit": "12.5",
        "net_profit_bps": "5.7461", "opened_time_us": AT_US, "event_time_us": AT_US + number,
        "recv_time_ns": "1767225600123456789",
    }  # fmt: skip
    return t.Arbitrage(**{**fields, **over})


def contracts() -> list[tuple[str, Any]]:
    """Records as venues of derivatives make them: own units beside, values left out, odd values that are true."""
    at: dict[str, Any] = {"event_time_us": AT_US + 1}
    whose = {**WHOSE, "exchange": "okx", "market": "future"}
    untold = dict.fromkeys(("quote_volume", "taker_buy_volume", "taker_buy_quote_volume", "first_trade_id"), "")
    inverse = {"multiplier": "100", "inverse": True}
    return [
        ("md.trade", trade(3, raw_quantity="1", venue_trade_id="ETH-123", liquidation=True, off_book=True)),
        ("md.book_delta", book_delta(9, **inverse)),
        ("md.book_snapshot", book_snapshot(9, **inverse)),
        ("md.bbo", bbo(9, raw_bid_quantity="150", raw_ask_quantity="25")),
        ("md.bbo", bbo(10, bid_price="", bid_quantity="")),
        ("md.kline", kline(5, proof="connection")),
        ("md.venue_kline", venue_kline(5, **untold, last_trade_id="", trade_count=-1, volume="", raw_volume="7")),
        ("md.ticker", ticker(9, last_price="", raw_volume="77")),
        ("md.instrument", t.Instrument(
            **{**whose, "symbol": "BTC-USD-260327"}, base="BTC", quote="USD", settle="BTC", status="live",
            tick_size="0.1", tick_steps=[("100", "0.5"), ("1000", "1")], lot_size="1", contract_multiplier="100",
            inverse=True, contract_size="100", expiry_us=AT_US, **at,
        )),
        ("md.mark_price", t.MarkPrice(**whose, mark_price="0", index_price="87000", **at)),
        ("md.funding", t.Funding(**whose, rate="-0.000081", funding_time_us=AT_US, settled=True, **at)),
        ("md.funding", t.Funding(**whose, rate="0", next_rate="", funding_time_us=AT_US, interval_ms=28_800_000, **at)),
        ("md.open_interest", t.OpenInterest(**whose, open_interest="0", raw_open_interest="0", value="0", **at)),
        ("md.liquidation", t.Liquidation(
            **whose, side="buy", price="1.5", quantity="2", average_price="1.4", raw_quantity="200",
            liquidation_id="7", **at,
        )),
        ("md.long_short", t.LongShort(
            **whose, ratio_kind="taker_volume", period="1h", ratio="0.5", long="1", short="2", **at
        )),
        ("md.volatility", t.Volatility(**{**whose, "symbol": "BTC_USD"}, index="btc_usd", value="45.17", **at)),
        ("md.arbitrage", arbitrage(1)),
        ("md.arbitrage", arbitrage(2, action="close", reason="gone", net_profit="-0.5", event_time_us=0)),
    ]  # fmt: skip


def every_kind() -> list[tuple[str, Any]]:
    """(topic without prefix, record), one for each table."""
    at: dict[str, Any] = {"event_time_us": AT_US}
    return [
        ("md.trade", trade()),
        ("md.trade", trade(2, aggregated=True, first_trade_id="7", last_trade_id="9", raw_quantity="3", side="sell")),
        ("md.book_delta", book_delta()),
        ("md.book_snapshot", book_snapshot()),
        ("md.bbo", bbo()),
        ("md.kline", kline()),
        ("md.venue_kline", venue_kline()),
        ("md.kline_residual", residual(volume_diff="-0.5", trade_count_diff=-2, fields=["volume", "trade_count"])),
        ("md.ticker", ticker()),
        ("md.gap", gap()),
        ("md.feed_status", feed_status()),
        ("md.dead_letter", dead_letter()),
        ("md.instrument", t.Instrument(**WHOSE, base="BTC", quote="USDT", status="TRADING", tick_size="0.01", **at)),
        ("md.mark_price", t.MarkPrice(**WHOSE, mark_price="87000.5", **at)),
        ("md.funding", t.Funding(**WHOSE, rate="-0.0001", funding_time_us=AT_US, **at)),
        ("md.open_interest", t.OpenInterest(**WHOSE, open_interest="1234.5", **at)),
        ("md.liquidation", t.Liquidation(**WHOSE, side="sell", price="1", quantity="2", sampled=True, **at)),
        ("md.long_short", t.LongShort(**WHOSE, ratio_kind="global_account", period="5m", ratio="1.2", **at)),
        ("md.volatility", t.Volatility(**WHOSE, index="BTC-DVOL", value="55.1", **at)),
        ("md.arbitrage", arbitrage()),
    ]


def of(topic: str, **over: Any) -> Any:
    """The plain record of a topic that has but one kind."""
    (record,) = (record for name, record in every_kind() if name == topic)
    return replace(record, **over)
