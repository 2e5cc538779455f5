"""OKX REST replies: metadata, polls, and whatever a recording may hold."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from marketdata.errors import BadData, UnparsableFrame
from marketdata.types import Instrument, LongShort, Trade, VenueKline
from tests.frames import frames_dir
from venues import find_venue
from venues.contract import Context
from venues.okx.instruments import parse_instrument
from venues.okx.polls import STATISTICS, long_short_polls, read_poll
from venues.okx.rest import read_rest

PERP = find_venue("okx", "perp")
CTX = Context("okx", "perp", "BTC-USDT-SWAP", "1790439596000000000")


def reply(*rows: Any, code: str = "0") -> bytes:
    return json.dumps({"code": code, "msg": "", "data": rows}).encode()


# --- instruments -----------------------------------------------------------------------------------------

ENTRY = {
    "instId": "BTC-USDT-SWAP", "instType": "SWAP", "state": "live", "tickSz": "0.1", "lotSz": "0.01", "minSz": "0.01",
    "baseCcy": "", "quoteCcy": "", "settleCcy": "USDT", "ctVal": "0.01", "ctMult": "1", "ctValCcy": "BTC",
    "ctType": "linear", "expTime": "", "stk": "", "optType": "", "upcChg": [], "tradeQuoteCcyList": [],
}  # fmt: skip


def instrument(**changes: Any) -> Instrument:
    return parse_instrument(json.dumps(ENTRY | changes).encode(), Context("okx", "perp", "", ""))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, ("perp", "BTC-USDT-PERP", "BTC", "USDT", "0.01", False, 0)),
        ({"ctMult": "10"}, ("perp", "BTC-USDT-PERP", "BTC", "USDT", "0.1", False, 0)),
        ({"expTime": "1790784000000"}, ("perp", "BTC-USDT-PERP", "BTC", "USDT", "0.01", False, 0)),  # a delisting
        ({"instId": "BTC-USD-SWAP", "ctType": "inverse", "ctVal": "100", "ctValCcy": "USD", "settleCcy": "BTC"},
         ("perp", "BTC-USD-PERP", "BTC", "USD", "100", True, 0)),
        ({"instId": "BTC-USD_UM-SWAP"}, ("perp", "BTC-USD_UM-PERP", "BTC", "USD", "0.01", False, 0)),
        ({"instId": "BTC-USDT-261205", "expTime": "1796457600000"},
         ("future", "BTC-USDT-05DEC26", "BTC", "USDT", "0.01", False, 1796457600000000)),
        ({"instId": "BTC-USD-261205-92000-P", "expTime": "1796457600000", "ctVal": "1", "ctMult": "0.01", "ctType": "",
          "settleCcy": "BTC", "stk": "92000", "optType": "P"},
         ("option", "BTC-05DEC26-92000-P", "BTC", "USD", "0.01", False, 1796457600000000)),
        ({"instId": "BTC-USD-261205-92000-P", "expTime": "1796457600000", "ctVal": "1", "ctMult": "0.01", "ctType": "",
          "settleCcy": "USDC", "stk": "92000", "optType": "P"},
         ("option", "BTC-USD-05DEC26-92000-P", "BTC", "USD", "0.01", False, 1796457600000000)),
        ({"instId": "BTC-USDT", "ctVal": "", "ctMult": "", "ctValCcy": "", "ctType": "", "settleCcy": ""},
         ("spot", "BTC-USDT", "BTC", "USDT", "1", False, 0)),
    ],
)  # fmt: skip
def test_what_an_instrument_is(changes: dict[str, Any], expected: tuple[Any, ...]) -> None:
    i = instrument(**changes)
    assert (
        i.market, i.instrument, i.base, i.quote, i.contract_multiplier, i.inverse, i.expiry_us,
    ) == expected  # fmt: skip
    assert (i.tick_size, i.lot_size, i.min_quantity, i.status) == ("0.1", "0.01", "0.01", "live")
    assert i.settle == (changes.get("settleCcy", "USDT") or "USDT")


@pytest.mark.parametrize(
    "changes",
    [
        {"ctValCcy": "USDT"},  # a linear contract worth dollars: neither rule says what it is in coin
        {"ctValCcy": ""},
        {"ctType": "inverse"},  # worth coin
        {"ctVal": ""},
        {"ctVal": "0"},
        {"ctMult": "-1"},
        {"instId": "BTC"},
        {"instId": "BTC-USDT-261205"},  # without an expiry
        {"instId": "BTC-USD-261205-92000-P", "expTime": "1796457600000", "stk": "92000"},  # call or put?
        {"tickSz": None},
    ],
)
def test_metadata_that_do_not_tell_the_size_of_a_contract_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(BadData):
        instrument(**changes)


def test_an_entry_of_another_symbol_is_refused() -> None:
    with pytest.raises(UnparsableFrame, match="ETH-USDT-SWAP"):
        parse_instrument(json.dumps(ENTRY).encode(), Context("okx", "perp", "ETH-USDT-SWAP", ""))


def test_sizes_without_a_rule_are_absent() -> None:
    i = instrument(tickSz="", lotSz="0", minSz="0.0")
    assert (i.tick_size, i.lot_size, i.min_quantity) == ("", "", "")


def test_recorded_instruments_of_each_market() -> None:
    counts = dict.fromkeys(("spot", "perp", "future", "option"), 0)
    for line in (frames_dir() / "okx" / "any" / "rest_instruments.jsonl").read_bytes().splitlines()[:5]:
        wire = json.loads(line)
        body = json.dumps(wire["body"]).encode()
        for market in counts:
            venue = find_venue("okx", market)
            for symbol, entry in venue.protocol.instruments_reply(body):
                found = venue.parse_instrument(entry, Context("okx", market, symbol, "1"))
                assert found.market == market
                assert found.instrument
                counts[market] += 1
    assert counts == {"spot": 10, "perp": 10, "future": 10, "option": 20}


# --- long/short -------------------------------------------------------------------------------------------


def polled(kind: str, *rows: list[str], recv_ms: int = 1_790_439_596_000) -> list[LongShort]:
    statistic = next(s for s in STATISTICS if s.kind == kind)
    unit = "&unit=0" if kind == "taker_volume" else ""
    path = f"{statistic.path}?instId=BTC-USDT-SWAP&period=5m{unit}"
    ctx = Context("okx", "perp", "BTC-USDT-SWAP", f"{recv_ms}000000")
    return list(read_poll(path, reply(*rows), ctx))


@pytest.mark.parametrize("kind", ["global_account", "top_account", "top_position"])
def test_ratios_of_periods_that_are_over_oldest_first(kind: str) -> None:
    rows = [["1790439300001", "3"], ["1790439000000", "1.2500"], ["1790438700000", "0.7"]]
    records = polled(kind, *rows)
    assert [(r.ratio_kind, r.period, r.ratio, r.event_time_us, r.long, r.short) for r in records] == [
        (kind, "5m", "0.7", 1790438700000000, "", ""),
        (kind, "5m", "1.2500", 1790439000000000, "", ""),
    ]
    assert len(polled(kind, *rows, recv_ms=1_790_439_600_001)) == 3


@pytest.mark.parametrize("kind", [s.kind for s in STATISTICS])
def test_columns_that_come_to_stand_behind_those_we_know_change_nothing(kind: str) -> None:
    row = ["1790439000000", "8", "2"] if kind == "taker_volume" else ["1790439000000", "8"]
    (known,) = polled(kind, row)
    assert polled(kind, [*row, "5"]) == polled(kind, [*row, "x", ""]) == [known]


def test_what_was_sold_comes_first() -> None:
    (record,) = polled("taker_volume", ["1790439000000", "8", "2"])
    assert (record.ratio, record.long, record.short) == ("0.25000000", "2", "8")
    assert polled("taker_volume", ["1790439000000", "0", "2"]) == []  # nothing sold: no ratio


@given(st.integers(1, 10**12), st.integers(0, 10**12))
def test_the_ratio_of_volumes_is_within_half_a_unit_of_its_last_place(sold: int, bought: int) -> None:
    (record,) = polled("taker_volume", ["1790439000000", str(sold), str(bought)])
    whole, _, fraction = record.ratio.partition(".")
    assert len(fraction) == 8
    assert abs(int(whole + fraction) * sold - bought * 10**8) * 2 <= sold


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (STATISTICS[0].path, reply(code="50011")),
        (STATISTICS[0].path, b"<html>"),
        (STATISTICS[0].path, reply(["1790439000000"])),
        (STATISTICS[0].path, reply(["x", "1"])),
        (STATISTICS[0].path, reply(["1790439000000", "NaN"])),
        (STATISTICS[0].path + "?period=1W", reply(["1790439000000", "1"])),
        (STATISTICS[0].path + "?instId=ETH-USDT-SWAP", reply(["1790439000000", "1"])),
        (STATISTICS[3].path, reply(["1790439000000", "1", "1"])),  # contracts, not coin
        (STATISTICS[3].path + "?unit=0", reply(["1790439000000", "1"])),
        ("/api/v5/rubik/stat/contracts/open-interest-history", reply()),
    ],
)
def test_a_poll_that_says_nothing_we_can_use_is_refused(path: str, body: bytes) -> None:
    with pytest.raises(BadData):
        read_poll(path, body, CTX)


def test_every_poll_we_send_can_be_read() -> None:
    assert PERP.read_poll is not None
    for poll in long_short_polls("BTC-USDT-SWAP"):
        path = poll.request.path + "?" + "&".join(f"{k}={v}" for k, v in poll.request.query.items())
        row = ["1790439000000", "1", "2"] if "taker" in path else ["1790439000000", "2"]
        ((symbol, part),) = PERP.protocol.poll_reply(poll.request, reply(row))
        (record,) = PERP.read_poll(path, part, CTX)
        assert isinstance(record, LongShort)
        assert (symbol, record.symbol) == ("BTC-USDT-SWAP", "BTC-USDT-SWAP")
        assert list(read_rest(path, part, CTX).records) == [record]


# --- any reply --------------------------------------------------------------------------------------------


def test_a_book_is_as_deep_as_was_asked_for() -> None:
    row = {"asks": [["2", "1", "0", "1"]], "bids": [["1", "1", "0", "1"]], "ts": "5", "seqId": 7}
    found = read_rest("/api/v5/market/books?instId=BTC-USDT&sz=400", reply(row), CTX)
    assert (found.kind, found.symbol) == ("book", "BTC-USDT")
    assert found.snapshot is not None
    assert (found.snapshot.envelope, found.snapshot.limit) == ((7, 5000), 400)
    assert read_rest("/api/v5/market/books?instId=BTC-USDT", reply(row), CTX).snapshot.limit == 1  # type: ignore[union-attr]
    del row["seqId"]  # before 2022-06
    assert read_rest("/api/v5/market/books?instId=BTC-USDT&sz=400", reply(row), CTX).snapshot is None
    full = {"asks": [["2", "1", "1"]], "bids": [["1", "1", "1"]], "ts": "5", "seqId": 7}
    assert read_rest("/api/v5/market/books-full?sz=5000", reply(full), CTX).snapshot is not None


def test_candles_need_to_know_whose_they_are() -> None:
    rows = [["1790439540000", "1", "2", "1", "2", "100", "1", "2", "0"], ["1790439480000", *"111111", "1", "1"]]
    found = read_rest("/api/v5/market/candles?instId=BTC-USDT-SWAP&bar=1m", reply(*rows), CTX).records
    assert [(k.volume, k.raw_volume, k.is_closed) for k in found if isinstance(k, VenueKline)] == [
        ("1", "100", False), ("1", "1", True),
    ]  # fmt: skip
    (spot, _) = read_rest("/api/v5/market/candles?instId=BTC-USDT", reply(*rows), CTX).records
    assert isinstance(spot, VenueKline)
    assert (spot.market, spot.volume, spot.interval) == ("spot", "100", "1m")
    nameless = read_rest("", reply(*rows), Context("okx", "spot", "", ""))
    assert (nameless.kind, len(nameless.records)) == ("kline", 0)


def test_elements_are_of_the_market_of_their_own_id() -> None:
    row = {"instId": "BTC-USDT", "tradeId": "5", "px": "1", "sz": "2", "side": "buy", "ts": "3"}
    found = read_rest("/api/v5/market/trades", reply(row), CTX)
    (trade,) = found.records
    assert isinstance(trade, Trade)
    assert (found.symbol, trade.market, trade.quantity, trade.aggregated) == ("BTC-USDT-SWAP", "spot", "2", False)


@pytest.mark.parametrize(
    ("path", "row", "kind"),
    [
        ("/api/v5/public/time", {"ts": "1"}, "time"),
        ("", {"ts": "1"}, "time"),
        (
            "/api/v5/market/index-tickers?instId=BTC-USDT",
            {"instId": "BTC-USDT", "idxPx": "1", "ts": "1"},
            "index_ticker",
        ),
        ("", {"instId": "A-B-SWAP", "buyLmt": "1", "sellLmt": "1", "ts": "1"}, "price_limit"),
    ],
)
def test_replies_without_a_record(path: str, row: Any, kind: str) -> None:
    found = read_rest(path, reply(row), CTX)
    assert (found.kind, list(found.records)) == (kind, [])


def test_a_refusal_is_an_error() -> None:
    found = read_rest("/api/v5/market/books?instId=X-Y", b'{"code":"51001","msg":"Instrument ID does not exist"}', CTX)
    assert found.error == (None, "51001", "Instrument ID does not exist", ())


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("", b"<html>"), ("", b"\xff"), ("", b"[]"), ("", reply()), ("", reply({"x": "1"})), ("", reply("x")),
        ("/api/v5/market/books?sz=x", reply({"asks": [], "bids": [], "ts": "1", "seqId": 1})),
        ("/api/v5/market/books", reply()), ("/api/v5/market/trades", reply({"instId": "BTC-USDT"})),
    ],
)  # fmt: skip
def test_what_is_no_reply_is_refused(path: str, body: bytes) -> None:
    with pytest.raises(BadData):
        read_rest(path, body, CTX)
