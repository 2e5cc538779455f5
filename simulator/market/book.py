"""One side of a deep book that keeps in memory only what trading touched.

The far book is a function of the seed: cell after cell away from the first price, most of them with one resting
level. Only levels that changed since are stored. So a thousand symbols with thousands of levels a side fit, and
`limit=5000` finds them all.

A level's place is its *key*: minus the price for bids, the price for asks. Smaller keys are better on both sides.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator
from typing import Any

MASK = (1 << 64) - 1
NEAR_MAX = 288
NEAR_KEEP = 160


class Side:
    """Bids or asks. `near` holds every level with key < `edge`, best first; beyond it `far` overrides the base."""

    __slots__ = ("edge", "far", "far_keys", "last_key", "near", "origin", "qty", "seed", "sign", "stride", "typical")

    def __init__(self, sign: int, first_price: int, stride: int, seed: int, typical_qty: int) -> None:
        self.sign = sign
        self.origin = sign * first_price + 1
        self.last_key = -1 if sign < 0 else 4 * first_price
        self.stride = stride
        self.seed = seed ^ (0x9E3779B97F4A7C15 if sign < 0 else 0xC2B2AE3D27D4EB4F)
        self.typical = typical_qty
        self.near: list[int] = []
        self.qty: dict[int, int] = {}
        self.edge = self.origin
        self.far: dict[int, int] = {}
        self.far_keys: list[int] = []
        self.extend()

    def base_level(self, cell: int) -> tuple[int, int]:
        """Key and quantity the seed puts into a cell; quantity 0: an empty cell."""
        x = (cell * 0xBF58476D1CE4E5B9 + self.seed) & MASK
        x ^= x >> 30
        x = (x * 0x94D049BB133111EB) & MASK
        x ^= x >> 31
        key = self.origin + cell * self.stride + (x & 0xFFFF) % self.stride
        if not (x >> 16) & 7 or key > self.last_key:
            return key, 0
        tail = (x >> 20) & 0xFF
        size = self.typical * (4 + ((x >> 28) & 0x3F) + (tail * tail >> 8)) // 16
        return key, max(1, size + ((x >> 40) & 0xFF))

    def base_qty(self, key: int) -> int:
        if key < self.origin:
            return 0
        found, qty = self.base_level((key - self.origin) // self.stride)
        return qty if found == key else 0

    def get(self, key: int) -> int:
        """Quantity at a key; 0 where no level is."""
        if key < self.edge:
            return self.qty.get(key, 0)
        return self.far[key] if key in self.far else self.base_qty(key)

    def set(self, key: int, qty: int) -> None:
        """Put an absolute quantity at a key; 0 removes."""
        if key >= self.edge:
            self._set_far(key, qty)
        elif qty:
            if key not in self.qty:
                insort(self.near, key)
            self.qty[key] = qty
            if len(self.near) > NEAR_MAX:
                self._demote()
        elif self.qty.pop(key, 0):
            del self.near[bisect_left(self.near, key)]

    def best(self) -> int:
        """Key of the best level. Extends the near book when trading ate through it."""
        while not self.near:
            if self.edge > self.last_key:
                raise LookupError("a side of the synthetic book ran empty")
            self.extend()
        return self.near[0]

    def ensure(self, levels: int) -> None:
        """Have at least `levels` levels in the near book, as far as the side has them."""
        while len(self.near) < levels and self.edge <= self.last_key:
            self.extend()

    def extend(self) -> None:
        """Take the next cells of the far book into the near one."""
        new_edge = max(self.edge, self.origin) + 48 * self.stride
        for key, qty in self._far_levels(self.edge, new_edge):
            self.near.append(key)
            self.qty[key] = qty
        taken = bisect_left(self.far_keys, new_edge)
        for key in self.far_keys[:taken]:
            del self.far[key]
        del self.far_keys[:taken]
        self.edge = new_edge

    def levels(self, count: int) -> Iterator[tuple[int, int]]:
        """The best `count` levels as (key, quantity), best first, without materialising the far book."""
        for key in self.near[:count]:
            yield key, self.qty[key]
        left = count - len(self.near)
        if left > 0:
            for level in self._far_levels(self.edge, self.last_key + 1):
                yield level
                left -= 1
                if not left:
                    return

    def _far_levels(self, start: int, stop: int) -> Iterator[tuple[int, int]]:
        """Levels with start <= key < stop of base and overrides, in order."""
        place = bisect_left(self.far_keys, start)
        cell = max(0, (start - self.origin) // self.stride)
        while True:
            base_key, base_qty = self.base_level(cell)
            ended = base_key >= stop or base_key > self.last_key
            limit = stop if ended else base_key
            while place < len(self.far_keys) and self.far_keys[place] < limit:
                key = self.far_keys[place]
                place += 1
                if qty := self.far[key]:
                    yield key, qty
            if ended:
                return
            if base_qty and base_key >= start and base_key not in self.far:
                yield base_key, base_qty
            cell += 1

    def _set_far(self, key: int, qty: int) -> None:
        if qty == self.base_qty(key):
            if key in self.far:
                del self.far[key]
                del self.far_keys[bisect_left(self.far_keys, key)]
            return
        if key not in self.far:
            insort(self.far_keys, key)
        self.far[key] = qty

    def _demote(self) -> None:
        """Give the tail of the near book back to the far one: only what differs from the base stays stored."""
        new_edge = self.near[NEAR_KEEP]
        block: dict[int, int] = {}
        for key in self.near[NEAR_KEEP:]:
            qty = self.qty.pop(key)
            if qty != self.base_qty(key):
                block[key] = qty
            else:
                block[key] = -1
        del self.near[NEAR_KEEP:]
        cell = max(0, (new_edge - self.origin) // self.stride)
        while True:
            key, qty = self.base_level(cell)
            if key >= self.edge or key > self.last_key:
                break
            if qty and key >= new_edge and key not in block:
                block[key] = 0
            cell += 1
        kept = sorted(key for key, qty in block.items() if qty >= 0)
        for key in kept:
            self.far[key] = block[key]
        self.far_keys[:0] = kept
        self.edge = new_edge

    def state(self) -> dict[str, Any]:
        return {"edge": self.edge, "near": [(key, self.qty[key]) for key in self.near], "far": list(self.far.items())}

    def restore(self, state: dict[str, Any]) -> None:
        self.edge = state["edge"]
        self.near = [key for key, _ in state["near"]]
        self.qty = dict(state["near"])
        self.far = dict(state["far"])
        self.far_keys = sorted(self.far)
