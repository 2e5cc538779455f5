"""The simulator's Deribit beside recorded frames and replies: fields, their order, how numbers are printed."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from simulator.deribit.wire import number, plain
from tests.simulator.deribit_kit import DATED, OPTION, PERPETUAL, data, opened, rest, subscribe
from tests.simulator.dialect_harness import Venue
from tests.simulator.shapes import alike, recorded, shape


@pytest.fixture
def venue(tmp_path: Path) -> Venue:
    return opened(tmp_path)


TICKER_OF = {PERPETUAL: "ETH-PERPETUAL", DATED: "BTC-25DEC26", OPTION: "BTC-25DEC26-76000-C"}


@pytest.mark.parametrize("symbol", TICKER_OF)
def test_tickers_have_the_recorded_fields(venue: Venue, symbol: str) -> None:
    client = venue.open("/ws/api/v2")
    subscribe(client, f"ticker.{symbol}.100ms")
    told = data(client, "ticker.")[0]
    theirs = next(
        each["params"]["data"]
        for each in recorded("deribit/any", pattern="ticker_perp_future_2026.jsonl")
        if each["params"]["data"]["instrument_name"] == TICKER_OF[symbol]
    )
    assert alike(shape(told), shape(theirs), ordered=False)
    assert told["best_bid_price"] < told["best_ask_price"]
    assert told["min_price"] < told["mark_price"] < told["max_price"]
    assert told["mark_price"] == pytest.approx((told["best_bid_price"] + told["best_ask_price"]) / 2, rel=0.1)
    whole = isinstance(told["open_interest"], int)
    assert whole == isinstance(theirs["open_interest"], int)


def test_other_frames_have_the_recorded_fields(venue: Venue) -> None:
    client = venue.open("/ws/api/v2")
    channels = [f"book.{PERPETUAL}.100ms", f"trades.{DATED}.100ms", f"quote.{PERPETUAL}", f"chart.trades.{DATED}.1"]
    subscribe(client, *channels)
    venue.advance(70.0)
    ours: dict[Any, Any] = {}
    for told in client.take():
        if "params" in told:
            data = told["params"]["data"]
            if data == [] or (isinstance(data, dict) and data.get("bids") == []):
                continue
            if isinstance(data, list) and "liquidation" in data[0]:
                continue
            ours.setdefault(kind_of(told), shape(data))
    compared = set()
    for theirs in recorded("deribit/any", "deribit/perpetual"):
        kind = kind_of(theirs)
        if kind not in ours:
            continue
        found = shape(theirs["params"]["data"])
        if kind == ("book", "snapshot") and "prev_change_id" in found:
            continue  # of 2022; gone since
        if kind[0] == "trades":
            newer = ("contracts", "starbase_match_id", "starbase_timestamp")  # older frames lack them
            found = [found[0] | dict.fromkeys(newer, "number")]
            if "mark_price" not in found[0] or "iv" in found[0]:
                continue
        assert alike(ours[kind], found, ordered=False), theirs
        compared.add(kind)
    assert (
        compared
        == ours.keys()
        == {("book", "snapshot"), ("book", "change"), ("trades", ""), ("quote", ""), ("chart", "")}
    )


def kind_of(told: dict[str, Any]) -> Any:
    params = told.get("params", {})
    if "channel" not in params or "none" in params["channel"]:
        return None
    inner = params["data"]
    return params["channel"].split(".")[0], inner.get("type", "") if isinstance(inner, dict) else ""


def test_key_order_is_that_of_2026(venue: Venue) -> None:
    client = venue.open("/ws/api/v2")
    subscribe(client, f"book.{PERPETUAL}.100ms", f"trades.{PERPETUAL}.100ms")
    venue.advance(2.0)
    told = [each["params"]["data"] for each in client.take() if "params" in each]
    ours = {each["type"]: list(each) for each in told if isinstance(each, dict)}
    for theirs in recorded("deribit/perpetual"):
        inner = theirs["params"]["data"]
        assert ours[inner["type"]] == list(inner)
    rows = [row for each in recorded("deribit/any", pattern="trade.jsonl") for row in each["params"]["data"]]
    current = [list(row) for row in rows if "starbase_timestamp" in row]
    assert current
    trades = [list(row) for each in told if isinstance(each, list) for row in each if "liquidation" not in row]
    assert all(row == current[0] for row in trades)


def test_rest_replies_have_the_recorded_fields(venue: Venue) -> None:
    book = {
        each["body"]["result"]["instrument_name"]: each["body"]
        for each in recorded("deribit/any", pattern="rest_book.jsonl")
    }
    for theirs, symbol in ((book["BTC-30SEP22"], DATED), (book["ETH-24JUN22-1600-P"], OPTION)):
        ours = rest(venue, "get_order_book", instrument_name=symbol)
        assert list(ours) == list(theirs)
        old = set(theirs["result"]) - {"stats"}
        assert old <= set(ours["result"])
    for theirs in recorded("deribit/any", pattern="rest_book_summary.jsonl"):
        their_row = theirs["body"]["result"][0]
        option = "underlying_price" in their_row
        ours_rows = rest(venue, "get_book_summary_by_currency", currency="BTC")["result"]
        wanted = OPTION if option else PERPETUAL if "funding_8h" in their_row else DATED
        our_row = next(row for row in ours_rows if row["instrument_name"] == wanted)
        assert set(their_row) <= set(our_row) <= set(their_row) | {"volume_usd"}
    for theirs in recorded("deribit/any", pattern="rest_instruments.jsonl"):
        rows = rest(venue, "get_instruments", currency="any")["result"]
        for their_row in theirs["body"]["result"]:
            kind = their_row["kind"]
            our_row = next(row for row in rows if row["kind"] == kind)
            assert set(their_row) - set(our_row) <= {"rfq"}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1.0002e6", "1000200"), ("3.0e6", "3000000"), ("10.0", "10"), ("76914.0", "76914"), ("8.55e4", "85500"),
        ("83950.0", "83950"), ("2.0e-5", "0.00002"), ("1.423e-4", "0.0001423"), ("0.0", "0"), ("20282.0", "20282"),
        ("-1.4674", "-1.4674"), ("0.0005", "0.0005"),
    ],
)  # fmt: skip
def test_numbers_are_printed_as_recorded(text: str, value: str) -> None:
    assert number(int(Decimal(value) * 10**8)) == text


def test_snapshots_print_numbers_without_exponents() -> None:
    assert plain(100_020_000_000_000) == "1000200.0"
