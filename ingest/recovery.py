"""Books that come whole through their stream: when to subscribe anew or to ask, and when to try otherwise. Pure.

A book without an anchor is tried at once, then ever more slowly. After TRIES tries that brought no book the way is
given up: for a REST snapshot where the venue's protocol has that way back, else for a fresh connection.
Times are monotonic seconds given by the caller.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from ingest.pacing import Backoff, Repeats
from venues.contract import BookRecovery

TRIES = 3
HEALTHY_S = 30.0
"""A book that kept its anchor this long may be tried at once again."""
RENEW_S_MIN, RENEW_S_MAX = 10.0, 600.0
REQUEST_S_MIN, REQUEST_S_MAX = 2.0, 60.0
"""Between two tries; each is between half of the value and all of it, so that requests are a second apart at least."""


class Way(Enum):
    RENEW = "renew"
    """Unsubscribe, subscribe."""
    REQUEST = "request"
    """Ask for the whole book on the same connection."""
    ROTATE = "rotate"
    """Open a fresh connection."""
    REST = "rest"


class Action(NamedTuple):
    symbol: str
    conn: str
    way: Way


@dataclass
class Plight:
    """One book."""

    conn: str
    pause: Backoff
    demands: Repeats
    wanted: bool = False
    demanded: bool = False
    """Someone found the book wrong: only a whole new one settles it."""
    at_s: float = 0.0
    """Not before this it is tried again."""
    tries: int = 0
    anchored_s: float | None = None


class StreamRecovery:
    """See the module. `random` returns numbers in [0, 1)."""

    def __init__(
        self,
        recovery: BookRecovery,
        fallback: BookRecovery | None,
        demand_interval_s: float,
        random: Callable[[], float],
    ) -> None:
        self._way = Way.REQUEST if recovery is BookRecovery.REQUEST else Way.RENEW
        self._last_way = Way.REST if fallback is BookRecovery.REST else Way.ROTATE
        self._demand_interval_s = demand_interval_s
        self._random = random
        self._books: dict[str, Plight] = {}

    def need(self, symbol: str, conn: str, now_s: float) -> None:
        """The book has no anchor; `conn` carries its stream."""
        book = self._book(symbol, conn)
        if book.conn != conn:
            book.conn, book.tries, book.at_s = conn, 0, min(book.at_s, now_s)
        if book.wanted:
            return
        book.wanted = True
        if book.anchored_s is None or now_s - book.anchored_s >= HEALTHY_S:
            book.pause.reset()
            book.tries = 0
            book.at_s = now_s
        else:
            book.at_s = max(book.at_s, now_s + book.pause.next_delay_s())
        book.anchored_s = None

    def demand(self, symbol: str, conn: str, now_s: float) -> bool:
        """Somebody found the book wrong. False where it is being brought back anyway. Ever more rarely where a whole
        new book does not help: the venue itself may show it crossed."""
        book = self._book(symbol, conn)
        if book.wanted:
            return False
        book.conn, book.wanted, book.demanded = conn, True, True
        book.at_s = book.demands.next_s(now_s)
        book.demands.done(book.at_s)
        return True

    def settled(self, symbol: str, whole: bool, now_s: float) -> None:
        """The book has an anchor; `whole`: a whole book has just come."""
        book = self._books.get(symbol)
        if book is None or (book.demanded and not whole):
            return
        if book.wanted or book.anchored_s is None:
            book.anchored_s = now_s
        book.wanted = book.demanded = False
        book.tries = 0

    def forget(self, symbol: str) -> None:
        self._books.pop(symbol, None)

    def due(self, now_s: float) -> list[Action]:
        """What to do now; the next try of each book waits."""
        out = []
        for symbol, book in self._books.items():
            if not book.wanted or book.at_s > now_s:
                continue
            book.at_s = now_s + book.pause.next_delay_s()
            way = self._way
            if book.tries >= TRIES:
                way, book.tries = self._last_way, 0
            else:
                book.tries += 1
            out.append(Action(symbol, book.conn, way))
        return out

    def _book(self, symbol: str, conn: str) -> Plight:
        book = self._books.get(symbol)
        if book is None:
            low, high = (REQUEST_S_MIN, REQUEST_S_MAX) if self._way is Way.REQUEST else (RENEW_S_MIN, RENEW_S_MAX)
            demands = Repeats(self._demand_interval_s, RENEW_S_MAX, HEALTHY_S)
            book = self._books[symbol] = Plight(conn, Backoff(low, high, self._random), demands)
        return book
