"""What the books application does with one record of raw.book: a pure function of the record and of the key's object.

The order within one record: check it, feed the sequence machine, change the levels, then judge the book and publish.
Nothing is changed by a record that is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

import msgspec
import zstandard
from msgspec import Struct

from marketdata.book_feed import (
    Apply,
    BookFeed,
    Emerge,
    FeedDump,
    Hole,
    Outcome,
    Replace,
    SnapshotVerdict,
    Update,
)
from marketdata.book_json import BookWriter
from marketdata.book_overlap import load_feed, new_feed
from marketdata.codec import Encoding
from marketdata.errors import ImplausibleValue, UnparsableFrame
from marketdata.keys import parse_key
from marketdata.raw import (
    LIMIT_HEADER,
    Headers,
    connected_decoder,
    disconnected_decoder,
    from_kafka,
    heartbeat_decoder,
)
from marketdata.types import BookState
from marketdata.units import Units, units_of
from marketdata.validation import TIME_MAX_US
from processors.book_levels import IN_STREAM, BookLevels
from processors.book_publisher import BookPublisher, Proof
from processors.book_records import BookRecords
from processors.outputs import Output, SourceRecord
from runtime.config.processors import Books
from venues import find_venue
from venues.contract import BookFrame, Context, Venue

EVER_US = 1 << 62

NO_FLAGS: list[str] = []
FLAGS: dict[Outcome, list[str]] = {
    Outcome.APPLY: NO_FLAGS,
    Outcome.CONTAINED: NO_FLAGS,
    Outcome.STEPPED: NO_FLAGS,
    Outcome.HELD: ["unsynced", "buffered"],
    Outcome.GAP: ["unsynced", "gap_before", "buffered"],
    Outcome.LATE: ["unsynced", "late"],
}
"""Flags of the delta that passes an update on; outcomes that are not here pass nothing on (yet)."""

FAILURES = {
    "crossed": "crossed", "range": "range_exhausted", "checksum": "checksum_failed", "contract size": "units_changed"
}  # fmt: skip
"""How a failure is counted, by the first words of what is said of it."""
ID_END = 1 << 63
"""Ids and times of books are kept as integers of 64 bits; what does not fit was never one."""

_compress = zstandard.ZstdCompressor(level=1).compress
_decompress = zstandard.ZstdDecompressor().decompress


class Saved(Struct, array_like=True):
    """A LiveBook in state."""

    feed: FeedDump
    levels: bytes
    instrument: str
    published: BookState | None
    epoch: int
    update_id: str
    event_time_us: int
    verified_ns: str
    verified_us: int
    clock_us: int
    top_due_ms: int
    top_owed: bool
    deep_due_ms: int
    deep_owed: bool
    wait_since_ms: int
    wait_ms: int
    multiplier: str = ""
    inverse: bool = False
    wire: bytes = b""


_encode_saved = msgspec.msgpack.Encoder().encode
_decode_saved = msgspec.msgpack.Decoder(Saved).decode


class LiveBook:
    """One key's book: its feed, its levels, what proves it right, and its publishing."""

    def __init__(self, key: bytes, settings: Books, encoding: Encoding, count: Callable[[str], None]) -> None:
        self.name = parse_key(key)
        self.venue = find_venue(self.name.exchange, self.name.market)
        self.settings = settings
        self.rest_max_us = rest_max_us(settings, self.venue)
        self.count = count
        self.writer = BookWriter(self.name, encoding=encoding)
        self.records = BookRecords(self.name, key, encoding)
        self.publisher = BookPublisher(key, self.writer, settings, count)
        self.feed: BookFeed[bytes] = new_feed(self.venue.book_sync())
        self.levels = BookLevels(self.venue, settings)
        self.proof = Proof()
        self.wait_since_ms = 0
        self.wait_ms = 0

    def dump(self) -> bytes:
        """The object as bytes, compressed."""
        proof, publisher, units = self.proof, self.publisher, self.levels.units
        levels, wire = self.levels.dump()
        saved = Saved(
            self.feed.dump(), levels, self.writer.instrument, publisher.published, proof.epoch, proof.update_id,
            proof.event_time_us, proof.verified_ns, proof.verified_us, proof.clock_us, publisher.top_due_ms,
            publisher.top_owed, publisher.deep_due_ms, publisher.deep_owed, self.wait_since_ms, self.wait_ms,
            units.multiplier if units else "", units.inverse if units else False, wire,
        )  # fmt: skip
        return _compress(_encode_saved(saved))

    def load(self, blob: bytes) -> None:
        """Become what `dump` wrote."""
        saved = _decode_saved(_decompress(blob))
        self.feed = load_feed(self.venue.book_sync(), saved.feed)
        self.levels.load(saved.levels, saved.wire)
        self._name_instrument(saved.instrument)
        if saved.multiplier:
            self._use_units(Units(saved.multiplier, saved.inverse))
        proof, publisher = self.proof, self.publisher
        proof.epoch, proof.update_id, proof.event_time_us = saved.epoch, saved.update_id, saved.event_time_us
        proof.verified_ns, proof.verified_us, proof.clock_us = saved.verified_ns, saved.verified_us, saved.clock_us
        publisher.published = saved.published
        publisher.top_due_ms, publisher.top_owed = saved.top_due_ms, saved.top_owed
        publisher.deep_due_ms, publisher.deep_owed = saved.deep_due_ms, saved.deep_owed
        self.wait_since_ms, self.wait_ms = saved.wait_since_ms, saved.wait_ms

    @property
    def published(self) -> BookState | None:
        """State of the newest md.book record; None before the first."""
        return self.publisher.published

    @property
    def state(self) -> BookState:
        """What may be said of the book now."""
        if self.feed.state == "disconnected":
            return "stale"
        if self.feed.state == "resyncing":
            return "crossed" if self.feed.reason.startswith("crossed") else "resyncing"
        return "stale" if self.proof.clock_us - self.proof.verified_us > self.rest_max_us else "ok"

    @property
    def reason(self) -> str:
        """Why the state is not ok."""
        return self.feed.reason or f"no update for more than {self.rest_max_us / 1e6:g} s"

    # --- records -------------------------------------------------------------------------------------

    def handle(self, source: SourceRecord) -> list[Output]:
        """Apply one record of raw.book. Raises BadData, with nothing changed, for what must go to md.dead_letter."""
        headers = source.headers
        if len(headers) == 5 and headers[0] == ("kind", b"frame") and headers[2][0] == "recv_ns":
            return self._frame(source, headers[2][1].decode(), headers[3][1].decode())  # as ingest writes them
        h = from_kafka(headers)
        if h.kind == "frame":
            return self._frame(source, h.recv_ns, h.conn)
        return HANDLERS[h.kind](self, source, h)

    def _frame(self, source: SourceRecord, recv_ns: str, conn: str) -> list[Output]:
        value = source.value
        frame = self.venue.parse_book(value)
        (first, last, prev, event_time_us, is_snapshot), bids, asks, checksum = frame
        _check_envelope(first, last, prev, event_time_us)
        if self.venue.converts_books:
            bids, asks = self.levels.base(bids), self.levels.base(asks)
        checked = self.levels.book.check(bids, asks)
        if is_snapshot:
            return self._full(source, recv_ns, conn, last, event_time_us, IN_STREAM, frame)
        was_ok = self.feed.state == "ok"
        proven = (self.proof.verified_ns, self.proof.event_time_us)
        outcome = self.feed.update(first, last, prev, event_time_us, value, conn)
        out: list[Output] = []
        flags = FLAGS.get(outcome) if self.settings.deltas else None
        if outcome is Outcome.STEPPED and not was_ok and flags is not None:
            flags = ["bridged"]
        if flags is not None:
            epoch = self.feed.epoch
            out.append(self.records.delta(first, last, epoch, event_time_us, recv_ns, bids, asks, flags))
        if outcome is Outcome.APPLY:
            self.levels.book.put(checked)
            self._holds(last)
            self._verified(recv_ns, event_time_us)
        else:
            self.count(outcome.value)
            self._take_steps(recv_ns, out)
            if outcome is Outcome.CONTAINED or outcome is Outcome.STEPPED:
                self._verified(recv_ns, max(event_time_us, self.proof.event_time_us))
        if checksum is None:
            self.levels.wire = None
        else:
            if self.levels.wire is not None and outcome is Outcome.APPLY:
                self.levels.wire.apply(frame.bids, frame.asks)
            self._verify_checksum(frame, proven, recv_ns, out)
        self._publish(source.timestamp_ms, recv_ns, out)
        return out

    def _verify_checksum(self, frame: BookFrame, proven: tuple[str, int], recv_ns: str, out: list[Output]) -> None:
        """Compare the book with the venue's checksum, where it is about this very state of it.

        `proven`: when the book was right before this frame, on our clock (ns) and the venue's (us). What is missing
        lies between the two.
        """
        feed = self.feed
        if feed.state != "ok" or feed.last_id != frame.envelope.last_id or not self.levels.contradicts(frame):
            return
        self.proof.verified_ns, since_us = proven
        hole = Hole(0, -1, 0, "checksum", 0, False, since_us, frame.envelope.event_time_us)
        out.append(self.records.gap(hole, feed.epoch, recv_ns))
        self._fail(f"checksum: the venue's {frame.checksum} is not the book's", out)

    def _snapshot(self, source: SourceRecord, h: Headers) -> list[Output]:
        frame = self.venue.parse_snapshot(source.value)
        _check_envelope(frame.envelope.last_id, frame.envelope.last_id, None, frame.envelope.event_time_us)
        if self.venue.converts_books:
            self.levels.base(())  # refuses what could not be converted later
        self.levels.book.check(frame.bids, frame.asks)
        limit = dict(source.headers).get(LIMIT_HEADER, b"%d" % frame.limit)
        if not limit.isdigit():
            raise UnparsableFrame(f"header {LIMIT_HEADER} is {limit!r}")
        return self._full(source, h.recv_ns, h.conn, frame.envelope.last_id, frame.envelope.event_time_us, limit)

    def _full(
        self, source: SourceRecord, recv_ns: str, conn: str, last_id: int, event_time_us: int, origin: bytes,
        frame: BookFrame | None = None,
    ) -> list[Output]:  # fmt: skip
        """A full book, from REST (`origin`: levels asked for) or from the stream (IN_STREAM, `frame`)."""
        payload = origin + b" " + source.value
        proven = (self.proof.verified_ns, self.proof.event_time_us)
        if frame is None or self.venue.joins_stream_books:
            verdict = self.feed.snapshot(last_id, payload, conn, event_time_us)
        else:
            verdict = self.feed.stream_snapshot(last_id, event_time_us, payload, conn)
        self.count(f"snapshot_{verdict.value}")
        out: list[Output] = []
        self._take_steps(recv_ns, out)
        if verdict is SnapshotVerdict.ANCHORED:
            self._verified(recv_ns, max(event_time_us, self.feed.head_time_us))
            # Right now, however old its last change is.
            self.proof.verified_us = max(self.proof.verified_us, self.proof.clock_us)
        if frame is not None and frame.checksum is not None:
            self._verify_checksum(frame, proven, recv_ns, out)
        self._publish(source.timestamp_ms, recv_ns, out)
        return out

    def _connected(self, source: SourceRecord, h: Headers) -> list[Output]:
        value = _read(connected_decoder, source.value, "connected")
        out = [self.records.feed_status("connected", value.reason, h, self.proof.clock_us)]
        self.feed.connected(h.conn, value.overlaps)
        self._take_steps(h.recv_ns, out)
        self._publish(source.timestamp_ms, h.recv_ns, out)
        return out

    def _disconnected(self, source: SourceRecord, h: Headers) -> list[Output]:
        value = _read(disconnected_decoder, source.value, "disconnected")
        out = [self.records.feed_status("disconnected", value.reason, h, self.proof.clock_us)]
        self.feed.disconnected(h.conn, f"disconnected: {value.reason}")
        self._take_steps(h.recv_ns, out)
        self._publish(source.timestamp_ms, h.recv_ns, out)
        return out

    def _heartbeat(self, source: SourceRecord, h: Headers) -> list[Output]:
        value = _read(heartbeat_decoder, source.value, "heartbeat")
        if not 0 <= value.venue_time_us < TIME_MAX_US:
            raise ImplausibleValue(f"the venue's clock is at {value.venue_time_us} us")
        self.proof.clock_us = max(self.proof.clock_us, value.venue_time_us)
        if self.levels.book.take_trimmed():  # usual where the venue leaves it to us, else a sign that it does
            self.count(f"levels_trimmed_{self.name.exchange}")
        out: list[Output] = []
        self._ask_if_waiting(source.timestamp_ms, out)
        self._publish(source.timestamp_ms, h.recv_ns, out)
        return out

    def _instrument(self, source: SourceRecord, h: Headers) -> list[Output]:
        name = self.name
        context = Context(name.exchange, name.market, name.symbol, h.recv_ns)
        instrument = self.venue.parse_instrument(source.value, context)
        self._name_instrument(instrument.instrument)
        if not self.venue.converts_books:
            return []
        before, units = self.levels.units, units_of(instrument, "the book")
        self._use_units(units)
        out: list[Output] = []
        if before is not None and (before.multiplier, before.inverse) != (units.multiplier, units.inverse):
            self._fail(f"contract size: {before.multiplier} became {units.multiplier}", out)
            self._publish(source.timestamp_ms, h.recv_ns, out)
        return out

    def _use_units(self, units: Units) -> None:
        self.levels.units = units
        self.writer.set_units(units.multiplier, units.inverse)
        self.records.multiplier, self.records.inverse = units.multiplier, units.inverse

    def _name_instrument(self, instrument: str) -> None:
        self.writer.instrument = self.records.instrument = instrument

    # --- levels --------------------------------------------------------------------------------------

    def _take_steps(self, recv_ns: str, out: list[Output]) -> None:
        """Do what the sequence machine says, in order."""
        for step in self.feed.steps:
            if isinstance(step, Apply):
                self.levels.apply(step.update.payload)
                self._holds(step.update.last)
                self._verified(recv_ns, step.update.event_time_us)
            elif isinstance(step, Replace):
                self.levels.replace(step.payload)
                self._holds(step.snapshot_id)
                self.publisher.deep_owed = True
                self.count("anchored")
            elif isinstance(step, Hole):
                self.count("gap_filled" if step.filled_count else f"gap_{step.reason}")
                out.append(self.records.gap(step, self.feed.epoch, recv_ns))
            elif isinstance(step, Emerge) and self.settings.deltas:
                flags = FLAGS.get(step.outcome)
                if flags is not None:
                    out.append(self._delta(step.update, recv_ns, flags))

    def _delta(self, u: Update[bytes], recv_ns: str, flags: list[str]) -> Output:
        bids, asks = self.levels.read(u.payload)
        return self.records.delta(u.first, u.last, self.feed.epoch, u.event_time_us, recv_ns, bids, asks, flags)

    def _holds(self, update_id: int) -> None:
        """The book is now what the venue calls that."""
        self.proof.update_id, self.proof.epoch = str(update_id), self.feed.epoch

    def _verified(self, recv_ns: str, event_time_us: int) -> None:
        self.proof.verified(recv_ns, event_time_us)
        self.publisher.top_owed = True

    # --- publishing ----------------------------------------------------------------------------------

    def _publish(self, now_ms: int, recv_ns: str, out: list[Output]) -> None:
        """md.book and md.book_snapshot as the pace, or a change of state, wants them."""
        if self.feed.state == "ok" and self.publisher.owes:
            problem = self.levels.book.problem()
            if problem:
                self._fail(problem, out)
        state = self.state
        if state == "ok":
            self.publisher.good(self.levels.book, self.proof, now_ms, recv_ns, out)
        else:
            self.publisher.bad(state, self.reason, self.proof, recv_ns, out)

    def view(self, levels: int) -> bytes:
        """The book as it is now, for someone who asked; 0: all levels."""
        return self.publisher.view(levels, self.state, self.reason, self.levels.book, self.proof)

    def _fail(self, problem: str, out: list[Output]) -> None:
        """The book cannot be right: drop it and ask for a new anchor."""
        self.count(FAILURES[problem.partition(":")[0]])
        self.feed.invalidate(problem)
        self.levels.book.clear()
        out.append(self.records.snapshot_request(problem, self.feed.head))
        self.count("snapshot_requested")

    def _ask_if_waiting(self, now_ms: int, out: list[Output]) -> None:
        """Ask ingest for a snapshot when the book has been without one, or nearly out of known levels, for long."""
        if self.feed.needs_snapshot:
            reason = "waiting: " + self.feed.reason
        elif self.feed.state == "ok" and not self.levels.book.known(self.settings.top_levels):
            reason = "range: few levels known"
        else:
            self.wait_since_ms = self.wait_ms = 0
            return
        if not self.wait_since_ms:
            self.wait_since_ms, self.wait_ms = now_ms, self.settings.snapshot_wait_ms
        elif now_ms - self.wait_since_ms >= self.wait_ms:
            self.wait_since_ms = now_ms
            self.wait_ms = min(self.wait_ms * 2, self.settings.snapshot_wait_ms_max)
            out.append(self.records.snapshot_request(reason, self.feed.head))
            self.count("snapshot_requested")


