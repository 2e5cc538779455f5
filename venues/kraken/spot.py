"""Kraken spot as a `Venue`."""

from __future__ import annotations

from venues.contract import StreamRules, Venue
from venues.kraken.book import DEPTH, TimeSequence, parse_book, parse_snapshot, verify_checksum
from venues.kraken.instruments import parse_instrument
from venues.kraken.normalise import NORMALISERS
from venues.kraken.protocol import KrakenProtocol
from venues.kraken.rest import read_rest

SPOT = Venue(
    exchange="kraken",
    market="spot",
    protocol=KrakenProtocol(),
    normalisers=NORMALISERS,
    parse_instrument=parse_instrument,
    rules={"trade": StreamRules(continuous_ids=True, monotonic_ids=True), "book": StreamRules()},
    book_sync=TimeSequence,
    parse_book=parse_book,
    parse_snapshot=parse_snapshot,
    read_rest=read_rest,
    recordings=("kraken/v2",),
    book_depth=DEPTH,
    verify_checksum=verify_checksum,
)
