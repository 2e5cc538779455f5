"""Deribit's code against the simulated exchange, which shares no parsing with it: requests, acks, books, records."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from marketdata.book import LevelBook
from marketdata.book_feed import BookFeed, Outcome
from marketdata.book_overlap import new_feed
from marketdata.types import Bbo, Instrument, Ticker
from marketdata.validation import check_record
from simulator.deribit.dialect import SEGMENT
from simulator.dialect import Close, Request
from simulator.faults import Fault
from tests.simulator.dialect_harness import Client
from tests.simulator.dialect_harness import Venue as Exchange
from tests.venues.minutes import Minutes
from venues import find_venue
from venues.contract import Ack, Alive, BookFrame, Context, Data, Notice, Reply, Stream, Venue

SYMBOLS = {
    "perp": "BTC-PERPETUAL",
    "future": "BTC-25DEC26",
    "option": "BTC-25DEC26-100000-C",
    "spot": "BTC_USDC",
}
LINEAR = "ETH_USDC-PERPETUAL"
INVERSE = ("BTC-PERPETUAL", "BTC-25DEC26")
CHANNELS = ("trade", "bbo", "ticker", "kline")


class Wire:
    """Our protocol on one connection to the simulated exchange. `alone`: nothing else is traded there."""

    def __init__(self, market: str, symbol: str, path: Path, alone: bool = False) -> None:
        self.venue: Venue = find_venue("deribit", market)
        self.protocol = self.venue.protocol
        self.symbol = symbol
        listed = [symbol] if alone else [*SYMBOLS.values(), LINEAR]
        self.exchange = Exchange(SEGMENT, listed, path, frames_per_s=80.0 * len(listed))
        self.exchange.advance(2.0)
        self.ids = itertools.count(1)
        self.client: Client = self.exchange.open("/ws/api/v2")

    def streams(self, *channels: str) -> list[Stream]:
        return self.protocol.streams([self.symbol], channels)

    def subscribe(self, streams: list[Stream]) -> int:
        request_id = next(self.ids)
        self.client.send(self.protocol.subscribe(streams, request_id).encode(), self.exchange.now_s)
        return request_id

    def told(self) -> Iterator[tuple[object, bytes]]:
        for frame in self.client.texts():
            yield self.protocol.classify(frame), frame

    def rest(self, path: str, query: dict[str, str]) -> bytes:
        return asyncio.run(self.exchange.dialect.rest(Request("GET", path, dict(query), b"", "127.0.0.1"))).body

    def instrument(self) -> Instrument:
        asked = self.protocol.instruments_request()
        entries = dict(self.protocol.instruments_reply(self.rest(asked.path, dict(asked.query))))
        assert all(self.venue.owns(symbol) for symbol in entries)
        return self.venue.parse_instrument(entries[self.symbol], self.context(None))

    def context(self, instrument: Instrument | None) -> Context:
        return Context("deribit", self.venue.market, self.symbol, "1", instrument)

    def whole_book(self) -> BookFrame:
        """The exchange's book as it tells a new connection now."""
        self.client = self.exchange.open("/ws/api/v2")
        self.subscribe(self.streams("book"))
        return next(self.venue.parse_book(frame) for found, frame in self.told() if isinstance(found, Data))


each_symbol = pytest.fixture(params=[*SYMBOLS.items(), ("perp", LINEAR)], ids=lambda param: str(param[1]))


@each_symbol
def wire(request: pytest.FixtureRequest, tmp_path: Path) -> Wire:
    market, symbol = request.param
    return Wire(str(market), str(symbol), tmp_path)


@each_symbol
def alone(request: pytest.FixtureRequest, tmp_path: Path) -> Wire:
    """For what takes minutes of the market."""
    market, symbol = request.param
    return Wire(str(market), str(symbol), tmp_path, alone=True)


def test_what_was_dropped_without_a_word_is_not_in_the_ack(wire: Wire) -> None:
    streams = wire.streams(*CHANNELS, "book")
    bad = Stream("book.NO-SUCH.100ms", "book", "NO-SUCH")
    request_id = wire.subscribe([bad, *streams])
    (ack,) = (found for found, _ in wire.told() if not isinstance(found, Data))
    assert isinstance(ack, Ack)
    assert (ack.request_id, ack.final) == (request_id, True)
    assert set(ack.names or ()) == {stream.name for stream in streams}
    wire.client.send(wire.protocol.unsubscribe(streams[:1], 99).encode(), wire.exchange.now_s)
    assert Ack(99, (streams[0].name,), True) in [found for found, _ in wire.told()]


