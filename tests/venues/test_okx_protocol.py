"""Requests as OKX wants them, and what each of its frames is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from marketdata.errors import ConfigError, UnparsableFrame
from marketdata.topics import CHANNEL_TOPICS
from tests.frames import frames_dir
from venues import find_venue
from venues.contract import EVERY_SYMBOL, Ack, Alive, BookRecovery, Data, Notice, Stream, Unknown, VenueError
from venues.okx.messages import Arg
from venues.okx.protocol import LIMITS, OkxProtocol
from venues.okx.streams import CHANNEL_STREAMS, arg_of, name_of, stream_of
from venues.okx.symbols import OkxMarket, find_market

MARKETS: tuple[OkxMarket, ...] = ("spot", "perp", "future", "option")
SYMBOLS: dict[OkxMarket, str] = {
    "spot": "BTC-USDT", "perp": "BTC-USDT-SWAP", "future": "BTC-USD-220624", "option": "BTC-USD-220624-50000-C",
}  # fmt: skip


def protocol(market: OkxMarket = "perp") -> OkxProtocol:
    """A fresh one: it remembers args."""
    return OkxProtocol(market)


# --- symbols and subscriptions -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("symbol", "market"),
    [
        ("BTC-USDT", "spot"),
        ("1INCH-USDT", "spot"),
        ("BTC-USD-SWAP", "perp"),
        ("BTC-USD_UM-SWAP", "perp"),
        ("BTC-USD-220624", "future"),
        ("BTC-USD_UM_XPERP-310404", "future"),
        ("BTC-USD-220624-50000-C", "option"),
        ("XRP-USD-220624-0.5-P", "option"),
        ("BTC", None),
        ("", None),
        ("BTC-USDT-", None),
        ("BTC-USD-2206", None),
        ("BTC-USD-220624-50000", None),
        ("BTC-USD-220624-50000-X", None),
        ("BTC-USDT-SWAP-X", None),
        ("*", None),
    ],
)
def test_an_id_is_of_the_market_it_is_spelled_like(symbol: str, market: OkxMarket | None) -> None:
    assert find_market(symbol) == market
    owners = [m for m in MARKETS if find_venue("okx", m).owns(symbol)]
    assert owners == ([market] if market else [])


@pytest.mark.parametrize("market", MARKETS)
def test_every_stream_has_a_name_of_its_own_that_gives_it_back(market: OkxMarket) -> None:
    streams = protocol(market).streams([SYMBOLS[market], "X-Y"], list(CHANNEL_STREAMS[market]))
    assert len({s.name for s in streams}) == len(streams)
    for stream in streams:
        arg = arg_of(stream.name)
        assert name_of(Arg(**arg)) == stream.name
        assert stream_of(Arg(**arg)) == stream
        assert stream.channel in CHANNEL_TOPICS


def test_names() -> None:
    names = {s.channel: s.name for s in protocol().streams(["BTC-USDT-SWAP"], list(CHANNEL_STREAMS["perp"]))}
    assert names == {
        "trade": "trades-all:BTC-USDT-SWAP",
        "agg_trade": "trades:BTC-USDT-SWAP",
        "book": "books:BTC-USDT-SWAP",
        "bbo": "bbo-tbt:BTC-USDT-SWAP",
        "kline": "candle1m:BTC-USDT-SWAP",
        "ticker": "tickers:BTC-USDT-SWAP",
        "mark_price": "mark-price:BTC-USDT-SWAP",
        "open_interest": "open-interest:BTC-USDT-SWAP",
        "funding": "funding-rate:BTC-USDT-SWAP",
        "liquidation": "liquidation-orders:SWAP",
    }


def test_one_stream_carries_the_liquidations_of_all_symbols() -> None:
    streams = protocol("future").streams(["BTC-USD-220624", "ETH-USD-220624"], ["liquidation", "long_short"])
    assert streams == [Stream("liquidation-orders:FUTURES", "liquidation", EVERY_SYMBOL)]


@pytest.mark.parametrize(
    ("market", "channel"),
    [("spot", "funding"), ("spot", "long_short"), ("future", "funding"), ("option", "liquidation"), ("perp", "x")],
)
def test_a_channel_the_market_has_not_is_a_configuration_error(market: OkxMarket, channel: str) -> None:
    with pytest.raises(ConfigError, match=channel):
        protocol(market).streams(["X"], [channel])


def test_trades_and_candles_live_on_the_business_address() -> None:
    p = protocol()
    routes = {s.channel: p.route(s) for s in p.streams(["BTC-USDT-SWAP"], list(CHANNEL_STREAMS["perp"]))}
    assert {channel for channel, route in routes.items() if route == "business"} == {"trade", "kline"}
    assert p.route(p.market_streams()[0]) == "public"
    kline = p.streams(["BTC-USDT-SWAP"], ["kline"])
    assert p.connection_url("wss://ws.okx.com:8443/", kline) == "wss://ws.okx.com:8443/ws/v5/business"
    assert p.connection_url("ws://127.0.0.1:9700/okx", p.market_streams()) == "ws://127.0.0.1:9700/okx/ws/v5/public"


def test_requests() -> None:
    p = protocol()
    streams = p.streams(["BTC-USDT-SWAP"], ["book", "liquidation"]) + p.market_streams()
    assert json.loads(p.subscribe(streams, 7)) == {
        "id": "7",
        "op": "subscribe",
        "args": [
            {"channel": "books", "instId": "BTC-USDT-SWAP"},
            {"channel": "liquidation-orders", "instType": "SWAP"},
            {"channel": "instruments", "instType": "SWAP"},
        ],
    }
    assert json.loads(p.unsubscribe(streams[:1], 8))["op"] == "unsubscribe"
    assert p.ping() == "ping"


def test_the_largest_request_stays_within_64_kilobytes() -> None:
    stream = Stream("liquidation-orders:" + "X" * 60, "liquidation", EVERY_SYMBOL)
    assert len(protocol().subscribe([stream] * LIMITS.streams_per_request, 10**9)) < 64_000


def test_a_dead_socket_is_noticed_between_two_pings() -> None:
    assert LIMITS.client_ping_interval_s is not None
    assert LIMITS.idle_timeout_s is not None
    assert LIMITS.client_ping_interval_s < 30 < LIMITS.idle_timeout_s < 60
    assert protocol().recovery is BookRecovery.RESUBSCRIBE
    assert protocol().recovery_fallback is BookRecovery.REST


# --- frames ----------------------------------------------------------------------------------------------

BOOK = Stream("books:BTC-USDT-SWAP", "book", "BTC-USDT-SWAP")
BOOK_FRAME = (  # recorded 2026-09-26
    b'{"arg":{"channel":"books","instId":"BTC-USDT-SWAP"},"action":"update","data":[{"asks":[["84093.5","667.16","0",'
    b'"70"]],"bids":[],"ts":"1790439595900","checksum":0,"seqId":342177337872,"prevSeqId":342177337822}]}'
)
KLINE = Stream("candle1m:BTC-USDT", "kline", "BTC-USDT")
KLINE_FRAME = b'{"arg":{"channel":"candle1m","instId":"BTC-USDT"},"data":[["1654154580000","1","1","1","1","1","1"]]}'
GONE = (
    "Wrong URL or channel:candle1m,instId:BTC-USD-SWAP doesn't exist. Please use the correct URL, channel and "
    "parameters referring to API document."
)


@pytest.mark.parametrize(
    ("frame", "expected"),
    [
        (BOOK_FRAME, Data(BOOK, 1790439595900)),
        (BOOK_FRAME.replace(b'"ts"', b'"other"'), Data(BOOK, None)),
        (BOOK_FRAME.replace(b":", b": "), Data(BOOK, 1790439595900)),  # another layout
        (BOOK_FRAME.replace(b"1790439595900", b"17x"), Data(BOOK, None)),
        (BOOK_FRAME.replace(b"1790439595900", b"1790439595"), Data(BOOK, 1790439595)),
        (KLINE_FRAME, Data(KLINE, None)),  # the time of a candle is not the venue's clock
        (b'{"arg":{"channel":"trades","instId":"BTC-USDT"},"data":[]}',
         Data(Stream("trades:BTC-USDT", "agg_trade", "BTC-USDT"), None)),
        (b'{"data":[{"ts":"1"},{"ts":"2"}],"arg":{"instId":"A-B","channel":"trades"}}',
         Data(Stream("trades:A-B", "agg_trade", "A-B"), 2)),
        (b'{"arg":{"channel":"liquidation-orders","instType":"SWAP"},"data":[{"instId":"A-B-SWAP"},'
         b'{"instId":"C-D-SWAP"},{"instId":"A-B-SWAP"}]}',
         Data(Stream("liquidation-orders:SWAP", "liquidation", "*"), None, ("A-B-SWAP", "C-D-SWAP"))),
        (b'{"arg":{"channel":"opt-summary","uly":"ETH-USD"},"data":[{"instId":"ETH-USD-211222-4000-C","ts":"1"}]}',
         Data(Stream("opt-summary:ETH-USD", "option_summary", "*"), None, ("ETH-USD-211222-4000-C",))),
        (b'{"arg":{"channel":"instruments","instType":"SPOT"},"data":[{},{}]}', Notice("instruments", "2 of SPOT")),
        (b'{"arg":{"channel":"status"},"data":[{"state":"ongoing"}]}', Notice("status", '{"state":"ongoing"}')),
        (b"pong", Alive()),
        # acks: one for each arg
        (b'{"id":"7","event":"subscribe","arg":{"channel":"books","instId":"BTC-USDT"},"connId":"a4d3ae55"}',
         Ack(7, ("books:BTC-USDT",))),
        (b'{"event":"subscribe","arg":{"channel":"books","instId":"BTC-USDT"}}', Ack(None, ("books:BTC-USDT",))),
        (b'{"id":"md","event":"subscribe","arg":{"channel":"instruments","instType":"SWAP"}}',
         Ack(None, ("instruments:SWAP",))),
        (b'{"event":"subscribe","arg":{"channel":"status"},"connId":"26c9b771"}', Ack(None, ("status",))),
        (b'{"id":"8","event":"unsubscribe","arg":{"channel":"books","instId":"A-B"}}', Ack(8, ("books:A-B",))),
        # errors
        (json.dumps({"event": "error", "code": "60018", "msg": GONE, "connId": "2b5dc6ac", "id": "7"}).encode(),
         VenueError(7, "60018", GONE, ("candle1m:BTC-USD-SWAP",))),
        (b'{"event":"error","msg":"channel:tickers,instId:LTC-USD doesn\'t exist","code":"60018"}',
         VenueError(None, "60018", "channel:tickers,instId:LTC-USD doesn't exist", ("tickers:LTC-USD",))),
        (b'{"event":"error","msg":"channel:liquidation-orders,instType:X doesn\'t exist","code":60018}',
         VenueError(None, "60018", "channel:liquidation-orders,instType:X doesn't exist", ("liquidation-orders:X",))),
        (b'{"id":"9","event":"error","code":"60012","msg":"Invalid request: {\\"op\\":\\"x\\"}","connId":"a4d3ae55"}',
         VenueError(9, "60012", 'Invalid request: {"op":"x"}')),
        (b'{"event":"error","arg":{"channel":"books-l2-tbt","instId":"A-B"},"code":"60011","msg":"Please log in"}',
         VenueError(None, "60011", "Please log in", ("books-l2-tbt:A-B",))),
        # notices
        (b'{"event":"notice","msg":"The connection will soon be closed.","code":"64008","connId":"8517149b"}',
         Notice("shutdown", "64008 The connection will soon be closed.")),
        (b'{"event":"notice","msg":"other","code":"1"}', Notice("notice", "1 other")),
        (b'{"event":"channel-conn-count","channel":"account","connCount":"1","connId":"4adc328c"}',
         Notice("channel_conn_count", "channel-conn-count account 1")),
    ],
)  # fmt: skip
def test_what_a_frame_is(frame: bytes, expected: Any) -> None:
    p = protocol()
    assert p.classify(frame) == expected
    assert p.classify(frame) == expected  # once more: acks come again, and data are told by slicing


@pytest.mark.parametrize(
    "frame",
    [
        b"", b"ping", b"PONG", b"[]", b"null", b"{}", b"\xff\xfe", b'{"arg":{"channel":"books"}}',
        b'{"arg":{"instId":"BTC-USDT"},"data":[]}', b'{"arg":{"channel":"weather","instId":"A-B"},"data":[]}',
        b'{"arg":{"channel":"books","instId":"A-B"},"data":{}}', b'{"event":"subscribe"}', b'{"event":"login"}',
        b'{"event":7}', b'{"arg":{"channel":"liquidation-orders","instType":"SWAP"},"data":["x"]}',
        BOOK_FRAME[:60], BOOK_FRAME[:-40],
    ],
)  # fmt: skip
def test_what_is_no_message_of_the_venue_is_unknown(frame: bytes) -> None:
    p = protocol()
    assert isinstance(p.classify(frame), Unknown)


def test_a_known_arg_does_not_make_a_frame_data() -> None:
    p = protocol()
    p.classify(BOOK_FRAME)
    assert isinstance(p.classify(BOOK_FRAME[:51] + b"}"), Unknown)
    empty = b'{"arg":{"channel":"books","instId":"BTC-USDT-SWAP"},"data":[]}'
    assert p.classify(empty) == Data(BOOK, None)


@given(st.binary(max_size=80))
def test_classify_never_raises(frame: bytes) -> None:
    p = protocol()
    p.classify(BOOK_FRAME)
    p.classify(frame)
    p.classify(BOOK_FRAME[:53] + frame)


def recordings() -> list[Path]:
    folders = ("spot", "swap", "futures", "option", "mixed")
    return sorted(
        p for folder in folders for p in (frames_dir() / "okx" / folder).glob("*.jsonl") if "sent" not in p.name
    )


def test_slicing_and_decoding_agree_on_every_recorded_frame() -> None:
    p, seen = protocol(), 0
    for path in recordings():
        for frame in path.read_bytes().splitlines():
            first = protocol().classify(frame)  # decoded
            p.classify(frame)
            assert p.classify(frame) == first  # sliced, where it is data
            assert not isinstance(first, Unknown)
            if isinstance(first, Data) and first.stream.symbol != EVERY_SYMBOL:
                wire = json.loads(frame)
                assert name_of(Arg(**wire["arg"])) == first.stream.name
                times = [row["ts"] for row in wire["data"] if isinstance(row, dict) and "ts" in row]
                assert first.event_time_ms == (int(times[-1]) if times else None)
                seen += 1
    assert seen > 2000


# --- REST ------------------------------------------------------------------------------------------------


def test_rest_requests_name_what_they_cost() -> None:
    p = protocol()
    book = p.snapshot_request("BTC-USDT-SWAP", 20)
    assert (book.path, book.levels, book.pool) == ("/api/v5/market/books", 400, "books")
    assert book.query["instId"] == "BTC-USDT-SWAP"
    assert book.query["sz"] == "400"
    assert p.instruments_request().query == {"instType": "SWAP"}
    assert len(p.instruments_requests()) == 1
    families = [r.query["instFamily"] for r in protocol("option").instruments_requests()]
    assert families == ["BTC-USD", "ETH-USD"]
    assert protocol("option").volume_request() is None
    polls = p.polls(["BTC-USDT-SWAP", "ETH-USDT-SWAP"], ["long_short", "trade"])
    assert len(polls) == 8
    assert {poll.request.query["instId"] for poll in polls[:4]} == {"BTC-USDT-SWAP"}
    for request in [book, p.instruments_request(), p.volume_request(), *(poll.request for poll in polls)]:
        assert request is not None
        assert request.weight <= LIMITS.rest_pools[request.pool].weight
    assert protocol("spot").polls(["BTC-USDT"], ["long_short"]) == []
    assert p.polls(["BTC-USDT-SWAP"], ["trade"]) == []


@pytest.mark.parametrize(
    ("market", "expected"),
    [("spot", [("A-USDT", "1500.5")]), ("perp", [("A-USDT-SWAP", "30.5")]), ("future", [])],
)
def test_turnover_is_in_quote_currency(market: OkxMarket, expected: list[tuple[str, str]]) -> None:
    body = json.dumps(
        {
            "code": "0",
            "msg": "",
            "data": [
                {"instId": "A-USDT", "last": "3", "volCcy24h": "1500.5", "vol24h": "500"},
                {"instId": "A-USDT-SWAP", "last": "3.05", "volCcy24h": "10", "vol24h": "1"},
                {"instId": "B-USDT-SWAP", "last": "", "volCcy24h": "0", "vol24h": "0"},
                {"instId": "C-USDT-SWAP", "last": "1", "volCcy24h": "", "vol24h": ""},
            ],
        }
    ).encode()
    assert list(protocol(market).volume_reply(body)) == expected


def test_instruments_are_cut_out_byte_for_byte() -> None:
    entry = b'{"instId":"BTC-USDT-SWAP", "ctVal":"0.010"}'
    body = b'{"code":"0","msg":"","data":[%s,{"instId":"BTC-USDT"},{"instId":"??"}]}' % entry
    assert list(protocol().instruments_reply(body)) == [("BTC-USDT-SWAP", entry)]
    assert list(protocol("option").instruments_reply(body)) == []


@pytest.mark.parametrize("body", [b'{"code":"50011","msg":"Too Many Requests","data":[]}', b"<html>", b'{"data":[]}'])
def test_a_refusal_is_no_reply(body: bytes) -> None:
    p = protocol()
    with pytest.raises(UnparsableFrame):
        list(p.instruments_reply(body))
    with pytest.raises(UnparsableFrame):
        list(p.volume_reply(body))
    with pytest.raises(UnparsableFrame):
        list(p.poll_reply(p.polls(["BTC-USDT-SWAP"], ["long_short"])[0].request, body))


def test_a_poll_is_about_one_symbol() -> None:
    p = protocol()
    body = b'{"code":"0","msg":"","data":[["1700000000000","1.5"]]}'
    request = p.polls(["BTC-USDT-SWAP"], ["long_short"])[0].request
    assert list(p.poll_reply(request, body)) == [("BTC-USDT-SWAP", body)]
