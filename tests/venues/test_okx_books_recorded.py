"""OKX books through the book application's core: recorded connections, and the cases the venue's documents name."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from marketdata.types import Book, BookDelta, Gap
from tests.frames import frames_dir
from tests.processors.book_log import BookLog, live_book, of_topic, run
from venues import find_venue
from venues.okx.book_frames import checksum
from venues.okx.symbols import market_of

SESSIONS = {"seq_cf_20210722_books-l2-tbt_10inst.jsonl": 10, "seq_cf_20220513_books_trades_tickers.jsonl": 3}


def metadata(symbol: str) -> bytes:
    """An entry whose contracts are worth 0.01 coin, or 10 dollars where that is what they count."""
    base, quote = symbol.split("-")[:2]
    market = market_of(symbol)
    inverse = quote == "USD" and market != "option"
    spot = market == "spot"
    return json.dumps(
        {
            "instId": symbol, "instType": "", "state": "live", "tickSz": "0.1", "lotSz": "1", "minSz": "1",
            "ctVal": "" if spot else "10" if inverse else "0.01", "ctMult": "" if spot else "1",
            "ctValCcy": "" if spot else quote if inverse else base, "ctType": "inverse" if inverse else "",
            "settleCcy": base, "expTime": "1656057600000", "stk": "1", "optType": "C",
        }
    ).encode()  # fmt: skip


def log_of(symbol: str) -> BookLog:
    log = BookLog(f"okx.{market_of(symbol)}.{symbol}")
    log.connected()
    log.raw("instrument", metadata(symbol))
    return log


def recorded(name: str) -> dict[str, BookLog]:
    """A recorded connection as raw.book logs per symbol."""
    logs: dict[str, BookLog] = {}
    path = frames_dir() / "okx" / "mixed" / name
    for line in path.read_bytes().splitlines():
        wire = json.loads(line)
        if not wire["arg"]["channel"].startswith("books") or "data" not in wire:
            continue
        symbol = wire["arg"]["instId"]
        log = logs.setdefault(symbol, log_of(symbol))
        log.now_ms = int(wire["data"][0]["ts"])
        log.raw("frame", line)
    return logs


@pytest.mark.parametrize("name", SESSIONS)
def test_every_recorded_book_stays_good(name: str) -> None:
    logs = recorded(name)
    assert len(logs) == SESSIONS[name]
    for symbol, log in logs.items():
        book, events = live_book(key=log.key.decode())
        outputs = run(book, log.records)
        states = [r.state for r in of_topic(outputs, "md.book") if isinstance(r, Book)]
        assert states[0] == "resyncing"  # connected
        assert set(states[1:]) == {"ok"}, symbol
        assert events.count("anchored") == 1
        assert not of_topic(outputs, "md.gap")
        deltas = of_topic(outputs, "md.book_delta")
        assert len(deltas) == len(log.records) - 3  # connected, instrument, the whole book


def test_levels_of_contracts_become_base_coin() -> None:
    for symbol, log in recorded("seq_cf_20220513_books_trades_tickers.jsonl").items():
        book, _ = live_book(key=log.key.decode())
        outputs = run(book, log.records)
        (delta, *_) = of_topic(outputs, "md.book_delta")
        assert isinstance(delta, BookDelta)
        (wire,) = json.loads(log.records[3].value)["data"]
        for (price, ours), (wire_price, theirs, *_) in zip(
            delta.bids + delta.asks, wire["bids"] + wire["asks"], strict=True
        ):
            assert price == wire_price
            if symbol == "BTC-USDT":
                assert ours == theirs
            else:
                assert abs(Decimal(ours) - 10 * Decimal(theirs) / Decimal(price)) <= Decimal("5e-13")


@pytest.mark.parametrize("restarts", [False, True])
@pytest.mark.parametrize("market", ["spot", "perp", "future"])
def test_a_lost_update_of_frames_without_ids_shows_in_the_checksum(market: str, restarts: bool) -> None:
    logs = recorded("seq_cf_20220513_books_trades_tickers.jsonl")
    (log,) = (log for symbol, log in logs.items() if market_of(symbol) == market)
    del log.records[8]
    key = log.key.decode()
    book, _ = live_book(key=key)
    outputs = []
    for record in log.records:
        if restarts:
            blob = book.dump()
            book, _ = live_book(key=key)
            book.load(blob)
        outputs += book.handle(record)
    states = [r.state for r in of_topic(outputs, "md.book") if isinstance(r, Book)]
    assert states[-1] == "resyncing"
    assert states.index("resyncing", 1) <= 9


# --- the documents' cases, in frames of today's shape ------------------------------------------------------


def frame(action: str, prev: int, seq: int, bids: Any = (), asks: Any = (), checksum: int = 0) -> bytes:
    sides = {"bids": [[p, q, "0", "1"] for p, q in bids], "asks": [[p, q, "0", "1"] for p, q in asks]}
    data = sides | {"ts": "1790439595900", "checksum": checksum, "seqId": seq, "prevSeqId": prev}
    arg = {"channel": "books", "instId": "BTC-USDT-SWAP"}
    return json.dumps({"arg": arg, "action": action, "data": [data]}).encode()


WHOLE = frame("snapshot", -1, 10, [("99", "5"), ("98", "5")], [("101", "5")])


def swap_log(*frames: bytes) -> BookLog:
    log = log_of("BTC-USDT-SWAP")
    for raw in frames:
        log.now_ms += 100
        log.raw("frame", raw)
    return log


def outcome(log: BookLog) -> tuple[list[Book], list[Gap], list[str]]:
    book, events = live_book(key="okx.perp.BTC-USDT-SWAP")
    outputs = run(book, log.records)
    books = [r for r in of_topic(outputs, "md.book") if isinstance(r, Book)]
    assert books.pop(0).state == "resyncing"  # connected
    return books, [r for r in of_topic(outputs, "md.gap") if isinstance(r, Gap)], events


def test_maintenance_begins_the_ids_anew_and_loses_nothing() -> None:
    books, gaps, _ = outcome(
        swap_log(
            WHOLE,
            frame("update", 10, 15, [("99", "6")]),
            frame("update", 15, 15),  # keep-alive
            frame("update", 15, 3, [("99", "7")]),
            frame("update", 3, 5, [("98", "0")]),
        )
    )
    assert {b.state for b in books} == {"ok"}
    assert gaps == []
    last = books[-1]
    assert (last.bids, last.asks) == ([("99", "0.07")], [("101", "0.05")])
    assert (last.update_id, last.epoch, last.multiplier) == ("5", 1, "0.01")
    assert [(b.epoch, int(b.update_id)) for b in books] == sorted((b.epoch, int(b.update_id)) for b in books)


def test_a_gap_hides_the_book_until_the_stream_is_subscribed_again() -> None:
    books, gaps, _ = outcome(
        swap_log(
            WHOLE,
            frame("update", 12, 15, [("99", "6")]),  # 10..12 is missing
            frame("update", 15, 20, [("99", "8")]),
            frame("snapshot", -1, 30, [("90", "1")], [("91", "1")]),
            frame("update", 30, 31, [("90", "2")]),
        )
    )
    assert [b.state for b in books] == ["ok", "resyncing", "ok", "ok"]
    assert books[1].bids == books[1].asks == []
    assert books[-1].bids == [("90", "0.02")]
    assert [g.reason for g in gaps] == ["id_skip", "resubscribed"]


def test_without_a_whole_book_in_the_stream_the_rest_book_is_joined() -> None:
    log = swap_log(frame("update", 5, 10, [("99", "6")]), frame("update", 10, 20, [("98", "1")]))
    body = {"asks": [["101", "5", "0", "1"]], "bids": [["97", "5", "0", "1"]], "ts": "1790439595000", "seqId": 15}
    log.raw("snapshot", json.dumps({"code": "0", "msg": "", "data": [body]}).encode(), extra=(("limit", b"400"),))
    log.raw("frame", frame("update", 20, 21, [("97", "0")]))
    books, gaps, events = outcome(log)
    assert books[-1].state == "ok"
    assert books[-1].bids == [("98", "0.01")]  # 99 was of an update that the REST book already held
    assert events.count("anchored") == 1
    assert gaps == []


@pytest.mark.parametrize(
    ("between", "states"),
    [
        ([], ["ok", "ok", "resyncing"]),
        (["rest"], ["ok", "ok", "ok", "resyncing"]),
        ([frame("update", 15, 15)], ["ok", "ok", "ok", "ok"]),  # none any more: the venue stopped sending them
    ],
)
def test_contracts_are_compared_as_the_venue_spells_them(between: list[Any], states: list[str]) -> None:
    bids, asks = [("99", "6.0"), ("98", "5")], [("101", "5")]
    log = swap_log(
        frame("snapshot", -1, 10, [("99", "5"), ("98", "5")], asks, checksum([("99", "5"), ("98", "5")], asks)),
        frame("update", 10, 15, [("99", "6.0")], (), checksum(bids, asks)),
    )
    for each in between:
        if each == "rest":
            body = {side: [[p, q, "0", "1"] for p, q in levels] for side, levels in (("bids", bids), ("asks", asks))}
            reply = {"code": "0", "msg": "", "data": [body | {"ts": "1790439595900", "seqId": 15}]}
            log.raw("snapshot", json.dumps(reply).encode(), extra=(("limit", b"400"),))
        else:
            log.raw("frame", each)
    log.raw("frame", frame("update", 15, 20, [("99", "7")], (), 12345))
    books, gaps, _ = outcome(log)
    assert [b.state for b in books] == states
    assert [g.reason for g in gaps] == (["checksum"] if "resyncing" in states else [])


def test_two_connections_carry_one_book() -> None:
    log = swap_log(WHOLE, frame("update", 10, 15, [("99", "6")]))
    log.connected("pod-1-2", overlaps=True)
    for conn, raw in [
        ("pod-1-2", frame("snapshot", -1, 15, [("99", "6"), ("98", "5")], [("101", "5")])),
        ("pod-1-2", frame("update", 15, 20, [("99", "7")])),
        ("pod-1-1", frame("update", 15, 20, [("99", "7")])),
        ("pod-1-1", frame("update", 20, 25, [("99", "8")])),
        ("pod-1-2", frame("update", 20, 25, [("99", "8")])),
    ]:
        log.raw("frame", raw, conn)
    log.disconnected("pod-1-1")
    log.raw("frame", frame("update", 25, 30, [("99", "9")]), "pod-1-2")
    books, gaps, _ = outcome(log)
    assert {b.state for b in books} == {"ok"}
    assert gaps == []
    assert books[-1].bids[0] == ("99", "0.09")


def test_levels_beyond_the_depth_of_the_stream_are_forgotten_and_counted() -> None:
    depth = find_venue("okx", "perp").book_depth
    bids = [(str(10_000 - n), "1") for n in range(depth)]
    better = [(str(10_001 + n), "1") for n in range(3)]
    log = swap_log(frame("snapshot", -1, 10, bids, [("20000", "1")]), frame("update", 10, 15, better))
    book, events = live_book(key="okx.perp.BTC-USDT-SWAP")
    run(book, log.records)
    assert len(book.levels.book.bids) == depth
    run(book, [log.heartbeat(), log.heartbeat()])
    assert events.count("levels_trimmed_okx") == 1
    assert book.levels.book.bids.levels(0)[-1][0] == bids[-4][0]
