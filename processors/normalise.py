"""raw.trade, raw.bbo, raw.kline, raw.ticker, raw.derivative -> typed, validated records, gaps and feed states.

One `Feed` per key and raw topic holds what judging the next record needs: connections, ids, last times, the venue's
clock of the last heartbeat, the instrument. It is a function of the raw log alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec
from msgspec import Struct

from marketdata import raw, topics
from marketdata import types as t
from marketdata.codec import encoder
from marketdata.continuity import Unnumbered, Verdict
from marketdata.errors import BadData, ConfigError
from marketdata.keys import Key, parse_key
from marketdata.trade_flow import FlowState, Held, Rejected, TradeFlow, build_gap, new_flow
from marketdata.validation import check_record, check_time
from processors.app import Definition, Stage, reject, run
from processors.metrics import Metrics
from processors.outputs import Output, SourceRecord
from runtime.config import Config
from runtime.service import start
from venues import find_venue
from venues.contract import Context, StreamRules, Venue

SOURCES = (topics.RAW_TRADE, topics.RAW_BBO, topics.RAW_KLINE, topics.RAW_TICKER, topics.RAW_DERIVATIVE)
OUTPUT_TOPICS: dict[type, str] = {
    t.Trade: topics.MD_TRADE.name,
    t.Bbo: topics.MD_BBO.name,
    t.VenueKline: topics.MD_VENUE_KLINE.name,
    t.Ticker: topics.MD_TICKER.name,
    t.MarkPrice: topics.MD_MARK_PRICE.name,
    t.Funding: topics.MD_FUNDING.name,
    t.OpenInterest: topics.MD_OPEN_INTEREST.name,
    t.Liquidation: topics.MD_LIQUIDATION.name,
    t.LongShort: topics.MD_LONG_SHORT.name,
    t.Volatility: topics.MD_VOLATILITY.name,
}
OUTPUTS = (
    topics.MD_TRADE, topics.MD_BBO, topics.MD_VENUE_KLINE, topics.MD_TICKER, topics.MD_MARK_PRICE, topics.MD_FUNDING,
    topics.MD_OPEN_INTEREST, topics.MD_LIQUIDATION, topics.MD_LONG_SHORT, topics.MD_VOLATILITY, topics.MD_INSTRUMENT,
    topics.MD_GAP, topics.MD_FEED_STATUS,
)  # fmt: skip

TRADE_CHANNELS = ("trade", "agg_trade")


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


class FeedState(Struct):
    """What is persisted of a feed."""

    clock_us: int = 0
    """The venue's clock of the last heartbeat; 0 since a connection that overlaps none, until its first."""
    channels: dict[str, Channel] = {}
    instrument: t.Instrument | None = None


class Feed:
    """A key's state in one raw topic."""

    __slots__ = ("flows", "key", "state", "venue")

    def __init__(self, key: bytes, state: FeedState) -> None:
        self.key: Key = parse_key(key)
        self.state = state
        self.flows = {name: TradeFlow(c.trades) for name, c in state.channels.items() if c.trades is not None}
        try:
            self.venue: Venue | None = find_venue(self.key.exchange, self.key.market)
        except ConfigError:
            self.venue = None

    def known_venue(self) -> Venue:
        if self.venue is None:
            raise BadData("unknown_venue", f"{self.key.exchange} {self.key.market}")
        return self.venue

    def rules(self, channel: str) -> StreamRules:
        return self.known_venue().rules.get(channel) or StreamRules()

    def flow(self, name: str) -> TradeFlow:
        found = self.flows.get(name)
        if found is None:
            rules = self.rules(name)
            found = self.flows[name] = new_flow(name, rules.continuous_ids, rules.max_ahead_ms)
        return found

    def dump(self) -> bytes:
        for name, flow in self.flows.items():
            self.channel(name).trades = flow.state()
        return _dump(self.state)

    def channel(self, name: str) -> Channel:
        found = self.state.channels.get(name)
        if found is None:
            found = self.state.channels[name] = Channel()
        return found


_dump = msgspec.json.Encoder().encode
_load = msgspec.json.Decoder(FeedState).decode


