"""Recorded OKX frames against the records they must become; units, and the exactness of every number on the way."""

from __future__ import annotations

import json
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from marketdata.decimals import to_units
from marketdata.errors import BadData, UnparsableFrame
from marketdata.types import Bbo, Funding, Instrument, Liquidation, OpenInterest, Ticker, Trade, VenueKline
from tests.frames import frames_dir
from venues import VENUES, find_venue
from venues.conformance_files import Line, rest_reply
from venues.contract import Context, Data, Venue

GOLDEN = Path(__file__).parent.parent / "data" / "venues" / "okx.json"
"""Per recorded line: the first records it must become, values that are their type's defaults left out. `multiplier` and
`inverse` are the contract's. Each was compared with the frame by eye."""

OKX = [v for v in VENUES if v.exchange == "okx"]


def venue_of(symbol: str) -> Venue:
    return next(v for v in OKX if v.owns(symbol))


def context(symbol: str, multiplier: str = "", inverse: bool = False) -> Context:
    market = venue_of(symbol).market
    instrument = Instrument(
        exchange="okx", market=market, symbol=symbol, instrument="NAME", base="", quote="", status="live",
        contract_multiplier=multiplier, inverse=inverse,
    )  # fmt: skip
    return Context("okx", market, symbol, "1790439596000000000", instrument if multiplier else None)


def normalise(frame: bytes, ctx: Context) -> list[Any]:
    found = venue_of(ctx.symbol).protocol.classify(frame)
    assert isinstance(found, Data)
    return list(venue_of(ctx.symbol).normalisers[found.stream.channel](frame, ctx))


def said(record: Any) -> dict[str, Any]:
    """A record without what is default, and without what the context says."""
    defaults = {f.name: f.default for f in msgspec.structs.fields(record)} | {"tick_steps": []}
    values = {name: value for name, value in msgspec.to_builtins(record).items() if value != defaults.get(name)}
    return {name: value for name, value in values.items() if name not in ("exchange", "recv_time_ns")}


def cases() -> list[Any]:
    return [pytest.param(case, id=f"{case['file']}:{case['line']}") for case in json.loads(GOLDEN.read_text())]


@pytest.mark.parametrize("case", cases())
def test_recorded_frame(case: dict[str, Any]) -> None:
    frame = (frames_dir() / "okx" / case["file"]).read_bytes().splitlines()[case["line"] - 1]
    rest = rest_reply(Line(1, frame, ""))
    if rest is not None:
        records = list(OKX[0].read_rest(rest.path, bytes(rest.body), Context("okx", "spot", "", "")).records)
    else:
        ctx = context(case["symbol"], case.get("multiplier", ""), case.get("inverse", False))
        records = [msgspec.structs.replace(r, instrument="") for r in normalise(frame, ctx)]
    assert len(records) == case["records"]
    assert [said(r) for r in records[: len(case["first"])]] == case["first"]


# --- frames by hand, after recorded ones -----------------------------------------------------------------


def frame(channel: str, *rows: Any, symbol: str = "BTC-USDT-SWAP") -> bytes:
    return json.dumps({"arg": {"channel": channel, "instId": symbol}, "data": rows}).encode()


TRADE = {
    "instId": "BTC-USDT-SWAP", "tradeId": "2953620280", "px": "84093.5", "sz": "24.31", "side": "buy",
    "ts": "1790439596521", "count": "59", "source": "0", "seqId": 342177339042,
}  # fmt: skip  # recorded 2026-09-26
TICKER = {
    "instType": "SWAP", "instId": "BTC-USDT-SWAP", "last": "196.06", "lastSz": "25", "askPx": "196.11", "askSz": "116",
    "bidPx": "195.96", "bidSz": "342", "open24h": "197.31", "high24h": "202.54", "low24h": "189.85",
    "volCcy24h": "65235.4", "vol24h": "652354", "ts": "1626995756781",
}  # fmt: skip  # recorded 2021-07-22, of another contract
SWAP = context("BTC-USDT-SWAP", "0.01")
SPOT = context("BTC-USDT")


def test_one_frame_may_hold_several_trades() -> None:
    rows = [TRADE | {"tradeId": str(n), "count": "1"} for n in (5, 6, 7)]
    assert [t.trade_id for t in normalise(frame("trades-all", *rows), SWAP)] == ["5", "6", "7"]
    assert normalise(frame("trades-all"), SWAP) == []


def test_ids_beyond_64_bits_and_exponents() -> None:
    (trade,) = normalise(frame("trades", TRADE | {"tradeId": str(2**70), "count": "2", "px": "8.4e4"}), SWAP)
    assert (trade.first_trade_id, trade.trade_id, trade.price) == (str(2**70 - 1), str(2**70), "84000")


