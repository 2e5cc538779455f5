"""What the books application publishes, record by record, for made-up logs."""

from __future__ import annotations

import itertools
import json

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marketdata.codec import decode
from marketdata.control import SnapshotRequest
from marketdata.errors import BadData
from marketdata.types import Book, BookDelta, BookSnapshot, FeedStatus, Gap
from processors.book_core import EVER_US, LiveBook, rest_max_us
from processors.outputs import Output, SourceRecord
from runtime.config.processors import Books
from tests.processors.book_log import BookLog, Levels, live_book, of_topic, run
from venues import find_venue

BIDS: Levels = [("99.0", "1"), ("98.0", "2"), ("97.0", "3")]
ASKS: Levels = [("101.0", "1"), ("102.0", "2"), ("103.0", "3")]


def opened(log: BookLog) -> None:
    """Connected, first update, snapshot: the book stands at id 10."""
    log.connected()
    log.frame(9, 10, [("99.0", "1")])
    log.snapshot(10, BIDS, ASKS, limit=1000)


def books(outputs: list[Output]) -> list[Book]:
    return [r for r in of_topic(outputs, "md.book") if isinstance(r, Book)]


def brief(outputs: list[Output]) -> list[str]:
    """Topics in order, with the state of books and the flags of deltas."""
    words = []
    for output in outputs:
        record = decode(output.value) if not output.topic.startswith("control") else None
        note = ""
        if isinstance(record, (Book, BookSnapshot)):
            note = " " + record.state
        elif isinstance(record, BookDelta):
            note = "".join(" " + flag for flag in record.flags)
        words.append(output.topic + note)
    return words


def test_from_nothing_to_a_good_book() -> None:
    log, (book, _) = BookLog(), live_book()
    opened(log)
    log.frame(11, 12, [("99.0", "0"), ("98.5", "7")], [("101.0", "4")])
    assert [brief(book.handle(record)) for record in log.records] == [
        ["md.feed_status", "md.book resyncing", "md.book_snapshot resyncing"],
        ["md.book_delta unsynced buffered"],
        ["md.book ok", "md.book_snapshot ok"],
        ["md.book_delta", "md.book ok"],
    ]
    last = books(run(live_book()[0], log.records))[-1]
    assert last.bids == [("98.5", "7"), ("98.0", "2"), ("97.0", "3")]
    assert last.asks == [("101.0", "4"), ("102.0", "2"), ("103.0", "3")]
    assert (last.update_id, last.epoch, last.bid_known_to, last.ask_known_to) == ("12", 0, "0", "inf")
    assert last.event_time_us == log.now_ms * 1000
    assert last.verified_time_ns == last.recv_time_ns == f"{log.now_ms}000000"


