"""Sequence rules of Binance's futures, on tables and on recorded books."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from marketdata.book_feed import Apply, BookFeed, Outcome, Replace, Verdict
from marketdata.errors import UnparsableFrame
from tests.frames import frames_dir
from venues import find_venue
from venues.binance.book_sync import FuturesSequence
from venues.conformance import replay
from venues.contract import BookFrame, Data, SnapshotFrame, Venue

USD_MARGINED = find_venue("binance", "perp")
COIN_MARGINED = find_venue("binance", "inverse")

DROP, APPLY, GAP = Verdict.DROP, Verdict.APPLY, Verdict.GAP


@pytest.mark.parametrize(
    ("prev", "first", "last", "verdict"),
    [
        (100, 107, 130, APPLY),  # step 6, the normal case: ids jump, `pu` does not
        (100, 101, 101, APPLY),
        (90, 95, 100, DROP),  # the one the book ended with, again
        (80, 85, 90, DROP),
        (101, 103, 130, GAP),
        (99, 101, 130, GAP),  # U == u + 1, and yet its predecessor is another one
        (130, 131, 131, GAP),
        (None, 101, 130, GAP),  # without `pu` nothing proves anything
        (None, 90, 100, DROP),
    ],
)
def test_an_event_after_the_one_that_ended_with_100(prev: int | None, first: int, last: int, verdict: Verdict) -> None:
    assert FuturesSequence().check(100, first, last, prev) is verdict


@pytest.mark.parametrize(
    ("prev", "first", "last", "verdict"),
    [
        (80, 85, 99, DROP),  # step 4
        (80, 85, 100, APPLY),  # u == lastUpdateId is kept, other than on spot
        (80, 85, 130, APPLY),  # step 5
        (99, 100, 130, APPLY),
        (None, 85, 130, APPLY),
        (100, 107, 130, APPLY),  # beyond the letter: the snapshot ends where the event before did
        (95, 107, 130, APPLY),  # and here nothing of this symbol happened between the two
        (101, 107, 130, GAP),  # too old: 101 is in neither
        (None, 101, 130, GAP),
    ],
)
def test_an_event_after_a_snapshot_with_last_update_id_100(
    prev: int | None, first: int, last: int, verdict: Verdict
) -> None:
    assert FuturesSequence().bridge(100, first, last, prev) is verdict


def test_connections_are_never_chained() -> None:
    """A second connection's event with the right `pu` continues its own stream, and the book needs a new snapshot."""
    feed: BookFeed[str] = BookFeed(FuturesSequence())
    feed.connected("a")
    assert feed.update(5, 10, 3, 1, "first", "a") is Outcome.HELD
    feed.snapshot(8, "snapshot", "a")
    assert [type(step) for step in feed.steps] == [Replace, Apply]
    assert feed.update(17, 20, 10, 2, "second", "a") is Outcome.APPLY
    feed.disconnected("a")
    feed.connected("b")
    assert feed.update(25, 30, 20, 3, "third", "b") is not Outcome.APPLY
    assert feed.last_id is None
    assert feed.needs_snapshot


# --- frames ----------------------------------------------------------------------------------------

DEPTH = (  # recorded 2021-07-22
    b'{"stream":"akrousdt@depth@100ms","data":{"e":"depthUpdate","E":1626992741077,"T":1626992740974,"s":"AKROUSDT",'
    b'"U":600859599831,"u":600859599831,"pu":600859598737,"b":[],"a":[["0.01737","437848"]]}}'
)


@pytest.mark.parametrize("venue", [USD_MARGINED, COIN_MARGINED], ids=["perp", "inverse"])
def test_a_book_frame_with_and_without_its_levels(venue: Venue) -> None:
    for frame in (DEPTH, json.dumps(json.loads(DEPTH)["data"]).encode()):
        book = venue.parse_book(frame)
        assert book.envelope == (600859599831, 600859599831, 600859598737, 1626992741077000, False)
        assert (book.bids, book.asks) == ([], [("0.01737", "437848")])
        assert venue.protocol.book_envelope(frame) == book.envelope


def test_a_snapshot_has_its_time() -> None:
    body = b'{"lastUpdateId":9,"E":1589436922972,"T":1589436922959,"bids":[["4.0","431"]],"asks":[]}'
    frame = USD_MARGINED.parse_snapshot(body)
    assert frame.envelope == (9, 1589436922972000)
    assert USD_MARGINED.protocol.snapshot_envelope(body) == frame.envelope
    with pytest.raises(UnparsableFrame):
        USD_MARGINED.parse_snapshot(b'{"code":-1121,"msg":"Invalid symbol."}')