@pytest.mark.parametrize(
    ("channel", "row"),
    [
        ("trades", TRADE | {"instId": "ETH-USDT-SWAP"}),  # another symbol than its stream's
        ("trades", TRADE | {"count": "0"}),
        ("trades", TRADE | {"count": "-1"}),
        ("trades", TRADE | {"side": "BUY"}),
        ("trades", TRADE | {"tradeId": "x"}),
        ("trades", TRADE | {"px": ""}),
        ("trades", TRADE | {"px": "NaN"}),
        ("trades", TRADE | {"sz": None}),
        ("trades", TRADE | {"ts": ""}),
        ("trades", {k: v for k, v in TRADE.items() if k != "tradeId"}),
        ("tickers", TICKER | {"instId": "BTC-USDT"}),
        ("tickers", TICKER | {"last": "x"}),
        ("bbo-tbt", {"asks": [["1"]], "bids": [], "ts": "1"}),
        ("bbo-tbt", {"asks": [], "bids": [], "ts": "1", "instId": "BTC-USDT"}),
        ("bbo-tbt", {"asks": [], "bids": []}),
        ("candle1m", ["1790439540000", "1", "1", "1", "1", "1", "1", "1"]),  # 8 values
        ("candle1m", ["1790439540000", "1", "1", "1", "1", "1", "1", "1", "2"]),  # confirm is 0 or 1
        ("candle1m", ["", "1", "1", "1", "1", "1", "1", "1", "1"]),
        ("candle1m", ["1790439540000", "1", "1", "", "1", "1", "1", "1", "1"]),
        ("mark-price", {"instId": "BTC-USDT-SWAP", "markPx": "", "ts": "1"}),
        ("funding-rate", {"instId": "BTC-USDT-SWAP", "fundingRate": "0.1", "fundingTime": ""}),
        ("funding-rate", {"instId": "BTC-USDT-SWAP", "fundingRate": "0.1", "fundingTime": "1", "ts": "x"}),
        ("open-interest", {"instId": "BTC-USDT-SWAP", "oi": "1", "ts": "1"}),
        ("books5", {"asks": [], "bids": []}),
    ],
)
def test_a_frame_that_cannot_be_accepted_is_refused(channel: str, row: Any) -> None:
    with pytest.raises(BadData):
        normalise(frame(channel, row), SWAP)


def test_a_frame_of_another_symbol_is_refused_whatever_its_channel() -> None:
    for channel in ("bbo-tbt", "candle1m", "books5", "trades"):
        with pytest.raises(UnparsableFrame, match="ETH-USDT-SWAP"):
            normalise(frame(channel, symbol="ETH-USDT-SWAP"), SWAP)


@pytest.mark.parametrize(
    ("channel", "row"),
    [("trades", TRADE), ("trades-all", TRADE), ("tickers", TICKER),
     ("bbo-tbt", {"asks": [["1", "1", "0", "1"]], "bids": [], "ts": "1"})],
)  # fmt: skip
def test_contracts_of_unknown_size_mean_nothing(channel: str, row: Any) -> None:
    with pytest.raises(BadData) as info:
        normalise(frame(channel, row), context("BTC-USDT-SWAP"))
    assert info.value.code == "no_instrument"


def test_units_are_needed_where_the_venue_says_so_and_nowhere_else() -> None:
    """Candles, open interest and rates come in base coin: they do not wait for metadata."""
    rows: dict[str, Any] = {
        "candle1m": ["1790439540000", "1", "1", "1", "1", "1", "1", "1", "1"],
        "mark-price": {"instId": "BTC-USDT-SWAP", "markPx": "1", "ts": "1"},
        "funding-rate": {"instId": "BTC-USDT-SWAP", "fundingRate": "0.1", "fundingTime": "1"},
        "open-interest": {"instId": "BTC-USDT-SWAP", "oi": "1", "oiCcy": "1", "ts": "1"},
    }
    for channel, row in rows.items():
        assert normalise(frame(channel, row), context("BTC-USDT-SWAP"))
    assert find_venue("okx", "spot").unit_channels == frozenset()
    assert find_venue("okx", "perp").unit_channels == {"trade", "agg_trade", "book", "bbo", "ticker", "liquidation"}


@pytest.mark.parametrize("sides", [{"asks": [], "bids": []}, {"asks": None, "bids": None}, {}])
def test_an_empty_side_and_no_last_size(sides: dict[str, Any]) -> None:
    (bbo,) = normalise(frame("bbo-tbt", sides | {"ts": "1", "seqId": 7}), SWAP)
    assert isinstance(bbo, Bbo)
    assert (bbo.bid_price, bbo.bid_quantity, bbo.ask_price, bbo.raw_ask_quantity, bbo.update_id) == (
        "",
        "",
        "",
        "",
        "7",
    )
    (ticker,) = normalise(frame("tickers", TICKER | {"lastSz": "0", "bidPx": "", "bidSz": "", "last": ""}), SWAP)
    assert isinstance(ticker, Ticker)
    assert (ticker.last_price, ticker.last_quantity, ticker.bid_price, ticker.bid_quantity) == ("", "", "", "")


