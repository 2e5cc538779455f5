"""Control messages of USD-M's routes and of OKX, faults by venue and glob, and forms: tables and small machines."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest

from simulator.dialect import Close
from simulator.faults import Fault, Faults, Payload
from simulator.forms import GZIP, TEXT, Form
from simulator.hub import Hub
from simulator.okx.session import OkxSession
from simulator.session import TooManyStreams
from simulator.usdm.session import RoutedSession, open_session, route_of

# --- USD-M ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stream", "route"),
    [
        ("btcusdt@trade", "public"),
        ("btcusdt@bookTicker", "public"),
        ("!bookTicker", "public"),
        ("btcusdt@depth", "public"),
        ("btcusdt@depth@100ms", "public"),
        ("btcusdt@depth20@500ms", "public"),
        ("btcusdt@aggTrade", "market"),
        ("btcusdt@markPrice@1s", "market"),
        ("btcusdt@kline_1m", "market"),
        ("btcusdt@forceOrder", "market"),
        ("!contractInfo", "market"),
        ("!ticker@arr", "market"),
    ],
)
def test_routes_of_streams(stream: str, route: str) -> None:
    assert route_of(stream) == route


@pytest.mark.parametrize(
    ("path", "route"),
    [("/public/ws", "public"), ("/market/stream", "market"), ("/ws", "public"), ("/stream", "public")],
)
def test_a_connection_is_given_its_route_alone(path: str, route: str) -> None:
    one = open_session(path, "", 1024)
    assert one is not None
    names = ["btcusdt@trade", "btcusdt@aggTrade"]
    [reply] = one.handle(json.dumps({"method": "SUBSCRIBE", "params": names, "id": 1}).encode())
    assert json.loads(reply) == {"result": None, "id": 1}
    assert list(one.streams) == [name for name in names if route_of(name) == route]
    [listed] = one.handle(b'{"method":"LIST_SUBSCRIPTIONS","id":2}')
    assert json.loads(listed)["result"] == names
    one.handle(json.dumps({"method": "UNSUBSCRIBE", "params": names, "id": 3}).encode())
    assert one.streams == {}
    assert one.shutdown_notice(0) is None


def test_unknown_paths_and_too_many_streams() -> None:
    assert open_session("/private/ws", "", 10) is None
    assert open_session("/public/nowhere", "", 10) is None
    opened = open_session("/public/ws/btcusdt@trade/btcusdt@aggTrade", "", 10)
    assert isinstance(opened, RoutedSession)
    assert list(opened.streams) == ["btcusdt@trade"]
    with pytest.raises(TooManyStreams):
        open_session("/market/stream", "streams=a@aggTrade/b@aggTrade/c@aggTrade", 2)


# --- OKX --------------------------------------------------------------------------------------------------------------


def okx(route: str = "public") -> OkxSession:
    return OkxSession(route, 7, lambda channel, name: name in ("BTC-USDT", "BTC-USDT-SWAP"))


def say(one: OkxSession, message: Any, now_s: float = 0.0) -> list[Any]:
    data = message if isinstance(message, bytes) else json.dumps(message).encode()
    return [json.loads(reply) for reply in one.handle(data, now_s)]


def subscribe(*args: dict[str, str], **fields: Any) -> dict[str, Any]:
    return {"op": "subscribe", "args": list(args), **fields}


def test_every_arg_has_its_own_answer() -> None:
    one = okx()
    trades = {"channel": "trades", "instId": "BTC-USDT"}
    nobody = {"channel": "books", "instId": "NO-SUCH"}
    swaps = {"channel": "liquidation-orders", "instType": "SWAP"}
    first, second, third = say(one, subscribe(trades, nobody, swaps, id="a1"))
    assert first == {"id": "a1", "event": "subscribe", "arg": trades, "connId": one.conn_id}
    assert (second["event"], second["code"], second["id"]) == ("error", "60018", "a1")
    assert "channel:books,instId:NO-SUCH" in second["msg"]
    assert third["arg"] == swaps
    assert list(one.streams) == ["trades:BTC-USDT", "liquidation-orders:SWAP"]
    [gone] = say(one, {"op": "unsubscribe", "args": [trades]})
    assert gone == {"event": "unsubscribe", "arg": trades, "connId": one.conn_id}
    assert list(one.streams) == ["liquidation-orders:SWAP"]


@pytest.mark.parametrize(
    ("route", "message", "code"),
    [
        ("public", b"not json", "60012"),
        ("public", b"[]", "60012"),
        ("public", {"op": "dance", "args": []}, "60012"),
        ("public", {"op": "subscribe", "args": [], "id": "not alphanumeric"}, "60012"),
        ("public", {"op": "subscribe"}, "60013"),
        ("public", {"op": "subscribe", "args": ["books"]}, "60013"),
        ("public", subscribe({"instId": "BTC-USDT"}), "60013"),
        ("public", subscribe({"channel": "nothing", "instId": "BTC-USDT"}), "60018"),
        ("public", subscribe({"channel": "books"}), "60018"),
        ("public", subscribe({"channel": "instruments", "instType": "STOCK"}), "60018"),
        ("public", subscribe({"channel": "books-l2-tbt", "instId": "BTC-USDT"}), "60011"),
        ("public", subscribe({"channel": "liquidation-orders", "instType": "SWAP", "uly": "BTC-USDT"}), "64000"),
        ("public", subscribe({"channel": "candle1m", "instId": "BTC-USDT"}), "64001"),
        ("public", subscribe({"channel": "trades-all", "instId": "BTC-USDT"}), "64001"),
        ("business", subscribe({"channel": "books", "instId": "BTC-USDT"}), "64002"),
    ],
)
def test_refusals(route: str, message: Any, code: str) -> None:
    one = okx(route)
    [told] = say(one, message)
    assert (told["event"], told["code"]) == ("error", code)
    assert one.streams == {}


def test_pings_are_text_and_silence_is_closed() -> None:
    one = okx()
    assert one.handle(b"ping", 0.0) == [b"pong"]
    assert one.tick(29.9, 0.0, 0.0) == []
    assert one.tick(59.0, 30.0, 0.0) == one.tick(59.0, 0.0, 30.0) == []
    with pytest.raises(Close) as closed:
        one.tick(30.0, 0.0, 0.0)
    assert closed.value.code == 4004


def test_480_requests_an_hour() -> None:
    one = okx()
    request = subscribe({"channel": "trades", "instId": "BTC-USDT"})
    for i in range(480):
        assert say(one, request, float(i))[0]["event"] == "subscribe"
    assert say(one, request, 500.0)[0]["code"] == "60014"
    assert say(one, request, 3600.5)[0]["event"] == "subscribe"
    with pytest.raises(Close) as closed:
        one.handle(json.dumps(subscribe(*[{"channel": "trades", "instId": "B" * 100}] * 700)).encode(), 4000.0)
    assert closed.value.code == 1009


def test_the_notice_of_an_upgrade() -> None:
    told = json.loads(okx().shutdown_notice(0) or b"")
    assert (told["event"], told["code"]) == ("notice", "64008")


# --- faults and forms -------------------------------------------------------------------------------------------------


class Ear:
    """A subscriber that keeps what it is given."""

    def __init__(self, form: Form = TEXT) -> None:
        self.form = form
        self.frames: list[bytes] = []

    def queue(self, frame: bytes) -> None:
        self.frames.append(frame)


@pytest.mark.parametrize(
    ("fields", "struck"),
    [
        ({}, {("okx", "books:A"), ("okx", "trades:A"), ("usdm", "a@trade")}),
        ({"venue": "okx"}, {("okx", "books:A"), ("okx", "trades:A")}),
        ({"stream": "books:*"}, {("okx", "books:A")}),
        ({"stream": "*@trade"}, {("usdm", "a@trade")}),
        ({"venue": "usdm", "stream": "books:A"}, set()),
    ],
)
def test_faults_strike_by_venue_and_glob(fields: dict[str, Any], struck: set[tuple[str, str]]) -> None:
    faults = Faults()
    faults.add(Fault(kind="drop", count=100, **fields), 0.0)
    found = set()
    for venue, stream in (("okx", "books:A"), ("okx", "trades:A"), ("usdm", "a@trade")):
        if not faults.frames(stream, Payload({1000: b"{}"}), 0.0, venue):
            found.add((venue, stream))
    assert found == struck


def test_who_waits_is_admitted_with_a_first_frame() -> None:
    faults = Faults()
    hub, present, waiting = Hub(faults, lambda: 0.0, venue="okx"), Ear(), Ear()
    hub.subscribe(present, "books:A")
    hub.wait(waiting, "books:A")
    hub.publish("books:A", lambda _: b"1")
    hub.admit("books:A", lambda: b"whole")
    hub.publish("books:A", lambda _: b"2")
    assert present.frames == [b"\x81\x011", b"\x81\x012"]
    assert waiting.frames == [b"\x81\x05whole", b"\x81\x012"]
    hub.wait(Ear(), "books:B")
    assert hub.wanted("books:B")
    faults.add(Fault(kind="silence", duration_s=5, stream="books:*"), 0.0)
    late = Ear()
    hub.wait(late, "books:A")
    hub.admit("books:A", lambda: b"whole")
    assert late.frames == []


def test_gzip_frames_are_binary_and_made_once() -> None:
    hub, ears = Hub(Faults(), lambda: 0.0), [Ear(GZIP), Ear(GZIP), Ear()]
    for ear in ears:
        hub.subscribe(ear, "x")
    hub.publish("x", lambda _: b'{"ping":1}')
    assert ears[0].frames[0] is ears[1].frames[0]
    assert ears[0].frames[0][0] == 0x82
    assert gzip.decompress(ears[0].frames[0][2:]) == b'{"ping":1}'
    assert ears[2].frames == [b"\x81\x0a" + b'{"ping":1}']


@pytest.mark.parametrize("data", [b'{"asks":[["1.5","2"]]}', b'{"data":[{"px":"2.5"}]}', b'{"price":5}'])
def test_absurd_values_are_in_whatever_a_venue_sends(data: bytes) -> None:
    [told] = Payload({1000: data}).corrupted("value").by_unit.values()
    assert b"-" in told
    assert json.loads(told) != json.loads(data)
