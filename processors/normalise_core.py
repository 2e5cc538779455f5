"""Raw records of one key to typed, validated records, gaps and feed states: the processing function of `normalise`.

A frame may give records of several types. Trades follow the ids of their channel (`marketdata.trade_flow`). All others
are told from repeats by their identity (`marketdata.identity`), each type by its own, while a reconnect leaves one gap
per channel. A REST reply (kind `poll`) leaves no gap: what it says again is dropped, what is new goes out. Records go
out under their own key.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from marketdata import raw, topics
from marketdata import types as t
from marketdata.continuity import OpenGap, Verdict
from marketdata.errors import BadData
from marketdata.gap_records import build_gap
from marketdata.identity import identity
from marketdata.keys import Key
from marketdata.trade_flow import Held, Rejected
from marketdata.validation import AGE_MAX_US, check_record, check_time
from processors.app import reject
from processors.metrics import Metrics
from processors.normalise_feed import Feed, hold, released
from processors.outputs import Output, SourceRecord
from venues.contract import Context, PassedId

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

TRADE_CHANNELS = ("trade", "agg_trade")
MARKED = {"trade": topics.MD_TRADE.name, "agg_trade": topics.MD_TRADE.name, "bbo": topics.MD_BBO.name}
"""Channels whose connection marks travel with their records, and where."""
TIMED = {topics.RAW_TRADE.name: topics.MD_TRADE.name, topics.RAW_BBO.name: topics.MD_BBO.name}
"""Raw topics whose heartbeats travel with their records, and where."""

POLL_AGE_MAX_US = 400 * 86_400_000_000
"""A reply may go back as far as the venue's history does."""

Handler = Callable[[Feed, raw.Headers, SourceRecord], Sequence[Output]]


