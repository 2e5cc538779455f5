"""Recorded frames of Binance's futures against the records they must become, and contracts against base coin."""

from __future__ import annotations

import json
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from marketdata.errors import BadData, UnparsableFrame
from marketdata.types import Bbo, Funding, Instrument, Liquidation, MarkPrice, Ticker, Trade, VenueKline
from tests.frames import frames_dir
from venues import find_venue
from venues.conformance import symbol_in
from venues.conformance_files import Line, rest_reply
from venues.contract import Context, Data, PassedId

GOLDEN = Path(__file__).parent.parent / "data" / "venues" / "binance_futures.json"
"""Per recorded line: the first records it must become, without empty fields. Each was compared with it by eye."""

USD_MARGINED = find_venue("binance", "perp")
COIN_MARGINED = find_venue("binance", "inverse")


def contract(symbol: str) -> Instrument:
    """As `/dapi/v1/exchangeInfo` says (see test_binance_futures_rest): 100 USD for BTC, 10 for all others."""
    base = symbol.split("_")[0].removesuffix("USD")
    size = "100" if base == "BTC" else "10"
    return Instrument(
        exchange="binance", market="inverse", symbol=symbol, base=base, quote="USD", status="TRADING",
        instrument=f"{base}-USD-PERP" if symbol.endswith("_PERP") else "", contract_multiplier=size, inverse=True,
    )  # fmt: skip


def context(market: str, symbol: str) -> Context:
    coin = market == "inverse" and bool(symbol)
    return Context("binance", market, symbol, "", contract(symbol) if coin else None)


def records_of(market: str, frame: bytes) -> list[Any]:
    """The records of a recorded line, stream frame or REST reply, as plain JSON values."""
    venue = find_venue("binance", market)
    rest = rest_reply(Line(1, frame, ""))
    if rest is not None:
        symbol = symbol_in(rest.path)
        ctx = context(market, f"{symbol}_PERP" if market == "inverse" and symbol and "_" not in symbol else symbol)
        records: Any = venue.read_rest(rest.path, bytes(rest.body), ctx).records
    else:
        found = venue.protocol.classify(frame)
        assert isinstance(found, Data)
        symbol = found.symbols[0] if found.symbols else found.stream.symbol
        records = venue.normalisers[found.stream.channel](frame, context(market, symbol))
    return [msgspec.to_builtins(record) for record in records]


@pytest.mark.parametrize(
    "case", [pytest.param(c, id=f"{c['market']}:{c['file']}:{c['line']}") for c in json.loads(GOLDEN.read_text())]
)
def test_recorded_frame(case: dict[str, Any]) -> None:
    line = (frames_dir() / "binance" / case["file"]).read_bytes().splitlines()[case["line"] - 1]
    records = records_of(case["market"], line)
    assert len(records) == case["records"]
    for ours, expected in zip(records, case["first"], strict=False):
        assert {name: value for name, value in ours.items() if name in expected} == expected
        told = {name for name, value in ours.items() if value not in ("", 0, False, [])}
        assert told <= {*expected, "exchange", "contract_multiplier"}, "nothing is said that the frame does not"


TRADE = (  # recorded 2023-04-04
    b'{"stream":"btcusdt@trade","data":{"e":"trade","E":1680652700455,"T":1680652700452,"s":"BTCUSDT","t":3535186032,'
    b'"p":"28145.10","q":"0.002","X":"MARKET","m":true}}'
)
USD_CTX = context("perp", "BTCUSDT")
COIN_CTX = context("inverse", "BTCUSD_PERP")


@pytest.mark.parametrize("kind", ["INSURANCE_FUND", "ADL", "NA", "SOMETHING_NEW"])
def test_prints_that_are_no_trade_of_the_market_pass_under_their_id(kind: str) -> None:
    frame = TRADE.replace(b"MARKET", kind.encode()).replace(b'"p":"28145.10"', b'"p":"0"')
    passed = PassedId("3535186032", 1680652700452000, "not_of_the_market")
    assert USD_MARGINED.normalisers["trade"](frame, USD_CTX) == (passed,)
    with pytest.raises(UnparsableFrame, match="ETHUSDT"):
        USD_MARGINED.normalisers["trade"](frame.replace(b'"BTCUSDT"', b'"ETHUSDT"'), USD_CTX)


