"""Frames that wait on disk while Kafka cannot take them: an ordered queue in bounded file segments.

A segment is a run of records, each `length (u32) crc32 (u32) msgpack(record)`, big-endian. Writes go straight to the
operating system (a killed process loses nothing that was appended; a crashed machine may lose the page cache). A
segment is deleted only when the caller says that all of it was delivered, so a crash repeats records, never drops one.
Segments left by an earlier process are read first. A tail torn by a crash is detected, cut and counted.
"""

from __future__ import annotations

import fcntl
import os
import struct
import zlib
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import msgspec

from ingest.records import Record
from marketdata.errors import ConfigError

HEAD = struct.Struct(">II")
FIRST_NUMBER = 1 << 32
"""Numbers grow for later segments and shrink for ones put in front, so start in the middle."""

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Record).decode


@dataclass
class Segment:
    number: int
    path: Path
    size: int
    """Bytes of whole records written."""
    read_at: int = 0
    """Up to here records were read."""
    undelivered: int = 0
    """Records read (handed to Kafka) and not reported delivered."""
    sealed: bool = False


class Spill:
    """The queue. Not thread-safe: one event loop owns it. Raises ConfigError when another process has the folder."""

    def __init__(self, folder: Path, bytes_max: int, segment_bytes: int) -> None:
        self.bytes_max = bytes_max
        self._segment_bytes = segment_bytes
        self._folder = folder
        self.torn = 0
        """Torn tails cut so far."""
        self.torn_bytes = 0
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = _lock(folder / "lock")
        self._segments: deque[Segment] = deque(_leftovers(folder))
        for segment in self._segments:
            segment.sealed = True
        self._reader: tuple[Segment, BinaryIO] | None = None
        self._writer: tuple[Segment, int] | None = None

    @property
    def size_bytes(self) -> int:
        return sum(s.size for s in self._segments)

    @property
    def pending(self) -> bool:
        """True while records wait to be read; segments that only wait for delivery do not count."""
        return any(s.read_at < s.size for s in self._segments)

    @property
    def full(self) -> bool:
        return self.size_bytes >= self.bytes_max

    def append(self, record: Record) -> None:
        """Put a record at the end. Raises OSError when the disk refuses; the segment is cut back to whole records.

        The bound is the caller's to keep (see `full`): the last words of a connection must still fit.
        """
        body = _encode(record)
        segment, fd = self._tail()
        data = HEAD.pack(len(body), zlib.crc32(body)) + body
        try:
            written = os.write(fd, data)
            if written != len(data):
                raise OSError(28, "the disk took only a part of a record")
        except OSError:
            os.ftruncate(fd, segment.size)
            raise
        segment.size += len(data)
        if segment.size >= self._segment_bytes:
            self._seal()

    def put_in_front(self, records: Iterable[Record]) -> None:
        """Take back everything that was handed to Kafka and may not have arrived, in order: it is older than all that
        waits here, and is read first, by this process or a later one.

        What was read from segments must be among `records`, so those segments are cut down to their unread rest.
        """
        self._seal()
        self._close_reader()
        first = self._segments[0].number if self._segments else FIRST_NUMBER
        segment = Segment(first - 1, self._path(first - 1), 0, sealed=True)
        with segment.path.open("wb", buffering=1 << 16) as out:
            for record in records:
                body = _encode(record)
                out.write(HEAD.pack(len(body), zlib.crc32(body)) + body)
                segment.size += HEAD.size + len(body)
        for read in [s for s in self._segments if s.read_at]:
            self._cut_read(read)
        if segment.size:
            self._segments.appendleft(segment)
        else:
            segment.path.unlink()

    def _cut_read(self, segment: Segment) -> None:
        """Drop the part of a segment that was read."""
        if segment.read_at < segment.size:
            rest = segment.path.read_bytes()[segment.read_at : segment.size]
            fresh = segment.path.with_suffix(".new")
            fresh.write_bytes(rest)
            fresh.replace(segment.path)
            segment.size, segment.read_at, segment.undelivered = len(rest), 0, 0
        else:
            self._segments.remove(segment)
            segment.path.unlink()

    def read(self) -> tuple[Record, Segment] | None:
        """The oldest record not read yet, with the segment to report to `delivered`; None when there is none."""
        while True:
            segment = next((s for s in self._segments if s.read_at < s.size), None)
            if segment is None:
                return None
            record = self._read_one(segment)
            if record is not None:
                segment.undelivered += 1
                return record, segment
            self._drop_if_done(segment)

    def take_back(self, segment: Segment, record: Record) -> None:
        """Undo the last `read`: the record could not be handed on."""
        segment.read_at -= HEAD.size + len(_encode(record))
        segment.undelivered -= 1
        self._close_reader()

    def delivered(self, segment: Segment) -> None:
        """Kafka has one record of this segment; the file goes when it has them all."""
        segment.undelivered -= 1
        self._drop_if_done(segment)

    def close(self) -> None:
        """Let go of files and folder; what waits stays for the next process."""
        self._seal()
        self._close_reader()
        os.close(self._lock)

    # --- segments ---

    def _tail(self) -> tuple[Segment, int]:
        if self._writer is None:
            number = self._segments[-1].number + 1 if self._segments else FIRST_NUMBER
            segment = Segment(number, self._path(number), 0)
            fd = os.open(segment.path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o644)
            self._segments.append(segment)
            self._writer = (segment, fd)
        return self._writer

    def _seal(self) -> None:
        if self._writer is not None:
            segment, fd = self._writer
            os.close(fd)
            segment.sealed = True
            self._writer = None
            self._drop_if_done(segment)

    def _read_one(self, segment: Segment) -> Record | None:
        if self._reader is None or self._reader[0] is not segment:
            self._close_reader()
            opened = segment.path.open("rb", buffering=1 << 16)
            opened.seek(segment.read_at)
            self._reader = (segment, opened)
        file = self._reader[1]
        head = file.read(HEAD.size)
        body = b""
        if len(head) == HEAD.size:
            length, crc = HEAD.unpack(head)
            body = file.read(length)
            if len(body) == length:
                segment.read_at += HEAD.size + length
                if zlib.crc32(body) == crc and (record := _decoded(body)) is not None:
                    return record
                self.torn += 1  # damaged in the middle, or of another version: the records after it may be whole
                self.torn_bytes += HEAD.size + length
                return None
        self.torn += 1
        self.torn_bytes += segment.size - segment.read_at
        segment.size = segment.read_at
        return None

    def _drop_if_done(self, segment: Segment) -> None:
        if segment.read_at < segment.size or segment.undelivered > 0:
            return
        if not segment.sealed:
            if segment.size:
                self._seal()
        elif segment in self._segments:
            if self._reader is not None and self._reader[0] is segment:
                self._close_reader()
            self._segments.remove(segment)
            segment.path.unlink(missing_ok=True)

    def _close_reader(self) -> None:
        if self._reader is not None:
            self._reader[1].close()
            self._reader = None

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:012d}.spill"


def _decoded(body: bytes) -> Record | None:
    try:
        return _decode(body)
    except msgspec.MsgspecError:
        return None


def _leftovers(folder: Path) -> list[Segment]:
    for half_written in folder.glob("*.new"):
        half_written.unlink()
    return [Segment(int(p.stem), p, p.stat().st_size) for p in sorted(folder.glob("*.spill"))]


def _lock(path: Path) -> int:
    fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(fd)
        raise ConfigError(
            f"another ingest process uses the spill folder {path.parent}: give each its own ingest.pod"
        ) from None
    return fd