class Normaliser:
    """The processing function with what it needs: an encoder and counters."""

    def __init__(self, metrics: Metrics, encode: Callable[[object], bytes]) -> None:
        self._metrics, self._encode = metrics, encode
        self._events = metrics.counts["events"]
        self._by_kind: dict[str, Handler] = {
            "frame": self._on_frame,
            "poll": self._on_poll,
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
        normalise = feed.known_venue().normalisers.get(headers.channel)
        if normalise is None:
            raise BadData("unknown_channel", f"{feed.key.exchange} has no {headers.channel!r}")
        out: list[Output] = []
        for record in normalise(source.value, feed.context(headers.recv_ns)):
            if type(record) is t.Trade:
                self._trade(feed, headers, source, record, out)
            elif type(record) is PassedId:
                self._passed(feed, headers, source, record, out)
            else:
                self._other(feed, headers, source, record, out)  # type: ignore[arg-type]
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
            elif isinstance(item, t.Gap):
                self._gap(item, source, out)
            else:
                out.append(Output("md.trade", self._encode(item), source.key))
        if flow.held is None:
            channel.held = None
        if flow.duplicates:
            self._events["duplicate"] += flow.duplicates
            flow.duplicates = 0

    def _passed(
        self, feed: Feed, headers: raw.Headers, source: SourceRecord, passed: PassedId, out: list[Output]
    ) -> None:
        """An id that is no trade: nothing goes out for it, but what is missing before it does."""
        self._events["passed_id"] += 1
        gap = feed.flow(headers.channel).passed(passed.record_id, passed.time_us)
        if gap is not None:
            self._gap(self._made_gap(feed, headers, gap), source, out)

    def _other(
        self, feed: Feed, headers: raw.Headers, source: SourceRecord, record: t.AnyRecord, out: list[Output]
    ) -> None:
        """A record of a stream whose ids do not count what is missing."""
        series, record_id, time_us = identity(record)
        rules = feed.rules(headers.channel)
        if not self._possible(feed, source, record, time_us, rules.max_ahead_ms, out):
            return
        stream = feed.stream(headers.channel)
        if headers.channel in TRADE_CHANNELS:  # what is missing is told by the trades
            if stream.repeats(record_id, series):
                self._events["duplicate"] += 1
                return
        else:
            step = stream.check(record_id, time_us or int(headers.recv_ns) // 1000, series)
            if step.verdict is Verdict.DUPLICATE:
                self._events["duplicate"] += 1
                if rules.closed_by_next and type(record) is t.VenueKline:
                    feed.candles(headers.channel).repeated(record)
                return
            if step.gap is not None:
                self._gap(self._made_gap(feed, headers, step.gap), source, out)
        if rules.closed_by_next and type(record) is t.VenueKline and not record.is_closed:
            klines, event = feed.candles(headers.channel).accept(record)
            if event:
                self._events[event] += 1
            for kline in klines:
                self._publish(feed, source, kline, out)
            return
        self._publish(feed, source, record, out)

    # --- REST replies -------------------------------------------------------------------------------

    def _on_poll(self, feed: Feed, headers: raw.Headers, source: SourceRecord) -> Sequence[Output]:
        """In order of time, whatever the reply's; one that cannot be accepted is told once, not with each reply."""
        read = feed.known_venue().read_poll
        if read is None:
            raise BadData("unknown_channel", f"{feed.key.exchange} {feed.key.market} is not polled")
        path = raw.header(source.headers, raw.PATH_HEADER)
        stream, ahead_ms = feed.stream(headers.channel), feed.rules(headers.channel).max_ahead_ms
        found = [(identity(record), record) for record in read(path, source.value, feed.context(headers.recv_ns))]
        out: list[Output] = []
        for (series, record_id, time_us), record in sorted(found, key=lambda pair: pair[0].time_us):
            if stream.repeats(record_id, series, old_is_seen=True):
                self._events["poll_repeat"] += 1
            elif self._possible(feed, source, record, time_us, ahead_ms, out, POLL_AGE_MAX_US):
                self._publish(feed, source, record, out)
        return out

    # --- our own records ----------------------------------------------------------------------------

    def _on_heartbeat(self, feed: Feed, headers: raw.Headers, source: SourceRecord) -> Sequence[Output]:
        value = raw.heartbeat_decoder.decode(source.value)
        feed.state.clock_us = value.venue_time_us or feed.state.clock_us
        topic = TIMED.get(source.topic)
        if topic is None:
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
        return [Output(topic, self._encode(beat), source.key)]

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
                feed.broken(name, reason)
            channel.was_closed = False
            channel.connections.append(headers.conn)
            out += self._status(feed, headers, source, name, "connected", value.reason, headers.conn)
        return out

    def _on_disconnected(self, feed: Feed, headers: raw.Headers, source: SourceRecord) -> Sequence[Output]:
        value = raw.disconnected_decoder.decode(source.value)
        out: list[Output] = []
        for name in channels_of(value.channels, source.topic) or list(feed.state.channels):
            channel = feed.channel(name)
            if headers.conn in channel.connections:
                channel.connections.remove(headers.conn)
            elif channel.connections or channel.was_closed:
                continue  # else the log begins in the middle of this connection
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
            instrument=feed.instrument_name,
            recv_time_ns=headers.recv_ns,
            channel=channel,
            state="connected" if state == "connected" else "disconnected",
            reason=reason,
            connection=conn,
            event_time_us=feed.state.clock_us,
        )
        payload = self._encode(status)
        self._events[state] += 1
        first = [Output(MARKED[channel], payload, source.key)] if channel in MARKED else []
        return [*first, Output("md.feed_status", payload, source.key)]

    def _on_instrument(self, feed: Feed, headers: raw.Headers, source: SourceRecord) -> Sequence[Output]:
        context = Context(feed.key.exchange, feed.key.market, feed.key.symbol, headers.recv_ns)
        instrument = feed.known_venue().parse_instrument(source.value, context)
        known, feed.state.instrument = feed.state.instrument, instrument
        if known is not None and msgspec.structs.replace(known, recv_time_ns=headers.recv_ns) == instrument:
            return ()
        return [Output("md.instrument", self._encode(instrument), source.key)]

    # --- output -------------------------------------------------------------------------------------

    def _possible(
        self,
        feed: Feed,
        source: SourceRecord,
        record: t.AnyRecord,
        time_us: int,
        ahead_ms: int,
        out: list[Output],
        age_max_us: int = AGE_MAX_US,
    ) -> bool:
        """Whether the record can be true; a dead letter says why not."""
        try:
            check_record(record)
            if time_us:
                check_time(time_us, feed.state.clock_us, ahead_ms * 1000, age_max_us=age_max_us)
        except BadData as exc:
            out += reject(source, exc.code, exc.detail, self._metrics, exc.record_id)
            return False
        return True

    def _publish(self, feed: Feed, source: SourceRecord, record: t.AnyRecord, out: list[Output]) -> None:
        """Under the record's own key, which a frame about several symbols may differ from."""
        key, own = feed.key, source.key
        if record.symbol != key.symbol or record.market != key.market:  # type: ignore[union-attr]
            own = Key(record.exchange, record.market, record.symbol).encode()  # type: ignore[union-attr]
        out.append(Output(OUTPUT_TOPICS[type(record)], self._encode(record), own))

    def _made_gap(self, feed: Feed, headers: raw.Headers, gap: OpenGap) -> t.Gap:
        k = feed.key
        return build_gap(k.exchange, k.market, k.symbol, feed.instrument_name, headers.recv_ns, headers.channel, gap)

    def _gap(self, gap: t.Gap, source: SourceRecord, out: list[Output]) -> None:
        payload = self._encode(gap)
        self._events[f"gap_{gap.reason}" if not gap.filled_count else "gap_fill"] += 1
        if gap.channel in TRADE_CHANNELS:
            out.append(Output("md.trade", payload, source.key))
        out.append(Output("md.gap", payload, source.key))


def channels_of(names: Sequence[str], topic: str) -> list[str]:
    """Those channels whose frames go to the raw topic."""
    return [name for name in names if name in topics.CHANNEL_TOPICS and topics.CHANNEL_TOPICS[name].name == topic]
