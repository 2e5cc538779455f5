"""md.gap records of what the continuity of a stream has found missing."""

from __future__ import annotations

from marketdata.continuity import OpenGap
from marketdata.types import Gap, Trade


def gap_record(like: Trade, channel: str, gap: OpenGap) -> Gap:
    """The gap as it stands, for md.gap."""
    return build_gap(like.exchange, like.market, like.symbol, like.instrument, like.recv_time_ns, channel, gap)


def build_gap(
    exchange: str, market: str, symbol: str, instrument: str, recv_time_ns: str, channel: str, gap: OpenGap
) -> Gap:
    return Gap(
        exchange=exchange,
        market=market,
        symbol=symbol,
        instrument=instrument,
        recv_time_ns=recv_time_ns,
        gap_id=gap.gap_id,
        channel=channel,
        first_missing_id=str(gap.first) if gap.count else "",
        last_missing_id=str(gap.last) if gap.count else "",
        missing_count=gap.count,
        filled_count=gap.filled,
        from_time_us=gap.from_time_us,
        to_time_us=gap.to_time_us,
        reason=gap.reason,
        epoch=gap.epoch,
    )
