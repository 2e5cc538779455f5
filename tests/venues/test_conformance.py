"""The conformance command passes on every recording and finds what is broken in spoiled copies of them."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from marketdata.book import LevelBook
from tests.frames import frames_dir
from venues import find_venue
from venues.conformance import replay, run
from venues.conformance_checks import Report
from venues.conformance_files import file_class, nanoseconds, read_lines, venues_of
from venues.contract import BookFrame

SPOT = find_venue("binance", "spot")
ROOT = Path(__file__).resolve().parent.parent.parent
AGG = "seq_cf_20210404_3sym_aggtrade_depth_kline.jsonl"
FOUR = "seq_cf_20211011_4sym.jsonl"
HFT = "seq_hft_btcusdt_20240808.jsonl"

KEYS = [
    "file", "frames", "events", "ignored", "unknown", "errors", "gaps", "books_bridged", "crossed", "bbo_checked",
    "bbo_mismatched", "trades_checked", "trade_gaps", "checksum_checked", "checksum_failed", "kline_checked",
    "kline_mismatched", "kline_unchecked",
]  # fmt: skip


def spot_dir() -> Path:
    return frames_dir() / "binance" / "spot"


def lines_of(name: str) -> list[bytes]:
    return (spot_dir() / name).read_bytes().splitlines()


def spoiled(tmp_path: Path, name: str, lines: list[bytes]) -> Path:
    folder = tmp_path / "binance" / "spot"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_bytes(b"\n".join(lines) + b"\n")
    return path


def judged(path: Path) -> Report:
    complaints: list[str] = []
    report = replay((SPOT,), path, complaints.append)
    assert bool(complaints) != report.passed, "whatever fails is said"
    assert run([path], lambda _: None) == int(not report.passed)
    return report


def index_of(lines: list[bytes], pattern: bytes, occurrence: int = 0) -> int:
    return [i for i, line in enumerate(lines) if re.search(pattern, line)][occurrence]


def counters(report: Report) -> dict[str, int]:
    """The counters that make a file fail, where they are not 0."""
    names = (
        "unknown", "errors", "gaps", "crossed", "bbo_mismatched", "trade_gaps", "checksum_failed", "kline_mismatched",
    )  # fmt: skip
    return {name: getattr(report, name) for name in names if getattr(report, name)}


# --- recordings as they are ------------------------------------------------------------------------


def test_the_command_passes_on_every_recording() -> None:
    result = subprocess.run(
        [sys.executable, "-m", "venues.conformance", str(spot_dir())],
        cwd=ROOT, env={**os.environ, "PYTHONHASHSEED": "0"}, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    reports = {Path(r["file"]).name: r for r in map(json.loads, result.stdout.splitlines())}
    assert set(reports) == {p.name for p in spot_dir().glob("*.jsonl")}
    assert all(set(KEYS) <= set(r) for r in reports.values())
    assert all(r["frames"] == len(lines_of(name)) for name, r in reports.items())
    assert all(r["events"] or r["ignored"] for r in reports.values()), "every file said something"
    assert f"{len(reports)} files" in result.stderr


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            AGG,
            {
                "frames": 4719, "books_bridged": 3, "trades_checked": 1907, "kline_checked": 51, "kline_unchecked": 2,
                "bbo_checked": 0, "ignored": 0,
                "events": {"book_delta": 2688, "snapshot": 3, "agg_trade": 1910, "venue_kline": 118},
            },
        ),
        (
            FOUR,
            {
                "frames": 269, "books_bridged": 4, "bbo_checked": 26, "kline_checked": 0,
                "events": {"book_delta": 177, "snapshot": 4, "bbo": 84, "agg_trade": 2, "venue_kline": 2},
            },
        ),
        (
            HFT,
            {
                "frames": 13753, "books_bridged": 1, "bbo_checked": 207, "trades_checked": 2569,
                "events": {"book_delta": 1197, "snapshot": 1, "bbo": 9985, "trade": 2570},
            },
        ),
        ("control.jsonl", {"events": {"venue_error": 1, "server_time": 1, "shutdown": 1}}),
    ],
)  # fmt: skip
def test_what_the_recordings_hold(name: str, expected: dict[str, Any]) -> None:
    report = judged(spot_dir() / name)
    assert counters(report) == {}
    assert {key: getattr(report, key) for key in expected} == expected


# --- spoiled copies --------------------------------------------------------------------------------


def drop_depth(lines: list[bytes]) -> None:
    del lines[index_of(lines, b"btcusdt@depth", 300)]


def swap_depth(lines: list[bytes]) -> None:
    a, b = index_of(lines, b"btcusdt@depth", 300), index_of(lines, b"btcusdt@depth", 301)
    lines[a], lines[b] = lines[b], lines[a]


def repeat_depth(lines: list[bytes]) -> None:
    at = index_of(lines, b"btcusdt@depth", 300)
    lines.insert(at + 1, lines[at])


def drop_trade(lines: list[bytes]) -> None:
    del lines[index_of(lines, b"btcusdt@(agg)?[tT]rade", 900)]


def swap_trades(lines: list[bytes]) -> None:
    a, b = index_of(lines, b"btcusdt@(agg)?[tT]rade", 900), index_of(lines, b"btcusdt@(agg)?[tT]rade", 901)
    lines[a], lines[b] = lines[b], lines[a]


def shift_fills(lines: list[bytes]) -> None:
    """The aggregate's own id is right, but a trade it is made of is not in it."""
    at = index_of(lines, b"btcusdt@aggTrade", 900)
    lines[at] = re.sub(rb'"f":(\d+)', lambda m: b'"f":%d' % (int(m[1]) + 1), lines[at])


