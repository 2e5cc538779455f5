"""Kraken spot: what its frames are, its books and their checksums, its trades and pairs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from marketdata.book import LevelBook
from marketdata.book_feed import BookFeed, Outcome, Verdict
from marketdata.book_overlap import new_feed
from marketdata.book_steps import SnapshotVerdict
from marketdata.errors import ConfigError, UnparsableFrame
from marketdata.types import Instrument, Level, Trade
from tests.frames import frames_dir
from venues import find_venue
from venues.conformance import replay
from venues.conformance_files import Line, rest_reply
from venues.contract import EVERY_SYMBOL, Ack, Alive, Context, Data, Notice, Stream, Unknown, VenueError
from venues.kraken.book import DEPTH, TimeSequence, checksum, parse_book, parse_snapshot, time_us, verify_checksum
from venues.kraken.instruments import symbol_of
from venues.kraken.protocol import KrakenProtocol

SPOT = find_venue("kraken", "spot")
PROTOCOL = KrakenProtocol()
CTX = Context("kraken", "spot", "BTC/USD", "1700000000000000000")
BOOK, TRADE = Stream("book.BTC/USD", "book", "BTC/USD"), Stream("trade.BTC/USD", "trade", "BTC/USD")


def text(**fields: object) -> bytes:
    return json.dumps(fields, separators=(",", ":")).encode()


def entry(**changes: Any) -> dict[str, Any]:
    return {
        "symbol": "BTC/USD", "side": "buy", "price": 105944.2, "qty": 0.00027625, "ord_type": "limit",
        "trade_id": 10218208, "timestamp": "2023-10-06T17:35:55.440295Z",
    } | changes  # fmt: skip


# --- frames ----------------------------------------------------------------------------------------

ACK = {"channel": "book", "depth": 25, "snapshot": True, "symbol": "BTC/USD"}


@pytest.mark.parametrize(
    ("frame", "expected"),
    [
        (text(channel="heartbeat"), Alive()),
        (text(method="pong", req_id=42, time_in="x", time_out="y"), Alive()),
        (text(channel="status", type="update", data=[{"system": "online"}]), Notice),
        (text(method="subscribe", result=ACK, success=True, req_id=1), Ack(1, ("book.BTC/USD",))),
        (text(method="subscribe", result=ACK, success=True), Ack(None, ("book.BTC/USD",))),
        (text(method="unsubscribe", result=ACK, success=True, req_id=2), Ack(2, ("book.BTC/USD",))),
        (
            text(method="subscribe", success=False, error="Subscription depth not supported", req_id=3),
            VenueError(3, "subscribe", "Subscription depth not supported"),
        ),
        (
            text(method="subscribe", success=False, error="Currency pair not supported", symbol="X/Y", req_id=3),
            VenueError(3, "subscribe", "Currency pair not supported", ("trade.X/Y", "book.X/Y")),
        ),
        (
            text(method="subscribe", success=False, error="Subscription depth not supported", symbol=None, req_id=3),
            VenueError(3, "subscribe", "Subscription depth not supported"),
        ),
        (
            text(method="subscribe", result=ACK, success=True, error=None, symbol=None, req_id=1),
            Ack(1, ("book.BTC/USD",)),
        ),
        (text(error="Exceeded msg rate", method="ping", success=False), VenueError(None, "ping", "Exceeded msg rate")),
        (text(channel="trade", type="update", data=[entry(), entry()]), Data(TRADE, 1696613755440)),
        (
            text(channel="trade", type="update", data=[entry(), entry(symbol="ETH/USD")]),
            Data(Stream("trade.*", "trade", EVERY_SYMBOL), 1696613755440, ("BTC/USD", "ETH/USD")),
        ),
        (text(channel="book", type="snapshot", data=[{"symbol": "BTC/USD", "bids": []}]), Data(BOOK, None)),
        (
            text(channel="ticker", type="update", data=[{"symbol": "BTC/USD"}]),
            Data(Stream("ticker.BTC/USD", "ticker", "BTC/USD"), None),
        ),
    ],
)
def test_classify(frame: bytes, expected: object) -> None:
    found = PROTOCOL.classify(frame)
    assert isinstance(found, expected) if isinstance(expected, type) else found == expected


@pytest.mark.parametrize(
    "frame",
    [
        b"", b"{", b"[]", b"{}", b"\xff", text(channel="level3", data=[]), text(channel="book", data=[]),
        text(channel="book", data=[{}]), text(channel="book", data=5), text(method="other"),
        text(method="subscribe", success=True), text(method="subscribe", success=True, result={"channel": 5}),
        text(channel="trade", data=[entry(timestamp="yesterday")]),
    ],
)  # fmt: skip
def test_classify_what_is_nothing_of_the_venues(frame: bytes) -> None:
    assert isinstance(PROTOCOL.classify(frame), Unknown)


def test_requests() -> None:
    streams = PROTOCOL.streams(["BTC/USD", "ETH/USD"], ["book"])
    assert json.loads(PROTOCOL.subscribe(streams, 7)) == {
        "method": "subscribe",
        "params": {"channel": "book", "symbol": ["BTC/USD", "ETH/USD"], "depth": DEPTH, "snapshot": True},
        "req_id": 7,
    }
    assert json.loads(PROTOCOL.unsubscribe(streams[:1], 8)) == {
        "method": "unsubscribe", "params": {"channel": "book", "symbol": ["BTC/USD"], "depth": DEPTH}, "req_id": 8,
    }  # fmt: skip
    assert json.loads(PROTOCOL.subscribe([TRADE], 9))["params"] == {
        "channel": "trade", "symbol": ["BTC/USD"], "snapshot": False,
    }  # fmt: skip
    assert PROTOCOL.route(TRADE) != PROTOCOL.route(BOOK), "a request names one channel"
    assert PROTOCOL.connection_url("wss://ws.kraken.com/", streams) == "wss://ws.kraken.com/v2"
    assert json.loads(PROTOCOL.ping() or "") == {"method": "ping"}
    with pytest.raises(ConfigError):
        PROTOCOL.streams(["BTC/USD"], ["kline"])


def test_an_ack_names_the_stream_it_is_for() -> None:
    for stream in PROTOCOL.streams(["BTC/USD"], ["trade", "book"]):
        answer = {"channel": stream.channel, "symbol": stream.symbol}
        assert PROTOCOL.classify(text(method="subscribe", result=answer, success=True)) == Ack(None, (stream.name,))


@pytest.mark.parametrize(
    ("spelled", "us"),
    [
        ("2023-10-06T17:35:55.440295Z", 1696613755440295),
        ("2023-10-06T17:35:55Z", 1696613755000000),
        ("2023-10-06T17:35:55.4Z", 1696613755400000),
        ("2023-10-04T16:25:00.000000999Z", 1696436700000000),
        ("", 0),
    ],
)
def test_time_us(spelled: str, us: int) -> None:
    assert time_us(spelled) == us


@given(st.integers(0, 4_102_444_800_000_000))
def test_times_are_exact_to_the_microsecond(us: int) -> None:
    spelled = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=us)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    assert time_us(spelled) == us


@pytest.mark.parametrize("bad", ["x", "2023-10-06", "2023-13-06T17:35:55Z", "2023-10-06T17:35:55", "1696613755"])
def test_what_is_no_time(bad: str) -> None:
    with pytest.raises(UnparsableFrame):
        time_us(bad)


# --- books -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("last", [99, 100, 101, 10**9])
def test_every_update_of_a_connection_continues_its_book(last: int) -> None:
    assert TimeSequence().check(100, last, last, None) is Verdict.APPLY
    assert TimeSequence().bridge(100, last, last, None) is Verdict.APPLY


def test_a_book_never_goes_on_across_connections() -> None:
    feed: BookFeed[bytes] = new_feed(TimeSequence())
    feed.connected("a")
    assert feed.stream_snapshot(10, 10, b"all", "a") is SnapshotVerdict.ANCHORED
    assert feed.update(12, 12, None, 12, b"x", "a") is Outcome.APPLY
    feed.disconnected("a")
    feed.connected("b")
    assert feed.update(15, 15, None, 15, b"y", "b") is not Outcome.APPLY
    assert feed.last_id is None
    assert feed.stream_snapshot(20, 20, b"all", "b") is SnapshotVerdict.ANCHORED


LEVELS = [{"price": 0.5666, "qty": 4831.75496356}]


def book_text(kind: str = "update", **changes: Any) -> bytes:
    data = {"symbol": "BTC/USD", "bids": LEVELS, "asks": [], "checksum": 5, "timestamp": "2023-10-06T17:35:55.440295Z"}
    return text(channel="book", type=kind, data=[{k: v for k, v in (data | changes).items() if v is not ...}])


def test_parse_book_keeps_the_digits() -> None:
    frame = book_text(bids="B").replace(
        b'"B"', b'[{"price":63005.0,"qty":0.00005100},{"price":63005.0,"qty":0.00000000}]'
    )
    envelope, bids, asks, found = parse_book(frame)
    assert envelope == (1696613755440295, 1696613755440295, None, 1696613755440295, False)
    assert bids == [("63005.0", "0.00005100"), ("63005.0", "0.00000000")], "in the order they stand"
    assert (asks, found) == ([], 5)
    assert SPOT.protocol.book_envelope(frame) == envelope


def test_a_snapshot_without_time() -> None:
    assert parse_book(book_text("snapshot", timestamp=...)).envelope == (0, 0, None, 0, True)


@pytest.mark.parametrize(
    "frame",
    [
        b"", b"{}", b"\xff", book_text("other"), book_text(checksum=...), book_text(bids=[{"price": 1}]),
        book_text(bids=[{"price": None, "qty": 1}]), book_text(bids=[{"price": "x", "qty": 1}]),
        book_text(timestamp="x"), text(channel="book", type="update", data=[]),
    ],
)  # fmt: skip
def test_parse_book_refuses_other_shapes(frame: bytes) -> None:
    with pytest.raises(UnparsableFrame):
        parse_book(frame)


# The venue's worked example, https://docs.kraken.com/exchange/guides/websockets/book-checksum-v2
EXAMPLE_ASKS: list[Level] = [
    ("45285.2", "0.00100000"), ("45286.4", "1.54571953"), ("45286.6", "1.54571109"), ("45289.6", "1.54560911"),
    ("45290.2", "0.15890660"), ("45291.8", "1.54553491"), ("45294.7", "0.04454749"), ("45296.1", "0.35380000"),
    ("45297.5", "0.09945542"), ("45299.5", "0.18772827"),
]  # fmt: skip
EXAMPLE_BIDS: list[Level] = [
    ("45283.5", "0.10000000"), ("45283.4", "1.54582015"), ("45282.1", "0.10000000"), ("45281.0", "0.10000000"),
    ("45280.3", "1.54592586"), ("45279.0", "0.07990000"), ("45277.6", "0.03310103"), ("45277.5", "0.30000000"),
    ("45277.3", "1.54602737"), ("45276.6", "0.15445238"),
]  # fmt: skip
EXAMPLE = 3310070434


def example_book(asks: Sequence[Level] = EXAMPLE_ASKS, bids: Sequence[Level] = EXAMPLE_BIDS) -> LevelBook:
    book = LevelBook()
    book.replace(bids, asks, DEPTH)
    return book


def test_the_venues_worked_example() -> None:
    assert checksum(EXAMPLE_ASKS, EXAMPLE_BIDS) == EXAMPLE
    frame = parse_book(book_text(checksum=EXAMPLE))
    assert verify_checksum(frame, example_book()) is True
    deeper = [*EXAMPLE_ASKS, ("45300.0", "9.00000000")]
    assert verify_checksum(frame, example_book(asks=deeper)) is True, "only ten levels count"
    assert verify_checksum(frame._replace(checksum=None), example_book()) is None


@pytest.mark.parametrize("place", range(10))
def test_any_changed_level_shows(place: int) -> None:
    frame = parse_book(book_text(checksum=EXAMPLE))
    price, quantity = EXAMPLE_BIDS[place]
    for level in (
        (price, quantity[:-1] + "9"),
        (price, quantity.rstrip("0") if quantity[-1] == "0" else quantity + "0"),
    ):
        bids = [*EXAMPLE_BIDS[:place], level, *EXAMPLE_BIDS[place + 1 :]]
        assert verify_checksum(frame, example_book(bids=bids)) is False
    assert verify_checksum(frame, example_book(bids=EXAMPLE_BIDS[:place] + EXAMPLE_BIDS[place + 1 :])) is False


def test_a_thin_book_counts_with_what_it_has() -> None:
    assert checksum([("0.5", "0.00100000")], []) == crc32(b"5100000")
    assert checksum([], []) == 0


@pytest.mark.parametrize(
    ("file", "verified"),
    [
        ("seq_cb_btcusd_d10_20260801.jsonl", 301),
        ("seq_cb_btcusd_d25_20260802.jsonl", 2052),
        ("seq_cb_xrpusd_d25_20260802.jsonl", 1147),
    ],
)
def test_every_recorded_checksum_is_right(file: str, verified: int) -> None:
    complaints: list[str] = []
    report = replay((SPOT,), frames_dir() / "kraken" / "v2" / file, complaints.append)
    assert (report.checksum_checked, report.checksum_failed, complaints) == (verified, 0, [])


def test_parse_snapshot() -> None:
    body = text(error=[], result={"XBTUSDT": {"asks": [["1.50", "2", 9]], "bids": [["1.40", "3", 9]]}})
    found = parse_snapshot(body)
    assert (found.bids, found.asks, found.envelope) == ([("1.40", "3")], [("1.50", "2")], (0, 0))
    for bad in (b"", text(error=["EQuery:Unknown asset pair"]), text(error=[], result={"X": {"asks": []}})):
        with pytest.raises(UnparsableFrame):
            parse_snapshot(bad)


# --- trades ----------------------------------------------------------------------------------------


def trades(*entries: dict[str, Any], ctx: Context = CTX) -> list[Any]:
    frame = text(channel="trade", type="update", data=list(entries))
    return list(SPOT.normalisers["trade"](frame, ctx))


def test_recorded_trades() -> None:
    frame = (frames_dir() / "kraken" / "v2" / "trade.docs.jsonl").read_bytes()
    first, second = SPOT.normalisers["trade"](frame, CTX)
    assert first == Trade(
        exchange="kraken", market="spot", symbol="BTC/USD", recv_time_ns=CTX.recv_time_ns, trade_id="10218208",
        price="105944.2", quantity="0.00027625", side="buy", trade_time_us=1696613755440295,
        event_time_us=1696613755440295,
    )  # fmt: skip
    assert isinstance(second, Trade)
    assert (second.trade_id, second.side, second.quantity) == ("10218209", "sell", "0.0001246")


def test_a_side_we_do_not_know() -> None:
    assert [t.side for t in trades(entry(side="auction"))] == ["unknown"]


def test_of_a_frame_with_many_symbols_ours_alone() -> None:
    assert [t.trade_id for t in trades(entry(symbol="ETH/USD"), entry(trade_id=5))] == ["5"]


@given(st.decimals("1e-8", "1e9", allow_nan=False), st.booleans())
def test_prices_and_quantities_keep_their_value(value: Decimal, exponent: bool) -> None:
    spelled = f"{value:e}" if exponent else f"{value:f}"
    frame = text(channel="trade", data=[entry(price="P", qty="P")]).replace(b'"P"', spelled.encode())
    if len(f"{value:f}") > 64:
        return
    (trade,) = SPOT.normalisers["trade"](frame, CTX)
    assert isinstance(trade, Trade)
    assert (Decimal(trade.price), Decimal(trade.quantity)) == (value, value)
    if not exponent:
        assert trade.price == spelled


@pytest.mark.parametrize(
    "changes",
    [{"symbol": "ETH/USD"}, {"price": None}, {"qty": "x"}, {"trade_id": "1"}, {"timestamp": "soon"}, {"side": None}],
)
def test_trades_that_cannot_be_accepted(changes: dict[str, Any]) -> None:
    with pytest.raises(UnparsableFrame):
        trades(entry(**changes))


@pytest.mark.parametrize("channel", sorted(SPOT.normalisers))
def test_every_normaliser_refuses_what_is_no_frame(channel: str) -> None:
    for frame in (b"", b"{", b"\xff", b"[]"):
        with pytest.raises(UnparsableFrame):
            SPOT.normalisers[channel](frame, CTX)


# --- pairs -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wsname", "symbol"),
    [("XBT/USD", "BTC/USD"), ("XDG/USD", "DOGE/USD"), ("ETH/XBT", "ETH/BTC"), ("XRP/USD", "XRP/USD")],
)
def test_symbols_are_spelled_as_version_2_does(wsname: str, symbol: str) -> None:
    assert symbol_of(wsname) == symbol


def pairs(file: str) -> bytes:
    rest = rest_reply(Line(1, (frames_dir() / "kraken" / "any" / file).read_bytes().strip(), ""))
    assert rest is not None
    return bytes(rest.body)


def test_a_pair() -> None:
    ((symbol, body),) = PROTOCOL.instruments_reply(pairs("rest_asset_pairs.docs.jsonl"))
    found = SPOT.parse_instrument(body, Context("kraken", "spot", symbol, "1"))
    assert found == Instrument(
        exchange="kraken", market="spot", symbol="BTC/USDT", instrument="BTC-USDT", recv_time_ns="1", base="BTC",
        quote="USDT", settle="USDT", status="online", tick_size="0.1", lot_size="0.00000001", min_quantity="0.00005",
        min_notional="0.5",
    )  # fmt: skip
    assert found.status in SPOT.tradable
    reply = SPOT.read_rest(
        "/0/public/AssetPairs", pairs("rest_asset_pairs.docs.jsonl"), Context("kraken", "spot", "", "1")
    )
    assert list(reply.records) == [found]
    with pytest.raises(UnparsableFrame):
        SPOT.parse_instrument(body, CTX)


def test_pairs_whose_names_need_lower_case_are_not_listed() -> None:
    assert list(PROTOCOL.instruments_reply(pairs("rest_asset_pairs_tokenized.docs.jsonl"))) == []


@pytest.mark.parametrize(
    "odd", [{}, {"wsname": None}, {"wsname": ""}, {"wsname": "XBTUSD"}, {"wsname": "/USD"}, {"altname": "XBTUSD"}, 5]
)
def test_one_odd_pair_does_not_hide_the_others(odd: object) -> None:
    whole = json.loads(pairs("rest_asset_pairs.docs.jsonl"))
    body = text(error=[], result={"ODD": odd, **whole["result"]})
    assert [symbol for symbol, _ in PROTOCOL.instruments_reply(body)] == ["BTC/USDT"]
    reply = SPOT.read_rest("/0/public/AssetPairs", body, Context("kraken", "spot", "", "1"))
    assert [i.symbol for i in reply.records if isinstance(i, Instrument)] == ["BTC/USDT"]
    with pytest.raises(UnparsableFrame):
        PROTOCOL.instruments_reply(text(error=[], result={"ODD": odd}))


def test_a_pair_with_nulls() -> None:
    whole = json.loads(pairs("rest_asset_pairs.docs.jsonl"))
    (entry_,) = whole["result"].values()
    body = json.dumps(entry_ | dict.fromkeys(("tick_size", "ordermin", "costmin"))).encode()
    found = SPOT.parse_instrument(body, Context("kraken", "spot", "BTC/USDT", "1"))
    assert (found.tick_size, found.min_quantity, found.min_notional) == ("", "", "")


@pytest.mark.parametrize(
    ("body", "waits"),
    [
        (b'{"error":["EAPI:Rate limit exceeded"]}', True),
        (b'{"error": ["EGeneral:Too many requests"]}', True),
        (b'{"error":["EQuery:Unknown asset pair"]}', False),
        (b'{"error":[],"result":{}}', False),
    ],
)
def test_a_refusal_with_status_200_is_an_order_to_wait(body: bytes, waits: bool) -> None:
    assert (SPOT.protocol.ban_until_ms(200, body) == 0) is waits


def test_other_rest_replies() -> None:
    depth = SPOT.read_rest("/0/public/Depth?pair=BTC/USDT&count=5", pairs("rest_order_book.docs.jsonl"), CTX)
    assert depth.snapshot is not None
    assert (depth.kind, depth.symbol, depth.snapshot.limit, len(depth.snapshot.bids)) == ("book", "BTC/USDT", 5, 5)
    refused = SPOT.read_rest("/0/public/Depth", text(error=["EQuery:Unknown asset pair"]), CTX)
    assert refused.error == VenueError(None, "EQuery", "Unknown asset pair")
    for path, body in (("", text(error=[], result={})), ("/0/public/Depth", b"{"), ("/x", b"[]")):
        with pytest.raises(UnparsableFrame):
            SPOT.read_rest(path, body, CTX)
    for body in (b"", text(error=["EGeneral:Internal error"]), text(error=[], result={"X": {}})):
        with pytest.raises(UnparsableFrame):
            PROTOCOL.instruments_reply(body)
