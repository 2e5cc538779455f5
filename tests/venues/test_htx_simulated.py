"""HTX's code against the simulated exchange, which shares no parsing with it: requests, acks, books, records, polls."""

from __future__ import annotations

import asyncio
import itertools
import json
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from marketdata.book import LevelBook
from marketdata.book_feed import Apply, BookFeed, Outcome, Replace, SnapshotVerdict
from marketdata.types import Funding, Instrument, Ticker
from marketdata.validation import check_record
from simulator.dialect import Close, Request
from simulator.faults import Fault
from simulator.forms import BINARY_FRAME
from simulator.htx.spot import SEGMENT as SPOT_SEGMENT
from simulator.htx.spot import HtxSpot
from simulator.htx.swap import SEGMENT as SWAP_SEGMENT
from simulator.htx.swap import HtxSwap
from tests.simulator.dialect_harness import Client
from tests.simulator.dialect_harness import Venue as Exchange
from tests.venues.minutes import Minutes
from venues.contract import Ack, BookFrame, Context, Data, Notice, Reply, Stream, Venue, VenueError
from venues.htx.markets import PERP, SPOT

PERP_CHANNELS = ("trade", "bbo", "kline", "ticker", "mark_price", "funding", "liquidation")
MARKETS = {
    "spot": (SPOT, SPOT_SEGMENT, "BTCUSDT", ("trade", "bbo", "kline", "ticker")),
    "perp": (PERP, SWAP_SEGMENT, "BTC-USDT", PERP_CHANNELS),
}


class Wire:
    """Our protocol on connections to the simulated exchange, one per route."""

    def __init__(self, market: str, path: Path) -> None:
        self.venue: Venue
        self.venue, segment, self.symbol, self.channels = MARKETS[market]
        self.exchange = Exchange(segment, [self.symbol], path)
        self.exchange.advance(2.0)
        self.clients: dict[str, Client] = {}
        self.ids = itertools.count(1)

    def streams(self, *channels: str) -> list[Stream]:
        return self.venue.protocol.streams([self.symbol], channels)

    def client(self, stream: Stream) -> Client:
        route = self.venue.protocol.route(stream)
        if route not in self.clients:
            self.clients[route] = self.exchange.open(route, number=len(self.clients) + 1)
        return self.clients[route]

    def send(self, stream: Stream, message: str, now_s: float = 0.0) -> None:
        self.client(stream).send(message.encode(), now_s)

    def subscribe(self, stream: Stream) -> int:
        request_id = next(self.ids)
        self.send(stream, self.venue.protocol.subscribe([stream], request_id))
        return request_id

    def frames(self, stream: Stream) -> list[bytes]:
        """Unpacked by us: every frame of the server is binary."""
        client = self.client(stream)
        taken, client.frames = client.frames, []
        assert all(frame[0] == BINARY_FRAME for frame in taken)
        heads = [2 if frame[1] < 126 else 4 if frame[1] == 126 else 10 for frame in taken]
        return [self.venue.protocol.decode_binary(f[head:]) for f, head in zip(taken, heads, strict=True)]

    def told(self, stream: Stream) -> list[Any]:
        return [(self.venue.protocol.classify(frame), frame) for frame in self.frames(stream)]

    def rest(self, path: str, query: dict[str, str]) -> bytes:
        request = Request("GET", path, dict(query), b"", "127.0.0.1")
        assert isinstance(self.exchange.dialect, HtxSpot | HtxSwap)
        return self.exchange.dialect.endpoints.answer(request, 0.0).body

    def whole_book(self, stream: Stream) -> BookFrame:
        """The exchange's book as it tells it now: to a request on spot, else to a new connection."""
        if not self.venue.joins_stream_books:
            self.clients[self.venue.protocol.route(stream)] = self.exchange.open(self.venue.protocol.route(stream))
            self.subscribe(stream)
        else:
            self.send(stream, self.venue.protocol.book_request(stream, next(self.ids)), 1000.0)
        books = [self.venue.parse_book(frame) for found, frame in self.told(stream) if isinstance(found, Data)]
        (whole,) = (book for book in books if book.envelope.is_snapshot)
        return whole

    def instrument(self) -> Instrument:
        protocol = self.venue.protocol
        asked = protocol.instruments_request()
        entries = dict(protocol.instruments_reply(self.rest(asked.path, dict(asked.query))))
        return self.venue.parse_instrument(entries[self.symbol], self.context(None))

    def context(self, instrument: Instrument | None) -> Context:
        return Context("htx", self.venue.market, self.symbol, "1", instrument)


