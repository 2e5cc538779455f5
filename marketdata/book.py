"""The levels of one live order book: exact prices, best levels at hand, deep ones by price.

Each level is one ready JSON fragment `["price","quantity"]` in the venue's own spelling, so that a view of the book is
a join. The best levels stand in two parallel sorted sequences (the window), all others in a dict that is brought up to
date in batches: with a thousand books what costs is memory that is not in the processor's cache, so most work touches
the window alone, its keys stand side by side in an array, and a visit to the deep levels does many of them at once.

Prices sort by a key. A price of at most 15 significant digits is exact as a float (distinct decimals give distinct
floats, in the same order), so the key is the float; the first longer price turns the side over to integers scaled by a
power of ten. Either way `1.0` and `1.00` are one level, spelled as it came last.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable, MutableSequence, Sequence
from heapq import nsmallest
from itertools import chain
from math import inf
from operator import neg

import msgspec

from marketdata.errors import ImplausibleValue
from marketdata.types import Level

WINDOW = 40
"""Best levels kept sorted at least. Views up to it need no sorting; a larger one costs each update a little more."""

PENDING_MAX = 128
"""Changes of deep levels that are collected before the dict takes them."""

FLOAT_DIGITS = 15
"""Significant decimal digits a float holds exactly."""

WHOLE = 1 << 62
"""Limit of a snapshot that holds every level there is."""

_decode_levels = msgspec.json.Decoder(list[tuple[str, str]]).decode


class BookSide:
    """One side. Keys ascend from the best price: for bids they are negative prices."""

    __slots__ = (
        "_far", "_limit", "_near", "_near_keys", "_pending", "_window", "_window_fill", "_window_max", "edge",
        "edge_price", "is_bid", "levels_max", "scale", "trimmed",
    )  # fmt: skip

    def __init__(self, is_bid: bool, levels_max: int, window: int) -> None:
        self.is_bid = is_bid
        self.levels_max = levels_max
        window = min(window, levels_max // 2)  # the cap cuts outside the window
        self._window = window  # filled up again below it,
        self._window_fill = window + 20 + window // 10  # to this many,
        self._window_max = window + 40 + window // 5  # and beyond this the worst moves to the dict
        self.scale: int | None = None
        """Decimal places of integer keys; None while keys are floats."""
        self._near_keys: MutableSequence[float] = array("d")
        self._near: list[str] = []
        self._far: dict[float, str] = {}
        self._pending: dict[float, str] = {}  # changes of far levels, newer than _far; "": removed
        self._limit: float = inf  # near keys are at or below it, far keys above
        self.edge: float = -inf
        """Key of the worst price down to which the side is known complete; inf: all of it."""
        self.edge_price = ""
        """The same as a price: "" unknown, "0" (bids) or "inf" (asks) complete."""
        self.trimmed = 0
        """Levels that `keep_best` forgot."""

    def __len__(self) -> int:
        return len(self._near) + len(self._all_far())

    # --- reading -------------------------------------------------------------------------------------

    @property
    def best_key(self) -> float | None:
        return self._near_keys[0] if self._near_keys else None

    @property
    def best(self) -> Level | None:
        return _level(self._near[0]) if self._near else None

    def fragments(self, levels: int) -> list[str]:
        """The best levels as JSON fragments, best first; 0: all."""
        if levels and levels <= len(self._near):
            return self._near[:levels]
        far = self._all_far()
        deep = self._near + [far[key] for key in sorted(far)]
        return deep[:levels] if levels else deep

    def levels(self, levels: int) -> list[Level]:
        """The best levels, best first; 0: all."""
        return [_level(fragment) for fragment in self.fragments(levels)]

    def known(self, levels: int) -> bool:
        """True when the best `levels` are certainly the best: they lie within the range known complete."""
        if self.edge == inf:
            return True
        keys: Sequence[float] = self._near_keys
        if len(keys) < levels:
            keys = [*keys, *sorted(self._all_far())]
        return len(keys) >= levels and keys[levels - 1] <= self.edge

    # --- writing -------------------------------------------------------------------------------------

    def numbers(self, levels: Sequence[Level]) -> tuple[Sequence[float], Sequence[float]]:
        """Sort keys and sizes of the levels; the side is not changed but for its kind of key.

        Raises ImplausibleValue on what is not a positive price and a size.
        """
        try:
            flat = list(map(float, chain.from_iterable(levels)))
        except ValueError as exc:
            raise ImplausibleValue(f"book level: {exc}") from None
        if not flat:
            return (), ()
        prices, sizes = flat[0::2], flat[1::2]
        if not (min(prices) > 0.0 and min(sizes) >= 0.0 and sum(flat) < inf):  # the sum is not when one is NaN
            raise ImplausibleValue(f"book level out of range, prices {min(prices)}..{max(prices)}")
        if self.scale is None:
            for price, _ in levels:
                if len(price) > FLOAT_DIGITS + 1 and _significant_digits(price) > FLOAT_DIGITS:
                    break
            else:
                return (list(map(neg, prices)) if self.is_bid else prices), sizes
        return self._exact_keys([price for price, _ in levels]), sizes

    def put(self, levels: Sequence[Level], keys: Sequence[float], sizes: Sequence[float]) -> None:
        """Set each level to its absolute size; zero removes it (removing an absent level is normal)."""
        near_keys, near, pending, limit = self._near_keys, self._near, self._pending, self._limit
        window_max = self._window_max
        for (price, quantity), key, size in zip(levels, keys, sizes, strict=True):
            if key > limit:
                pending[key] = f'["{price}","{quantity}"]' if size else ""
                continue
            i = bisect_left(near_keys, key)
            if i < len(near) and near_keys[i] == key:
                if size:
                    near[i] = f'["{price}","{quantity}"]'
                else:
                    del near_keys[i], near[i]
            elif size:
                near_keys.insert(i, key)
                near.insert(i, f'["{price}","{quantity}"]')
                if len(near) > window_max:
                    pending[near_keys.pop()] = near.pop()
                    self._limit = limit = near_keys[-1]
        if len(near) < self._window and limit != inf:
            self._fill_window()
        elif len(pending) > PENDING_MAX:
            self._all_far()
        most = self.levels_max + (self.levels_max >> 3)
        if len(near) + len(self._far) + len(pending) > most and len(self) > most:
            self._cap()

    def keep_best(self, depth: int) -> None:
        """The venue keeps the best `depth` levels up to date and no others: forget those that fell out.

        What is left is all that is known; with fewer than `depth` levels the side is whole.
        """
        count = len(self)  # brings the far levels up to date
        if count < depth:
            self.edge, self.edge_price = inf, "0" if self.is_bid else "inf"
            return
        if count > depth:
            self.trimmed += count - depth
            while count > depth and self._far:
                del self._far[max(self._far)]
                count -= 1
        if not self._far:
            del self._near_keys[depth:], self._near[depth:]
            self._limit = inf
        worst = max(self._far) if self._far else self._near_keys[-1]
        if worst != self.edge:
            self.edge = worst
            self.edge_price = _level(self._far[worst] if self._far else self._near[-1])[0]

    def replace(self, levels: Sequence[Level], complete: bool) -> None:
        """The side becomes these levels (any order). `complete`: the venue has no more than these."""
        keys = self._load(levels)
        if complete:
            self.edge, self.edge_price = inf, "0" if self.is_bid else "inf"
        elif not levels:
            self.edge, self.edge_price = -inf, ""
        else:
            worst = max(range(len(keys)), key=keys.__getitem__)
            self.edge, self.edge_price = keys[worst], levels[worst][0]
        if len(self) > self.levels_max:
            self._cap()

    def restore(self, levels: Sequence[Level], edge_price: str) -> None:
        """The side as `dump` left it."""
        self._load(levels)
        self.edge, self.edge_price = inf, edge_price
        if edge_price == "":
            self.edge = -inf
        elif edge_price != ("0" if self.is_bid else "inf"):
            self.edge = self.numbers([(edge_price, "0")])[0][0]

    def _load(self, levels: Sequence[Level]) -> Sequence[float]:
        self.scale = None
        keys, sizes = self.numbers(levels)
        self._set(
            {
                key: f'["{price}","{quantity}"]'
                for (price, quantity), key, size in zip(levels, keys, sizes, strict=True)
                if size
            }
        )
        return keys

    def dump(self) -> str:
        """All levels as one JSON array, in no order."""
        return "[" + ",".join(chain(self._near, self._all_far().values())) + "]"

    # --- inside --------------------------------------------------------------------------------------

    def _set(self, by_key: dict[float, str]) -> None:
        """The side becomes these fragments. Integer keys do not fit an array."""
        self._near_keys, self._near = array("d") if self.scale is None else [], []
        self._far, self._pending, self._limit = by_key, {}, -inf
        self._fill_window()

    def _all_far(self) -> dict[float, str]:
        """The levels outside the window, up to date."""
        if self._pending:
            removed = [key for key, fragment in self._pending.items() if not fragment]
            self._far.update(self._pending)
            for key in removed:
                del self._far[key]
            self._pending.clear()
        return self._far

    def _fill_window(self) -> None:
        far = self._all_far()
        wanted = self._window_fill - len(self._near)
        for key in nsmallest(wanted, far) if len(far) > wanted else sorted(far):
            self._near_keys.append(key)
            self._near.append(far.pop(key))
        self._limit = self._near_keys[-1] if far else inf

    def _cap(self) -> None:
        """Forget the worst levels beyond the cap; from there on the side is not known."""
        ordered = sorted(self._all_far())
        kept = ordered[: max(self.levels_max - len(self._near), 0)]
        worst_key = kept[-1] if kept else self._near_keys[-1]
        self._far = {key: self._far[key] for key in kept}
        if worst_key < self.edge:
            self.edge = worst_key
            self.edge_price = _level(self._far[worst_key] if kept else self._near[-1])[0]

    def _exact_keys(self, prices: Sequence[str]) -> list[float]:
        scale = max(map(_decimals, prices))
        if self.scale is None or scale > self.scale:
            self._rescale(max(scale, self.scale or 0))
        return [self._exact_key(price) for price in prices]

    def _exact_key(self, price: str) -> int:
        whole, _, fraction = price.partition(".")
        assert self.scale is not None
        key = int(whole + fraction[: self.scale].ljust(self.scale, "0"))
        return -key if self.is_bid else key

    def _rescale(self, scale: int) -> None:
        """Turn the keys into integers of `scale` decimal places."""
        fragments = [*self._near, *self._all_far().values()]
        prices = [_level(fragment)[0] for fragment in fragments]
        has_edge_price = self.edge not in (inf, -inf)
        needed = [*prices, self.edge_price] if has_edge_price else prices
        self.scale = max([scale, *map(_decimals, needed)])
        self._set({self._exact_key(price): fragment for price, fragment in zip(prices, fragments, strict=True)})
        if has_edge_price:
            self.edge = self._exact_key(self.edge_price)


Checked = tuple[
    Sequence[Level], Sequence[float], Sequence[float], Sequence[Level], Sequence[float], Sequence[float]
]  # fmt: skip
"""Levels, keys and sizes of bids and asks, found good."""


class LevelBook:
    """Both sides of one book. Knows nothing of sequences: see `marketdata.book_feed`."""

    __slots__ = ("asks", "bids", "depth")

    def __init__(self, levels_max: int = 5000, window: int = WINDOW, depth: int = 0) -> None:
        self.depth = depth
        """Levels a side that the venue keeps up to date, see `keep_best`; 0: all."""
        self.bids = BookSide(True, levels_max, window)
        self.asks = BookSide(False, levels_max, window)

    def check(self, bids: Sequence[Level], asks: Sequence[Level]) -> Checked:
        """What `put` takes. Raises ImplausibleValue; the levels of the book stay as they are."""
        bid_keys, bid_sizes = self.bids.numbers(bids)
        ask_keys, ask_sizes = self.asks.numbers(asks)
        return bids, bid_keys, bid_sizes, asks, ask_keys, ask_sizes

    def put(self, checked: Checked) -> None:
        """Set levels to absolute sizes; what `check` returned, before the book changed otherwise."""
        bids, bid_keys, bid_sizes, asks, ask_keys, ask_sizes = checked
        if bid_keys:
            self.bids.put(bids, bid_keys, bid_sizes)
        if ask_keys:
            self.asks.put(asks, ask_keys, ask_sizes)
        if self.depth:
            self.keep_best(self.depth)

    def apply(self, bids: Sequence[Level], asks: Sequence[Level]) -> None:
        """`check` and `put`. Raises ImplausibleValue before anything is changed."""
        self.put(self.check(bids, asks))

    def keep_best(self, depth: int) -> None:
        """See `BookSide.keep_best`; for venues whose stream covers the best `depth` levels a side."""
        self.bids.keep_best(depth)
        self.asks.keep_best(depth)

    def take_trimmed(self) -> int:
        """How many levels `keep_best` forgot since this was asked last."""
        trimmed, self.bids.trimmed, self.asks.trimmed = self.bids.trimmed + self.asks.trimmed, 0, 0
        return trimmed

    def replace(self, bids: Sequence[Level], asks: Sequence[Level], limit: int = 0) -> None:
        """The book becomes a snapshot of at most `limit` levels a side (0: not known).

        A side with fewer levels than the limit, or than the other side, is known complete.
        """
        self.check(bids, asks)
        most = limit or max(len(bids), len(asks))
        self.bids.replace(bids, complete=len(bids) < most or not bids)
        self.asks.replace(asks, complete=len(asks) < most or not asks)
        if self.depth:
            self.keep_best(self.depth)

    def clear(self) -> None:
        """No levels, nothing known."""
        for side in (self.bids, self.asks):
            side.replace((), complete=False)

    def problem(self) -> str:
        """Why the best prices cannot be trusted; "" when they can."""
        bids, asks = self.bids, self.asks
        bid_keys, ask_keys = bids._near_keys, asks._near_keys
        if bid_keys and ask_keys:
            if bids.scale is asks.scale is None:  # floats
                crossed = -bid_keys[0] >= ask_keys[0]
            else:
                crossed = self.crossed()
            if crossed:
                return f"crossed: bid {_level(bids._near[0])[0]} at or above ask {_level(asks._near[0])[0]}"
            if bid_keys[0] <= bids.edge and ask_keys[0] <= asks.edge:
                return ""
        for name, keys, edge in (("bid", bid_keys, bids.edge), ("ask", ask_keys, asks.edge)):
            if (not keys and edge != inf) or (keys and keys[0] > edge):
                return f"range: the best {name} lies beyond the levels known"
        return ""

    def crossed(self) -> bool:
        """True when the best bid is at or above the best ask."""
        bid, ask = self.bids.best_key, self.asks.best_key
        if bid is None or ask is None:
            return False
        if self.bids.scale == self.asks.scale:
            return -bid >= ask
        prices = [side.best[0] for side in (self.bids, self.asks) if side.best]
        scale = max(map(_decimals, prices))
        return _scaled(prices[0], scale) >= _scaled(prices[1], scale)

    def known(self, levels: int) -> bool:
        """True when the best `levels` of both sides lie within the range known complete."""
        return self.bids.known(levels) and self.asks.known(levels)

    def dump(self) -> bytes:
        """Both sides as JSON, to be compressed by whoever stores it."""
        return f'["{self.bids.edge_price}","{self.asks.edge_price}",{self.bids.dump()},{self.asks.dump()}]'.encode()

    @classmethod
    def load(cls, payload: bytes, levels_max: int = 5000, window: int = WINDOW, depth: int = 0) -> LevelBook:
        """The book that `dump` wrote."""
        bid_edge, ask_edge, bids, asks = _decode_dump(payload)
        book = cls(levels_max, window, depth)
        book.bids.restore(bids, bid_edge)
        book.asks.restore(asks, ask_edge)
        return book


_decode_dump = msgspec.json.Decoder(tuple[str, str, list[tuple[str, str]], list[tuple[str, str]]]).decode


def _level(fragment: str) -> Level:
    _, price, _, quantity, _ = fragment.split('"')
    return price, quantity


def _significant_digits(price: str) -> int:
    whole, _, fraction = price.partition(".")
    return len((whole + fraction.rstrip("0")).lstrip("0")) if fraction else len(whole.lstrip("0"))


def _decimals(price: str) -> int:
    return len(price.partition(".")[2].rstrip("0"))


def _scaled(price: str, scale: int) -> int:
    whole, _, fraction = price.partition(".")
    return int(whole + fraction[:scale].ljust(scale, "0"))


def levels_of(fragments: Iterable[str]) -> list[Level]:
    """Levels of fragments that `BookSide.fragments` gave."""
    return [_level(fragment) for fragment in fragments]