@pytest.mark.parametrize(
    "kind", [b'"X":"MARKET"', b'"X": "MARKET"', b'"X":""', b'"X":null', b'"X":"\\u004dARKET"', b'"Y":"ADL"']
)
def test_trades_of_the_market_are_kept_however_they_are_written(kind: bytes) -> None:
    (record,) = USD_MARGINED.normalisers["trade"](TRADE.replace(b'"X":"MARKET"', kind), USD_CTX)
    assert isinstance(record, Trade)
    assert (record.trade_id, record.price, record.quantity, record.side) == ("3535186032", "28145.10", "0.002", "sell")


def test_trades_of_coin_margined_contracts_pass_ids_as_well() -> None:
    frame = TRADE.replace(b"MARKET", b"ADL").replace(b"BTCUSDT", b"BTCUSD_PERP")
    (record,) = COIN_MARGINED.normalisers["trade"](frame, COIN_CTX)
    assert record == PassedId("3535186032", 1680652700452000, "not_of_the_market")


def test_an_aggregate_without_an_id_is_only_taken_of_2019() -> None:
    old = (frames_dir() / "binance" / "usdm" / "aggtrade.jsonl").read_bytes().splitlines()[26]
    assert USD_MARGINED.normalisers["agg_trade"](old, USD_CTX) == ()
    for frame in (old.replace(b'"E":1568693103463', b'"E":1577836800000'), old.replace(b'"s":"BTCUSDT"', b'"s":"X"')):
        with pytest.raises(UnparsableFrame):
            USD_MARGINED.normalisers["agg_trade"](frame, USD_CTX)


def test_the_next_funding_time_moves_on_a_second_after_the_exchange() -> None:
    """Recorded 2026-09-30 across 08:00: every 8 h for BTC, every 4 h for LPT."""
    path = frames_dir() / "binance" / "usdm" / "seq_fm_markprice_funding_rollover_20260930.jsonl"
    times: dict[str, list[int]] = {}
    for frame in path.read_bytes().splitlines():
        symbol = json.loads(frame)["data"]["s"]
        price, rate = USD_MARGINED.normalisers["mark_price"](frame, context("perp", symbol))
        assert isinstance(price, MarkPrice)
        assert isinstance(rate, Funding)
        assert not rate.settled
        times.setdefault(symbol, []).append(rate.funding_time_us - rate.event_time_us)
    hour_us = 3_600_000_000
    assert times["BTCUSDT"] == [1_000_000, 0, 8 * hour_us - 1_000_000]
    assert times["LPTUSDT"] == [1_000_000, 0, 4 * hour_us - 1_000_000]


@pytest.mark.parametrize("index", [b'"i":""', b'"i":null', b'"P":null'])
@pytest.mark.parametrize(
    "absent",
    [
        b'"r":"","T":0', b'"r":"","T":1680652800000', b'"r":"0.1","T":0', b'"x":1', b'"r":null,"T":null',
        b'"r":null,"T":1680652800000', b'"r":"0.1","T":null', b'"r":"0.1"',
    ],
)  # fmt: skip
def test_dated_contracts_have_no_funding(absent: bytes, index: bytes) -> None:
    frame = b'{"e":"markPriceUpdate","E":1680652701000,"s":"BTCUSDT_230630","p":"28147.2",%s,%s}' % (index, absent)
    (record,) = USD_MARGINED.normalisers["mark_price"](frame, context("perp", "BTCUSDT_230630"))
    assert isinstance(record, MarkPrice)
    assert (record.mark_price, record.index_price, record.settle_price) == ("28147.2", "", "")


def test_of_a_frame_of_all_symbols_only_ones_own_is_taken() -> None:
    def price(symbol: str) -> bytes:
        return b'{"e":"markPriceUpdate","E":5,"s":"%s","p":"1.5","r":"","T":0}' % symbol.encode()

    frame = b'{"stream":"!markPrice@arr","data":[%s,%s]}' % (price("AUSDT"), price("BUSDT"))
    (record,) = USD_MARGINED.normalisers["mark_price"](frame, context("perp", "BUSDT"))
    assert isinstance(record, MarkPrice)
    assert record.symbol == "BUSDT"
    assert not USD_MARGINED.normalisers["mark_price"](frame, context("perp", "CUSDT"))
    for bad in (frame[:-2], frame.replace(b"[{", b"[1,{")):
        with pytest.raises(UnparsableFrame):
            USD_MARGINED.normalisers["mark_price"](bad, context("perp", "BUSDT"))


FORCED = (  # recorded 2020-07-13
    b'{"stream":"btcusd_200925@forceOrder","data":{"e":"forceOrder","E":1594622954023,"o":{"s":"BTCUSD_200925",'
    b'"ps":"BTCUSD","S":"SELL","o":"LIMIT","f":"IOC","q":"3","p":"9314.5","ap":"9352.7","X":"FILLED","l":"3","z":"3",'
    b'"T":1594622954021}}}'
)


