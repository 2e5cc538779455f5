"""The trades of one key and channel, judged in order: values, time, price against the last, ids.

A price off the last one by more than a factor is held until the next trade: one near it confirms both, else it is
rejected. So a wrong print never enters a candle and a real crash is delayed by one trade, not rejected for ever. What
is rejected leaves a gap in the ids, which says that it is missing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from msgspec import Struct

from marketdata.continuity import Continuity, OpenGap, Unnumbered, Verdict
from marketdata.errors import BadData
from marketdata.types import Gap, Trade
from marketdata.validation import AGE_MAX_US, TIME_MAX_US, TIME_MIN_US, check_record, check_time

PRICE_FACTOR_MAX = 10.0
"""A trade this many times above or below the last one needs another to confirm it."""


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


class TradeFlow(Struct):
    """State of one channel. `accept` every trade in order; `broken` when a connection opened that overlaps none."""

    channel: str
    max_ahead_us: int
    ids: Continuity | None = None
    """Of a channel whose ids grow by one; else None."""
    unnumbered: Unnumbered | None = None
    last_price: float = 0.0
    held: Trade | None = None
    duplicates: int = 0
    """Since the caller last took it away."""

    def broken(self, reason: str) -> None:
        """See `Continuity.broken`."""
        (self.ids or self._unnumbered()).broken(reason)

    def accept(self, trade: Trade, clock_us: int) -> Sequence[Item] | None:
        """Judge one trade. None, the usual answer, means: it is good, publish it as it is.

        `clock_us` is the venue's clock of the last heartbeat, 0 where none was seen.
        """
        price = float(trade.price)  # for comparing magnitudes only
        time_us = trade.trade_time_us
        last = self.last_price
        ids = self.ids
        if (
            ids is not None
            and ids.last_id is not None
            and int(trade.trade_id) == ids.last_id + 1
            and last * 0.1 < price < last * 10.0
            and float(trade.quantity) > 0.0
            and TIME_MIN_US < time_us < TIME_MAX_US
            and (not clock_us or clock_us - AGE_MAX_US < time_us <= clock_us + self.max_ahead_us)
            and self.held is None
        ):  # the usual case, in one go
            ids.last_id += 1
            ids.last_time_us = time_us
            ids.break_reason = ""
            self.last_price = price
            return None
        return self._judge(trade, price, clock_us)

    def _judge(self, trade: Trade, price: float, clock_us: int) -> Sequence[Item]:
        try:
            check_record(trade)
            check_time(trade.trade_time_us, clock_us, self.max_ahead_us, trade.trade_id)
        except BadData as exc:
            return [Rejected(exc.code, exc.detail, trade.trade_id)]
        if self.ids is not None and self.ids.last_id is not None and int(trade.trade_id) <= self.ids.last_id:
            return self._go_on(trade, price)  # a repeat or a fill: its price is of another moment
        out: list[Item] = []
        if self.held is not None:
            held, self.held = self.held, None
            if held.trade_id == trade.trade_id:
                self.held = held
                self.duplicates += 1
                return []
            held_price = float(held.price)
            if near(price, held_price):
                out += self._go_on(held, held_price)
            else:
                detail = f"price {held.price}, before it {self.last_price:g}, after it {trade.price}"
                out.append(Rejected("price_jump", detail, held.trade_id, held=True))
        if self.last_price and not near(price, self.last_price):
            self.held = trade
            return [*out, Held(trade)]
        return [*out, *self._go_on(trade, price)]

    def _go_on(self, trade: Trade, price: float) -> Sequence[Item]:
        """The trade itself is good: what do the ids say?"""
        if self.ids is not None:
            step = self.ids.check(int(trade.trade_id), trade.trade_time_us)
        else:
            number = int(trade.trade_id) if trade.trade_id.isdigit() else None
            step = self._unnumbered().check(number, trade.trade_time_us)
        if step.verdict is Verdict.DUPLICATE:
            self.duplicates += 1
            return []
        if step.verdict is Verdict.LATE:
            return [Rejected("late_untracked", "its gap is no longer followed", trade.trade_id)]
        if step.verdict is Verdict.FILL:
            assert step.gap is not None
            return [trade, gap_record(trade, self.channel, step.gap)]
        self.last_price = price
        return [trade] if step.gap is None else [gap_record(trade, self.channel, step.gap), trade]

    def _unnumbered(self) -> Unnumbered:
        if self.unnumbered is None:
            self.unnumbered = Unnumbered(self.channel)
        return self.unnumbered


def new_flow(channel: str, continuous_ids: bool, max_ahead_ms: int) -> TradeFlow:
    """A flow that has seen nothing."""
    return TradeFlow(channel, max_ahead_ms * 1000, ids=Continuity(channel) if continuous_ids else None)


def near(price: float, other: float) -> bool:
    return other / PRICE_FACTOR_MAX < price < other * PRICE_FACTOR_MAX


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
