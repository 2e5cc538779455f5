"""Recorded Deribit frames against the records they must become, and the units and exactness of every number."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from marketdata.errors import BadData, UnparsableFrame
from marketdata.types import Bbo, Funding, Instrument, Liquidation, MarkPrice, OpenInterest, Ticker, Trade, VenueKline
from marketdata.validation import check_record
from tests.frames import frames_dir
from venues import find_venue
from venues.contract import Context, Data
from venues.deribit.symbols import market_of


def instrument(symbol: str, inverse: bool) -> Instrument:
    return Instrument(
        exchange="deribit", market=market_of(symbol), symbol=symbol, instrument=f"name of {symbol}",
        base="BTC", quote="USD", status="open", inverse=inverse,
    )  # fmt: skip


def context(symbol: str, inverse: bool = False) -> Context:
    return Context("deribit", market_of(symbol), symbol, "1700000000000000000", instrument(symbol, inverse))


def notification(channel: str, data: object) -> bytes:
    return json.dumps(
        {"jsonrpc": "2.0", "method": "subscription", "params": {"channel": channel, "data": data}}
    ).encode()


def records(frame: bytes, inverse: bool) -> list[dict[str, Any]]:
    """The records of one frame as plain JSON values, each for the symbol it is about."""
    found = find_venue("deribit", "perp").protocol.classify(frame)
    assert isinstance(found, Data)
    out: list[dict[str, Any]] = []
    for symbol in found.symbols or (found.stream.symbol,):
        ctx = context(symbol, inverse)
        normalise = find_venue("deribit", ctx.market).normalisers[found.stream.channel]
        out += [msgspec.to_builtins(record) for record in normalise(frame, ctx)]
    return out


GOLDEN: list[tuple[str, int, bool, list[dict[str, Any]]]] = [
    (
        "trade.jsonl", 1, True,
        [{"type": "trade", "symbol": "BTC-26MAR21", "trade_id": "5326971", "venue_trade_id": "137486952",
          "price": "56273.5", "quantity": "0.106622122313", "raw_quantity": "6000.0", "side": "buy",
          "trade_time_us": 1616321287195000, "event_time_us": 1616321287195000, "liquidation": False}],
    ),
    (
        "trade.jsonl", 2, False,  # trades.option.any.raw
        [{"type": "trade", "symbol": "BTC-26MAR21-62000-C", "trade_id": "1706", "price": "0.007", "quantity": "0.1",
          "raw_quantity": "", "side": "buy", "venue_trade_id": "137488100"}],
    ),
    (
        "trade.jsonl", 4, True,
        [{"type": "trade", "trade_id": "40782080", "price": "4458.5", "quantity": "0.560726701806",
          "raw_quantity": "2500", "side": "buy", "liquidation": True},
         {"type": "liquidation", "liquidation_id": "40782080-M", "side": "sell", "price": "4458.5",
          "quantity": "0.560726701806", "raw_quantity": "2500", "sampled": False, "event_time_us": 1584058067675000}],
    ),
    (
        "trade.docs.jsonl", 2, True,  # the first is a combo's leg
        [{"type": "trade", "trade_id": "271252854", "quantity": "0.000108348818"},
         {"type": "trade", "trade_id": "271252855", "quantity": "0.008126689674"}],
    ),
    ("trade.docs.jsonl", 3, False, []),
    (
        "bbo.jsonl", 1, True,
        [{"type": "bbo", "symbol": "BTC-30SEP22", "update_id": "", "bid_price": "32499.0",
          "bid_quantity": "0.072925320779", "raw_bid_quantity": "2370.0", "ask_price": "32503.5",
          "ask_quantity": "0.07383820204", "raw_ask_quantity": "2400.0",
          "event_time_us": 1654012570801000}],
    ),
    (
        "ticker.docs.jsonl", 1, True,
        [{"type": "ticker", "last_price": "92283.5", "high": "93612.0", "low": "89277.5", "volume": "11897.27640428",
          "quote_volume": "1092371540.0", "price_change_percent": "2.3275", "bid_price": "92283.5",
          "bid_quantity": "1.274984152097", "raw_volume": "", "event_time_us": 1765541474086000},
         {"type": "mark_price", "mark_price": "92281.78", "index_price": "92263.55", "settle_price": ""},
         {"type": "open_interest", "open_interest": "12270.345998961008", "raw_open_interest": "1132329370.0",
          "value": "1132329370.0"},
         {"type": "funding", "rate": "0.0", "funding_time_us": 1765541474086000, "interval_ms": 28800000,
          "settled": False}],
    ),
    (
        "ticker_perp_future_2026.jsonl", 2, True,
        [{"type": "ticker", "symbol": "BTC-25DEC26", "high": "85500", "low": "83950.0"},
         {"type": "mark_price", "mark_price": "84222.65", "settle_price": "83251.03"},
         {"type": "open_interest", "raw_open_interest": "311779840"}],
    ),
    (
        "ticker_perp_future_2026.jsonl", 3, False,
        [{"type": "ticker", "symbol": "BTC-25DEC26-76000-C", "high": "", "low": "", "volume": "0.0",
          "quote_volume": "", "bid_quantity": "29.3"},
         {"type": "mark_price", "mark_price": "0.1296"},
         {"type": "open_interest", "open_interest": "480.6", "raw_open_interest": "", "value": ""}],
    ),
    (
        "ticker.jsonl", 2, False,  # null last price, zeros for two empty sides
        [{"type": "ticker", "symbol": "ETH-6APR21-2400-P", "last_price": "", "volume": "", "bid_price": "",
          "bid_quantity": "", "ask_price": "", "ask_quantity": ""},
         {"type": "mark_price", "mark_price": "0.139858"},
         {"type": "open_interest", "open_interest": "0.0"}],
    ),
    (
        "ticker.jsonl", 54, False,  # after delivery
        [{"type": "ticker", "symbol": "BTC-8JUN20-8750-P"},
         {"type": "mark_price", "mark_price": "0.0", "settle_price": ""},
         {"type": "open_interest", "open_interest": "0.0"}],
    ),
    ("ticker.jsonl", 57, False, []),  # a combo
    (
        "kline.jsonl", 1, True,
        [{"type": "venue_kline", "symbol": "BTC-31MAR23", "interval": "1m", "open_time": 1677628800000,
          "close_time": 1677628859999, "open": "23215.0", "close": "23215.0", "volume": "0.00172302",
          "quote_volume": "40.0", "trade_count": -1, "taker_buy_volume": "", "is_closed": False, "raw_volume": ""}],
    ),
    (
        "kline.jsonl", 2, False,
        [{"type": "venue_kline", "symbol": "BTC-25MAR23-26500-P", "interval": "3m", "close_time": 1679559659999,
          "volume": "0.1", "quote_volume": "0.0003"}],
    ),
    (
        "dvol.docs.jsonl", 1, False,
        [{"type": "volatility", "market": "option", "symbol": "BTC_USD", "index": "btc_usd", "value": "129.36",
          "event_time_us": 1619777946007000}],
    ),
    ("book_grouped.jsonl", 1, True, []),
]  # fmt: skip


@pytest.mark.parametrize(("file", "line", "inverse", "expected"), GOLDEN, ids=[f"{c[0]}:{c[1]}" for c in GOLDEN])
def test_recorded_frame(file: str, line: int, inverse: bool, expected: list[dict[str, Any]]) -> None:
    frame = (frames_dir() / "deribit" / "any" / file).read_bytes().splitlines()[line - 1]
    found = records(frame, inverse)
    assert [record["type"] for record in found] == [record["type"] for record in expected]
    for ours, wanted in zip(found, expected, strict=True):
        assert {name: ours.get(name, "") for name in wanted} == wanted


# --- units -----------------------------------------------------------------------------------------

TRADE = {
    "trade_seq": 7, "trade_id": "ETH-9", "timestamp": 1700000000000, "instrument_name": "BTC-PERPETUAL",
    "direction": "sell", "price": 50000.0, "amount": 100.0,
}  # fmt: skip
QUOTE = {"timestamp": 1700000000000, "instrument_name": "BTC-PERPETUAL"}


def trades(symbol: str = "BTC-PERPETUAL", inverse: bool = True, **changes: Any) -> list[Any]:
    frame = notification(f"trades.{symbol}.100ms", [TRADE | {"instrument_name": symbol} | changes])
    ctx = context(symbol, inverse)
    return list(find_venue("deribit", ctx.market).normalisers["trade"](frame, ctx))


@pytest.mark.parametrize(
    ("symbol", "inverse", "quantity", "raw"),
    [
        ("BTC-PERPETUAL", True, "0.002", "100.0"),
        ("BTC-25DEC26", True, "0.002", "100.0"),
        ("BTC_USDC-PERPETUAL", False, "100.0", ""),
        ("BTC-25DEC26-76000-C", False, "100.0", ""),
        ("BTC_USDC", False, "100.0", ""),
    ],
)
def test_amounts_are_usd_of_inverse_contracts_alone(symbol: str, inverse: bool, quantity: str, raw: str) -> None:
    (trade,) = trades(symbol, inverse)
    assert (trade.quantity, trade.raw_quantity) == (quantity, raw)


@pytest.mark.parametrize("market", ["perp", "future"])
@pytest.mark.parametrize("channel", ["trade", "bbo", "ticker"])
def test_nothing_is_said_of_amounts_whose_unit_is_not_known(market: str, channel: str) -> None:
    symbol = {"perp": "BTC-PERPETUAL", "future": "BTC-25DEC26"}[market]
    data: object = QUOTE | {"instrument_name": symbol}
    if channel == "trade":
        data = [TRADE | {"instrument_name": symbol}]
    frame = notification(f"{channel}.{symbol}.100ms", data)
    venue = find_venue("deribit", market)
    with pytest.raises(BadData) as failure:
        venue.normalisers[channel](frame, Context("deribit", market, symbol, ""))
    assert failure.value.code == "no_instrument"
    assert channel in venue.unit_channels


@pytest.mark.parametrize("market", ["option", "spot"])
def test_options_and_spot_need_no_metadata(market: str) -> None:
    symbol = {"option": "BTC-25DEC26-76000-C", "spot": "BTC_USDC"}[market]
    venue = find_venue("deribit", market)
    frame = notification(f"trades.{symbol}.100ms", [TRADE | {"instrument_name": symbol}])
    (trade,) = venue.normalisers["trade"](frame, Context("deribit", market, symbol, ""))
    assert isinstance(trade, Trade)
    assert (trade.quantity, trade.instrument) == ("100.0", "")
    assert not venue.unit_channels


@given(
    price=st.decimals("0.0001", "200000", allow_nan=False, places=4),
    amount=st.integers(1, 10**9),
)
def test_the_base_amount_is_worth_the_usd_amount(price: Decimal, amount: int) -> None:
    text = json.dumps([TRADE | {"price": "PRICE", "amount": amount}]).replace('"PRICE"', str(price))
    body = f'{{"params":{{"channel":"trades.BTC-PERPETUAL.100ms","data":{text}}}}}'.encode()
    (trade,) = find_venue("deribit", "perp").normalisers["trade"](body, context("BTC-PERPETUAL", True))
    assert isinstance(trade, Trade)
    assert trade.raw_quantity == str(amount)
    exact = Decimal(amount) / price
    assert abs(Decimal(trade.quantity) - exact) <= Decimal("0.5e-12") + exact * Decimal("1e-27")


@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=0, max_value=10**12, places=6), st.booleans())
def test_numbers_keep_their_value_in_any_notation(value: Decimal, exponent: bool) -> None:
    spelled = f"{value:e}" if exponent else str(value)
    text = json.dumps(QUOTE | {"best_bid_price": "P", "best_bid_amount": "P"}).replace('"P"', spelled)
    body = f'{{"params":{{"channel":"quote.BTC-PERPETUAL","data":{text}}}}}'.encode()
    (bbo,) = find_venue("deribit", "perp").normalisers["bbo"](body, context("BTC-PERPETUAL"))
    assert isinstance(bbo, Bbo)
    if value:
        assert "e" not in bbo.bid_price.lower()
        assert (Decimal(bbo.bid_price), Decimal(bbo.bid_quantity)) == (value, value)
    else:
        assert (bbo.bid_price, bbo.bid_quantity) == ("", "")


# --- what is missing -------------------------------------------------------------------------------


def test_a_trade_without_a_price_does_not_take_the_others_along() -> None:
    """Validation refuses it alone, so that it stands in the dead letters and its id is not missed."""
    entries = [TRADE, TRADE | {"trade_seq": 8, "price": None}, TRADE | {"trade_seq": 9, "price": 0.0}]
    frame = notification("trades.BTC-PERPETUAL.100ms", entries)
    good, *bad = find_venue("deribit", "perp").normalisers["trade"](frame, context("BTC-PERPETUAL", True))
    check_record(good)  # type: ignore[arg-type]
    assert [(trade.trade_id, trade.quantity) for trade in bad if isinstance(trade, Trade)] == [("8", ""), ("9", "")]
    for trade in bad:
        with pytest.raises(BadData, match="implausible"):
            check_record(trade)  # type: ignore[arg-type]


def test_null_says_as_little_as_nothing() -> None:
    assert trades(liquidation=None) == trades()
    assert ticker("BTC-PERPETUAL", **FULL, stats=None) == ticker("BTC-PERPETUAL", **FULL)


def test_open_interest_in_usd_needs_the_mark_price() -> None:
    """Everything else of the ticker stays."""
    fields = FULL | {"mark_price": None}
    assert [type(record) for record in ticker("BTC-PERPETUAL", True, **fields)] == [Ticker, Funding]
    assert [type(record) for record in ticker("SOL_USDC-PERPETUAL", **fields)] == [Ticker, OpenInterest, Funding]


# --- liquidations ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("direction", "who", "orders"),
    [
        ("sell", "T", [("7-T", "sell")]),
        ("buy", "T", [("7-T", "buy")]),
        ("sell", "M", [("7-M", "buy")]),
        ("buy", "M", [("7-M", "sell")]),
        ("buy", "MT", [("7-M", "sell"), ("7-T", "buy")]),
        ("zero", "M", [("7-M", "unknown")]),
    ],
)
def test_the_side_of_a_liquidation(direction: str, who: str, orders: list[tuple[str, str]]) -> None:
    trade, *liquidations = trades(direction=direction, liquidation=who)
    assert isinstance(trade, Trade)
    assert trade.liquidation
    assert [(o.liquidation_id, o.side) for o in liquidations] == orders
    assert all(isinstance(o, Liquidation) and o.quantity == trade.quantity == "0.002" for o in liquidations)


def test_trades_of_blocks_and_combos_are_kept() -> None:
    """And marked: their ids belong to the same sequence, their prices need not belong to the market."""
    fields: list[tuple[dict[str, Any], bool]] = [
        ({"block_trade_id": "BLOCK-1", "block_trade_leg_count": 2}, True),
        ({"block_rfq_id": 456}, True),
        ({"combo_id": "BTC-FS-25DEC26_PERP", "combo_trade_id": "43"}, True),
        ({"block_trade_id": None, "combo_id": None}, False),
        ({}, False),
    ]
    for field, off_book in fields:
        (trade,) = trades(**field, liquidation="none")
        assert (trade.trade_id, trade.venue_trade_id, trade.liquidation) == ("7", "ETH-9", False)
        assert trade.off_book is off_book


# --- tickers ---------------------------------------------------------------------------------------


def ticker(symbol: str, inverse: bool = False, **fields: Any) -> list[Any]:
    frame = notification(f"ticker.{symbol}.100ms", QUOTE | {"instrument_name": symbol} | fields)
    ctx = context(symbol, inverse)
    return list(find_venue("deribit", ctx.market).normalisers["ticker"](frame, ctx))


FULL: dict[str, Any] = {
    "mark_price": 2.5,
    "index_price": 2.4,
    "open_interest": 10,
    "current_funding": 1.423e-4,
    "last_price": 2.5,
}


@pytest.mark.parametrize(
    ("symbol", "types"),
    [
        ("BTC-PERPETUAL", [Ticker, MarkPrice, OpenInterest, Funding]),
        ("BTC-25DEC26", [Ticker, MarkPrice, OpenInterest]),
        ("BTC-25DEC26-76000-C", [Ticker, MarkPrice, OpenInterest]),
        ("BTC_USDC", [Ticker]),
    ],
)
def test_what_a_ticker_tells(symbol: str, types: list[type]) -> None:
    assert [type(record) for record in ticker(symbol, **FULL)] == types
    assert [type(record) for record in ticker(symbol)] == [Ticker], "nothing is made up"


def test_numbers_of_a_perpetuals_ticker() -> None:
    stats, _, interest, funding = ticker("BTC-PERPETUAL", True, **FULL, stats={"volume_usd": 5.0})
    assert (interest.open_interest, interest.raw_open_interest, interest.value) == ("4", "10", "10")
    assert funding.rate == "0.0001423"
    assert stats.quote_volume == "5.0"
    assert ticker("ETH_USDC-PERPETUAL", stats={"volume_usd": 5.0})[0].quote_volume == "", "USD is not USDC"
    assert ticker("BTC-PERPETUAL", current_funding=-2e-5)[-1].rate == "-0.00002"


# --- what must be refused --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("channel", "name", "data"),
    [
        ("trade", "trades.ETH-PERPETUAL.100ms", [TRADE | {"instrument_name": "ETH-PERPETUAL"}]),
        ("trade", "trades.BTC-PERPETUAL.100ms", [TRADE | {"price": "x"}]),
        ("trade", "trades.BTC-PERPETUAL.100ms", TRADE),
        ("bbo", "quote.ETH-PERPETUAL", QUOTE | {"instrument_name": "ETH-PERPETUAL"}),
        ("ticker", "ticker.ETH-PERPETUAL.100ms", QUOTE | {"instrument_name": "ETH-PERPETUAL"}),
        ("kline", "chart.trades.ETH-PERPETUAL.1", dict.fromkeys(("tick", "open", "high", "low", "close"), 1)),
        (
            "kline",
            "chart.trades.BTC-PERPETUAL.7",
            dict.fromkeys(VenueKline.__struct_fields__, 1) | {"tick": 1, "cost": 1},
        ),
        ("grouped_book", "book.ETH-PERPETUAL.none.1.100ms", {"change_id": 1, **QUOTE, "instrument_name": "ETH"}),
        ("volatility", "deribit_volatility_index.btc_usd", {"timestamp": 1, "volatility": 1, "index_name": "btc_usd"}),
    ],
)
def test_a_frame_about_something_else_or_of_another_shape(channel: str, name: str, data: object) -> None:
    with pytest.raises(UnparsableFrame):
        find_venue("deribit", "perp").normalisers[channel](notification(name, data), context("BTC-PERPETUAL", True))


@pytest.mark.parametrize("channel", sorted(find_venue("deribit", "perp").normalisers))
@pytest.mark.parametrize("frame", [b"", b"{", b"\xff", b"{}", b'{"params":{}}', b'{"params":{"channel":"x"}}'])
def test_every_normaliser_refuses_what_is_no_frame(channel: str, frame: bytes) -> None:
    with pytest.raises(UnparsableFrame):
        find_venue("deribit", "perp").normalisers[channel](frame, context("BTC-PERPETUAL", True))
