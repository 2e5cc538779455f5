"""The sums of one candle: exact, mergeable, independent of the order in which trades come."""

from __future__ import annotations

from marketdata.decimals import rescale

GAPS_NAMED_MAX = 256
"""Gaps a candle names: a day of a bad stream has more of them than a record may be long."""

SumsState = list[str]
"""A dump of `Sums`: all numbers as text, because they may exceed 64 bits."""


class Sums:
    """Prices in `price_scale`, volumes in `quantity_scale`, quote volumes in the sum of both (kept by the owner).

    A trade's rank orders trades (its id, behind the epoch): open belongs to the lowest, close to the highest.
    """

    __slots__ = (
        "buy_quote", "buy_volume", "close", "count", "first_id", "first_rank", "high", "last_id", "last_rank", "low",
        "open", "quote", "volume",
    )  # fmt: skip

    def __init__(self) -> None:
        self.count = 0
        self.open = self.high = self.low = self.close = 0
        self.volume = self.quote = self.buy_volume = self.buy_quote = 0
        self.first_rank = self.last_rank = 0
        self.first_id = self.last_id = ""

    def add(
        self,
        price: int,
        quantity: int,
        bought: bool,
        count: int,
        first_rank: int,
        last_rank: int,
        first_id: str,
        last_id: str,
    ) -> None:
        """One trade, or an aggregate of `count` trades at one price."""
        amount = price * quantity
        if not self.count:
            self.open = self.high = self.low = self.close = price
            self.first_rank, self.first_id, self.last_rank, self.last_id = first_rank, first_id, last_rank, last_id
        else:
            if price > self.high:
                self.high = price
            elif price < self.low:
                self.low = price
            if last_rank > self.last_rank:
                self.close, self.last_rank, self.last_id = price, last_rank, last_id
            if first_rank < self.first_rank:
                self.open, self.first_rank, self.first_id = price, first_rank, first_id
        self.count += count
        self.volume += quantity
        self.quote += amount
        if bought:
            self.buy_volume += quantity
            self.buy_quote += amount

    def merge(self, other: Sums) -> None:
        """Add all trades of `other`, which must be in the same scales."""
        if not other.count:
            return
        if not self.count:
            for name in self.__slots__:
                setattr(self, name, getattr(other, name))
            return
        self.high = max(self.high, other.high)
        self.low = min(self.low, other.low)
        if other.last_rank > self.last_rank:
            self.close, self.last_rank, self.last_id = other.close, other.last_rank, other.last_id
        if other.first_rank < self.first_rank:
            self.open, self.first_rank, self.first_id = other.open, other.first_rank, other.first_id
        self.count += other.count
        self.volume += other.volume
        self.quote += other.quote
        self.buy_volume += other.buy_volume
        self.buy_quote += other.buy_quote

    def grow(self, price_digits: int, quantity_digits: int) -> None:
        """Rewrite everything in scales finer by so many digits."""
        self.open, self.high, self.low, self.close = (
            rescale(p, 0, price_digits) for p in (self.open, self.high, self.low, self.close)
        )
        self.volume, self.buy_volume = (rescale(v, 0, quantity_digits) for v in (self.volume, self.buy_volume))
        both = price_digits + quantity_digits
        self.quote, self.buy_quote = rescale(self.quote, 0, both), rescale(self.buy_quote, 0, both)

    def dump(self) -> SumsState:
        return [str(getattr(self, name)) for name in self.__slots__]

    @classmethod
    def restore(cls, state: SumsState) -> Sums:
        sums = cls()
        for name, text in zip(cls.__slots__, state, strict=True):
            setattr(sums, name, text if name in ("first_id", "last_id") else int(text))
        return sums


class Candle:
    """One interval being built, or kept after its end in case it must be revised."""

    __slots__ = (
        "begun_before_capture", "closed", "dirty", "flat", "gaps", "open_time", "revision", "riddled", "sums",
        "unproven",
    )  # fmt: skip

    def __init__(self, open_time: int, begun_before_capture: bool) -> None:
        self.open_time = open_time
        """Milliseconds."""
        self.sums = Sums()
        self.begun_before_capture = begun_before_capture
        self.gaps: list[str] = []
        """Ids of unfilled gaps that touch it, the first `GAPS_NAMED_MAX` of them."""
        self.riddled = False
        """There were more: whether those were filled is not followed."""
        self.unproven = False
        """Closed while nothing proved that no trade was missed."""
        self.closed = False
        self.revision = 0
        self.dirty = False
        """Changed since it was last published."""
        self.flat: int | None = None
        """Price of a candle without trades: the close before it."""

    def lacks(self, gap_id: str) -> None:
        """A gap touches it."""
        if gap_id in self.gaps or self.riddled:
            return
        if len(self.gaps) < GAPS_NAMED_MAX:
            self.gaps.append(gap_id)
        else:
            self.riddled = True
        self.dirty = True

    def reasons(self) -> list[str]:
        """Why it cannot be called complete."""
        out = ["begun_before_capture"] if self.begun_before_capture else []
        if self.gaps or self.riddled:
            out.append("gap")
        if self.unproven:
            out.append("disconnected")
        return out

    def last_price(self) -> int | None:
        return self.sums.close if self.sums.count else self.flat