def alter_quote(lines: list[bytes]) -> None:
    """Every quote: those compared with the book must be among them."""
    for i, line in enumerate(lines):
        if b"@bookTicker" in line:
            lines[i] = re.sub(rb'"B":"(\d+)\.', lambda m: b'"B":"%d.' % (int(m[1]) + 1), line)


def alter_book_price(lines: list[bytes]) -> None:
    """A bid far above everything: the book crosses and its best quote is wrong."""
    at = index_of(lines, rb'btcusdt@depth.*"b":\[\[', 300)
    lines[at] = re.sub(rb'"b":\[\["[^"]*","[^"]*"\]', b'"b":[["99999.00000000","1.00000000"]', lines[at])


def swap_quotes(lines: list[bytes]) -> None:
    a, b = index_of(lines, b"@bookTicker", 50), index_of(lines, b"@bookTicker", 51)
    lines[a], lines[b] = lines[b], lines[a]


def alter_trade_price(lines: list[bytes]) -> None:
    at = index_of(lines, b"btcusdt@aggTrade", 900)
    lines[at] = re.sub(rb'"p":"\d+', b'"p":"99999', lines[at])


def alter_trade_side(lines: list[bytes]) -> None:
    at = index_of(lines, b"btcusdt@aggTrade", 900)
    old, new = (b'"m":true', b'"m":false') if b'"m":true' in lines[at] else (b'"m":false', b'"m":true')
    lines[at] = lines[at].replace(old, new)


def alter_candle_count(lines: list[bytes]) -> None:
    at = index_of(lines, b"ethusdt@kline", -1)
    lines[at] = re.sub(rb'"n":(\d+)', lambda m: b'"n":%d' % (int(m[1]) + 1), lines[at])


def alter_candle_quote_volume(lines: list[bytes]) -> None:
    """By one in the last place."""
    at = index_of(lines, b"ethusdt@kline", -1)
    lines[at] = re.sub(rb'"q":"(\d+)\.(\d+)"', lambda m: b'"q":"%s.%08d"' % (m[1], int(m[2]) + 1), lines[at])


def cut_frame(lines: list[bytes]) -> None:
    lines[700] = lines[700][:-9]


def no_such_stream(lines: list[bytes]) -> None:
    lines[700] = b'{"stream":"btcusdt@surprise","data":{"e":"surprise","E":1,"s":"BTCUSDT"}}'


def spoil_number(lines: list[bytes]) -> None:
    at = index_of(lines, b"btcusdt@(agg)?[tT]rade", 900)
    lines[at] = re.sub(rb'"p":"[\d.]+"', b'"p":"12,5"', lines[at])


def negative_quantity(lines: list[bytes]) -> None:
    at = index_of(lines, b"btcusdt@(agg)?[tT]rade", 900)
    lines[at] = re.sub(rb'"q":"', b'"q":"-', lines[at])


@pytest.mark.parametrize(
    ("name", "spoil", "least", "exactly"),
    [
        # after a hole there is no book any more, as the file holds no further snapshot: the gap is all there is to say
        (HFT, drop_depth, {"gaps": 1}, True),
        (AGG, drop_depth, {"gaps": 1}, True),
        (HFT, swap_depth, {"gaps": 2}, True),  # a hole, then the late one that fills it
        (HFT, repeat_depth, {"gaps": 1}, True),
        (HFT, drop_trade, {"trade_gaps": 1}, True),
        (AGG, drop_trade, {"trade_gaps": 1, "kline_mismatched": 1}, False),
        (HFT, swap_trades, {"trade_gaps": 2}, True),  # a hole, then its fill
        (AGG, shift_fills, {"trade_gaps": 1, "kline_mismatched": 1}, False),
        (HFT, alter_quote, {"bbo_mismatched": 207}, True),
        (FOUR, alter_quote, {"bbo_mismatched": 26}, True),
        (HFT, alter_book_price, {"crossed": 1, "bbo_mismatched": 1}, False),
        (HFT, swap_quotes, {"gaps": 1}, True),
        (AGG, alter_trade_price, {"kline_mismatched": 1}, False),
        (AGG, alter_trade_side, {"kline_mismatched": 1}, False),
        (AGG, alter_candle_count, {"kline_mismatched": 1}, True),
        (AGG, alter_candle_quote_volume, {"kline_mismatched": 1}, True),
        (AGG, no_such_stream, {"unknown": 1}, False),
        (AGG, cut_frame, {"errors": 1}, False),
        (HFT, spoil_number, {"errors": 1, "trade_gaps": 1}, True),
        (HFT, negative_quantity, {"errors": 1, "trade_gaps": 1}, True),
    ],
)
def test_a_spoiled_copy_fails_for_the_right_reason(
    tmp_path: Path, name: str, spoil: Callable[[list[bytes]], None], least: dict[str, int], exactly: bool
) -> None:
    lines = lines_of(name)
    before = list(lines)
    spoil(lines)
    assert lines != before
    found = counters(judged(spoiled(tmp_path, name, lines)))
    if exactly:
        assert found == least
    else:
        assert all(found.get(counter, 0) >= number for counter, number in least.items()), found


