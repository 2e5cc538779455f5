"""What Deribit's frames are, which streams it is asked for, and how its names tell the markets apart."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from marketdata.errors import ConfigError, UnparsableFrame
from tests.frames import frames_dir
from venues import find_venue
from venues.contract import EVERY_SYMBOL, Ack, Alive, Data, Notice, Reply, Stream, Unknown, VenueError
from venues.deribit.protocol import HEARTBEAT_ID, MARKET_CHANNELS, TEST_ID, DeribitProtocol
from venues.deribit.symbols import instrument_name_of, is_combo, market_of, parse_channel, symbol_of

MARKETS = ("perp", "future", "option", "spot")


def notification(channel: str, data: object) -> bytes:
    body = {"jsonrpc": "2.0", "method": "subscription", "params": {"channel": channel, "data": data}}
    return json.dumps(body, separators=(",", ":")).encode()


def reply(**fields: object) -> bytes:
    return json.dumps({"jsonrpc": "2.0", **fields, "usIn": 1, "usOut": 2, "usDiff": 1, "testnet": False}).encode()


def recorded() -> Iterator[bytes]:
    for path in sorted((frames_dir() / "deribit").rglob("*.jsonl")):
        if not path.name.endswith(".sent.jsonl"):
            yield from (line for line in path.read_bytes().splitlines() if not line.startswith(b'{"_rest"'))


# --- names -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("symbol", "market", "combo"),
    [
        ("BTC-PERPETUAL", "perp", False),
        ("SOL_USDC-PERPETUAL", "perp", False),
        ("BTC-5AUG23", "future", False),
        ("BTC-25DEC26", "future", False),
        ("BTC_USDC-25DEC26", "future", False),
        ("BTC-25MAR23-420-C", "option", False),
        ("ETH-24JUN22-1600-P", "option", False),
        ("XRP_USDC-30JUN23-0D625-C", "option", False),
        ("BTC_USDC", "spot", False),
        ("ETH_BTC", "spot", False),
        ("BTC_USD", "option", False),  # the volatility index
        ("BTC-FS-19MAY26_PERP", "future", True),
        ("BTC-FS-20MAY26_19MAY26", "future", True),
        ("BTC-CS-19MAY26-70000_75000", "option", True),
        ("BTC-STRD-30SEP22-20000", "option", True),
        ("BTC-CSR12-16SEP22-21000_23000", "option", True),
        ("", "", False),
        ("BTCUSDT", "", False),
    ],
)
def test_market_of(symbol: str, market: str, combo: bool) -> None:
    assert market_of(symbol) == market
    assert is_combo(symbol) is combo
    assert [m for m in MARKETS if find_venue("deribit", m).owns(symbol)] == ([market] if market else [])


@pytest.mark.parametrize("name", ["MATIC_USDC-9MAR24-1d02-C", "XRP_USDC-30JUN23-0d625-P", "BTC-25DEC26-76000-C"])
def test_an_instruments_name_survives_upper_case(name: str) -> None:
    assert symbol_of(name) == name.upper()
    assert instrument_name_of(symbol_of(name)) == name


@pytest.mark.parametrize(
    ("name", "channel", "symbol"),
    [
        ("trades.BTC-PERPETUAL.100ms", "trade", "BTC-PERPETUAL"),
        ("trades.BTC-PERPETUAL.agg2", "trade", "BTC-PERPETUAL"),
        ("trades.option.any.raw", "trade", EVERY_SYMBOL),
        ("trades.BTC-CS-19MAY26-70000_75000.raw", "combo", "BTC-CS-19MAY26-70000_75000"),
        ("book.MATIC_USDC-9MAR24-1d02-C.100ms", "book", "MATIC_USDC-9MAR24-1D02-C"),
        ("book.BTC-PERPETUAL.none.10.100ms", "grouped_book", "BTC-PERPETUAL"),
        ("ticker.BTC-25DEC26.raw", "ticker", "BTC-25DEC26"),
        ("incremental_ticker.BTC-25DEC26", "incremental_ticker", "BTC-25DEC26"),
        ("quote.ETH-PERPETUAL", "bbo", "ETH-PERPETUAL"),
        ("perpetual.ETH-PERPETUAL.100ms", "perpetual", "ETH-PERPETUAL"),
        ("chart.trades.BTC-31MAR23.1D", "kline", "BTC-31MAR23"),
        ("deribit_volatility_index.btc_usd", "volatility", "BTC_USD"),
        ("deribit_price_index.eth_usd", "price_index", "ETH_USD"),
        ("markprice.options.btc_usd", "option_marks", "BTC_USD"),
        ("block_rfq.trades.BTC", "block_rfq", EVERY_SYMBOL),
    ],
)
def test_parse_channel(name: str, channel: str, symbol: str) -> None:
    assert parse_channel(name) == Stream(name, channel, symbol)


@pytest.mark.parametrize(
    "name", ["", "trades", "book.BTC-PERPETUAL", "ticker..raw", "user.trades.any.any.raw", "x.y.z"]
)
def test_parse_channel_of_no_kind_we_know(name: str) -> None:
    assert parse_channel(name) is None


# --- subscriptions ---------------------------------------------------------------------------------


def test_each_stream_is_named_once() -> None:
    perp = DeribitProtocol("perp")
    names = [s.name for s in perp.streams(["BTC-PERPETUAL"], MARKET_CHANNELS["perp"])]
    assert names == [
        "trades.BTC-PERPETUAL.100ms",
        "book.BTC-PERPETUAL.100ms",
        "quote.BTC-PERPETUAL",
        "ticker.BTC-PERPETUAL.100ms",
        "chart.trades.BTC-PERPETUAL.1",
    ]
    assert [s.channel for s in perp.streams(["BTC-PERPETUAL"], ["funding", "mark_price"])] == ["ticker"]
    assert [s.channel for s in perp.streams(["BTC-PERPETUAL"], ["liquidation"])] == ["trade"]


def test_an_index_has_volatility_and_nothing_else() -> None:
    streams = DeribitProtocol("option").streams(["BTC_USD", "XRP_USDC-30JUN23-0D625-C"], ["volatility", "bbo"])
    assert streams == [
        Stream("deribit_volatility_index.btc_usd", "volatility", "BTC_USD"),
        Stream("quote.XRP_USDC-30JUN23-0d625-C", "bbo", "XRP_USDC-30JUN23-0D625-C"),
    ]


@pytest.mark.parametrize(
    ("market", "channel"), [("future", "funding"), ("spot", "open_interest"), ("perp", "agg_trade")]
)
def test_a_channel_the_market_has_not(market: str, channel: str) -> None:
    with pytest.raises(ConfigError, match=f"deribit {market} has no channel '{channel}'"):
        DeribitProtocol(market).streams(["BTC-PERPETUAL"], [channel])


def test_a_volatility_the_venue_has_not() -> None:
    """The venue takes the subscription and never sends: it must not count as delivering."""
    option = DeribitProtocol("option")
    with pytest.raises(ConfigError, match="not of SOL_USD"):
        option.streams(["BTC_USD", "SOL_USD"], ["volatility"])
    assert option.streams(["SOL_USD"], ["bbo"]) == []
    assert "volatility" not in option.limits.quiet_channels


@pytest.mark.parametrize("market", MARKETS)
def test_what_is_subscribed_is_understood(market: str) -> None:
    symbols = {"perp": "BTC-PERPETUAL", "future": "BTC-25DEC26", "option": "BTC-25DEC26-76000-C", "spot": "BTC_USDC"}
    protocol = DeribitProtocol(market)
    for stream in protocol.streams([symbols[market], "BTC_USD"], MARKET_CHANNELS[market]):
        assert parse_channel(stream.name) == stream
        assert stream.channel in find_venue("deribit", market).normalisers or stream.channel == "book"


def test_requests() -> None:
    protocol = DeribitProtocol("perp")
    streams = protocol.streams(["BTC-PERPETUAL"], ["book"])
    assert json.loads(protocol.subscribe(streams, 7)) == {
        "jsonrpc": "2.0", "id": 7, "method": "public/subscribe", "params": {"channels": ["book.BTC-PERPETUAL.100ms"]},
    }  # fmt: skip
    assert json.loads(protocol.unsubscribe(streams, 8))["method"] == "public/unsubscribe"
    assert [json.loads(text) for text in protocol.greeting()] == [
        {"jsonrpc": "2.0", "id": HEARTBEAT_ID, "method": "public/set_heartbeat", "params": {"interval": 10}}
    ]
    assert protocol.connection_url("wss://www.deribit.com/", streams) == "wss://www.deribit.com/ws/api/v2"
    assert protocol.ping() is None


# --- frames ----------------------------------------------------------------------------------------

BOOK = {"type": "change", "timestamp": 1789344931639, "instrument_name": "BTC-PERPETUAL", "change_id": 2, "bids": []}
STATE = {"timestamp": 1789344931639, "state": "open", "instrument_name": "BTC-PERPETUAL"}


@pytest.mark.parametrize(
    ("frame", "expected"),
    [
        (reply(id=3, result=["b", "a"]), Ack(3, ("b", "a"), True)),
        (reply(id=3, result=[]), Ack(3, (), True)),
        (reply(id=3, result="ok"), Ack(3)),
        (reply(id=HEARTBEAT_ID, result="ok"), Alive()),
        (reply(id=TEST_ID, result={"version": "1.2.26"}), Alive()),
        (reply(result="ok"), Unknown("a result without a request id of ours")),
        (
            reply(id=1, error={"code": 10028, "message": "too_many_requests", "data": None}),
            VenueError(1, "10028", "too_many_requests"),
        ),
        (
            reply(id=8, error={"code": -32602, "message": "Invalid params", "data": {"param": "kind"}}),
            VenueError(8, "-32602", 'Invalid params: {"param":"kind"}'),
        ),
        (reply(error={"code": 11050, "message": "bad_request"}), VenueError(None, "11050", "bad_request")),
        (reply(id=TEST_ID, error={"code": 10028, "message": "x"}), VenueError(None, "10028", "x")),
        (b'{"jsonrpc":"2.0","method":"heartbeat","params":{"type":"heartbeat"}}', Alive()),
        (notification("platform_state", {"price_index": "btc_usd", "locked": False}), Alive()),
        (
            notification("platform_state", {"price_index": "btc_usd", "locked": True}),
            Notice("locked", '{"price_index":"btc_usd","locked":true}'),
        ),
        (notification("platform_state", {"maintenance": True}), Notice("maintenance", '{"maintenance":true}')),
        (notification("instrument.state.any.any", STATE), Notice("instruments", json.dumps(STATE).replace(" ", ""))),
        (notification("instrument.state.any.any", STATE | {"instrument_name": "BTC-25DEC26"}), Alive()),
        (reply(id=3, result=["a"], error=None), Ack(3, ("a",), True)),
        (reply(id=1, error={"code": 10028, "message": None}), VenueError(1, "10028", "")),
        (
            notification("book.BTC-PERPETUAL.100ms", BOOK),
            Data(Stream("book.BTC-PERPETUAL.100ms", "book", "BTC-PERPETUAL"), 1789344931639),
        ),
        (
            notification("trades.option.any.raw", [{"instrument_name": n, "timestamp": 5} for n in ("A", "B", "A")]),
            Data(Stream("trades.option.any.raw", "trade", EVERY_SYMBOL), 5, ("A", "B")),
        ),
        (
            notification("chart.trades.BTC-PERPETUAL.1", {"tick": 1}),
            Data(Stream("chart.trades.BTC-PERPETUAL.1", "kline", "BTC-PERPETUAL"), None),
        ),
    ],
)
def test_classify(frame: bytes, expected: object) -> None:
    protocol = DeribitProtocol("perp")
    assert protocol.classify(frame) == expected
    assert protocol.classify(frame) == expected, "nor when seen before"


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"{",
        b"[]",
        b"\xff",
        b"{}",
        b'{"method":"heartbeat"}',
        b'{"method":"other","params":{}}',
        b'{"method":"heartbeat","params":{}}',
        notification("user.orders.any.any.raw", {}),
        notification("book.BTC-PERPETUAL.100ms", 5),
        reply(id=1, result=[5]),
    ],
)
def test_classify_what_is_nothing_of_the_venues(frame: bytes) -> None:
    assert isinstance(DeribitProtocol("perp").classify(frame), Unknown)


def test_a_test_request_is_answered_with_public_test() -> None:
    for frame in (
        b'{"jsonrpc":"2.0","method":"heartbeat","params":{"type":"test_request"}}',
        b'{"params":{"type":"test_request"},"method":"heartbeat","jsonrpc":"2.0"}',  # recorded in this order too
    ):
        found = DeribitProtocol("perp").classify(frame)
        assert isinstance(found, Reply)
        assert json.loads(found.payload) == {"jsonrpc": "2.0", "id": TEST_ID, "method": "public/test", "params": {}}


def test_slicing_and_decoding_agree_on_every_recorded_frame() -> None:
    sliced = DeribitProtocol("option")
    data = 0
    for frame in recorded():
        exact = DeribitProtocol("option").classify(frame)
        sliced.classify(frame)  # now the name is known
        assert sliced.classify(frame) == exact
        data += isinstance(exact, Data)
    assert data > 700


@pytest.mark.parametrize(
    "tail", [b'{"timestamp":17893449}}}', b'{"timestamp":1789344931639123}}}', b'{"x":"y"}}}', b"{}}}"]
)
def test_a_time_of_another_length_is_decoded(tail: bytes) -> None:
    protocol = DeribitProtocol("perp")
    head = b'{"jsonrpc":"2.0","method":"subscription","params":{"channel":"quote.BTC-PERPETUAL","data":'
    protocol.classify(head + b'{"timestamp":1789344931639}}}')
    assert protocol.classify(head + tail) == DeribitProtocol("perp").classify(head + tail)


@pytest.mark.parametrize(
    ("name", "market"),
    [
        ("BTC-25DEC26", "future"),
        ("BTC-25DEC26-76000-C", "option"),
        ("BTC_USDC", "spot"),
        ("BTC-FS-25DEC26_PERP", None),
        ("BTC-CS-25DEC26-70000_75000", None),
        (None, None),
    ],
)
@pytest.mark.parametrize("channel", ["instrument.state.any.any", "instrument.creation.any.any"])
def test_news_of_instruments_are_for_the_market_they_are_of(name: str | None, market: str | None, channel: str) -> None:
    """Combos are no instruments of ours: they come all day, and each would cost a call for all metadata."""
    frame = notification(channel, STATE | {"instrument_name": name})
    asked = [each for each in MARKETS if isinstance(DeribitProtocol(each).classify(frame), Notice)]
    assert asked == ([market] if market else [])


# --- REST ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("levels", "depth"), [(1, 1), (20, 20), (21, 50), (400, 1000), (20000, 10000)])
def test_snapshot_request(levels: int, depth: int) -> None:
    request = DeribitProtocol("option").snapshot_request("MATIC_USDC-9MAR24-1D02-C", levels)
    assert request.query == {"instrument_name": "MATIC_USDC-9MAR24-1d02-C", "depth": str(depth)}
    assert request.levels == depth


@pytest.mark.parametrize(
    ("market", "symbols"),
    [("perp", ["BTC-PERPETUAL"]), ("future", ["BTC-27DEC24"]), ("option", ["BTC-27DEC24-100000-C"]), ("spot", [])],
)
def test_instruments_reply_holds_this_markets_alone(market: str, symbols: list[str]) -> None:
    line = (frames_dir() / "deribit" / "any" / "rest_instruments.docs.jsonl").read_bytes()
    body = line[line.index(b'"body":') + 7 :].strip()[:-1]
    entries = list(DeribitProtocol(market).instruments_reply(body))
    assert [symbol for symbol, _ in entries] == symbols
    assert all(entry in body for _, entry in entries)


def test_instruments_reply_refuses_other_shapes() -> None:
    for body in (b"", b"{}", b'{"result":{}}', b'{"result":[{}]}'):
        with pytest.raises(UnparsableFrame):
            DeribitProtocol("perp").instruments_reply(body)
