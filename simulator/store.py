"""What survives a restart: the market's state and history in SQLite, and the time it was moved on to.

The market is a function of its state, so it is enough to know a state and the time reached since: rebuilding steps
it silently up to that time, and not an id that was sent is given twice, even after SIGKILL. The time is written (to
the page cache, which outlives the process) before anything of that stretch is sent.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from simulator.market.candles import Bar
from simulator.market.instruments import Instrument, make_instrument
from simulator.market.market import Deaf, Market
from simulator.market.symbol import Agg, SymbolMarket, Trade

FORMAT = 4
"""Of the state, and of the rules that turn it into events: another one cannot be replayed."""
ID_JUMP = 1_000_000
LOCK_WAIT_S = 1.0
SCHEMA = """
create table if not exists symbol (
    name text primary key, number integer not null, format integer not null, seed integer not null, state blob not null
);
create table if not exists trade (
    symbol integer, id integer, price integer, qty integer, time_us integer, maker integer, agg integer,
    primary key (symbol, id)
) without rowid;
create table if not exists agg (
    symbol integer, id integer, price integer, qty integer, first integer, last integer, time_us integer,
    maker integer, primary key (symbol, id)
) without rowid;
create table if not exists minute (
    symbol integer, open_ms integer, first integer, last integer, o integer, h integer, l integer, c integer,
    volume text, count integer, quote text, taker text, taker_quote text,
    primary key (symbol, open_ms)
) without rowid;
drop table if exists bar;
create index if not exists trade_time on trade (time_us);
create index if not exists agg_time on agg (time_us);
create index if not exists minute_time on minute (open_ms);
"""


class Saved:
    """How far a symbol's history is on disk."""

    __slots__ = ("agg_id", "bar_ms", "number", "trade_id")

    def __init__(self, number: int, trade_id: int, agg_id: int, bar_ms: int) -> None:
        self.number = number
        self.trade_id = trade_id
        self.agg_id = agg_id
        self.bar_ms = bar_ms


