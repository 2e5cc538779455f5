"""Books: run each one's sequence rules on ids alone, and see that it gets an anchor in the way the venue has for that.

The machine is the one the book processor runs (`marketdata.book_feed`), fed with the same records in the same order,
levels left undecoded; so both come to the same decisions. Three ways lead to an anchor (`BookRecovery`): a REST
snapshot, a new subscription, a request on the connection. A snapshot is wanted only after an update was seen.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Protocol

from ingest.metrics import Metrics, events
from ingest.records import Record, Records
from ingest.recovery import StreamRecovery, Way
from ingest.rest import Rest
from ingest.snapshots import Snapshots
from marketdata.book_feed import BookFeed, Hole, Outcome, SnapshotVerdict
from marketdata.book_overlap import OverlapFeed, new_feed
from marketdata.errors import BadData
from runtime.config.ingest import Ingest
from venues.contract import BookRecovery, Venue


class Hands(Protocol):
    """What can be done to connections. False: the connection does not carry that book (any more)."""

    def renew_book(self, conn: str, symbol: str) -> bool:
        """Unsubscribe and subscribe again."""

    def request_book(self, conn: str, symbol: str) -> bool:
        """Ask for the whole book."""

    def rotate(self, conn: str) -> None:
        """Open a replacement for the connection."""

    def seq_of(self, conn: str) -> int:
        """Number of its last frame."""


class Books:
    """All books of one market."""

    def __init__(
        self,
        venue: Venue,
        rest: Rest,
        records: Records,
        publish: Callable[[Record], None],
        metrics: Metrics,
        settings: Ingest,
        hands: Hands,
    ) -> None:
        self._venue = venue
        self._protocol = venue.protocol
        self._metrics = metrics
        self._market = (venue.exchange, venue.market)
        self._hands = hands
        self._feeds: dict[str, BookFeed[None]] = {}
        self._recovery: StreamRecovery | None = None
        self._by_rest: set[str] = set()  # books of a stream venue that need a REST snapshot for once
        self._begun: dict[str, set[str]] = {}  # connections whose first frame of the book has come
        if venue.protocol.recovery is not BookRecovery.REST:
            interval_s = settings.snapshot_demand_interval_s
            self._recovery = StreamRecovery(
                venue.protocol.recovery, venue.protocol.recovery_fallback, interval_s, random.random
            )
        self.snapshots = Snapshots(
            venue, rest, records, publish, metrics, settings, self._feeds, hands.seq_of, self._look,
            deepens=self._recovery is None,
        )  # fmt: skip

    @property
    def waiting(self) -> int:
        """Books that have updates and no anchor."""
        return sum(1 for f in list(self._feeds.values()) if f.last_id is None and f.head is not None)

    def anchored(self, conn: str) -> bool:
        """Every book that counts per connection is made from this one (or a newer one)."""
        return all(
            feed.anchored(conn)
            for feed in self._feeds.values()
            if isinstance(feed, OverlapFeed) and conn in feed.connections
        )

    # --- what happens on the connections, in the order of the log ---

    def on_connected(self, symbol: str, conn: str, overlaps: bool) -> None:
        self._feed(symbol).connected(conn, overlaps)
        if not overlaps:
            self._by_rest.discard(symbol)
            self._begun.pop(symbol, None)

    def on_disconnected(self, symbol: str, conn: str, reason: str) -> None:
        feed = self._feed(symbol)
        feed.disconnected(conn, reason)
        self._begun.get(symbol, set()).discard(conn)
        if feed.connections:
            self._look(symbol)
            return
        self.snapshots.lost(symbol)  # a snapshot now would anchor nothing; the next update asks again
        if self._recovery is not None:
            self._recovery.forget(symbol)
        if reason == "unsubscribed":
            self.forget(symbol)

    def forget(self, symbol: str) -> None:
        """Nobody wants the book any more. A connection that still carries it tells when it does not."""
        feed = self._feeds.get(symbol)
        if feed is None or feed.connections:
            return
        del self._feeds[symbol]
        self.snapshots.forget(symbol)
        self._by_rest.discard(symbol)
        self._begun.pop(symbol, None)

    def on_frame(self, symbol: str, conn: str, frame: bytes, recv_ns: int) -> None:  # noqa: ARG002
        """A book frame was published."""
        feed = self._feed(symbol)
        try:
            first, last, prev, event_time_us, is_snapshot = self._protocol.book_envelope(frame)
        except BadData as exc:
            events.rest_failed(".".join(self._market), f"book frame of {symbol}", exc.detail)
            return  # in the log as it came; the book processor says what is wrong with it
        if self._recovery is not None:
            self._note_begin(symbol, conn, is_snapshot)
        if is_snapshot:
            self._whole_book(symbol, feed, last, event_time_us, conn)
            return
        outcome = feed.update(first, last, prev, event_time_us, None, conn)
        if outcome is Outcome.APPLY:
            return
        self._count_gaps(feed)
        self._look(symbol)

    def _note_begin(self, symbol: str, conn: str, is_snapshot: bool) -> None:
        """A stream that should begin with a whole book and does not: at once the venue's other way, if it has one."""
        begun = self._begun.setdefault(symbol, set())
        if conn in begun:
            return
        begun.add(conn)
        expected = self._protocol.recovery is BookRecovery.RESUBSCRIBE
        if expected and not is_snapshot and self._protocol.recovery_fallback is BookRecovery.REST:
            self._by_rest.add(symbol)

    def _whole_book(self, symbol: str, feed: BookFeed[None], last: int, event_time_us: int, conn: str) -> None:
        """The stream delivered a full book. One that was asked for lies anywhere in the stream: joined by ids."""
        if self._protocol.recovery is BookRecovery.REQUEST:
            verdict = feed.snapshot(last, None, conn, event_time_us)
        else:
            verdict = feed.stream_snapshot(last, event_time_us, None, conn)
            self._count_gaps(feed)
        self._metrics.count("snapshots", *self._market, f"stream_{verdict.value}")
        if verdict in (SnapshotVerdict.ANCHORED, SnapshotVerdict.WAITING):
            self._by_rest.discard(symbol)
            if self._recovery is not None:
                self._recovery.settled(symbol, True, time.monotonic())
        self._look(symbol)

    def _count_gaps(self, feed: BookFeed[None]) -> None:
        gaps = sum(1 for step in feed.steps if isinstance(step, Hole) and not step.filled_count)
        if gaps:
            self._metrics.count("book_gaps", *self._market, by=gaps)

    def demand(self, symbol: str, update_id: str) -> None:
        """A book processor wants a snapshot (control.snapshot), at least as new as `update_id`."""
        feed = self._feeds.get(symbol)
        if feed is None:
            self._metrics.count("snapshot_requests", *self._market, "not_subscribed")
            return
        if self._recovery is None or symbol in self._by_rest:
            taken = self.snapshots.demand(symbol, update_id)
        else:
            taken = self._recovery.demand(symbol, feed.snapshot_conn, time.monotonic())
        self._metrics.count("snapshot_requests", *self._market, "taken" if taken else "underway")

    def _look(self, symbol: str) -> None:
        feed = self._feeds.get(symbol)
        if feed is None:
            return
        by_stream = self._recovery is not None and symbol not in self._by_rest
        if feed.needs_snapshot:
            if by_stream and self._recovery is not None:
                self._recovery.need(symbol, feed.snapshot_conn, time.monotonic())
            else:
                self.snapshots.need(symbol)
        elif feed.last_id is not None:
            self.snapshots.settled(symbol)
            if self._recovery is not None:
                self._recovery.settled(symbol, False, time.monotonic())

    def _feed(self, symbol: str) -> BookFeed[None]:
        feed = self._feeds.get(symbol)
        if feed is None:
            feed = self._feeds[symbol] = new_feed(self._venue.book_sync())
        return feed

    # --- time ---

    def tick(self, now_s: float) -> None:
        """Do what is due for books that live in their stream."""
        if self._recovery is None:
            return
        for symbol, conn, way in self._recovery.due(now_s):
            self._metrics.count("book_recoveries", *self._market, way.value)
            events.book_recovery(".".join(self._market), symbol, way.value, conn)
            if way is Way.RENEW:
                self._hands.renew_book(conn, symbol)
            elif way is Way.REQUEST:
                self._hands.request_book(conn, symbol)
            elif way is Way.ROTATE:
                self._hands.rotate(conn)
            else:
                self._by_rest.add(symbol)
                self._recovery.forget(symbol)
                self.snapshots.need(symbol)
