"""One recorded frame, or REST reply, of every kind and shape a venue has, and everything that reads such a text."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import cache, partial
from typing import Any, NamedTuple

from msgspec import structs

from marketdata import codec, raw
from marketdata.errors import BadData, ConfigError
from marketdata.types import Instrument, Record
from marketdata.validation import check_record
from processors.metrics import Metrics
from processors.normalise_core import Normaliser
from processors.normalise_feed import Feed, FeedState
from processors.outputs import Output, SourceRecord
from tests.frames import frames_dir
from tests.venues.odd_frames import Object, parse
from venues import VENUES
from venues.conformance import symbol_in
from venues.conformance_files import Line, file_class, find_files, read_lines, rest_reply, venues_of
from venues.contract import BookFrame, Context, Data, PassedId, Poll, Stream, Venue

TEXT_BYTES_MAX = 3_000
"""Longer ones say nothing that a shorter one of their kind does not."""
LINES_MAX = 400
SHAPES_MAX = 2
"""Of one kind: frames that have other fields."""
RECV_NS = "1790000000000000000"
NORMALISER = Normaliser(Metrics("normalise", registry=None), codec.encoder())

_encoders = (codec.encoder("json"), codec.encoder("msgpack"))

Calls = Iterator[tuple[str, Callable[[], Any]]]


class Sample(NamedTuple):
    venue: Venue
    kind: str
    text: bytes
    stream: Stream | None
    """None: a frame without data, or a REST reply."""
    path: str = ""
    """Of a REST reply."""

    @property
    def is_book(self) -> bool:
        return self.stream is not None and self.stream.channel == "book"

    def context(self, instrument: Instrument | None = None) -> Context:
        venue, symbol = self.venue, self.stream.symbol if self.stream else symbol_in(self.path)
        return Context(venue.exchange, venue.market, symbol, RECV_NS, instrument or contract_of(venue, symbol))

    def read(self, text: bytes, instrument: Instrument | None = None) -> list[Any]:
        """The records such a text gives, or the book frame. Raises BadData."""
        if self.path:
            return list(self.venue.read_rest(self.path, text, self.context(instrument)).records)
        assert self.stream is not None
        if self.is_book:
            return [self.venue.parse_book(text)]
        return list(self.venue.normalisers[self.stream.channel](text, self.context(instrument)))

    def calls(self, text: bytes) -> Calls:
        """What reads such a text, by name."""
        if self.path:
            yield "read_rest", lambda: self.read(text)
            yield from replies_readers(self.venue, self.path, text)
            return
        yield "classify", lambda: self.venue.protocol.classify(text)
        if self.is_book:
            yield "book_envelope", lambda: self.venue.protocol.book_envelope(text)
        if self.stream is not None:
            yield "read", lambda: self.read(text)

    def handled(self, *texts: bytes) -> list[Output]:
        """What the normalise application publishes for these frames of the stream. Raises BadData."""
        assert self.stream is not None
        venue, symbol, channel = self.venue, self.stream.symbol, self.stream.channel
        key = f"{venue.exchange}.{venue.market}.{symbol}".encode()
        feed = Feed(key, FeedState(instrument=contract_of(venue, symbol)))
        headers = raw.to_kafka(raw.Headers("frame", channel, RECV_NS, "c1", "1"))
        out: list[Output] = []
        try:
            for text in texts:
                out += NORMALISER.handle(feed, SourceRecord("raw.x", 0, 1, key, text, headers, 1))
        finally:
            Feed.load(key, feed.dump())
        return out


def replies_readers(venue: Venue, path: str, text: bytes) -> Calls:
    protocol, context = venue.protocol, Context(venue.exchange, venue.market, symbol_in(path), RECV_NS)
    yield "parse_snapshot", lambda: venue.parse_snapshot(text)
    yield "snapshot_envelope", lambda: protocol.snapshot_envelope(text)
    yield "instruments_reply", lambda: list(protocol.instruments_reply(text))
    yield "parse_instrument", lambda: [venue.parse_instrument(text, context)]
    if protocol.volume_request() is not None:
        yield "volume_reply", lambda: list(protocol.volume_reply(text))
    for poll in polls(venue):
        if path.partition("?")[0] in ("", poll.request.path):
            yield "poll_reply", partial(list_of, protocol.poll_reply, poll.request, text)
    if venue.read_poll is not None:
        read = venue.read_poll
        yield "read_poll", lambda: list(read(path, text, context))


def list_of(call: Callable[..., Iterable[Any]], *arguments: Any) -> list[Any]:
    return list(call(*arguments))


def outcome(call: Callable[[], Any]) -> Any:
    """What a call gives, or the BadData it raises; any other exception is the test's failure. Records are examined."""
    try:
        result = call()
    except BadData as exc:
        return exc
    for record in result if isinstance(result, list) else ():
        if isinstance(record, Record):
            examine(record)
    return result


