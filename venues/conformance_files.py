"""Recorded frames on disk: which files there are, what class each is of, and their lines.

Layout, see the README beside the recordings: `<exchange>/<market>/<name>.jsonl`, one raw message per line as the venue
sent it; REST replies wrapped as {"_rest": path, "_recv": seconds, "body": reply}. `seq_<name>.jsonl` is one connection
in arrival order with `seq_<name>.recv.txt` holding the receive time (seconds) line for line.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec
from msgspec import Raw, Struct

from venues import VENUES
from venues.contract import Venue

FileClass = Literal["sequence", "sample", "docs", "tardis", "sent"]
"""sequence: consecutive frames of one connection. sample: frames by kind, from several sources. docs: examples from
documentation. tardis: re-wrapped by another recorder. sent: requests of the recorder, not the venue's."""


class RestLine(Struct):
    """A REST reply in a recording; the body stays the venue's bytes."""

    path: str = msgspec.field(name="_rest")
    body: Raw
    recv_s: Raw = msgspec.field(name="_recv", default_factory=Raw)


class Line(NamedTuple):
    number: int
    """From 1."""
    frame: bytes
    recv_time_ns: str
    """Empty where the recording does not say."""


_decode_rest = msgspec.json.Decoder(RestLine).decode


def file_class(path: Path) -> FileClass:
    """By the file's name alone."""
    name = path.name
    if name.endswith(".sent.jsonl"):
        return "sent"
    if name.endswith(".docs.jsonl"):
        return "docs"
    if "_tardis" in name:
        return "tardis"
    return "sequence" if name.startswith("seq_") else "sample"


def venues_of(path: Path, venues: Iterable[Venue] = VENUES) -> tuple[Venue, ...]:
    """The markets whose recordings lie at this path, the match nearest to the file's name; they share a protocol."""
    parts = path.resolve().parent.parts
    for end in range(len(parts), 0, -1):
        found = tuple(venue for venue in venues if any(_ends_with(parts[:end], folder) for folder in venue.recordings))
        if found:
            return found
    return ()


def _ends_with(parts: tuple[str, ...], folder: str) -> bool:
    wanted = tuple(folder.split("/"))
    return parts[-len(wanted) :] == wanted


def exchange_folder(path: Path, venues: Iterable[Venue]) -> Path | None:
    """The folder that holds all recordings of a file's exchange: `.../okx` of `.../okx/swap/book.jsonl`."""
    names = {folder.split("/")[0] for venue in venues for folder in venue.recordings}
    return next((parent for parent in path.resolve().parents if parent.name in names), None)


def find_files(path: Path) -> list[Path]:
    """A file itself; of a folder all recordings below it, in order of their paths; nothing where there is nothing."""
    if path.is_dir():
        return sorted(p for p in path.rglob("*.jsonl") if p.is_file())
    return [path] if path.is_file() else []


def read_lines(path: Path) -> Iterator[Line]:
    """The lines of a recording, with their receive times where a file of them lies beside it."""
    times = path.with_suffix(".recv.txt")
    received = times.read_text().split() if times.is_file() else []
    with path.open("rb") as file:
        for number, raw in enumerate(file, 1):
            recv_ns = nanoseconds(received[number - 1]) if number <= len(received) else ""
            yield Line(number, raw.rstrip(b"\r\n"), recv_ns)


def rest_reply(line: Line) -> RestLine | None:
    """The REST reply a line wraps; None: it is a frame of the connection. Raises msgspec.MsgspecError."""
    return _decode_rest(line.frame) if line.frame.startswith(b'{"_rest"') else None


def nanoseconds(seconds: str) -> str:
    """Decimal seconds as integer nanoseconds, exactly (further digits are cut)."""
    return str(int(Decimal(seconds) * 1_000_000_000))
