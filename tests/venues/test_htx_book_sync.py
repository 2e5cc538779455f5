"""HTX's sequence rules for both kinds of book, and the decoding of their frames."""

from __future__ import annotations

import json

import pytest

from marketdata.book import LevelBook
from marketdata.book_feed import Apply, BookFeed, Hole, Outcome, Replace, SnapshotVerdict, Verdict
from marketdata.errors import UnparsableFrame
from tests.frames import frames_dir
from venues.contract import BookEnvelope, BookFrame
from venues.htx.book_frames import (
    depth_envelope,
    mbp_envelope,
    parse_depth,
    parse_mbp,
    parse_snapshot,
    snapshot_envelope,
)
from venues.htx.book_sync import DepthSequence, MbpSequence

DROP, APPLY, GAP = Verdict.DROP, Verdict.APPLY, Verdict.GAP


@pytest.mark.parametrize(
    ("last", "prev", "verdict"),
    [
        (99, 90, DROP),  # steps 3 and 5: at or below the book's id
        (100, 90, DROP),
        (101, 100, APPLY),  # step 4
        (146, 100, APPLY),  # ids are not consecutive: only the predecessor counts
        (146, 101, GAP),  # step 5, and of a reply: too old
        (146, 99, GAP),  # the difference of two images, one on each side of the book: not whole
        (146, None, GAP),
    ],
)
def test_a_spot_update_after_100(last: int, prev: int | None, verdict: Verdict) -> None:
    assert MbpSequence().check(100, last, last, prev) is verdict
    assert MbpSequence().bridge(100, last, last, prev) is verdict


@pytest.mark.parametrize(("version", "verdict"), [(98, DROP), (100, DROP), (101, APPLY), (102, GAP), (1_000_000, GAP)])
def test_a_contract_update_after_100(version: int, verdict: Verdict) -> None:
    assert DepthSequence().check(100, version, version, version - 1) is verdict
    assert DepthSequence().bridge(100, version, version, version - 1) is verdict


def test_chains_end_with_their_connection() -> None:
    assert not MbpSequence().chains_across_connections
    assert not DepthSequence().chains_across_connections
    assert DepthSequence().consecutive_ids
    assert not MbpSequence().consecutive_ids


def recorded(file: str) -> list[bytes]:
    return (frames_dir() / "htx" / file).read_bytes().splitlines()


def test_a_recorded_reply_joins_the_recorded_updates() -> None:
    """2020-07-01: 130 lies before the reply (160), 204 bridges, 226 and 253 chain; 253 again is a repeat."""
    deltas = {
        mbp_envelope(line).last_id % 1000: line for line in recorded("spot/book_delta.jsonl") if b"mbp.150" in line
    }
    reply = parse_mbp(recorded("spot/book_delta_rep.jsonl")[0])
    feed: BookFeed[BookFrame] = BookFeed(MbpSequence())
    feed.connected("c")
    levels = LevelBook()

    def update(name: int) -> Outcome:
        frame = parse_mbp(deltas[name])
        e = frame.envelope
        outcome = feed.update(e.first_id, e.last_id, e.prev_id, e.event_time_us, frame, "c")
        if outcome is Outcome.APPLY:
            levels.apply(frame.bids, frame.asks)
        return outcome

    assert update(130) is Outcome.HELD
    assert feed.needs_snapshot
    assert update(204) is Outcome.GAP  # the one that ended with 160 is not among the recorded ones
    assert feed.snapshot(reply.envelope.last_id, reply, "c") is SnapshotVerdict.ANCHORED
    for step in feed.steps:
        if isinstance(step, Replace):
            levels.replace(step.payload.bids, step.payload.asks, 0)
        elif isinstance(step, Apply):
            levels.apply(step.update.payload.bids, step.update.payload.asks)
    assert feed.last_id == 109409288204
    assert update(226) is Outcome.APPLY
    assert update(253) is Outcome.APPLY
    assert update(253) is Outcome.DUPLICATE
    assert levels.bids.levels(3) == [("9137.67", "4.683547"), ("9137.35", "0.0089"), ("9137.17", "0.00606")]
    assert levels.asks.levels(7) == [
        ("9137.68", "0.190075"),
        ("9137.75", "0.01"),
        ("9138.23", "0.010945"),
        ("9138.27", "0.131941"),
        ("9138.47", "0.003"),  # then 9138.6 and 9138.61, removed by 204
        ("9138.62", "0.0074"),
        ("9138.67", "0.036178"),  # set by 204, 226 and 253
    ]


def test_a_lost_spot_update_is_a_hole_until_the_next_reply() -> None:
    feed: BookFeed[str] = BookFeed(MbpSequence())
    feed.connected("c")
    feed.update(100, 100, 90, 1, "a", "c")
    assert feed.snapshot(100, "reply", "c") is SnapshotVerdict.ANCHORED
    assert feed.update(110, 110, 100, 2, "b", "c") is not Outcome.GAP
    assert feed.update(130, 130, 120, 3, "d", "c") is Outcome.GAP
    holes = [step for step in feed.steps if isinstance(step, Hole)]
    assert [h.missing_count for h in holes] == [0]  # not countable
    assert feed.needs_snapshot
    assert feed.snapshot(115, "too old", "c") is SnapshotVerdict.TOO_OLD  # 120 lies between
    assert feed.snapshot(120, "reply", "c") is SnapshotVerdict.ANCHORED
    assert feed.last_id == 130


