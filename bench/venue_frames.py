"""Frames of every venue market, made in this process by the simulator's own publishers: no sockets, no clock.

A market is subscribed through our protocol as ingest would do it, on connections that only keep what they are given,
and moved on until every channel has enough frames. Channels that pace themselves (candles, tickers, rates) get several
minutes of market, each frame different from the others.
"""

from __future__ import annotations

import asyncio
import gzip
import itertools
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from marketdata.errors import ConfigError
from marketdata.types import Instrument
from runtime.config.simulator import Simulator
from simulator import okx, spot, usdm
from simulator.deribit import dialect as deribit
from simulator.dialect import Desk, Dialect, Request, Segment, Session
from simulator.faults import Faults
from simulator.forms import BINARY_FRAME, Form
from simulator.htx import spot as htx_spot
from simulator.htx import swap as htx_swap
from simulator.hub import Hub
from simulator.kraken import dialect as kraken
from simulator.market.instruments import make_instrument
from simulator.market.market import Market
from simulator.rest import SyntheticRest
from simulator.store import Store
from venues import find_venue
from venues.contract import BookRecovery, Context, Data, Stream, Venue

T0_US = 1_790_000_000_000_000
FRAMES_PER_S = 800.0
FRAMES = 2_000
"""Enough of a channel."""
CPU_S_MAX = 3.0
"""What making the frames of one market may take."""
SNAPSHOT_LEVELS = 1_000
BINANCE_SPOT = Segment("spot", "", make_instrument, lambda desk: _binance_spot(desk), lambda stream: stream)


@dataclass(frozen=True)
class Case:
    """A market and the symbols its frames are made for."""

    exchange: str
    market: str
    segment: Segment
    symbols: tuple[str, ...]

    @property
    def name(self) -> str:
        return f"{self.exchange}_{self.market}"


CASES = (
    Case("binance", "spot", BINANCE_SPOT, ("BTCUSDT", "ETHUSDT", "SOLUSDT", "XRPUSDT")),
    Case("binance", "perp", usdm.SEGMENT, ("BTCUSDT", "ETHUSDT", "SOLUSDT", "XRPUSDT")),
    Case("okx", "spot", okx.SEGMENT, ("BTC-USDT", "ETH-USDT", "SOL-USDT", "XRP-USDT")),
    Case("okx", "perp", okx.SEGMENT, ("BTC-USDT-SWAP", "ETH-USDT-SWAP", "BTC-USD-SWAP", "ETH-USD-SWAP")),
    Case("okx", "future", okx.SEGMENT, ("BTC-USDT-261225", "ETH-USDT-261225", "BTC-USD-261225", "ETH-USD-261225")),
    Case("okx", "option", okx.SEGMENT, ("BTC-USD-261225-100000-C", "BTC-USD-261225-80000-P")),
    Case("htx", "spot", htx_spot.SEGMENT, ("BTCUSDT", "ETHUSDT", "SOLUSDT", "XRPUSDT")),
    Case("htx", "perp", htx_swap.SEGMENT, ("BTC-USDT", "ETH-USDT", "SOL-USDT", "XRP-USDT")),
    Case("deribit", "perp", deribit.SEGMENT, ("BTC-PERPETUAL", "ETH-PERPETUAL", "ETH_USDC-PERPETUAL")),
    Case("deribit", "future", deribit.SEGMENT, ("BTC-25DEC26", "ETH-25DEC26")),
    Case("deribit", "option", deribit.SEGMENT, ("BTC-25DEC26-100000-C", "BTC-25DEC26-80000-P")),
    Case("deribit", "spot", deribit.SEGMENT, ("BTC_USDC", "ETH_USDC")),
    Case("kraken", "spot", kraken.SEGMENT, ("BTC/USD", "ETH/USD", "SOL/USD", "XRP/USD")),
)
"""What the simulator speaks. Markets that are not here share the code of one that is: Binance inverse, HTX inverse and
HTX future that of perp."""


def _binance_spot(desk: Desk) -> Dialect:
    dialect = spot.Spot(desk.config, desk.hub, desk.faults, Counter())
    dialect.backend = SyntheticRest(desk.market, desk.store, desk.config.rest_weight_per_min_max)
    return dialect


def payload_of(frame: bytes) -> bytes:
    """What an unmasked frame carries; gzip undone where the frame is binary."""
    size = frame[1]
    data = frame[2:] if size < 126 else frame[4:] if size == 126 else frame[10:]
    return gzip.decompress(data) if frame[0] == BINARY_FRAME else data


class Wire:
    """One connection: keeps what it is given."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.frames: list[bytes] = []

    @property
    def form(self) -> Form:
        return self.session.form

    def queue(self, frame: bytes) -> None:
        self.frames.append(frame)


@dataclass
class Frames:
    """What a market sent."""

    venue: Venue
    instruments: dict[str, tuple[Instrument, bytes]] = field(default_factory=dict)
    """By symbol: its metadata, and the part of the venue's reply they were read from."""
    channels: dict[str, list[tuple[str, bytes]]] = field(default_factory=dict)
    """By channel: (symbol, frame) in order; only channels of which anything came."""
    snapshots: list[tuple[str, bytes, int]] = field(default_factory=list)
    """Of books anchored by REST: (symbol, reply, frames of channel `book` before it)."""
    end_us: int = 0
    """The venue's clock after the last frame."""


