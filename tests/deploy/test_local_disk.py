"""The disk bound: what must go, and that the rest fits."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from deploy.local import disk
from deploy.local.disk import Cut, TablePart

sizes = st.lists(st.integers(0, 10**10), min_size=1, max_size=200)


@given(sizes, st.integers(0, 10**11))
def test_a_cap_makes_everything_fit_and_wastes_little(sizes: list[int], budget: int) -> None:
    cap = disk.partition_cap(sizes, budget)
    if cap == disk.UNCAPPED:
        assert sum(sizes) <= budget
        return
    kept = sum(min(size, cap) for size in sizes)
    assert kept <= budget
    assert kept > budget - len(sizes)  # no more than rounding is left unused
    assert max(sizes) > cap


def test_small_partitions_keep_all_they_have() -> None:
    found = {("a", 0): 10, ("a", 1): 500, ("b", 0): 900, ("c", 0): 20}
    assert disk.topic_caps(found, 430) == {"a": 200, "b": 200}
    assert disk.topic_caps(found, 1430) == {}


def parts(**tables: list[int]) -> list[TablePart]:
    return [TablePart("md", t, f"2026{i:02d}", s) for t, found in tables.items() for i, s in enumerate(found)]


def test_the_oldest_partition_of_the_largest_table_goes_first() -> None:
    found = disk.cuts(parts(trades=[10, 10], deltas=[50, 40, 30]), budget=60)
    assert [(c.part.table, c.part.partition_id, c.whole) for c in found] == [
        ("deltas", "202600", True),
        ("deltas", "202601", True),
    ]


def test_the_only_partition_loses_its_older_half() -> None:
    (part,) = parts(trades=[100])
    assert disk.cuts([part], budget=60) == [Cut(part, whole=False)]
    assert disk.cuts([part], budget=100) == []


@given(st.lists(st.lists(st.integers(0, 1000), min_size=1, max_size=6), max_size=6), st.integers(0, 5000))
def test_cutting_ends_and_never_takes_more_than_needed(tables: list[list[int]], budget: int) -> None:
    named = parts(**{f"t{i}": found for i, found in enumerate(tables)})
    found = disk.cuts(named, budget)
    total = sum(p.size for p in named)
    before_last = total - sum(c.part.size if c.whole else c.part.size // 2 for c in found[:-1])
    assert not found or before_last > budget
    assert len({(c.part.table, c.part.partition_id) for c in found}) == len(found)


def test_files_are_counted_as_blocks(tmp_path: Path) -> None:
    with (tmp_path / "index").open("wb") as sparse:
        sparse.truncate(10 * 1024 * 1024)
    (tmp_path / "log").write_bytes(b"x" * 100_000)
    assert 100_000 <= disk.used_bytes(tmp_path) < 1024 * 1024


def test_kafka_folders(tmp_path: Path) -> None:
    for name in ("sim.md.trade-0", "sim.md.trade-1", "__consumer_offsets-0", "changelog__x--y--z-0"):
        (tmp_path / name).mkdir()
    (tmp_path / "sim.md.trade-1" / "0.log").write_bytes(b"x" * 5000)
    (tmp_path / "meta.properties").write_text("")
    found = disk.kafka_partitions(tmp_path)
    assert set(found) == {("sim.md.trade", 0), ("sim.md.trade", 1)}
    assert found["sim.md.trade", 1] >= 5000
