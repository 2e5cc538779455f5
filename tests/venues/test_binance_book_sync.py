"""Binance spot's sequence rules, and the decoding of its book frames."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from marketdata.book_feed import Verdict
from marketdata.errors import UnparsableFrame
from venues.binance.book_frames import parse_book, parse_snapshot
from venues.binance.book_sync import SpotSequence
from venues.binance.protocol import BinanceSpotProtocol

DROP, APPLY, GAP = Verdict.DROP, Verdict.APPLY, Verdict.GAP


@pytest.mark.parametrize(
    ("first", "last", "verdict"),
    [
        (90, 99, DROP),  # step 7a: u below the book's id
        (90, 100, DROP),  # u equal: already included
        (100, 100, DROP),
        (101, 101, APPLY),  # the normal case, U == previous u + 1
        (101, 150, APPLY),
        (100, 101, APPLY),  # overlaps: levels are absolute, so applying it is right
        (50, 101, APPLY),
        (102, 102, GAP),  # step 7b
        (103, 200, GAP),
    ],
)
def test_an_event_after_the_one_that_ended_with_100(first: int, last: int, verdict: Verdict) -> None:
    assert SpotSequence().check(100, first, last, None) is verdict


@pytest.mark.parametrize(
    ("first", "last", "verdict"),
    [
        (80, 99, DROP),  # step 5
        (80, 100, DROP),
        (80, 101, APPLY),
        (100, 105, APPLY),
        (101, 105, APPLY),  # the letter of the steps refuses it, yet nothing is missing
        (102, 105, GAP),  # step 4: the snapshot is too old
    ],
)
def test_an_event_after_a_snapshot_with_last_update_id_100(first: int, last: int, verdict: Verdict) -> None:
    assert SpotSequence().bridge(100, first, last, None) is verdict


DATA = {"e": "depthUpdate", "E": 1700, "s": "BTCUSDT", "U": 5, "u": 7, "b": [["1.50", "2"]], "a": [["1.60", "0"]]}


def combined(**changes: object) -> bytes:
    """`...` leaves a field out."""
    data = {name: value for name, value in (DATA | changes).items() if value is not ...}
    return json.dumps({"stream": "btcusdt@depth@100ms", "data": data}, separators=(",", ":")).encode()


def test_parse_book() -> None:
    for frame in (combined(), json.dumps(DATA).encode(), combined(X="new field")):
        envelope, bids, asks, checksum = parse_book(frame)
        assert envelope == (5, 7, None, 1_700_000, False)
        assert (bids, asks, checksum) == ([("1.50", "2")], [("1.60", "0")], None)


@pytest.mark.parametrize("missing", [None, ..., []])
def test_a_missing_side_is_an_empty_one(missing: object) -> None:
    """To the book as to ingest, which looks at the ids alone."""
    for changes, sides in (
        ({"b": missing}, ([], [("1.60", "0")])),
        ({"a": missing}, ([("1.50", "2")], [])),
        ({"b": missing, "a": []}, ([], [])),
        ({"b": None, "a": missing}, ([], [])),
    ):
        frame = combined(**changes)
        for text in (frame, json.dumps(json.loads(frame)["data"]).encode()):
            book = parse_book(text)
            assert (book.bids, book.asks) == sides
            assert book.envelope == BinanceSpotProtocol().book_envelope(text)


@pytest.mark.parametrize("missing", [b'"bids":null,', b'"bids":[],', b""])
def test_a_missing_side_of_a_snapshot_is_an_empty_one(missing: bytes) -> None:
    frame = parse_snapshot(b'{"lastUpdateId":9,%s"asks":[["1.0","2"]]}' % missing)
    assert (frame.bids, frame.asks) == ([], [("1.0", "2")])


@given(
    st.decimals(0, 10**12, places=10, allow_nan=False),
    st.sampled_from(["e", "E"]),
    st.lists(st.booleans(), min_size=1, max_size=4),
)
def test_exponents_in_levels_are_written_out(number: Decimal, letter: str, exponents: list[bool]) -> None:
    """Whatever came before, and again when the same frame comes again."""
    for exponent in exponents:
        text = f"{number:e}".replace("e", letter) if exponent else f"{number:f}"
        level = [["1.5", "2"], [text, text]]
        frame = parse_book(combined(b=level, X="E"))
        snapshot = parse_snapshot(json.dumps({"lastUpdateId": 9, "bids": [], "asks": level}).encode())
        assert frame.bids == snapshot.asks
        assert frame.bids[0] == ("1.5", "2")
        for found in frame.bids[1]:
            assert Decimal(found) == number
            assert "e" not in found.lower()


BAD_NUMBERS = ["-1", "-1e5", "1e", "e5", "1e99999", "1_0", "1_0e1", " 1", "+1", "+1e1", "nan", "inf", "٣", "٣e1"]


@pytest.mark.parametrize("bad", BAD_NUMBERS)
@pytest.mark.parametrize("place", [0, 1])
def test_parse_book_refuses_what_is_not_a_plain_decimal(bad: str, place: int) -> None:
    """Also when a good frame of the same stream came before."""
    level = ["1.50", "2"]
    level[place] = bad
    parse_book(combined())
    with pytest.raises(UnparsableFrame):
        parse_book(combined(b=[["1", "1"], level]))


@pytest.mark.parametrize("bad", [*BAD_NUMBERS, "1.2.3", "1.", ".5", ""])
@pytest.mark.parametrize("place", [0, 1])
def test_parse_snapshot_refuses_what_is_not_a_plain_decimal(bad: str, place: int) -> None:
    level = ["1.50", "2"]
    level[place] = bad
    with pytest.raises(UnparsableFrame):
        parse_snapshot(json.dumps({"lastUpdateId": 9, "bids": [["1", "1"], level], "asks": []}).encode())


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"{",
        b"[]",
        b"\xff\xfe",
        b'{"stream":"btcusdt@depth"}',
        combined(U=8),
        combined(b=..., a=...),
        combined(b=5),
        combined(b=[["1"]]),
        combined(b=[[1.5, 2]]),
        combined(u="7"),
    ],
)
def test_parse_book_refuses_other_shapes(frame: bytes) -> None:
    with pytest.raises(UnparsableFrame):
        parse_book(frame)


def test_parse_snapshot() -> None:
    frame = parse_snapshot(b'{"lastUpdateId":9,"bids":[["1.0","2"]],"asks":[]}')
    assert (frame.envelope.last_id, frame.bids, frame.asks, frame.limit) == (9, [("1.0", "2")], [], 0)
    with pytest.raises(UnparsableFrame):
        parse_snapshot(b'{"code":-1121,"msg":"Invalid symbol."}')
