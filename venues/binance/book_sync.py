"""Sequence rules of Binance books: spot's here, the futures' at `FuturesSequence`.

The official steps of spot, as corrected by the venue on 2025-11-12
(https://github.com/binance/binance-spot-api-docs/blob/master/web-socket-streams.md, "How to manage a local order book
correctly"); `marketdata.book_feed` carries out the steps, this module answers the questions about ids:

1. Open the stream `<symbol>@depth@100ms`.
2. Buffer the events; note `U` of the first one.
3. Get a snapshot from `/api/v3/depth`.
4. While the snapshot's `lastUpdateId` is smaller than the noted `U`, get another: it is too old.
5. In the buffer, drop every event whose `u` is not above `lastUpdateId`.
6. The book becomes the snapshot; its update id is `lastUpdateId`.
7. Apply the buffered and then the live events, each like this:
   a. `u` below the book's update id: ignore the event (an equal one is already included and harmless).
   b. `U` above the book's update id + 1: events were missed; discard the book and start again.
   c. Else set each level to its absolute quantity (zero removes it, an absent level included), and the book's update
      id becomes `u`.

Where we read them otherwise than the letter:

- Steps 4 and 5 say that the first kept event has `lastUpdateId` within `[U, u]`. That would refuse the valid case
  `U == lastUpdateId + 1`, where nothing is missing. We ask `U <= lastUpdateId + 1 <= u`.
- Ids belong to the symbol, not to the connection: an event of another connection continues a book under the same
  rule (7b), so a rotation with overlap, or a second collector, needs no new snapshot.
"""

from __future__ import annotations

from marketdata.book_feed import Verdict


class SpotSequence:
    """Answers for `marketdata.book_feed.BookFeed`. `prev` is always None: spot events do not name their predecessor."""

    chains_across_connections = True
    consecutive_ids = True

    def check(self, last_id: int, first: int, last: int, prev: int | None) -> Verdict:  # noqa: ARG002
        """Step 7: an event after the one that ended with `last_id`."""
        if last <= last_id:
            return Verdict.DROP  # 7a
        if first > last_id + 1:
            return Verdict.GAP  # 7b
        return Verdict.APPLY  # 7c

    def bridge(self, snapshot_id: int, first: int, last: int, prev: int | None) -> Verdict:
        """Steps 4 and 5: an event after a snapshot; GAP means that the snapshot is too old for it."""
        return self.check(snapshot_id, first, last, prev)


class FuturesSequence:
    """Sequence rules of USD-M and COIN-M books, where only `pu` proves that nothing is missing.

    The official steps
    (https://developers.binance.com/docs/derivatives/usds-margined-futures/websocket-market-streams, "How to manage a
    local order book correctly"; COIN-M's page says the same):

    1. Open the stream `<symbol>@depth@100ms`.
    2. Buffer the events.
    3. Get a snapshot from `depth`.
    4. Drop every event whose `u` is below `lastUpdateId` (an equal one is kept, other than on spot).
    5. The first event applied has `U <= lastUpdateId <= u`; is the first left one beyond that, the snapshot is too old.
    6. After that each event's `pu` equals the `u` of the one before; else start again from 3.

    Ids are shared by all symbols: between two events of one symbol they jump, and `U == u + 1` says nothing. A
    connection's events chain among themselves alone.

    Where we read them otherwise than the letter: step 5 asks `pu <= lastUpdateId <= u`. `pu` lies below `U`, so this
    holds wherever the letter does; and where `lastUpdateId` lies from `pu` up to `U`, no update of this symbol lies
    between the snapshot and the event. The letter would refuse that snapshot, and on a symbol that rests for longer
    than a buffer every other one as well.
    """

    chains_across_connections = False
    consecutive_ids = False

    def check(self, last_id: int, first: int, last: int, prev: int | None) -> Verdict:  # noqa: ARG002
        """Step 6: an event after the one that ended with `last_id`."""
        if prev == last_id:
            return Verdict.APPLY
        return Verdict.DROP if last <= last_id else Verdict.GAP

    def bridge(self, snapshot_id: int, first: int, last: int, prev: int | None) -> Verdict:
        """Steps 4 and 5: an event after a snapshot; GAP means that the snapshot is too old for it."""
        if last < snapshot_id:
            return Verdict.DROP
        joins = first <= snapshot_id or (prev is not None and prev <= snapshot_id)
        return Verdict.APPLY if joins else Verdict.GAP
