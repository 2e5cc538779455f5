"""One symbol's market: orders arrive, rest, are cancelled and traded; books, trades and candles follow from them.

Everything is driven by `step`, which does the earliest due thing, and depends on nothing but seed, rate and the time
it was started at: cutting the same stretch of time into other pieces gives the same events.
"""

from __future__ import annotations

from array import array
from collections import deque
from random import Random
from typing import Any, NamedTuple, Protocol

from simulator.market.arrivals import NEVER_US, Arrivals
from simulator.market.book import Side
from simulator.market.candles import MINUTE_MS, Bar
from simulator.market.instruments import Instrument
from simulator.market.reference import fair_factor

FLUSH_US = 100_000
SLOW_FLUSHES = 10
SECOND_US = 1_000_000
MINUTE_US = MINUTE_MS * 1000
SWEEP_LEVELS_MAX = 12
QUIET_TAKER_SHARE = 0.02
TAKER_SHARE = 0.13
REQUOTE_STRIDES = 4.0
REQUOTE_LEVELS = 8
REQUOTE_LEVELS_MAX = 400
FAR_LEVELS = 3000
"""How deep far orders come, in cells of the far book."""


class Trade(NamedTuple):
    """One fill. Price in ticks, quantity in steps."""

    id: int
    price: int
    qty: int
    time_us: int
    buyer_is_maker: bool
    agg_id: int


class Agg(NamedTuple):
    """Consecutive fills of one taker order at one price."""

    id: int
    price: int
    qty: int
    first: int
    last: int
    time_us: int
    buyer_is_maker: bool


class Depth(NamedTuple):
    """Changes of a stretch: keys whose absolute quantity is to be read from the book now."""

    first_id: int
    last_id: int
    time_us: int
    bids: tuple[tuple[int, int], ...]
    """(price, quantity) best first; quantity 0: gone."""
    asks: tuple[tuple[int, int], ...]


class Sink(Protocol):
    """Who listens. Called while the book is exactly in the state told."""

    def on_trades(self, market: SymbolMarket, trades: list[Trade], aggs: list[Agg]) -> None: ...

    def on_best(self, market: SymbolMarket, time_us: int) -> None: ...

    def on_depth(self, market: SymbolMarket, depth: Depth) -> None:
        """Every 100 ms in which the book changed."""

    def on_slow_depth(self, market: SymbolMarket, depth: Depth) -> None:
        """Every second in which the book changed."""

    def on_minute(self, market: SymbolMarket, closed: Bar, time_us: int) -> None: ...

    def on_second(self, market: SymbolMarket, time_us: int) -> None:
        """Paces tickers and open candles."""


