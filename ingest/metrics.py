"""Every metric and every log event of ingest. Names: `marketprism_ingest_*`, units last."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator

from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

PREFIX = "marketprism_ingest_"
REPEAT_LOG_S = 30.0
"""A warning that repeats is logged at most once in this long."""

Labels = tuple[str, ...]


class ChannelTally:
    """What one channel of one market received. Plain numbers: counted per frame, read when scraped."""

    __slots__ = ("bytes", "frames")

    def __init__(self) -> None:
        self.frames = 0
        self.bytes = 0


class ProducerTally:
    """The way to Kafka, counted apart: handed over, delivered, came back, waiting on disk."""

    def __init__(self) -> None:
        self.enqueued = 0
        self.delivered = 0
        self.returned = 0
        self.requeued = 0
        self.spilled = 0
        self.refused = 0
        self.lost = 0


class Metrics(Collector):
    """Counters by name and labels, and gauges read at scrape time."""

    def __init__(self) -> None:
        self.producer = ProducerTally()
        self._channels: dict[Labels, ChannelTally] = {}
        self._counts: dict[str, dict[Labels, int]] = {name: {} for name in COUNTERS}
        self._gauges: dict[str, Callable[[], Iterable[tuple[Labels, float]]]] = {}

    def register(self, registry: CollectorRegistry = REGISTRY) -> None:
        registry.register(self)

    def channel(self, exchange: str, market: str, channel: str) -> ChannelTally:
        return self._channels.setdefault((exchange, market, channel), ChannelTally())

    def count(self, name: str, *labels: str, by: int = 1) -> None:
        """Add to a counter of `COUNTERS`; the labels in its order."""
        series = self._counts[name]
        series[labels] = series.get(labels, 0) + by

    def counted(self, name: str, *labels: str) -> int:
        return self._counts[name].get(labels, 0)

    def gauge(self, name: str, read: Callable[[], Iterable[tuple[Labels, float]]]) -> None:
        """A gauge of `GAUGES` whose values `read` gives: (labels, value)."""
        self._gauges[name] = read

    def collect(self) -> Iterator[CounterMetricFamily | GaugeMetricFamily]:
        frames = CounterMetricFamily(PREFIX + "frames", "Data frames received", labels=MARKET_CHANNEL)
        size = CounterMetricFamily(PREFIX + "frame_bytes", "Bytes of data frames received", labels=MARKET_CHANNEL)
        for labels, tally in list(self._channels.items()):
            frames.add_metric(labels, tally.frames)
            size.add_metric(labels, tally.bytes)
        yield frames
        yield size
        for name, text in PRODUCER_COUNTERS.items():
            yield CounterMetricFamily(PREFIX + name, text, value=getattr(self.producer, name.split("_")[1]))
        for name, (text, names) in COUNTERS.items():
            counter = CounterMetricFamily(PREFIX + name, text, labels=names)
            for labels, value in list(self._counts[name].items()):
                counter.add_metric(labels, value)
            yield counter
        for name, (text, names) in GAUGES.items():
            gauge = GaugeMetricFamily(PREFIX + name, text, labels=names)
            for labels, number in self._gauges[name]() if name in self._gauges else ():
                gauge.add_metric(labels, number)
            yield gauge


MARKET = ("exchange", "market")
MARKET_CHANNEL = (*MARKET, "channel")

PRODUCER_COUNTERS = {
    "records_enqueued": "Records handed to the Kafka client",
    "records_delivered": "Records Kafka acknowledged",
    "records_returned": "Records that came back undelivered",
    "records_requeued": "Records taken back into the spill to be sent again",
    "records_spilled": "Records that waited on disk",
    "records_refused": "Records Kafka will never take (size, timestamp)",
    "records_lost": "Records that could neither be sent nor written to disk",
}

COUNTERS: dict[str, tuple[str, tuple[str, ...]]] = {
    "connections_opened": ("Connections opened", (*MARKET, "reason")),
    "connect_failures": ("Connection attempts that failed", MARKET),
    "disconnects": ("Connections ended", (*MARKET, "reason")),
    "streams_refused": ("Streams the venue refused, or dropped without a word", MARKET_CHANNEL),
    "resubscribes": ("Streams subscribed again because they never delivered", MARKET_CHANNEL),
    "control_frames": ("Acks, errors, pings and notices of the venue", (*MARKET, "kind")),
    "dead_letters": ("Frames that belong to no stream we know", (*MARKET, "reason")),
    "heartbeats": ("Heartbeat records written", MARKET),
    "snapshots": ("Book snapshots asked for", (*MARKET, "outcome")),
    "snapshot_requests": ("Snapshots wanted by book processors", (*MARKET, "outcome")),
    "connect_refusals": ("Handshakes the venue refused for rate", (*MARKET, "status")),
    "rest_refusals": ("REST requests the venue refused for rate", (*MARKET, "status")),
    "rest_budget_failures": ("Times Redis did not answer for a shared budget: each pod keeps to its own part", ()),
    "polls": ("REST polls by what came of them", (*MARKET_CHANNEL, "outcome")),
    "book_recoveries": ("Books brought back through their stream", (*MARKET, "way")),
    "selection_changes": ("Symbols that a selection rule brought in or let go", (*MARKET, "change")),
    "book_gaps": ("Updates missing from a book's stream", MARKET),
    "instrument_changes": ("Instrument metadata records written", MARKET),
    "spill_torn_tails": ("Spill segments with a torn tail, cut at start", ()),
    "spill_torn_bytes": ("Bytes cut off with them", ()),
}

GAUGES: dict[str, tuple[str, tuple[str, ...]]] = {
    "connections_open": ("Open connections", MARKET),
    "streams_subscribed": ("Streams wanted", MARKET),
    "streams_silent": ("Streams that never delivered although the venue took the subscription", MARKET),
    "venue_clock_skew_seconds": ("The venue's clock minus ours", MARKET),
    "rest_weight_used": ("REST weight of the last window, all pools, as this process knows it", MARKET),
    "books_waiting": ("Books without an anchor", MARKET),
    "symbols_captured": ("Symbols wanted", MARKET),
    "symbols_unlisted": ("Symbols wanted that the venue does not list", MARKET),
    "symbols_held": ("Symbols of which something waits for metadata", MARKET),
    "polls_wanted": ("REST polls wanted", MARKET),
    "queue_records": ("Records in the Kafka client's hands", ()),
    "spill_bytes": ("Bytes waiting on disk", ()),
    "spilling": ("1 while records go to disk", ()),
    "rest_budget_alone": ("1 while Redis is away and this pod keeps to its own part of a shared REST budget", ()),
}


class Events:
    """Every log line of ingest. Quiet in normal operation: starts, stops and trouble."""

    def __init__(self) -> None:
        self._log = logging.getLogger("ingest")
        self._last: dict[str, float] = {}

    def _say(self, level: int, text: str, **data: object) -> None:
        self._log.log(level, text, extra={"data": data})

    def _now_and_then(self, level: int, text: str, about: str = "", **data: object) -> None:
        now = time.monotonic()
        if now - self._last.get(text + about, -REPEAT_LOG_S) >= REPEAT_LOG_S:
            self._last[text + about] = now
            self._say(level, text, **data)

    def capturing(self, symbols: int, streams: int, shard: str) -> None:
        self._say(logging.INFO, "capturing", symbols=symbols, streams=streams, shard=shard)

    def connected(self, market: str, conn: str, url: str, streams: int, reason: str) -> None:
        self._say(logging.INFO, "connection opened", market=market, conn=conn, url=url, streams=streams, reason=reason)

    def connect_failed(self, market: str, error: str, retry_s: float) -> None:
        self._now_and_then(logging.WARNING, "cannot connect", market, market=market, error=error, retry_s=retry_s)

    def disconnected(self, market: str, conn: str, reason: str) -> None:
        self._say(logging.INFO, "connection ended", market=market, conn=conn, reason=reason)

    def resubscribed(self, market: str, conn: str, streams: list[str]) -> None:
        self._now_and_then(
            logging.WARNING,
            "streams never delivered, subscribing again",
            market,
            market=market,
            conn=conn,
            streams=streams,
        )

    def not_taken(self, market: str, conn: str, why: str, streams: list[str]) -> None:
        self._now_and_then(
            logging.WARNING, "the venue did not take streams", market, market=market, conn=conn, why=why,
            streams=streams,
        )  # fmt: skip

    def venue_error(self, market: str, conn: str, code: str, message: str) -> None:
        self._now_and_then(
            logging.WARNING, "the venue refused a request", market + code, market=market, conn=conn, code=code,
            message=message,
        )  # fmt: skip

    def notice(self, market: str, conn: str, kind: str, detail: str) -> None:
        self._say(logging.INFO, "notice of the venue", market=market, conn=conn, kind=kind, detail=detail)

    def dead_letter(self, market: str, reason: str, detail: str) -> None:
        self._now_and_then(
            logging.WARNING, "frame kept as a dead letter", market, market=market, reason=reason, detail=detail
        )

    def frame_failed(self, market: str) -> None:
        self._log.exception("a frame could not be processed; kept as a dead letter", extra={"data": {"market": market}})

    def reply_failed(self, market: str, what: str, error: BaseException) -> None:
        data = {"market": market, "request": what}
        self._log.error("a REST reply could not be processed", exc_info=error, extra={"data": data})

    def rest_refused(self, market: str, status: int, wait_s: float) -> None:
        self._say(
            logging.WARNING, "the venue limits REST requests", market=market, status=status, wait_s=round(wait_s, 1)
        )

    def rest_limited(self, market: str, pool: str, weight: int, window_s: float) -> None:
        self._say(
            logging.INFO, "the venue tells its REST limit", market=market, pool=pool, weight=weight, window_s=window_s
        )

    def rest_failed(self, market: str, what: str, error: str) -> None:
        self._now_and_then(
            logging.WARNING, "REST request failed", market + what, market=market, request=what, error=error
        )

    def budget_alone(self, place: str, error: str) -> None:
        self._say(
            logging.WARNING, "Redis is away: this pod keeps to its own part of the REST budget", budget=place,
            error=error,
        )  # fmt: skip

    def budget_shared_again(self, place: str) -> None:
        self._say(logging.INFO, "the REST budget is shared again", budget=place)

    def selected(self, market: str, joined: list[str], left: list[str]) -> None:
        self._say(
            logging.INFO, "the selection changed", market=market, joined=joined[:50], left=left[:50],
            joined_count=len(joined), left_count=len(left),
        )  # fmt: skip

    def nothing_tradable(self, market: str) -> None:
        self._now_and_then(
            logging.WARNING, "the venue lists nothing to trade: the selection stays", market, market=market
        )

    def book_recovery(self, market: str, symbol: str, way: str, conn: str) -> None:
        self._now_and_then(
            logging.WARNING, "a book is brought back", market + way, market=market, symbol=symbol, way=way, conn=conn
        )

    def no_metadata(self, market: str, waited_s: float) -> None:
        self._say(logging.WARNING, "capture begins without instrument metadata", market=market, waited_s=waited_s)

    def unknown_symbols(self, market: str, symbols: list[str]) -> None:
        self._say(logging.WARNING, "the venue's metadata does not have these symbols", market=market, symbols=symbols)

    def bad_control(self, topic: str, key: str, error: str) -> None:
        self._say(logging.WARNING, "control record ignored", topic=topic, key=key, error=error)

    def control_failed(self, error: str) -> None:
        self._now_and_then(logging.WARNING, "cannot read the control topics", error=error)

    def subscription(self, key: str, channels: list[str]) -> None:
        self._say(logging.INFO, "subscription changed", key=key, channels=channels)

    def waiting_for_kafka(self, waited_s: float) -> None:
        self._say(logging.WARNING, "Kafka is away: capture begins, frames go to the spill", waited_s=round(waited_s, 1))

    def broker_away(self, error: str) -> None:
        self._now_and_then(logging.WARNING, "Kafka is away", error=error)

    def spilling(self, reason: str, outstanding: int) -> None:
        self._say(logging.WARNING, "frames go to the spill", reason=reason, outstanding=outstanding)

    def drained(self) -> None:
        self._say(logging.INFO, "the spill is drained")

    def left_in_spill(self, size_bytes: int) -> None:
        self._say(logging.WARNING, "unsent records stay in the spill for the next start", spill_bytes=size_bytes)

    def leftover_spill(self, size_bytes: int) -> None:
        self._say(logging.INFO, "records left by an earlier process are sent first", spill_bytes=size_bytes)

    def torn_spill(self, tails: int, size_bytes: int) -> None:
        self._say(logging.WARNING, "torn spill tails cut", tails=tails, torn_bytes=size_bytes)

    def recovering(self, reason: str, delay_s: float) -> None:
        self._say(logging.ERROR, "Kafka client replaced; unsent records are sent again", reason=reason, delay_s=delay_s)

    def refused(self, topic: str, key: bytes, reason: str, size_bytes: int) -> None:
        self._say(
            logging.ERROR, "Kafka refused a record", topic=topic, key=key.decode(), reason=reason, bytes=size_bytes
        )

    def lost(self, topic: str, key: bytes, error: str) -> None:
        self._now_and_then(
            logging.ERROR, "a record is lost: the spill cannot be written", topic=topic, key=key.decode(), error=error
        )

    def lost_many(self, records: int, error: str) -> None:
        self._say(logging.ERROR, "records are lost: the spill cannot be written", records=records, error=error)

    def no_room(self, size_bytes: int) -> None:
        self._say(logging.ERROR, "the spill takes no more: connections are closed", spill_bytes=size_bytes)

    def room_again(self) -> None:
        self._say(logging.INFO, "the spill has room again: connections are opened")

    def stopping(self) -> None:
        self._say(logging.INFO, "stopping")

    def stopped(self, delivered: int, spilled_bytes: int) -> None:
        self._say(logging.INFO, "stopped", delivered=delivered, spill_bytes=spilled_bytes)


events = Events()
