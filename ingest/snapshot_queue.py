"""Which book gets the next REST snapshot, and when. Pure: times are monotonic seconds given by the caller.

In order of urgency: a book without an anchor, a book whose processor asked, the first deepening of a book that has only
a shallow anchor, the slow re-anchoring of a deep one. Within one urgency the longest waiting first.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

from ingest.pacing import Backoff, Repeats

DEEP_SHARE = 0.5
"""Part of the weight budget that deepening may fill: the rest stays free for books that have no anchor."""
RETRY_S_MIN = 0.5
RETRY_S_MAX = 30.0
DEEP_RETRY_S_MIN = 5.0
DEEP_RETRY_S_MAX = 300.0
DEMAND_S_MAX = 300.0
HEALTHY_S = 30.0
"""A book that kept its anchor this long may have a new one at once."""


class Why(IntEnum):
    ANCHOR = 0
    DEMAND = 1
    DEEPEN = 2
    REANCHOR = 3


class Pick(NamedTuple):
    symbol: str
    levels: int
    share: float
    """Of the budget that this fetch may fill."""
    why: Why


@dataclass
class Book:
    symbol: str
    retry: Backoff
    """Of urgent fetches; a book that loses its anchor soon after it got one waits longer each time."""
    deep_retry: Backoff
    demands: Repeats
    wants: Why | None = None
    """ANCHOR, DEMAND or nothing urgent."""
    since_s: float = 0.0
    urgent_at_s: float = 0.0
    deep_at_s: float = 0.0
    """Not before this the book is deepened or re-anchored."""
    in_flight: bool = False
    anchored_s: float | None = None
    """Since when it has an anchor; None: it has none."""
    deep: bool = False


class SnapshotQueue:
    """See the module. `random` returns a number in [0, 1)."""

    def __init__(
        self,
        levels_first: int,
        levels_deep: int,
        reanchor_interval_s: float,
        demand_interval_s: float,
        random: Callable[[], float],
        deepens: bool = True,
    ) -> None:
        """`deepens` False: anchors only, for books that live in their stream and need REST but for once."""
        self._deepens = deepens
        self._levels_first = levels_first
        self._levels_deep = max(levels_first, levels_deep)
        self._reanchor_interval_s = reanchor_interval_s
        self._demand_interval_s = demand_interval_s
        self._random = random
        self._books: dict[str, Book] = {}

    def need(self, symbol: str, now_s: float) -> None:
        """The book has no anchor and holds updates: fetch one."""
        book = self._book(symbol)
        self._unanchored(book, now_s)
        if not book.in_flight and book.wants is not Why.ANCHOR:
            if book.wants is Why.DEMAND:
                book.urgent_at_s = now_s
            book.wants, book.since_s = Why.ANCHOR, now_s

    def demand(self, symbol: str, now_s: float) -> bool:
        """Somebody asks for a snapshot. False when one is on its way or wanted anyway; never more often than the
        demand interval, and ever more rarely where it does not help, but then postponed rather than refused."""
        book = self._book(symbol)
        if book.in_flight or book.wants is not None:
            return False
        book.wants, book.since_s = Why.DEMAND, now_s
        book.urgent_at_s = book.demands.next_s(now_s)
        return True

    def settled(self, symbol: str) -> None:
        """The book found an anchor without a new snapshot: nothing is urgent any more."""
        book = self._books.get(symbol)
        if book is not None and book.wants is Why.ANCHOR:
            book.wants = None

    def lost(self, symbol: str, now_s: float) -> None:
        """The book has no connection, so that a snapshot would anchor nothing: the next update asks again."""
        book = self._books.get(symbol)
        if book is not None:
            book.wants = None
            self._unanchored(book, now_s)

    def _unanchored(self, book: Book, now_s: float) -> None:
        if book.anchored_s is None:
            return
        if now_s - book.anchored_s >= HEALTHY_S:
            book.retry.reset()
            book.urgent_at_s = now_s
        else:
            book.urgent_at_s = now_s + book.retry.next_delay_s()
        book.anchored_s, book.deep = None, False

    def forget(self, symbol: str) -> None:
        self._books.pop(symbol, None)

    def __contains__(self, symbol: str) -> bool:
        return symbol in self._books

    def next(self, now_s: float) -> Pick | None:
        """The most urgent book that may be fetched now; call `started` when it goes out."""
        best: tuple[Why, float, Book] | None = None
        for book in self._books.values():
            wish = self._wish(book, now_s)
            if wish is not None and (best is None or wish < best[:2]):
                best = (*wish, book)
        if best is None:
            return None
        why, _, book = best
        deep = why >= Why.DEEPEN
        return Pick(book.symbol, self._levels_deep if deep else self._levels_first, DEEP_SHARE if deep else 1.0, why)

    def started(self, symbol: str, why: Why, now_s: float) -> None:
        book = self._book(symbol)
        book.in_flight = True
        if why is Why.DEMAND:
            book.demands.done(now_s)
        if book.wants is why:
            book.wants = None

    def succeeded(self, symbol: str, why: Why, now_s: float) -> None:
        """The snapshot anchored the book, or waits for the stream to reach it."""
        book = self._books.get(symbol)
        if book is None:
            return
        book.in_flight = False
        if book.anchored_s is None:
            book.anchored_s = now_s
        if why >= Why.DEEPEN:
            book.deep = True
            book.deep_retry.reset()
            book.deep_at_s = now_s + self._reanchor_interval_s * (0.8 + 0.4 * self._random())

    def dropped(self, symbol: str, now_s: float) -> None:
        """The fetch came to nothing and nobody wants it any more (the connection is gone)."""
        if (book := self._books.get(symbol)) is not None:
            book.in_flight = False
            self.lost(symbol, now_s)

    def failed(self, symbol: str, why: Why, now_s: float) -> None:
        """No reply, too old, or refused: again later, ever more slowly; nothing is forgotten."""
        book = self._books.get(symbol)
        if book is None:
            return
        book.in_flight = False
        if why >= Why.DEEPEN:
            book.deep_at_s = now_s + book.deep_retry.next_delay_s()
            return
        book.urgent_at_s = now_s + book.retry.next_delay_s()
        if book.wants is None or book.wants > why:
            book.wants, book.since_s = why, now_s

    def _wish(self, book: Book, now_s: float) -> tuple[Why, float] | None:
        """What this book would fetch now, and since when it waits."""
        if book.in_flight:
            return None
        if book.wants is not None:
            return (book.wants, book.since_s) if book.urgent_at_s <= now_s else None
        if book.anchored_s is None or book.deep_at_s > now_s or not self._deepens:
            return None
        return (Why.REANCHOR if book.deep else Why.DEEPEN, max(book.deep_at_s, book.anchored_s))

    def _book(self, symbol: str) -> Book:
        book = self._books.get(symbol)
        if book is None:
            book = self._books[symbol] = Book(
                symbol,
                retry=Backoff(RETRY_S_MIN, RETRY_S_MAX, self._random),
                deep_retry=Backoff(DEEP_RETRY_S_MIN, DEEP_RETRY_S_MAX, self._random),
                demands=Repeats(self._demand_interval_s, DEMAND_S_MAX, HEALTHY_S),
            )
        return book
