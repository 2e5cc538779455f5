"""Deribit's instruments in the simulator: names, units, states, listings, expiries."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from simulator.deribit.dialect import SEGMENT
from simulator.deribit.instruments import instrument, parse
from simulator.faults import Fault
from tests.simulator.deribit_kit import DATED, LINEAR, OPTION, PERPETUAL, Book, ask, data, opened, rest, subscribe
from tests.simulator.dialect_harness import T0_US, Venue


@pytest.fixture
def venue(tmp_path: Path) -> Venue:
    return opened(tmp_path)


def test_streams_about_instruments(venue: Venue) -> None:
    known = ["instrument.state.any.any", "instrument.creation.any.any", "instrument.creation.future.BTC"]
    client = venue.open("/ws/api/v2")
    subscribe(client, *known, "instrument.deletion.any.any", "instrument.creation.any", "instrument.creation.any.XYZ")
    venue.advance(0.1)
    (reply,) = [told for told in client.take() if told.get("id") == 5]
    assert sorted(reply["result"]) == sorted(known)


def move(venue: Venue, symbol: str, state: str) -> int:
    fault = Fault(kind="instrument_state", venue="deribit", symbol=symbol, state=state)
    return asyncio.run(venue.dialect.apply(fault))


def listed(venue: Venue, symbol: str, **params: str) -> Any:
    venue.dialect.credits.clear()  # type: ignore[attr-defined]
    rows = rest(venue, "get_instruments", currency="any", **params)["result"]
    return next((row for row in rows if row["instrument_name"] == symbol), None)


def test_a_delivered_instrument_is_over_and_a_new_one_is_told_whole(venue: Venue) -> None:
    client, book = venue.open("/ws/api/v2"), Book()
    channels = [f"book.{OPTION}.100ms", f"book.{OPTION}.none.10.100ms", f"quote.{OPTION}", f"ticker.{OPTION}.100ms"]
    subscribe(client, *channels, "instrument.state.any.any", "instrument.creation.option.BTC")
    venue.advance(30.0)
    assert move(venue, OPTION, "delivered") == 1
    told = [each["params"] for each in client.take() if "params" in each]
    for each in told:
        if each["channel"] == channels[0]:
            book.take(each["data"])
    assert (book.gaps, book.sides) == (0, {"bids": {}, "asks": {}}), "its last change empties it"
    last = {each["channel"]: each["data"] for each in told}
    assert (last[channels[1]]["bids"], last[channels[1]]["asks"]) == ([], [])
    for channel in channels[2:]:
        assert (last[channel]["best_bid_price"], last[channel]["best_ask_price"]) == (None, None)
        assert (last[channel]["best_bid_amount"], last[channel]["best_ask_amount"]) == (0, 0)
    assert last[channels[3]]["state"] == last["instrument.state.any.any"]["state"] == "delivered"
    venue.advance(120.0)
    assert client.take() == [], "and it rests"
    assert listed(venue, OPTION) is None
    over = listed(venue, OPTION, expired="true")
    assert (over["state"], over["is_active"]) == ("delivered", False)
    assert rest(venue, "get_order_book", instrument_name=OPTION)["error"]["code"] == 13019
    late = venue.open("/ws/api/v2", number=2)
    assert ask(late, "public/subscribe", channels=channels)["result"] == []
    assert move(venue, OPTION, "open") == 1
    creation, state = [each["params"] for each in client.take()]
    assert creation["channel"] == "instrument.creation.option.BTC"
    assert creation["data"] == listed(venue, OPTION)
    assert state["data"]["state"] == "open"
    venue.advance(30.0)
    assert data(client, "book.")


def test_an_expiry_comes_by_the_clock(tmp_path: Path) -> None:
    expires = datetime.fromtimestamp(T0_US // 86_400_000_000 * 86_400, UTC) + timedelta(days=2, hours=8)
    soon = f"BTC-{expires.day}{expires:%b%y}".upper()
    venue = Venue(SEGMENT, [PERPETUAL, soon], tmp_path, frames_per_s=1.0)
    venue.market.skip_to(int(expires.timestamp() * 1e6) - 2_000_000)
    client = venue.open("/ws/api/v2")
    subscribe(client, "instrument.state.future.BTC")
    venue.advance(3.0)
    assert {listed(venue, each)["state"] for each in (PERPETUAL, soon)} == {"settlement"}
    venue.advance(5.0)
    states: dict[str, list[str]] = {PERPETUAL: [], soon: []}
    for each in data(client, "instrument.state"):
        states[each["instrument_name"]].append(each["state"])
    assert states == {PERPETUAL: ["settlement", "open"], soon: ["settlement", "delivered"]}
    assert listed(venue, soon) is None
    assert listed(venue, PERPETUAL)["state"] == "open"


def test_states_change_at_settlement(tmp_path: Path) -> None:
    venue = Venue(SEGMENT, [PERPETUAL], tmp_path, frames_per_s=1.0)
    eight = (venue.market.at_us // 86_400_000_000 + 1) * 86_400_000_000 + 8 * 3_600_000_000
    venue.market.skip_to(eight - 5_000_000)
    client = venue.open("/ws/api/v2")
    subscribe(client, "instrument.state.any.any", "instrument.state.option.BTC")
    venue.advance(10.0)
    assert [each["state"] for each in data(client, "instrument.state")] == ["settlement", "open"]


def test_rest_methods(venue: Venue) -> None:
    assert rest(venue, "get_time")["result"] == venue.market.at_us // 1000
    names = {row["instrument_name"] for row in rest(venue, "get_instruments", currency="BTC")["result"]}
    assert names == {PERPETUAL, DATED, OPTION, "BTC-25DEC26-80000-P"}
    usdc = rest(venue, "get_instruments", currency="USDC", kind="future")["result"]
    assert [row["instrument_name"] for row in usdc] == [LINEAR]
    assert rest(venue, "get_instruments", currency="BTC", kind="nonsense")["error"]["data"]["param"] == "kind"
    book = rest(venue, "get_order_book", instrument_name=PERPETUAL, depth="10")["result"]
    assert len(book["bids"]) == len(book["asks"]) == 10
    assert book["bids"][0][0] == book["best_bid_price"]
    assert rest(venue, "get_order_book", instrument_name="X")["error"]["code"] == -32602
    assert rest(venue, "nonsense")["error"]["code"] == -32601


def test_units(venue: Venue) -> None:
    rows = {row["instrument_name"]: row for row in rest(venue, "get_instruments", currency="any")["result"]}
    assert (rows[PERPETUAL]["instrument_type"], rows[PERPETUAL]["contract_size"]) == ("reversed", 10.0)
    assert rows[PERPETUAL]["tick_size"] in (0.5, 5.0)
    assert rows[LINEAR]["instrument_type"] == "linear"
    assert (rows[OPTION]["strike"], rows[OPTION]["option_type"], rows[OPTION]["quote_currency"]) == (
        60000.0,
        "call",
        "BTC",
    )
    assert rows[OPTION]["tick_size"] == 0.0005


def test_names_are_read_as_documented() -> None:
    linear = parse("XRP_USDC-30JUN23-0d625-C")
    assert (linear.base, linear.quote, linear.strike_e8, linear.inverse) == ("XRP", "USDC", 62_500_000, False)
    assert parse("BTC-5AUG23").expiry_ms == 1_691_222_400_000
    assert parse("BTC_USDC").kind == "spot"
    for name in ("BTC", "BTC-PERPETUAL-1-C", "btc-perpetual", "BTC-5XXX23"):
        with pytest.raises(ValueError, match="is no"):
            instrument(0, name, 1)