def examine(record: Any) -> None:
    """A record is refused by validation, or can be written and read, in either encoding."""
    try:
        check_record(record)
        for encode in _encoders:
            assert codec.decode(encode(record)) == record
    except BadData:
        return


@cache
def _polls(at: int) -> tuple[Poll, ...]:
    protocol, found = VENUES[at].protocol, []
    for channel in ("open_interest", "long_short", "funding", "mark_price", "liquidation"):
        try:
            found += protocol.polls(["BTC-USDT"], [channel])
        except ConfigError:
            continue
    return tuple(found)


def polls(venue: Venue) -> tuple[Poll, ...]:
    """All that the market is asked for by REST again and again."""
    return _polls(VENUES.index(venue))


def contract_of(venue: Venue, symbol: str, multiplier: str = "") -> Instrument:
    """Contracts of 0.01 coin; of inverse ones, of 10 dollars. With a multiplier: linear ones of that size."""
    inverse = venue.market == "inverse" and not multiplier
    return Instrument(
        exchange=venue.exchange, market=venue.market, symbol=symbol, base="BTC", quote="USDT", status="live",
        contract_multiplier=multiplier or ("10" if inverse else "0.01"), inverse=inverse,
    )  # fmt: skip


@cache
def _recorded() -> tuple[Sample, ...]:
    shapes: dict[tuple[str, str, str], dict[str, Sample]] = {}
    for file in find_files(frames_dir()):
        venues = venues_of(file)
        if not venues or file_class(file) == "sent":
            continue
        for line in read_lines(file):
            if line.number > LINES_MAX:
                break
            if len(line.frame) > TEXT_BYTES_MAX:
                continue
            sample = _sample(venues, line)
            known = shapes.setdefault((sample.venue.exchange, sample.venue.market, sample.kind), {})
            if len(known) < SHAPES_MAX:
                known.setdefault(shape(parse(sample.text)), sample)
    return tuple(sample for known in shapes.values() for sample in known.values())


def _sample(venues: tuple[Venue, ...], line: Line) -> Sample:
    rest = rest_reply(line)
    if rest is not None:
        symbol = symbol_in(rest.path)
        venue = next((v for v in venues if v.owns(symbol)), venues[0])
        return Sample(venue, rest.path.partition("?")[0], bytes(rest.body), None, rest.path or "/")
    found = venues[0].protocol.classify(line.frame)
    if isinstance(found, Data):
        symbol = (found.symbols or (found.stream.symbol,))[0]
        venue = next((v for v in venues if v.owns(symbol)), venues[0])
        return Sample(venue, found.stream.channel, line.frame, found.stream._replace(symbol=symbol))
    return Sample(venues[0], type(found).__name__, line.frame, None)


def shape(node: Any) -> str:
    """Which fields a text has, of what types."""
    if isinstance(node, list):
        return f"[{shape(node[0]) if node else ''}]"
    if isinstance(node, Object):
        return "{" + ",".join(f"{m.key}:{shape(m.value)}" for m in node.members) + "}"
    return type(node).__name__


def recorded(exchange: str = "") -> list[Sample]:
    """Skips the calling test where there are no recordings."""
    frames_dir()
    return [sample for sample in _recorded() if exchange in ("", sample.venue.exchange)]


NO_DECIMALS = frozenset((
    "exchange", "market", "symbol", "instrument", "recv_time_ns", "trade_id", "first_trade_id", "last_trade_id",
    "venue_trade_id", "update_id", "liquidation_id", "side", "interval", "ratio_kind", "period", "index", "base",
    "quote", "settle", "status", "option_kind",
))  # fmt: skip
"""Fields of records that are text."""


def decimals(record: Any) -> Iterator[tuple[str, str]]:
    """(field, text) of every decimal in a record, or in a book frame."""
    if isinstance(record, BookFrame):
        for side in (record.bids, record.asks):
            for level in side:
                yield from zip(("price", "quantity"), level, strict=True)
    elif not isinstance(record, PassedId):
        for field in structs.fields(record):
            value = getattr(record, field.name)
            if isinstance(value, str) and value and field.name not in NO_DECIMALS:
                yield field.name, value
        for step in getattr(record, "tick_steps", ()):
            yield from zip(("tick_price", "tick_size"), step, strict=True)