# --- recorded books --------------------------------------------------------------------------------

HFT = "usdm/seq_hft_btcusdt_20230404.jsonl"
FOUR = "usdm/seq_cf_20210722_4sym.jsonl"
COIN = "coinm/seq_hft_btcusd_perp_20240808.jsonl"


def binance(name: str) -> Path:
    return frames_dir() / "binance" / name


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (HFT, {"books_bridged": 1, "bbo_checked": 310, "trades_checked": 2196}),
        ("usdm/seq_hft_btcusdt_20240808.jsonl", {"books_bridged": 1, "bbo_checked": 31, "trades_checked": 581}),
        (FOUR, {"books_bridged": 4, "bbo_checked": 50, "trades_checked": 87, "kline_checked": 15}),
        (COIN, {"books_bridged": 1, "bbo_checked": 50, "trades_checked": 35}),
    ],
)
def test_recorded_books_are_bridged_and_agree_with_the_venues_quotes(name: str, expected: dict[str, int]) -> None:
    report = replay([USD_MARGINED, COIN_MARGINED], binance(name), lambda _: None)
    assert report.passed
    assert {key: getattr(report, key) for key in expected} == expected


def drop_depth(lines: list[bytes], at: int) -> None:
    del lines[at]


def repeat_depth(lines: list[bytes], at: int) -> None:
    lines.insert(at + 1, lines[at])


def alter_pu(lines: list[bytes], at: int) -> None:
    lines[at] = re.sub(rb'"pu":(\d+)', lambda m: b'"pu":%d' % (int(m[1]) - 1), lines[at])


def without_pu(lines: list[bytes], at: int) -> None:
    lines[at] = re.sub(rb'"pu":\d+,', b"", lines[at])


@pytest.mark.parametrize("spoil", [drop_depth, repeat_depth, alter_pu, without_pu])
@pytest.mark.parametrize("name", [FOUR, COIN])
def test_a_broken_chain_is_a_gap(spoil: Callable[[list[bytes], int], None], name: str, tmp_path: Path) -> None:
    lines = binance(name).read_bytes().splitlines()
    depth = [i for i, line in enumerate(lines) if b"@depth" in line]
    spoil(lines, depth[len(depth) // 2])
    path = tmp_path / "binance" / name
    path.parent.mkdir(parents=True)
    path.write_bytes(b"\n".join(lines) + b"\n")
    report = replay([USD_MARGINED, COIN_MARGINED], path, lambda _: None)
    assert report.gaps == 1


def test_partial_depth_never_reaches_a_book() -> None:
    """Its payload is told apart by nothing but the stream's name."""
    for market, venue in (("usdm", USD_MARGINED), ("coinm", COIN_MARGINED)):
        for frame in binance(f"{market}/book_partial.jsonl").read_bytes().splitlines():
            assert b'"e":"depthUpdate"' in frame
            found = venue.protocol.classify(frame)
            assert isinstance(found, Data)
            assert found.stream.channel == "partial_book"


def test_a_recorded_snapshot_joins_its_stream_once_and_for_all() -> None:
    """Events are dropped up to one that bridges, and from there on each names its predecessor."""
    symbol = "SUSHIUSDT"
    frames: list[BookFrame] = []
    snapshot: SnapshotFrame | None = None
    for line in binance(FOUR).read_bytes().splitlines():
        if line.startswith(b'{"_rest"') and symbol.encode() in line[:80]:
            reply = json.loads(line)
            snapshot = USD_MARGINED.parse_snapshot(json.dumps(reply["body"]).encode())
        elif line.startswith(b'{"stream":"sushiusdt@depth'):
            frames.append(USD_MARGINED.parse_book(line))
    assert snapshot is not None
    rules = FuturesSequence()
    verdicts = [rules.bridge(snapshot.envelope.last_id, *f.envelope[:3]) for f in frames]
    joined = verdicts.index(APPLY)
    assert set(verdicts[:joined]) == {DROP}
    for before, after in zip(frames[joined:], frames[joined + 1 :], strict=False):
        assert rules.check(before.envelope.last_id, *after.envelope[:3]) is APPLY
