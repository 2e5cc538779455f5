"""Requests as Binance's futures want them, on which path each stream is served, and what each of their frames is."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.polls import POLL_SHARE
from marketdata.errors import BadData, ConfigError, InvariantError, UnparsableFrame
from marketdata.topics import CHANNEL_TOPICS
from runtime.config.ingest import Ingest
from tests.frames import frames_dir
from venues.binance.futures_protocol import (
    CHANNEL_STREAMS,
    KINDS,
    CoinMarginedProtocol,
    UsdMarginedProtocol,
    is_coin_margined,
)
from venues.contract import EVERY_SYMBOL, Ack, Data, Notice, Request, Stream, Unknown, VenueError

usd_margined = UsdMarginedProtocol
coin_margined = CoinMarginedProtocol
BOTH = pytest.mark.parametrize("fresh", [usd_margined, coin_margined], ids=["perp", "inverse"])
Fresh = Callable[[], UsdMarginedProtocol | CoinMarginedProtocol]


def stream(name: str) -> Stream:
    return Stream(name, "", "")


# --- symbols, streams and paths --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("symbol", "coin"),
    [
        ("BTCUSDT", False), ("BTCUSDC", False), ("ETHBTC", False), ("1000SHIBUSDT", False), ("BTCDOMUSDT", False),
        ("BTCUSDT_261225", False), ("BTCBUSD", False), ("ADAUSD", False),
        ("BTCUSD_PERP", True), ("BTCUSD_261225", True), ("BNBUSD_PERP", True), ("APTUSD_PERP", True),
        ("BTCUSD_26", False), ("_PERP", False), ("BTCUSD_", False),
    ],
)  # fmt: skip
def test_segments_are_told_apart_by_the_spelling(symbol: str, coin: bool) -> None:
    assert is_coin_margined(symbol) is coin
    assert coin_margined().owns(symbol) is coin
    assert usd_margined().owns(symbol) is not coin


def test_no_symbol_is_of_no_segment() -> None:
    assert not usd_margined().owns("")
    assert not coin_margined().owns("")


@BOTH
def test_each_channel_is_a_stream_once(fresh: Fresh) -> None:
    channels = [*CHANNEL_STREAMS, "funding", "open_interest", "long_short"]
    streams = fresh().streams(["BTCUSDT"], channels)
    assert [s.name for s in streams] == [
        "btcusdt@trade", "btcusdt@aggTrade", "btcusdt@depth@100ms", "btcusdt@bookTicker", "btcusdt@kline_1m",
        "btcusdt@ticker", "btcusdt@markPrice@1s", "btcusdt@forceOrder",
    ]  # fmt: skip
    assert all(s.channel in CHANNEL_TOPICS for s in streams)
    assert [s.channel for s in fresh().streams(["BTCUSDT"], ["funding"])] == ["mark_price"], "in the same frames"
    assert fresh().streams(["BTCUSDT"], ["open_interest", "long_short"]) == [], "polled"
    with pytest.raises(ConfigError, match="volatility"):
        fresh().streams(["BTCUSDT"], ["volatility"])


@given(st.text(min_size=1).filter(lambda s: "@" not in s and not s.startswith("!")))
def test_a_stream_name_gives_back_channel_and_symbol(text: str) -> None:
    symbol = text.encode().upper().decode()
    for wanted in usd_margined().streams([symbol], list(CHANNEL_STREAMS)):
        found = usd_margined().parse_stream(wanted.name)
        assert found is not None
        assert found[0] == wanted


@pytest.mark.parametrize(
    ("name", "route"),
    [
        ("btcusdt@trade", "public"),
        ("btcusdt@bookTicker", "public"), ("!bookTicker", "public"),
        ("btcusdt@depth", "public"), ("btcusdt@depth@100ms", "public"), ("btcusdt@depth@500ms", "public"),
        ("btcusdt@depth5", "public"), ("btcusdt@depth20@100ms", "public"), ("btcusdt@rpiDepth@500ms", "public"),
        ("btcusdt@aggTrade", "market"),
        ("btcusdt@kline_1m", "market"), ("btcusdt_perpetual@continuousKline_1m", "market"),
        ("btcusdt@ticker", "market"), ("!ticker@arr", "market"), ("btcusdt@miniTicker", "market"),
        ("!miniTicker@arr", "market"),
        ("btcusdt@markPrice", "market"), ("btcusdt@markPrice@1s", "market"), ("!markPrice@arr@1s", "market"),
        ("btcusdt@forceOrder", "market"), ("!forceOrder@arr", "market"), ("!contractInfo", "market"),
        ("defiusdt@compositeIndex", "market"),
    ],
)  # fmt: skip
def test_the_path_of_each_stream(name: str, route: str) -> None:
    assert usd_margined().route(stream(name)) == route
    assert usd_margined().connection_url("wss://fstream.binance.com", [stream(name)]) == (
        f"wss://fstream.binance.com/{route}/stream"
    )
    assert coin_margined().route(stream(name)) == ""
    assert coin_margined().connection_url("wss://dstream.binance.com/", [stream(name)]) == (
        "wss://dstream.binance.com/stream"
    )


@BOTH
@pytest.mark.parametrize("name", ["btcusdt@newThing", "btcusdt", "@trade", "btcusdt@depth7000x", ""])
def test_a_stream_of_unknown_kind_has_no_path(fresh: Fresh, name: str) -> None:
    """Guessing one would end in a socket that acknowledges and stays silent."""
    with pytest.raises(ConfigError):
        fresh().route(stream(name))


def test_what_the_venue_does_not_serve_has_no_path() -> None:
    with pytest.raises(ConfigError):
        usd_margined().route(stream("btcusdt@depthSnapshot"))


def test_one_connection_is_on_one_path() -> None:
    p = usd_margined()
    streams = p.streams(["BTCUSDT", "ETHUSDT"], ["book", "bbo", "trade"])
    assert p.connection_url("ws://127.0.0.1:9700/usdm/", streams) == "ws://127.0.0.1:9700/usdm/public/stream"
    with pytest.raises(InvariantError):
        p.connection_url("ws://127.0.0.1", p.streams(["BTCUSDT"], ["book", "agg_trade"]))
    with pytest.raises(InvariantError):
        p.connection_url("ws://127.0.0.1", [])


def test_every_subscribed_stream_has_a_path() -> None:
    p = usd_margined()
    routes = {s.channel: p.route(s) for s in [*p.streams(["BTCUSDT"], list(CHANNEL_STREAMS)), *p.market_streams()]}
    assert set(routes) == {*CHANNEL_STREAMS, "instrument"}
    assert {channel for channel, route in routes.items() if route == "public"} == {"trade", "book", "bbo"}


def test_subscriptions_are_those_of_spot() -> None:
    streams = usd_margined().streams(["BTCUSDT"], ["mark_price", "liquidation"])
    assert json.loads(usd_margined().subscribe(streams, 7)) == {
        "method": "SUBSCRIBE",
        "params": ["btcusdt@markPrice@1s", "btcusdt@forceOrder"],
        "id": 7,
    }
    assert json.loads(usd_margined().unsubscribe(streams[:1], 8))["method"] == "UNSUBSCRIBE"


@BOTH
def test_limits_are_those_of_the_venue(fresh: Fresh) -> None:
    limits = fresh().limits
    assert limits.streams_per_connection == 200
    assert limits.messages_per_s < 10
    assert limits.rotate_after_s < limits.connection_max_age_s == 86_400
    assert limits.rest_pools == {"": (2400, 60.0), "futures_data": (1000, 300.0)}
    assert set(limits.silence_timeout_s) == set(CHANNEL_STREAMS) - {"liquidation"}, "silence proves nothing there"


# --- frames ----------------------------------------------------------------------------------------


def data(name: str, channel: str, symbol: str, time_ms: int | None, *symbols: str) -> Data:
    return Data(Stream(name, channel, symbol), time_ms, symbols)


TICKERS = (
    '{"stream":"!ticker@arr","data":[{"e":"24hrTicker","E":5,"s":"BTCUSDT","o":"1"},{"e":"24hrTicker","E":5,'
    '"s":"BTCUSD_PERP","o":"1","st":2},{"e":"24hrTicker","E":5,"s":"ETHUSDT","o":"1"}]}'
)
LISTED = '{"stream":"!contractInfo","data":{"e":"contractInfo","E":1,"s":"%s","ct":"PERPETUAL","cs":"TRADING"%s}}'


@pytest.mark.parametrize(
    ("frame", "expected"),
    [
        ('{"result":null,"id":1}', Ack(1)),
        ('{"error":{"code":2,"msg":"Invalid request"},"id":5}', VenueError(5, "2", "Invalid request")),
        ('{"code":-1121,"msg":"Invalid symbol."}', VenueError(None, "-1121", "Invalid symbol.")),
        (
            '{"stream":"btcusdt@depth20@100ms","data":{"e":"depthUpdate","E":1723161257440,"u":1,"b":[],"a":[]}}',
            data("btcusdt@depth20@100ms", "partial_book", "BTCUSDT", 1723161257440),
        ),
        (
            '{"stream":"btcusdt@bookTicker","data":{"e":"bookTicker","u":1,"E":1723161257440,"s":"BTCUSDT","B":"2"}}',
            data("btcusdt@bookTicker", "bbo", "BTCUSDT", 1723161257440),
        ),
        (
            '{"stream":"btcusdt@bookTicker","data":{"e":"bookTicker","u":1,"s":"BTCUSDT","B":"2","E":1723161257440}}',
            data("btcusdt@bookTicker", "bbo", "BTCUSDT", 1723161257440),
        ),
        ('{"stream":"btcusdt@bookTicker","data":{"u":1,"s":"X","B":"2"}}', data("btcusdt@bookTicker", "bbo", "BTCUSDT",
                                                                               None)),
        (
            '{"stream":"!forceOrder@arr","data":{"e":"forceOrder","E":7,"o":{"s":"XRPUSDT","S":"BUY"}}}',
            data("!forceOrder@arr", "liquidation", "XRPUSDT", 7),
        ),
        (
            '{"e":"forceOrder","E":7,"o":{"s":"XRPUSDT","S":"BUY"}}',
            data("xrpusdt@forceOrder", "liquidation", "XRPUSDT", 7),
        ),
        (
            '{"e":"kline","E":7,"s":"BTCUSDT","k":{"i":"1m"}}',
            data("btcusdt@kline_1m", "kline", "BTCUSDT", 7),
        ),
        (TICKERS, data("!ticker@arr", "ticker", EVERY_SYMBOL, 5, "BTCUSDT", "ETHUSDT")),
        ('{"stream":"!markPrice@arr@1s","data":[]}', data("!markPrice@arr@1s", "mark_price", EVERY_SYMBOL, None)),
        (LISTED % ("NEWUSDT", ',"st":1'), Notice("instruments", "NEWUSDT TRADING")),
        (LISTED % ("NEWUSD_PERP", ',"st":2'), Notice("instruments_elsewhere", "NEWUSD_PERP TRADING")),
        (LISTED % ("NEWUSDT", ""), Notice("instruments", "NEWUSDT TRADING")),  # before the segments were merged
        (LISTED % ("NEWUSD_PERP", ""), Notice("instruments_elsewhere", "NEWUSD_PERP TRADING")),
    ],
)  # fmt: skip
def test_what_a_frame_is(frame: str, expected: object) -> None:
    p = usd_margined()
    assert p.classify(frame.encode()) == expected
    assert p.classify(frame.encode()) == expected, "seen again"


def test_coin_margined_takes_the_other_half() -> None:
    p = coin_margined()
    assert p.classify(TICKERS.encode()) == data("!ticker@arr", "ticker", EVERY_SYMBOL, 5, "BTCUSD_PERP")
    assert p.classify((LISTED % ("NEWUSDT", ',"st":1')).encode()) == Notice("instruments_elsewhere", "NEWUSDT TRADING")
    assert p.classify((LISTED % ("NEWUSD_PERP", ',"st":2')).encode()) == Notice("instruments", "NEWUSD_PERP TRADING")


@BOTH
@pytest.mark.parametrize(
    "frame",
    [
        "", "{}", "[]", "null", "pong", '{"result":null}', '{"stream":"btcusdt@newThing","data":{}}',
        '{"stream":"@trade","data":{}}', '{"e":"newEvent","E":1,"s":"BTCUSDT"}', '{"e":"trade","E":1}',
        '{"stream":"!ticker@arr","data":[1]}',
    ],
)  # fmt: skip
def test_what_cannot_be_attributed_is_unknown(fresh: Fresh, frame: str) -> None:
    found = fresh().classify(frame.encode())
    assert isinstance(found, Unknown)
    assert found.reason


quoted = st.binary(max_size=80).map(lambda tail: b'{"stream":"btcusdt@bookTicker","data":{"e":"bookTicker","E":' + tail)


@given(st.binary(max_size=200) | quoted)
def test_classify_never_raises(frame: bytes) -> None:
    p = usd_margined()
    p.classify(b'{"stream":"btcusdt@bookTicker","data":{"e":"bookTicker","E":1,"s":"BTCUSDT"}}')
    p.classify(frame)


def recorded(folder: str) -> list[bytes]:
    paths: list[Path] = sorted((frames_dir() / "binance" / folder).glob("*.jsonl"))
    return [line for path in paths for line in path.read_bytes().splitlines() if not line.startswith(b'{"_rest"')]


@pytest.mark.parametrize(("folder", "fresh", "least"), [("usdm", usd_margined, 19_000), ("coinm", coin_margined, 1900)])
def test_the_short_way_agrees_with_the_exact_one_on_every_recorded_frame(folder: str, fresh: Fresh, least: int) -> None:
    known = fresh()
    frames = recorded(folder)
    assert len(frames) > least
    for frame in frames:
        exact = fresh().classify(frame)  # remembers nothing, so decodes it all
        known.classify(frame)
        found = known.classify(frame)
        assert found == exact
        assert isinstance(found, Data)
        payload = json.loads(frame).get("data", json.loads(frame))
        assert found.event_time_ms == (payload[0] if isinstance(payload, list) else payload).get("E")


def test_no_two_kinds_take_the_same_name() -> None:
    names = ["trade", "depth", "depth@100ms", "depth5", "depth20@500ms", "bookTicker", "aggTrade", "kline_1m", "ticker",
             "miniTicker", "markPrice", "markPrice@1s", "forceOrder", "contractInfo", "indexPrice@1s"]  # fmt: skip
    for name in names:
        assert len([kind for kind in KINDS if kind.pattern.fullmatch(name)]) == 1, name


# --- REST ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("levels", "limit", "weight"),
    [(1, 50, 2), (50, 50, 2), (51, 100, 5), (101, 500, 10), (501, 1000, 20), (1000, 1000, 20), (5000, 1000, 20)],
)
def test_a_snapshot_asks_for_all_that_its_weight_buys(levels: int, limit: int, weight: int) -> None:
    for p, path, symbol in ((usd_margined(), "/fapi/v1/depth", "BTCUSDT"), (coin_margined(), "/dapi/v1/depth", "X")):
        assert p.snapshot_request(symbol, levels) == Request(
            path, {"symbol": symbol, "limit": str(limit)}, weight, limit
        )


def asked(polls: list[Any]) -> list[tuple[str, str, str, dict[str, str], str, float]]:
    return [(p.channel, p.symbol, p.request.path, dict(p.request.query), p.request.pool, p.interval_s) for p in polls]


PERIODS = {"period": "5m", "limit": "30"}


def test_what_usd_margined_polls() -> None:
    p = usd_margined()
    assert asked(p.polls(["BTCUSDT"], ["open_interest", "trade", "funding"])) == [
        ("open_interest", "BTCUSDT", "/fapi/v1/openInterest", {"symbol": "BTCUSDT"}, "", 60.0)
    ]
    assert asked(p.polls(["BTCUSDT"], ["long_short"])) == [
        ("long_short", "BTCUSDT", f"/futures/data/{name}", {"symbol": "BTCUSDT", **PERIODS}, "futures_data", 300.0)
        for name in (
            "topLongShortPositionRatio", "topLongShortAccountRatio", "globalLongShortAccountRatio",
            "takerlongshortRatio",
        )
    ]  # fmt: skip
    assert len(p.polls(["BTCUSDT", "ETHUSDT"], ["open_interest", "long_short"])) == 10
    assert p.polls(["BTCUSDT"], ["trade"]) == []


def test_what_coin_margined_polls_of_the_perpetual_alone() -> None:
    p = coin_margined()
    pair = {"pair": "BTCUSD", **PERIODS}
    assert asked(p.polls(["BTCUSD_PERP"], ["open_interest", "long_short"])) == [
        ("open_interest", "BTCUSD_PERP", "/futures/data/openInterestHist", pair | {"contractType": "PERPETUAL"},
         "futures_data", 300.0),
        *(("long_short", "BTCUSD_PERP", f"/futures/data/{name}", pair, "futures_data", 300.0) for name in (
            "topLongShortPositionRatio", "topLongShortAccountRatio", "globalLongShortAccountRatio")),
        ("long_short", "BTCUSD_PERP", "/futures/data/takerBuySellVol", pair | {"contractType": "ALL"}, "futures_data",
         300.0),
    ]  # fmt: skip
    assert p.polls(["BTCUSD_261225"], ["open_interest", "long_short"]) == []


def test_periods_asked_for_outlast_the_turns_of_a_busy_budget() -> None:
    """Every symbol's four ratios within what ingest leaves to polls: how long a turn takes, against what one reply
    holds."""
    p = usd_margined()
    symbols = [f"S{i}USDT" for i in range(3000)]
    polls = p.polls(symbols, ["long_short"])
    pool = p.limits.rest_pools[polls[0].request.pool]
    weight = pool.weight * Ingest().rest_budget_share * POLL_SHARE
    turn_s = sum(poll.request.weight for poll in polls) / weight * pool.window_s
    assert int(polls[0].request.query["limit"]) * 300 > turn_s


@pytest.mark.parametrize(("fresh", "symbol"), [(usd_margined, "BTCUSDT"), (coin_margined, "BTCUSD_PERP")])
def test_a_polls_reply_is_its_symbols(fresh: Fresh, symbol: str) -> None:
    p = fresh()
    for poll in p.polls([symbol], ["open_interest", "long_short"]):
        for body in (b'[{"longShortRatio":"1"}]', b'{"openInterest":"1"}', b"[]"):
            assert list(p.poll_reply(poll.request, body)) == [(poll.symbol, body)]
        with pytest.raises(BadData, match="-1121"):
            p.poll_reply(poll.request, b'{"code":-1121,"msg":"Invalid symbol."}')


def test_turnover_of_this_segments_symbols() -> None:
    row = {
        "symbol": "BTCUSDT", "lastPrice": "5", "openPrice": "4", "highPrice": "5", "lowPrice": "4", "volume": "7",
        "openTime": 1, "closeTime": 2, "firstId": 1, "lastId": 2, "count": 2, "weightedAvgPrice": "4.5",
    }  # fmt: skip
    usd = row | {"quoteVolume": "31.50"}
    coin = row | {"symbol": "BTCUSD_PERP", "baseVolume": "1.5"}
    body = json.dumps([usd, coin]).encode()
    assert list(usd_margined().volume_reply(body)) == [("BTCUSDT", "31.50")]
    assert list(coin_margined().volume_reply(body)) == [("BTCUSD_PERP", "6.75")]
    broken = [usd | {"quoteVolume": value} for value in (None, "", "x")] + [coin | {"baseVolume": None}]
    body = json.dumps([*broken, usd, coin]).encode()
    assert list(usd_margined().volume_reply(body)) == [("BTCUSDT", "31.50")]
    assert list(coin_margined().volume_reply(body)) == [("BTCUSD_PERP", "6.75")]
    assert usd_margined().volume_request() == Request("/fapi/v1/ticker/24hr", {}, 40)
    assert coin_margined().volume_request() == Request("/dapi/v1/ticker/24hr", {}, 40)
    for bad in (b"", b"{}", b'[{"symbol":"X"}]', b'{"code":-1003,"msg":"no"}'):
        with pytest.raises(UnparsableFrame):
            usd_margined().volume_reply(bad)


def test_turnover_of_a_recorded_ticker() -> None:
    (line,) = (frames_dir() / "binance" / "usdm" / "rest_ticker24h.jsonl").read_bytes().splitlines()
    body = json.dumps([json.loads(line)["body"]]).encode()
    assert list(usd_margined().volume_reply(body)) == [("BTCUSDT", "22175129357.20")]


def test_metadata_are_cut_byte_for_byte() -> None:
    (line,) = (frames_dir() / "binance" / "usdm" / "rest_exchange_info.jsonl").read_bytes().splitlines()
    body = line[line.index(b'"body":') + 7 : -1]
    entries = list(usd_margined().instruments_reply(body))
    assert [json.loads(entry) for _, entry in entries] == json.loads(body)["symbols"]
    assert all(entry in body for _, entry in entries)
    assert list(coin_margined().instruments_reply(body)) == []
    assert usd_margined().instruments_request() == Request("/fapi/v1/exchangeInfo", {}, 1)
    assert coin_margined().instruments_request() == Request("/dapi/v1/exchangeInfo", {}, 1)
