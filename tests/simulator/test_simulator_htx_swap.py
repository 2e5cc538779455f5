"""HTX linear swaps as the simulator speaks them: both families, versions per connection, contracts, notifications."""

from __future__ import annotations

import asyncio
import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from simulator.dialect import Close, Request
from simulator.faults import Fault
from simulator.htx.instruments import swap_instrument
from simulator.htx.swap import SEGMENT
from tests.simulator.dialect_harness import Client, Venue
from tests.simulator.shapes import alike, recorded, shape

TOPIC = "market.BTC-USDT.depth.size_150.high_freq"


@pytest.fixture
def venue(tmp_path: Path) -> Venue:
    made = Venue(SEGMENT, ["BTC-USDT", "ETH-USDT"], tmp_path)
    made.advance(2.0)
    return made


def subscribe(client: Client, topic: str = TOPIC, **more: str) -> None:
    client.send({"sub": topic, "data_type": "incremental", "id": "1", **more})


def books(client: Client) -> list[Any]:
    return [told["tick"] for told in client.take() if "high_freq" in told.get("ch", "")]


class SwapBook:
    """A client's book: the snapshot, then updates whose version is one more, cut to 150 levels."""

    def __init__(self) -> None:
        self.version = -1
        self.sides: dict[str, dict[float, int]] = {"bids": {}, "asks": {}}
        self.snapshots = self.gaps = 0

    def take(self, tick: dict[str, Any]) -> None:
        if tick["event"] == "snapshot":
            self.snapshots += 1
            self.sides = {"bids": {}, "asks": {}}
        elif tick["version"] != self.version + 1:
            self.gaps += 1
        self.version = tick["version"]
        for name, held in self.sides.items():
            for price, contracts in tick[name]:
                if contracts:
                    held[price] = contracts
                else:
                    held.pop(price, None)
            self.sides[name] = dict(sorted(held.items(), reverse=name == "bids")[:150])


def test_updates_lead_from_one_snapshot_to_the_next(venue: Venue) -> None:
    first, late = venue.open("/linear-swap-ws", number=1), venue.open("/linear-swap-ws", number=2)
    subscribe(first)
    venue.advance(20.037)
    subscribe(late)
    mine, fresh = SwapBook(), SwapBook()
    ticks = books(first)
    for tick in ticks:
        mine.take(tick)
    fresh.take(books(late)[0])
    assert (mine.snapshots, mine.gaps) == (1, 0)
    assert len(ticks) > 50
    assert mine.sides == fresh.sides
    assert len(mine.sides["bids"]) == 150
    venue.advance(5.0)
    for tick in books(late):
        fresh.take(tick)
    for tick in books(first):
        mine.take(tick)
    assert (fresh.gaps, mine.gaps) == (0, 0)
    assert mine.sides == fresh.sides


def test_versions_of_two_connections_are_unrelated(venue: Venue) -> None:
    clients = [venue.open("/linear-swap-ws", number=number) for number in (1, 2)]
    for client in clients:
        subscribe(client)
    venue.advance(2.0)
    versions = [[tick["version"] for tick in books(client)] for client in clients]
    assert len(versions[0]) == len(versions[1]) > 5
    assert not set(versions[0]) & set(versions[1])


def test_subscribing_again_begins_with_a_snapshot(venue: Venue) -> None:
    client = venue.open("/linear-swap-ws")
    subscribe(client)
    venue.advance(1.0)
    client.send({"unsub": TOPIC, "data_type": "incremental", "id": "2"})
    client.take()
    venue.advance(1.0)
    assert client.take() == []
    subscribe(client)
    venue.advance(1.0)
    assert [tick["event"] for tick in books(client)][:2] == ["snapshot", "update"]


def test_without_data_type_every_push_is_the_whole_book(venue: Venue) -> None:
    client = venue.open("/linear-swap-ws")
    client.send({"sub": TOPIC, "id": "1"})
    venue.advance(1.0)
    told = books(client)
    assert {tick["event"] for tick in told} == {"snapshot"}
    assert all(len(tick["bids"]) == len(tick["asks"]) == 150 for tick in told)


