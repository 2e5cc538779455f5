"""Recorded books with frames dropped, repeated and swapped: what is published as good is the book, holes are told."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marketdata.errors import BadData
from marketdata.types import Book, Gap
from marketdata.units import Units
from processors.outputs import Output, SourceRecord
from runtime.config.processors import Books
from tests.frames import frames_dir
from tests.processors.book_log import BookLog, live_book, of_topic
from tests.venues.test_okx_books_recorded import metadata
from venues import find_venue

FRAMES_MAX = 90
TOP = 5

Sides = tuple[dict[Decimal, Decimal], dict[Decimal, Decimal]]


class Session(NamedTuple):
    exchange: str
    market: str
    symbol: str
    file: str
    has_ids: bool = True
    """Whether each frame names its predecessor, by whatever ids; else a checksum is all there is."""

    @property
    def key(self) -> str:
        return f"{self.exchange}.{self.market}.{self.symbol}"


SESSIONS = (
    Session("binance", "spot", "BTCUSDT", "binance/spot/seq_hft_btcusdt_20240808.jsonl"),
    Session("binance", "spot", "NKNUSDT", "binance/spot/seq_cf_20211011_4sym.jsonl"),
    Session("binance", "perp", "SUSHIUSDT", "binance/usdm/seq_cf_20210722_4sym.jsonl"),
    Session("binance", "inverse", "BTCUSD_PERP", "binance/coinm/seq_hft_btcusd_perp_20240808.jsonl"),
    Session("deribit", "option", "ETH-9APR21-1950-C", "deribit/options/seq_cf_20210405_book_raw_ticker.jsonl"),
    Session("deribit", "option", "BTC-24SEP21-8000-P", "deribit/options/seq_cf_20210722_book_raw_ticker.jsonl"),
    Session("okx", "spot", "BTC-USDT", "okx/mixed/seq_cf_20220513_books_trades_tickers.jsonl", has_ids=False),
    Session("okx", "perp", "UNI-USD-SWAP", "okx/mixed/seq_cf_20220513_books_trades_tickers.jsonl"),
    Session("htx", "perp", "BTC-USDT", "okx/mixed/seq_cf_20220513_books_trades_tickers.jsonl"),
    Session("kraken", "spot", "BTC/USD", "kraken/v2/seq_cb_btcusd_d25_20260802.jsonl", has_ids=False),
    Session("kraken", "spot", "XRP/USD", "kraken/v2/seq_cb_xrpusd_d25_20260802.jsonl", has_ids=False),
)


# --- an independent reading of the wire ---------------------------------------------------------------


class Wire(NamedTuple):
    """One message about a book."""

    is_whole: bool
    update_id: str
    bids: list[tuple[Decimal, Decimal]]
    asks: list[tuple[Decimal, Decimal]]


def numbers(side: list[Any]) -> list[tuple[Decimal, Decimal]]:
    if side and isinstance(side[0], dict):
        return [(Decimal(entry["price"]), Decimal(entry["qty"])) for entry in side]
    if side and side[0][0] in ("new", "change", "delete"):
        return [(Decimal(price), Decimal(amount)) for _, price, amount in side]
    return [(Decimal(entry[0]), Decimal(entry[1])) for entry in side]


def wire_of(exchange: str, line: bytes) -> Wire:
    message: Any = json.loads(line, parse_float=Decimal)
    match exchange:
        case "binance" if "lastUpdateId" in message:
            data, whole, update_id = message, True, message["lastUpdateId"]
        case "binance":
            data, whole = message["data"], False
            update_id = data["u"]
        case "htx":
            data = message["tick"]
            whole, update_id = data["event"] == "snapshot", data["version"]
        case "deribit":
            data = message["params"]["data"]
            whole, update_id = data["type"] == "snapshot", data["change_id"]
        case "okx":
            (data,) = message["data"]
            whole, update_id = message["action"] == "snapshot", data.get("seqId", data["ts"])
        case _:
            (data,) = message["data"]
            whole, update_id = message["type"] == "snapshot", data.get("timestamp", "")
    names = ("b", "a") if "b" in data else ("bids", "asks")
    return Wire(whole, str(update_id), *(numbers(data[name]) for name in names))


def replayed(exchange: str, lines: list[tuple[str, bytes]], depth: int) -> Iterator[Sides]:
    """The book after each message, kept the simplest way there is."""
    book: Sides = ({}, {})
    whole_id = -1
    for _, line in lines:
        wire = wire_of(exchange, line)
        if wire.is_whole:
            book[0].clear()
            book[1].clear()
            whole_id = int(wire.update_id) if exchange == "binance" else -1
        if wire.is_whole or whole_id < 0 or int(wire.update_id) > whole_id:
            for side, levels, best_first in ((book[0], wire.bids, True), (book[1], wire.asks, False)):
                for price, quantity in levels:
                    side[price] = quantity
                    if not quantity:
                        del side[price]
                for price in sorted(side, reverse=best_first)[depth or len(side) :]:
                    del side[price]
        yield (dict(book[0]), dict(book[1]))


def top(sides: Sides) -> tuple[list[Any], list[Any]]:
    return tuple(sorted(side.items(), reverse=not at)[:TOP] for at, side in enumerate(sides))  # type: ignore[return-value]


# --- recorded sessions ------------------------------------------------------------------------------


class Recorded(NamedTuple):
    lines: list[tuple[str, bytes]]
    """(kind of raw record, value)"""
    truth: dict[str, list[tuple[list[Any], list[Any]]]]
    """By update id: the best levels after it, as published."""


@cache
def load(path: Path, session: Session) -> Recorded:
    """The session from its whole book on."""
    venue = find_venue(session.exchange, session.market)
    source = find_venue("okx", "spot") if session.exchange == "htx" else venue
    lines: list[tuple[str, bytes]] = []
    before: list[tuple[str, bytes]] = []
    wire_symbol = f'"{session.symbol}"'.encode()
    for line in path.read_bytes().splitlines():
        if line.startswith(b'{"_rest"'):
            if b"/depth?symbol=%s&" % session.symbol.encode() in line:
                lines += [*before[-3:], ("snapshot", line[line.index(b'"body":') + 7 : -1])]
            continue
        found: Any = source.protocol.classify(line)
        stream = getattr(found, "stream", None)
        if stream is None or stream.channel != "book" or wire_symbol not in line:
            continue
        if session.exchange == "okx" and session.has_ids:
            line = numbered(line, len(lines))
        if session.exchange == "htx":
            line = as_of_htx(line, session.symbol, len(lines))
        (lines if lines or session.exchange != "binance" else before).append(("frame", line))
        if len(lines) >= FRAMES_MAX:
            break
    ordered = in_order(session, lines)
    truth: dict[str, list[tuple[list[Any], list[Any]]]] = {}
    for (_, line), sides in zip(ordered, replayed(session.exchange, ordered, venue.book_depth), strict=True):
        truth.setdefault(published_id(session, line), []).append(in_base(session, top(sides)))
    return Recorded(lines, truth)


def numbered(line: bytes, number: int) -> bytes:
    """A frame of OKX of 2022 with the ids that they have had since, and without the checksum that they had then."""
    ids = b'"checksum":0,"seqId":%d,"prevSeqId":%d' % (number + 1, number or -1)
    return re.sub(rb'"checksum":-?\d+', ids, line)


def as_of_htx(line: bytes, symbol: str, number: int) -> bytes:
    """A frame of OKX's spot book as HTX would write it for a contract: no consecutive ones of its own are recorded."""
    wire, (row,) = json.loads(line), json.loads(line)["data"]
    sides = {
        side: "[" + ",".join(f"[{price},{quantity}]" for price, quantity, *_ in row[side]) + "]"
        for side in ("asks", "bids")
    }
    name = f"market.{symbol}.depth.size_150.high_freq"
    tick = (
        f'{{"asks":{sides["asks"]},"bids":{sides["bids"]},"ch":"{name}","event":"{wire["action"]}","id":1,"mrid":1,'
        f'"ts":{row["ts"]},"version":{number + 7}}}'
    )
    return f'{{"ch":"{name}","tick":{tick},"ts":{row["ts"]}}}'.encode()


