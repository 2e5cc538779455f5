"""Deribit as the simulator speaks it: recorded shapes, books chained by ids, silent drops, heartbeats, units."""

from __future__ import annotations

import asyncio
import itertools
import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from simulator.deribit.dialect import SEGMENT
from simulator.deribit.instruments import instrument, parse
from simulator.deribit.session import Credits
from simulator.deribit.wire import number, plain
from simulator.dialect import Close, Request
from simulator.faults import Fault
from tests.simulator.dialect_harness import T0_US, Client, Venue
from tests.simulator.shapes import alike, recorded, shape

PERPETUAL, LINEAR, DATED, OPTION = "BTC-PERPETUAL", "SOL_USDC-PERPETUAL", "BTC-25DEC26", "BTC-25DEC26-60000-C"
SYMBOLS = [PERPETUAL, "ETH-PERPETUAL", LINEAR, DATED, OPTION, "BTC-25DEC26-80000-P"]


@pytest.fixture
def venue(tmp_path: Path) -> Venue:
    made = Venue(SEGMENT, SYMBOLS, tmp_path)
    made.advance(5.0)
    return made


def ask(client: Client, method: str, now_s: float = 0.0, **params: Any) -> Any:
    client.send({"jsonrpc": "2.0", "id": 5, "method": method, "params": params}, now_s)
    return next(told for told in client.take() if told.get("id") == 5)


def subscribe(client: Client, *channels: str) -> None:
    client.send({"jsonrpc": "2.0", "id": 5, "method": "public/subscribe", "params": {"channels": list(channels)}})


def data(client: Client, kind: str) -> list[Any]:
    return [told["params"]["data"] for told in client.take() if kind in told.get("params", {}).get("channel", "")]


class Book:
    """A client's book: a snapshot replaces it, a change must follow the last one."""

    def __init__(self) -> None:
        self.last: int | None = None
        self.sides: dict[str, dict[float, float]] = {"bids": {}, "asks": {}}
        self.gaps = self.snapshots = self.changes = 0

    def take(self, told: dict[str, Any]) -> None:
        if told["type"] == "snapshot":
            assert "prev_change_id" not in told
            self.sides = {"bids": {}, "asks": {}}
            self.snapshots += 1
        else:
            self.changes += 1
            self.gaps += told["prev_change_id"] != self.last
        self.last = told["change_id"]
        for name, held in self.sides.items():
            for action, price, amount in told[name]:
                assert (action == "new") == (price not in held)
                assert (action == "delete") == (amount == 0)
                if amount:
                    held[price] = amount
                else:
                    del held[price]


@pytest.mark.parametrize("symbol", [PERPETUAL, LINEAR, OPTION])
def test_changes_lead_from_one_snapshot_to_the_next(venue: Venue, symbol: str) -> None:
    first, late = venue.open("/ws/api/v2"), venue.open("/ws/api/v2", number=2)
    subscribe(first, f"book.{symbol}.100ms")
    venue.advance(60.033)
    subscribe(late, f"book.{symbol}.100ms")
    mine, fresh = Book(), Book()
    for told in data(first, "book."):
        mine.take(told)
    fresh.take(data(late, "book.")[0])
    assert (mine.snapshots, mine.gaps) == (1, 0)
    assert mine.changes > (10 if symbol == OPTION else 100)
    assert mine.sides == fresh.sides
    assert max(mine.sides["bids"]) < min(mine.sides["asks"])
    venue.advance(10.0)
    for told in data(late, "book."):
        fresh.take(told)
    assert fresh.gaps == 0


def test_change_ids_are_shared_by_all_instruments(venue: Venue) -> None:
    client = venue.open("/ws/api/v2")
    subscribe(client, f"book.{PERPETUAL}.100ms", f"book.{LINEAR}.100ms")
    venue.advance(5.0)
    told = [each for each in data(client, "book.") if each["type"] == "change"]
    ids = [each["change_id"] for each in told]
    assert {each["instrument_name"] for each in told} == {PERPETUAL, LINEAR}
    assert ids == sorted(set(ids)), "one counter"
    assert any(after["prev_change_id"] != before["change_id"] for before, after in itertools.pairwise(told))


