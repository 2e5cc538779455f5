"""Candles of all intervals from one stream of trades, in event time: a pure state machine.

In: the records of md.trade for one key, in order. Out: `Kline` records, provisional, final or revised, and the trades
that came too late for a candle. Time is what the heartbeats say, nothing else.

- A trade belongs to a candle by its trade time. Each trade is added once, to a small sum of the running minute; that
  sum is folded into the candles of all intervals when the minute changes or something is published.
- A candle is final when the watermark (heartbeat time less the allowed lateness) reached its end. It is kept for the
  revise window after that, and longer while it is unproven; a change makes revision + 1 at the next heartbeat.
- It is complete when the ids prove that every trade of it is there: it began after the first trade seen, no unfilled
  gap touches it, and no disconnect was open when it closed. Where the venue's ids count nothing, the same is asked with
  gaps in time, one per reconnect: then complete says that the connection never broke, no more (`Kline.proof`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import msgspec

from marketdata.candle import Candle, Sums
from marketdata.candle_levels import INTERVALS_MS, CandleLevels, Level
from marketdata.decimals import rescale, to_text, to_units
from marketdata.keys import Key
from marketdata.types import AnyRecord, FeedStatus, Gap, Heartbeat, Kline, KlineStatus, Trade

Source = Literal["trade", "agg_trade"]

OPEN_GAPS_MAX = 256
EPOCH_SHIFT = 256
"""A trade's rank is its id with the epoch above it."""
TIME_SHIFT = 128
"""Where ids do not count: its time with the id below, or what came before it where that is no number."""


@dataclass(frozen=True)
class KlineSettings:
    intervals: tuple[str, ...] = tuple(INTERVALS_MS)
    """The first must divide all others."""
    allowed_lateness_ms: int = 2_000
    provisional_interval_ms: int = 1_000
    revise_window_ms: int = 600_000
    continuous_ids: tuple[str, ...] = ("trade", "agg_trade")
    """Channels whose ids grow by one, so that a skip without a gap record is one all the same."""
    id_ranges: tuple[str, ...] = ()
    """Those of them that chain by the ids a trade covers, first to last."""
    passes_ids: tuple[str, ...] = ()
    """Those of them with ids that are no trades: a skip without a gap record is none."""


class LateTrade(NamedTuple):
    """A trade that came after a candle it belongs to was given up."""

    trade: Trade
    intervals: tuple[str, ...]
    """Those that do not contain it; the others do."""


Emitted = Kline | LateTrade


