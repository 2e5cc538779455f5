"""Sequence rules of OKX books.

Source: https://www.okx.com/docs-v5/en/#order-book-trading-market-data-ws-order-book-channel (2026-07-07). With L the
`seqId` of the last message applied:

1. `action` snapshot (`prevSeqId` -1): replace the book, L = `seqId`. The book machine does it, no rule is asked.
2. `prevSeqId` == L and `seqId` > `prevSeqId`: apply, L = `seqId`.
3. `prevSeqId` == L == `seqId`, both sides empty: nothing changed for about 60 s. Applying nothing is what it says.
4. `prevSeqId` == L and `seqId` < `prevSeqId`: maintenance; the ids begin anew, and nothing is missing: apply.
5. Any other `prevSeqId`: updates are missing; discard the book and start again.

The ids are not consecutive: `seqId` == L + 1 proves nothing. An update that we have from another connection already
(`seqId` <= L) is dropped before rule 5.

Start without a snapshot in the stream (announced by the venue for 2026, https://my.okx.com/docs-v5/log_en/ ,
2026-02-12): `/api/v5/market/books` has a `seqId` too, call it R.

6. Drop the updates with `seqId` <= R.
7. The first one left must have `prevSeqId` <= R < `seqId`; where its `prevSeqId` is above R, ask again.

Frames recorded before 2022-06 have no sequence ids. Their only one is the time (it grew with each of 1,794 recorded
updates), which cannot tell what is missing: such an update is always applied, and its checksum is the gap test.
"""

from __future__ import annotations

from marketdata.book_feed import Verdict


class OkxSequence:
    """Answers for `marketdata.book_feed.BookFeed`. `first` is always `last`; `prev` None: a frame without ids."""

    chains_across_connections = True
    consecutive_ids = False

    def check(self, last_id: int, first: int, last: int, prev: int | None) -> Verdict:  # noqa: ARG002
        """Rules 2 to 5: an update after the one with id `last_id`."""
        if prev == last_id:
            return Verdict.APPLY if last >= last_id else Verdict.RESET  # 2, 3; 4
        if last <= last_id:
            return Verdict.DROP
        return Verdict.APPLY if prev is None else Verdict.GAP  # 5

    def bridge(self, snapshot_id: int, first: int, last: int, prev: int | None) -> Verdict:
        """Rules 6 and 7: an update after a snapshot; GAP means that the snapshot is too old for it."""
        if prev is not None and prev < snapshot_id < last:
            return Verdict.APPLY
        return self.check(snapshot_id, first, last, prev)