class Normaliser:
    """The processing function with what it needs: an encoder and counters."""

    def __init__(self, metrics: Metrics, encode: Callable[[object], bytes]) -> None:
        self._metrics, self._encode = metrics, encode
        self._events = metrics.counts["events"]
        self._by_kind: dict[str, Callable[[Feed, raw.Headers, SourceRecord], Sequence[Output]]] = {
            "frame": self._on_frame,
            "heartbeat": self._on_heartbeat,
            "connected": self._on_connected,
            "disconnected": self._on_disconnected,
            "instrument": self._on_instrument,
        }

    def handle(self, feed: Feed, source: SourceRecord) -> Sequence[Output]:
        """Apply one raw record. Raises BadData."""
        headers = raw.from_kafka(source.headers)
        handler = self._by_kind.get(headers.kind)
        return handler(feed, headers, source) if handler is not None else ()

    # --- frames -------------------------------------------------------------------------------------

    def _on_frame(self, feed: Feed, headers: raw.Headers, source: SourceRecord) -> Sequence[Output]:
        venue = feed.known_venue()
        normalise = venue.normalisers.get(headers.channel)
        if normalise is None:
            raise BadData("unknown_channel", f"{feed.key.exchange} has no {headers.channel!r}")
        instrument = feed.state.instrument
        context = Context(feed.key.exchange, feed.key.market, feed.key.symbol, headers.recv_ns, instrument)
        out: list[Output] = []
        for record in normalise(source.value, context):
            if type(record) is t.Trade:
                self._trade(feed, headers, source, record, out)
            else:
                self._other(feed, headers, source, record, out)
        return out

    def _trade(self, feed: Feed, headers: raw.Headers, source: SourceRecord, trade: t.Trade, out: list[Output]) -> None:
        flow = feed.flow(headers.channel)
        items = flow.accept(trade, feed.state.clock_us)
        if items is None:
            out.append(Output("md.trade", self._encode(trade), source.key))
            return
        channel = feed.channel(headers.channel)
        for item in items:
            if isinstance(item, Held):
                channel.held = hold(source)
                self._events["price_held"] += 1
            elif isinstance(item, Rejected):
                origin = released(channel.held, source) if item.held and channel.held else source
                out += reject(origin, item.code, item.detail, self._metrics, item.record_id)
            else:
                payload = self._encode(item)
                out.append(Output("md.trade", payload, source.key))
                if isinstance(item, t.Gap):
                    self._events[f"gap_{item.reason}" if not item.filled_count else "gap_fill"] += 1
                    out.append(Output("md.gap", payload, source.key))
        if flow.held is None:
            channel.held = None
        if flow.duplicates:
            self._events["duplicate"] += flow.duplicates
            flow.duplicates = 0

    def _other(
        self, feed: Feed, headers: raw.Headers, source: SourceRecord, record: t.AnyRecord, out: list[Output]
    ) -> None:
        """A record of a stream whose ids do not count what is missing."""
        record_id, time_us = identity(record)
        try:
            check_record(record)
            if time_us:
                limit_us = feed.rules(headers.channel).max_ahead_ms * 1000
                check_time(time_us, feed.state.clock_us, limit_us)
        except BadData as exc:
            out += reject(source, exc.code, exc.detail, self._metrics, exc.record_id)
            return
        channel = feed.channel(headers.channel)
        stream = channel.stream
        if stream is None:
            stream = channel.stream = Unnumbered(headers.channel)
        step = stream.check(record_id, time_us or int(headers.recv_ns) // 1000)
        if step.verdict is Verdict.DUPLICATE:
            self._events["duplicate"] += 1
            return
        if step.gap is not None:
            k = feed.key
            name = feed.state.instrument.instrument if feed.state.instrument else ""
            gap = build_gap(k.exchange, k.market, k.symbol, name, headers.recv_ns, headers.channel, step.gap)
            self._events[f"gap_{gap.reason}"] += 1
            out.append(Output("md.gap", self._encode(gap), source.key))
        out.append(Output(OUTPUT_TOPICS[type(record)], self._encode(record), source.key))

    # --- our own records ----------------------------------------------------------------------------

    def _on_heartbeat(self, feed: Feed, headers: raw.Headers, source: SourceRecord) -> Sequence[Output]:
        value = raw.heartbeat_decoder.decode(source.value)
        feed.state.clock_us = value.venue_time_us
        if source.topic != topics.RAW_TRADE.name:
            return ()
        k = feed.key
        beat = t.Heartbeat(
            exchange=k.exchange,
            market=k.market,
            symbol=k.symbol,
            recv_time_ns=headers.recv_ns,
            event_time_us=value.venue_time_us,
            connection=headers.conn,
        )
        return [Output("md.trade", self._encode(beat), source.key)]

    def _on_connected(self, feed: Feed, headers: raw.Headers, source: SourceRecord) -> Sequence[Output]:
        value = raw.connected_decoder.decode(source.value)
        out: list[Output] = []
        for name in channels_of(value.channels, source.topic) or list(feed.state.channels):
            channel = feed.channel(name)
            if headers.conn in channel.connections:
                continue
            if not value.overlaps or not channel.connections:
                closed = channel.was_closed and value.reason != "start"
                reason = "disconnected" if closed else "capture_restarted"
                for dead in channel.connections:  # it was killed outright and could not say so
                    out += self._status(feed, headers, source, name, "disconnected", reason, dead)
                channel.connections = []
                if name in feed.flows:
                    feed.flows[name].broken(reason)
                if channel.stream is not None:
                    channel.stream.broken(reason)
                feed.state.clock_us = 0
            channel.was_closed = False
            channel.connections.append(headers.conn)
            out += self._status(feed, headers, source, name, "connected", value.reason, headers.conn)
        return out

    def _on_disconnected(self, feed: Feed, headers: raw.Headers, source: SourceRecord) -> Sequence[Output]:
        value = raw.disconnected_decoder.decode(source.value)
        out: list[Output] = []
        for name in channels_of(value.channels, source.topic) or list(feed.state.channels):
            channel = feed.channel(name)
            if headers.conn not in channel.connections:
                continue
            channel.connections.remove(headers.conn)
            channel.was_closed = not channel.connections
            out += self._status(feed, headers, source, name, "disconnected", value.reason, headers.conn)
        return out

    def _status(
        self, feed: Feed, headers: raw.Headers, source: SourceRecord, channel: str, state: str, reason: str, conn: str
    ) -> list[Output]:
        k = feed.key
        status = t.FeedStatus(
            exchange=k.exchange,
            market=k.market,
            symbol=k.symbol,
            instrument=feed.state.instrument.instrument if feed.state.instrument else "",
            recv_time_ns=headers.recv_ns,
            channel=channel,
            state="connected" if state == "connected" else "disconnected",
            reason=reason,
            connection=conn,
            event_time_us=feed.state.clock_us,
        )
        payload = self._encode(status)
        self._events[state] += 1
        first = [Output("md.trade", payload, source.key)] if channel in TRADE_CHANNELS else []
        return [*first, Output("md.feed_status", payload, source.key)]

    def _on_instrument(self, feed: Feed, headers: raw.Headers, source: SourceRecord) -> Sequence[Output]:
        k = feed.key
        context = Context(k.exchange, k.market, k.symbol, headers.recv_ns)
        instrument = feed.known_venue().parse_instrument(source.value, context)
        known, feed.state.instrument = feed.state.instrument, instrument
        if known is not None and msgspec.structs.replace(known, recv_time_ns=headers.recv_ns) == instrument:
            return ()
        return [Output("md.instrument", self._encode(instrument), source.key)]


def identity(record: t.AnyRecord) -> tuple[int | None, int]:
    """(something that tells a repeat and grows with time, the record's own time in us or 0)."""
    if isinstance(record, t.Bbo):
        return (int(record.update_id) if record.update_id.isdigit() else None), record.event_time_us
    if isinstance(record, t.VenueKline):
        place = list(OUTPUT_INTERVALS).index(record.interval) if record.interval in OUTPUT_INTERVALS else 31
        return (record.event_time_us << 6) | (place << 1) | record.is_closed, record.event_time_us
    if isinstance(record, t.Ticker):
        return record.event_time_us or None, record.event_time_us
    return None, getattr(record, "event_time_us", 0)


OUTPUT_INTERVALS = ("1s", "1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "8h", "12h", "1d", "3d", "1w", "1M")


def channels_of(names: Sequence[str], topic: str) -> list[str]:
    """Those channels whose frames go to the raw topic."""
    return [name for name in names if name in topics.CHANNEL_TOPICS and topics.CHANNEL_TOPICS[name].name == topic]


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


def definition(config: Config, metrics: Metrics) -> Definition:
    """The application: one stage per raw topic."""
    normaliser = Normaliser(metrics, encoder(config.kafka.encoding))
    stages = [
        Stage(
            sources=(topic,),
            handle=normaliser.handle,
            new=lambda key: Feed(key, FeedState()),
            load=lambda key, blob: Feed(key, _load(blob)),
            dump=lambda feed: feed.dump(),
        )
        for topic in SOURCES
    ]
    return Definition("normalise", stages, OUTPUTS, metrics)


def main() -> None:
    service = start("normalise")
    run(service, definition(service.config, Metrics("normalise")))


if __name__ == "__main__":
    main()
