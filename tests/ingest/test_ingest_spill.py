from __future__ import annotations

import tempfile
from collections import deque
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ingest.records import Record
from ingest.spill import Segment, Spill
from marketdata.errors import ConfigError


def record(n: int, size: int = 20) -> Record:
    return Record("raw.trade", b"k", b"%d " % n + b"x" * size, [("kind", b"frame"), ("seq", b"%d" % n)], 1_000 + n)


def number(r: Record) -> int:
    return int(r.value.split(b" ")[0])


def drain(spill: Spill) -> list[int]:
    out = []
    while (found := spill.read()) is not None:
        out.append(number(found[0]))
        spill.delivered(found[1])
    return out


def files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.spill"))


def test_records_come_back_whole(tmp_path: Path) -> None:
    spill = Spill(tmp_path, 1 << 20, 1 << 16)
    told = Record("t", b"\x00\xffkey", b"\x00\xff", [("a", b"\x80"), ("b", b"")], 5)
    spill.append(told)
    found = spill.read()
    assert found is not None
    assert found[0] == told
    spill.close()


OPERATIONS = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.integers(0, 300)),
        st.tuples(st.sampled_from(["read", "deliver", "back", "restart", "front"]), st.just(0)),
    ),
    max_size=80,
)


@given(OPERATIONS)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_order_is_kept_and_nothing_lost(operations: list[tuple[str, int]]) -> None:
    """Whatever is appended is read in order; a restart repeats from an undelivered record on, never skips."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        spill = Spill(folder, 1 << 20, 500)
        appended, delivered_upto, expected = 0, 0, 1
        handed: deque[tuple[Record, Segment]] = deque()
        for what, size in operations:
            if what == "append":
                appended += 1
                spill.append(record(appended, size))
            elif what == "read" and (found := spill.read()) is not None:
                assert number(found[0]) == expected
                expected += 1
                handed.append(found)
            elif what == "deliver" and handed:
                first = handed.popleft()
                delivered_upto = number(first[0])
                spill.delivered(first[1])
            elif what == "back" and handed:
                last = handed.pop()
                spill.take_back(last[1], last[0])
                expected -= 1
            elif what == "front":
                spill.put_in_front([r for r, _ in handed])
                expected -= len(handed)
                handed.clear()
            elif what == "restart":
                spill.close()
                handed.clear()
                spill = Spill(folder, 1 << 20, 500)
                found = spill.read()
                if found is None:
                    assert delivered_upto == appended
                    expected = appended + 1
                    continue
                assert number(found[0]) <= delivered_upto + 1
                expected = number(found[0]) + 1
                handed.append(found)
        rest = [number(r) for r, _ in handed] + drain(spill)
        assert rest == list(range(rest[0], appended + 1)) if rest else delivered_upto == appended
        spill.close()


def test_segments_go_when_delivered(tmp_path: Path) -> None:
    spill = Spill(tmp_path, 1 << 20, 200)
    for n in range(20):
        spill.append(record(n))
    assert len(files(tmp_path)) > 3
    read = [spill.read() for _ in range(20)]
    assert not spill.pending
    assert len(files(tmp_path)) > 3  # handed on, not delivered: a crash now must repeat them
    for found in read:
        assert found is not None
        spill.delivered(found[1])
    assert files(tmp_path) == []
    assert spill.size_bytes == 0
    spill.close()


@pytest.mark.parametrize("cut", range(1, 40, 3))
def test_a_torn_tail_is_cut_and_counted(tmp_path: Path, cut: int) -> None:
    spill = Spill(tmp_path, 1 << 20, 1 << 16)
    for n in range(5):
        spill.append(record(n))
    spill.close()
    (file,) = files(tmp_path)
    whole = file.read_bytes()
    file.write_bytes(whole[:-cut])
    again = Spill(tmp_path, 1 << 20, 1 << 16)
    again.append(record(99))
    assert drain(again) == [0, 1, 2, 3, 99]
    assert again.torn == 1
    assert 0 < again.torn_bytes < len(whole) / 4
    assert files(tmp_path) == []
    again.close()


def test_only_the_damaged_record_is_left_out(tmp_path: Path) -> None:
    spill = Spill(tmp_path, 1 << 20, 150)
    for n in range(6):
        spill.append(record(n))
    spill.close()
    first = files(tmp_path)[0]
    data = bytearray(first.read_bytes())
    data[20] ^= 0xFF
    first.write_bytes(bytes(data))
    again = Spill(tmp_path, 1 << 20, 150)
    assert drain(again) == [1, 2, 3, 4, 5]
    assert again.torn == 1
    assert 0 < again.torn_bytes < len(data)
    again.close()


def test_full_is_told(tmp_path: Path) -> None:
    spill = Spill(tmp_path, 1000, 400)
    n = 0
    while not spill.full:
        n += 1
        spill.append(record(n))
    assert spill.size_bytes >= 1000
    spill.append(record(n + 1))  # the last words of a connection still fit
    assert drain(spill) == list(range(1, n + 2))
    assert spill.size_bytes == 0
    spill.close()


def test_two_processes_cannot_share_a_folder(tmp_path: Path) -> None:
    spill = Spill(tmp_path, 1000, 400)
    with pytest.raises(ConfigError, match=r"ingest\.pod"):
        Spill(tmp_path, 1000, 400)
    spill.close()
    Spill(tmp_path, 1000, 400).close()
