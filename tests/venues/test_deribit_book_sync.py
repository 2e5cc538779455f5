"""Deribit's sequence rules, the decoding of its books, and recorded books against the venue's own best quotes."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from marketdata.book import LevelBook
from marketdata.book_feed import BookFeed, Outcome, Verdict
from marketdata.book_overlap import new_feed
from marketdata.book_steps import SnapshotVerdict
from marketdata.errors import UnparsableFrame
from marketdata.types import Ticker
from tests.frames import frames_dir
from venues import find_venue
from venues.contract import Context, Data
from venues.deribit.book_frames import book_envelope, parse_book, parse_snapshot
from venues.deribit.book_sync import ChangeIdSequence

DROP, APPLY, GAP = Verdict.DROP, Verdict.APPLY, Verdict.GAP


@pytest.mark.parametrize(
    ("change_id", "prev", "verdict"),
    [
        (101, 100, APPLY),
        (970, 100, APPLY),  # ids jump: many books share the counter
        (970, 101, GAP),  # a link is missing
        (970, None, GAP),  # no predecessor named: nothing proves that it continues
        (970, 969, GAP),
        (100, 90, DROP),  # the one held, again
        (99, 90, DROP),
        (99, None, DROP),
        (99, 100, GAP),  # continues, and yet counts back: no rule covers it
        (100, 100, GAP),
    ],
)
def test_a_change_after_100(change_id: int, prev: int | None, verdict: Verdict) -> None:
    rules = ChangeIdSequence()
    assert rules.check(100, change_id, change_id, prev) is verdict
    assert rules.bridge(100, change_id, change_id, prev) is verdict, "the same after a snapshot"


def test_a_feed_follows_snapshot_changes_and_a_second_snapshot() -> None:
    feed: BookFeed[bytes] = new_feed(ChangeIdSequence())
    feed.connected("a")
    assert feed.update(5, 5, 4, 1, b"early", "a") is Outcome.HELD
    assert feed.stream_snapshot(10, 2, b"all", "a") is SnapshotVerdict.ANCHORED
    assert feed.update(17, 17, 10, 3, b"x", "a") is Outcome.APPLY
    assert feed.update(30, 30, 22, 4, b"y", "a") is Outcome.GAP
    assert (feed.state, feed.last_id) == ("resyncing", None)
    assert feed.stream_snapshot(40, 5, b"all", "a") is SnapshotVerdict.ANCHORED
    assert feed.update(44, 44, 40, 6, b"z", "a") is Outcome.APPLY


DATA = {
    "type": "change", "timestamp": 1789344931639, "change_id": 12, "prev_change_id": 10,
    "instrument_name": "BTC-PERPETUAL", "bids": [["change", 76914.0, 1.0002e6], ["delete", 76893.5, 0.0]],
    "asks": [["new", 77023.0, 10]],
}  # fmt: skip


def frame(channel: str = "book.BTC-PERPETUAL.100ms", **changes: Any) -> bytes:
    data = {k: v for k, v in (DATA | changes).items() if v is not ...}
    return json.dumps(
        {"jsonrpc": "2.0", "method": "subscription", "params": {"channel": channel, "data": data}}
    ).encode()


def test_parse_book() -> None:
    envelope, bids, asks, checksum = parse_book(frame(new_field=[1]))
    assert envelope == (12, 12, 10, 1789344931639_000, False)
    assert (bids, asks) == ([("76914.0", "1000200.0"), ("76893.5", "0")], [("77023.0", "10")])
    assert checksum is None


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["new", "change", "delete"]),
            st.decimals("1e-6", "1e9", allow_nan=False, places=6),
            st.decimals("1e-6", "1e9", allow_nan=False, places=4),
            st.sampled_from("efE"),
        )
    )
)
def test_levels_keep_their_value_in_any_notation(rows: list[tuple[str, Decimal, Decimal, str]]) -> None:
    spelled = ",".join(f'["{action}",{price:{form}},{amount:{form}}]' for action, price, amount, form in rows)
    found = parse_book(frame(bids="X").replace(b'"X"', f"[{spelled}]".encode())).bids
    wanted = [(price, Decimal(0) if action == "delete" else amount) for action, price, amount, _ in rows]
    assert [(Decimal(price), Decimal(amount)) for price, amount in found] == wanted
    assert not any("e" in number.lower() for level in found for number in level)


@pytest.mark.parametrize(
    ("changes", "prev", "is_snapshot"),
    [
        ({"type": "snapshot", "prev_change_id": ...}, None, True),
        ({"type": "snapshot", "prev_change_id": 3}, None, True),  # recorded 2022: LINK_USDC-PERPETUAL
        ({"type": ..., "prev_change_id": ...}, None, True),  # recorded 2019, when there was no type
        ({"type": ..., "prev_change_id": 10}, 10, False),
        ({"type": "change", "prev_change_id": ...}, None, False),
        ({"type": "change"}, 10, False),
    ],
)
def test_a_book_frame_is_whole_or_a_change(changes: dict[str, Any], prev: int | None, is_snapshot: bool) -> None:
    envelope = parse_book(frame(**changes)).envelope
    assert (envelope.prev_id, envelope.is_snapshot) == (prev, is_snapshot)
    assert book_envelope(frame(**changes)) == envelope


def test_empty_and_missing_sides() -> None:
    assert parse_book(frame(bids=[], asks=...))[1:3] == ([], [])
    assert parse_book(frame(bids=None, asks=[["delete", 1.5, 0]]))[1:3] == ([], [("1.5", "0")])


@pytest.mark.parametrize(
    "bad",
    [
        frame(type="other"),
        frame(change_id="12"),
        frame(timestamp=...),
        frame(instrument_name="ETH-PERPETUAL"),
        frame(bids=[["new", 1.0]]),
        frame(bids=[["moved", 1.0, 2.0]]),
        frame(bids=[["new", None, 2.0]]),
        frame(bids=[["new", "x", 2.0]]),
        frame(bids=[[1.0, 2.0, 3.0]]),
        frame(bids={}),
        b"",
        b"{}",
        b"\xff",
    ],
)
def test_parse_book_refuses_other_shapes(bad: bytes) -> None:
    with pytest.raises(UnparsableFrame):
        parse_book(bad)


def test_parse_snapshot() -> None:
    result = {"change_id": 9, "timestamp": 5, "instrument_name": "X", "bids": [[30718.5, 2.29e3]], "asks": []}
    found = parse_snapshot(json.dumps({"jsonrpc": "2.0", "result": result}).encode())
    assert (found.envelope, found.bids, found.asks, found.limit) == ((9, 5000), [("30718.5", "2290.0")], [], 0)
    for body in (b"", b'{"error":{"code":13019,"message":"orderbook_closed"}}', b'{"result":{"bids":[]}}'):
        with pytest.raises(UnparsableFrame):
            parse_snapshot(body)


@pytest.mark.parametrize(
    ("file", "compared"),
    [("seq_cf_20210405_book_raw_ticker.jsonl", 51), ("seq_cf_20210722_book_raw_ticker.jsonl", 1)],
)
def test_recorded_books_have_the_tickers_best_quotes_at_equal_times(file: str, compared: int) -> None:
    """Nothing else tells whether the levels are right: the venue sends no checksum."""
    option = find_venue("deribit", "option")
    books: dict[str, LevelBook] = {}
    times: dict[str, int] = {}
    found = 0
    for line in (frames_dir() / "deribit" / "options" / file).read_bytes().splitlines():
        data = option.protocol.classify(line)
        if not isinstance(data, Data):
            continue
        symbol = data.stream.symbol
        if data.stream.channel == "book":
            change = option.parse_book(line)
            book = books.setdefault(symbol, LevelBook())
            (book.replace if change.envelope.is_snapshot else book.apply)(change.bids, change.asks)
            times[symbol] = change.envelope.event_time_us
            continue
        ticker = option.normalisers["ticker"](line, Context("deribit", "option", symbol, ""))[0]
        assert isinstance(ticker, Ticker)
        if times.get(symbol) == ticker.event_time_us:
            found += 1
            book = books[symbol]
            assert (book.bids.best or ("", "")) == (ticker.bid_price, ticker.bid_quantity)
            assert (book.asks.best or ("", "")) == (ticker.ask_price, ticker.ask_quantity)
    assert found == compared
