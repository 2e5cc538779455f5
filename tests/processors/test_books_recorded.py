"""Recorded Binance spot sessions through the book application's core: real frames, real snapshots."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from marketdata.types import Book
from processors.book_core import LiveBook
from tests.frames import frames_dir
from tests.processors.book_log import live_book, of_topic, recorded, run

SESSIONS = {
    "seq_cf_20210404_3sym_aggtrade_depth_kline.jsonl": 0,
    "seq_cf_20211011_4sym.jsonl": 26,
    "seq_hft_btcusdt_20240808.jsonl": 207,
}
"""Session -> how many best quotes at least can be compared with bookTicker."""


def session(name: str) -> Path:
    path = frames_dir() / "binance" / "spot" / name
    if not path.exists():
        pytest.skip(f"no recording {name}")
    return path


@pytest.mark.parametrize("name", SESSIONS)
def test_every_book_bridges_and_stays_good(name: str) -> None:
    logs, _ = recorded(session(name))
    assert logs
    for symbol, log in logs.items():
        book, events = live_book(key=f"binance.spot.{symbol}")
        outputs = run(book, log.records)
        states = [r.state for r in of_topic(outputs, "md.book") if isinstance(r, Book)]
        assert states[0] == "resyncing"
        assert set(states[1:]) == {"ok"}, symbol
        assert events.count("anchored") == 1
        assert not of_topic(outputs, "md.gap")
        assert not [e for e in events if e in ("crossed", "range_exhausted", "duplicate")]
        frames = sum(1 for r in log.records if r.headers[0][1] == b"frame")
        assert len(of_topic(outputs, "md.book_delta")) == frames


@pytest.mark.parametrize("name", SESSIONS)
def test_best_quotes_equal_book_ticker_of_the_same_id(name: str) -> None:
    logs, tickers = recorded(session(name))
    ours: dict[tuple[str, str], Book] = {}
    for symbol, log in logs.items():
        book, _ = live_book(key=f"binance.spot.{symbol}")
        for record in of_topic(run(book, log.records), "md.book"):
            assert isinstance(record, Book)
            if record.state == "ok":
                ours[symbol, record.update_id] = record
    compared = 0
    for ticker in tickers:
        book_record = ours.get((ticker["s"], str(ticker["u"])))
        if book_record is None:
            continue
        best = (*book_record.bids[0], *book_record.asks[0])
        theirs = (ticker["b"], ticker["B"], ticker["a"], ticker["A"])
        assert [Decimal(x) for x in best] == [Decimal(x) for x in theirs], ticker
        compared += 1
    assert compared >= SESSIONS[name]


@pytest.mark.parametrize("every", [1, 7, 100])
def test_saved_and_restored_in_the_middle_gives_the_same_bytes(every: int) -> None:
    logs, _ = recorded(session("seq_cf_20211011_4sym.jsonl"))
    for symbol, log in logs.items():
        key = f"binance.spot.{symbol}"
        plain = run(live_book(key=key)[0], log.records)
        book: LiveBook = live_book(key=key)[0]
        outputs = []
        for i, record in enumerate(log.records):
            if i % every == 0:
                blob = book.dump()
                book = live_book(key=key)[0]
                book.load(blob)
            outputs += book.handle(record)
        assert outputs == plain
