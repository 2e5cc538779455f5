"""REST replies of Binance's futures: told apart, read as polls, refused; contracts as their metadata describe them."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from marketdata.errors import BadData, UnparsableFrame
from marketdata.types import Instrument, LongShort, OpenInterest
from tests.frames import frames_dir
from venues import find_venue
from venues.contract import Context

USD_MARGINED = find_venue("binance", "perp")
COIN_MARGINED = find_venue("binance", "inverse")
CTX = Context("binance", "perp", "", "1588636860000000000")


def recorded(name: str, line: int = 0) -> tuple[str, bytes]:
    wrapped: dict[str, Any] = json.loads((frames_dir() / "binance" / name).read_bytes().splitlines()[line])
    return wrapped["_rest"], json.dumps(wrapped["body"]).encode()


# --- instruments -----------------------------------------------------------------------------------


def entry(**changes: object) -> bytes:
    """Of `/fapi/v1/exchangeInfo`, recorded 2021-07-22, cut to what is read."""
    base = {
        "symbol": "BTCUSDT", "pair": "BTCUSDT", "contractType": "PERPETUAL", "deliveryDate": 4133404800000,
        "status": "TRADING", "baseAsset": "BTC", "quoteAsset": "USDT", "marginAsset": "USDT", "pricePrecision": 2,
        "filters": [
            {"filterType": "PRICE_FILTER", "tickSize": "0.10"},
            {"filterType": "LOT_SIZE", "stepSize": "0.001", "minQty": "0.001"},
            {"filterType": "MIN_NOTIONAL", "notional": "5"},
            {"filterType": "NEW", "x": [1]},
        ],
    }  # fmt: skip
    return json.dumps(base | changes).encode()


DATED = {"symbol": "BTCUSDT_251226", "contractType": "NEXT_QUARTER", "deliveryDate": 1766736000000}


@pytest.mark.parametrize(
    ("changes", "name", "expiry_us", "status"),
    [
        ({}, "BTC-USDT-PERP", 0, "TRADING"),
        ({"contractType": "TRADIFI_PERPETUAL", "status": "TRADING_HALT"}, "BTC-USDT-PERP", 0, "TRADING_HALT"),
        ({"contractType": "", "status": "PENDING_TRADING"}, "BTC-USDT-PERP", 0, "PENDING_TRADING"),
        ({"contractType": None, "status": None, "contractStatus": None}, "BTC-USDT-PERP", 0, ""),
        (DATED | {"contractType": None, "status": ""}, "BTC-USDT-26DEC25", 1766736000000000, ""),
        ({"contractType": "PERPETUAL_DELIVERING", "deliveryDate": 1766736000000}, "BTC-USDT-PERP", 0, "TRADING"),
        (DATED, "BTC-USDT-26DEC25", 1766736000000000, "TRADING"),
        (DATED | {"contractType": "NEXT_QUARTER_DELIVERING", "status": "SOMETHING_NEW"}, "BTC-USDT-26DEC25",
         1766736000000000, "SOMETHING_NEW"),
        (DATED | {"contractType": "CURRENT_MONTH", "deliveryDate": 1767340800000}, "BTC-USDT-02JAN26",
         1767340800000000, "TRADING"),
    ],
)  # fmt: skip
def test_a_contracts_name_and_expiry(changes: dict[str, object], name: str, expiry_us: int, status: str) -> None:
    body = entry(**changes)
    ours = USD_MARGINED.parse_instrument(body, msgspec.structs.replace(CTX, symbol=json.loads(body)["symbol"]))
    assert (ours.instrument, ours.expiry_us, ours.status) == (name, expiry_us, status)
    assert (ours.contract_multiplier, ours.inverse, ours.contract_size) == ("1", False, "")
    assert (ours.tick_size, ours.lot_size, ours.min_quantity, ours.min_notional) == ("0.10", "0.001", "0.001", "5")


COIN_ENTRY = {  # documentation and quoted replies of 2021-12
    "symbol": "BTCUSD_PERP", "pair": "BTCUSD", "contractStatus": "TRADING", "contractSize": 100, "quoteAsset": "USD",
    "marginAsset": "BTC", "pricePrecision": 1, "quantityPrecision": 0,
    "filters": [
        {"filterType": "PRICE_FILTER", "minPrice": "1000", "maxPrice": "4520958", "tickSize": "0.1"},
        {"filterType": "LOT_SIZE", "stepSize": "1", "maxQty": "1000000", "minQty": "1"},
    ],
}  # fmt: skip


def coin_entry(**changes: object) -> bytes:
    body: dict[str, object] = json.loads(entry()) | COIN_ENTRY | changes
    del body["status"]
    return json.dumps(body).encode()


def test_a_coin_margined_contract() -> None:
    ours = COIN_MARGINED.parse_instrument(coin_entry(), Context("binance", "inverse", "BTCUSD_PERP", "1"))
    assert ours == Instrument(
        exchange="binance", market="inverse", symbol="BTCUSD_PERP", instrument="BTC-USD-PERP", recv_time_ns="1",
        base="BTC", quote="USD", settle="BTC", status="TRADING", tick_size="0.1", lot_size="1", min_quantity="1",
        contract_multiplier="100", inverse=True, contract_size="100",
    )  # fmt: skip
    dated = coin_entry(symbol="ETHUSD_251226", baseAsset="ETH", marginAsset="ETH", contractType="CURRENT_QUARTER",
                       deliveryDate=1766736000000, contractSize=10)  # fmt: skip
    ours = COIN_MARGINED.parse_instrument(dated, Context("binance", "inverse", "ETHUSD_251226", "1"))
    assert (ours.instrument, ours.contract_multiplier) == ("ETH-USD-26DEC25", "10")


@pytest.mark.parametrize("size", [0, -100, None, "", "x", [100]])
def test_a_contract_without_a_size_is_refused(size: object) -> None:
    with pytest.raises(UnparsableFrame):
        COIN_MARGINED.parse_instrument(coin_entry(contractSize=size), Context("binance", "inverse", "", "1"))


@pytest.mark.parametrize(
    "body", [b"", b"{}", entry(symbol="ETHUSDT"), entry(deliveryDate="x"), entry(**DATED | {"deliveryDate": 10**18})]
)
def test_what_is_no_entry_of_the_symbol_is_refused(body: bytes) -> None:
    with pytest.raises(UnparsableFrame):
        USD_MARGINED.parse_instrument(body, msgspec.structs.replace(CTX, symbol="BTCUSDT"))


def test_recorded_dated_contract() -> None:
    path, body = recorded("usdm/rest_exchange_info.docs.jsonl")
    names = {r.symbol: r.instrument for r in USD_MARGINED.read_rest(path, body, CTX).records
             if isinstance(r, Instrument)}  # fmt: skip
    assert names["BTCUSDT_220325"] == "BTC-USDT-25MAR22"


# --- polls -----------------------------------------------------------------------------------------


def coin_contract(symbol: str = "BTCUSD_PERP") -> Instrument:
    body = coin_entry(symbol=symbol)
    return COIN_MARGINED.parse_instrument(body, Context("binance", "inverse", symbol, ""))


def polled(market: str, path: str, body: bytes, symbol: str) -> list[Any]:
    venue = find_venue("binance", market)
    assert venue.read_poll is not None
    instrument = coin_contract(symbol) if market == "inverse" else None
    return list(venue.read_poll(path, body, Context("binance", market, symbol, "1", instrument)))


@pytest.mark.parametrize(
    ("file", "line", "kind", "period", "newest"),
    [
        ("usdm/rest_top_long_short_position_ratio.jsonl", 2, "top_position", "5m", ("0.5229", "1.0960")),
        ("usdm/rest_top_long_short_account_ratio.jsonl", 0, "top_account", "5m", ("0.5141", "1.0580")),
        ("usdm/rest_global_long_short_account_ratio.jsonl", 0, "global_account", "4h", None),
        ("usdm/rest_taker_long_short_ratio.jsonl", 0, "taker_volume", "5m", None),
    ],
)
def test_ratios_of_usd_margined(file: str, line: int, kind: str, period: str, newest: tuple[str, str] | None) -> None:
    path, body = recorded(file, line)
    rows = json.loads(body)
    records = polled("perp", path, body, "BTCUSDT")
    assert len(records) == len(rows)
    for record, row in zip(records, rows, strict=True):
        assert isinstance(record, LongShort)
        assert (record.symbol, record.ratio_kind, record.period) == ("BTCUSDT", kind, period)
        assert record.ratio == row.get("longShortRatio", row.get("buySellRatio"))
        assert record.long == row.get("longAccount", row.get("buyVol"))
        assert record.short == row.get("shortAccount", row.get("sellVol"))
        assert record.event_time_us == row["timestamp"] * 1000
    if kind == "top_account" and newest is not None:
        assert (records[-1].long, records[-1].ratio) == newest


@pytest.mark.parametrize(
    ("file", "line", "kind"),
    [
        ("usdm/rest_top_long_short_position_ratio.jsonl", 1, "top_position"),
        ("usdm/rest_top_long_short_account_ratio.jsonl", 2, "top_account"),
        ("usdm/rest_global_long_short_account_ratio.jsonl", 2, "global_account"),
        ("coinm/rest_taker_buy_sell_vol.jsonl", 0, "taker_volume"),
    ],
)
def test_what_is_told_of_a_pair_is_the_perpetuals(file: str, line: int, kind: str) -> None:
    path, body = recorded(file, line)
    assert "pair=BTCUSD" in path
    records = polled("inverse", path, body, "BTCUSD_PERP")
    assert len(records) == len(json.loads(body))
    assert {(r.symbol, r.ratio_kind, r.period) for r in records} == {("BTCUSD_PERP", kind, "5m")}
    assert all(r.ratio and r.long and r.short for r in records)


def test_a_ratio_by_division() -> None:
    row = {"pair": "BTCUSD", "contractType": "ALL", "takerBuyVolValue": "1", "takerSellVolValue": "3",
           "timestamp": 1602984300000}  # fmt: skip
    nothing_sold = row | {"takerSellVolValue": "0.0000"}
    path = "/futures/data/takerBuySellVol?pair=BTCUSD&contractType=ALL&period=5m&limit=6"
    (record,) = polled("inverse", path, json.dumps([row, nothing_sold]).encode(), "BTCUSD_PERP")
    assert (record.ratio, record.long, record.short) == ("0.33333333", "1", "3")


def test_open_interest() -> None:
    path, body = recorded("usdm/rest_open_interest.jsonl", 1)
    (record,) = polled("perp", path, body, "BTCUSDT")
    assert isinstance(record, OpenInterest)
    assert (record.open_interest, record.raw_open_interest, record.value) == ("83782.317", "", "")
    assert record.event_time_us == 1702244985273000


def test_open_interest_of_coin_margined_in_base_coin() -> None:
    """The recorded reply is of a dated contract, whose symbol it does not say; the perpetual's differs in the type."""
    path, body = recorded("usdm/rest_open_interest_hist.jsonl", 2)
    assert polled("inverse", path, body, "BTCUSD_PERP") == []
    perpetual = body.replace(b"CURRENT_QUARTER", b"PERPETUAL")
    records = polled("inverse", path.replace("CURRENT_QUARTER", "PERPETUAL"), perpetual, "BTCUSD_PERP")
    assert len(records) == len(json.loads(body))
    first = records[0]
    assert (first.symbol, first.open_interest, first.raw_open_interest) == (
        "BTCUSD_PERP", "2451.46068891", "284391.00000000",
    )  # fmt: skip
    assert (first.value, first.event_time_us) == ("28439100", 1602984600000000)