def test_a_dropped_update_is_a_gap_and_a_reset_is_a_snapshot(venue: Venue) -> None:
    client = venue.open("/linear-swap-ws")
    subscribe(client)
    venue.advance(1.0)
    venue.faults.add(Fault(kind="drop", venue="hbdm", stream=TOPIC), venue.now_s)
    venue.advance(1.0)
    keeper = SwapBook()
    for tick in books(client):
        keeper.take(tick)
    assert (keeper.gaps, keeper.snapshots) == (1, 1)
    assert asyncio.run(venue.dialect.apply(Fault(kind="sequence_reset", venue="hbdm"))) == 1
    venue.advance(1.0)
    for tick in books(client):
        keeper.take(tick)
    assert (keeper.gaps, keeper.snapshots) == (1, 2)


def test_trades_count_both_sides_in_contracts_and_coins(venue: Venue) -> None:
    """Every recorded swap trade has an even amount; quantity is the amount in coins."""
    client = venue.open("/linear-swap-ws")
    client.send({"sub": "market.BTC-USDT.trade.detail", "id": "1"})
    venue.advance(5.0)
    theirs = [row for told in recorded("htx/linear_swap") if ".trade." in told.get("ch", "") for row in rows(told)]
    ours = [row for told in client.take() if "ch" in told for row in rows(told)]
    assert theirs
    assert ours
    assert all(row["amount"] % 2 == 0 for row in (*theirs, *ours))
    assert all(row["quantity"] == pytest.approx(row["amount"] * 0.001) for row in ours)
    assert all(row["trade_turnover"] == pytest.approx(row["quantity"] * row["price"]) for row in ours)
    assert all(len(str(row["id"])) == 19 for row in ours)
    assert len({row["id"] for row in ours}) == len(ours)


def rows(told: dict[str, Any]) -> Any:
    return told["tick"]["data"]