def test_the_reply_lists_what_was_accepted_in_another_order(venue: Venue) -> None:
    client = venue.open("/ws/api/v2")
    wanted = [f"book.{PERPETUAL}.100ms", f"trades.{PERPETUAL}.100ms", f"ticker.{OPTION}.100ms"]
    bad = ["book.NOPE-PERPETUAL.100ms", f"book.{PERPETUAL}.50ms", "chatter", "deribit_volatility_index.sol_usd"]
    result = ask(client, "public/subscribe", channels=[*wanted, *bad])["result"]
    assert result != wanted
    assert sorted(result) == sorted(wanted)
    assert ask(client, "public/subscribe", channels=bad)["result"] == []
    gone = ask(client, "public/unsubscribe", channels=[wanted[0]])["result"]
    assert gone == [wanted[0]]
    venue.advance(2.0)
    assert data(client, "book.") == []


def test_subscribing_twice_is_acknowledged_without_a_snapshot(venue: Venue) -> None:
    client = venue.open("/ws/api/v2")
    channel = f"book.{PERPETUAL}.100ms"
    subscribe(client, channel)
    assert len(data(client, "book.")) == 1
    subscribe(client, channel)
    reply, *more = client.take()
    assert (reply["result"], more) == ([channel], [])
    client.send({"jsonrpc": "2.0", "id": 6, "method": "public/unsubscribe", "params": {"channels": [channel]}})
    subscribe(client, channel)
    assert [told["type"] for told in data(client, "book.")] == ["snapshot"]


def test_raw_needs_a_login(venue: Venue) -> None:
    client = venue.open("/ws/api/v2")
    channel = f"book.{PERPETUAL}.raw"
    error = ask(client, "public/subscribe", channels=[channel, f"ticker.{PERPETUAL}.100ms"])["error"]
    assert (error["code"], error["message"]) == (13778, "raw_subscriptions_not_available_for_unauthorized")
    assert not client.session.streams
    assert ask(client, "private/subscribe", channels=[channel])["error"]["code"] == 13009
    ask(client, "public/auth", grant_type="client_credentials", client_id="a", client_secret="b")
    assert ask(client, "private/subscribe", channels=[channel])["result"] == [channel]


def test_errors_of_the_protocol(venue: Venue) -> None:
    client = venue.open("/ws/api/v2")
    client.send(b"{nonsense")
    assert client.take()[0]["error"]["code"] == 11050
    assert ask(client, "public/nonsense")["error"]["code"] == -32601
    assert ask(client, "public/set_heartbeat", interval=5)["error"]["code"] == -32602
    assert ask(client, "public/subscribe", channels="book")["error"]["code"] == -32602
    assert ask(client, "public/get_order_book", instrument_name=PERPETUAL, depth=[])["error"]["code"] == -32602


def test_heartbeats_must_be_answered(venue: Venue) -> None:
    client = venue.open("/ws/api/v2")
    tick = client.session.tick
    assert ask(client, "public/set_heartbeat", now_s=100.0, interval=10)["result"] == "ok"
    assert tick(111.0, 111.0, 100.0) == []
    kinds = [json.loads(frame)["params"]["type"] for frame in tick(112.5, 100.0, 100.0)]
    assert kinds == ["heartbeat", "test_request"]
    ask(client, "public/test", now_s=113.0)
    assert tick(121.0, 121.0, 113.0) == []
    assert [json.loads(frame)["params"]["type"] for frame in tick(123.0, 122.9, 113.0)] == ["test_request"]
    assert tick(130.0, 130.0, 113.0) == []
    with pytest.raises(Close) as closed:
        tick(133.5, 133.0, 113.0)
    assert (closed.value.code, closed.value.reason) == (4000, "heartbeat close")


