"""A recorded session, read and understood: what is sent when, to whom, and which snapshots belong where. Pure.

A file has one frame a line, as received; lines with `_rest` are replies to REST requests of that session. Beside it
`<name>.recv.txt` gives each line's receive time in epoch seconds; without it the frames' own event times are used.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from simulator.market.instruments import E8, split_symbol
from simulator.rest_params import symbol_info
from simulator.wire import dec

STREAM = re.compile(rb'^\{"stream":\s*"([^"]+)",\s*"data":\s*')
EVENT_TIME = re.compile(rb'"E":\s*(\d+)')


@dataclass(frozen=True)
class RecordedFrame:
    """One line: when it came, its stream, the bytes of its payload and of the whole."""

    time_us: int
    stream: str
    data: bytes
    whole: bytes


@dataclass(frozen=True)
class RecordedSnapshot:
    """A reply to GET depth: available once `position` lines of the session were played."""

    position: int
    time_us: int
    limit: int
    last_id: int
    body: bytes


@dataclass
class Recording:
    """A session in order."""

    name: str
    frames: list[RecordedFrame] = field(default_factory=list)
    snapshots: dict[str, list[RecordedSnapshot]] = field(default_factory=dict)
    infos: list[Any] = field(default_factory=list)
    skipped: int = 0
    """Lines that are neither frames of a stream nor depth replies (acks, other REST replies)."""

    @property
    def streams(self) -> list[str]:
        return list(dict.fromkeys(frame.stream for frame in self.frames))

    @property
    def symbols(self) -> list[str]:
        return [info["symbol"] for info in self.infos]


class BadRecording(Exception):
    """The file is not a recorded session; says which line."""


def parse_recording(name: str, lines: Iterable[bytes], received: Sequence[str] | None) -> Recording:
    """Read a session. Raises BadRecording."""
    out = Recording(name)
    steps = Decimals()
    now_us = 0
    recorded_infos: dict[str, Any] = {}
    for number, line in enumerate(lines):
        line = line.strip()
        if not line:
            continue
        try:
            now_us = max(now_us, _time_us(line, received, number, now_us))
            if line.startswith(b'{"_rest"'):
                _rest(out, line, now_us, steps, recorded_infos)
            elif (match := STREAM.match(line)) is not None:
                stream = match[1].decode()
                out.frames.append(RecordedFrame(now_us, stream, line[match.end() : -1], line))
                steps.note_frame(stream, json.loads(line)["data"])
            else:
                out.skipped += 1
        except (ValueError, KeyError, TypeError, IndexError) as exc:
            raise BadRecording(f"{name}:{number + 1}: {exc}") from None
    if not out.frames:
        raise BadRecording(f"{name}: no frame of a stream in it")
    out.infos = [recorded_infos.get(symbol) or steps.info(symbol) for symbol in steps.symbols()]
    return out


def _time_us(line: bytes, received: Sequence[str] | None, number: int, last_us: int) -> int:
    if received is not None:
        return int(Decimal(received[number]) * 1_000_000)
    match = EVENT_TIME.search(line)
    return int(match[1]) * 1000 if match else last_us


def _rest(out: Recording, line: bytes, now_us: int, steps: Decimals, infos: dict[str, Any]) -> None:
    told = json.loads(line)
    parts = urlsplit(told["_rest"])
    query = dict(parse_qsl(parts.query))
    if parts.path.endswith("/exchangeInfo"):
        infos.update({info["symbol"]: info for info in told["body"]["symbols"]})
    elif parts.path.endswith("/depth"):
        start = line.index(b'"body":') + len(b'"body":')
        body = line[start:-1].strip()
        symbol = query["symbol"]
        steps.note_levels(symbol, (*told["body"]["bids"], *told["body"]["asks"]))
        out.snapshots.setdefault(symbol, []).append(
            RecordedSnapshot(len(out.frames), now_us, int(query.get("limit", 100)), told["body"]["lastUpdateId"], body)
        )
    else:
        out.skipped += 1


class Decimals:
    """How fine prices and quantities of each symbol were seen to be."""

    def __init__(self) -> None:
        self.price: dict[str, int] = {}
        self.qty: dict[str, int] = {}

    def symbols(self) -> list[str]:
        return list(self.price)

    def note_frame(self, stream: str, data: Any) -> None:
        kind = data.get("e", "") if isinstance(data, dict) else ""
        symbol = data.get("s") if isinstance(data, dict) else None
        if symbol is None:
            return
        self.price.setdefault(symbol, 0)
        self.qty.setdefault(symbol, 0)
        if kind == "depthUpdate":
            self.note_levels(symbol, (*data["b"], *data["a"]))
        elif kind in ("trade", "aggTrade"):
            self.note_levels(symbol, ((data["p"], data["q"]),))
        elif kind == "kline":
            bar = data["k"]
            self.note_levels(symbol, ((bar["o"], bar["v"]), (bar["c"], bar["V"])))
        elif stream.endswith("@bookTicker"):
            self.note_levels(symbol, ((data["b"], data["B"]), (data["a"], data["A"])))

    def note_levels(self, symbol: str, levels: Iterable[Sequence[str]]) -> None:
        price, qty = self.price.get(symbol, 0), self.qty.get(symbol, 0)
        for level in levels:
            price = max(price, _places(level[0]))
            qty = max(qty, _places(level[1]))
        self.price[symbol], self.qty[symbol] = price, qty

    def info(self, symbol: str) -> Any:
        base, quote = split_symbol(symbol)
        tick, step = E8 // 10 ** self.price[symbol], E8 // 10 ** self.qty[symbol]
        return symbol_info(symbol, base, quote, dec(tick), dec(step))


def _places(text: str) -> int:
    return len(text.partition(".")[2].rstrip("0"))


def snapshot_at(recording: Recording, symbol: str, snapshot: RecordedSnapshot, position: int, limit: int) -> bytes:
    """The book after `position` frames: the recorded snapshot with the recorded updates since applied.

    For a client that joined so late that the recorded reply cannot bridge to what it receives.
    """
    told = json.loads(snapshot.body)
    sides = {"b": {p: q for p, q, *_ in told["bids"]}, "a": {p: q for p, q, *_ in told["asks"]}}
    last_id = snapshot.last_id
    stream = f"{symbol.lower()}@depth"
    for frame in recording.frames[:position]:
        if not frame.stream.startswith(stream):
            continue
        data = json.loads(frame.data)
        if data.get("e") != "depthUpdate" or data["u"] <= last_id:
            continue
        for name, levels in sides.items():
            for price, qty in data[name]:
                if Decimal(qty):
                    levels[price] = qty
                else:
                    levels.pop(price, None)
        last_id = data["u"]
    bids = sorted(sides["b"].items(), key=lambda level: -Decimal(level[0]))[:limit]
    asks = sorted(sides["a"].items(), key=lambda level: Decimal(level[0]))[:limit]
    return json.dumps({"lastUpdateId": last_id, "bids": bids, "asks": asks}, separators=(",", ":")).encode()
