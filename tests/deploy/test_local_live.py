"""The live line and the hang detector."""

from __future__ import annotations

import io

from deploy.local import scrape
from deploy.local.counters import Counters
from deploy.local.guard import HangDetector
from deploy.local.screen import Screen

INGEST = """\
# HELP marketprism_ingest_frames_total Data frames received
# TYPE marketprism_ingest_frames_total counter
marketprism_ingest_frames_total{channel="trade",exchange="binance",market="spot"} %d
marketprism_ingest_frames_total{channel="book",exchange="binance",market="spot"} %d
"""
NORMALISE = """\
marketprism_normalise_records_out_total{topic="md.trade"} %d
marketprism_normalise_lag{partition="0",topic="raw.trade"} 3.0
marketprism_normalise_lag{partition="1",topic="raw.trade"} 4.0
marketprism_redis_lag_records{partition="1",topic="md.trade"} 5.0
marketprism_simulator_lag_seconds 99.0
marketprism_books_state_ok 3.0
marketprism_books_state_stale 1.0
marketprism_books_state_crossed 0.0
"""


def test_rates_are_differences() -> None:
    counters = Counters({})
    counters.reading(100.0, {"ingest": scrape.parse(INGEST % (100, 50)), "normalise": scrape.parse(NORMALISE % 70)})
    found = counters.reading(
        102.0,
        {"ingest": list(scrape.parse(INGEST % (140, 60))), "normalise": list(scrape.parse(NORMALISE % 90)), "api": []},
    )
    assert found.frames_per_s == 25.0
    assert found.out_per_s == {"md.trade": 10.0}
    assert sum(found.lag.values()) == 12
    assert found.silent == ("api",)
    assert found.line() == "DOWN api | in 25/s | lag 12 | books 3 ok 1 stale | rows 0/s | out/s trade 10"


def test_a_restarted_service_counts_from_zero() -> None:
    counters = Counters({})
    counters.reading(100.0, {"ingest": scrape.parse(INGEST % (1000, 0))})
    assert counters.reading(101.0, {"ingest": scrape.parse(INGEST % (5, 0))}).frames_per_s == 0
    assert counters.reading(102.0, {"ingest": scrape.parse(INGEST % (9, 0))}).frames_per_s == 4


def test_samples_with_odd_labels() -> None:
    (sample,) = scrape.parse('x_total{a="b, \\"c\\"",d="}"} 1.5e3 1700000000000\n')
    assert sample.labels == {"a": 'b, \\"c\\"', "d": "}"}
    assert sample.value == 1500.0


def test_only_a_lasting_silence_is_a_hang() -> None:
    hangs = HangDetector(30)
    assert not hangs.observe(0, "books", 7, alive=False)
    assert not hangs.observe(29, "books", 7, alive=False)
    assert not hangs.observe(29.5, "books", 7, alive=True)
    assert not hangs.observe(31, "books", 7, alive=False)
    assert hangs.observe(61, "books", 7, alive=False)
    assert not hangs.observe(62, "books", 7, alive=False)


def test_a_new_process_begins_with_a_clean_slate() -> None:
    hangs = HangDetector(30)
    assert not hangs.observe(0, "books", 7, alive=False)
    assert not hangs.observe(31, "books", 8, alive=False)
    assert not hangs.observe(40, "books", 0, alive=False)
    assert not hangs.observe(62, "books", 9, alive=False)


class ClosedTerminal(io.StringIO):
    def write(self, text: str) -> int:
        raise OSError(5, "Input/output error")


def test_a_closed_terminal_disturbs_nothing() -> None:
    screen = Screen(ClosedTerminal())
    screen.say("a")
    screen.live("b")


def test_a_pipe_gets_whole_lines_now_and_then() -> None:
    out = io.StringIO()
    screen = Screen(out)
    screen.live("one")
    screen.live("two")
    screen.say("three")
    assert out.getvalue() == "one\nthree\n"
