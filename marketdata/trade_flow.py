"""The trades of one key and channel, judged in order: values, time, price against the last, ids.

A price off the last one by more than a factor is held until the next trade: one near it confirms both, else it is
rejected. So a wrong print never enters a candle and a real crash is delayed by one trade, not rejected for ever. What
is held or rejected is a gap in the ids at once, for the next trade may be hours away; a held one that is confirmed
fills its gap. Streams whose prices jump by right (options, worth few ticks) are told apart by `confirms_jumps`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from msgspec import Struct

from marketdata.continuity import Continuity, OpenGap, Unnumbered, Verdict
from marketdata.decimals import TEXT_MAX
from marketdata.errors import BadData
from marketdata.gap_records import gap_record
from marketdata.types import Gap, Trade
from marketdata.validation import AGE_MAX_US, TIME_MAX_US, TIME_MIN_US, check_record, check_time

PRICE_FACTOR_MAX = 10.0
"""A trade this many times above or below the last one needs another to confirm it."""

ZERO = "0." + "0" * TEXT_MAX
"""Plain text of a number above zero is greater than this as text: it has no needless leading zeros."""


class Held(NamedTuple):
    """The trade waits for its confirmation: keep the raw record it came from."""

    trade: Trade


class Rejected(NamedTuple):
    """A trade not accepted. With `held` it is the one held before, not the one just given."""

    code: str
    detail: str
    record_id: str
    held: bool = False


Item = Trade | Gap | Held | Rejected


class FlowState(Struct):
    """What is persisted of a flow."""

    channel: str
    max_ahead_us: int
    ids: Continuity | None = None
    """Of a channel whose ids grow by one; else None."""
    unnumbered: Unnumbered | None = None
    last_price: str = ""
    held: Trade | None = None
    id_ranges: bool = False
    """With `ids`: what chains is `first_trade_id` to `last_trade_id`."""
    monotonic_ids: bool = False
    """Without `ids`: numeric ids only grow, see `Unnumbered.grows`."""
    confirms_jumps: bool = True
    """A price far off the last one waits for another to confirm it."""
    refused_id: str = ""
    """The last trade that none confirmed: a slower connection may bring it again."""


class TradeFlow:
    """One channel. `accept` every trade in order; `broken` when a connection opened that overlaps none.

    The usual trade, next id and everything within bounds known to be good, is passed in one comparison; the bounds
    are kept ready for that.
    """

    __slots__ = (
        "_clock_us", "_ids", "_last_price", "_next_id", "_price_high", "_price_low", "_state", "_time_high_us",
        "_time_low_us", "duplicates", "last_time_us",
    )  # fmt: skip

    def __init__(self, state: FlowState) -> None:
        self._state = state
        self._ids = state.ids
        self._clock_us = -1
        self._time_low_us = self._time_high_us = 0
        self._next_id = -1
        """The only id the usual trade can have; -1 while there is no usual trade."""
        self._last_price = state.last_price
        self._price_low = self._price_high = 0.0
        self.last_time_us = 0
        self.duplicates = 0
        """Since the caller last took it away."""
        self._make_ready()

    def state(self) -> FlowState:
        """The state as it is now, to be dumped."""
        self._catch_up()
        self._state.last_price = self._last_price
        return self._state

    def broken(self, reason: str) -> None:
        """See `Continuity.broken`."""
        self._catch_up()
        (self._ids or self._unnumbered()).broken(reason)
        self._next_id = -1

    @property
    def held(self) -> Trade | None:
        """The trade that waits for its confirmation."""
        return self._state.held

    def accept(self, trade: Trade, clock_us: int) -> Sequence[Item] | None:
        """Judge one trade. None, the usual answer, means: it is good, publish it as it is.

        `clock_us` is the venue's clock of the last heartbeat, 0 where none was seen.
        """
        if clock_us != self._clock_us:
            self._set_clock(clock_us)
        expected, price, time_us = self._next_id, trade.price, trade.trade_time_us
        try:
            if (
                int(trade.trade_id) == expected
                and self._price_low < float(price) < self._price_high  # magnitudes only: a float will do
                and trade.quantity > ZERO
                and self._time_low_us < time_us <= self._time_high_us
            ):
                self._next_id = expected + 1
                self._last_price = price
                self.last_time_us = time_us
                return None
        except ValueError:
            return [_not_a_number(trade)]
        return self._slowly(trade, clock_us)

    def passed(self, record_id: str, time_us: int) -> OpenGap | None:
        """An id of the sequence that is no trade of ours: nothing is missing there. The gap before it, or the one it
        fills, where there is one."""
        if self._ids is None or not record_id.isdigit():
            return None
        self._catch_up()
        gap = self._ids.check(int(record_id), time_us).gap
        self._make_ready()
        return gap

    def _slowly(self, trade: Trade, clock_us: int) -> Sequence[Item]:
        self._catch_up()
        out = self._judge(trade, clock_us)
        self._make_ready()
        return out

    def _set_clock(self, clock_us: int) -> None:
        self._clock_us = clock_us
        self._time_low_us = max(TIME_MIN_US, clock_us - AGE_MAX_US - 1) if clock_us else TIME_MIN_US
        self._time_high_us = clock_us + self._state.max_ahead_us if clock_us else TIME_MAX_US - 1

    def _catch_up(self) -> None:
        """Tell the ids what passed without them."""
        if self._next_id >= 0 and self._ids is not None and self._ids.last_id != self._next_id - 1:
            self._ids.last_id, self._ids.last_time_us = self._next_id - 1, self.last_time_us

    def _make_ready(self) -> None:
        """Prepare the bounds of the usual trade. Two prices within a factor of 2 of a third are within 4 of each
        other, so they need not be compared: well below `PRICE_FACTOR_MAX`."""
        ids, usual = self._ids, self._state.held is None and bool(self._last_price)
        if ids is None or ids.last_id is None or ids.break_reason or not usual:
            self._next_id = -1
            return
        self._next_id, self.last_time_us = ids.last_id + 1, ids.last_time_us
        price = float(self._last_price)
        self._price_low, self._price_high = price / 2, price * 2

    def _judge(self, trade: Trade, clock_us: int) -> Sequence[Item]:
        state = self._state
        try:
            check_record(trade)
            check_time(trade.trade_time_us, clock_us, state.max_ahead_us, trade.trade_id)
        except BadData as exc:
            return [Rejected(exc.code, exc.detail, trade.trade_id), *self._lacking(trade, clock_us)]
        held = state.held
        if (held is not None or state.refused_id) and self._is_of_a_jump(trade):
            self.duplicates += 1
            return []
        if (self._ids is not None or held is not None) and self._is_of_the_past(trade):
            return self._go_on(trade)
        out: list[Item] = []
        if held is not None:
            out += self._decide(held, trade)
        if self._last_price and not self._plausible(trade.price, self._last_price):
            state.held = trade
            return [*out, Held(trade), *self._lacking(trade, trade.trade_time_us)]
        return [*out, *self._go_on(trade)]

    def _is_of_a_jump(self, trade: Trade) -> bool:
        """The held one, or the last one refused, once more."""
        held = self._state.held
        return bool(trade.trade_id) and trade.trade_id in (held.trade_id if held else "", self._state.refused_id)

    def _is_of_the_past(self, trade: Trade) -> bool:
        """A repeat, a fill or of a new sequence: its price says nothing of the one held, which is of another moment."""
        if self._ids is not None:
            return self._ids.last_id is not None and self._span(trade)[0] <= self._ids.last_id
        identity = _identity(trade)
        return identity is not None and self._unnumbered().recent.knows(identity)

    def _decide(self, held: Trade, trade: Trade) -> Sequence[Item]:
        """The next trade confirms the one held, or it does not."""
        self._state.held = None
        if not self._plausible(trade.price, held.price):
            detail = f"price {held.price}, before it {self._last_price}, after it {trade.price}"
            return [self._refuse(held, detail)]
        out = self._go_on(held)
        self._last_price = held.price
        return out

    def _refuse(self, held: Trade, detail: str) -> Rejected:
        self._state.held, self._state.refused_id = None, held.trade_id
        return Rejected("price_jump", detail, held.trade_id, held=True)

    def _lacking(self, trade: Trade, time_us: int) -> Sequence[Gap]:
        """The gap a trade leaves that is the next by its id and cannot be accepted, or not yet."""
        if self._ids is None:
            return []
        first_id, last_id = self._span(trade)
        gap = self._ids.lack(last_id, time_us, first_id)
        return [] if gap is None else [gap_record(trade, self._state.channel, gap)]

    def _plausible(self, price: str, other: str) -> bool:
        return not self._state.confirms_jumps or near(price, other)

    def _go_on(self, trade: Trade) -> Sequence[Item]:
        """The trade itself is good: what do the ids say?"""
        if self._ids is not None:
            first_id, last_id = self._span(trade)
            step = self._ids.check(last_id, trade.trade_time_us, first_id)
        else:
            step = self._unnumbered().check(_identity(trade), trade.trade_time_us)
        if step.verdict is Verdict.DUPLICATE:
            self.duplicates += 1
            return []
        if step.verdict is Verdict.LATE:
            return [Rejected("late_untracked", "its gap is no longer followed", trade.trade_id)]
        if step.verdict is Verdict.OVERLAP:
            detail = f"of its ids {trade.first_trade_id} to {trade.last_trade_id} some are known"
            return [Rejected("overlapping_ids", detail, trade.trade_id)]
        if step.verdict is Verdict.FILL:
            assert step.gap is not None
            return [trade, gap_record(trade, self._state.channel, step.gap)]
        self._last_price = trade.price
        out: list[Item] = [trade] if step.gap is None else [gap_record(trade, self._state.channel, step.gap), trade]
        if step.verdict is Verdict.RESET:
            if self._state.held is not None:
                out.insert(0, self._refuse(self._state.held, "the ids began anew before another trade confirmed it"))
            self._state.refused_id = ""
        return out

    def _span(self, trade: Trade) -> tuple[int, int]:
        """First and last id it covers, of those that chain."""
        number = int(trade.trade_id)
        return number, number

    def _unnumbered(self) -> Unnumbered:
        if self._state.unnumbered is None:
            self._state.unnumbered = Unnumbered(self._state.channel, grows=self._state.monotonic_ids)
        return self._state.unnumbered


class RangedTradeFlow(TradeFlow):
    """Merged trades that chain by the ids they cover."""

    __slots__ = ()

    def accept(self, trade: Trade, clock_us: int) -> Sequence[Item] | None:
        if clock_us != self._clock_us:
            self._set_clock(clock_us)
        price, time_us = trade.price, trade.trade_time_us
        try:
            first_id, last_id = self._span(trade)
        except ValueError:
            return [_not_a_number(trade)]
        if last_id < first_id:
            detail = f"ids from {trade.first_trade_id} down to {trade.last_trade_id}"
            return [Rejected("implausible", detail, trade.trade_id)]
        if (
            first_id == self._next_id
            and self._price_low < float(price) < self._price_high
            and trade.quantity > ZERO
            and self._time_low_us < time_us <= self._time_high_us
        ):
            self._next_id = last_id + 1
            self._last_price = price
            self.last_time_us = time_us
            return None
        return self._slowly(trade, clock_us)

    def _span(self, trade: Trade) -> tuple[int, int]:
        return int(trade.first_trade_id or trade.trade_id), int(trade.last_trade_id or trade.trade_id)


class UnnumberedTradeFlow(TradeFlow):
    """Trades whose ids, numbers or not, in order or not, only tell repeats."""

    __slots__ = ()

    def accept(self, trade: Trade, clock_us: int) -> Sequence[Item] | None:
        if clock_us != self._clock_us:
            self._set_clock(clock_us)
        return self._judge(trade, clock_us)


def new_flow(
    channel: str, continuous_ids: bool, max_ahead_ms: int, id_ranges: bool = False, monotonic_ids: bool = False,
    confirms_jumps: bool = True,
) -> TradeFlow:  # fmt: skip
    """A flow that has seen nothing. The rules are those of `venues.contract.StreamRules`."""
    ids = Continuity(channel) if continuous_ids else None
    return restore_flow(
        FlowState(
            channel, max_ahead_ms * 1000, ids, id_ranges=id_ranges, monotonic_ids=monotonic_ids,
            confirms_jumps=confirms_jumps,
        )
    )  # fmt: skip


def restore_flow(state: FlowState) -> TradeFlow:
    """The flow that goes on from a state."""
    if state.ids is None:
        return UnnumberedTradeFlow(state)
    return RangedTradeFlow(state) if state.id_ranges else TradeFlow(state)


def _identity(trade: Trade) -> int | str | None:
    """What tells repeats where ids do not count."""
    return int(trade.trade_id) if trade.trade_id.isdigit() else trade.trade_id or None


def _not_a_number(trade: Trade) -> Rejected:
    return Rejected("implausible", f"trade id {trade.trade_id!r} or price {trade.price!r} is no number", trade.trade_id)


def near(price: str, other: str) -> bool:
    """Within a factor of `PRICE_FACTOR_MAX`; compares magnitudes only."""
    return float(other) / PRICE_FACTOR_MAX < float(price) < float(other) * PRICE_FACTOR_MAX