def in_order(session: Session, lines: list[tuple[str, bytes]]) -> list[tuple[str, bytes]]:
    """With a snapshot by REST where it belongs: it is older than when it comes."""
    wholes = [line for line in lines if line[0] == "snapshot"]
    if not wholes:
        return lines
    whole_id = int(wire_of(session.exchange, wholes[0][1]).update_id)
    frames = [line for line in lines if line[0] == "frame"]
    older = [line for line in frames if int(wire_of(session.exchange, line[1]).update_id) <= whole_id]
    return [*older, wholes[0], *frames[len(older) :]]


def instrument_of(session: Session) -> bytes:
    if session.exchange == "okx":
        return metadata(session.symbol)
    if session.exchange == "htx":
        names = {"symbol": "BTC", "contract_code": session.symbol, "delivery_time": "", "create_date": "20200325"}
        return json.dumps(names | {"contract_size": 0.001, "price_tick": 0.1, "contract_status": 1}).encode()
    if session.exchange == "binance":
        size = {"contractSize": 100, "contractStatus": "TRADING"} if session.market == "inverse" else {}
        return json.dumps(
            {
                "symbol": session.symbol, "pair": session.symbol.partition("_")[0], "contractType": "PERPETUAL",
                "status": "TRADING", "baseAsset": "X", "quoteAsset": "USD", "marginAsset": "X", "filters": [],
                "deliveryDate": 4133404800000, **size,
            }
        ).encode()  # fmt: skip
    return b""