def test_candles_count_twice_what_the_market_traded(venue: Venue) -> None:
    client = venue.open("/linear-swap-ws")
    client.send({"sub": "market.BTC-USDT.kline.1min", "id": "1"})
    venue.advance(130.0)
    bars = {told["tick"]["id"]: told["tick"] for told in client.take() if "tick" in told}
    market = venue.market.symbols["BTC-USDT"]
    closed = {bar.open_ms // 1000: bar for bar in market.bars}
    shared = sorted(bars.keys() & closed.keys())
    assert shared
    for opened in shared:
        assert bars[opened]["vol"] == 2 * closed[opened].volume
        assert bars[opened]["count"] == closed[opened].count
        assert bars[opened]["amount"] == pytest.approx(0.001 * bars[opened]["vol"])


STREAMS = ("trade.detail", "bbo", "kline.1min", "detail")
NEWER = ["contract_type", "pair", "business_type"]
"""Fields of liquidations that the recorded ones of 2020 have not."""


def test_frames_have_the_recorded_keys_order_and_kinds(venue: Venue) -> None:
    market, notices = venue.open("/linear-swap-ws"), venue.open("/linear-swap-notification")
    for kind in STREAMS:
        market.send({"sub": f"market.BTC-USDT.{kind}", "id": "1"})
    subscribe(market)
    for topic in ("funding_rate", "liquidation_orders"):
        for _ in range(2):
            notices.send({"op": "sub", "cid": "1", "topic": f"public.BTC-USDT.{topic}"})
    market.tell(market.session.tick(0.0, 0.0, 0.0) + market.session.tick(6.0, 0.0, 0.0))
    notices.tell(notices.session.tick(0.0, 0.0, 0.0) + notices.session.tick(6.0, 0.0, 0.0))
    venue.advance(70.0)
    ours: dict[Any, Any] = {}
    for told in (*market.take(), *notices.take()):
        for row in told.get("data", ()):
            for name in NEWER if "liquidation" in told["topic"] else ():
                del row[name]
        ours.setdefault(kind_of(told), shape(told))
    compared = set()
    for theirs in recorded("htx/linear_swap"):
        kind = kind_of(theirs)
        if kind not in ours or is_old(theirs):
            continue
        assert alike(ours[kind], shape(theirs)), theirs
        compared.add(kind)
    assert compared == ours.keys()
    assert len(compared) == 12


def test_liquidations_say_what_was_liquidated(venue: Venue) -> None:
    """The last three came after the recorded ones; the documents' example has them in this order."""
    client = venue.open("/linear-swap-notification")
    client.send({"op": "sub", "cid": "1", "topic": "public.BTC-USDT.liquidation_orders"})
    venue.advance(70.0)
    rows = [told["data"][0] for told in client.take() if told["op"] == "notify"]
    assert rows
    for row in rows:
        assert list(row)[-3:] == NEWER
        assert [row[name] for name in NEWER] == ["swap", "BTC-USDT", "swap"]


def test_mark_prices_are_candles_of_the_index_socket(venue: Venue) -> None:
    client, topic = venue.open("/ws_index"), "market.BTC-USDT.mark_price.1min"
    client.send({"sub": topic, "id": "1"})
    venue.advance(130.0)
    ack, *told = client.take()
    assert ack["subbed"] == topic
    assert len(told) > 100
    candles: dict[int, list[dict[str, str]]] = {}
    for each in told:
        assert each["ch"] == topic
        assert each["tick"]["id"] == each["ts"] // 60_000 * 60
        candles.setdefault(each["tick"]["id"], []).append(each["tick"])
    for ticks in candles.values():
        closes = [float(tick["close"]) for tick in ticks]
        assert {tick["open"] for tick in ticks} == {ticks[0]["close"]}
        assert (float(ticks[-1]["low"]), float(ticks[-1]["high"])) == (min(closes), max(closes))
    last = venue.market.symbols["BTC-USDT"].bar.c * 0.1
    assert float(told[-1]["tick"]["close"]) == pytest.approx(last, rel=0.02)
    for odd in ("market.BTC-USDT.bbo", "market.BTC-USD.mark_price.1min", "market.BTC-USDT.mark_price.2min"):
        client.send({"sub": odd, "id": "2"})
        assert client.take()[0]["status"] == "error"
    market = venue.open("/linear-swap-ws")
    market.send({"sub": topic, "id": "3"})
    assert market.take()[0]["status"] == "error"


def test_contracts_are_told_anew_when_they_change(tmp_path: Path) -> None:
    """Each settlement names the next one; a restart of the venue tells everything."""
    venue = Venue(SEGMENT, ["BTC-USDT"], tmp_path, frames_per_s=0.5)
    client = venue.open("/linear-swap-notification")
    client.send({"op": "sub", "cid": "1", "topic": "public.*.contract_info"})
    venue.advance(6_600.0)
    told = [(each["event"], each["data"][0]["settlement_date"]) for each in client.take() if "data" in each]
    changes = [now for before, now in itertools.pairwise(told) if before[1] != now[1]]
    assert [event for event, _ in changes] == ["update"]
    assert [event for event, _ in told].count("update") == 1
    assert asyncio.run(venue.dialect.apply(Fault(kind="sequence_reset", venue="hbdm", stream="market.*"))) == 0
    assert asyncio.run(venue.dialect.apply(Fault(kind="sequence_reset", venue="hbdm"))) == 1
    assert [each["event"] for each in client.take()] == ["update"]


def test_candles_and_quotes_can_be_asked_for(venue: Venue) -> None:
    client, topic = venue.open("/linear-swap-ws"), "market.BTC-USDT.kline.1min"
    client.send({"sub": topic, "id": "1"})
    venue.advance(200.0)
    pushed = {told["tick"]["id"]: told["tick"] for told in client.take() if "tick" in told}
    whole = sorted(pushed)[1:-1]
    for tick in pushed.values():
        del tick["mrid"]
    client.send({"req": topic, "id": "2", "from": whole[0], "to": whole[-1]})
    (asked,) = client.take()
    assert asked["data"] == [pushed[opened] for opened in whole]
    path = "/linear-swap-ex/market/"
    values = {"contract_code": "BTC-USDT", "period": "1min"}
    replied = json.loads(rest(venue, path + "history/kline", **values, size="3").body)["data"]
    assert [row["id"] for row in replied] == sorted(pushed)[-3:], "newest last"
    stretch = rest(venue, path + "history/kline", **values, **{"from": str(whole[0]), "to": str(whole[-1])})
    assert json.loads(stretch.body)["data"] == asked["data"]
    (quote, _) = json.loads(rest(venue, path + "bbo").body)["ticks"]
    merged = json.loads(rest(venue, path + "detail/merged", contract_code="BTC-USDT").body)["tick"]
    assert (quote["bid"], quote["ask"]) == (merged["bid"], merged["ask"])
    assert int(merged["vol"]) % 2 == 0
    assert float(merged["low"]) <= float(merged["close"]) <= float(merged["high"])


def test_fifty_requests_a_second(venue: Venue) -> None:
    client = venue.open("/linear-swap-ws")
    for number in range(52):
        client.send({"req": "market.BTC-USDT.trade.detail", "id": str(number)}, now_s=1.0)
    assert [told["status"] for told in client.take()] == ["ok"] * 50 + ["error"] * 2


def kind_of(told: dict[str, Any]) -> Any:
    if "ch" in told:
        return told["ch"].split(".", 2)[-1]
    if "op" in told:
        error = bool(told.get("err-code"))
        return told["op"], error, told["topic"].split(".")[-1] if told["op"] == "notify" else ""
    return next((key for key in ("ping", "subbed") if key in told), "other")


def is_old(told: dict[str, Any]) -> bool:
    """Shapes of coin-margined contracts and from before `quantity` and `trade_turnover`."""
    data = told.get("tick", {}).get("data") or told.get("data") or [{"trade_turnover": 0}]
    topic = told.get("ch", "") + told.get("topic", "")
    return (".trade." in topic or "liquidation" in topic) and "trade_turnover" not in data[0]


def test_notifications(venue: Venue) -> None:
    client = venue.open("/linear-swap-notification")
    client.send({"op": "sub", "cid": "c1", "topic": "public.*.funding_rate"})
    ack, *first = client.take()
    assert (ack["op"], ack["cid"], ack["err-code"]) == ("sub", "c1", 0)
    assert [told["data"][0]["contract_code"] for told in first] == ["BTC-USDT", "ETH-USDT"]
    client.send({"op": "sub", "cid": "c1", "topic": "public.*.funding_rate"})
    assert client.take()[0]["err-code"] == 2014
    for topic, code in (("public.BTC-USDT.nothing", 2010), ("public.X-USDT.funding_rate", 2011)):
        client.send({"op": "sub", "cid": "c1", "topic": topic})
        assert client.take()[0]["err-code"] == code
    client.send({"op": "unsub", "cid": "c1", "topic": "public.BTC-USDT.contract_info"})
    assert client.take()[0]["err-code"] == 2012
    client.send({"op": "dance"})
    (refused,) = client.take()
    assert (refused["op"], refused["err-code"]) == ("error", 2040)
    client.send({"op": "sub", "cid": "c2", "topic": "public.BTC-USDT.contract_info"})
    info = client.take()[1]
    assert (info["event"], info["data"][0]["contract_size"]) == ("init", 0.001)
    venue.advance(250.0)
    told = client.take()
    assert {each["event"] for each in told if each["topic"].endswith("contract_info")} == {"snapshot"}
    rates = [each["data"][0] for each in told if each["topic"].endswith("funding_rate")]
    assert len(rates) >= 8
    assert any(rate["estimated_rate"] is None for rate in rates)
    assert all(len(rate["funding_rate"].partition(".")[2]) == 18 for rate in rates)


def test_both_families_close_after_five_unanswered_pings(venue: Venue) -> None:
    for path in ("/linear-swap-ws", "/linear-swap-notification"):
        session = venue.open(path).session
        pings = [session.tick(5.0 * n, 0.0, 0.0) for n in range(6)]
        assert [len(each) for each in pings] == [0, 1, 1, 1, 1, 1]
        with pytest.raises(Close):
            session.tick(30.0, 0.0, 0.0)
    client = venue.open("/linear-swap-notification")
    client.session.tick(0.0, 0.0, 0.0)
    for n in range(1, 20):
        stamp = json.loads(client.session.tick(5.0 * n, 0.0, 0.0)[0])["ts"]
        assert isinstance(stamp, str)
        client.send({"op": "pong", "ts": stamp})


def test_forty_subscriptions_a_second(venue: Venue) -> None:
    client = venue.open("/linear-swap-ws")
    for number in range(42):
        client.send({"sub": "market.BTC-USDT.bbo", "id": str(number)}, now_s=1.0)
    assert [told["status"] for told in client.take()] == ["ok"] * 40 + ["error"] * 2


def rest(venue: Venue, path: str, **values: str) -> Any:
    return asyncio.run(venue.dialect.rest(Request("GET", path, values, b"", "1.2.3.4")))


def test_rest_replies_have_the_recorded_shapes(venue: Venue) -> None:
    compared = set()
    for theirs in recorded("htx/linear_swap", pattern="rest_*.jsonl"):
        path = theirs["_rest"].partition("?")[0]
        if not path.startswith("/linear-swap-api"):
            continue
        body = json.loads(rest(venue, path, contract_code="BTC-USDT").body)
        assert alike(shape(body["data"]), shape(theirs["body"]["data"])), path
        compared.add(path.rpartition("/")[2])
    theirs = json.loads(rest(venue, "/linear-swap-ex/market/depth", contract_code="BTC-USDT").body)
    recorded_book = next(recorded("htx/linear_swap", pattern="rest_book.jsonl"))["body"]
    assert alike(shape(theirs), shape(recorded_book))
    assert compared >= {"swap_contract_info"}


def test_rest_ratios_funding_and_open_interest(venue: Venue) -> None:
    root = "/linear-swap-api/v1/"
    ratio = json.loads(rest(venue, root + "swap_elite_account_ratio", contract_code="BTC-USDT", period="5min").body)
    listed = ratio["data"]["list"]
    assert [row["ts"] for row in listed] == sorted(row["ts"] for row in listed)
    assert all(row["buy_ratio"] + row["sell_ratio"] + row["locked_ratio"] == pytest.approx(1) for row in listed)
    position = json.loads(rest(venue, root + "swap_elite_position_ratio", contract_code="BTC-USDT", period="5min").body)
    assert all(row["buy_ratio"] + row["sell_ratio"] == pytest.approx(1) for row in position["data"]["list"])
    funding = json.loads(rest(venue, root + "swap_funding_rate", contract_code="BTC-USDT").body)["data"]
    assert int(funding["next_funding_time"]) - int(funding["funding_time"]) == 28_800_000
    interest = rest(venue, root + "swap_open_interest").body
    both = json.loads(interest)["data"]
    assert [row["contract_code"] for row in both] == ["BTC-USDT", "ETH-USDT"]
    assert both[0]["amount"] == pytest.approx(both[0]["volume"] * 0.001)
    assert b".000000000000000000," in interest
    assert json.loads(rest(venue, root + "swap_open_interest", contract_code="X").body)["err-code"] == 1332
    assert (
        json.loads(rest(venue, root + "swap_elite_account_ratio", contract_code="BTC-USDT").body)["status"] == "error"
    )


def test_the_limit_is_told_in_headers_and_kept(venue: Venue) -> None:
    replies = [rest(venue, "/heartbeat/") for _ in range(241)]
    assert [reply.status for reply in replies] == [200] * 240 + [429]
    assert dict(replies[0].headers)["ratelimit-remaining"] == "239"


def test_codes_that_are_no_swaps_are_refused() -> None:
    with pytest.raises(ValueError, match="BASE-USDT"):
        swap_instrument(0, "BTC-USD", 1)