def test_an_instrument_is_captured_through_settlement_until_it_is_over(wire: Wire) -> None:
    """In the listings it stays, with another word for its state, until it is delivered; then it comes again."""

    def put(state: str) -> list[object]:
        fault = Fault(kind="instrument_state", venue="deribit", symbol=wire.symbol, state=state)
        assert asyncio.run(wire.exchange.dialect.apply(fault)) == 1
        wire.exchange.dialect.credits.clear()  # type: ignore[attr-defined]
        return [found for found, _ in wire.told()]

    def news(found: list[object]) -> list[str]:
        return [each.kind for each in found if isinstance(each, Notice)]

    def listing() -> dict[str, bytes]:
        asked = wire.protocol.instruments_request()
        return dict(wire.protocol.instruments_reply(wire.rest(asked.path, dict(asked.query))))

    wire.subscribe([*wire.streams("ticker", "book"), *wire.protocol.market_streams()])
    wire.exchange.advance(5.0)
    assert news([found for found, _ in wire.told()]) == []
    for state in ("settlement", "locked", "halted", "open"):
        assert news(put(state)) == ["instruments"]
        assert wire.instrument().status == state
        assert state in wire.venue.tradable
    assert news(put("delivered")) == ["instruments"]
    assert wire.symbol not in listing()
    wire.exchange.advance(60.0)
    assert not any(isinstance(found, Data) for found, _ in wire.told())
    assert news(put("open")) == ["instruments", "instruments"], "created, and open"
    assert wire.instrument().status == "open"
    wire.exchange.advance(60.0)
    assert any(isinstance(found, Data) for found, _ in wire.told())


def test_an_emptied_book_is_one_of_empty_sides(wire: Wire) -> None:
    instrument, book = wire.instrument(), LevelBook()
    wire.subscribe(wire.streams("book", "bbo", "ticker"))
    wire.exchange.advance(5.0)
    fault = Fault(kind="instrument_state", venue="deribit", symbol=wire.symbol, state="delivered")
    asyncio.run(wire.exchange.dialect.apply(fault))
    last: dict[type, object] = {}
    for found, text in wire.told():
        if not isinstance(found, Data):
            continue
        if found.stream.channel == "book":
            frame = wire.venue.parse_book(text)
            if frame.envelope.is_snapshot:
                book.replace(frame.bids, frame.asks, 0)
            else:
                book.apply(frame.bids, frame.asks)
            continue
        for record in wire.venue.normalisers[found.stream.channel](text, wire.context(instrument)):
            assert not isinstance(record, tuple)
            check_record(record)
            last[type(record)] = record
    assert (book.bids.levels(5), book.asks.levels(5)) == ([], [])
    for kind in (Bbo, Ticker):
        told = last[kind]
        assert isinstance(told, Bbo | Ticker)
        assert (told.bid_price, told.bid_quantity, told.ask_price, told.ask_quantity) == ("", "", "", "")


def test_a_connection_lives_by_our_answers(wire: Wire) -> None:
    for message in wire.protocol.greeting():
        wire.client.send(message.encode())
    assert [found for found, _ in wire.told()] == [Alive()]
    answered = 0
    for second in range(0, 120):
        for frame in wire.client.session.tick(float(second), 0.0, 0.0):
            found = wire.protocol.classify(frame)
            if isinstance(found, Reply):
                assert isinstance(found.payload, str)
                wire.client.send(found.payload.encode(), float(second))
                answered += 1
            else:
                assert isinstance(found, Alive)
    assert answered >= 9
    assert {type(found) for found, _ in wire.told()} == {Alive}
    with pytest.raises(Close):
        list(map(wire.client.session.tick, range(120, 180), itertools.repeat(0.0), itertools.repeat(0.0)))


def test_a_book_followed_is_the_exchanges(alone: Wire) -> None:
    alone.subscribe(alone.streams("book"))
    feed: BookFeed[BookFrame] = new_feed(alone.venue.book_sync())
    feed.connected("c")
    book, applied = LevelBook(), 0
    for _ in range(300):
        alone.exchange.advance(0.2)
        for found, text in alone.told():
            if not isinstance(found, Data):
                continue
            frame = alone.venue.parse_book(text)
            e = frame.envelope
            assert e == alone.protocol.book_envelope(text)
            if e.is_snapshot:
                feed.stream_snapshot(e.last_id, e.event_time_us, frame, "c")
                book.replace(frame.bids, frame.asks)
            else:
                assert feed.update(e.first_id, e.last_id, e.prev_id, e.event_time_us, frame, "c") is Outcome.APPLY
                book.apply(frame.bids, frame.asks)
                applied += 1
            assert not book.crossed()
    assert applied > 20
    theirs = alone.whole_book()
    assert theirs.envelope.last_id == feed.last_id
    for ours, side in ((book.bids, theirs.bids), (book.asks, theirs.asks)):
        assert {Decimal(p): Decimal(q) for p, q in ours.levels(0)} == {Decimal(p): Decimal(q) for p, q in side}
    asked = alone.protocol.snapshot_request(alone.symbol, 20)
    assert alone.protocol.snapshot_envelope(alone.rest(asked.path, dict(asked.query))).last_id == feed.last_id


def test_records_agree_with_each_other(alone: Wire) -> None:
    """Our trades add up to the venue's candles, which is right only when both are in base coin."""
    instrument = alone.instrument()
    assert instrument.inverse == (alone.symbol in INVERSE)
    assert instrument.status in alone.venue.tradable
    alone.subscribe(alone.streams(*CHANNELS))
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
    for ours, theirs in whole:
        difference = abs(sum(ours) - theirs)
        assert difference <= len(ours) * Decimal("0.5e-8"), "the venue rounds each trade of an inverse contract to 1e-8"
        assert not difference or alone.symbol in INVERSE