HANDLERS: Mapping[str, Callable[[LiveBook, SourceRecord, Headers], list[Output]]] = {
    "snapshot": LiveBook._snapshot,
    "heartbeat": LiveBook._heartbeat,
    "connected": LiveBook._connected,
    "disconnected": LiveBook._disconnected,
    "instrument": LiveBook._instrument,
}

T = TypeVar("T")


def rest_max_us(settings: Books, venue: Venue) -> int:
    """How long nothing may be said of a book that counts as right, by the venue's clock.

    As configured, else as long as ingest lets the venue's book be silent before it looks for a better connection. Where
    the venue has no bound a still book is a right one while its connection lives.
    """
    for name in (f"{venue.exchange}.{venue.market}", venue.exchange, "default"):
        if name in settings.stale_after_ms:
            return settings.stale_after_ms[name] * 1000
    silence_s = venue.protocol.limits.silence_timeout_s.get("book")
    return EVER_US if silence_s is None else int(silence_s * 1_000_000)


def _check_envelope(first: int, last: int, prev: int | None, event_time_us: int) -> None:
    """Raises ImplausibleValue for ids and times beyond what any venue's can be: they would stand in the state."""
    if not (first > -ID_END and -ID_END < last < ID_END and -1 < event_time_us < TIME_MAX_US) or (
        prev is not None and not -ID_END < prev < ID_END
    ):
        raise ImplausibleValue(f"book ids {first} to {last} after {prev} at {event_time_us} us")


def _read(decoder: msgspec.json.Decoder[T], value: bytes, kind: str) -> T:
    try:
        return decoder.decode(value)
    except (msgspec.MsgspecError, UnicodeDecodeError) as exc:
        raise UnparsableFrame(f"not a {kind} record: {exc}") from None
