"""Runs the synthetic market in real time: advance, write, save."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

from runtime.config.simulator import Simulator
from simulator import metrics, wire
from simulator.market.market import Market
from simulator.market.symbol import SymbolMarket
from simulator.publisher import Publisher
from simulator.rest import SyntheticRest
from simulator.rest_params import Query, invalid_symbol
from simulator.server import Server
from simulator.store import Store

SAVE_INTERVAL_S = 0.1
SAVE_SHARE = 0.01
"""A hundredth of all symbols at a time: each is saved every ten seconds, and no save holds frames up."""
PRUNE_INTERVAL_S = 60.0
STALL_US_MAX = 5_000_000
"""A process that stood still longer (a laptop asleep) goes on as after downtime instead of catching up."""


def all_symbols(config: Simulator) -> list[str]:
    """The symbols of the list, then invented ones up to `symbol_count`."""
    symbols = [symbol.upper() for symbol in dict.fromkeys(config.symbols)]
    return symbols + [f"SIM{i:04d}USDT" for i in range(config.symbol_count - len(symbols))]


class Synthetic:
    """The market, its store and its place in the server."""

    def __init__(self, config: Simulator, server: Server) -> None:
        self.config = config
        self.server = server
        self.store = Store(Path(config.state_dir))
        self.market: Market = self.store.open_market(
            all_symbols(config), config.seed, config.frames_per_s, time.time_ns() // 1000
        )
        self.publisher = Publisher(server.hub)
        self.rest = SyntheticRest(self.market, self.store, config.rest_weight_per_min_max)
        server.backend = self.rest
        server.status_of_backend = self.status
        server.sent = self.sent

    async def run(self) -> None:
        """For ever: each tick moves the market to now; the time goes to disk before any frame goes out."""
        next_save = next_prune = 0.0
        while True:
            started = time.monotonic()
            self.tick(time.time_ns() // 1000)
            if started >= next_save:
                next_save = started + SAVE_INTERVAL_S
                self.store.save_some(self.market, SAVE_SHARE)
                metrics.SAVE.set(time.monotonic() - started)
            if started >= next_prune:
                next_prune = started + PRUNE_INTERVAL_S
                self.store.prune(self.market.at_us - int(self.config.history_days * 86_400e6))
            await asyncio.sleep(max(0.0, self.config.tick_ms / 1000 - (time.monotonic() - started)))

    def tick(self, now_us: int) -> None:
        behind_us = now_us - self.market.at_us
        if behind_us <= 0:
            return
        if behind_us > STALL_US_MAX:
            self.market.skip_to(now_us)
            self.store.save(self.market.order)
        self.store.note_time(now_us)
        sent = self.server.hub.frames_sent
        self.market.advance(now_us, self.publisher)
        self.server.flush()
        metrics.FRAMES.inc(self.server.hub.frames_sent - sent)
        metrics.STREAMS.set(len(self.server.hub.subscribers))
        metrics.LAG.set(max(0.0, time.time() - now_us / 1e6))

    def close(self) -> None:
        self.store.save(self.market.order)
        self.store.close()

    # --- control ------------------------------------------------------------------------------------

    def status(self) -> dict[str, Any]:
        return {
            "mode": "synthetic",
            "simulated": True,
            "symbols": list(self.market.symbols),
            "time_us": self.market.at_us,
            "seed": self.config.seed,
        }

    def sent(self, values: dict[str, str]) -> dict[str, Any]:
        """What the exchange did for a symbol: `stream` trade, aggTrade, kline_<interval>, depth; `from` an id or an
        open time in ms; `limit`. Without `stream`: the last ids."""
        query = Query(values)
        market = self.rest.symbol(query)
        stream = values.get("stream", "")
        start, limit = query.number("from"), query.limit(1000, 1_000_000)
        out: dict[str, Any] = _ids(market)
        if stream == "trade":
            found = self.rest.trades_from(market, start or 0, limit)
            out["trades"] = [wire.trade(market, trade, wire.MS).decode() for trade in found]
        elif stream == "aggTrade":
            number = self.store.saved[market.instrument.symbol].number
            held = market.aggs
            stored = self.store.aggs(number, start or 0, limit) if not held or (start or 0) < held[0].id else []
            last = stored[-1].id if stored else (start or 0) - 1
            found_aggs = [*stored, *(agg for agg in held if agg.id > last)][:limit]
            out["aggs"] = [wire.agg_trade(market, agg, wire.MS).decode() for agg in found_aggs]
        elif stream.startswith("kline_"):
            bars = self.rest.bars(market, stream[6:], start or 0, None, limit)
            out["klines"] = [
                wire.kline(market, bar, stream[6:], self.market.at_us, wire.MS, closed=True).decode()
                for bar in bars
                if bar.open_ms < market.bar.open_ms
            ]
        elif stream == "depth":
            out["book"] = wire.depth_snapshot(market, limit).decode()
        elif stream:
            raise invalid_symbol()
        return out


def _ids(market: SymbolMarket) -> dict[str, Any]:
    i = market.instrument
    return {
        "symbol": i.symbol,
        "time_us": market.at_us,
        "update_id": market.update_id,
        "flushed_update_id": market.flushed_id,
        "trade_id": market.trade_id,
        "agg_id": market.agg_id,
        "first_update_id": i.first_update_id,
        "first_trade_id": i.first_trade_id,
        "first_agg_id": i.first_agg_id,
        "quiet": i.quiet,
    }
