"""What is in a recorded session: of which market it is, which symbols and channels it holds, which run this is."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from marketdata.errors import ConfigError

SLUG_CHARS_MAX = 60
RUNS_FILE = "recordings.json"


@dataclass(frozen=True)
class Recording:
    path: Path
    exchange: str
    market: str
    symbols: tuple[str, ...]
    channels: tuple[str, ...]
    speed: float
    run: int

    @property
    def slug(self) -> str:
        return slug(self.path)


def slug(path: Path) -> str:
    """The file's name as part of names of topics and databases."""
    name = re.sub(r"[^a-z0-9]+", "-", path.stem.lower()).strip("-")
    return name[:SLUG_CHARS_MAX].strip("-") or "recording"


BINANCE_EVENTS = {
    "trade": "trade",
    "aggTrade": "agg_trade",
    "depthUpdate": "book",
    "bookTicker": "bbo",
    "kline": "kline",
    "24hrTicker": "ticker",
}


def binance_subject(frame: dict[str, Any]) -> tuple[str, str] | None:
    """(symbol, channel) of a frame; None for what is no subscribed data."""
    data = frame.get("data", frame)
    if not isinstance(data, dict) or not isinstance(data.get("s"), str):
        return None
    kind = data.get("e") or ("bookTicker" if {"u", "b", "B", "a", "A"} <= data.keys() else "")
    channel = BINANCE_EVENTS.get(kind)
    return (data["s"], channel) if channel else None


Subject = Callable[[dict[str, Any]], tuple[str, str] | None]

SUBJECTS: dict[tuple[str, str], Subject] = {("binance", "spot"): binance_subject}
"""(exchange, market) whose recordings the simulator replays -> how to tell what a frame is about."""


def read(path: Path, speed: float, run: int, exchanges: Iterable[str] = ()) -> Recording:
    """Looks through the file. The market is told from the path where that names one of `exchanges`
    (`.../binance/spot/x.jsonl`), else it is the first of `SUBJECTS`.

    Raises ConfigError where the file cannot be served.
    """
    if not path.is_file():
        raise ConfigError(f"there is no recording {path}")
    if not speed > 0:
        raise ConfigError(f"SPEED must be a number above 0, not {speed}")
    folder = path.absolute().parent
    replayed = ", ".join(f"{exchange}.{market}" for exchange, market in SUBJECTS)
    market = next(iter(SUBJECTS))
    if folder.parent.name in {*exchanges, *(exchange for exchange, _ in SUBJECTS)}:
        market = folder.parent.name, folder.name
    if market not in SUBJECTS:
        raise ConfigError(
            f"{path} is a recording of {'.'.join(market)}, as its folder says: only recordings of {replayed} are "
            f"replayed; `python -m venues.conformance {path}` judges any"
        )
    try:
        with path.open(encoding="utf-8") as lines:
            symbols, channels = _subjects(lines, SUBJECTS[market])
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigError(f"cannot read the recording {path}: {exc}") from None
    if not symbols:
        raise ConfigError(
            f"{path} holds no frame of a {'.'.join(market)} stream: is it a recorded session, one frame per line? "
            f"Only those of {replayed} are replayed"
        )
    return Recording(path.absolute(), *market, symbols, channels, speed, run)


def _subjects(lines: Iterable[str], subject: Subject) -> tuple[tuple[str, ...], tuple[str, ...]]:
    symbols: dict[str, None] = {}
    channels: dict[str, None] = {}
    for line in lines:
        try:
            frame = json.loads(line)
        except ValueError:
            continue
        found = subject(frame) if isinstance(frame, dict) else None
        if found:
            symbols[found[0]] = None
            channels[found[1]] = None
    return tuple(symbols), tuple(channels)


def next_run(data_dir: Path, path: Path) -> int:
    """1 for a file never served from this data folder, else one more than the last time."""
    return _runs(data_dir).get(slug(path), 0) + 1


def note_run(data_dir: Path, recording: Recording) -> None:
    runs = _runs(data_dir)
    runs[recording.slug] = recording.run
    part = data_dir / (RUNS_FILE + ".part")
    part.write_text(json.dumps(runs, indent=1) + "\n", encoding="utf-8")
    part.replace(data_dir / RUNS_FILE)


def _runs(data_dir: Path) -> dict[str, int]:
    try:
        runs = json.loads((data_dir / RUNS_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {str(k): int(v) for k, v in runs.items()}