def test_a_socket_without_anything_dies_after_a_minute(venue: Venue) -> None:
    idle, quiet = venue.open("/ws/api/v2").session, venue.open("/ws/api/v2")
    subscribe(quiet, "platform_state")
    for session in (idle, quiet.session):
        assert session.tick(0.0, 0.0, 0.0) == []
        assert session.tick(59.0, 0.0, 0.0) == []
    assert quiet.session.tick(120.0, 0.0, 0.0) == []
    assert idle.tick(60.4, 0.0, 0.0) == []
    with pytest.raises(Close) as cut:
        idle.tick(60.6, 0.0, 0.0)
    assert cut.value.code == 1006, "no close frame"


def test_too_many_subscribe_calls_end_the_session(venue: Venue) -> None:
    client = venue.open("/ws/api/v2")
    answers = [ask(client, "public/subscribe", now_s=1.0, channels=["platform_state"]) for _ in range(11)]
    assert [("result" in each) for each in answers] == [True] * 10 + [False]
    assert answers[-1]["error"]["code"] == 10028
    with pytest.raises(Close):
        client.session.tick(2.0, 2.0, 2.0)


def test_listings_cost_more_than_other_calls(venue: Venue) -> None:
    """Five at once, then one in ten seconds; over REST by address, apart from other calls."""
    client = venue.open("/ws/api/v2")
    answers = [ask(client, "public/get_instruments", now_s=1.0, currency="any") for _ in range(6)]
    assert [("result" in each) for each in answers] == [True] * 5 + [False]
    other = venue.open("/ws/api/v2", number=2)
    for _ in range(5):
        ask(other, "public/get_instruments", now_s=1.0, currency="any")
    assert "result" in ask(other, "public/get_instruments", now_s=11.1, currency="any")
    answers = [rest(venue, "get_instruments", currency="any") for _ in range(6)]
    assert [("result" in each) for each in answers] == [True] * 5 + [False]
    assert answers[-1]["error"]["code"] == 10028
    assert "result" in rest(venue, "get_time")


def test_trades_come_in_arrays_numbered_per_instrument(venue: Venue) -> None:
    client = venue.open("/ws/api/v2")
    subscribe(client, f"trades.{PERPETUAL}.100ms", "trades.ETH-PERPETUAL.100ms")
    venue.advance(120.0)
    batches = data(client, "trades.")
    assert any(len(batch) > 1 for batch in batches)
    rows = [row for batch in batches for row in batch if row["instrument_name"] == PERPETUAL]
    seqs = [row["trade_seq"] for row in rows]
    assert seqs == list(range(seqs[0], seqs[0] + len(seqs)))
    assert {row["liquidation"] for batch in batches for row in batch if "liquidation" in row} <= {"M", "T", "MT"}
    assert any("liquidation" in row for batch in batches for row in batch)
    ids = [row["trade_id"] for batch in batches for row in batch]
    assert len(set(ids)) == len(ids)
    assert any(each.startswith("ETH-") for each in ids)
    assert all(isinstance(each, str) for each in ids)
    assert all(row["amount"] % 10 == 0 and row["contracts"] == row["amount"] / 10 for row in rows)
    fetched = rest(
        venue, "get_last_trades_by_instrument", instrument_name=PERPETUAL, start_seq=str(seqs[0]), count="50"
    )
    for told, streamed in zip(fetched["result"]["trades"], rows[:50], strict=True):
        assert {key: told[key] for key in ("trade_seq", "price", "amount", "direction", "trade_id", "timestamp")} == {
            key: streamed[key] for key in ("trade_seq", "price", "amount", "direction", "trade_id", "timestamp")
        }
    assert fetched["result"]["has_more"] is True


