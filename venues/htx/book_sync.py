"""Sequence rules of HTX books: spot's incremental market-by-price, and the contracts' high-frequency depth.

Spot, `market.<s>.mbp.150` on /feed. The venue's steps (spot documents, "Market By Price (incremental update)", and the
notice of 2020-06-18 that `req` and `sub` must share a connection); `marketdata.book_feed` carries them out:

1. `sub`, and keep the updates. No `req` before the first one has come: the reply would be of another lineage.
2. `req` the same topic; R is the reply's `seqNum`.
3. Of the updates kept, drop those with `seqNum` <= R. The next one must have `prevSeqNum` == R. If the oldest one's
   `prevSeqNum` is above R, the reply is too old: `req` again. If there is none, wait.
4. Apply it: absolute sizes, 0 deletes. L is its `seqNum`. An update without levels moves L all the same.
5. An update with `seqNum` <= L is a repeat. One whose `prevSeqNum` is not L reveals a gap: back to 2.

Where we read them otherwise than the letter: an update with `prevSeqNum` < R < `seqNum` is as bad as one above. Its
levels are the difference of two images, and what changed and changed back between them is not in it.

Contracts, `depth.size_150.high_freq` with `data_type: incremental` (linear swap documents):

1. The first message after each subscription is the whole book (`event` "snapshot").
2. Each `update` of one connection has the `version` of the message before it, plus 1.
3. A lower or equal `version` is a repeat; a higher one than the next reveals a gap: unsubscribe, subscribe, go to 1.
4. Versions of different connections have nothing to do with each other.
"""

from __future__ import annotations

from marketdata.book_feed import Verdict


class MbpSequence:
    """Spot. Ids are not consecutive; each update names its predecessor."""

    chains_across_connections = False
    """Images are taken every 100 ms, on each server at other moments: `prevSeqNum` is an id of the same stream only."""
    consecutive_ids = False

    def check(self, last_id: int, first: int, last: int, prev: int | None) -> Verdict:  # noqa: ARG002
        """Step 5: an update after the one that ended with `last_id`."""
        if last <= last_id:
            return Verdict.DROP
        return Verdict.APPLY if prev == last_id else Verdict.GAP

    def bridge(self, snapshot_id: int, first: int, last: int, prev: int | None) -> Verdict:
        """Step 3: the first update after a reply to `req`; GAP: the reply is too old for it."""
        return self.check(snapshot_id, first, last, prev)


class DepthSequence:
    """Contracts."""

    chains_across_connections = False
    consecutive_ids = True

    def check(self, last_id: int, first: int, last: int, prev: int | None) -> Verdict:  # noqa: ARG002
        """Steps 2 and 3: an update after the one that ended with `last_id`."""
        if last <= last_id:
            return Verdict.DROP
        return Verdict.APPLY if last == last_id + 1 else Verdict.GAP

    def bridge(self, snapshot_id: int, first: int, last: int, prev: int | None) -> Verdict:
        """The first update after a whole book: the same rule."""
        return self.check(snapshot_id, first, last, prev)