class Exchange:
    """A simulated venue of its own with connections of ours."""

    def __init__(self, case: Case, folder: Path) -> None:
        self.case = case
        self.venue = find_venue(case.exchange, case.market)
        self.market = Market(case.symbols, 1, FRAMES_PER_S, T0_US, case.segment.instrument)
        faults = Faults()
        self.hub = Hub(faults, lambda: 0.0, venue=case.segment.name, units=(1, 1000), kind_of=case.segment.stream_kind)
        config = Simulator(state_dir=str(folder))
        store = Store(folder)
        if case.segment is BINANCE_SPOT:
            self.market = store.open_market(list(case.symbols), 1, FRAMES_PER_S, T0_US)
        self.dialect = case.segment.dialect(Desk(case.segment.name, config, self.hub, faults, self.market, store))
        self.wires: dict[str, Wire] = {}
        self.now_s = 0.0
        self.ids = itertools.count(1)

    def advance(self, seconds: float) -> None:
        self.now_s += seconds
        self.market.advance(T0_US + int(self.now_s * 1e6), self.dialect.sink)

    def rest(self, path: str, query: Any) -> bytes:
        return asyncio.run(self.dialect.rest(Request("GET", path, dict(query), b"", "127.0.0.1"))).body

    def instruments(self) -> dict[str, tuple[Instrument, bytes]]:
        protocol, found = self.venue.protocol, {}
        for asked in protocol.instruments_requests():
            for symbol, entry in protocol.instruments_reply(self.rest(asked.path, asked.query)):
                context = Context(self.case.exchange, self.case.market, symbol, "1")
                found[symbol] = self.venue.parse_instrument(entry, context), entry
        return {symbol: found[symbol] for symbol in self.case.symbols}

    def streams(self) -> list[Stream]:
        """Of every channel the market offers."""
        streams: dict[Stream, None] = {}
        for channel in (*self.venue.rules, "book"):
            try:
                streams |= dict.fromkeys(self.venue.protocol.streams(list(self.case.symbols), [channel]))
            except ConfigError:
                continue
        return list(streams)

    def subscribe(self, stream: Stream) -> None:
        protocol = self.venue.protocol
        target = urlsplit(protocol.connection_url("ws://venue", [stream]))
        name = f"{target.path} {protocol.route(stream)}"
        if name not in self.wires:
            session = self.dialect.open(target.path, target.query, len(self.wires) + 1)
            if session is None:  # the simulator does not speak this part of the venue
                return
            self.wires[name] = Wire(session)
            for message in protocol.greeting():
                self.tell(self.wires[name], message)
        self.tell(self.wires[name], protocol.subscribe([stream], next(self.ids)))
        if stream.channel == "book" and protocol.recovery is BookRecovery.REQUEST:
            self.tell(self.wires[name], protocol.book_request(stream, next(self.ids)))

    def drop(self, names: set[str]) -> None:
        """Nobody listens to these streams any more: what nobody has is not made."""
        for wire in self.wires.values():
            for name in names & wire.session.streams.keys():
                self.hub.unsubscribe(wire, name)

    def tell(self, wire: Wire, message: str) -> None:
        """In the order the simulator's server does things. Time passes, or the venue would call it a flood."""
        self.advance(0.3)
        before = set(wire.session.streams)
        replies = wire.session.handle(message.encode(), self.now_s)
        wire.frames += [wire.form.reply(payload) for payload in replies]
        for stream in wire.session.streams.keys() - before:
            first = self.dialect.joined(stream)
            if first is None:
                self.hub.wait(wire, stream)
                continue
            wire.frames += [wire.form.reply(payload) for payload in first]
            self.hub.subscribe(wire, stream)

    def taken(self) -> Iterable[tuple[Data, bytes]]:
        """Data frames since the last call."""
        for wire in self.wires.values():
            frames, wire.frames = wire.frames, []
            for frame in map(payload_of, frames):
                found = self.venue.protocol.classify(frame)
                if isinstance(found, Data):
                    yield found, frame


def make(case: Case, frames: int = FRAMES, cpu_s_max: float = CPU_S_MAX) -> Frames:
    """Frames of a market: up to `frames` of each channel."""
    with tempfile.TemporaryDirectory() as name:
        exchange = Exchange(case, Path(name))
        exchange.advance(2.0)
        out = Frames(exchange.venue, exchange.instruments())
        channels: dict[str, list[tuple[str, bytes]]] = defaultdict(list)
        streams = exchange.streams()
        for stream in streams:
            exchange.subscribe(stream)
        names = {stream.channel for stream in streams}
        if exchange.venue.protocol.recovery is BookRecovery.REST:
            exchange.advance(1.0)
            collect(exchange, channels)
            for symbol in case.symbols:
                asked = exchange.venue.protocol.snapshot_request(symbol, SNAPSHOT_LEVELS)
                out.snapshots.append((symbol, exchange.rest(asked.path, asked.query), len(channels["book"])))
        begin_s = time.process_time()
        while names and time.process_time() - begin_s < cpu_s_max:
            exchange.advance(1.0)
            collect(exchange, channels)
            full = {name for name in names if len(channels[name]) >= frames}
            if full:
                exchange.drop({stream.name for stream in streams if stream.channel in full})
                names -= full
        out.channels = {channel: found[:frames] for channel, found in sorted(channels.items()) if found}
        out.end_us = exchange.market.at_us
        return out


def collect(exchange: Exchange, channels: dict[str, list[tuple[str, bytes]]]) -> None:
    """Sort what came by channel, under each symbol it is about."""
    for data, frame in exchange.taken():
        for symbol in data.symbols or (data.stream.symbol,):
            if symbol in exchange.case.symbols:
                channels[data.stream.channel].append((symbol, frame))
