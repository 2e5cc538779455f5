"""OKX v5: one ack per arg, books that begin with a snapshot, amounts in contracts."""

from simulator.okx.dialect import SEGMENT

__all__ = ["SEGMENT"]
