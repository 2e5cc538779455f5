"""The records a book application publishes besides the books themselves: deltas, gaps, feed states, requests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, cast

import msgspec

from marketdata.book_feed import Hole
from marketdata.codec import Encoding, encoder
from marketdata.control import SnapshotRequest
from marketdata.keys import Key
from marketdata.raw import Headers
from marketdata.topics import CONTROL_SNAPSHOT, MD_BOOK_DELTA, MD_FEED_STATUS, MD_GAP
from marketdata.types import BookDelta, FeedStatus, Gap, Level
from processors.outputs import Output

DELTA, GAP, FEED, ASK = MD_BOOK_DELTA.name, MD_GAP.name, MD_FEED_STATUS.name, CONTROL_SNAPSHOT.name

_encode_request = msgspec.json.Encoder().encode


class BookRecords:
    """Makes the outputs of one key."""

    def __init__(self, name: Key, key: bytes, encoding: Encoding) -> None:
        self._name = name
        self._key = key
        self._encode = encoder(encoding)
        self.instrument = ""
        self.multiplier = ""
        self.inverse = False

    def delta(
        self, first: int, last: int, epoch: int, event_time_us: int, recv_ns: str, bids: Sequence[Level],
        asks: Sequence[Level], flags: list[str],
    ) -> Output:  # fmt: skip
        """One update of the venue, passed on."""
        record = BookDelta(
            exchange=self._name.exchange,
            market=self._name.market,
            symbol=self._name.symbol,
            instrument=self.instrument,
            recv_time_ns=recv_ns,
            first_update_id=str(first),
            last_update_id=str(last),
            epoch=epoch,
            event_time_us=event_time_us,
            bids=cast(list[Level], bids),
            asks=cast(list[Level], asks),
            multiplier=self.multiplier,
            inverse=self.inverse,
            flags=flags,
        )
        return Output(DELTA, self._encode(record), self._key)

    def gap(self, hole: Hole, epoch: int, recv_ns: str) -> Output:
        """What is missing, or how much of it has come after all."""
        reset = hole.reason == "sequence_reset"
        unnumbered = reset or hole.last_missing < hole.first_missing
        ids = (
            "reset" if reset else str(hole.from_time_us) if unnumbered else f"{hole.first_missing}-{hole.last_missing}"
        )
        record = Gap(
            exchange=self._name.exchange,
            market=self._name.market,
            symbol=self._name.symbol,
            instrument=self.instrument,
            recv_time_ns=recv_ns,
            gap_id=f"book:{epoch}:{ids}" if epoch else f"book:{ids}",
            channel="book",
            first_missing_id="" if unnumbered else str(hole.first_missing),
            last_missing_id="" if unnumbered else str(hole.last_missing),
            missing_count=0 if unnumbered else hole.missing_count,
            filled_count=hole.filled_count,
            from_time_us=hole.from_time_us,
            to_time_us=hole.to_time_us,
            reason=hole.reason,
            epoch=epoch,
        )
        return Output(GAP, self._encode(record), self._key)

    def feed_status(
        self, state: Literal["connected", "disconnected"], reason: str, headers: Headers, clock_us: int
    ) -> Output:
        """The book stream's connection came up or went down."""
        record = FeedStatus(
            exchange=self._name.exchange,
            market=self._name.market,
            symbol=self._name.symbol,
            instrument=self.instrument,
            recv_time_ns=headers.recv_ns,
            channel="book",
            state=state,
            reason=reason,
            connection=headers.conn,
            event_time_us=clock_us,
        )
        return Output(FEED, self._encode(record), self._key)

    def snapshot_request(self, reason: str, head: int | None) -> Output:
        """Asks ingest for a snapshot at least as new as `head`. Always JSON."""
        request = SnapshotRequest(reason=reason, update_id="" if head is None else str(head))
        return Output(ASK, _encode_request(request), self._key)