def test_samples_are_not_checked_as_sequences(tmp_path: Path) -> None:
    lines = lines_of(HFT)
    drop_depth(lines)
    drop_trade(lines)
    report = judged(spoiled(tmp_path, "mixed_sample.jsonl", lines))
    assert counters(report) == {}
    assert (report.books_bridged, report.trades_checked, report.bbo_checked) == (0, 0, 0)


def test_requests_of_the_recorder_are_only_counted(tmp_path: Path) -> None:
    path = spoiled(tmp_path, "seq_x.sent.jsonl", [b'{"method":"SUBSCRIBE","params":["a@b"],"id":1}'])
    report = judged(path)
    assert (report.file_class, report.frames, report.events) == ("sent", 1, {"sent": 1})
    assert judged(spoiled(tmp_path, "seq_y.sent.jsonl", [b"{not json"])).errors == 1


def test_a_checksum_is_checked_where_the_venue_has_one() -> None:
    """With a rule that real venues could have: here that the levels held are an even number, else not given."""

    def even(_: BookFrame, book: LevelBook) -> bool | None:
        levels = len(book.bids) + len(book.asks)
        return None if levels % 3 == 0 else levels % 2 == 0

    venue = dataclasses.replace(SPOT, verify_checksum=even)
    report = replay((venue,), spot_dir() / FOUR, lambda _: None)
    assert 0 < report.checksum_failed < report.checksum_checked < 177
    assert not report.passed


# --- paths -----------------------------------------------------------------------------------------


def test_folders_of_other_venues_are_skipped_and_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spoiled(tmp_path, "control.jsonl", lines_of("control.jsonl"))
    (tmp_path / "nowhere" / "spot").mkdir(parents=True)
    (tmp_path / "nowhere" / "spot" / "x.jsonl").write_text("{}\n")
    said: list[str] = []
    assert run([tmp_path], said.append) == 0
    assert len(capsys.readouterr().out.splitlines()) == 1
    assert "1 files skipped" in said[-1]
    assert "nowhere/spot" in said[-1]


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("nowhere/spot/x.jsonl", "no registered venue"),
        ("nowhere", "no registered venue"),
        ("missing/binance/spot", "no such file"),
        ("missing/binance/spot/x.jsonl", "no such file"),
        ("empty", "no recordings"),
    ],
)
def test_a_path_with_nothing_to_judge_is_an_error(tmp_path: Path, path: str, says: str) -> None:
    (tmp_path / "nowhere" / "spot").mkdir(parents=True)
    (tmp_path / "nowhere" / "spot" / "x.jsonl").write_text("{}\n")
    (tmp_path / "empty").mkdir()
    said: list[str] = []
    assert run([tmp_path / path], said.append) == 2
    assert says in said[0]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("seq_a.jsonl", "sequence"),
        ("seq_a.sent.jsonl", "sent"),
        ("trade.jsonl", "sample"),
        ("rest_book_tardis.jsonl", "tardis"),
        ("rest_x.docs.jsonl", "docs"),
    ],
)
def test_the_class_is_in_the_name(name: str, expected: str) -> None:
    assert file_class(Path(name)) == expected


def test_the_venue_is_in_the_path() -> None:
    assert venues_of(Path("/a/binance/spot/x.jsonl")) == (SPOT,)
    assert venues_of(Path("/a/binance/spot/2024/x.jsonl")) == (SPOT,)
    assert venues_of(Path("/a/nowhere/usdm/x.jsonl")) == ()
    assert venues_of(Path("/a/spot/x.jsonl")) == ()


def test_receive_times_are_exact(tmp_path: Path) -> None:
    assert nanoseconds("1723161254.206652067") == "1723161254206652067"
    assert nanoseconds("1633998512.320639") == "1633998512320639000"
    lines = list(read_lines(spot_dir() / FOUR))
    times = (spot_dir() / FOUR).with_suffix(".recv.txt").read_text().split()
    assert [line.recv_time_ns for line in lines] == [nanoseconds(t) for t in times]