class Published(NamedTuple):
    books: list[tuple[int, Book]]
    """(which of the lines led to it, record)"""
    gaps: list[Gap]


def publish(session: Session, lines: list[tuple[int, str, bytes]]) -> Published:
    """What the books application publishes; a frame that it refuses is as good as lost."""
    log, (book, _) = BookLog(session.key), live_book(Books(top_interval_ms=0, top_levels=TOP), session.key)
    books: list[tuple[int, Book]] = []
    gaps: list[Gap] = []

    def handle(at: int, source: SourceRecord) -> None:
        out: list[Output] = []
        try:
            out = book.handle(source)
        except BadData:
            return
        books.extend((at, record) for record in of_topic(out, "md.book") if isinstance(record, Book))
        gaps.extend(record for record in of_topic(out, "md.gap") if isinstance(record, Gap))

    handle(-1, log.connected())
    instrument = instrument_of(session)
    if book.venue.converts_books:
        log.raw("instrument", instrument)
        book.handle(log.records[-1])
    for at, kind, value in lines:
        log.now_ms += 200
        handle(at, log.raw(kind, value, extra=((("limit", b"1000"),) if kind == "snapshot" else ())))
    return Published(books, gaps)


def in_base(session: Session, truth: tuple[list[Any], list[Any]]) -> tuple[list[Any], list[Any]]:
    units = {
        ("okx", "perp"): Units("10", True), ("binance", "inverse"): Units("100", True),
        ("htx", "perp"): Units("0.001", False),
    }.get((session.exchange, session.market), Units("1", False))  # fmt: skip
    return tuple(  # type: ignore[return-value]
        [(price, Decimal(units.base(f"{quantity:f}", f"{price:f}"))) for price, quantity in side] for side in truth
    )


def levels_of(book: Book) -> tuple[list[Any], list[Any]]:
    return tuple([(Decimal(p), Decimal(q)) for p, q in side] for side in (book.bids, book.asks))  # type: ignore[return-value]