@pytest.fixture(params=list(MARKETS))
def wire(request: pytest.FixtureRequest, tmp_path: Path) -> Wire:
    return Wire(str(request.param), tmp_path)


def test_every_channel_is_acknowledged_and_pings_are_answered(wire: Wire) -> None:
    for stream in wire.streams(*wire.channels, "book"):
        request_id = wire.subscribe(stream)
        found = [found for found, _ in wire.told(stream) if not isinstance(found, Data)]
        assert found == [Ack(request_id)]


def test_a_connection_lives_by_our_pongs(wire: Wire) -> None:
    for stream in wire.streams("trade", *(["funding"] if wire.venue is PERP else [])):
        client, pings = wire.client(stream), 0
        for second in range(0, 120, 5):
            for ping in client.session.tick(float(second), 0.0, 0.0):
                found = wire.venue.protocol.classify(ping)
                assert isinstance(found, Reply)
                assert isinstance(found.payload, str)
                client.send(found.payload.encode())
                pings += 1
        assert pings > 20  # it would have been closed after two, or five
        with pytest.raises(Close):
            list(map(client.session.tick, range(120, 180, 5), itertools.repeat(0.0), itertools.repeat(0.0)))


def test_records_agree_with_each_other(wire: Wire) -> None:
    """Our trades add up to the venue's candles, which is right only when both are taken for one side, in base coin."""
    instrument = wire.instrument()
    streams = wire.streams(*wire.channels)
    for stream in streams:
        wire.subscribe(stream)
    for _ in range(40):
        wire.exchange.advance(5.0)
    seen: set[str] = set()
    minutes = Minutes()
    routes = {wire.venue.protocol.route(stream): stream for stream in streams}
    for stream in routes.values():
        for found, frame in wire.told(stream):
            if not isinstance(found, Data):
                continue
            records = wire.venue.normalisers[found.stream.channel](frame, wire.context(instrument))
            minutes.take(records)
            seen |= {found.stream.channel} if records else set()
            assert {r.instrument for r in records if isinstance(r, Ticker)} <= {instrument.instrument}
    assert set(wire.channels) - seen <= {"liquidation"}
    whole = minutes.whole()
    assert len(whole) >= 2
    for quantities, theirs in whole:
        assert theirs == sum(quantities) > 0


def take(levels: LevelBook, feed: BookFeed[BookFrame], depth: int) -> None:
    for step in feed.steps:
        if isinstance(step, Replace):
            levels.replace(step.payload.bids, step.payload.asks)
        elif isinstance(step, Apply):
            levels.apply(step.update.payload.bids, step.update.payload.asks)
            levels.keep_best(depth)


def test_the_book_is_the_exchange_s(wire: Wire) -> None:
    """With a reconnection in the middle: the new connection's chain is another one."""
    (stream,) = wire.streams("book")
    depth = wire.venue.book_depth
    for number in range(2):
        wire.clients.clear()  # the second chain is another connection's
        feed: BookFeed[BookFrame] = BookFeed(wire.venue.book_sync())
        feed.connected(f"c{number}")
        levels = LevelBook()
        wire.subscribe(stream)
        applied = 0
        for round_number in range(30):
            wire.exchange.advance(0.5)
            if round_number == 1 and wire.venue.joins_stream_books:
                assert feed.needs_snapshot
                wire.send(stream, wire.venue.protocol.book_request(stream, next(wire.ids)), 1.0 + number)
            for found, frame in wire.told(stream):
                if not isinstance(found, Data):
                    assert not isinstance(found, VenueError), found
                    continue
                book = wire.venue.parse_book(frame)
                e = book.envelope
                if e.is_snapshot and wire.venue.joins_stream_books:
                    assert feed.snapshot(e.last_id, book) in (SnapshotVerdict.ANCHORED, SnapshotVerdict.WAITING)
                elif e.is_snapshot:
                    feed.stream_snapshot(e.last_id, e.event_time_us, book)
                elif feed.update(*e[:4], book, f"c{number}") is Outcome.APPLY:
                    levels.apply(book.bids, book.asks)
                    levels.keep_best(depth)
                    applied += 1
                    continue
                take(levels, feed, depth)
        assert applied > 20
        assert feed.state == "ok"
        assert not levels.crossed()
        assert levels.bids.best is not None
        assert levels.asks.best is not None
        whole = wire.whole_book(stream)
        assert levels.bids.levels(depth) == list(whole.bids)[:depth]
        assert levels.asks.levels(depth) == list(whole.asks)[:depth]
        if wire.venue.joins_stream_books:
            assert whole.envelope.last_id == feed.last_id


