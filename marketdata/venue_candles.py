"""Candles of venues that do not say when one is closed: it is when the next one begins. Pure.

The newest state of the newest candle is held per interval. What arrives for an older one, or with an older state, is
late: the closed candle was published already. Minutes that the venue skips are not invented. A candle that was open
while the connection was lost may have changed unseen: it is closed only after the venue has shown it once more.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from marketdata.decimals import less
from marketdata.types import VenueKline


class OpenCandle(Struct):
    """The newest candle of an interval."""

    kline: VenueKline
    unsure: bool = False
    """A connection was lost since it was seen."""


class CandleCloser(Struct):
    """The candles of one key and channel; persisted as it is."""

    newest: dict[str, OpenCandle] = {}
    """By interval."""

    def broken(self) -> None:
        """A connection opened that overlaps no other."""
        for candle in self.newest.values():
            candle.unsure = True

    def repeated(self, kline: VenueKline) -> None:
        """A state that was seen before came again: nothing to publish, but a lost connection missed nothing of it."""
        held = self.newest.get(kline.interval)
        if held is not None and replace(kline, recv_time_ns=held.kline.recv_time_ns) == held.kline:
            held.unsure = False

    def accept(self, kline: VenueKline) -> tuple[Sequence[VenueKline], str]:
        """(what to publish, the name of what was noticed or ""): the candle itself, before it the one it closes."""
        held = self.newest.get(kline.interval)
        if held is not None and _is_late(kline, held.kline):
            return (), "venue_candle_late"
        self.newest[kline.interval] = OpenCandle(kline)
        if held is None or kline.open_time == held.kline.open_time:
            return (kline,), ""
        if held.unsure:
            return (kline,), "venue_candle_unclosed"
        closed = replace(held.kline, is_closed=True, recv_time_ns=kline.recv_time_ns, event_time_us=kline.event_time_us)
        return (closed, kline), ""


def _is_late(kline: VenueKline, held: VenueKline) -> bool:
    """Of an older candle, or an older state of the same: by the venue's time, then by what was traded."""
    if kline.open_time != held.open_time:
        return kline.open_time < held.open_time
    if kline.event_time_us != held.event_time_us:
        return kline.event_time_us < held.event_time_us
    return bool(kline.volume and held.volume) and less(kline.volume, held.volume)
