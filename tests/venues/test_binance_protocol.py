"""Requests as Binance spot wants them, and what each of its frames is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from marketdata.errors import ConfigError, UnparsableFrame
from marketdata.topics import CHANNEL_TOPICS
from tests.frames import frames_dir
from venues.binance.protocol import CHANNEL_STREAMS, BinanceSpotProtocol
from venues.contract import EVERY_SYMBOL, Ack, Data, Notice, RestPool, Stream, Unknown, VenueError


def protocol() -> BinanceSpotProtocol:
    """A fresh one: it remembers stream names."""
    return BinanceSpotProtocol()


def recordings() -> list[Path]:
    return sorted((frames_dir() / "binance" / "spot").glob("*.jsonl"))


def test_streams_are_named_in_lower_case_and_batched_by_the_caller() -> None:
    streams = protocol().streams(["BTCUSDT", "ETHBTC"], list(CHANNEL_STREAMS))
    assert [s.name for s in streams[:6]] == [
        "btcusdt@trade", "btcusdt@aggTrade", "btcusdt@depth@100ms", "btcusdt@bookTicker", "btcusdt@kline_1m",
        "btcusdt@ticker",
    ]  # fmt: skip
    assert all(s.channel in CHANNEL_TOPICS for s in streams)
    assert json.loads(protocol().subscribe(streams[:2], 7)) == {
        "method": "SUBSCRIBE",
        "params": ["btcusdt@trade", "btcusdt@aggTrade"],
        "id": 7,
    }
    assert json.loads(protocol().unsubscribe(streams[:1], 8))["method"] == "UNSUBSCRIBE"


def test_an_unknown_channel_is_a_configuration_error() -> None:
    with pytest.raises(ConfigError, match="mark_price"):
        protocol().streams(["BTCUSDT"], ["mark_price"])


@given(st.text(min_size=1).filter(lambda s: "@" not in s and not s.startswith("!")))
def test_a_stream_name_gives_back_channel_and_symbol(text: str) -> None:
    """For any symbol, also non-ASCII ones, whose case the venue may not change the way Unicode would."""
    symbol = text.encode().upper().decode()
    for stream in protocol().streams([symbol], list(CHANNEL_STREAMS)):
        found = protocol().parse_stream(stream.name)
        assert found is not None
        assert found[0] == stream


def test_the_address_is_the_combined_endpoint() -> None:
    streams = protocol().streams(["BTCUSDT"], ["trade"])
    assert protocol().connection_url("wss://stream.binance.com:9443/", streams) == (
        "wss://stream.binance.com:9443/stream"
    )


@pytest.mark.parametrize(
    ("levels", "limit", "weight"),
    [
        (1, 100, 5),
        (100, 100, 5),
        (101, 500, 25),
        (1000, 1000, 50),
        (1001, 5000, 250),
        (5000, 5000, 250),
        (9999, 5000, 250),
    ],
)
def test_a_snapshot_asks_for_all_that_its_weight_buys(levels: int, limit: int, weight: int) -> None:
    request = protocol().snapshot_request("BTCUSDT", levels)
    assert (request.path, dict(request.query), request.weight) == (
        "/api/v3/depth",
        {"symbol": "BTCUSDT", "limit": str(limit)},
        weight,
    )


TRADE = Stream("btcusdt@trade", "trade", "BTCUSDT")


@pytest.mark.parametrize(
    ("frame", "expected"),
    [
        # frames/binance/spot/control.jsonl, quoted 2021-10 and 2026-05
        (
            '{"error":{"code":2,"msg":"Invalid request: streams must be an array"},"id":5000001}',
            VenueError(5000001, "2", "Invalid request: streams must be an array"),
        ),
        ('{"serverTime":1634180186435}', Notice("server_time", "1634180186435")),
        (
            '{"stream":"!serverShutdown","data":{"e":"serverShutdown","E":1770123456789}}',
            Notice("shutdown", '{"e":"serverShutdown","E":1770123456789}'),
        ),
        ('{"e":"serverShutdown","E":1770123456789}', Notice("shutdown", "at 1770123456789")),
        # web-socket-streams.md
        ('{"result":null,"id":1}', Ack(1)),
        ('{"id":3,"result":["btcusdt@depth@100ms"]}', Ack(3)),
        ('{"code":2,"msg":"Invalid request","id":4}', VenueError(4, "2", "Invalid request")),
        ('{"code":-1121,"msg":"Invalid symbol."}', VenueError(None, "-1121", "Invalid symbol.")),
        # layouts the venue does not use today
        ('{"data":{"E":5,"e":"trade"},"stream":"btcusdt@trade"}', Data(TRADE, 5)),
        ('{ "stream" : "btcusdt@trade" , "data" : {"e":"trade","E":5} }', Data(TRADE, 5)),
        ('{"stream":"btcusdt@\\u0074rade","data":{"e":"trade","E":5,"s":"BTCUSDT"}}', Data(TRADE, 5)),
        ('{"e":"trade","E":5,"s":"BTCUSDT","t":1}', Data(TRADE, 5)),
        (
            '{"u":1,"s":"BTCUSDT","b":"1","B":"2","a":"3","A":"4"}',
            Data(Stream("btcusdt@bookTicker", "bbo", "BTCUSDT"), None),
        ),
        (
            '{"stream":"!bookTicker","data":{"u":19575390521,"s":"BTCUSDT","b":"29010.90000000"}}',
            Data(Stream("!bookTicker", "bbo", "BTCUSDT"), None),
        ),
        (
            '{"stream":"!miniTicker@arr","data":[]}',
            Data(Stream("!miniTicker@arr", "mini_ticker", EVERY_SYMBOL), None, ()),
        ),
        (
            '{"stream":"!miniTicker@arr","data":[{"e":"24hrMiniTicker","E":5,"s":"BNBBTC","c":"1"},{"s":"ETHBTC"}]}',
            Data(Stream("!miniTicker@arr", "mini_ticker", EVERY_SYMBOL), 5, ("BNBBTC", "ETHBTC")),
        ),
        (
            '{"stream":"ethusdt@depth20","data":{"lastUpdateId":17044571457,"bids":[],"asks":[]}}',
            Data(Stream("ethusdt@depth20", "partial_book", "ETHUSDT"), None),
        ),
        (
            '{"stream":"btcusdt@ticker_1h","data":{"e":"1hTicker","E":1672515782136,"s":"BTCUSDT"}}',
            Data(Stream("btcusdt@ticker_1h", "window_ticker", "BTCUSDT"), 1672515782136),
        ),
        (
            '{"stream":"btcusdt@kline_1d@+08:00","data":{"e":"kline","E":5}}',
            Data(Stream("btcusdt@kline_1d@+08:00", "kline", "BTCUSDT"), 5),
        ),
    ],
)  # fmt: skip
def test_what_a_frame_is(frame: str, expected: object) -> None:
    p = protocol()
    assert p.classify(frame.encode()) == expected
    assert p.classify(frame.encode()) == expected, "seen again"


@pytest.mark.parametrize(
    "frame",
    [
        "", "{}", "[]", "null", "pong", '{"id":1}', '{"result":null}', '{"result":null,"id":"abc"}',
        '{"stream":"btcusdt@newThing","data":{}}', '{"stream":"nothing","data":{}}', '{"stream":"@trade","data":{}}',
        '{"stream":"btcusdt@trade"}', '{"e":"newEvent","E":1,"s":"BTCUSDT"}', '{"stream":"btcusdt@trade","data":',
    ],
)  # fmt: skip
def test_what_cannot_be_attributed_is_unknown(frame: str) -> None:
    found = protocol().classify(frame.encode())
    assert isinstance(found, Unknown)
    assert found.reason


@given(st.binary(max_size=200) | st.binary(max_size=80).map(lambda tail: b'{"stream":"btcusdt@trade"' + tail))
def test_classify_never_raises(frame: bytes) -> None:
    p = protocol()
    p.classify(b'{"stream":"btcusdt@trade","data":{"e":"trade","E":1,"s":"BTCUSDT"}}')
    p.classify(frame)


def test_the_short_way_agrees_with_the_exact_one_on_every_recorded_frame() -> None:
    known = protocol()
    frames = 0
    for path in recordings():
        for frame in path.read_bytes().splitlines():
            if not frame.startswith(b'{"_rest"'):
                frames += 1
                exact = BinanceSpotProtocol().classify(frame)  # remembers nothing, so decodes it all
                known.classify(frame)
                assert known.classify(frame) == exact
    assert frames > 18_000


def test_event_times_are_read_from_every_recorded_frame_that_has_one() -> None:
    p = protocol()
    for path in recordings():
        for frame in path.read_bytes().splitlines():
            found = p.classify(frame)
            if isinstance(found, Data):
                assert found.event_time_ms == json.loads(frame)["data"].get("E")


def test_more_names_than_are_remembered_are_still_told_apart() -> None:
    p = protocol()
    frames = [f'{{"stream":"s{i}usdt@trade","data":{{"e":"trade","E":{i},"s":"X"}}}}'.encode() for i in range(9000)]
    for _ in range(2):
        for i, frame in enumerate(frames):
            assert p.classify(frame) == Data(Stream(f"s{i}usdt@trade", "trade", f"S{i}USDT"), i)


def test_metadata_are_cut_byte_for_byte() -> None:
    (line,) = (frames_dir() / "binance" / "spot" / "rest_exchange_info.jsonl").read_bytes().splitlines()
    body = line[line.index(b'"body":') + 7 : -1]
    entries = list(protocol().instruments_reply(body))
    assert len(entries) == 10
    assert all(entry in body for _, entry in entries)
    assert [json.loads(entry) for _, entry in entries] == json.loads(body)["symbols"]
    assert [symbol for symbol, _ in entries] == [s["symbol"] for s in json.loads(body)["symbols"]]


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b'{"symbols":[{"status":"TRADING"}]}', b'{"symbols":[1]}'])
def test_a_reply_without_symbols_is_refused(body: bytes) -> None:
    with pytest.raises(UnparsableFrame):
        protocol().instruments_reply(body)


def test_an_entry_that_cannot_be_read_does_not_cost_the_others() -> None:
    body = b'{"symbols":[{"status":"TRADING"},{"symbol":"BTCUSDT"},1,{"symbol":null},{"symbol":"ETHUSDT"}]}'
    assert list(protocol().instruments_reply(body)) == [
        ("BTCUSDT", b'{"symbol":"BTCUSDT"}'),
        ("ETHUSDT", b'{"symbol":"ETHUSDT"}'),
    ]
    assert list(protocol().instruments_reply(b'{"symbols":[]}')) == []


BANNED = (
    b'{"code":-1003,"msg":"Way too much request weight used; IP banned until 1659146400000. Please use WebSocket."}'
)


@pytest.mark.parametrize(
    ("status", "body", "until_ms"),
    [
        (418, BANNED, 1659146400000),
        (429, BANNED, 1659146400000),
        (429, b'{"code":-1003,"msg":"Too much request weight used; current limit is 6000 per 1 MINUTE."}', None),
        (200, BANNED, None),
        (418, b"<html>", None),
    ],
)
def test_until_when_we_are_banned(status: int, body: bytes, until_ms: int | None) -> None:
    assert protocol().ban_until_ms(status, body) == until_ms


WEIGHT = '{"rateLimitType":"REQUEST_WEIGHT","interval":"%s","intervalNum":%d,"limit":%d}'


@pytest.mark.parametrize(
    ("limits", "pools"),
    [
        ([WEIGHT % ("MINUTE", 1, 1200)], {"": RestPool(1200, 60.0)}),
        ([WEIGHT % ("MINUTE", 1, 6000), WEIGHT % ("DAY", 1, 7200)], {"": RestPool(7200, 86400.0)}),
        (['{"rateLimitType":"ORDERS","interval":"SECOND","intervalNum":10,"limit":50}'], {}),
        ([WEIGHT % ("FORTNIGHT", 1, 1)], {}),
        ([WEIGHT % ("MINUTE", 1, 0), WEIGHT % ("MINUTE", 0, 5), WEIGHT % ("MINUTE", -1, -5)], {}),
        ([WEIGHT % ("MINUTE", 1, 10**400), WEIGHT % ("MINUTE", 10**400, 1)], {}),
        (['{"rateLimitType":null}'], {}),
        ([], {}),
    ],
)
def test_what_metadata_say_of_the_address(limits: list[str], pools: dict[str, RestPool]) -> None:
    body = f'{{"timezone":"UTC","rateLimits":[{",".join(limits)}],"symbols":[]}}'.encode()
    assert protocol().rest_limits(body) == pools


@pytest.mark.parametrize("body", [b"{}", b'{"rateLimits":null}', b"[]", b"oh"])
def test_metadata_that_say_nothing_of_the_address(body: bytes) -> None:
    assert protocol().rest_limits(body) == {}


def test_book_ids_without_levels() -> None:
    frame = (  # recorded 2021-04-04
        b'{"stream":"dotusdt@depth@100ms","data":{"e":"depthUpdate","E":1617566591507,"s":"DOTUSDT","U":1513939208,'
        b'"u":1513939209,"b":[],"a":[["43.53620000","7.00000000"]]}}'
    )
    envelope = protocol().book_envelope(frame)
    assert envelope == (1513939208, 1513939209, None, 1617566591507000, False)
    assert protocol().book_envelope(json.dumps(json.loads(frame)["data"]).encode()) == envelope, "on the raw endpoint"
    assert protocol().snapshot_envelope(b'{"lastUpdateId":5,"bids":[],"asks":[["1","2"]]}') == (5, 0)
    with pytest.raises(UnparsableFrame):
        protocol().book_envelope(frame.replace(b'"U"', b'"W"'))
    with pytest.raises(UnparsableFrame):
        protocol().snapshot_envelope(b'{"code":-1003,"msg":"no"}')


def test_turnover_of_every_symbol() -> None:
    """From the recorded 24 h tickers, cut to a list as `type=MINI` gives it."""
    request = protocol().volume_request()
    assert (request.path, dict(request.query), request.weight) == ("/api/v3/ticker/24hr", {"type": "MINI"}, 80)
    line = next(
        line
        for line in (frames_dir() / "binance" / "spot" / "rest_ticker24h.jsonl").read_bytes().splitlines()
        if isinstance(json.loads(line)["body"], dict) and "quoteVolume" in json.loads(line)["body"]
    )
    row = json.loads(line)["body"]
    other = row | {"symbol": "OTHERUSDT", "quoteVolume": "1E+3"}
    assert list(protocol().volume_reply(json.dumps([row, other]).encode())) == [
        (row["symbol"], row["quoteVolume"]),
        ("OTHERUSDT", "1000"),
    ]
    broken: list[object] = [row | {"quoteVolume": value} for value in (None, "", "x", 5)]
    assert list(protocol().volume_reply(json.dumps([*broken, {}, 1, other]).encode())) == [("OTHERUSDT", "1000")]
    with pytest.raises(UnparsableFrame):
        protocol().volume_reply(json.dumps(broken).encode())
    for body in (b"", b"{}", b'[{"symbol":"X"}]', b'{"code":-1003,"msg":"no"}'):
        with pytest.raises(UnparsableFrame):
            protocol().volume_reply(body)


def test_limits_are_those_of_the_venue() -> None:
    limits = protocol().limits
    assert limits.streams_per_connection == 1024
    assert limits.messages_per_s < 5
    assert limits.rotate_after_s < limits.connection_max_age_s == 86_400
    assert set(limits.silence_timeout_s) == set(CHANNEL_STREAMS)


def test_binary_frames_are_refused() -> None:
    with pytest.raises(UnparsableFrame):
        protocol().decode_binary(b"\x1f\x8b")
