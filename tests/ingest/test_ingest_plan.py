from __future__ import annotations

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.plan import Group, batches, place, shard_of, streams_max
from venues import find_venue
from venues.contract import Stream

PROTOCOL = find_venue("binance", "spot").protocol
KEYS = [f"binance.spot.S{n}USDT" for n in range(2_000)]


def test_one_more_shard_moves_only_what_it_wins() -> None:
    for shards in (1, 2, 4, 9):
        before = {k: shard_of(k, shards) for k in KEYS}
        after = {k: shard_of(k, shards + 1) for k in KEYS}
        moved = [k for k in KEYS if before[k] != after[k]]
        assert all(after[k] == shards for k in moved)
        assert abs(len(moved) / len(KEYS) - 1 / (shards + 1)) < 0.05


def test_shards_are_even() -> None:
    counts = Counter(shard_of(k, 4) for k in KEYS)
    assert set(counts) == {0, 1, 2, 3}
    assert max(counts.values()) < 1.2 * min(counts.values())


def streams(symbols: int, channels: int) -> list[Stream]:
    return [Stream(f"s{s}@c{c}", f"c{c}", f"S{s}") for s in range(symbols) for c in range(channels)]


@given(
    st.lists(st.tuples(st.integers(0, 40), st.integers(1, 6)), min_size=1, max_size=8), st.integers(6, 50),
    st.integers(1, 2),
)  # fmt: skip
@settings(max_examples=200)
def test_every_stream_is_placed_once_within_the_limit(waves: list[tuple[int, int]], limit: int, routes: int) -> None:
    groups: list[Group] = []
    wanted: set[str] = set()

    def route(stream: Stream) -> str:
        return f"r{int(stream.channel[1:]) % routes}"

    for symbols, channels in waves:
        wave = streams(symbols, channels)
        place(groups, wave, route, limit)
        wanted |= {s.name for s in wave}
        placed = [name for g in groups for name in g.streams]
        assert sorted(placed) == sorted(wanted)
        assert all(len(g.streams) <= limit for g in groups)
        assert all(route(s) == g.route for g in groups for s in g.streams.values())


def test_a_symbols_streams_stay_together() -> None:
    groups: list[Group] = []
    place(groups, streams(7, 3), lambda _: "", 7)
    for symbol in range(7):
        assert sum(1 for g in groups if any(s.symbol == f"S{symbol}" for s in g.streams.values())) == 1


@given(st.lists(st.integers(1, 30), min_size=1, max_size=5), st.integers(1, 12), st.integers(1, 2))
def test_a_connection_carries_so_many_books_at_most(waves: list[int], books: int, channels: int) -> None:
    groups: list[Group] = []
    number = 0
    for size in waves:
        wave = []
        for _ in range(size):
            number += 1
            wave += [Stream(f"s{number}@{c}", "book" if c == 0 else "trade", f"S{number}") for c in range(channels)]
        place(groups, wave, lambda _: "", 1000, books)
    carried = [sum(1 for s in g.streams.values() if s.channel == "book") for g in groups]
    assert sum(carried) == number
    assert max(carried) <= books
    assert len(groups) == -(-number // books)


def test_streams_without_a_book_go_where_the_books_are_full() -> None:
    groups: list[Group] = []
    place(groups, [Stream("a", "book", "A")], lambda _: "", 10, 1)
    place(groups, [Stream("b", "trade", "B")], lambda _: "", 10, 1)
    assert [list(g.streams) for g in groups] == [["a", "b"]]


def test_new_streams_fill_groups_that_have_room() -> None:
    groups: list[Group] = []
    place(groups, streams(2, 3), lambda _: "", 10)
    changed = place(groups, [Stream("x@c0", "c0", "X")], lambda _: "", 10)
    assert [g.number for g in changed] == [1]
    assert len(groups) == 1


def test_requests_respect_the_venues_batch() -> None:
    many = PROTOCOL.streams([f"S{n}USDT" for n in range(200)], ["trade", "book"])
    made = batches(many, PROTOCOL.limits)
    assert [s for batch in made for s in batch] == many
    assert max(len(batch) for batch in made) == PROTOCOL.limits.streams_per_request


def test_the_lower_limit_rules() -> None:
    assert streams_max(PROTOCOL.limits, 400) == 400
    assert streams_max(PROTOCOL.limits, 5000) == PROTOCOL.limits.streams_per_connection
