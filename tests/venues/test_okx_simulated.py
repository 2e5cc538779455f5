"""OKX's code against the simulated exchange, which shares no parsing with it: requests, acks, books, records."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from urllib.parse import urlencode

import pytest

from marketdata.book import LevelBook
from marketdata.book_feed import Apply, BookFeed, Outcome, SnapshotVerdict
from marketdata.book_overlap import new_feed
from marketdata.types import (
    Instrument,
    LongShort,
)
from simulator.dialect import Request
from simulator.faults import Fault
from simulator.okx.dialect import SEGMENT
from tests.simulator.dialect_harness import Client
from tests.simulator.dialect_harness import Venue as Exchange
from tests.venues.minutes import Minutes
from venues import find_venue
from venues.contract import Ack, BookFrame, Context, Data, SnapshotFrame, Stream, Venue, VenueError
from venues.okx.streams import CHANNEL_STREAMS, POLLED

OPTION = "BTC-USD-261225-50000-C"
SYMBOLS = {
    "BTC-USDT": "spot",
    "BTC-USDT-SWAP": "perp",
    "BTC-USD-SWAP": "perp",
    "BTC-USD_UM-SWAP": "perp",
    "BTC-USDT-261225": "future",
    "BTC-USD-261225": "future",
    OPTION: "option",
}
INVERSE = ("BTC-USD-SWAP", "BTC-USD-261225")


class Wire:
    """Our protocol on connections to the simulated exchange, one per route. `alone`: nothing else is traded there."""

    def __init__(self, symbol: str, path: Path, alone: bool = False) -> None:
        self.venue: Venue = find_venue("okx", SYMBOLS[symbol])
        self.protocol = self.venue.protocol
        self.symbol = symbol
        self.listed = [symbol] if alone else list(SYMBOLS)
        self.exchange = Exchange(SEGMENT, self.listed, path, frames_per_s=60.0 * len(self.listed))
        self.exchange.advance(2.0)
        self.ids = itertools.count(1)
        self.clients: dict[str, Client] = {}

    def streams(self, *channels: str) -> list[Stream]:
        return self.protocol.streams([self.symbol], channels)

    def subscribe(self, streams: list[Stream]) -> None:
        for stream in streams:
            url = self.protocol.connection_url("", [stream])
            if url not in self.clients:
                self.clients[url] = self.exchange.open(url, number=len(self.clients) + 1)
            self.clients[url].send(self.protocol.subscribe([stream], next(self.ids)).encode())

    def told(self) -> Iterator[tuple[object, bytes]]:
        for client in self.clients.values():
            for frame in client.texts():
                yield self.protocol.classify(frame), frame

    def book_frames(self) -> Iterator[BookFrame]:
        for found, text in self.told():
            if isinstance(found, Data):
                frame = self.venue.parse_book(text)
                assert frame.envelope == self.protocol.book_envelope(text)
                yield frame

    def rest(self, path: str, query: dict[str, str]) -> bytes:
        return asyncio.run(self.exchange.dialect.rest(Request("GET", path, dict(query), b"", "127.0.0.1"))).body

    def snapshot(self) -> SnapshotFrame:
        asked = self.protocol.snapshot_request(self.symbol, 400)
        return self.venue.parse_snapshot(self.rest(asked.path, dict(asked.query)))

    def lag(self, count: int) -> None:
        """The next books that REST tells are as they are now."""
        fault = Fault(kind="stale_snapshot", venue="okx", symbol=self.symbol, count=count)
        assert asyncio.run(self.exchange.dialect.apply(fault)) == 1
        self.exchange.faults.add(fault, time.monotonic())

    def instrument(self) -> Instrument:
        entries: dict[str, bytes] = {}
        for asked in self.protocol.instruments_requests():
            entries |= self.protocol.instruments_reply(self.rest(asked.path, dict(asked.query)))
        assert set(entries) == {symbol for symbol in self.listed if SYMBOLS[symbol] == self.venue.market}
        return self.venue.parse_instrument(entries[self.symbol], self.context(None))

    def context(self, instrument: Instrument | None) -> Context:
        return Context("okx", self.venue.market, self.symbol, "", instrument)


@pytest.fixture(params=SYMBOLS)
def wire(request: pytest.FixtureRequest, tmp_path: Path) -> Wire:
    return Wire(request.param, tmp_path)


@pytest.fixture(params=SYMBOLS)
def alone(request: pytest.FixtureRequest, tmp_path: Path) -> Wire:
    """For what takes minutes of the market."""
    return Wire(request.param, tmp_path, alone=True)


@pytest.fixture
def swap(tmp_path: Path) -> Wire:
    return Wire("BTC-USDT-SWAP", tmp_path)


def test_each_stream_is_acknowledged_or_refused_by_its_name(wire: Wire) -> None:
    streams = wire.streams(*CHANNEL_STREAMS[wire.venue.market])  # type: ignore[index]
    wire.subscribe(streams)
    told = list(wire.told())
    assert {found.names for found, _ in told if isinstance(found, Ack)} == {(stream.name,) for stream in streams}
    assert {type(found) for found, _ in told} == {Ack, Data}
    wire.subscribe([Stream("books:NO-SUCH", "book", "NO-SUCH")])
    (refused,) = (found for found, _ in wire.told() if not isinstance(found, Data))
    assert isinstance(refused, VenueError)
    assert refused.names == ("books:NO-SUCH",)


def same_levels(book: LevelBook, theirs: SnapshotFrame) -> None:
    for ours, side in ((book.bids, theirs.bids), (book.asks, theirs.asks)):
        assert {Decimal(p): Decimal(q) for p, q in ours.levels(0)} == {Decimal(p): Decimal(q) for p, q in side}


def test_a_book_followed_is_the_exchanges(alone: Wire) -> None:
    alone.subscribe(alone.streams("book"))
    feed: BookFeed[BookFrame] = new_feed(alone.venue.book_sync())
    feed.connected("c")
    book, applied = LevelBook(), 0
    for _ in range(100):
        alone.exchange.advance(0.5)
        for frame in alone.book_frames():
            e = frame.envelope
            if e.is_snapshot:
                feed.stream_snapshot(e.last_id, e.event_time_us, frame, "c")
                book.replace(frame.bids, frame.asks)
            else:
                assert feed.update(e.first_id, e.last_id, e.prev_id, e.event_time_us, frame, "c") is Outcome.APPLY
                book.apply(frame.bids, frame.asks)
                applied += 1
            book.keep_best(alone.venue.book_depth)
            assert not book.crossed()
    assert applied > 5
    theirs = alone.snapshot()
    assert theirs.envelope.last_id == feed.last_id
    same_levels(book, theirs)


def test_a_snapshot_older_than_the_stream_is_asked_for_again(swap: Wire) -> None:
    """A stream that begins without a snapshot, and a REST cache that lags behind it for two requests."""
    swap.lag(2)
    swap.exchange.advance(1.0)
    swap.subscribe(swap.streams("book"))
    feed: BookFeed[BookFrame | SnapshotFrame] = new_feed(swap.venue.book_sync())
    feed.connected("c")
    swap.exchange.advance(1.0)
    for frame in swap.book_frames():
        e = frame.envelope
        if not e.is_snapshot:
            assert feed.update(e.first_id, e.last_id, e.prev_id, e.event_time_us, frame, "c") is Outcome.HELD
    for _ in range(2):
        assert feed.needs_snapshot
        stale = swap.snapshot()
        assert feed.snapshot(stale.envelope.last_id, stale, "c") is SnapshotVerdict.TOO_OLD
        assert feed.steps == []
    fresh = swap.snapshot()
    assert fresh.envelope.last_id > stale.envelope.last_id
    assert feed.snapshot(fresh.envelope.last_id, fresh, "c") is SnapshotVerdict.ANCHORED
    assert (feed.state, feed.needs_snapshot) == ("ok", False)
    book = LevelBook()
    book.replace(fresh.bids, fresh.asks)
    for step in feed.steps:
        if isinstance(step, Apply):
            assert isinstance(step.update.payload, BookFrame)
            book.apply(step.update.payload.bids, step.update.payload.asks)
    swap.exchange.advance(1.0)
    for frame in swap.book_frames():
        e = frame.envelope
        assert feed.update(e.first_id, e.last_id, e.prev_id, e.event_time_us, frame, "c") is Outcome.APPLY
        book.apply(frame.bids, frame.asks)
    book.keep_best(swap.venue.book_depth)
    same_levels(book, swap.snapshot())


def test_records_agree_with_each_other(alone: Wire) -> None:
    """Our trades add up to the venue's candles, which is right only when both are in base coin."""
    instrument = alone.instrument()
    assert (instrument.inverse, instrument.status) == (alone.symbol in INVERSE, "live")
    channels = CHANNEL_STREAMS[alone.venue.market].keys() - {"book"}  # type: ignore[index]
    alone.subscribe(alone.streams(*channels))
    minutes = Minutes()
    for _ in range(60):
        alone.exchange.advance(5.0)
        for found, text in alone.told():
            if isinstance(found, Data):
                minutes.take(alone.venue.normalisers[found.stream.channel](text, alone.context(instrument)))
    minutes.assert_ids_count_by_one()
    minutes.assert_kinds_of(alone.venue.market)
    whole = minutes.whole()
    assert len(whole) >= 3
    for quantities, theirs in whole:
        ours = sum(quantities)
        if alone.symbol in INVERSE:  # theirs is taken at the mean price
            assert abs(ours - theirs) <= ours / 1_000
        else:
            assert ours == theirs