def test_candles_of_inverse_instruments_count_coins_and_dollars(venue: Venue) -> None:
    client = venue.open("/ws/api/v2")
    subscribe(client, f"trades.{PERPETUAL}.100ms", f"chart.trades.{PERPETUAL}.1")
    venue.advance(200.0)
    trades: list[Any] = []
    bars: dict[int, Any] = {}
    for told in client.take():
        params = told.get("params", {})
        if params.get("channel", "").startswith("trades."):
            trades += params["data"]
        elif params:
            bars[params["data"]["tick"]] = params["data"]
    opened = sorted(bars)[1]
    inside = [trade for trade in trades if trade["timestamp"] // 60_000 * 60_000 == opened]
    bar = bars[opened]
    assert len(inside) > 10
    assert bar["cost"] == sum(trade["amount"] for trade in inside)
    assert bar["volume"] == pytest.approx(sum(trade["amount"] / trade["price"] for trade in inside), rel=1e-6)
    assert bar["high"] == max(trade["price"] for trade in inside)
    assert sorted(bars) == list(range(sorted(bars)[0], sorted(bars)[-1] + 1, 60_000))


def test_candles_of_a_day(venue: Venue) -> None:
    client = venue.open("/ws/api/v2")
    subscribe(client, f"chart.trades.{PERPETUAL}.1D")
    venue.advance(90.0)
    bars = data(client, "chart.")
    assert {bar["tick"] % 86_400_000 for bar in bars} == {0}
    assert [bar["volume"] for bar in bars] == sorted(bar["volume"] for bar in bars)


def test_funding_is_told_on_one_scale(venue: Venue) -> None:
    """As captured: the current rate is for eight hours like their mean, and rests at exactly 0 for long."""
    client = venue.open("/ws/api/v2")
    current: list[float] = []
    means: list[float] = []
    for _ in range(60):
        venue.market.skip_to(venue.market.at_us + 1_800_000_000)
        told = rest_of(client, f"ticker.{PERPETUAL}.100ms", f"perpetual.{PERPETUAL}.100ms")
        current.append(told["ticker"]["current_funding"])
        means.append(told["ticker"]["funding_8h"])
        assert told["perpetual"].keys() == {"index_price", "interest", "timestamp"}
        assert told["perpetual"]["interest"] == pytest.approx(current[-1], abs=5.1e-9), "once more, in full"
        assert told["perpetual"]["timestamp"] == told["ticker"]["timestamp"]
    assert 10 < current.count(0.0) < 50
    assert 1e-5 < max(map(abs, current)) < 1e-3
    assert means[-1] == pytest.approx(sum(current[-16:]) / 16, abs=1e-5)


def rest_of(client: Client, *channels: str) -> dict[str, Any]:
    """What these channels begin with, by their first part."""
    subscribe(client, *channels)
    found = {
        told["params"]["channel"].split(".")[0]: told["params"]["data"] for told in client.take() if "params" in told
    }
    client.send({"jsonrpc": "2.0", "id": 6, "method": "public/unsubscribe_all", "params": {}})
    client.session.subscribes = Credits(10.0, 3.0)  # type: ignore[attr-defined]
    client.take()
    return found


def test_perpetual_is_silent_for_others(venue: Venue) -> None:
    client = venue.open("/ws/api/v2")
    subscribe(client, f"perpetual.{DATED}.100ms", f"perpetual.{LINEAR}.agg2")
    venue.advance(10.0)
    told = [each["params"]["channel"] for each in client.take() if "params" in each]
    assert set(told) == {f"perpetual.{LINEAR}.agg2"}
    assert 2 <= len(told) <= 12, "about one a second"


def test_books_of_a_second_chain_by_themselves(venue: Venue) -> None:
    client, fast, slow = venue.open("/ws/api/v2"), Book(), Book()
    subscribe(client, f"book.{PERPETUAL}.100ms", f"book.{PERPETUAL}.agg2")
    for _ in range(3):
        venue.advance(20.0)
        for told in client.take():
            channel = told.get("params", {}).get("channel", "")
            if channel:
                (slow if channel.endswith("agg2") else fast).take(told["params"]["data"])
    assert (fast.gaps, slow.gaps, slow.snapshots) == (0, 0, 1)
    assert 50 <= slow.changes <= 62
    assert fast.changes > 2 * slow.changes
    channel = f"book.{PERPETUAL}.agg2"
    assert asyncio.run(venue.dialect.apply(Fault(kind="sequence_reset", stream=channel))) == 2
    venue.advance(3.0)
    for each in data(client, "agg2"):
        slow.take(each)
    assert (slow.snapshots, slow.gaps) == (2, 0)


@pytest.mark.parametrize(("group", "depth"), [("none", 1), ("none", 20), ("10", 10)])
def test_windows_of_grouped_levels(venue: Venue, group: str, depth: int) -> None:
    client, book = venue.open("/ws/api/v2"), Book()
    channel = f"book.{PERPETUAL}.{group}.{depth}.100ms"
    subscribe(client, channel, f"book.{PERPETUAL}.100ms")
    venue.advance(20.0)
    windows: list[Any] = []
    for told in client.take():
        params = told.get("params", {})
        if params.get("channel") == channel:
            windows.append(params["data"])
        elif params:
            book.take(params["data"])
    assert len(windows) > 20
    assert all(before != after for before, after in itertools.pairwise(windows)), "a still book is not told again"
    last = windows[-1]
    width = 1e-9 if group == "none" else float(group)
    for name, sign in (("bids", -1), ("asks", 1)):
        sums: dict[float, float] = {}
        for price in sorted(book.sides[name], key=lambda price: sign * price):
            at = price if group == "none" else sign * -(-sign * price // width) * width
            sums[at] = sums.get(at, 0.0) + book.sides[name][price]
        assert last[name] == [list(pair) for pair in sums.items()][:depth]
    theirs = next(recorded("deribit/any", pattern="book_grouped.jsonl"))
    assert list(last) == list(theirs["params"]["data"])


def test_only_groups_the_venue_has(venue: Venue) -> None:
    client = venue.open("/ws/api/v2")
    bad = [f"book.{PERPETUAL}.{each}" for each in ("none.5.100ms", "3.10.100ms", "none.10.raw")]
    bad += [f"book.{OPTION}.10.10.100ms"]
    ask(client, "public/auth", grant_type="client_credentials", client_id="a", client_secret="b")
    assert ask(client, "public/subscribe", channels=bad)["result"] == []
    good = [f"book.{OPTION}.none.10.agg2", "book.ETH-PERPETUAL.250.1.100ms"]
    assert sorted(ask(client, "public/subscribe", channels=good)["result"]) == sorted(good)


def test_trades_of_a_kind_are_those_of_its_instruments(venue: Venue) -> None:
    client = venue.open("/ws/api/v2")
    wide, all_ = "trades.future.BTC.100ms", "trades.any.any.agg2"
    own = [f"trades.{symbol}.agg2" for symbol in SYMBOLS]
    subscribe(client, wide, all_, *own)
    venue.advance(60.0)
    venue.advance(2.0)
    by_channel: dict[str, list[Any]] = {}
    for told in client.take():
        if "params" in told:
            by_channel.setdefault(told["params"]["channel"], []).append(told["params"]["data"])
    assert any(len({row["instrument_name"] for row in batch}) > 1 for batch in by_channel[all_])
    ids = {channel: {row["trade_id"] for batch in batches for row in batch} for channel, batches in by_channel.items()}
    late = {row["trade_id"] for batch in by_channel[all_][-2:] for row in batch}
    assert {row["instrument_name"] for batch in by_channel[wide] for row in batch} <= {PERPETUAL, DATED}
    assert ids[all_] - late <= set().union(*(ids[channel] for channel in own if channel in ids))
    mine = set().union(*(ids.get(f"trades.{symbol}.agg2", set()) for symbol in (PERPETUAL, DATED)))
    assert len(mine) > 20
    assert mine <= ids[wide]


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


def test_figures_of_a_coin(venue: Venue) -> None:
    client = venue.open("/ws/api/v2")
    subscribe(
        client, "deribit_volatility_index.btc_usd", "deribit_volatility_index.eth_usd", "platform_state",
        "deribit_price_index.btc_usd",
    )  # fmt: skip
    venue.advance(10.0)
    told = [each["params"] for each in client.take() if "params" in each]
    by_channel: dict[str, list[Any]] = {}
    for each in told:
        by_channel.setdefault(each["channel"], []).append(each["data"])
    assert set(by_channel["platform_state"][0]) == {"price_index", "locked"}
    for name in ("btc_usd", "eth_usd"):
        index = by_channel[f"deribit_volatility_index.{name}"]
        assert len(index) >= 9
        assert all(set(each) == {"timestamp", "volatility", "index_name"} for each in index)
        assert all(10 < each["volatility"] < 200 for each in index)


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


def test_faults_and_resets(venue: Venue) -> None:
    client, keeper, other = venue.open("/ws/api/v2"), Book(), Book()
    channel = f"book.{PERPETUAL}.100ms"
    subscribe(client, channel, f"book.{LINEAR}.100ms")

    def move_on(seconds: float) -> None:
        venue.advance(seconds)
        for told in data(client, "book."):
            (keeper if told["instrument_name"] == PERPETUAL else other).take(told)

    move_on(1.0)
    before = keeper.last
    assert before is not None
    assert asyncio.run(venue.dialect.apply(Fault(kind="sequence_reset", stream="book.NO-SUCH.*"))) == 0
    assert asyncio.run(venue.dialect.apply(Fault(kind="sequence_reset", stream=channel))) == 2
    move_on(3.0)
    for book in (keeper, other):  # one counter for all
        assert (book.snapshots, book.gaps) == (2, 0)
        assert book.last is not None
        assert book.last < before
    venue.faults.add(Fault(kind="drop", venue="deribit", stream=channel), venue.now_s)
    venue.advance(2.0)
    for told in data(client, PERPETUAL):
        keeper.last = keeper.last if told["prev_change_id"] == keeper.last else -1
        if keeper.last == -1:
            break
        keeper.take(told)
    assert keeper.last == -1, "the chain is broken once"
    venue.faults.add(Fault(kind="drop_subscription", venue="deribit", stream="quote.*"), 0.0)
    assert ask(client, "public/subscribe", channels=[f"quote.{PERPETUAL}"])["result"] == []
    assert ask(client, "public/subscribe", channels=[f"quote.{PERPETUAL}"])["result"] == [f"quote.{PERPETUAL}"]


def rest(venue: Venue, method: str, **values: str) -> Any:
    reply = asyncio.run(venue.dialect.rest(Request("GET", f"/api/v2/public/{method}", values, b"", "1.2.3.4")))
    return json.loads(reply.body)


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


def test_rest_books_carry_a_change_id_of_the_stream(venue: Venue) -> None:
    client, keeper = venue.open("/ws/api/v2"), Book()
    subscribe(client, f"book.{PERPETUAL}.100ms")
    venue.advance(3.05)
    for told in data(client, "book."):
        keeper.take(told)
    book = rest(venue, "get_order_book", instrument_name=PERPETUAL, depth="10000")["result"]
    assert book["change_id"] == keeper.last
    assert dict(book["bids"]) == keeper.sides["bids"]


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


def test_names_are_read_as_documented() -> None:
    linear = parse("XRP_USDC-30JUN23-0d625-C")
    assert (linear.base, linear.quote, linear.strike_e8, linear.inverse) == ("XRP", "USDC", 62_500_000, False)
    assert parse("BTC-5AUG23").expiry_ms == 1_691_222_400_000
    assert parse("BTC_USDC").kind == "spot"
    for name in ("BTC", "BTC-PERPETUAL-1-C", "btc-perpetual", "BTC-5XXX23"):
        with pytest.raises(ValueError, match="is no"):
            instrument(0, name, 1)
