"""Book frames for benchmarks: many symbols, each a seeded random walk, in Binance's wire format."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator

SNAPSHOT_LEVELS = 1000
TICK = 100
"""Prices are integers of 1 / TICK."""


class BookLoad:
    """`symbols` books. `snapshot(i)` first, then `frame(i)`: `levels` changes, nearly half of them deletes, most of
    them near the best price, some deep, never crossed."""

    def __init__(self, symbols: int, levels: int, seed: int = 1) -> None:
        self._random = random.Random(seed)
        self._levels = levels
        self._mids = [self._random.randrange(10_000 * TICK, 60_000 * TICK) for _ in range(symbols)]
        self._ids = [0] * symbols
        self.symbols = [f"SYM{i}USDT" for i in range(symbols)]

    def snapshot(self, i: int) -> bytes:
        """The REST reply that anchors the book before its next frame."""
        mid = self._mids[i]
        sides = {
            name: [[self._price(mid + sign * (d + 1)), self._size()] for d in range(SNAPSHOT_LEVELS)]
            for name, sign in (("bids", -1), ("asks", 1))
        }
        return json.dumps({"lastUpdateId": self._ids[i], **sides}, separators=(",", ":")).encode()

    def frame(self, i: int) -> bytes:
        """The next frame of a symbol."""
        move = self._random.choice((-1, 0, 0, 1))
        self._mids[i] += move
        mid = self._mids[i]
        half = self._levels // 2
        bids, asks = self._side(mid, -1, half), self._side(mid, 1, half)
        if move:  # what now stands at the middle is gone
            (asks if move > 0 else bids)[0] = [self._price(mid), "0.00000000"]
        first = self._ids[i] + 1
        self._ids[i] = first + self._levels
        data = {
            "e": "depthUpdate", "E": 1_700_000_000_000 + first, "s": self.symbols[i], "U": first, "u": self._ids[i],
            "b": bids, "a": asks,
        }  # fmt: skip
        frame = {"stream": f"{self.symbols[i].lower()}@depth@100ms", "data": data}
        return json.dumps(frame, separators=(",", ":")).encode()

    def round_robin(self, frames: int) -> Iterator[tuple[int, bytes]]:
        """`frames` frames, one symbol after the other."""
        for n in range(frames):
            i = n % len(self._mids)
            yield i, self.frame(i)

    def _side(self, mid: int, sign: int, levels: int) -> list[list[str]]:
        distances = [min(int(self._random.expovariate(1 / 60)), SNAPSHOT_LEVELS - 2) + 1 for _ in range(levels)]
        return [
            [self._price(mid + sign * d), "0.00000000" if self._random.random() < 0.45 and d > 2 else self._size()]
            for d in distances
        ]

    def _price(self, ticks: int) -> str:
        return f"{ticks // TICK}.{ticks % TICK:02d}000000"

    def _size(self) -> str:
        return f"{self._random.random() * 3 + 0.00001:.8f}"
