"""Control messages, addresses, limits and faults: tables of what is said and what comes back."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

from simulator.faults import Fault, Faults, Payload
from simulator.limits import WeightBudget, Window
from simulator.rest_params import ApiError, Query, weight
from simulator.session import Opened, Session, TooManyStreams, parse_target


def session(*streams: str, combined: bool = True) -> Session:
    return Session(Opened(combined, streams, False), 1024)


def say(one: Session, message: object) -> Any:
    [reply] = one.handle(message if isinstance(message, bytes) else json.dumps(message).encode())
    return json.loads(reply)


@pytest.mark.parametrize(
    ("target", "opened"),
    [
        ("/ws", Opened(False, (), False)),
        ("/ws/btcusdt@trade", Opened(False, ("btcusdt@trade",), False)),
        ("/ws/a@trade/b@depth@100ms", Opened(False, ("a@trade", "b@depth@100ms"), False)),
        ("/stream", Opened(True, (), False)),
        ("/stream?streams=a@trade/b@kline_1m", Opened(True, ("a@trade", "b@kline_1m"), False)),
        ("/stream?streams=a@trade/a@trade", Opened(True, ("a@trade",), False)),
        ("/stream?streams=a%40trade&timeUnit=MICROSECOND", Opened(True, ("a@trade",), True)),
        ("/stream?streams=a@trade&timeUnit=microsecond", Opened(True, ("a@trade",), True)),
        ("/api/v3/ping", None),
        ("/", None),
    ],
)
def test_addresses(target: str, opened: Opened | None) -> None:
    parts = urlsplit(target)
    assert parse_target(unquote(parts.path), parts.query) == opened


def test_subscriptions_come_and_go() -> None:
    one = session("a@trade")
    assert say(one, {"method": "SUBSCRIBE", "params": ["b@trade", "NOPE@trade"], "id": 1}) == {"result": None, "id": 1}
    assert say(one, {"method": "UNSUBSCRIBE", "params": ["a@trade", "never@trade"], "id": "x1"}) == {
        "result": None,
        "id": "x1",
    }
    assert say(one, {"method": "LIST_SUBSCRIPTIONS", "id": None}) == {"result": ["b@trade", "NOPE@trade"], "id": None}


def test_the_combined_property() -> None:
    one = session(combined=False)
    assert say(one, {"method": "GET_PROPERTY", "params": ["combined"], "id": 5}) == {"result": False, "id": 5}
    assert say(one, {"method": "SET_PROPERTY", "params": ["combined", True], "id": 4}) == {"result": None, "id": 4}
    assert one.combined
    assert say(one, {"method": "GET_PROPERTY", "params": ["combined"], "id": 6}) == {"result": True, "id": 6}


@pytest.mark.parametrize(
    ("message", "code", "said"),
    [
        (b"{nope", 3, "Invalid JSON"),
        ([1], 2, "Invalid request"),
        ({"id": 1}, 2, "missing field `method`"),
        ({"method": "PING", "id": 1}, 2, "unknown variant `PING`"),
        ({"method": "SUBSCRIBE", "params": "a@trade", "id": 1}, 2, "streams must be an array"),
        ({"method": "SUBSCRIBE", "params": [1], "id": 1}, 2, "Invalid request"),
        ({"method": "SUBSCRIBE", "params": ["a@trade"], "id": 1.5}, 2, "request ID must be an unsigned integer"),
        ({"method": "SUBSCRIBE", "params": ["a@trade"], "id": "x" * 37}, 2, "request ID"),
        ({"method": "LIST_SUBSCRIPTIONS", "params": ["a"], "id": 1}, 2, "too many parameters"),
        ({"method": "GET_PROPERTY", "params": [], "id": 1}, 2, "property name must be a string"),
        ({"method": "GET_PROPERTY", "params": ["split"], "id": 1}, 0, "Unknown property"),
        ({"method": "SET_PROPERTY", "params": ["combined", "yes"], "id": 1}, 1, "expected Boolean"),
    ],
)
def test_errors(message: object, code: int, said: str) -> None:
    one = session("kept@trade")
    reply = say(one, message)
    assert reply["error"]["code"] == code
    assert said in reply["error"]["msg"]
    if isinstance(message, dict) and isinstance(message["id"], int):
        assert reply["id"] == message["id"]
    assert list(one.streams) == ["kept@trade"]


def test_errors_look_like_the_recorded_one() -> None:
    reply = say(session(), {"method": "SUBSCRIBE", "params": "x", "id": 5000001})
    assert reply == {"error": {"code": 2, "msg": "Invalid request: streams must be an array"}, "id": 5000001}


def test_no_more_than_1024_streams() -> None:
    one = session(*(f"s{i}@trade" for i in range(1024)))
    with pytest.raises(TooManyStreams):
        say(one, {"method": "SUBSCRIBE", "params": ["more@trade"], "id": 1})
    with pytest.raises(TooManyStreams):
        session(*(f"s{i}@trade" for i in range(1025)))


def test_a_window_counts_what_lies_in_it() -> None:
    window = Window(5, 1.0)
    assert all(window.add(0.1 * i) for i in range(5))
    assert not window.add(0.9)
    assert Window(5, 1.0).add(0)
    assert all(window.add(10 + 0.25 * i) for i in range(20))
    assert all(Window(0, 1.0).add(0) for _ in range(100))


def test_weight_then_429_then_418_that_grow() -> None:
    budget = WeightBudget(100, ban_s=120)
    assert [budget.spend(50, 6000.0) for _ in range(2)] == [None, None]
    first = budget.spend(50, 6015.0)
    assert first is not None
    assert (first.status, first.retry_after_s) == (429, 46)
    assert budget.spend(50, 6060.0) is None, "a new minute"
    bans = []
    now = 6060.0
    for _ in range(2):
        while (refusal := budget.spend(50, now)) is None or refusal.status == 429:
            continue
        assert refusal.status == 418
        assert str(int((now + refusal.retry_after_s - 1) * 1000))[:5] in refusal.message
        bans.append(refusal.retry_after_s)
        assert (still := budget.spend(1, now + refusal.retry_after_s - 2)) is not None
        assert still.status == 418
        now += refusal.retry_after_s
    assert bans[1] - 1 == 2 * (bans[0] - 1)


@pytest.mark.parametrize(
    ("path", "query", "cost"),
    [
        ("depth", {}, 5),
        ("depth", {"limit": "100"}, 5),
        ("depth", {"limit": "101"}, 25),
        ("depth", {"limit": "500"}, 25),
        ("depth", {"limit": "1000"}, 50),
        ("depth", {"limit": "5000"}, 250),
        ("exchangeInfo", {}, 20),
        ("time", {}, 1),
        ("trades", {}, 25),
        ("historicalTrades", {}, 25),
        ("aggTrades", {}, 4),
        ("klines", {}, 2),
        ("ticker/24hr", {"symbol": "A"}, 2),
        ("ticker/24hr", {}, 80),
    ],
)
def test_weights(path: str, query: dict[str, str], cost: int) -> None:
    assert weight(path, query) == cost


@pytest.mark.parametrize(
    ("query", "call", "code"),
    [
        ({}, lambda q: q.text("symbol"), -1102),
        ({"limit": "x"}, lambda q: q.limit(1, 10), -1100),
        ({"limit": "0"}, lambda q: q.limit(1, 10), -1130),
        ({"symbol": "A", "symbols": '["A"]'}, lambda q: q.symbols(), -1128),
        ({"symbols": "A,B"}, lambda q: q.symbols(), -1100),
    ],
)
def test_bad_parameters(query: dict[str, str], call: Any, code: int) -> None:
    with pytest.raises(ApiError) as caught:
        call(Query(query))
    assert caught.value.code == code


def run(faults: Faults, names: str, stream: str = "a@trade") -> str:
    """Send one-letter payloads; what comes out, in order."""
    out: list[bytes] = []
    for name in names:
        payload = Payload({1: name.encode(), 1000: name.encode()})
        struck = faults.frames(stream, payload, 0.0) if faults.frame_faults else [payload]
        out += [each.by_unit[1000] for each in struck]
    return b"".join(out).decode()


@pytest.mark.parametrize(
    ("fault", "came"),
    [
        ({"kind": "drop", "count": 2}, "cdef"),
        ({"kind": "duplicate", "count": 2}, "aabbcdef"),
        ({"kind": "reorder", "count": 1}, "bacdef"),
        ({"kind": "reorder", "count": 2}, "badcef"),
        ({"kind": "silence", "duration_s": 5}, ""),
        ({"kind": "drop", "stream": "b@trade"}, "abcdef"),
    ],
)
def test_frame_faults(fault: dict[str, Any], came: str) -> None:
    faults = Faults()
    faults.add(Fault.model_validate(fault), 0.0)
    assert run(faults, "abcdef") == came


@pytest.mark.parametrize("how", ["json", "truncate"])
def test_corrupt_frames_are_not_json(how: Any) -> None:
    payload = Payload({1000: b'{"e":"trade","p":"1.0"}'}).corrupted(how)
    with pytest.raises(json.JSONDecodeError):
        json.loads(payload.by_unit[1000])


def test_corrupt_values_are_no_numbers() -> None:
    for data in (b'{"p":"1.0"}', b'{"b":[["2.0","1.0"]],"a":[]}'):
        told = Payload({1000: data}).corrupted("value").by_unit[1000]
        assert json.loads(told)
        assert b"-x" in told


def test_a_fault_ends_with_its_count_or_time() -> None:
    faults = Faults()
    faults.add(Fault(kind="rest", count=2, status=429), 0.0)
    assert [faults.take("rest", 0.0) is not None for _ in range(3)] == [True, True, False]
    faults.add(Fault(kind="slow", duration_s=2, delay_s=0.5), 0.0)
    assert faults.slow_by_s(1.9) == 0.5
    assert faults.slow_by_s(2.0) == 0.0
    assert faults.status()["requested"] == {"rest": 1, "slow": 1}
    assert faults.status()["applied"] == {"rest": 2}