class SymbolMarket:
    """State of one symbol. `next_us` is when it wants to be stepped."""

    def __init__(
        self,
        instrument: Instrument,
        rate_per_s: float,
        seed: int,
        at_us: int,
        *,
        trades_max: int,
        bars_max: int,
        venue: str = "spot",
    ) -> None:
        self.instrument = instrument
        self.seed = seed
        self.venue = venue
        self.rng = Random(f"{seed}:{venue}:{instrument.symbol}:{at_us}")
        self.arrivals = Arrivals(rate_per_s, seed)
        self.rate_per_s = rate_per_s
        self.taker_share = QUIET_TAKER_SHARE if instrument.quiet else TAKER_SHARE
        self.bids = Side(-1, instrument.first_price, instrument.stride, instrument.seed, instrument.typical_qty)
        self.asks = Side(1, instrument.first_price, instrument.stride, instrument.seed, instrument.typical_qty)
        self.update_id = instrument.first_update_id
        self.flushed_id = self.slow_flushed_id = self.update_id
        self.trade_id = instrument.first_trade_id
        self.agg_id = instrument.first_agg_id
        self.dirty: tuple[set[int], set[int]] = (set(), set())
        self.slow_dirty: tuple[set[int], set[int]] = (set(), set())
        self.fair = float(instrument.first_price)
        self.best = (0, 0, 0, 0)
        self.last_qty = 0
        self.trades: deque[Trade] = deque(maxlen=trades_max)
        self.aggs: deque[Agg] = deque(maxlen=trades_max)
        self.bars: deque[Bar] = deque(maxlen=bars_max)
        self.bar = Bar(at_us // MINUTE_US * MINUTE_MS, instrument.first_price)
        self.at_us = at_us
        self.phase_us = instrument.seed % FLUSH_US
        self.flush_us = self.slow_flush_us = NEVER_US
        self._start_timers()
        self._note_best()

    # --- time ---------------------------------------------------------------------------------------

    def _start_timers(self) -> None:
        self.minute_us = (self.bar.open_ms + MINUTE_MS) * 1000
        self.second_us = ((self.at_us - self.phase_us * 10) // SECOND_US + 1) * SECOND_US + self.phase_us * 10
        self.op_us = self.arrivals.next_after(self.at_us, self.rng)
        self.next_us = min(self.minute_us, self.second_us, self.op_us, self.flush_us, self.slow_flush_us)

    def step(self, sink: Sink) -> None:
        """Do what is due at `next_us`: a minute's end first, then batches, then pace, then an order."""
        now = self.at_us = self.next_us
        if now == self.minute_us:
            self._close_minute(sink, now)
        elif now == self.flush_us:
            self._flush(sink, now)
        elif now == self.slow_flush_us:
            self._slow_flush(sink, now)
        elif now == self.second_us:
            self.second_us += SECOND_US
            sink.on_second(self, now)
        else:
            self._order(sink, now)
            self.op_us = self.arrivals.next_after(now, self.rng)
        self.next_us = min(self.minute_us, self.second_us, self.op_us, self.flush_us, self.slow_flush_us)

    def skip_to(self, at_us: int) -> None:
        """The market stood still until `at_us` (the process was down): candles without trades, then on."""
        if at_us <= self.at_us:
            return
        gap_minutes = at_us // MINUTE_US - self.bar.open_ms // MINUTE_MS
        opened = self.bar.open_ms
        for back in range(min(gap_minutes, self.bars.maxlen or 0), 0, -1):
            if back == gap_minutes:
                self.bars.append(self.bar)
            else:
                self.bars.append(Bar(at_us // MINUTE_US * MINUTE_MS - back * MINUTE_MS, self.bar.c))
        if gap_minutes > 0:
            self.bar = Bar(opened + gap_minutes * MINUTE_MS, self.bar.c)
        self.at_us = at_us
        self.arrivals.excitation = 0.0
        if self.flush_us != NEVER_US:
            self.flush_us = self._boundary(FLUSH_US, self.phase_us)
        if self.slow_flush_us != NEVER_US:
            self.slow_flush_us = self._boundary(FLUSH_US * SLOW_FLUSHES, self.phase_us)
        self._start_timers()

    def _boundary(self, every_us: int, phase_us: int) -> int:
        return ((self.at_us - phase_us) // every_us + 1) * every_us + phase_us

    def _close_minute(self, sink: Sink, now: int) -> None:
        closed = self.bar
        self.bars.append(closed)
        self.bar = Bar(closed.open_ms + MINUTE_MS, closed.c)
        self.minute_us += MINUTE_US
        sink.on_minute(self, closed, now)

    # --- batches ------------------------------------------------------------------------------------

    def _flush(self, sink: Sink, now: int) -> None:
        self.flush_us = NEVER_US
        depth = self._depth(self.flushed_id + 1, now, self.dirty)
        self.flushed_id = self.update_id
        if self.slow_flush_us == NEVER_US:
            self.slow_flush_us = self._boundary(FLUSH_US * SLOW_FLUSHES, self.phase_us)
        for slow, fast in zip(self.slow_dirty, self.dirty, strict=True):
            slow |= fast
            fast.clear()
        sink.on_depth(self, depth)

    def _slow_flush(self, sink: Sink, now: int) -> None:
        self.slow_flush_us = NEVER_US
        # What the fast batch still holds belongs to this stretch too: both streams tell the same book.
        keys = tuple(slow | fast for slow, fast in zip(self.slow_dirty, self.dirty, strict=True))
        depth = self._depth(self.slow_flushed_id + 1, now, keys)
        self.slow_flushed_id = self.update_id
        for slow in self.slow_dirty:
            slow.clear()
        sink.on_slow_depth(self, depth)

    def _depth(self, first_id: int, now: int, keys: tuple[set[int], ...]) -> Depth:
        bids, asks = keys
        return Depth(
            first_id,
            self.update_id,
            now,
            tuple((-key, self.bids.get(key)) for key in sorted(bids)),
            tuple((key, self.asks.get(key)) for key in sorted(asks)),
        )

    def _set(self, side: int, key: int, qty: int) -> None:
        """One change of the book: one update id."""
        (self.asks if side else self.bids).set(key, qty)
        self.update_id += 1
        self.dirty[side].add(key)

    def _note_best(self) -> bool:
        bid, ask = self.bids.best(), self.asks.best()
        best = (-bid, self.bids.qty[bid], ask, self.asks.qty[ask])
        changed = best != self.best
        self.best = best
        return changed

    # --- orders -------------------------------------------------------------------------------------

    def _order(self, sink: Sink, now: int) -> None:
        rng = self.rng
        mid = (self.best[0] + self.best[2]) / 2
        self.fair = self.fair_at(now)
        lean = max(-0.45, min(0.45, (self.fair - mid) / (6.0 * self.instrument.stride + 6.0)))
        before = self.update_id
        draw = rng.random()
        if abs(self.fair - mid) > REQUOTE_STRIDES * self.instrument.stride + 2.0:
            self._requote()
        elif draw < self.taker_share:
            self._take(sink, now, buyer=rng.random() < 0.5 + lean)
        elif draw < 0.52:
            self._place(1 if rng.random() < 0.5 - lean else 0)
        elif draw < 0.90 and self.best[2] - self.best[0] <= 4 * self.instrument.stride:
            self._cancel(1 if rng.random() < 0.5 + lean else 0)
        elif draw < 0.90:
            self._place(rng.getrandbits(1))
        elif draw < 0.97:
            self._far_order(rng.getrandbits(1))
        else:
            self._flash(rng.getrandbits(1))
        if self.update_id != before:
            if self.flush_us == NEVER_US:
                self.flush_us = self._boundary(FLUSH_US, self.phase_us)
            if self._note_best():
                sink.on_best(self, now)

    def fair_at(self, at_us: int) -> float:
        """What the market thinks it is worth, in ticks."""
        i = self.instrument
        if i.fair_at is not None:
            return i.fair_at(at_us)
        return i.first_price * fair_factor(self.seed, self.venue, i.symbol, i.base, i.quote, at_us)

    def _requote(self) -> None:
        """The price ran away from the book: makers pull what is on the wrong side of it and follow."""
        fair = int(self.fair)
        side = 1 if self.fair * 2 > self.best[2] + self.best[0] else 0
        book, other = (self.asks, self.bids) if side else (self.bids, self.asks)
        edge = fair if side else -fair
        for _ in range(REQUOTE_LEVELS_MAX):
            key = book.best()
            if key > edge or (len(book.near) == 1 and book.edge > book.last_key):
                break
            self._set(side, key, 0)
        stride = self.instrument.stride
        nearest = max(1 - book.best(), -edge)
        for level in range(REQUOTE_LEVELS):
            key = nearest + level * stride + self.rng.randrange(stride)
            if key <= other.last_key:
                self._set(1 - side, key, self._size())

    def _size(self) -> int:
        return max(1, int(self.rng.lognormvariate(0.0, 1.1) * self.instrument.typical_qty))

    def _place(self, side: int) -> None:
        """Rest an order near the touch, sometimes inside the spread, never through the other side."""
        book = self.asks if side else self.bids
        other = self.bids if side else self.asks
        best = book.best()
        inside = best + other.best() - 1  # ticks free between the best prices
        stride = self.instrument.stride
        wide = inside > 2 * stride
        if inside > 0 and self.rng.random() < (0.85 if wide else 0.2):
            # A wide spread closes quickly; in a narrow one an order improves by a tick or a few.
            key = best - 1 - int(self.rng.random() * inside if wide else self.rng.random() ** 2 * inside)
        else:
            key = best + int(self.rng.expovariate(1.0) * 8 * stride)
        key = min(max(key, 1 - other.best()), book.last_key)
        self._set(side, key, book.get(key) + self._size())

    def _cancel(self, side: int) -> None:
        """Take away or shrink a level near the touch; the near book is kept from thinning out."""
        book = self.asks if side else self.bids
        book.ensure(24)
        rank = int(self.rng.expovariate(1.0) * 9)
        if len(book.near) < 3:
            return self._place(side)
        key = book.near[min(rank, len(book.near) - 1)]
        qty = book.qty[key]
        gone = self.rng.random() < 0.6 or qty < 2
        self._set(side, key, 0 if gone else qty - max(1, int(qty * self.rng.random() * 0.8)))
        return None

    def _far_order(self, side: int) -> None:
        """Change a level far from the touch: beyond what a shallow snapshot shows, too."""
        book = self.asks if side else self.bids
        rng = self.rng
        cell = int(rng.random() ** 2 * FAR_LEVELS)
        key, base_qty = book.base_level(cell)
        key = max(key, book.best() + 1)
        if rng.random() < 0.3 and book.far_keys:
            key = max(book.far_keys[rng.randrange(len(book.far_keys))], key)
        if key > book.last_key:
            return
        current = book.get(key)
        if current and rng.random() < 0.5:
            self._set(side, key, 0)
        else:
            self._set(side, key, base_qty if base_qty and not current else self._size())

    def _flash(self, side: int) -> None:
        """An order that is gone within its batch: others see the removal of a level they never had."""
        book = self.asks if side else self.bids
        key = book.best() + 1 + int(self.rng.expovariate(1.0) * 30 * self.instrument.stride)
        if key > book.last_key or book.get(key):
            return
        self._set(side, key, self._size())
        self._set(side, key, 0)

    def _take(self, sink: Sink, now: int, *, buyer: bool) -> None:
        """A market order eats from the best level on: several resting orders a level, one aggregate a price."""
        book, side = (self.asks, 1) if buyer else (self.bids, 0)
        left = max(1, self._size() * (10 if self.rng.random() < 0.04 else 1) // 2)
        trades: list[Trade] = []
        aggs: list[Agg] = []
        for _ in range(SWEEP_LEVELS_MAX):
            key = book.best()
            available = book.qty[key]
            if len(book.near) == 1 and book.edge > book.last_key and left >= available:
                left = available - 1
            taken = min(left, available)
            if taken <= 0:
                break
            self._fill(trades, aggs, abs(key), taken, now, buyer_is_maker=not buyer)
            self._set(side, key, available - taken)
            left -= taken
            if not left:
                break
        if trades:
            self.trades.extend(trades)
            self.aggs.extend(aggs)
            self.last_qty = trades[-1].qty
            sink.on_trades(self, trades, aggs)

    def _fill(
        self, trades: list[Trade], aggs: list[Agg], price: int, qty: int, now: int, *, buyer_is_maker: bool
    ) -> None:
        self.agg_id += 1
        first = self.trade_id + 1
        left = qty
        while left:
            part = left if self.rng.random() < 0.7 else max(1, int(left * self.rng.random()))
            self.trade_id += 1
            trades.append(Trade(self.trade_id, price, part, now, buyer_is_maker, self.agg_id))
            quote = price * part * self.instrument.quote_factor
            self.bar.add(self.trade_id, price, part, quote, buyer_is_maker)
            left -= part
        aggs.append(Agg(self.agg_id, price, qty, first, self.trade_id, now, buyer_is_maker))

    # --- persistence --------------------------------------------------------------------------------

    PLAIN = (
        "rate_per_s", "update_id", "flushed_id", "slow_flushed_id", "trade_id", "agg_id", "fair", "last_qty", "at_us",
        "flush_us", "slow_flush_us", "minute_us", "second_us", "op_us", "next_us",
    )  # fmt: skip

    def state(self) -> dict[str, Any]:
        """Everything but the history of trades and bars."""
        out: dict[str, Any] = {name: getattr(self, name) for name in self.PLAIN}
        version, internal, gauss = self.rng.getstate()
        out["rng"] = (version, array("I", internal).tobytes(), gauss)
        out["excitation"] = self.arrivals.excitation
        out["bids"], out["asks"] = self.bids.state(), self.asks.state()
        out["dirty"] = [sorted(keys) for keys in (*self.dirty, *self.slow_dirty)]
        out["bar"] = self.bar.row()
        return out

    def restore(self, state: dict[str, Any]) -> None:
        for name in self.PLAIN:
            setattr(self, name, state[name])
        version, packed, gauss = state["rng"]
        words = array("I")
        words.frombytes(packed)
        self.rng.setstate((version, tuple(words), gauss))
        self.arrivals.set_rate(self.rate_per_s)
        self.arrivals.excitation = state["excitation"]
        self.bids.restore(state["bids"])
        self.asks.restore(state["asks"])
        dirty = [set(keys) for keys in state["dirty"]]
        self.dirty, self.slow_dirty = (dirty[0], dirty[1]), (dirty[2], dirty[3])
        self.bar = Bar.from_row(state["bar"])
        self._note_best()

    def set_rate(self, rate_per_s: float) -> None:
        """Another pace from the next order on."""
        self.rate_per_s = rate_per_s
        self.arrivals.set_rate(rate_per_s)
