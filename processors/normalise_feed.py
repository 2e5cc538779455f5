"""What judging the next raw record of a key needs: its state in one raw topic, a function of the raw log alone."""

from __future__ import annotations

import msgspec
from msgspec import Struct

from marketdata.continuity import Unnumbered
from marketdata.errors import BadData, ConfigError
from marketdata.keys import Key, parse_key
from marketdata.trade_flow import FlowState, TradeFlow, new_flow, restore_flow
from marketdata.types import Instrument
from marketdata.venue_candles import CandleCloser
from processors.outputs import SourceRecord
from venues import find_venue
from venues.contract import Context, StreamRules, Venue


class HeldSource(Struct, frozen=True):
    """The raw record of a trade that waits for its confirmation, in case it is rejected."""

    partition: int
    offset: int
    timestamp_ms: int
    headers: list[tuple[str, str]]
    payload: bytes


class Channel(Struct):
    """One channel of a key."""

    connections: list[str] = []
    """Those that carry it, oldest first."""
    was_closed: bool = False
    """A `disconnected` left it without connection, and none came since."""
    trades: FlowState | None = None
    stream: Unnumbered | None = None
    held: HeldSource | None = None
    candles: CandleCloser | None = None
    """Of a channel whose candles are closed by the next."""


class FeedState(Struct):
    """What is persisted of a feed."""

    clock_us: int = 0
    """The venue's clock of the last heartbeat; 0 since a connection that overlaps none, until its first."""
    channels: dict[str, Channel] = {}
    instrument: Instrument | None = None


class Feed:
    """A key's state in one raw topic."""

    __slots__ = ("flows", "key", "state", "venue")

    def __init__(self, key: bytes, state: FeedState) -> None:
        self.key: Key = parse_key(key)
        self.state = state
        self.flows = {name: restore_flow(c.trades) for name, c in state.channels.items() if c.trades is not None}
        try:
            self.venue: Venue | None = find_venue(self.key.exchange, self.key.market)
        except ConfigError:
            self.venue = None
        for name, channel in state.channels.items():
            if self.venue is None:
                continue
            if channel.stream is not None:  # rules may be newer than the state
                channel.stream.grows = self.rules(name).monotonic_ids
            if channel.trades is not None:
                channel.trades.confirms_jumps = self.rules(name).confirms_jumps

    @classmethod
    def load(cls, key: bytes, blob: bytes) -> Feed:
        """The feed that was dumped."""
        return cls(key, _load(blob))

    def dump(self) -> bytes:
        for name, flow in self.flows.items():
            self.channel(name).trades = flow.state()
        return _dump(self.state)

    def known_venue(self) -> Venue:
        """Raises BadData where the key names none."""
        if self.venue is None:
            raise BadData("unknown_venue", f"{self.key.exchange} {self.key.market}")
        return self.venue

    def context(self, recv_ns: str) -> Context:
        return Context(self.key.exchange, self.key.market, self.key.symbol, recv_ns, self.state.instrument)

    def rules(self, channel: str) -> StreamRules:
        return self.known_venue().rules.get(channel) or NO_RULES

    def channel(self, name: str) -> Channel:
        found = self.state.channels.get(name)
        if found is None:
            found = self.state.channels[name] = Channel()
        return found

    def flow(self, name: str) -> TradeFlow:
        """The trades of a channel."""
        found = self.flows.get(name)
        if found is None:
            r = self.rules(name)
            found = new_flow(name, r.continuous_ids, r.max_ahead_ms, r.id_ranges, r.monotonic_ids, r.confirms_jumps)
            self.flows[name] = found
        return found

    def stream(self, name: str) -> Unnumbered:
        """The records of a channel that are no trades."""
        channel = self.channel(name)
        if channel.stream is None:
            channel.stream = Unnumbered(name, grows=self.rules(name).monotonic_ids)
        return channel.stream

    def candles(self, name: str) -> CandleCloser:
        channel = self.channel(name)
        if channel.candles is None:
            channel.candles = CandleCloser()
        return channel.candles

    def broken(self, name: str, reason: str) -> None:
        """A connection opened for the channel that overlaps no other."""
        channel = self.channel(name)
        if name in self.flows:
            self.flows[name].broken(reason)
        if channel.stream is not None:
            channel.stream.broken(reason)
        if channel.candles is not None:
            channel.candles.broken()
        self.state.clock_us = 0

    @property
    def instrument_name(self) -> str:
        return self.state.instrument.instrument if self.state.instrument else ""


NO_RULES = StreamRules()
_dump = msgspec.json.Encoder().encode
_load = msgspec.json.Decoder(FeedState).decode


def hold(source: SourceRecord) -> HeldSource:
    return HeldSource(
        source.partition,
        source.offset,
        source.timestamp_ms,
        [(name, value.decode()) for name, value in source.headers],
        source.value,
    )


def released(held: HeldSource, like: SourceRecord) -> SourceRecord:
    headers = [(name, value.encode()) for name, value in held.headers]
    return SourceRecord(like.topic, held.partition, held.offset, like.key, held.payload, headers, held.timestamp_ms)
