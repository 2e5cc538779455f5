"""Kraken's code against the simulated exchange, which shares no parsing with it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from marketdata.book import LevelBook
from marketdata.types import Trade
from marketdata.validation import check_record
from simulator.dialect import Request
from simulator.kraken.dialect import SEGMENT
from tests.simulator.dialect_harness import Client
from tests.simulator.dialect_harness import Venue as Exchange
from venues import find_venue
from venues.contract import Ack, Alive, Context, Data, Notice, Stream, VenueError

SPOT = find_venue("kraken", "spot")
SYMBOL = "BTC/USD"


class Wire:
    """Our protocol on connections to the simulated exchange, one per route."""

    def __init__(self, path: Path) -> None:
        self.exchange = Exchange(SEGMENT, [SYMBOL, "XRP/USD"], path)
        self.exchange.advance(2.0)
        self.clients: dict[str, Client] = {}

    def client(self, stream: Stream) -> Client:
        route = SPOT.protocol.route(stream)
        if route not in self.clients:
            self.clients[route] = self.exchange.open("/v2", number=len(self.clients) + 1)
        return self.clients[route]

    def subscribe(self, streams: list[Stream], request_id: int = 1) -> None:
        self.client(streams[0]).send(SPOT.protocol.subscribe(streams, request_id).encode())

    def unsubscribe(self, streams: list[Stream], request_id: int = 2) -> None:
        self.client(streams[0]).send(SPOT.protocol.unsubscribe(streams, request_id).encode())

    def told(self, stream: Stream) -> list[tuple[object, bytes]]:
        return [(SPOT.protocol.classify(frame), frame) for frame in self.client(stream).texts()]

    def rest(self, path: str, query: dict[str, str]) -> bytes:
        request = Request("GET", path, dict(query), b"", "127.0.0.1")
        return asyncio.run(self.exchange.dialect.rest(request)).body


@pytest.fixture
def wire(tmp_path: Path) -> Wire:
    return Wire(tmp_path)


def test_each_symbol_is_acknowledged_by_our_name(wire: Wire) -> None:
    streams = SPOT.protocol.streams([SYMBOL, "XRP/USD"], ["trade"])
    wire.subscribe(streams, 7)
    found = [found for found, _ in wire.told(streams[0])]
    assert isinstance(found[0], Notice)
    assert found[1:] == [Ack(7, (stream.name,)) for stream in streams]
    wire.client(streams[0]).send((SPOT.protocol.ping() or "").encode())
    wire.client(streams[0]).send(SPOT.protocol.unsubscribe(streams[:1], 8).encode())
    assert [found for found, _ in wire.told(streams[0])] == [Alive(), Ack(8, (streams[0].name,))]


def test_a_symbol_that_is_refused_does_not_take_the_others_along(wire: Wire) -> None:
    good, bad = SPOT.protocol.streams([SYMBOL, "NO/SUCH"], ["book"])
    wire.subscribe([bad, good], 7)
    _, refused, taken, _ = (found for found, _ in wire.told(good))
    assert isinstance(refused, VenueError)
    assert refused.request_id == 7
    assert bad.name in refused.names
    assert good.name not in refused.names
    assert taken == Ack(7, (good.name,))


def test_books_keep_their_checksum_through_a_new_subscription(wire: Wire) -> None:
    (stream,) = SPOT.protocol.streams([SYMBOL], ["book"])
    book, verified, snapshots = LevelBook(), 0, 0
    for turn in range(2):
        wire.subscribe([stream], turn)
        for _ in range(20):
            wire.exchange.advance(1.0)
            for found, text in wire.told(stream):
                if not isinstance(found, Data):
                    continue
                assert found.stream == stream
                frame = SPOT.parse_book(text)
                assert frame.envelope == SPOT.protocol.book_envelope(text)
                if frame.envelope.is_snapshot:
                    book.replace(frame.bids, frame.asks, SPOT.book_depth)
                    snapshots += 1
                else:
                    book.apply(frame.bids, frame.asks)
                book.keep_best(SPOT.book_depth)
                assert SPOT.verify_checksum is not None
                assert SPOT.verify_checksum(frame, book) is True
                verified += 1
        wire.unsubscribe([stream])
    assert snapshots == 2
    assert verified > 500


def test_trades_count_by_one(wire: Wire) -> None:
    (stream,) = SPOT.protocol.streams([SYMBOL], ["trade"])
    wire.subscribe([stream])
    for _ in range(20):
        wire.exchange.advance(1.0)
    ids: list[int] = []
    for found, text in wire.told(stream):
        if isinstance(found, Data):
            for record in SPOT.normalisers["trade"](text, Context("kraken", "spot", SYMBOL, "1")):
                assert isinstance(record, Trade)
                check_record(record)
                assert found.event_time_ms is not None
                ids.append(int(record.trade_id))
    assert len(ids) > 50
    assert ids == list(range(ids[0], ids[0] + len(ids)))


def test_rest(wire: Wire) -> None:
    asked = SPOT.protocol.instruments_request()
    entries = dict(SPOT.protocol.instruments_reply(wire.rest(asked.path, dict(asked.query))))
    assert set(entries) == {SYMBOL, "XRP/USD"}
    found = SPOT.parse_instrument(entries[SYMBOL], Context("kraken", "spot", SYMBOL, "1"))
    assert (found.instrument, found.status in SPOT.tradable) == ("BTC-USD", True)
    asked = SPOT.protocol.snapshot_request(SYMBOL, 25)
    snapshot = SPOT.parse_snapshot(wire.rest(asked.path, dict(asked.query)))
    assert len(snapshot.bids) == 25
    assert SPOT.read_rest(
        asked.path, wire.rest(asked.path, {"pair": "NO/SUCH"}), Context("kraken", "spot", "", "")
    ).error
