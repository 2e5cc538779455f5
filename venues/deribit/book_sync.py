"""Sequence rules of Deribit books.

The venue's steps (https://docs.deribit.com, `book.{instrument_name}.{interval}`; measured on the wire 2026-09-22):

1. The first frame after a subscription is a snapshot of every level: it becomes the book; note its `change_id`.
2. A change whose `prev_change_id` is the noted id continues the book: apply all its levels, note its `change_id`.
3. Any other one shows that changes are missing: drop the book and subscribe anew (a second subscribe alone is
   acknowledged, yet sends no snapshot).
4. A snapshot in mid-stream always wins.

`change_id` is a counter that many books share: it jumps, so that only `prev_change_id` chains, and how much is missing
cannot be told. Each subscription is sent its own bundles of changes, one per interval: the ids of one connection are
not those at which another one's bundles end, so that a book never continues across connections.
"""

from __future__ import annotations

from marketdata.book_feed import Verdict


class ChangeIdSequence:
    """Answers for `marketdata.book_feed.BookFeed`; `first` and `last` are both the `change_id`."""

    chains_across_connections = False
    consecutive_ids = False

    def check(self, last_id: int, first: int, last: int, prev: int | None) -> Verdict:  # noqa: ARG002
        """Steps 2 and 3: a change after the one with `last_id`."""
        if prev == last_id and last > last_id:
            return Verdict.APPLY
        if last <= last_id and prev != last_id:
            return Verdict.DROP  # before what the book holds
        return Verdict.GAP

    def bridge(self, snapshot_id: int, first: int, last: int, prev: int | None) -> Verdict:
        """A change after a snapshot: by the same rule."""
        return self.check(snapshot_id, first, last, prev)
