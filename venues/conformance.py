"""Replay recorded frames through the venues' pure code and say, per file, what was found.

    python -m venues.conformance PATH...

Paths are files or folders laid out as `<exchange>/<market>/<name>.jsonl` (see `venues.conformance_files`); the venue is
told from the path. One JSON object per file goes to standard output, complaints and a summary to standard error.

Files named `seq_*` hold the consecutive frames of one connection with REST snapshots inline: their sequences are
checked. All others are samples by kind: parsed and normalised. The key `class` tells documentation examples (`docs`),
frames re-wrapped by another recorder (`tardis`) and the recorder's own requests (`sent`, only counted) from recordings.

Exit code 1 on any error, unknown kind, gap, crossed book or mismatch; 2 when a path holds nothing we can judge.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from marketdata import codec
from marketdata.errors import BadData
from marketdata.types import AnyRecord, Bbo, Trade, VenueKline
from marketdata.validation import check_record
from venues.conformance_checks import BookCheck, KlineCheck, Report, TradeCheck
from venues.conformance_files import (
    Line,
    RestLine,
    file_class,
    find_files,
    nanoseconds,
    read_lines,
    rest_reply,
    venue_of,
)  # fmt: skip
from venues.contract import Ack, Alive, Context, Data, Notice, PassedId, Reply, Stream, Unknown, Venue, VenueError

COMPLAINTS_MAX = 20
"""Complaints printed per file; all are counted."""

_encode = codec.encoder("json")


class Replay:
    """One file through one venue's code."""

    def __init__(self, venue: Venue, path: Path, out: Callable[[str], None]) -> None:
        self.report = Report(
            file=str(path), file_class=file_class(path), venue=f"{venue.exchange}/{venue.market}", events={}
        )
        self._venue, self._path, self._out = venue, path, out
        self._in_sequence = self.report.file_class == "sequence"
        self._line_number = 0
        self._complaints = 0
        self._first_time_us = 0
        self._books: dict[str, BookCheck] = {}
        self._trades: dict[tuple[str, bool], TradeCheck] = {}
        self._klines: dict[str, KlineCheck] = {}

    def run(self) -> Report:
        for line in read_lines(self._path):
            self.report.frames += 1
            self._line_number = line.number
            try:
                self._line(line)
            except BadData as exc:
                self._error(str(exc))
            except Exception as exc:  # noqa: BLE001  the outermost loop: a bug of ours is this file's result
                self._error(f"{type(exc).__name__}: {exc}")
        for check in self._klines.values():
            check.finish(self._first_time_us)
        return self.report

    def _line(self, line: Line) -> None:
        if self.report.file_class == "sent":
            msgspec.json.decode(line.frame)
            self.report.count("sent")
        elif (reply := rest_reply(line)) is not None:
            self._rest(line, reply)
        else:
            self._frame(line)

    def _rest(self, line: Line, rest: RestLine) -> None:
        recv_s = bytes(rest.recv_s).decode()
        recv_ns = nanoseconds(recv_s) if recv_s else line.recv_time_ns
        context = Context(self._venue.exchange, self._venue.market, "", recv_ns)
        reply = self._venue.read_rest(rest.path, bytes(rest.body), context)
        if reply.error is not None:
            self.report.count("venue_error")
        elif reply.snapshot is not None:
            self.report.count("snapshot")
            if self._in_sequence:
                self._book(reply.symbol).snapshot(reply.snapshot)
        elif reply.records:
            for record in reply.records:
                self._record(record)
        elif reply.kind == "ping":
            self.report.ignored += 1
        else:
            self.report.count(reply.kind)

    def _frame(self, line: Line) -> None:
        found = self._venue.protocol.classify(line.frame)
        match found:
            case Data():
                self._data(line, found)
            case Ack() | Reply() | Alive():
                self.report.ignored += 1
            case VenueError():
                self.report.count("venue_error")
            case Notice():
                self.report.count(found.kind)
            case Unknown():
                self.report.unknown += 1
                self._complain(f"unknown: {found.reason}")

    def _data(self, line: Line, data: Data) -> None:
        stream = data.stream
        if data.event_time_ms is not None and not self._first_time_us:
            self._first_time_us = data.event_time_ms * 1000
        if stream.channel == "book":
            self._book_frame(line, stream)
            return
        normalise = self._venue.normalisers.get(stream.channel)
        if normalise is None:
            self.report.unknown += 1
            self._complain(f"unknown: no normaliser for channel {stream.channel!r}")
            return
        context = Context(self._venue.exchange, self._venue.market, stream.symbol, line.recv_time_ns)
        records = normalise(line.frame, context)
        for record in records:
            if isinstance(record, PassedId):
                self.report.count(record.reason)
                continue
            self._record(record)
            if self._in_sequence:
                self._in_order(record)
        if not records:
            self.report.count(stream.channel)

    def _book_frame(self, line: Line, stream: Stream) -> None:
        frame = self._venue.parse_book(line.frame)
        if frame.envelope != self._venue.protocol.book_envelope(line.frame):
            self._error("the ids read with the levels differ from those of the envelope alone")
        self.report.count("book_delta")
        if self._in_sequence:
            self._book(stream.symbol).update(frame)

    def _record(self, record: AnyRecord) -> None:
        check_record(record)
        if codec.decode(_encode(record)) != record:
            self._error(f"{record} does not survive being written and read")
        name = str(type(record).__struct_config__.tag)
        self.report.count(_channel(record) if isinstance(record, Trade) else name)

    def _in_order(self, record: AnyRecord) -> None:
        """A record of consecutive frames."""
        if isinstance(record, Trade):
            self._trade_check(record).trade(record)
            self._kline_check(record.symbol).trade(record)
        elif isinstance(record, VenueKline):
            self._kline_check(record.symbol).kline(record)
        elif isinstance(record, Bbo):
            self._book(record.symbol).bbo(record)

    def _book(self, symbol: str) -> BookCheck:
        if symbol not in self._books:
            self._books[symbol] = BookCheck(self._venue, symbol, self.report, self._complain)
        return self._books[symbol]

    def _trade_check(self, trade: Trade) -> TradeCheck:
        key = (trade.symbol, trade.aggregated)
        if key not in self._trades:
            self._trades[key] = TradeCheck(trade.symbol, _channel(trade), self.report, self._complain)
        return self._trades[key]

    def _kline_check(self, symbol: str) -> KlineCheck:
        if symbol not in self._klines:
            self._klines[symbol] = KlineCheck(self._venue, symbol, self.report, self._complain)
        return self._klines[symbol]

    def _error(self, text: str) -> None:
        self.report.errors += 1
        self._complain(f"error: {text}")

    def _complain(self, text: str) -> None:
        self._complaints += 1
        if self._complaints <= COMPLAINTS_MAX:
            self._out(f"{self._path}:{self._line_number}: {text[:500]}")


