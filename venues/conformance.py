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
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import msgspec
from msgspec import structs

from marketdata import codec
from marketdata.errors import BadData
from marketdata.types import AnyRecord, Bbo, Instrument, Trade, VenueKline
from marketdata.validation import check_record
from venues.conformance_checks import BookCheck, KlineCheck, Report, TradeCheck
from venues.conformance_files import (
    Line,
    RestLine,
    exchange_folder,
    file_class,
    find_files,
    nanoseconds,
    read_lines,
    rest_reply,
    venues_of,
)  # fmt: skip
from venues.contract import (
    Ack,
    Alive,
    Context,
    Data,
    Notice,
    PassedId,
    Reply,
    RestReply,
    Unknown,
    Venue,
    VenueError,
)  # fmt: skip

COMPLAINTS_MAX = 20
"""Complaints printed per file; all are counted."""

SYMBOL_PARAMETERS = ("symbol", "instId", "instrument_name", "contract_code", "pair")
"""Names by which venues' REST queries say what they are about."""

_encode = codec.encoder("json")


class Replay:
    """One file through the code of the markets it is of."""

    def __init__(self, venues: Sequence[Venue], path: Path, out: Callable[[str], None]) -> None:
        venue = venues[0]
        name = f"{venue.exchange}/{'+'.join(v.market for v in venues)}"
        self.report = Report(file=str(path), file_class=file_class(path), venue=name, events={})
        self._venues, self._protocol, self._path, self._out = venues, venue.protocol, path, out
        self._in_sequence = self.report.file_class == "sequence"
        self._line_number = 0
        self._complaints = 0
        self._first_time_us = 0
        self._books: dict[str, BookCheck] = {}
        self._trades: dict[tuple[str, bool], TradeCheck] = {}
        self._klines: dict[str, KlineCheck] = {}
        folder = exchange_folder(path, venues)
        self._instruments = recorded_instruments(folder) if folder is not None else {}

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
        venue = self._venue_of(symbol_in(rest.path)) or self._venues[0]
        context = Context(venue.exchange, venue.market, "", recv_ns, self._instruments.get(symbol_in(rest.path)))
        reply = self._read_rest(venue, rest, context)
        if reply.error is not None:
            self.report.count("venue_error")
        elif reply.snapshot is not None:
            self.report.count("snapshot")
            if self._in_sequence:
                self._book(venue, reply.symbol).snapshot(reply.snapshot)
        elif reply.records:
            for record in reply.records:
                self._record(record)
        elif reply.kind == "ping":
            self.report.ignored += 1
        else:
            self.report.count(reply.kind)

    def _read_rest(self, venue: Venue, rest: RestLine, context: Context) -> RestReply:
        try:
            return venue.read_rest(rest.path, bytes(rest.body), context)
        except BadData as exc:
            if exc.code != "no_instrument":
                raise
        self.report.units_assumed += 1  # the recording does not say what it was asked about
        return venue.read_rest(rest.path, bytes(rest.body), structs.replace(context, instrument=_assumed(venue, "")))

    def _frame(self, line: Line) -> None:
        found = self._protocol.classify(line.frame)
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
        for symbol in data.symbols or (stream.symbol,):
            venue = self._venue_of(symbol)
            if venue is None:
                self.report.unknown += 1
                self._complain(f"unknown: {symbol!r} is a symbol of none of these markets")
            elif stream.channel == "book":
                self._book_frame(line, venue, symbol)
            else:
                self._records(line, venue, stream.channel, symbol)

    def _records(self, line: Line, venue: Venue, channel: str, symbol: str) -> None:
        normalise = venue.normalisers.get(channel)
        if normalise is None:
            self.report.unknown += 1
            self._complain(f"unknown: no normaliser for channel {channel!r}")
            return
        records = normalise(line.frame, self._context(line, venue, channel, symbol))
        for record in records:
            if isinstance(record, PassedId):
                self.report.count(record.reason)
                self._trade_check(venue, symbol, channel).passed(record)
                continue
            self._record(record)
            if self._in_sequence:
                self._in_order(venue, record)
        if not records:
            self.report.count(channel)

    def _context(self, line: Line, venue: Venue, channel: str, symbol: str) -> Context:
        """With the instrument of a recording; where none is recorded and units need one, contracts of size 1."""
        instrument = self._instruments.get(symbol)
        if instrument is None and channel in venue.unit_channels:
            self.report.units_assumed += 1
            instrument = _assumed(venue, symbol)
        return Context(venue.exchange, venue.market, symbol, line.recv_time_ns, instrument)

    def _venue_of(self, symbol: str) -> Venue | None:
        if len(self._venues) == 1:
            return self._venues[0]
        return next((venue for venue in self._venues if venue.owns(symbol)), None)

    def _book_frame(self, line: Line, venue: Venue, symbol: str) -> None:
        frame = venue.parse_book(line.frame)
        if frame.envelope != venue.protocol.book_envelope(line.frame):
            self._error("the ids read with the levels differ from those of the envelope alone")
        self.report.count("book_snapshot" if frame.envelope.is_snapshot else "book_delta")
        if self._in_sequence:
            self._book(venue, symbol).update(frame)

    def _record(self, record: AnyRecord) -> None:
        check_record(record)
        if codec.decode(_encode(record)) != record:
            self._error(f"{record} does not survive being written and read")
        name = str(type(record).__struct_config__.tag)
        self.report.count(_channel(record) if isinstance(record, Trade) else name)

    def _in_order(self, venue: Venue, record: AnyRecord) -> None:
        """A record of consecutive frames."""
        if isinstance(record, Trade):
            self._trade_check(venue, record.symbol, _channel(record)).trade(record)
            self._kline_check(venue, record.symbol).trade(record)
        elif isinstance(record, VenueKline):
            self._kline_check(venue, record.symbol).kline(record)
        elif isinstance(record, Bbo):
            self._book(venue, record.symbol).bbo(record)

    def _book(self, venue: Venue, symbol: str) -> BookCheck:
        if symbol not in self._books:
            self._books[symbol] = BookCheck(venue, symbol, self.report, self._complain)
        return self._books[symbol]

    def _trade_check(self, venue: Venue, symbol: str, channel: str) -> TradeCheck:
        key = (symbol, channel == "agg_trade")
        if key not in self._trades:
            self._trades[key] = TradeCheck(venue, symbol, channel, self.report, self._complain)
        return self._trades[key]

    def _kline_check(self, venue: Venue, symbol: str) -> KlineCheck:
        if symbol not in self._klines:
            self._klines[symbol] = KlineCheck(venue, symbol, self.report, self._complain)
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


