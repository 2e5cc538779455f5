"""md.bbo -> md.bbo_merged (one partition) -> md.arbitrage.

Quotes of one instrument come in on many partitions, so that two stages are needed: the first copies all into a topic of
one partition, the second puts them into the order of receive time (`marketdata.merge`) and finds the episodes
(`marketdata.arbitrage`). It has one live object for everything.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal

import msgspec
from msgspec import Struct

from marketdata import topics
from marketdata import types as t
from marketdata.arbitrage import Finder, Instrument, Quote, Terms, quote_of
from marketdata.codec import decode, encoder
from marketdata.errors import UnparsableFrame
from marketdata.merge import Event, Merger, MergeState
from processors.app import SOURCE_HEADER, Definition, Stage, run
from processors.metrics import Metrics
from processors.outputs import Output, SourceRecord
from runtime.config import Config
from runtime.config.processors import Arbitrage as Settings
from runtime.service import start

MERGED, FOUND = topics.MD_BBO_MERGED.name, topics.MD_ARBITRAGE.name
ONE = b"all.all.all"
"""The key of everything that is merged."""
MS = 1_000_000
NEVER = 1 << 63


class Quoted(Struct, array_like=True, tag=1):
    instrument: str
    quote: Quote


class Expired(Struct, array_like=True, tag=2):
    instrument: str
    recv_ns: int


class Left(Struct, array_like=True, tag=3):
    pass


Item = Quoted | Expired | Left


class Saved(Struct, array_like=True):
    """What is persisted."""

    merge: MergeState
    waiting: list[tuple[int, str, int, Item]]
    instruments: dict[str, Instrument]
    connections: dict[str, list[str]]


_dump = msgspec.msgpack.Encoder().encode
_load = msgspec.msgpack.Decoder(Saved).decode


def terms_of(settings: Settings) -> Terms:
    """The settings as the core takes them."""
    return Terms(
        {name: Decimal(fee) for name, fee in settings.fees.items()},
        Decimal(settings.min_profit_bps),
        settings.max_quote_age_ms * MS,
        settings.update_interval_ms * MS,
    )


class Arbitrageur:
    """The one live object."""

    def __init__(self, settings: Settings, metrics: Metrics, encode: Callable[[object], bytes]) -> None:
        self._settings, self._encode = settings, encode
        self._events = metrics.counts["events"]
        self._merger: Merger[Item] = self._new_merger(None)
        self._finder = Finder(terms_of(settings), {})
        self._connections: dict[str, list[str]] = {}
        """By key: connections that carry its quotes now."""
        self._due: dict[tuple[str, str], int] = {}
        """By instrument and key: receive time of the quote whose end of validity is waited for. Newer ones wait for it
        to pass: one event each would make up most of what is waiting."""
        metrics.gauges["watermark_behind_seconds"] = (
            "How far the watermark is behind the newest quotes", lambda: self._merger.behind_ns / 1e9
        )  # fmt: skip
        metrics.gauges["watermark_partition"] = (
            "Partition of md.bbo that the watermark waits for; -1: none", self._waits_for
        )  # fmt: skip
        metrics.gauges["waiting"] = ("Quotes and ends of quotes that wait for it", lambda: len(self._merger.heap))

    def _new_merger(self, state: MergeState | None) -> Merger[Item]:
        s = self._settings
        return Merger(s.merge_delay_ms * MS, s.merge_hold_ms * MS, s.merge_silence_ms * MS, s.waiting_quotes_max, state)

    def _waits_for(self) -> int:
        partition = self._merger.waits_for
        return -1 if partition is None else partition

    def dump(self) -> bytes:
        waiting = [(e.recv_ns, e.key, e.number, e.payload) for e in self._merger.heap]
        return _dump(Saved(self._merger.state, waiting, self._finder.state, self._connections))

    def restore(self, blob: bytes) -> Arbitrageur:
        saved = _load(blob)
        self._merger = self._new_merger(saved.merge)
        self._merger.heap.extend(Event(*event) for event in saved.waiting)
        self._finder = Finder(terms_of(self._settings), saved.instruments)
        self._connections = saved.connections
        for event in self._merger.heap:
            if isinstance(event.payload, Expired):
                self._expect(event.key, event.payload)
        return self

    def handle(self, source: SourceRecord) -> Sequence[Output]:
        """One record of md.bbo_merged."""
        record = decode(source.value)
        merger, state = self._merger, self._merger.state
        late, forced, joining = state.late, state.forced, state.joining
        partition = partition_of(source)
        if isinstance(record, t.Bbo):
            self._quote(partition, record)
        elif isinstance(record, t.Heartbeat):
            merger.add(partition, int(record.recv_time_ns or 0), _key(record), None)
        elif isinstance(record, t.FeedStatus) and record.channel == "bbo":
            self._status(partition, record)
        found = [self._output(each) for event in merger.ready() for each in self._apply(event)]
        self._events["late"] += state.late - late
        self._events["forced"] += state.forced - forced
        self._events["joining"] += state.joining - joining
        return found

    def _quote(self, partition: int, record: t.Bbo) -> None:
        key = _key(record)
        if key not in self._connections:  # the log begins in the middle of a connection
            self._connections[key] = []
            self._merger.connected(partition, key)
        item = Quoted(record.instrument, quote_of(record)) if record.instrument else None
        if item is None:
            self._events["no_instrument"] += 1
        self._merger.add(partition, int(record.recv_time_ns), key, item)

    def _status(self, partition: int, record: t.FeedStatus) -> None:
        key, recv_ns = _key(record), int(record.recv_time_ns or 0)
        carried = self._connections.setdefault(key, [])
        if record.state == "connected":
            if record.connection not in carried:
                carried.append(record.connection)
            self._merger.connected(partition, key)
            self._merger.add(partition, recv_ns, key, None)
            return
        if record.connection in carried:
            carried.remove(record.connection)
        if carried:
            self._merger.add(partition, recv_ns, key, None)
            return
        del self._connections[key]
        self._merger.add(partition, recv_ns, key, Left())
        self._merger.disconnected(partition, key, for_good=record.reason == "unsubscribed")

    def _apply(self, event: Event[Item]) -> list[t.Arbitrage]:
        item = event.payload
        if isinstance(item, Quoted):
            if self._due.get((item.instrument, event.key), NEVER) > event.recv_ns:
                self._wait(event, Expired(item.instrument, event.recv_ns))
            return self._finder.quote(item.instrument, event.key, item.quote)
        if isinstance(item, Expired):
            return self._expired(event, item)
        return self._finder.leave(event.key, event.recv_ns)

    def _expired(self, event: Event[Item], item: Expired) -> list[t.Arbitrage]:
        found = self._finder.expire(item.instrument, event.key, item.recv_ns)
        if self._due.get((item.instrument, event.key)) == item.recv_ns:
            del self._due[item.instrument, event.key]
            newest = self._finder.quote_of(item.instrument, event.key)
            if newest is not None:
                self._wait(event, Expired(item.instrument, newest.recv_ns))
        return found

    def _wait(self, event: Event[Item], expired: Expired) -> None:
        """Have the end of a quote's validity come in its place."""
        expires_ns = expired.recv_ns + self._settings.max_quote_age_ms * MS
        self._merger.later(expires_ns, event.key, event.number, expired)
        self._expect(event.key, expired)

    def _expect(self, key: str, expired: Expired) -> None:
        of = expired.instrument, key
        self._due[of] = min(self._due.get(of, NEVER), expired.recv_ns)

    def _output(self, record: t.Arbitrage) -> Output:
        self._events[record.action] += 1
        return Output(FOUND, self._encode(record), record.instrument.encode())