def _channel(trade: Trade) -> str:
    return "agg_trade" if trade.aggregated else "trade"


def replay(venue: Venue, path: Path, out: Callable[[str], None]) -> Report:
    """Replays one recording; `out` takes the complaints."""
    return Replay(venue, path, out).run()


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m venues.conformance", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="recordings, or folders of them")
    paths: list[Path] = parser.parse_args(argv).paths
    return run(paths, _to_stderr)


def run(paths: Sequence[Path], out: Callable[[str], None]) -> int:
    """Replays all files below the paths; the exit code."""
    totals: Counter[str] = Counter()
    skipped: Counter[str] = Counter()
    failed = unusable = 0
    for path in paths:
        known = [(file, venue) for file in find_files(path) if (venue := venue_of(file)) is not None]
        if not known:
            unusable += 1
            out(f"{path}: {_why_unusable(path)}")
            continue
        skipped.update(str(file.parent) for file in find_files(path) if venue_of(file) is None)
        for file, venue in known:
            report = replay(venue, file, out)
            sys.stdout.write(msgspec.json.encode(report).decode() + "\n")
            totals[report.file_class] += 1
            failed += not report.passed
    _summary(totals, skipped, failed, out)
    return 2 if unusable else int(failed > 0)


def _why_unusable(path: Path) -> str:
    if not path.exists():
        return "no such file or folder"
    if path.is_dir() and not find_files(path):
        return "no recordings (*.jsonl) in it"
    return "of no registered venue; the path must hold <exchange>/<market> of one of them"


def _summary(totals: Counter[str], skipped: Counter[str], failed: int, out: Callable[[str], None]) -> None:
    classes = ", ".join(f"{number} {name}" for name, number in sorted(totals.items()))
    out(f"{totals.total()} files ({classes or 'none'}), {failed} failed")
    if skipped:
        folders = ", ".join(sorted(skipped))
        out(f"{skipped.total()} files skipped, their folders belong to no registered venue: {folders}")


def _to_stderr(text: str) -> None:
    sys.stderr.write(text + "\n")


if __name__ == "__main__":
    sys.exit(main())