def replay(venues: Sequence[Venue], path: Path, out: Callable[[str], None]) -> Report:
    """Replays one recording of these markets, which share a protocol; `out` takes the complaints."""
    return Replay(venues, path, out).run()


def _assumed(venue: Venue, symbol: str) -> Instrument:
    """Contracts of size 1."""
    return Instrument(exchange=venue.exchange, market=venue.market, symbol=symbol, base="", quote="", status="")


def symbol_in(path: str) -> str:
    """The symbol a REST path asks about; "" where it names none in a way we know."""
    query = dict(parse_qsl(urlsplit(path).query))
    return next((query[name].upper() for name in SYMBOL_PARAMETERS if name in query), "")


@lru_cache(maxsize=8)
def recorded_instruments(folder: Path) -> Mapping[str, Instrument]:
    """What the metadata recorded anywhere in an exchange's folder say of its symbols; real replies before examples."""
    found: dict[str, Instrument] = {}
    for file in sorted(find_files(folder), key=lambda file: file_class(file) != "docs"):
        venues = venues_of(file)
        for line in read_lines(file) if venues and file_class(file) != "sequence" else ():
            for venue in venues:
                found.update(_instruments(line, venue))
    return found


def _instruments(line: Line, venue: Venue) -> dict[str, Instrument]:
    rest = rest_reply(line)
    if rest is None:
        return {}
    try:
        reply = venue.read_rest(rest.path, bytes(rest.body), Context(venue.exchange, venue.market, "", ""))
    except BadData:
        return {}  # complained about when the file itself is replayed
    return {r.symbol: r for r in reply.records if isinstance(r, Instrument) and venue.owns(r.symbol)}


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
        known = [(file, found) for file in find_files(path) if (found := venues_of(file))]
        if not known:
            unusable += 1
            out(f"{path}: {_why_unusable(path)}")
            continue
        skipped.update(str(file.parent) for file in find_files(path) if not venues_of(file))
        for file, found in known:
            report = replay(found, file, out)
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