class Store:
    """One directory, one process (a lock file refuses a second)."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.db = sqlite3.connect(directory / "state.sqlite3", isolation_level=None, timeout=LOCK_WAIT_S)
        self.db.execute("pragma locking_mode=exclusive")
        self.db.execute("pragma journal_mode=wal")
        self.db.execute("pragma synchronous=off")
        self.db.executescript(SCHEMA)
        self.clock = os.open(directory / "clock", os.O_RDWR | os.O_CREAT, 0o644)
        self.saved: dict[str, Saved] = {}
        self.turn = 0

    def close(self) -> None:
        self.db.close()
        os.close(self.clock)

    # --- the time reached ---------------------------------------------------------------------------

    def reached_us(self) -> int:
        raw = os.pread(self.clock, 8, 0)
        return int.from_bytes(raw, "big") if len(raw) == 8 else 0

    def note_time(self, at_us: int) -> None:
        os.pwrite(self.clock, at_us.to_bytes(8, "big"), 0)

    # --- states -------------------------------------------------------------------------------------

    def open_market(
        self,
        symbols: Sequence[str],
        seed: int,
        frames_per_s: float,
        now_us: int,
        make: Callable[[int, str, int], Instrument] = make_instrument,
        venue: str = "spot",
    ) -> Market:
        """The market where it stopped, then stood still until now; a fresh one where there was none."""
        reached = self.reached_us()
        now_us = max(now_us, reached)
        market = Market(symbols, seed, frames_per_s, now_us, make, venue)
        numbers = dict(self.db.execute("select name, number from symbol").fetchall())
        for symbol in market.order:
            name = symbol.instrument.symbol
            number = numbers.setdefault(name, len(numbers))
            self.saved[name] = self._load(symbol, number, seed)
        market.rebuild()
        market.advance(reached, Deaf())
        for symbol, rate in zip(market.order, market.rates, strict=True):
            symbol.set_rate(rate)
        market.skip_to(now_us)
        self.save(market.order)
        self.note_time(now_us)
        return market

    def _load(self, symbol: SymbolMarket, number: int, seed: int) -> Saved:
        row = self.db.execute(
            "select format, seed, state from symbol where name = ?", (symbol.instrument.symbol,)
        ).fetchone()
        if row is not None:
            state = msgspec.msgpack.decode(row[2])
            if row[:2] == (FORMAT, seed):
                symbol.restore(state)
                self._load_history(symbol, number)
            else:
                # Other rules or another seed: a new book and history, but never an id again.
                for table in ("trade", "agg", "minute"):
                    self.db.execute(f"delete from {table} where symbol = ?", (number,))
                symbol.update_id = state["update_id"] + ID_JUMP
                symbol.flushed_id = symbol.slow_flushed_id = symbol.update_id
                symbol.trade_id = state["trade_id"] + ID_JUMP
                symbol.agg_id = state["agg_id"] + ID_JUMP
        last_bar = symbol.bars[-1].open_ms if symbol.bars else -1
        return Saved(number, symbol.trade_id, symbol.agg_id, last_bar)

    def _load_history(self, symbol: SymbolMarket, number: int) -> None:
        trades = self.trades(number, symbol.trade_id - (symbol.trades.maxlen or 0), symbol.trades.maxlen or 0)
        symbol.trades.extend(trades)
        symbol.aggs.extend(self.aggs(number, symbol.agg_id - (symbol.aggs.maxlen or 0), symbol.aggs.maxlen or 0))
        symbol.bars.extend(self.bars(number, 0, symbol.bar.open_ms, symbol.bars.maxlen or 0, newest=True))

    def save_some(self, market: Market, share: float) -> None:
        """Save the next part of all symbols, so that each has its turn every 1 / share calls."""
        count = max(1, round(len(market.order) * share))
        turn = [market.order[(self.turn + i) % len(market.order)] for i in range(min(count, len(market.order)))]
        self.turn += len(turn)
        self.save(turn)

    def save(self, symbols: Iterable[SymbolMarket]) -> None:
        """States and the history since, in one transaction."""
        with self._transaction():
            for symbol in symbols:
                self._save(symbol)

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        self.db.execute("begin")
        try:
            yield
        except BaseException:
            self.db.execute("rollback")
            raise
        self.db.execute("commit")

    def _save(self, symbol: SymbolMarket) -> None:
        name = symbol.instrument.symbol
        saved = self.saved[name]
        state = msgspec.msgpack.encode(symbol.state())
        self.db.execute(
            "insert or replace into symbol values (?, ?, ?, ?, ?)", (name, saved.number, FORMAT, symbol.seed, state)
        )
        trades = _since(symbol.trades, saved.trade_id)
        aggs = _since(symbol.aggs, saved.agg_id)
        bars: list[Bar] = []
        for bar in reversed(symbol.bars):
            if bar.open_ms <= saved.bar_ms:
                break
            bars.append(bar)
        number = saved.number
        self.db.executemany("insert or replace into trade values (?,?,?,?,?,?,?)", ((number, *row) for row in trades))
        self.db.executemany("insert or replace into agg values (?,?,?,?,?,?,?,?)", ((number, *row) for row in aggs))
        into = f"minute (symbol, {', '.join(Bar.FIELDS)})"
        marks = ",".join("?" * (1 + len(Bar.FIELDS)))
        self.db.executemany(f"insert or replace into {into} values ({marks})", ((number, *bar.row()) for bar in bars))
        saved.trade_id, saved.agg_id = symbol.trade_id, symbol.agg_id
        if bars:
            saved.bar_ms = bars[0].open_ms

    # --- history ------------------------------------------------------------------------------------

    def trades(self, number: int, from_id: int, limit: int) -> list[Trade]:
        rows = self.db.execute(
            "select id, price, qty, time_us, maker, agg from trade where symbol = ? and id >= ? order by id limit ?",
            (number, from_id, limit),
        )
        return [Trade(a, b, c, d, bool(maker), agg) for a, b, c, d, maker, agg in rows]

    def aggs(self, number: int, from_id: int, limit: int) -> list[Agg]:
        rows = self.db.execute(
            "select id, price, qty, first, last, time_us, maker from agg where symbol = ? and id >= ? "
            "order by id limit ?",
            (number, from_id, limit),
        )
        return [Agg(a, b, c, d, e, f, bool(maker)) for a, b, c, d, e, f, maker in rows]

    def bars(self, number: int, from_ms: int, before_ms: int, limit: int, *, newest: bool) -> list[Bar]:
        """One-minute bars in order; the newest or the oldest of a stretch when there are more than `limit`."""
        columns = ", ".join(Bar.FIELDS)
        rows = self.db.execute(
            f"select {columns} from minute where symbol = ? and open_ms >= ? and open_ms < ? "
            f"order by open_ms {'desc' if newest else 'asc'} limit ?",
            (number, from_ms, before_ms, limit),
        ).fetchall()
        return [Bar.from_row(row) for row in (reversed(rows) if newest else rows)]

    def prune(self, before_us: int) -> None:
        """Forget history older than this."""
        with self._transaction():
            self.db.execute("delete from trade where time_us < ?", (before_us,))
            self.db.execute("delete from agg where time_us < ?", (before_us,))
            self.db.execute("delete from minute where open_ms < ?", (before_us // 1000,))


def _since(items: Iterable[Any], last_id: int) -> list[Any]:
    out = []
    for item in reversed(items):  # type: ignore[call-overload]
        if item.id <= last_id:
            break
        out.append(item)
    return out