def test_an_unfilled_liquidation_order_is_worth_its_own_price() -> None:
    ctx = context("inverse", "BTCUSD_200925")
    (record,) = COIN_MARGINED.normalisers["liquidation"](FORCED.replace(b"9352.7", b"0.0"), ctx)
    assert isinstance(record, Liquidation)
    assert (record.average_price, record.raw_quantity, record.sampled) == ("", "3", True)
    assert Decimal(record.quantity) == round(300 / Decimal("9314.5"), 12)
    for bad in (FORCED.replace(b"SELL", b"LEFT"), FORCED.replace(b'"s":"BTCUSD_200925"', b'"s":"BTCUSD_PERP"')):
        with pytest.raises(UnparsableFrame):
            COIN_MARGINED.normalisers["liquidation"](bad, ctx)


# --- contracts -------------------------------------------------------------------------------------

amounts = st.integers(1, 10**9).map(str)
prices = st.decimals("0.0001", "1000000", places=4, allow_nan=False).map(lambda d: f"{d:f}")


def coin_trade(price: str, contracts: str) -> Trade:
    wire = json.loads(TRADE)
    wire["data"] |= {"s": "BTCUSD_PERP", "p": price, "q": contracts}
    (record,) = COIN_MARGINED.normalisers["trade"](json.dumps(wire).encode(), COIN_CTX)
    assert isinstance(record, Trade)
    return record


@given(price=prices, contracts=amounts)
def test_contracts_become_base_coin_and_are_kept(price: str, contracts: str) -> None:
    """100 USD apiece, at the trade's price, to the nearest 1e-12 of a coin."""
    record = coin_trade(price, contracts)
    assert (record.price, record.raw_quantity) == (price, contracts)
    assert abs(Decimal(record.quantity) - Decimal(contracts) * 100 / Decimal(price)) <= Decimal("0.5e-12")
    lots = Decimal(record.quantity) * Decimal(price) / 100
    assert lots.quantize(Decimal(1)) == Decimal(contracts), "and back"


@given(bid=prices, ask=prices, bids=amounts, asks=amounts)
def test_each_side_of_a_quote_is_worth_its_own_price(bid: str, ask: str, bids: str, asks: str) -> None:
    frame = json.dumps({"u": 1, "s": "BTCUSD_PERP", "b": bid, "B": bids, "a": ask, "A": asks, "E": 5}).encode()
    (record,) = COIN_MARGINED.normalisers["bbo"](frame, COIN_CTX)
    assert isinstance(record, Bbo)
    assert (record.raw_bid_quantity, record.raw_ask_quantity) == (bids, asks)
    assert abs(Decimal(record.bid_quantity) - Decimal(bids) * 100 / Decimal(bid)) <= Decimal("0.5e-12")
    assert abs(Decimal(record.ask_quantity) - Decimal(asks) * 100 / Decimal(ask)) <= Decimal("0.5e-12")


@pytest.mark.parametrize("bid", ['"b":"","B":""', '"b":null,"B":null', '"B":"5"'])
def test_a_missing_side_of_a_quote_is_worth_nothing(bid: str) -> None:
    frame = f'{{"u":1,"s":"BTCUSD_PERP",{bid},"a":"50000","A":"5","E":5}}'
    (record,) = COIN_MARGINED.normalisers["bbo"](frame.encode(), COIN_CTX)
    assert isinstance(record, Bbo)
    assert (record.bid_price, record.bid_quantity, record.raw_bid_quantity) == ("", "", "")
    assert (record.ask_price, record.ask_quantity, record.raw_ask_quantity) == ("50000", "0.01", "5")


@pytest.mark.parametrize(("line", "size"), [(0, 100), (1, 10)])
def test_what_recorded_candles_say_of_contracts(line: int, size: int) -> None:
    """Contracts times their size by base volume is the average price: it lies within the candle."""
    frame = (frames_dir() / "binance" / "coinm" / "rest_klines.jsonl").read_bytes().splitlines()[line]
    for record in records_of("inverse", frame):
        average = Decimal(record["quote_volume"]) / Decimal(record["volume"])
        assert Decimal(record["low"]) <= average <= Decimal(record["high"])
        taker = Decimal(record["taker_buy_quote_volume"]) / Decimal(record["taker_buy_volume"])
        assert Decimal(record["low"]) <= taker <= Decimal(record["high"])
        assert Decimal(record["quote_volume"]) == Decimal(record["raw_volume"]) * size