def test_polls_and_turnover(tmp_path: Path) -> None:
    wire = Wire("perp", tmp_path)
    wire.exchange.advance(30.0)
    instrument = wire.instrument()
    assert instrument.contract_multiplier != "1"
    kinds = set()
    for poll in wire.venue.protocol.polls([wire.symbol], ["open_interest", "funding", "long_short"]):
        body = wire.rest(poll.request.path, dict(poll.request.query))
        ((symbol, part),) = wire.venue.protocol.poll_reply(poll.request, body)
        assert symbol == wire.symbol
        path = poll.request.path + (f"?{urlencode(poll.request.query)}" if poll.request.query else "")
        assert wire.venue.read_poll is not None
        (record,) = wire.venue.read_poll(path, part, wire.context(instrument))
        check_record(record)
        kinds.add(getattr(record, "ratio_kind", poll.channel))
        if isinstance(record, Funding):
            assert record.interval_ms == 28_800_000
            assert record.funding_time_us > record.event_time_us
    assert kinds == {"open_interest", "funding", "top_account", "top_position"}
    volume = wire.venue.protocol.volume_request()
    assert volume is not None
    ((symbol, turnover),) = wire.venue.protocol.volume_reply(wire.rest(volume.path, dict(volume.query)))
    assert symbol == wire.symbol
    assert Decimal(turnover) > 0


def test_contract_changes_are_told(tmp_path: Path) -> None:
    wire = Wire("perp", tmp_path)
    (stream,) = wire.venue.protocol.market_streams()
    wire.subscribe(stream)
    wire.exchange.advance(61.0)
    notices = [found for found, _ in wire.told(stream) if isinstance(found, Notice)]
    assert {notice.kind for notice in notices} == {"contract_info"}
    assert asyncio.run(wire.exchange.dialect.apply(Fault(kind="sequence_reset", stream="public.*"))) == 1
    assert [found.kind for found, _ in wire.told(stream) if isinstance(found, Notice)] == ["instruments"]


def test_an_announced_close_is_a_shutdown(tmp_path: Path) -> None:
    wire = Wire("perp", tmp_path)
    (stream,) = wire.streams("funding")
    frame = wire.client(stream).session.shutdown_notice(1)
    assert frame is not None
    assert wire.venue.protocol.classify(frame) == Notice("shutdown", "close")


def test_a_repeated_subscription_counts_as_made(tmp_path: Path) -> None:
    wire = Wire("perp", tmp_path)
    (stream,) = wire.streams("funding")
    first, second = wire.subscribe(stream), wire.subscribe(stream)
    assert [found for found, _ in wire.told(stream) if isinstance(found, Ack)] == [Ack(first), Ack(second)]


def test_an_unknown_symbol_is_refused_with_our_id(wire: Wire) -> None:
    symbol = wire.symbol.replace("BTC", "NOPE")
    for stream in wire.venue.protocol.streams([symbol], wire.channels):
        request_id = wire.subscribe(stream)
        (found,) = [found for found, _ in wire.told(stream) if isinstance(found, VenueError)]
        assert found.request_id == request_id, json.dumps(found)