def partition_of(source: SourceRecord) -> int:
    """The partition of md.bbo a merged record came from, by its `src` header. Raises UnparsableFrame."""
    for name, value in source.headers:
        if name == SOURCE_HEADER:
            return int(value.split(b":")[-3])
    raise UnparsableFrame(f"a record of {MERGED} without the header {SOURCE_HEADER!r}")


def _key(record: t.Record) -> str:
    return f"{record.exchange}.{record.market}.{record.symbol}"


def copy(_: None, source: SourceRecord) -> Sequence[Output]:
    """The first stage: everything into one partition."""
    return (Output(MERGED, source.value, ONE),)


def definition(config: Config, metrics: Metrics) -> Definition:
    """The application."""
    settings = config.processors.arbitrage
    encode = encoder(config.kafka.encoding)
    gather: Stage[None] = Stage(
        sources=(topics.MD_BBO,),
        handle=copy,
        new=lambda _key: None,
        load=lambda _key, _blob: None,
        dump=lambda _: b"",
        ahead_ms_max=settings.read_ahead_ms,
    )
    find: Stage[Arbitrageur] = Stage(
        sources=(topics.MD_BBO_MERGED,),
        handle=lambda live, source: live.handle(source),
        new=lambda _key: Arbitrageur(settings, metrics, encode),
        load=lambda _key, blob: Arbitrageur(settings, metrics, encode).restore(blob),
        dump=lambda live: live.dump(),
    )
    return Definition("arbitrage", [gather, find], (topics.MD_BBO_MERGED, topics.MD_ARBITRAGE), metrics)


def main() -> None:
    service = start("arbitrage")
    run(service, definition(service.config, Metrics("arbitrage")))


if __name__ == "__main__":
    main()
