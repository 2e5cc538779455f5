"""Binance USD-M futures: routes, ids that jump, contract data."""

from simulator.usdm.dialect import SEGMENT

__all__ = ["SEGMENT"]