def test_a_contract_book_begins_with_its_snapshot_and_counts_what_is_lost() -> None:
    feed: BookFeed[str] = BookFeed(DepthSequence())
    feed.connected("c")
    assert feed.stream_snapshot(500, 1, "whole", "c") is SnapshotVerdict.ANCHORED
    assert feed.update(501, 501, 500, 2, "b", "c") is Outcome.APPLY
    assert feed.update(501, 501, 500, 2, "b", "c") is Outcome.DUPLICATE
    assert feed.update(505, 505, 504, 3, "f", "c") is Outcome.GAP
    hole = next(step for step in feed.steps if isinstance(step, Hole))
    assert (hole.first_missing, hole.last_missing, hole.missing_count) == (502, 504, 3)
    assert feed.stream_snapshot(506, 4, "whole", "c") is SnapshotVerdict.ANCHORED
    assert feed.update(507, 507, 506, 5, "g", "c") is Outcome.APPLY


# --- frames ----------------------------------------------------------------------------------------


def mbp(**tick: object) -> bytes:
    return json.dumps({"ch": "market.btcusdt.mbp.150", "ts": 1700, "tick": tick}).encode()


def test_an_empty_spot_update_moves_the_sequence() -> None:
    frame = parse_mbp(mbp(seqNum=12, prevSeqNum=9, bids=[], asks=[]))
    assert frame == (BookEnvelope(12, 12, 9, 1_700_000), [], [], None)


@pytest.mark.parametrize("sides", [{"asks": [[1.5, 2]]}, {"asks": [[1.5, 2]], "bids": None}])
def test_a_side_that_is_absent_or_null_has_no_changes(sides: dict[str, object]) -> None:
    frame = parse_mbp(mbp(seqNum=12, prevSeqNum=9, **sides))
    assert frame.bids == []
    assert frame.asks == [("1.5", "2")]


def test_levels_keep_their_digits_and_lose_their_exponents() -> None:
    frame = parse_mbp(
        b'{"ch":"market.x.mbp.150","ts":1,"tick":{"seqNum":2,"prevSeqNum":1,'
        b'"bids":[[9.121E-7,26.75597395914065],[1.0E-10,2.2E8]],"asks":[[645.140,0.0]]}}'
    )
    assert frame.bids == [("0.0000009121", "26.75597395914065"), ("0.00000000010", "220000000")]
    assert frame.asks == [("645.140", "0.0")]


@pytest.mark.parametrize(
    "frame",
    [
        mbp(seqNum=12, bids=[]),  # no predecessor
        mbp(seqNum=12, prevSeqNum=9, bids=[["x", 1]]),
        mbp(seqNum=12, prevSeqNum=9, bids=[[1]]),
        b'{"ch":"market.btcusdt.bbo","ts":1,"tick":{"seqNum":1,"prevSeqNum":0}}',
        b'{"ch":"market.btcusdt.mbp.150","ts":1}',
        b"\xff",
        b"{}",
    ],
)
def test_what_is_no_spot_book_frame(frame: bytes) -> None:
    with pytest.raises(UnparsableFrame):
        parse_mbp(frame)


def depth(name: str = "market.BTC-USDT.depth.size_150.high_freq", **tick: object) -> bytes:
    body = {"ch": "market.BTC-USDT.depth.size_150.high_freq", "event": "update", "version": 8, "ts": 1600} | tick
    return json.dumps({"ch": name, "tick": body, "ts": 1700}).encode()


def test_a_contract_frame_tells_the_time_of_its_check() -> None:
    frame = parse_depth(depth(asks=[[1.5, 0]]))
    assert frame == (BookEnvelope(8, 8, 7, 1_600_000), [], [("1.5", "0")], None)
    assert parse_depth(depth(event="snapshot")).envelope == BookEnvelope(8, 8, None, 1_600_000, True)


@pytest.mark.parametrize(
    "frame",
    [
        depth(name="market.ETH-USDT.depth.size_150.high_freq"),  # the payload names another contract
        depth(event="reset"),
        depth(version="x"),
        b"{}",
        b"\xff",
    ],
)
def test_what_is_no_contract_book_frame(frame: bytes) -> None:
    with pytest.raises(UnparsableFrame):
        parse_depth(frame)


@pytest.mark.parametrize(
    ("file", "ids"),
    [
        (
            "futures/book_delta_hf.jsonl",
            [(1223482159, True), (865562932, True), (25630954, True), (5, True), (8, False)],
        ),
        ("inverse_swap/book_delta_hf.jsonl", [(1300632701, True), (164176090, False)]),
        ("linear_swap/book_delta_hf.jsonl", [(709648689, True), (27290512, False)]),
    ],
)
def test_recorded_contract_books(file: str, ids: list[tuple[int, bool]]) -> None:
    envelopes = [depth_envelope(line) for line in recorded(file)]
    assert [(e.last_id, e.is_snapshot) for e in envelopes] == ids
    assert [parse_depth(line).envelope for line in recorded(file)] == envelopes


def test_rest_books() -> None:
    body = json.dumps(json.loads(recorded("spot/rest_book.jsonl")[0])["body"]).encode()
    snapshot = parse_snapshot(body)
    assert snapshot.envelope == snapshot_envelope(body) == (155671698426, 1654253116701_000)
    assert snapshot.bids[0] == ("29805.62", "0.309487")
    assert snapshot.limit == 150
    with pytest.raises(UnparsableFrame):
        parse_snapshot(b'{"status":"ok"}')
