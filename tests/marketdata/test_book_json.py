"""The joined bytes of a book record are the ones msgspec would write."""

from __future__ import annotations

import msgspec
import pytest

from marketdata.book import LevelBook
from marketdata.book_json import BookWriter
from marketdata.codec import Encoding, decode
from marketdata.keys import Key
from marketdata.types import Book, BookSnapshot

KEYS = [Key("binance", "spot", "BTCUSDT"), Key("deribit", "option", 'ODD."NAME\\ä币')]


def book() -> LevelBook:
    levels = LevelBook()
    levels.replace([(f"{100 - i}.50", "1.000") for i in range(90)], [("101", "2"), ("102.25", "0.1")], limit=90)
    return levels


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("deep", [False, True])
@pytest.mark.parametrize("levels", [1, 20, 400])
def test_good_book_as_msgspec_writes_it(key: Key, deep: bool, levels: int) -> None:
    joined = BookWriter(key, "A-B").good(deep, levels, book(), "1700", "77", 3, 42, "1699")
    record = (BookSnapshot if deep else Book)(
        exchange=key.exchange,
        market=key.market,
        symbol=key.symbol,
        instrument="A-B",
        recv_time_ns="1700",
        state="ok",
        update_id="77",
        epoch=3,
        event_time_us=42,
        verified_time_ns="1699",
        bids=[(f"{100 - i}.50", "1.000") for i in range(90)][:levels],
        asks=[("101", "2"), ("102.25", "0.1")][:levels],
        bid_known_to="11.50",
        ask_known_to="inf",
    )
    assert joined == msgspec.json.encode(record)
    assert decode(joined) == record


@pytest.mark.parametrize("encoding", ["json", "msgpack"])
def test_both_encodings_say_the_same(encoding: Encoding) -> None:
    writer = BookWriter(KEYS[1], encoding=encoding)
    good = decode(writer.good(False, 20, book(), "1", "2", 0, 3, "4"))
    bad = decode(writer.bad(True, "crossed", 'why "so"', "1", "2", 0, 3, "4"))
    assert isinstance(good, Book)
    assert (good.symbol, len(good.bids), len(good.asks), good.state) == (KEYS[1].symbol, 20, 2, "ok")
    assert isinstance(bad, BookSnapshot)
    assert (bad.state, bad.reason, bad.bids, bad.asks, bad.bid_known_to) == ("crossed", 'why "so"', [], [], "")
