"""What is missing in one book's stream: the newest hole, and how much of it came late."""

from __future__ import annotations

from msgspec import structs

from marketdata.book_steps import Hole

Ranges = list[tuple[int, int]]


class Holes:
    """Only the newest hole can still be filled. `consecutive_ids`: each id between two updates must appear."""

    def __init__(self, consecutive_ids: bool) -> None:
        self._consecutive_ids = consecutive_ids
        self.newest: Hole | None = None
        self.left: Ranges = []
        """What of it has not come, where that can be known."""

    def found(
        self, first: int, last: int, reason: str, from_time_us: int, to_time_us: int, *, book_kept: bool = False
    ) -> Hole:
        """Ids `first` to `last` are missing; `last` below `first` where only the times say anything."""
        numbered = self._consecutive_ids and last >= first
        self.newest = Hole(
            first, last, last - first + 1 if numbered else 0, reason, 0, book_kept, from_time_us, to_time_us
        )
        self.left = [(first, last)] if numbered else []
        return self.newest

    def close(self) -> None:
        """Nothing that comes now fills it."""
        self.left = []

    def fill(self, first: int, last: int) -> Hole | None:
        """The hole anew, when these ids fill some of it."""
        left: Ranges = []
        filled = 0
        for a, b in self.left:
            low, high = max(a, first), min(b, last)
            if low > high:
                left.append((a, b))
                continue
            filled += high - low + 1
            left += [(x, y) for x, y in ((a, low - 1), (high + 1, b)) if x <= y]
        if not filled or self.newest is None:
            return None
        self.left = left
        self.newest = structs.replace(self.newest, filled_count=self.newest.filled_count + filled)
        return self.newest

    def forget(self) -> None:
        """As if none had been."""
        self.newest, self.left = None, []

    def restore(self, newest: Hole | None, left: Ranges) -> None:
        """Become what was dumped."""
        self.newest, self.left = newest, list(left)
