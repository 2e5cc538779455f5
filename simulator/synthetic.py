"""Runs the synthetic market in real time: advance, write, save."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

from marketdata.errors import ConfigError
from runtime.config.simulator import Simulator
from simulator import metrics, wire
from simulator.dialect import Desk, Segment
from simulator.hub import Hub
from simulator.market.market import Market
from simulator.market.symbol import Sink, SymbolMarket
from simulator.rest import SyntheticRest
from simulator.rest_params import Query, invalid_symbol
from simulator.segments import SEGMENTS
from simulator.server import Place, Server
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


class Seat:
    """One market with its store, and who hears it."""

    def __init__(self, config: Simulator, store: Store, market: Market, sink: Sink) -> None:
        self.config = config
        self.store = store
        self.market = market
        self.sink = sink

    def tick(self, now_us: int) -> bool:
        behind_us = now_us - self.market.at_us
        if behind_us <= 0:
            return False
        if behind_us > STALL_US_MAX:
            self.market.skip_to(now_us)
            self.store.save(self.market.order)
        self.store.note_time(now_us)
        self.market.advance(now_us, self.sink)
        return True

    def prune(self) -> None:
        self.store.prune(self.market.at_us - int(self.config.history_days * 86_400e6))

    def close(self) -> None:
        self.store.save(self.market.order)
        self.store.close()


def open_segment(config: Simulator, server: Server, segment: Segment, symbols: list[str], now_us: int) -> Seat:
    """A venue's market and dialect, put on the server. Raises ConfigError: a symbol it cannot have."""
    store = Store(Path(config.state_dir) / segment.name)
    try:
        market = store.open_market(
            symbols, config.seed, config.venue_frames_per_s, now_us, segment.instrument, segment.name
        )
    except ValueError as exc:
        raise ConfigError(f"simulator.venues.{segment.name}: {exc}") from None
    hub = Hub(server.faults, time.monotonic, venue=segment.name, kind_of=segment.stream_kind)
    dialect = segment.dialect(Desk(segment.name, config, hub, server.faults, market, store))
    server.add(Place(segment.name, segment.prefix, dialect, hub))
    return Seat(config, store, market, dialect.sink)


class Synthetic:
    """The markets, their stores and their places in the server."""

    def __init__(self, config: Simulator, server: Server) -> None:
        self.config = config
        self.server = server
        now_us = time.time_ns() // 1000
        self.store = Store(Path(config.state_dir))
        self.market: Market = self.store.open_market(all_symbols(config), config.seed, config.frames_per_s, now_us)
        self.rest = SyntheticRest(self.market, self.store, config.rest_weight_per_min_max)
        server.spot.backend = self.rest
        server.spot.status_of_backend = self.status
        server.spot.sent_of_backend = self.sent
        self.seats = [Seat(config, self.store, self.market, server.spot.sink)]
        self.seats += [
            open_segment(config, server, segment, list(dict.fromkeys(symbols)), now_us)
            for segment in SEGMENTS
            for name, symbols in config.venues.items()
            if name == segment.name and symbols
        ]

    async def run(self) -> None:
        """For ever: each tick moves the markets to now; the time goes to disk before any frame goes out."""
        next_save = next_prune = 0.0
        while True:
            started = time.monotonic()
            self.tick(time.time_ns() // 1000)
            if started >= next_save:
                next_save = started + SAVE_INTERVAL_S
                for seat in self.seats:
                    seat.store.save_some(seat.market, SAVE_SHARE)
                metrics.SAVE.set(time.monotonic() - started)
            if started >= next_prune:
                next_prune = started + PRUNE_INTERVAL_S
                for seat in self.seats:
                    seat.prune()
            await asyncio.sleep(max(0.0, self.config.tick_ms / 1000 - (time.monotonic() - started)))

    def tick(self, now_us: int) -> None:
        sent = self.server.frames_sent
        moved = [seat.tick(now_us) for seat in self.seats]
        if not any(moved):
            return
        self.server.flush()
        metrics.FRAMES.inc(self.server.frames_sent - sent)
        metrics.STREAMS.set(sum(len(place.hub.subscribers) for place in self.server.places.values()))
        metrics.LAG.set(max(0.0, time.time() - now_us / 1e6))

    def close(self) -> None:
        for seat in self.seats:
            seat.close()

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