def test_what_recorded_tickers_say_of_contracts() -> None:
    """The venue's own weighted average is its quote volume by its base volume: the sizes 100 and 10 are right."""
    for frame in (frames_dir() / "binance" / "coinm" / "ticker.jsonl").read_bytes().splitlines():
        for record in records_of("inverse", frame):
            average = Decimal(record["quote_volume"]) / Decimal(record["volume"])
            assert abs(average - Decimal(record["weighted_average_price"])) < Decimal("1e-8")


@pytest.mark.parametrize("channel", ["trade", "agg_trade", "bbo", "kline", "ticker", "liquidation"])
def test_without_metadata_contracts_mean_nothing(channel: str) -> None:
    name = {"trade": "trade", "agg_trade": "aggtrade"}.get(channel, channel)
    frame = (frames_dir() / "binance" / "coinm" / f"{name}.jsonl").read_bytes().splitlines()[0]
    found = COIN_MARGINED.protocol.classify(frame)
    assert isinstance(found, Data)
    ctx = Context("binance", "inverse", found.stream.symbol, "")
    with pytest.raises(BadData) as refused:
        COIN_MARGINED.normalisers[channel](frame, ctx)
    assert refused.value.code == "no_instrument"
    assert channel in COIN_MARGINED.unit_channels


def test_usd_margined_needs_no_metadata() -> None:
    assert not USD_MARGINED.unit_channels


# --- every recorded value --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("file", "channel", "record", "fields"),
    [
        ("trade", "trade", Trade, {"trade_id": "t", "price": "p", "quantity": "q"}),
        ("bbo", "bbo", Bbo, {"update_id": "u", "bid_price": "b", "bid_quantity": "B", "ask_price": "a",
                             "ask_quantity": "A"}),
        ("markprice", "mark_price", MarkPrice, {"mark_price": "p"}),
        ("markprice", "mark_price", Funding, {"rate": "r"}),
        ("ticker", "ticker", Ticker, {"last_price": "c", "volume": "v", "quote_volume": "q", "last_quantity": "Q"}),
    ],
)  # fmt: skip
def test_every_recorded_value_arrives_as_it_was_written(
    file: str, channel: str, record: type, fields: dict[str, str]
) -> None:
    seen = 0
    for frame in (frames_dir() / "binance" / "usdm" / f"{file}.jsonl").read_bytes().splitlines():
        wire = json.loads(frame).get("data", json.loads(frame))
        for payload in wire if isinstance(wire, list) else [wire]:
            if not USD_MARGINED.owns(payload["s"]):
                continue
            for ours in USD_MARGINED.normalisers[channel](frame, context("perp", payload["s"])):
                if isinstance(ours, record):
                    assert isinstance(ours, Trade | Bbo | MarkPrice | Funding | Ticker)
                    seen += 1
                    assert {n: getattr(ours, n) for n in fields} == {n: str(payload[k]) for n, k in fields.items()}
                    assert ours.event_time_us == payload["E"] * 1000
    assert seen >= 3


def test_every_recorded_candle_value_arrives_as_it_was_written() -> None:
    names = {"volume": "v", "quote_volume": "q", "taker_buy_volume": "V", "taker_buy_quote_volume": "Q", "open": "o"}
    for frame in (frames_dir() / "binance" / "usdm" / "kline.jsonl").read_bytes().splitlines():
        wire = json.loads(frame)["data"]
        (ours,) = USD_MARGINED.normalisers["kline"](frame, context("perp", wire["s"]))
        assert isinstance(ours, VenueKline)
        assert {name: getattr(ours, name) for name in names} == {name: wire["k"][key] for name, key in names.items()}


BASES = [TRADE, FORCED]
mutated = st.tuples(st.sampled_from(BASES), st.integers(0, 140), st.integers(0, 255)).map(
    lambda c: c[0][: c[1]] + bytes([c[2]]) + c[0][c[1] + 1 :]
)


@pytest.mark.parametrize("channel", sorted(COIN_MARGINED.normalisers))
@given(frame=st.binary(max_size=60) | st.text(max_size=60).map(str.encode) | mutated)
def test_normalisers_answer_anything_with_records_or_bad_data(channel: str, frame: bytes) -> None:
    for venue, ctx in ((USD_MARGINED, USD_CTX), (COIN_MARGINED, COIN_CTX)):
        with suppress(BadData):
            venue.normalisers[channel](frame, ctx)
