"""Recorded frames of every exchange through the normaliser: each twice, as two connections give them.

What goes out must fit its table, once each; what cannot be accepted is told with a reason that is not our own fault.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlsplit

import pytest

from marketdata import topics
from marketdata.codec import decode, encoder
from marketdata.errors import BadData, ConfigError
from marketdata.keys import Key
from marketdata.raw import Headers, to_kafka
from marketdata.types import DeadLetter, Instrument
from processors.metrics import Metrics
from processors.normalise_core import Normaliser
from processors.normalise_feed import Feed, FeedState
from processors.outputs import Output, SourceRecord
from sinks.clickhouse.candle_tables import VENUE_KLINES
from sinks.clickhouse.quality_tables import GAPS
from sinks.clickhouse.rows import Row, identity, unstorable
from sinks.clickhouse.tables import TABLE_OF
from tests.frames import frames_dir
from venues import VENUES
from venues.conformance import recorded_instruments, symbol_in
from venues.conformance_files import exchange_folder, file_class, find_files, read_lines, rest_reply, venues_of
from venues.contract import Data, Request, Venue

LINES_MAX = 4_000
"""Of a recording; the longest have ten times as many of the same kinds."""


class Told(NamedTuple):
    """What came out of one file."""

    outputs: list[Output]
    refused: Counter[str]
    events: dict[str, int]
    frames: int


def frames(path: Path, venues: tuple[Venue, ...]) -> Iterator[tuple[Venue, str, str, bytes, str]]:
    """(market, symbol, channel, frame, receive time) of the lines that are market data of a channel we publish."""
    for line in islice(read_lines(path), LINES_MAX):
        if rest_reply(line) is not None:
            continue
        found = venues[0].protocol.classify(line.frame)
        if not isinstance(found, Data) or found.stream.channel in ("book", ""):
            continue
        for symbol in found.symbols or (found.stream.symbol,):
            venue = next((v for v in venues if v.owns(symbol)), None)
            if venue is not None and found.stream.channel in topics.CHANNEL_TOPICS:
                yield venue, symbol, found.stream.channel, line.frame, line.recv_time_ns or "1700000000000000000"


def replay(path: Path) -> Told:
    venues = venues_of(path)
    folder = exchange_folder(path, venues)
    instruments = recorded_instruments(folder) if folder is not None else {}
    metrics = Metrics("normalise", registry=None)
    normaliser = Normaliser(metrics, encoder())
    feeds: dict[tuple[str, Key], Feed] = {}
    told = Told([], Counter(), metrics.counts["events"], 0)
    count = 0
    for venue, symbol, channel, frame, recv_ns in frames(path, venues):
        key, topic = Key(venue.exchange, venue.market, symbol), topics.CHANNEL_TOPICS[channel].name
        feed = feeds.get((topic, key))
        if feed is None:
            feed = feeds[topic, key] = Feed(key.encode(), FeedState())
            feed.state.instrument = instruments.get(symbol) or Instrument(
                exchange=key.exchange, market=key.market, symbol=symbol, base="", quote="", status=""
            )
        for connection in ("a", "b"):
            count += 1
            headers = to_kafka(Headers("frame", channel, recv_ns, connection, str(count)))
            source = SourceRecord(topic, 0, count, key.encode(), frame, headers, 0)
            try:
                told.outputs.extend(normaliser.handle(feed, source))
            except BadData as exc:
                told.refused[exc.code] += 1
    return told._replace(frames=count // 2)


def recordings(exchange: str) -> list[Path]:
    return [p for p in find_files(frames_dir() / exchange) if file_class(p) in ("sequence", "sample") and venues_of(p)]


@pytest.mark.parametrize("exchange", sorted({venue.exchange for venue in VENUES}))
def test_recorded_frames_give_each_record_once_and_storable(exchange: str) -> None:
    kinds: Counter[str] = Counter()
    for path in recordings(exchange):
        told = replay(path)
        rows: Counter[tuple[str, Any]] = Counter()
        for output in told.outputs:
            record = decode(output.value)
            if isinstance(record, DeadLetter):
                told.refused[record.reason] += 1
                continue
            kinds[output.topic] += 1
            table = TABLE_OF.get((output.topic, type(record)))
            if table is None or table is VENUE_KLINES or table is GAPS:  # come in versions
                continue
            bad = unstorable(table, Row(record, output.topic, 0, 0, 0, output.key, output.value))
            assert bad is None, f"{path.name}: {record}: {bad}"
            rows[table.name, identity(table, record)] += 1
        assert not told.refused, path.name
        assert [row for row, count in rows.items() if count > 1] == [], path.name
        if file_class(path) == "sequence":  # of each frame the second is a repeat
            assert told.events.get("duplicate", 0) >= told.frames, path.name
    assert {"md.trade", "md.bbo", "md.ticker", "md.venue_kline"} & kinds.keys(), kinds
    if exchange in ("binance", "deribit", "htx", "okx"):
        assert kinds.keys() >= {"md.trade", "md.venue_kline", "md.funding", "md.liquidation"}, kinds


def replies(exchange: str) -> Iterator[tuple[Venue, str, str, bytes]]:
    """(market, symbol, path, its part) of recorded replies to what the venue's protocol asks for again and again."""
    for path in recordings(exchange):
        for line in read_lines(path):
            reply = rest_reply(line)
            for venue in venues_of(path) if reply is not None else ():
                assert reply is not None
                url = urlsplit(reply.path)
                symbol = symbol_in(reply.path) or next(iter(instruments_of(path, venue)), "")
                if venue.read_poll is None or not symbol or not venue.owns(symbol):
                    continue
                if url.path in polled_paths(venue, symbol):
                    request = Request(url.path, dict(parse_qsl(url.query)), 1)
                    for of, part in venue.protocol.poll_reply(request, bytes(reply.body)):
                        if venue.owns(of):
                            yield venue, of, reply.path, part