@pytest.mark.parametrize(
    ("bar", "interval", "length_ms"),
    [("1s", "1s", 1_000), ("1m", "1m", 60_000), ("1H", "1h", 3_600_000), ("4H", "4h", 14_400_000),
     ("1Dutc", "1d", 86_400_000)],
)  # fmt: skip
@pytest.mark.parametrize("confirm", ["0", "1"])
def test_a_candle_is_closed_when_the_venue_says_so(bar: str, interval: str, length_ms: int, confirm: str) -> None:
    row = ["1790380800000", "3", "4", "2", "3.5", "1040.37", "10.4037", "1069603.34883", confirm]
    (k,) = normalise(frame(f"candle{bar}", row), SWAP)
    assert isinstance(k, VenueKline)
    assert (k.interval, k.close_time - k.open_time, k.is_closed) == (interval, length_ms - 1, confirm == "1")
    assert (k.open, k.high, k.low, k.close) == ("3", "4", "2", "3.5")
    assert (k.volume, k.raw_volume, k.quote_volume, k.trade_count) == ("10.4037", "1040.37", "1069603.34883", -1)
    (k,) = normalise(frame(f"candle{bar}", row, symbol="BTC-USDT"), SPOT)
    assert (k.volume, k.raw_volume, k.quote_volume) == ("1040.37", "", "1069603.34883")


def test_columns_that_come_to_stand_behind_those_we_know_change_nothing() -> None:
    row = ["1790380800000", "3", "4", "2", "3.5", "1040.37", "10.4037", "1069603.34883", "1"]
    known = normalise(frame("candle1m", row), SWAP)
    assert normalise(frame("candle1m", [*row, "0.5"]), SWAP) == known
    assert normalise(frame("candle1m", [*row, "x", ""]), SWAP) == known


