"""The venues served beside Binance spot: one row each."""

from __future__ import annotations

from simulator import usdm
from simulator.dialect import Segment

SEGMENTS: tuple[Segment, ...] = (usdm.SEGMENT,)
