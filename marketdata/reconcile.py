"""Our final candles against the venue's closed ones: a pure state machine for one key.

Both sides arrive on topics of their own, so a result may not depend on how the two interleave. Therefore each side
forgets by its own order or by the other side's progress in the other's own order, never by what happened to meet:

- A candle of ours counts when our newest is at most `window_ms` beyond it as it arrives; the venue's likewise.
- What waits is given up when the other side is more than `window_ms` beyond it: no later record of that side counts
  for it any more. The outcome is counted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import msgspec
from msgspec import Struct

from marketdata.decimals import difference, rescale, same, subtract, to_units
from marketdata.types import Kline, KlineResidual, VenueKline
from marketdata.units import INVERSE_PLACES

PRICES = ("open", "high", "low", "close")
AMOUNTS = ("volume", "quote_volume", "taker_buy_volume", "taker_buy_quote_volume")
WAITING_MAX = 20_000
"""Candles held per key and side; beyond it the oldest is given up (the other side is far behind, or gone)."""


class _Venue(Struct):
    kline: VenueKline
    matched: bool = False


class ReconcileState(Struct):
    """What is persisted, by candle (`interval:open_time`)."""

    ours_newest_ms: int = 0
    venue_newest_ms: int = 0
    ours: dict[str, list[Kline]] = {}
    venue: dict[str, _Venue] = {}


_dump = msgspec.json.Encoder().encode
_load = msgspec.json.Decoder(ReconcileState).decode


class Reconciler:
    """One key. Feed it every record of md.kline and md.venue_kline; it returns residuals."""

    def __init__(self, intervals: Sequence[str], window_ms: int, state: ReconcileState | None = None) -> None:
        self._intervals, self._window_ms = frozenset(intervals), window_ms
        self._state = state or ReconcileState()
        self.events: list[str] = []
        """Outcomes, for counters; the caller empties it."""

    def dump(self) -> bytes:
        return _dump(self._state)

    @classmethod
    def restore(cls, intervals: Sequence[str], window_ms: int, blob: bytes) -> Reconciler:
        return cls(intervals, window_ms, _load(blob))

    def on_ours(self, kline: Kline) -> Sequence[KlineResidual]:
        """A candle of ours; only closed ones count."""
        if not kline.is_closed or kline.interval not in self._intervals:
            return ()
        state = self._state
        if kline.close_time < state.ours_newest_ms - self._window_ms:
            self.events.append("too_late")
            return ()
        state.ours_newest_ms = max(state.ours_newest_ms, kline.close_time)
        at = f"{kline.interval}:{kline.open_time}"
        met = state.venue.get(at)
        out: Sequence[KlineResidual] = ()
        if met is not None:
            met.matched = True
            out = (self._compare(kline, met.kline),)
        else:
            state.ours.setdefault(at, []).append(kline)
        self._forget()
        return out

    def on_venue(self, kline: VenueKline) -> Sequence[KlineResidual]:
        """A candle of the venue's; only closed ones count, and of each the first."""
        if not kline.is_closed or kline.interval not in self._intervals:
            return ()
        state = self._state
        if kline.close_time < state.venue_newest_ms - self._window_ms:
            self.events.append("venue_too_late")
            return ()
        state.venue_newest_ms = max(state.venue_newest_ms, kline.close_time)
        at = f"{kline.interval}:{kline.open_time}"
        if at in state.venue:
            self.events.append("venue_repeated")
            return ()
        waiting = state.ours.pop(at, [])
        state.venue[at] = _Venue(kline, bool(waiting))
        out = [self._compare(ours, kline) for ours in waiting]
        self._forget()
        return out

    def _forget(self) -> None:
        """Give up what the other side has left behind."""
        state = self._state
        for at in _left_behind(state.ours, state.venue_newest_ms - self._window_ms, lambda v: v[0].close_time):
            del state.ours[at]
            self.events.append("venue_missing")
        for at in _left_behind(state.venue, state.ours_newest_ms - self._window_ms, lambda v: v.kline.close_time):
            if not state.venue.pop(at).matched:
                self.events.append("ours_missing")

    def _compare(self, ours: Kline, venue: VenueKline) -> KlineResidual:
        residual = compare(ours, venue)
        self.events.append("matched" if residual.matched else "differs" if ours.complete else "differs_incomplete")
        return residual