class KlineMachine:
    """One key's candles. `apply` each record of md.trade; `dump` and `restore` at any point between."""

    def __init__(self, key: Key, settings: KlineSettings) -> None:
        self._key, self._settings = key, settings
        self._candles = CandleLevels(settings.intervals, settings.revise_window_ms)
        self._source: Source | None = None
        self._instrument = ""
        self._clock_us = 0
        self._published_us = 0
        self._last_id: int | None = None
        self._arrivals = 0
        """Trades whose ids are no numbers: orders those of one microsecond."""
        self._last_trade_us = 0
        self._epoch = 0
        self._gaps: dict[str, tuple[int, int]] = {}
        self._connections: set[str] = set()
        self._proven = True
        self._price_scale = self._quantity_scale = 0
        self.events: list[str] = []
        """Names of what was noticed, for counters; the caller empties it."""

    # --- input --------------------------------------------------------------------------------------

    def apply(self, record: AnyRecord) -> Sequence[Emitted]:
        """One record; returns what to publish."""
        if type(record) is Trade:
            return self._on_trade(record)
        if type(record) is Heartbeat:
            return self._on_heartbeat(record)
        if type(record) is Gap:
            self._on_gap(record)
        elif type(record) is FeedStatus:
            return self._on_feed_status(record)
        return ()

    def _on_trade(self, trade: Trade) -> Sequence[Emitted]:
        source: Source = "agg_trade" if trade.aggregated else "trade"
        if source != self._source:
            if self._source is not None:
                return ()  # captured beside the one the candles are made of
            self._source = source
        time_us = trade.trade_time_us
        if not self._accept_id(trade, source):
            self.events.append("duplicate")
            return ()
        if self._candles.chain_from_us is None:
            self._candles.begin_chain(time_us)
        self._instrument = trade.instrument or self._instrument
        sums, late = self._candles.delta(time_us // 1000)
        self._add(trade, sums)
        if not late:
            return ()
        lost = self._candles.fold()  # alone, so that its loss can be told
        self.events.append("late_dropped" if lost else "late")
        return [LateTrade(trade, lost)] if lost else ()

    def _accept_id(self, trade: Trade, source: Source) -> bool:
        """Follow the chain of ids. False for a trade already counted."""
        settings = self._settings
        if source not in settings.continuous_ids or not trade.trade_id.isdigit():
            self._prove()
            return True
        first = number = int(trade.trade_id)
        if source in settings.id_ranges and trade.last_trade_id:
            first, number = int(trade.first_trade_id), int(trade.last_trade_id)
        last = self._last_id
        if last is not None and first <= last:
            return any(begin <= first <= end for begin, end in self._gaps.values())
        if (
            last is not None
            and first > last + 1
            and source not in settings.passes_ids
            and not any(end == first - 1 for _, end in self._gaps.values())
        ):
            # the skip's own record is missing (it expired unread): name it as the normaliser would
            self.events.append("unannounced_gap")
            gap_id = f"{source}:{last + 1}-{first - 1}"
            self._candles.touch(gap_id, self._last_trade_us, trade.trade_time_us)
        self._last_id = number
        self._last_trade_us = trade.trade_time_us
        self._prove()
        return True

    def _add(self, trade: Trade, sums: Sums) -> None:
        price, price_scale = to_units(trade.price)
        quantity, quantity_scale = to_units(trade.quantity)
        if price_scale != self._price_scale or quantity_scale != self._quantity_scale:
            self._grow(price_scale, quantity_scale)
            price = rescale(price, price_scale, self._price_scale)
            quantity = rescale(quantity, quantity_scale, self._quantity_scale)
        first_id, last_id = trade.first_trade_id or trade.trade_id, trade.last_trade_id or trade.trade_id
        first, last = self._rank(first_id, trade), self._rank(last_id, trade)
        count = int(last_id) - int(first_id) + 1 if trade.aggregated else 1
        sums.add(price, quantity, trade.side == "buy", count, first, last, first_id, last_id)

    def _rank(self, trade_id: str, trade: Trade) -> int:
        """Orders trades as the venue traded them; where its ids do not count, by time, then id, then arrival."""
        if self._source in self._settings.continuous_ids:
            return (self._epoch << EPOCH_SHIFT) + (int(trade_id) if trade_id.isdigit() else trade.trade_time_us)
        if trade_id.isdigit():
            below = int(trade_id)
        else:
            self._arrivals += 1
            below = self._arrivals
        return (self._epoch << EPOCH_SHIFT) + (trade.trade_time_us << TIME_SHIFT) + below

    def _on_gap(self, gap: Gap) -> None:
        if gap.channel != (self._source or gap.channel) or gap.channel not in ("trade", "agg_trade"):
            return
        if gap.missing_count and gap.filled_count >= gap.missing_count:
            self._gaps.pop(gap.gap_id, None)
            self._candles.heal(gap.gap_id)
            return
        if gap.filled_count:
            return  # known already; still open
        if gap.epoch > self._epoch:
            self._epoch, self._last_id = gap.epoch, None
            self._gaps.clear()
        if gap.first_missing_id.isdigit() and gap.last_missing_id.isdigit():
            if len(self._gaps) >= OPEN_GAPS_MAX:
                self._gaps.pop(next(iter(self._gaps)))
            self._gaps[gap.gap_id] = (int(gap.first_missing_id), int(gap.last_missing_id))
        self._candles.touch(gap.gap_id, gap.from_time_us, gap.to_time_us)
        self._prove()

    def _on_feed_status(self, status: FeedStatus) -> Sequence[Emitted]:
        if status.channel not in ("trade", "agg_trade"):
            return ()
        if status.state == "connected":
            if status.channel == "trade" and self._source == "agg_trade":
                self._switch_source()
            if self._source is None:
                self._source = "trade" if status.channel == "trade" else "agg_trade"
            if status.channel == self._source:
                if not self._connections and self._candles.chain_from_us is not None:
                    self._proven = False  # nothing told how long the connection before it lasted
                self._connections.add(status.connection)
            return ()
        if status.channel != self._source:
            return ()
        self._connections.discard(status.connection)
        if self._connections:
            return ()
        self._proven = False
        self._candles.fold()
        return [*self._revisions(status.recv_time_ns), *self._provisional(status.recv_time_ns)]

    def _on_heartbeat(self, heartbeat: Heartbeat) -> Sequence[Emitted]:
        now_us = heartbeat.event_time_us
        if now_us <= self._clock_us:
            return ()
        self._clock_us = now_us
        self._candles.fold()
        watermark_ms = now_us // 1000 - self._settings.allowed_lateness_ms
        if not self._candles.started:
            self._candles.start(watermark_ms)
        out: list[Emitted] = []
        out += self._revisions(heartbeat.recv_time_ns)
        if self._candles.skip_until(watermark_ms):
            self.events.append("candles_skipped")
        for level, candle in self._candles.close_until(watermark_ms, self._proven):
            out.append(self._kline(level, candle, "final", heartbeat.recv_time_ns))
        if now_us - self._published_us >= self._settings.provisional_interval_ms * 1000:
            self._published_us = now_us
            out += self._provisional(heartbeat.recv_time_ns)
        return out

    def _prove(self) -> None:
        """The ids have shown what was missed since the disconnect, if anything."""
        if not self._proven:
            self._proven = True
            self._candles.prove()

    def _switch_source(self) -> None:
        """Single trades are captured from now on: open candles begin anew with them, and say so."""
        self._candles.restart_open()
        self._source, self._last_id = "trade", None
        self._gaps.clear()
        self._connections.clear()

    def _grow(self, price_scale: int, quantity_scale: int) -> None:
        """Finer numbers than ever before: rewrite all sums in the finer scale."""
        price_digits = max(0, price_scale - self._price_scale)
        quantity_digits = max(0, quantity_scale - self._quantity_scale)
        if price_digits or quantity_digits:
            self._price_scale += price_digits
            self._quantity_scale += quantity_digits
            self._candles.grow(price_digits, quantity_digits)

    # --- output -------------------------------------------------------------------------------------

    def _revisions(self, recv_time_ns: str) -> list[Kline]:
        out = []
        for level, candle in self._candles.changed(closed=True):
            candle.revision += 1
            out.append(self._kline(level, candle, "revised", recv_time_ns))
        return out

    def _provisional(self, recv_time_ns: str) -> list[Kline]:
        changed = self._candles.changed(closed=False)
        return [self._kline(level, candle, "provisional", recv_time_ns) for level, candle in changed]

    def _kline(self, level: Level, candle: Candle, status: KlineStatus, recv_time_ns: str) -> Kline:
        sums, ps, qs = candle.sums, self._price_scale, self._quantity_scale
        if sums.count:
            prices = [to_text(p, ps) for p in (sums.open, sums.high, sums.low, sums.close)]
        else:
            prices = ["" if candle.flat is None else to_text(candle.flat, ps)] * 4
        reasons = candle.reasons()
        if not candle.closed and not self._proven:
            reasons.append("disconnected")
        return Kline(
            exchange=self._key.exchange,
            market=self._key.market,
            symbol=self._key.symbol,
            instrument=self._instrument,
            recv_time_ns=recv_time_ns,
            interval=level.name,
            open_time=candle.open_time,
            close_time=candle.open_time + level.interval_ms - 1,
            open=prices[0],
            high=prices[1],
            low=prices[2],
            close=prices[3],
            volume=to_text(sums.volume, qs),
            quote_volume=to_text(sums.quote, ps + qs),
            trade_count=sums.count,
            taker_buy_volume=to_text(sums.buy_volume, qs),
            taker_buy_quote_volume=to_text(sums.buy_quote, ps + qs),
            first_trade_id=sums.first_id,
            last_trade_id=sums.last_id,
            is_closed=candle.closed,
            event_time_us=self._clock_us,
            status=status,
            complete=candle.closed and not reasons,
            reasons=reasons,
            gaps=list(candle.gaps),
            revision=candle.revision,
            source=self._source or "trade",
            proof="ids" if (self._source or "trade") in self._settings.continuous_ids else "connection",
        )

    # --- persistence --------------------------------------------------------------------------------

    def dump(self) -> bytes:
        """Everything, for `restore`: a machine restored in mid-stream goes on as this one would."""
        return msgspec.json.encode(
            {
                "source": self._source,
                "instrument": self._instrument,
                "clock_us": self._clock_us,
                "published_us": self._published_us,
                "last_id": None if self._last_id is None else str(self._last_id),
                "arrivals": self._arrivals,
                "last_trade_us": self._last_trade_us,
                "epoch": self._epoch,
                "gaps": {k: [str(a), str(b)] for k, (a, b) in self._gaps.items()},
                "connections": sorted(self._connections),
                "proven": self._proven,
                "scales": [self._price_scale, self._quantity_scale],
                "candles": self._candles.dump(),
            }
        )

    @classmethod
    def restore(cls, key: Key, settings: KlineSettings, blob: bytes) -> KlineMachine:
        """The machine that was dumped."""
        state: dict[str, Any] = msgspec.json.decode(blob)
        machine = cls(key, settings)
        machine._source = state["source"]
        machine._instrument = state["instrument"]
        machine._clock_us = state["clock_us"]
        machine._published_us = state["published_us"]
        machine._last_id = None if state["last_id"] is None else int(state["last_id"])
        machine._arrivals = state.get("arrivals", 0)
        machine._last_trade_us = state["last_trade_us"]
        machine._epoch = state["epoch"]
        machine._gaps = {k: (int(a), int(b)) for k, (a, b) in state["gaps"].items()}
        machine._connections = set(state["connections"])
        machine._proven = state["proven"]
        machine._price_scale, machine._quantity_scale = state["scales"]
        machine._candles.restore(state["candles"], machine._clock_us)
        return machine
