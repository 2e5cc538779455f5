"""The venues served beside Binance spot: one row each."""

from __future__ import annotations

from simulator import okx, usdm
from simulator.deribit import dialect as deribit
from simulator.dialect import Segment
from simulator.htx import spot, swap
from simulator.kraken import dialect as kraken

SEGMENTS: tuple[Segment, ...] = (usdm.SEGMENT, okx.SEGMENT, spot.SEGMENT, swap.SEGMENT, deribit.SEGMENT, kraken.SEGMENT)