@pytest.mark.parametrize("bar", ["6H", "12H", "1D", "2D", "1W", "1M", "1Wutc", "1Mutc"])
def test_candles_that_open_at_utc_plus_8_are_no_interval_of_ours(bar: str) -> None:
    row = ["1790380800000", "3", "4", "2", "3.5", "1040.37", "10.4037", "1069603.34883", "1"]
    assert normalise(frame(f"candle{bar}", row), SWAP) == []


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, [("0.0001", 1790784000, 0, False)]),
        ({"nextFundingTime": "1790798400000"}, [("0.0001", 1790784000, 14_400_000, False)]),  # 4 h
        ({"nextFundingRate": "0.0002"}, [("0.0001", 1790784000, 0, False)]),
        ({"settState": "processing", "settFundingRate": "0.3", "prevFundingTime": "1790755200000"},
         [("0.0001", 1790784000, 0, False)]),
        ({"settState": "settled", "settFundingRate": "-0.3", "prevFundingTime": "1790755200000"},
         [("0.0001", 1790784000, 0, False), ("-0.3", 1790755200, 28_800_000, True)]),
        ({"settState": "settled", "settFundingRate": "-0.3"}, [("0.0001", 1790784000, 0, False)]),
        ({"fundingRate": ""}, []),
    ],
)  # fmt: skip
def test_funding(changes: dict[str, str], expected: list[tuple[Any, ...]]) -> None:
    row = {"instId": "BTC-USDT-SWAP", "fundingRate": "0.0001", "fundingTime": "1790784000000", "ts": "1"} | changes
    records = normalise(frame("funding-rate", row), SWAP)
    assert all(isinstance(r, Funding) for r in records)
    assert [(r.rate, r.funding_time_us // 1_000_000, r.interval_ms, r.settled) for r in records] == expected
    assert [r.next_rate for r in records][:1] == [changes.get("nextFundingRate", "")][: len(records)]


@pytest.mark.parametrize(
    ("symbol", "value"),
    [("BTC-USD-SWAP", "7.5"), ("BTC-USD_UM-SWAP", "7.5"), ("BTC-USD-220624", "7.5"), ("BTC-USDT-SWAP", ""),
     ("BTC-USD-220624-50000-C", "")],
)  # fmt: skip
def test_a_value_in_dollars_is_one_in_quote_currency_where_that_is_the_dollar(symbol: str, value: str) -> None:
    row = {"instId": symbol, "oi": "5", "oiCcy": "0.25", "oiUsd": "7.5", "ts": "1"}
    (record,) = normalise(frame("open-interest", row, symbol=symbol), context(symbol))
    assert isinstance(record, OpenInterest)
    assert (record.open_interest, record.raw_open_interest, record.value) == ("0.25", "5", value)


def liquidations(*symbols: str) -> bytes:
    details = [
        {"side": "sell", "posSide": "long", "bkPx": "100", "sz": "8.55", "bkLoss": "0", "ccy": "", "ts": "9"},
        {"side": "buy", "posSide": "short", "bkPx": "50", "sz": "1", "bkLoss": "0", "ccy": "", "ts": "3"},
    ]
    rows = [{"instId": s, "details": details} for s in symbols]
    return json.dumps({"arg": {"channel": "liquidation-orders", "instType": "SWAP"}, "data": rows}).encode()


def test_of_all_liquidations_each_symbol_takes_its_own() -> None:
    raw = liquidations("ETH-USDT-SWAP", "BTC-USDT-SWAP")
    found = normalise(raw, SWAP)
    assert all(isinstance(r, Liquidation) and r.sampled for r in found)
    assert [(r.symbol, r.side, r.price, r.quantity, r.raw_quantity, r.event_time_us) for r in found] == [
        ("BTC-USDT-SWAP", "sell", "100", "0.0855", "8.55", 9000),
        ("BTC-USDT-SWAP", "buy", "50", "0.01", "1", 3000),
    ]
    assert normalise(raw, context("SOL-USDT-SWAP", "1")) == []
    with pytest.raises(UnparsableFrame):
        normalise(raw.replace(b'"sell"', b'"short"'), SWAP)


# --- exactness -------------------------------------------------------------------------------------------

numbers = st.decimals(min_value=0, max_value=10**12, places=8, allow_nan=False).map(lambda d: f"{d:f}")
prices = st.decimals(min_value=Decimal("0.00000001"), max_value=10**7, places=8, allow_nan=False).map(
    lambda d: f"{d:f}"
)
multipliers = st.sampled_from(["0.0001", "0.001", "0.01", "0.1", "1", "10", "100", "1000000"])


def traded(price: str, size: str, ctx: Context) -> Trade:
    row = TRADE | {"px": price, "sz": size, "instId": ctx.symbol}
    (record,) = normalise(frame("trades", row, symbol=ctx.symbol), ctx)
    assert isinstance(record, Trade)
    return record


@given(prices, numbers)
def test_numbers_of_spot_pass_through_as_they_are(price: str, size: str) -> None:
    record = traded(price, size, SPOT)
    assert (record.price, record.quantity, record.raw_quantity) == (price, size, "")


@given(prices, numbers, multipliers)
def test_linear_contracts_become_base_coin_exactly(price: str, size: str, multiplier: str) -> None:
    record = traded(price, size, context("BTC-USDT-SWAP", multiplier))
    assert Decimal(record.quantity) == Decimal(size) * Decimal(multiplier)
    assert (record.raw_quantity, record.price) == (size, price)


@given(prices, numbers, multipliers)
def test_inverse_contracts_become_base_coin_to_twelve_places(price: str, size: str, multiplier: str) -> None:
    record = traded(price, size, context("BTC-USD-SWAP", multiplier, True))
    units, scale = to_units(record.quantity)
    assert scale <= 12
    exact = Fraction(size) * Fraction(multiplier) / Fraction(price)
    assert abs(Fraction(units, 10**scale) - exact) <= Fraction(1, 2 * 10**12)
    assert record.raw_quantity == size


@pytest.mark.parametrize(
    ("file", "record", "fields"),
    [
        ("spot/trade", Trade, {"trade_id": "tradeId", "price": "px", "quantity": "sz", "side": "side"}),
        (
            "spot/ticker",
            Ticker,
            {
                "last_price": "last", "open": "open24h", "high": "high24h", "low": "low24h", "volume": "vol24h",
                "quote_volume": "volCcy24h", "bid_price": "bidPx", "bid_quantity": "bidSz", "ask_price": "askPx",
                "ask_quantity": "askSz",
            },
        ),
    ],
)  # fmt: skip
def test_every_recorded_value_arrives_as_it_was_written(file: str, record: type, fields: dict[str, str]) -> None:
    """Against Python's own JSON reader: no digit or trailing zero changes."""
    for raw in (frames_dir() / "okx" / f"{file}.jsonl").read_bytes().splitlines():
        (wire,) = json.loads(raw)["data"]
        (ours,) = normalise(raw, context(wire["instId"]))
        assert isinstance(ours, record)
        assert isinstance(ours, Trade | Ticker)
        assert ours.event_time_us == int(wire["ts"]) * 1000
        for name, key in fields.items():
            assert getattr(ours, name) == wire[key]
