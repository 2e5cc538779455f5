"""Deribit's books as the simulator tells them: chained by ids, by the second, in groups, after faults, over REST."""

from __future__ import annotations

import asyncio
import itertools
from pathlib import Path
from typing import Any

import pytest

from simulator.faults import Fault
from tests.simulator.deribit_kit import LINEAR, OPTION, PERPETUAL, Book, ask, data, opened, rest, subscribe
from tests.simulator.dialect_harness import Venue
from tests.simulator.shapes import recorded


@pytest.fixture
def venue(tmp_path: Path) -> Venue:
    return opened(tmp_path)


@pytest.mark.parametrize("symbol", [PERPETUAL, LINEAR, OPTION])
def test_changes_lead_from_one_snapshot_to_the_next(venue: Venue, symbol: str) -> None:
    first, late = venue.open("/ws/api/v2"), venue.open("/ws/api/v2", number=2)
    subscribe(first, f"book.{symbol}.100ms")
    venue.advance(60.033)
    subscribe(late, f"book.{symbol}.100ms")
    mine, fresh = Book(), Book()
    for told in data(first, "book."):
        mine.take(told)
    fresh.take(data(late, "book.")[0])
    assert (mine.snapshots, mine.gaps) == (1, 0)
    assert mine.changes > (10 if symbol == OPTION else 100)
    assert mine.sides == fresh.sides
    assert max(mine.sides["bids"]) < min(mine.sides["asks"])
    venue.advance(10.0)
    for told in data(late, "book."):
        fresh.take(told)
    assert fresh.gaps == 0


def test_change_ids_are_shared_by_all_instruments(venue: Venue) -> None:
    client = venue.open("/ws/api/v2")
    subscribe(client, f"book.{PERPETUAL}.100ms", f"book.{LINEAR}.100ms")
    venue.advance(5.0)
    told = [each for each in data(client, "book.") if each["type"] == "change"]
    ids = [each["change_id"] for each in told]
    assert {each["instrument_name"] for each in told} == {PERPETUAL, LINEAR}
    assert ids == sorted(set(ids)), "one counter"
    assert any(after["prev_change_id"] != before["change_id"] for before, after in itertools.pairwise(told))


def test_books_of_a_second_chain_by_themselves(venue: Venue) -> None:
    client, fast, slow = venue.open("/ws/api/v2"), Book(), Book()
    subscribe(client, f"book.{PERPETUAL}.100ms", f"book.{PERPETUAL}.agg2")
    for _ in range(3):
        venue.advance(20.0)
        for told in client.take():
            channel = told.get("params", {}).get("channel", "")
            if channel:
                (slow if channel.endswith("agg2") else fast).take(told["params"]["data"])
    assert (fast.gaps, slow.gaps, slow.snapshots) == (0, 0, 1)
    assert 50 <= slow.changes <= 62
    assert fast.changes > 2 * slow.changes
    channel = f"book.{PERPETUAL}.agg2"
    assert asyncio.run(venue.dialect.apply(Fault(kind="sequence_reset", stream=channel))) == 2
    venue.advance(3.0)
    for each in data(client, "agg2"):
        slow.take(each)
    assert (slow.snapshots, slow.gaps) == (2, 0)


@pytest.mark.parametrize(("group", "depth"), [("none", 1), ("none", 20), ("10", 10)])
def test_windows_of_grouped_levels(venue: Venue, group: str, depth: int) -> None:
    client, book = venue.open("/ws/api/v2"), Book()
    channel = f"book.{PERPETUAL}.{group}.{depth}.100ms"
    subscribe(client, channel, f"book.{PERPETUAL}.100ms")
    venue.advance(20.0)
    windows: list[Any] = []
    for told in client.take():
        params = told.get("params", {})
        if params.get("channel") == channel:
            windows.append(params["data"])
        elif params:
            book.take(params["data"])
    assert len(windows) > 20
    assert all(before != after for before, after in itertools.pairwise(windows)), "a still book is not told again"
    last = windows[-1]
    width = 1e-9 if group == "none" else float(group)
    for name, sign in (("bids", -1), ("asks", 1)):
        sums: dict[float, float] = {}
        for price in sorted(book.sides[name], key=lambda price: sign * price):
            at = price if group == "none" else sign * -(-sign * price // width) * width
            sums[at] = sums.get(at, 0.0) + book.sides[name][price]
        assert last[name] == [list(pair) for pair in sums.items()][:depth]
    theirs = next(recorded("deribit/any", pattern="book_grouped.jsonl"))
    assert list(last) == list(theirs["params"]["data"])


def test_only_groups_the_venue_has(venue: Venue) -> None:
    client = venue.open("/ws/api/v2")
    bad = [f"book.{PERPETUAL}.{each}" for each in ("none.5.100ms", "3.10.100ms", "none.10.raw")]
    bad += [f"book.{OPTION}.10.10.100ms"]
    ask(client, "public/auth", grant_type="client_credentials", client_id="a", client_secret="b")
    assert ask(client, "public/subscribe", channels=bad)["result"] == []
    good = [f"book.{OPTION}.none.10.agg2", "book.ETH-PERPETUAL.250.1.100ms"]
    assert sorted(ask(client, "public/subscribe", channels=good)["result"]) == sorted(good)


def test_faults_and_resets(venue: Venue) -> None:
    client, keeper, other = venue.open("/ws/api/v2"), Book(), Book()
    channel = f"book.{PERPETUAL}.100ms"
    subscribe(client, channel, f"book.{LINEAR}.100ms")

    def move_on(seconds: float) -> None:
        venue.advance(seconds)
        for told in data(client, "book."):
            (keeper if told["instrument_name"] == PERPETUAL else other).take(told)

    move_on(1.0)
    before = keeper.last
    assert before is not None
    assert asyncio.run(venue.dialect.apply(Fault(kind="sequence_reset", stream="book.NO-SUCH.*"))) == 0
    assert asyncio.run(venue.dialect.apply(Fault(kind="sequence_reset", stream=channel))) == 2
    move_on(3.0)
    for book in (keeper, other):  # one counter for all
        assert (book.snapshots, book.gaps) == (2, 0)
        assert book.last is not None
        assert book.last < before
    venue.faults.add(Fault(kind="drop", venue="deribit", stream=channel), venue.now_s)
    venue.advance(2.0)
    for told in data(client, PERPETUAL):
        keeper.last = keeper.last if told["prev_change_id"] == keeper.last else -1
        if keeper.last == -1:
            break
        keeper.take(told)
    assert keeper.last == -1, "the chain is broken once"
    venue.faults.add(Fault(kind="drop_subscription", venue="deribit", stream="quote.*"), 0.0)
    assert ask(client, "public/subscribe", channels=[f"quote.{PERPETUAL}"])["result"] == []
    assert ask(client, "public/subscribe", channels=[f"quote.{PERPETUAL}"])["result"] == [f"quote.{PERPETUAL}"]


def test_rest_books_carry_a_change_id_of_the_stream(venue: Venue) -> None:
    client, keeper = venue.open("/ws/api/v2"), Book()
    subscribe(client, f"book.{PERPETUAL}.100ms")
    venue.advance(3.05)
    for told in data(client, "book."):
        keeper.take(told)
    book = rest(venue, "get_order_book", instrument_name=PERPETUAL, depth="10000")["result"]
    assert book["change_id"] == keeper.last
    assert dict(book["bids"]) == keeper.sides["bids"]
