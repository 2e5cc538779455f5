"""What a recorded session is told to be."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from deploy.local import recording
from marketdata.errors import ConfigError
from tests.frames import frames_dir

CASES = {
    "seq_cf_20210404_3sym_aggtrade_depth_kline": ({"BTCUSDT", "ETHUSDT", "DOTUSDT"}, {"agg_trade", "book", "kline"}),
    "seq_hft_btcusdt_20240808": ({"BTCUSDT"}, {"trade", "book", "bbo"}),
}


@pytest.mark.parametrize("name", CASES)
def test_recorded_sessions(name: str) -> None:
    path = frames_dir() / "binance" / "spot" / f"{name}.jsonl"
    found = recording.read(path, 10.0, 3)
    symbols, channels = CASES[name]
    assert (found.exchange, found.market, found.run, found.speed) == ("binance", "spot", 3, 10.0)
    assert set(found.symbols) == symbols
    assert set(found.channels) == channels


@pytest.mark.parametrize("text", ["", "not json\n", '{"result":null,"id":1}\n', "[1]\n"])
def test_what_is_no_session(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text(text)
    with pytest.raises(ConfigError, match="holds no frame"):
        recording.read(path, 1.0, 1)


@pytest.mark.parametrize(
    ("folder", "named"), [("okx/spot", "okx.spot"), ("binance/usdm", "binance.usdm"), ("deribit/x", "deribit.x")]
)
def test_another_markets_recording_is_refused_by_name(tmp_path: Path, folder: str, named: str) -> None:
    path = tmp_path / folder / "x.jsonl"
    path.parent.mkdir(parents=True)
    path.write_text('{"e":"trade","s":"BTCUSDT"}\n')
    with pytest.raises(ConfigError, match=rf"recording of {named}.*only recordings of binance\.spot are replayed"):
        recording.read(path, 1.0, 1, ("okx", "deribit"))


def test_a_folder_that_names_no_exchange_says_nothing(tmp_path: Path) -> None:
    path = tmp_path / "okx" / "spot" / "x.jsonl"
    path.parent.mkdir(parents=True)
    path.write_text('{"arg":{"channel":"trades","instId":"BTC-USDT"},"data":[]}\n')
    with pytest.raises(ConfigError, match=r"holds no frame of a binance\.spot stream"):
        recording.read(path, 1.0, 1)


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="cannot read the recording"):
        recording.read(path, 1.0, 1)


@pytest.mark.parametrize(
    ("name", "slug"),
    [("seq_A 1.jsonl", "seq-a-1"), ("--.jsonl", "recording"), ("x" * 200 + ".jsonl", "x" * 60), ("Ä.b.jsonl", "b")],
)
def test_slugs(name: str, slug: str) -> None:
    assert recording.slug(Path(name)) == slug


def test_runs_are_counted_per_file(tmp_path: Path) -> None:
    one = recording.Recording(tmp_path / "a.jsonl", "binance", "spot", ("X",), ("book",), 1.0, 1)
    other = tmp_path / "b.jsonl"
    assert recording.next_run(tmp_path, one.path) == 1
    recording.note_run(tmp_path, one)
    recording.note_run(tmp_path, dataclasses.replace(one, run=2))
    assert recording.next_run(tmp_path, one.path) == 3
    assert recording.next_run(tmp_path, other) == 1