def test_what_options_and_contracts_in_dollars_are(tmp_path: Path) -> None:
    option = Wire(OPTION, tmp_path / "option").instrument()
    assert (option.instrument, option.settle, option.tick_size) == ("BTC-25DEC26-50000-C", "BTC", "0.0001")
    assert (option.strike, option.option_kind, option.contract_multiplier) == ("50000", "call", "0.01")
    linear = Wire("BTC-USD_UM-SWAP", tmp_path / "linear").instrument()
    assert (linear.instrument, linear.inverse, linear.settle) == ("BTC-USD_UM-PERP", False, "USD")


def test_ratios_are_of_perpetuals_and_dated_futures(wire: Wire) -> None:
    polls = wire.protocol.polls([wire.symbol], ["long_short"] if POLLED[wire.venue.market] else [])  # type: ignore[index]
    assert len(polls) == (4 if wire.venue.market in ("perp", "future") else 0)
    for poll in polls:
        body = wire.rest(poll.request.path, dict(poll.request.query))
        ((symbol, part),) = wire.protocol.poll_reply(poll.request, body)
        assert wire.venue.read_poll is not None
        asked = f"{poll.request.path}?{urlencode(poll.request.query)}"
        records = wire.venue.read_poll(asked, part, wire.context(None))
        assert symbol == wire.symbol
        assert all(isinstance(record, LongShort) for record in records)
