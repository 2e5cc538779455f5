"""Kraken v2 as the simulator speaks it: recorded shapes, books that add up, checksums, acks, heartbeats."""

from __future__ import annotations

import asyncio
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from simulator.dialect import Request
from simulator.faults import Fault
from simulator.kraken import wire
from simulator.kraken.dialect import SEGMENT
from simulator.kraken.instruments import instrument
from simulator.market.view import top
from tests.frames import frames_dir
from tests.simulator.dialect_harness import Client, Venue

SYMBOLS = ["BTC/USD", "XRP/USD"]


@pytest.fixture
def venue(tmp_path: Path) -> Venue:
    made = Venue(SEGMENT, SYMBOLS, tmp_path)
    made.advance(2.0)
    return made


def subscribe(client: Client, channel: str, symbols: list[str], **params: Any) -> list[Any]:
    client.send({"method": "subscribe", "params": {"channel": channel, "symbol": symbols, **params}, "req_id": 7})
    return client.take()


def recorded() -> Iterator[dict[str, Any]]:
    for path in sorted((frames_dir() / "kraken" / "v2").glob("*.jsonl")):
        if ".docs." not in path.name:
            with path.open() as lines:
                yield from map(json.loads, lines)


def shape(value: Any) -> Any:
    """Keys in order and types; lists by their first element, empty ones say nothing."""
    if isinstance(value, dict):
        return {key: shape(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [shape(value[0])] if value else "list"
    return type(value).__name__


def alike(ours: Any, theirs: Any) -> bool:
    if isinstance(ours, dict) and isinstance(theirs, dict):
        return list(ours) == list(theirs) and all(alike(ours[key], theirs[key]) for key in ours)
    if isinstance(ours, list) and isinstance(theirs, list):
        return alike(ours[0], theirs[0])
    return ours == theirs or "list" in (ours, theirs)


class Book:
    """A client's book kept on decimal text, as the venue documents it; raises when a checksum does not match."""

    def __init__(self, depth: int) -> None:
        self.depth = depth
        self.sides: dict[str, dict[str, str]] = {"bids": {}, "asks": {}}

    def take(self, text: bytes) -> None:
        told = json.loads(text, parse_float=str, parse_int=str)
        data = told["data"][0]
        for name, levels in self.sides.items():
            if told["type"] == "snapshot":
                levels.clear()
            for row in data[name]:
                if float(row["qty"]):
                    levels[row["price"]] = row["qty"]
                else:
                    levels.pop(row["price"], None)
            self.sides[name] = dict(self.best(name, levels)[: self.depth])
        digits = "".join(
            part.replace(".", "").lstrip("0")
            for name in ("asks", "bids")
            for row in self.best(name, self.sides[name])[:10]
            for part in row
        )
        assert zlib.crc32(digits.encode()) == int(data["checksum"])

    @staticmethod
    def best(name: str, levels: dict[str, str]) -> list[tuple[str, str]]:
        return sorted(levels.items(), key=lambda row: float(row[0]), reverse=name == "bids")


def test_the_checksum_rule_gives_every_recorded_checksum() -> None:
    """The rule is the venue's: recorded sessions judge the test's own book keeper."""
    checked = 0
    for path in sorted((frames_dir() / "kraken" / "v2").glob("seq_*.jsonl")):
        keeper = Book(25 if "_d25_" in path.name else 10)
        for line in path.read_bytes().splitlines():
            if line.startswith(b'{"channel":"book"'):
                keeper.take(line)
                checked += 1
    assert checked > 3000


@pytest.mark.parametrize("depth", [10, 25, 100])
def test_books_follow_their_checksums(venue: Venue, depth: int) -> None:
    """Updates lead from one snapshot to the next, at every depth and for a coarse pair too."""
    client = venue.open("/v2")
    subscribe(client, "book", SYMBOLS, depth=depth)
    books = {symbol: Book(depth) for symbol in SYMBOLS}
    client.send({"method": "unsubscribe", "params": {"channel": "book", "symbol": SYMBOLS, "depth": depth}})
    client.send({"method": "subscribe", "params": {"channel": "book", "symbol": SYMBOLS, "depth": depth}})
    told = twice = 0
    for _ in range(300):
        venue.advance(0.1)
        for text in client.texts():
            if not text.startswith(b'{"channel":"book"'):
                continue
            data = json.loads(text)["data"][0]
            keeper = books[data["symbol"]]
            keeper.take(text)
            bid, ask = (float(next(iter(keeper.sides[side]))) for side in ("bids", "asks"))
            assert bid < ask
            told += 1
            prices = [row["price"] for row in (*data["bids"], *data["asks"])]
            twice += len(prices) - len(set(prices))
    assert told > 300
    assert twice > 5
    for symbol, keeper in books.items():
        view = venue.dialect.sink.views[symbol, depth]  # type: ignore[attr-defined]
        i = venue.market.symbols[symbol].instrument
        assert keeper.best("bids", keeper.sides["bids"]) == [
            (wire.price_text(i, price), wire.qty_text(i, qty)) for price, qty in view.bids.items()
        ]
        assert keeper.best("asks", keeper.sides["asks"]) == [
            (wire.price_text(i, price), wire.qty_text(i, qty)) for price, qty in view.asks.items()
        ]


def test_a_late_subscriber_fits_into_the_running_stream(venue: Venue) -> None:
    """The snapshot is the book as last told, not as it is between two updates."""
    first, late = venue.open("/v2", number=1), venue.open("/v2", number=2)
    subscribe(first, "book", ["BTC/USD"])
    venue.advance(3.033)
    subscribe(first, "trade", ["BTC/USD"])
    late.send({"method": "subscribe", "params": {"channel": "book", "symbol": ["BTC/USD"]}})
    venue.advance(3.0)
    keeper = Book(10)
    texts = [text for text in late.texts() if text.startswith(b'{"channel":"book"')]
    for text in texts:
        keeper.take(text)
    assert len(texts) > 20


def test_a_dropped_frame_is_seen_by_the_checksum(venue: Venue) -> None:
    client = venue.open("/v2")
    client.send({"method": "subscribe", "params": {"channel": "book", "symbol": ["BTC/USD"]}})
    venue.faults.add(Fault(kind="drop", venue="kraken", stream="book.10.BTC/USD", count=3), venue.now_s)
    venue.advance(3.0)
    keeper = Book(10)
    texts = [text for text in client.texts() if text.startswith(b'{"channel":"book"')]
    keeper.take(texts[0])
    with pytest.raises(AssertionError):
        list(map(keeper.take, texts[1:]))


def test_sequence_reset_sends_the_book_anew(venue: Venue) -> None:
    client = venue.open("/v2")
    subscribe(client, "book", SYMBOLS)
    assert asyncio.run(venue.dialect.apply(Fault(kind="sequence_reset", stream="book.*.BTC/USD"))) == 1
    assert [told["type"] for told in client.take()] == ["snapshot"]


def test_acknowledgements_and_errors(venue: Venue) -> None:
    client = venue.open("/v2")
    assert client.take()[0]["data"][0]["system"] == "online"
    told = subscribe(client, "book", ["BTC/USD", "NO/PAIR"], depth=25)
    assert [each.get("success") for each in told] == [True, False, None]
    assert told[0]["result"] == {"channel": "book", "depth": 25, "snapshot": True, "symbol": "BTC/USD"}
    assert (told[1]["symbol"], told[1]["req_id"]) == ("NO/PAIR", 7)
    assert subscribe(client, "book", ["BTC/USD"], depth=25)[0]["error"] == "Already subscribed"
    assert subscribe(client, "book", ["BTC/USD"], depth=7)[0]["error"] == "Subscription depth not supported"
    assert subscribe(client, "ticker3", ["BTC/USD"])[0]["success"] is False
    client.send({"method": "ping", "req_id": 42})
    pong = client.take()[0]
    assert (pong["method"], pong["req_id"]) == ("pong", 42)
    client.send(b"{")
    assert client.take()[0]["success"] is False
    venue.advance(1.0)
    assert client.take()
    client.send({"method": "unsubscribe", "params": {"channel": "book", "symbol": ["BTC/USD"], "depth": 25}})
    assert client.take()[0]["result"] == {"channel": "book", "depth": 25, "symbol": "BTC/USD"}
    venue.advance(1.0)
    assert client.take() == []


def test_heartbeats_fill_quiet_seconds_once_something_is_subscribed(venue: Venue) -> None:
    client = venue.open("/v2")
    assert client.session.tick(10.0, 0.0, 0.0) == []
    subscribe(client, "trade", ["XRP/USD"])
    assert client.session.tick(10.0, 9.0, 0.0) == [wire.HEARTBEAT]
    assert client.session.tick(10.0, 9.8, 0.0) == []


def test_trades_are_numbered_without_gaps_from_the_snapshot_on(venue: Venue) -> None:
    client = venue.open("/v2")
    told = subscribe(client, "trade", ["BTC/USD"], snapshot=True)
    assert told[-1]["type"] == "snapshot"
    assert len(told[-1]["data"]) == 50
    venue.advance(5.0)
    ids = [trade["trade_id"] for each in (told[-1], *client.take()) for trade in each["data"]]
    assert len(ids) > 60
    assert ids == list(range(ids[0], ids[0] + len(ids)))
    sent = venue.dialect.sent({"symbol": "BTC/USD", "stream": "trade", "from": str(ids[0]), "limit": str(len(ids))})
    assert [json.loads(text)["data"][0]["trade_id"] for text in sent["trades"]] == ids


def test_frames_have_the_recorded_keys_order_and_types(venue: Venue) -> None:
    client = venue.open("/v2")
    client.send({"method": "subscribe", "params": {"channel": "book", "symbol": ["BTC/USD"], "snapshot": True}})
    client.send({"method": "subscribe", "params": {"channel": "book", "symbol": ["BTC/USD"], "depth": 3}})
    client.send({"method": "unsubscribe", "params": {"channel": "book", "symbol": ["BTC/USD"], "depth": 10}})
    client.send({"method": "subscribe", "params": {"channel": "book", "symbol": ["BTC/USD"]}})
    venue.advance(2.0)
    ours: dict[Any, Any] = {}
    for told in client.take():
        ours.setdefault(kind(told), shape(told))
    compared: set[Any] = set()
    for theirs in recorded():
        if (found := ours.get(kind(theirs))) is not None:
            assert alike(found, shape(theirs)), theirs
            compared.add(kind(theirs))
    assert compared == ours.keys()
    assert len(compared) >= 6


def kind(told: dict[str, Any]) -> Any:
    rows = told.get("data")
    sides = [bool(rows[0].get(side)) for side in ("bids", "asks")] if isinstance(rows, list) else []
    return told.get("channel"), told.get("type"), told.get("method"), told.get("success"), all(sides)


def test_pairs_are_described_as_documented(venue: Venue) -> None:
    path = frames_dir() / "kraken" / "any" / "rest_asset_pairs.docs.jsonl"
    theirs = json.loads(path.read_text().splitlines()[0])["body"]["result"]["XBTUSDT"]
    reply = asyncio.run(venue.dialect.rest(Request("GET", "/0/public/AssetPairs", {"pair": "XBTUSD"}, b"", "x")))
    result = json.loads(reply.body)["result"]
    assert list(result) == ["XXBTZUSD"]
    assert shape(result["XXBTZUSD"]) == shape(theirs)
    unknown = asyncio.run(venue.dialect.rest(Request("GET", "/0/public/AssetPairs", {"pair": "X"}, b"", "x")))
    assert json.loads(unknown.body) == {"error": ["EQuery:Unknown asset pair"]}


def test_rest_has_its_limit_and_takes_faults(venue: Venue) -> None:
    def ask() -> Any:
        return asyncio.run(venue.dialect.rest(Request("GET", "/0/public/Time", {}, b"", "1.2.3.4")))

    answers = [json.loads(ask().body)["error"] for _ in range(16)]
    assert answers[:15] == [[]] * 15
    assert answers[15] == ["EAPI:Rate limit exceeded"]
    venue.faults.add(Fault(kind="rest", venue="kraken", status=429), 0.0)
    assert ask().status == 429


def test_symbols_that_cannot_be_pairs_are_refused() -> None:
    with pytest.raises(ValueError, match="BASE/QUOTE"):
        instrument(0, "BTCUSD", 1)


def test_the_top_of_a_view_is_the_market(venue: Venue) -> None:
    market = venue.market.symbols["BTC/USD"]
    bids, asks = top(market, 5)
    assert next(iter(bids)) == market.best[0]
    assert next(iter(asks)) == market.best[2]
