"""The venues served beside Binance spot: one row each."""

from __future__ import annotations

from simulator.dialect import Segment

SEGMENTS: tuple[Segment, ...] = ()