def test_contracts_alone_are_no_open_interest() -> None:
    path, body = recorded("coinm/rest_open_interest.jsonl", 1)
    assert polled("inverse", path, body, "BTCUSD_PERP") == []


@pytest.mark.parametrize("market", ["perp", "inverse"])
def test_a_refusal_is_no_answer(market: str) -> None:
    with pytest.raises(BadData, match="-1121"):
        polled(market, "/futures/data/basis?period=5m", b'{"code":-1121,"msg":"Invalid symbol."}', "BTCUSD_PERP")


def test_an_empty_answer_is_one() -> None:
    assert polled("perp", "/futures/data/takerlongshortRatio?symbol=X&period=5m", b"[]", "X") == []


# --- other replies ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "body", "kind", "records"),
    [
        ("/fapi/v1/ping", b"{}", "ping", 0),
        ("", b'{"serverTime":1499827319559}', "time", 0),
        ("", b'{"symbol":"BTCUSDT","price":"6000.01","time":1589437530011}', "price", 0),
        ("", b'{"lastUpdateId":1,"E":2,"T":1,"bids":[["4.0","431"]],"asks":[]}', "book", 0),
        ("/fapi/v1/depth?symbol=NOPE", b'{"code":-1121,"msg":"Invalid symbol."}', "error", 0),
        ("", b'[[1591256400000,"1","2","1","2","0",1591256459999,"0",60,"0","0","0"]]', "derived_kline", 0),
        ("/fapi/v1/markPriceKlines?symbol=X", b'[[1,"1","2","1","2","0",2,"0",60,"0","0","0"]]', "derived_kline", 0),
        ("/fapi/v1/klines?symbol=X&interval=1m", b'[[1,"1","2","1","2","0",2,"0",60,"0","0","0"]]', "kline", 1),
        ("", b'[{"symbol":"X","longShortRatio":"1.8","timestamp":"1583139600000"}]', "long_short", 0),
        ("/fapi/v1/fundingRate?symbol=X", b'[{"symbol":"X","fundingRate":"-0.1","fundingTime":5,"rateType":"N"}]',
         "funding", 1),
        ("/fapi/v1/premiumIndex", b'[{"symbol":"X","markPrice":"1","time":5,"lastFundingRate":"0","nextFundingTime":9},'
         b'{"symbol":"Y","markPrice":"1","time":5,"lastFundingRate":"","nextFundingTime":0},'
         b'{"symbol":"Z","markPrice":"1","time":5,"indexPrice":null,"estimatedSettlePrice":null,"lastFundingRate":null,'
         b'"nextFundingTime":null}]', "mark_price", 4),
    ],
)  # fmt: skip
def test_replies_are_told_by_path_or_shape(path: str, body: bytes, kind: str, records: int) -> None:
    reply = USD_MARGINED.read_rest(path, body, CTX)
    assert (reply.kind, len(reply.records)) == (kind, records)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("", b"[]"),
        ("", b"<html>"),
        ("", b'{"new":1}'),
        ("/fapi/v1/openInterest?symbol=X", b'{"openInterest":"1"}'),
        ("/fapi/v1/openInterest?symbol=X", b'{"openInterest":"many","symbol":"X","time":1}'),
        ("/futures/data/takerlongshortRatio?symbol=X&period=5m", b'[{"buySellRatio":"1"}]'),
        ("/futures/data/topLongShortAccountRatio?symbol=X&period=5m", b'[{"longShortRatio":"1","timestamp":"soon"}]'),
        ("/fapi/v1/fundingRate", b'[{"symbol":"X","fundingRate":"","fundingTime":5}]'),
        ("/fapi/v1/indexInfo", b'[{"symbol":"X"}]'),
    ],
)
def test_what_is_no_such_reply_is_refused(path: str, body: bytes) -> None:
    with pytest.raises(UnparsableFrame):
        USD_MARGINED.read_rest(path, body, CTX)


def test_one_contracts_size_is_not_anothers() -> None:
    """24 h statistics of all contracts, with the metadata of one."""
    row = {
        "symbol": "ETHUSD_PERP", "lastPrice": "5", "openPrice": "4", "highPrice": "5", "lowPrice": "4", "volume": "7",
        "openTime": 1, "closeTime": 2, "firstId": 1, "lastId": 2, "count": 2, "baseVolume": "15.5",
    }  # fmt: skip
    ctx = Context("binance", "inverse", "", "1", coin_contract("BTCUSD_PERP"))
    with pytest.raises(BadData, match="ETHUSD_PERP") as refused:
        COIN_MARGINED.read_rest("/dapi/v1/ticker/24hr", json.dumps([row]).encode(), ctx)
    assert refused.value.code == "no_instrument"
    own = json.dumps([row | {"symbol": "BTCUSD_PERP"}]).encode()
    (record,) = COIN_MARGINED.read_rest("/dapi/v1/ticker/24hr", own, ctx).records
    assert {"volume": "15.5", "quote_volume": "700", "raw_volume": "7"}.items() <= msgspec.to_builtins(record).items()
