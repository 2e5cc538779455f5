"""Deribit's connections as the simulator keeps them: replies, silent drops, logins, heartbeats, limits."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from simulator.dialect import Close
from tests.simulator.deribit_kit import OPTION, PERPETUAL, ask, data, opened, rest, subscribe
from tests.simulator.dialect_harness import Venue


@pytest.fixture
def venue(tmp_path: Path) -> Venue:
    return opened(tmp_path)


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