T = TypeVar("T")


def _left_behind(waiting: Mapping[str, T], limit_ms: int, close_time: Callable[[T], int]) -> list[str]:
    gone = [at for at, item in waiting.items() if close_time(item) < limit_ms]
    over = len(waiting) - len(gone) - WAITING_MAX
    return gone if over <= 0 else [*gone, *[at for at in waiting if at not in set(gone)][:over]]


def compare(ours: Kline, venue: VenueKline) -> KlineResidual:
    """The residual, ours minus the venue's, over the fields that the venue gives. What it does not say (`""`, -1), and
    a price we do not know (no trade, no previous close), differs by "0"."""
    fields = [name for name in PRICES if not _same_price(getattr(ours, name), getattr(venue, name))]
    fields += [name for name in AMOUNTS if not _same_amount(name, ours, venue)]
    counted = venue.trade_count >= 0
    if counted and ours.trade_count != venue.trade_count:
        fields.append("trade_count")
    if ours.trade_count and venue.trade_count:
        ids = ("first_trade_id", "last_trade_id")
        fields += [n for n in ids if getattr(venue, n) and getattr(ours, n) != getattr(venue, n)]
    return KlineResidual(
        exchange=ours.exchange,
        market=ours.market,
        symbol=ours.symbol,
        instrument=ours.instrument,
        recv_time_ns=ours.recv_time_ns,
        interval=ours.interval,
        open_time=ours.open_time,
        close_time=ours.close_time,
        revision=ours.revision,
        matched=not fields,
        ours_complete=ours.complete,
        fields=fields,
        volume_diff=_difference(ours.volume, venue.volume),
        quote_volume_diff=_difference(ours.quote_volume, venue.quote_volume),
        trade_count_diff=ours.trade_count - venue.trade_count if counted else 0,
        open_diff=_difference(ours.open, venue.open),
        high_diff=_difference(ours.high, venue.high),
        low_diff=_difference(ours.low, venue.low),
        close_diff=_difference(ours.close, venue.close),
        source=ours.source,
        event_time_us=ours.event_time_us,
    )


def _difference(ours: str, venue: str) -> str:
    return subtract(ours, venue) if ours and venue else "0"


def _same_price(ours: str, venue: str) -> bool:
    return not venue or (bool(ours) and same(ours, venue))


def _same_amount(name: str, ours: Kline, venue: VenueKline) -> bool:
    """Equal; or, for a sum of products or quotients, equal but for the digits cut off each of them: by the venue from
    amounts in quote currency, by both from amounts in base coin of contracts worth a fixed sum of quote currency (seen
    from more decimals than any amount traded has).

    How many digits the venue keeps is seen only from the number, which may end in zeros that are not written: therefore
    also never more than a millionth of the whole.
    """
    mine, theirs = getattr(ours, name), getattr(venue, name)
    if not theirs:
        return True
    units, scale = difference(mine, theirs)
    if not units:
        return True
    venue_scale = len(theirs.partition(".")[2])
    if len(mine.partition(".")[2]) > PLACES_MAX:
        venue_scale = min(venue_scale, INVERSE_PLACES)
    elif "quote" not in name or scale <= venue_scale:
        return False
    whole, whole_scale = to_units(theirs)
    least = ours.trade_count * 10 ** (scale - PLACES_MAX) if scale >= PLACES_MAX else 0
    millionth = max(rescale(abs(whole), whole_scale, scale) // 1_000_000, least)
    return bool(abs(units) < min(ours.trade_count * 10 ** (scale - venue_scale), millionth))


PLACES_MAX = 8
"""Decimals of an amount that is no quotient, at most: no exchange trades less than 0.00000001 coin."""