def polled_paths(venue: Venue, symbol: str) -> set[str]:
    found = set()
    for channel in ("open_interest", "long_short", "funding"):
        with contextlib.suppress(ConfigError):  # a channel the venue has not
            found |= {poll.request.path for poll in venue.protocol.polls([symbol], [channel])}
    return found


def instruments_of(path: Path, venue: Venue) -> list[str]:
    folder = exchange_folder(path, [venue])
    return [symbol for symbol in recorded_instruments(folder) if venue.owns(symbol)] if folder is not None else []


@pytest.mark.parametrize("exchange", ["binance", "htx"])  # of OKX no such reply is recorded
def test_recorded_replies_give_records_once(exchange: str) -> None:
    normaliser = Normaliser(Metrics("normalise", registry=None), encoder())
    kinds: Counter[str] = Counter()
    for venue, symbol, path, part in replies(exchange):
        key = Key(venue.exchange, venue.market, symbol).encode()
        feed = Feed(key, FeedState())
        feed.state.instrument = Instrument(
            exchange=venue.exchange, market=venue.market, symbol=symbol, base="", quote="", status=""
        )
        headers = [*to_kafka(Headers("poll", "open_interest", "1700000000000000000", "", "0")), ("path", path.encode())]
        source = SourceRecord("raw.derivative", 0, 0, key, part, headers, 0)
        outputs = normaliser.handle(feed, source)
        kinds.update(output.topic for output in outputs)
        for output in outputs:
            record = decode(output.value)
            table = TABLE_OF[output.topic, type(record)]
            assert unstorable(table, Row(record, output.topic, 0, 0, 0, output.key, output.value)) is None, record
            assert output.key == key
        assert outputs, path
        assert normaliser.handle(feed, source) == [], f"{path}: the same reply again says nothing new"
    assert "md.dead_letter" not in kinds
    assert kinds.keys() & {"md.open_interest", "md.long_short"}, kinds