def test_at_most_one_book_per_interval() -> None:
    log = BookLog()
    opened(log)
    start = log.now_ms
    for i in range(8):
        log.now_ms = start + 30 * (i + 1)
        log.frame(11 + i, 11 + i, [("98.5", str(i + 1))])
    log.now_ms = start + 339
    log.heartbeat()
    settings_ = Books(top_interval_ms=100, deep_interval_ms=1000)
    outputs = run(live_book(settings_)[0], log.records)
    good = [b for b in books(outputs) if b.state == "ok"]
    times = [int(b.recv_time_ns) // 1_000_000 - start for b in good]
    assert times == [0, 120, 240]
    assert good[-1].update_id == "18"
    deep = [r for r in of_topic(outputs, "md.book_snapshot") if isinstance(r, BookSnapshot) and r.state == "ok"]
    assert [d.update_id for d in deep] == ["10"]


def test_the_heartbeat_publishes_what_the_pace_held_back() -> None:
    log = BookLog()
    opened(log)
    log.now_ms += 10
    log.frame(11, 11, [("98.5", "1")])
    log.now_ms += 1500
    log.heartbeat()
    outputs = run(live_book(Books(top_interval_ms=1000, deep_interval_ms=1000))[0], log.records)
    assert [b.update_id for b in books(outputs) if b.state == "ok"] == ["10", "11"]
    assert [brief([o])[0] for o in outputs][-2:] == ["md.book ok", "md.book_snapshot ok"]


def test_a_gap_marks_the_book_once_and_a_snapshot_brings_it_back() -> None:
    log, (book, events) = BookLog(), live_book()
    opened(log)
    run(book, log.records)
    gap = book.handle(log.frame(15, 15, [("98.5", "1")]))
    assert brief(gap) == [
        "md.book_delta unsynced gap_before buffered",
        "md.gap",
        "md.book resyncing",
        "md.book_snapshot resyncing",
    ]
    (record,) = of_topic(gap, "md.gap")
    assert isinstance(record, Gap)
    assert (record.gap_id, record.missing_count, record.reason) == ("book:11-14", 4, "id_skip")
    marked = books(gap)[0]
    assert (marked.bids, marked.asks, marked.update_id) == ([], [], "10")
    assert marked.reason == "gap 11-14 (id_skip)"
    assert brief(book.handle(log.frame(16, 16))) == ["md.book_delta unsynced buffered"]
    assert brief(book.handle(log.heartbeat())) == []
    late = book.handle(log.frame(12, 13))
    assert brief(late) == ["md.book_delta unsynced late", "md.gap"]
    (filled,) = of_topic(late, "md.gap")
    assert isinstance(filled, Gap)
    assert (filled.gap_id, filled.filled_count) == ("book:11-14", 2)
    assert brief(book.handle(log.snapshot(15, BIDS, ASKS))) == ["md.book ok", "md.book_snapshot ok"]
    assert book.proof.update_id == "16"
    assert events.count("became_ok") == 2


def test_a_crossed_book_is_marked_and_a_snapshot_is_asked_for() -> None:
    log, (book, events) = BookLog(), live_book()
    opened(log)
    run(book, log.records)
    out = book.handle(log.frame(11, 11, [("101.0", "5")]))
    assert brief(out) == ["md.book_delta", "control.snapshot", "md.book crossed", "md.book_snapshot crossed"]
    request = msgspec.json.decode(out[1].value, type=SnapshotRequest)
    assert request == SnapshotRequest("crossed: bid 101.0 at or above ask 101.0", "11")
    assert brief(book.handle(log.frame(12, 12))) == ["md.book_delta unsynced buffered"]
    assert brief(book.handle(log.snapshot(11, BIDS, ASKS))) == ["md.book ok", "md.book_snapshot ok"]
    assert "crossed" in events


def test_levels_used_up_beyond_the_known_range_are_not_shown_as_a_book() -> None:
    log, (book, _) = BookLog(), live_book()
    log.connected()
    log.frame(9, 10)
    log.snapshot(10, BIDS, ASKS, limit=3)
    log.frame(11, 11, [("99.0", "0"), ("98.0", "0"), ("97.0", "0"), ("90.0", "1")])
    out = run(book, log.records)
    assert brief(out)[-3:] == ["control.snapshot", "md.book resyncing", "md.book_snapshot resyncing"]


def test_disconnected_is_stale_and_the_next_update_may_continue_the_book() -> None:
    log, (book, _) = BookLog(), live_book()
    opened(log)
    run(book, log.records)
    assert brief(book.handle(log.disconnected())) == ["md.feed_status", "md.book stale", "md.book_snapshot stale"]
    assert brief(book.handle(log.connected("pod-1-2"))) == ["md.feed_status"]
    assert brief(book.handle(log.frame(11, 11, conn="pod-1-2"))) == [
        "md.book_delta",
        "md.book ok",
        "md.book_snapshot ok",
    ]


def test_silence_by_the_venues_clock_is_stale_until_the_next_update() -> None:
    log, (book, _) = BookLog(), live_book(Books(top_interval_ms=0, stale_after_ms={"binance.spot": 10_000}))
    opened(log)
    run(book, log.records)
    log.now_ms += 10_000
    assert brief(book.handle(log.heartbeat())) == []
    log.now_ms += 1
    assert brief(book.handle(log.heartbeat())) == ["md.book stale", "md.book_snapshot stale"]
    assert brief(book.handle(log.heartbeat())) == []
    out = book.handle(log.frame(11, 11))
    assert [r.state for r in books(out)] == ["ok"]


@pytest.mark.parametrize(
    ("market", "configured_ms", "limit_s"),
    [
        ("binance.spot", {}, 120),
        ("okx.perp", {}, 90),  # the venue says that nothing changed after about 60 s
        ("htx.perp", {}, 300),
        ("kraken.spot", {}, 900),
        ("deribit.perp", {}, 600),
        ("deribit.option", {}, EVER_US // 1_000_000),
        ("deribit.option", {"default": 5_000}, 5),
        ("deribit.option", {"default": 5_000, "deribit": 7_000}, 7),
        ("deribit.option", {"default": 5_000, "deribit": 7_000, "deribit.option": 9_000}, 9),
        ("deribit.option", {"deribit.perp": 9_000, "okx": 9_000}, EVER_US // 1_000_000),
    ],
)
def test_how_long_a_book_may_rest_is_its_venues_to_say(
    market: str, configured_ms: dict[str, int], limit_s: int
) -> None:
    venue = find_venue(*market.split("."))
    assert rest_max_us(Books(stale_after_ms=configured_ms), venue) // 1_000_000 == limit_s


def deribit_book(log: BookLog, changed_ms: int, change_id: int, conn: str = "") -> SourceRecord:
    data = {
        "type": "snapshot", "timestamp": changed_ms, "instrument_name": log.symbol, "change_id": change_id,
        "bids": [["new", 0.0500, 3.0]], "asks": [["new", 0.0550, 2.0]],
    }  # fmt: skip
    params = {"channel": f"book.{log.symbol}.100ms", "data": data}
    return log.raw("frame", json.dumps({"jsonrpc": "2.0", "method": "subscription", "params": params}).encode(), conn)


def test_an_options_book_that_rests_for_a_day_is_right_until_its_connection_ends() -> None:
    key = "deribit.option.BTC-29DEC26-100000-C"
    log, (book, _) = BookLog(key), live_book(key=key)
    log.connected()
    run(book, [log.records[0], deribit_book(log, log.now_ms, 10)])
    for _ in range(24):
        log.now_ms += 3_600_000
        assert brief(book.handle(log.heartbeat())) == []
    assert brief(book.handle(log.disconnected())) == ["md.feed_status", "md.book stale", "md.book_snapshot stale"]


@pytest.mark.parametrize("later_ms", [0, 601_000])
def test_a_whole_book_is_right_when_it_comes_however_old_its_last_change(later_ms: int) -> None:
    key = "deribit.spot.BTC_USDC"
    log, (book, _) = BookLog(key), live_book(Books(top_interval_ms=0, stale_after_ms={"deribit": 600_000}), key=key)
    log.connected()
    changed_ms = log.now_ms
    run(book, [log.records[0], deribit_book(log, changed_ms, 10)])
    log.now_ms += 601_000
    assert [b.state for b in books(book.handle(log.heartbeat()))] == ["stale"]
    book.handle(log.connected("pod-1-2", overlaps=True))
    assert [b.state for b in books(book.handle(deribit_book(log, changed_ms, 10, "pod-1-2")))] == ["ok"]
    log.now_ms += later_ms
    assert [b.state for b in books(book.handle(log.heartbeat()))] == (["stale"] if later_ms else [])


def test_a_new_sequence_raises_the_epoch_and_ids_only_grow_with_it() -> None:
    log, (book, _) = BookLog(), live_book()
    opened(log)
    log.disconnected()
    log.now_ms += 5_000
    log.connected("pod-1-2")
    log.frame(3, 4, conn="pod-1-2")
    log.snapshot(4, BIDS, ASKS)
    log.frame(5, 5, conn="pod-1-2")
    outputs = run(book, log.records)
    (gap,) = of_topic(outputs, "md.gap")
    assert isinstance(gap, Gap)
    assert (gap.reason, gap.gap_id, gap.epoch) == ("sequence_reset", "book:1:reset", 1)
    marks = [(b.epoch, int(b.update_id or 0)) for b in books(outputs)]
    assert marks == sorted(marks)
    assert marks[-1] == (1, 5)


def test_waiting_for_a_snapshot_asks_for_one_ever_more_rarely() -> None:
    log, (book, _) = BookLog(), live_book(Books(snapshot_wait_ms=5_000, snapshot_wait_ms_max=20_000))
    log.connected()
    log.frame(9, 10)
    start = log.now_ms
    for _ in range(80):
        log.now_ms += 1000
        log.heartbeat()
    asked = [
        record.timestamp_ms - start
        for record in log.records
        for output in book.handle(record)
        if output.topic == "control.snapshot"
    ]
    assert [b - a for a, b in itertools.pairwise([1000, *asked])] == [5_000, 10_000, 20_000, 20_000, 20_000]


def test_a_re_anchored_book_goes_on_without_a_mark_and_knows_more() -> None:
    log, (book, events) = BookLog(), live_book()
    log.connected()
    log.frame(9, 10)
    log.snapshot(10, BIDS, ASKS, limit=3)
    log.frame(11, 12, [("98.5", "5")])
    run(book, log.records)
    assert book.levels.book.bids.edge_price == "97.0"
    out = book.handle(log.snapshot(11, [*BIDS, ("50.0", "9")], ASKS, limit=4))
    assert [r.state for r in books(out)] == ["ok"]
    assert books(out)[0].bids[:2] == [("99.0", "1"), ("98.5", "5")]
    assert (books(out)[0].update_id, books(out)[0].bid_known_to) == ("12", "50.0")
    assert events.count("anchored") == 2


def test_a_rotation_with_overlap_goes_on_without_a_mark() -> None:
    log, (book, _) = BookLog(), live_book()
    opened(log)
    log.connected("pod-1-2", overlaps=True)
    log.frame(12, 12, [("98.5", "2")], conn="pod-1-2")  # faster than the old one
    log.frame(11, 11, [("98.5", "1")])
    log.frame(12, 13, [("98.4", "2")])
    log.frame(13, 14, [("98.3", "2")], conn="pod-1-2")
    log.disconnected()
    log.frame(15, 15, [("98.2", "2")], conn="pod-1-2")
    outputs = run(book, log.records)
    assert [b.state for b in books(outputs)].count("resyncing") == 1
    assert of_topic(outputs, "md.gap") == []
    assert dict(books(outputs)[-1].bids)["98.5"] == "2"
    deltas = [d for d in of_topic(outputs, "md.book_delta") if isinstance(d, BookDelta)]
    assert [d.last_update_id for d in deltas] == ["10", "11", "12", "13", "14", "15"]
    statuses = [s for s in of_topic(outputs, "md.feed_status") if isinstance(s, FeedStatus)]
    assert [s.state for s in statuses] == ["connected", "connected", "disconnected"]


BAD_RECORDS = {
    "not JSON": ("frame", b"{"),
    "ids the wrong way round": ("frame", b'{"e":"depthUpdate","E":1,"s":"X","U":12,"u":11,"b":[],"a":[]}'),
    "a price of zero": ("frame", b'{"e":"depthUpdate","E":1,"s":"X","U":11,"u":11,"b":[["0.0","1"]],"a":[]}'),
    "not a number": ("frame", b'{"e":"depthUpdate","E":1,"s":"X","U":11,"u":11,"b":[["1.2.3","1"]],"a":[]}'),
    "an error for a snapshot": ("snapshot", b'{"code":-1121,"msg":"Invalid symbol."}'),
    "a broken heartbeat": ("heartbeat", b'{"venue_time_us":"soon"}'),
    "a broken connected": ("connected", b"[]"),
    "a kind nobody knows": ("surprise", b""),
}


@pytest.mark.parametrize("name", BAD_RECORDS)
def test_a_bad_record_is_refused_and_changes_nothing(name: str) -> None:
    kind, value = BAD_RECORDS[name]
    log, (book, _) = BookLog(), live_book()
    opened(log)
    run(book, log.records)
    before = book.dump()
    with pytest.raises(BadData):
        book.handle(log.raw(kind, value))
    assert book.dump() == before
    assert books(book.handle(log.frame(11, 11)))[0].state == "ok"


def test_deltas_can_be_switched_off() -> None:
    log, (book, _) = BookLog(), live_book(Books(deltas=False))
    opened(log)
    log.frame(11, 11)
    assert of_topic(run(book, log.records), "md.book_delta") == []


def test_the_instruments_name_goes_into_every_record() -> None:
    log, (book, _) = BookLog(), live_book()
    log.raw(
        "instrument",
        b'{"symbol":"BTCUSDT","status":"TRADING","baseAsset":"BTC","quoteAsset":"USDT",'
        b'"filters":[{"filterType":"PRICE_FILTER","tickSize":"0.01"}]}',
    )
    opened(log)
    for topic in ("md.book", "md.book_snapshot", "md.book_delta", "md.feed_status"):
        for record in of_topic(run(live_book()[0], log.records), topic):
            assert getattr(record, "instrument") == "BTC-USDT"  # noqa: B009 (the record types have no common field)
    run(book, log.records)
    restored = live_book()[0]
    restored.load(book.dump())
    assert decode(restored.view(1)) == decode(book.view(1))


# --- any log ---------------------------------------------------------------------------------------

PRICES = [f"{90 + i}.0" for i in range(21)]
EVENTS = st.lists(
    st.one_of(
        st.tuples(st.just("frame"), st.integers(0, 20), st.integers(0, 3), st.integers(0, 3)),
        st.tuples(st.just("frame"), st.integers(0, 20), st.integers(0, 3), st.integers(0, 1)),
        st.tuples(st.just("frame"), st.integers(0, 20), st.integers(0, 3), st.just(0)),
        st.tuples(st.just("heartbeat"), st.integers(0, 12_000), st.just(0), st.just(0)),
        st.tuples(st.just("snapshot"), st.integers(-2, 3), st.just(0), st.just(0)),
        st.tuples(st.just("reconnect"), st.booleans(), st.just(0), st.just(0)),
        st.tuples(st.just("bad"), st.just(0), st.just(0), st.just(0)),
    ),
    max_size=40,
)


def any_log(events: list[tuple[str, int, int, int]]) -> BookLog:
    log = BookLog()
    opened(log)
    newest, conns = 10, 1
    for what, a, b, skip in events:
        log.now_ms += 37
        if what == "frame":
            first = newest + 1 + (skip if skip > 1 else 0)
            newest = first + b
            side = [(PRICES[a], str(b))]
            log.frame(first, newest, *((side, []) if a < 10 else ([], side)))
        elif what == "heartbeat":
            log.now_ms += a
            log.heartbeat()
        elif what == "snapshot":
            log.snapshot(newest - a, BIDS, ASKS, limit=3 if a else 1000)
        elif what == "reconnect":
            if a:
                log.disconnected()
            conns += 1
            log.conn = f"pod-1-{conns}"
            log.connected()
        else:
            log.raw("frame", b"?")
    return log


def outputs_of(book: LiveBook, records: list[SourceRecord]) -> list[Output]:
    out: list[Output] = []
    for record in records:
        try:
            out += book.handle(record)
        except BadData as exc:
            out.append(Output("md.dead_letter", str(exc).encode(), record.key))
    return out


@given(EVENTS, st.integers(0, 40))
@settings(max_examples=80, deadline=None)
def test_replay_and_restore_give_the_same_bytes(events: list[tuple[str, int, int, int]], cut: int) -> None:
    records = any_log(events).records
    once = outputs_of(live_book()[0], records)
    assert outputs_of(live_book()[0], records) == once
    first, second = live_book()[0], live_book()[0]
    before = outputs_of(first, records[:cut])
    second.load(first.dump())
    assert before + outputs_of(second, records[cut:]) == once


@given(EVENTS)
@settings(max_examples=80, deadline=None)
def test_only_good_books_show_levels_and_marks_come_alone(events: list[tuple[str, int, int, int]]) -> None:
    published = books(outputs_of(live_book()[0], any_log(events).records))
    marks = [(b.epoch, int(b.update_id or 0)) for b in published]
    assert marks == sorted(marks)
    for before, after in itertools.pairwise(published):
        assert before.state == "ok" or after.state == "ok"
    for book in published:
        if book.state == "ok":
            best_bid = max((float(p) for p, _ in book.bids), default=0.0)
            assert best_bid < min((float(p) for p, _ in book.asks), default=1e9)
            assert book.reason == ""
        else:
            assert (book.bids, book.asks) == ([], [])
            assert book.reason