def judge(session: Session, recorded: Recorded, order: list[int]) -> Published:
    """Every good book is the naive one at its update id, and is not crossed."""
    published = publish(session, [(at, *recorded.lines[at]) for at in order])
    for _, book in published.books:
        if book.state != "ok":
            assert book.bids == book.asks == []
            continue
        assert levels_of(book) in recorded.truth[book.update_id], (book.update_id, order)
        if book.bids and book.asks:
            assert Decimal(book.bids[0][0]) < Decimal(book.asks[0][0])
    return published


def published_id(session: Session, line: bytes) -> str:
    venue = find_venue(session.exchange, session.market)
    if b"lastUpdateId" in line[:200]:
        return str(venue.protocol.snapshot_envelope(line).last_id)
    return str(venue.parse_book(line).envelope.last_id)


@pytest.mark.parametrize("session", SESSIONS, ids=lambda s: s.key)
def test_the_recorded_book_is_the_naive_one(session: Session) -> None:
    recorded = load(frames_dir() / session.file, session)
    published = judge(session, recorded, list(range(len(recorded.lines))))
    good = [book for _, book in published.books if book.state == "ok"]
    assert len(good) > 20
    assert published.gaps == []
    assert published.books[-1][1].state == "ok"


CHANGES = st.lists(st.tuples(st.sampled_from(["drop", "repeat", "swap"]), st.integers(0, FRAMES_MAX)), max_size=4)


@given(st.sampled_from(SESSIONS), CHANGES)
@settings(max_examples=120, deadline=None)
def test_a_spoiled_stream_never_shows_a_wrong_book(session: Session, changes: list[tuple[str, int]]) -> None:
    recorded = load(frames_dir() / session.file, session)
    order = list(range(len(recorded.lines)))
    for what, at in changes:
        at %= len(order)
        if what == "drop":
            del order[at]
        elif what == "repeat":
            order.insert(at + 1, order[at])
        elif at + 1 < len(order):
            order[at], order[at + 1] = order[at + 1], order[at]
    judge(session, recorded, order)


@given(st.sampled_from(SESSIONS), st.integers(5, FRAMES_MAX))
@settings(max_examples=60, deadline=None)
def test_a_dropped_frame_is_told(session: Session, dropped: int) -> None:
    recorded = load(frames_dir() / session.file, session)
    dropped %= len(recorded.lines) - 1
    if dropped < 5:
        dropped += 5
    order = [at for at in range(len(recorded.lines)) if at != dropped]
    published = judge(session, recorded, order)
    told = [gap for gap in published.gaps if gap.channel == "book"]
    if session.has_ids:
        assert told
        after = [book.state for at, book in published.books if at > dropped]
        assert after == ["resyncing"], "until a whole book comes"


@pytest.mark.parametrize(
    ("update_id", "time_ms"),
    [(2**63, 0), (2**64, 0), (10**40, 0), (-(10**40), 0), (12, 2**64), (12, 10**17), (12, -1), (12, -(10**40))],
)
def test_what_no_state_can_hold_is_refused_and_changes_nothing(update_id: int, time_ms: int) -> None:
    log, (book, _) = BookLog(), live_book()
    good = [log.connected(), log.frame(9, 10), log.snapshot(10, [("1", "1")], [("2", "1")])]
    for source in good:
        book.handle(source)
    before = book.dump()
    log.now_ms = time_ms or log.now_ms
    odd = log.frame(min(11, update_id), update_id, [("1", "7")])._replace(headers=good[1].headers)
    with pytest.raises(BadData):
        book.handle(odd)
    assert book.dump() == before


def test_a_heartbeat_of_another_age_is_refused() -> None:
    log, (book, _) = BookLog(), live_book()
    book.handle(log.connected())
    headers = log.heartbeat().headers
    for now_ms in (-1, 2**64, 10**40):
        log.now_ms = now_ms
        with pytest.raises(BadData):
            book.handle(log.heartbeat()._replace(headers=headers))
    book.dump()
