"""One market (exchange and segment) captured by this process: its connections, books, metadata and polls."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ingest.books import Books
from ingest.connection import Connection
from ingest.feed import Around, Attempts, Feed
from ingest.instruments import Instruments, Listing
from ingest.lines import MARKET_CHANNEL, Group, Host
from ingest.metrics import Metrics, events
from ingest.plan import Group as StreamGroup
from ingest.plan import place, streams_max
from ingest.polls import Polls
from ingest.pools import Pools
from ingest.proxy import proxy_for
from ingest.records import Record, Records
from ingest.rest import Rest
from ingest.selector import Selector
from ingest.wishes import Wishes
from marketdata.errors import ConfigError
from runtime.config import Config
from runtime.config.ingest import MarketConfig
from venues.contract import Stream, Venue

INDEX_CHANNELS = frozenset(("volatility",))
"""Channels about an index, which is no instrument: there are no metadata to wait for."""

Selected = Callable[[tuple[str, str], Mapping[str, tuple[str, ...]]], None]


@dataclass(frozen=True)
class Surroundings:
    """What all markets of a process share."""

    config: Config
    publish: Callable[[Record], None]
    metrics: Metrics
    next_conn: Callable[[], str]
    may_connect: Callable[[], bool]
    """False while the spill is full: nowhere to put what the venue says."""
    env: Mapping[str, str]
    on_task_done: Callable[[asyncio.Task[None]], None]
    on_selected: Selected = lambda *_: None
    """(market, channels by symbol): what its rules select now."""
    selected_before: Callable[[tuple[str, str]], Iterable[str]] = lambda _: ()
    """(market): what they selected until now."""


class Market:
    """See the module. `apply` sets what is captured; `tick` drives time."""

    def __init__(
        self, venue: Venue, market: MarketConfig, around: Surroundings, pools: Pools, attempts: Attempts
    ) -> None:
        config, settings, metrics = around.config, around.config.ingest, around.metrics
        self.venue = venue
        self.name = (venue.exchange, venue.market)
        self._settings = settings
        self._metrics = metrics
        self._on_task_done = around.on_task_done
        self._feeds: dict[int, Feed] = {}
        self._groups: list[StreamGroup] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._services: set[asyncio.Task[None]] = set()
        self._stopping = False
        self._market_streams: list[Stream] | None = None
        protocol, next_conn, publish = venue.protocol, around.next_conn, around.publish
        records = Records(config.environment, venue.exchange, venue.market, config.kafka.encoding)
        ws_proxy = proxy_for(market.ws_url, settings.proxy, settings.no_proxy, around.env)
        rest_proxy = proxy_for(market.rest_url, settings.proxy, settings.no_proxy, around.env)
        self.rest = Rest(market.rest_url, protocol, pools, metrics, self.name, rest_proxy, settings.rest_timeout_s)
        self.wishes = Wishes(venue)
        self.books = Books(venue, self.rest, records, publish, metrics, settings, self)
        self.instruments = Instruments(protocol, self.rest, records, publish, metrics, next_conn(), self._on_listing)
        self.polls = Polls(protocol, self.rest, records, publish, metrics, next_conn(), around.may_connect)
        self._selector = Selector(
            venue, market, self.rest, around.on_selected, around.selected_before, self.instruments.poke
        )
        self._around = Around(market.ws_url, ws_proxy, settings, attempts, next_conn, around.may_connect)
        self._host = Host(
            protocol=protocol,
            records=records,
            publish=publish,
            metrics=metrics,
            market=self.name,
            heartbeat_interval_s=settings.heartbeat_interval_s,
            patience_s={},
            sharers=self.wishes.sharers,
            covered=self._covered,
            on_book=self.books.on_frame,
            on_book_connected=self.books.on_connected,
            on_book_disconnected=self.books.on_disconnected,
            books_anchored=self.books.anchored,
            on_instruments=self.instruments.poke,
        )

    # --- subscriptions ---

    async def start(self) -> None:
        """Ask for metadata in the background from now on; fetch snapshots and poll as they are needed."""
        self._spawn(self._services, self.books.snapshots.run())
        self._spawn(self._services, self.instruments.run(self._settings.instruments_interval_s))
        self._spawn(self._services, self.polls.run())
        if self._selector.active:
            self._spawn(self._services, self._selector.run())
            self.instruments.poke()  # nothing can be selected before the venue has listed its symbols

    async def apply(self, changes: Mapping[str, Iterable[str]]) -> None:
        """Capture exactly these channels of these symbols (none: nothing). Others stay as they are.

        A symbol the venue has no channel for is refused as a whole, with a log record. Metadata are waited for, but
        not for ever: then what can be understood without them begins.
        """
        for symbol, channels in changes.items():
            try:
                recorded = self.wishes.set(symbol, tuple(channels))
            except ConfigError as exc:
                events.bad_control("subscription", f"{'.'.join(self.name)}.{symbol}", str(exc))
                continue
            self.instruments.want(symbol, () if recorded <= INDEX_CHANNELS else recorded)
        unknown = any(symbol in changes for symbol in self.instruments.missing)
        wait_s = self._settings.instruments_wait_s
        if unknown and not await self.instruments.first(wait_s):
            events.no_metadata(".".join(self.name), wait_s)
        self._settle(changes)

    def _on_listing(self, listing: Listing) -> None:
        """Metadata came: what waited for them can begin, and the rules may select other symbols."""
        self._settle([s for s in list(self.wishes.held) if self.instruments.knows(s)])
        self._selector.look(listing)

    def _settle(self, symbols: Iterable[str]) -> None:
        if self._stopping:
            return
        change = self.wishes.settle(symbols, self.instruments.knows)
        self.instruments.write()
        for name, symbol in change.parts:
            for feed in self._carrying(name):
                feed.unshare(name, symbol)
        self._remove(change.gone)
        self._add([*self._about_the_market(), *change.fresh])
        for name, symbol in change.joins:
            for feed in self._carrying(name):
                feed.share(name, symbol)
        self.polls.want(self.wishes.polls(self.instruments.knows))

    def _about_the_market(self) -> list[Stream]:
        """Streams about the market, once, as soon as anything of it is captured."""
        if self._market_streams is None and self.wishes.channels:
            self._market_streams = self.venue.protocol.market_streams()
            return self._market_streams
        return []

    def _carrying(self, name: str) -> list[Feed]:
        return [feed for feed in list(self._feeds.values()) if name in feed.group.streams]

    def _add(self, streams: list[Stream]) -> None:
        self._groups = [g for g in self._groups if g.streams]
        before = {g.number: set(g.streams) for g in self._groups}
        limits = self.venue.protocol.limits
        most = streams_max(limits, self._settings.streams_per_connection)
        for group in place(self._groups, streams, self.venue.protocol.route, most, limits.symbols_per_book_connection):
            feed = self._feeds.get(group.number)
            if feed is not None and group.number in before:
                feed.add([s for name, s in group.streams.items() if name not in before[group.number]])
                continue
            feed = self._feeds[group.number] = Feed(group, self._host, self._around)
            self._spawn(self._tasks, self._run_feed(feed))

    def _remove(self, streams: list[Stream]) -> None:
        for feed in list(self._feeds.values()):
            mine = [s for s in streams if s.name in feed.group.streams]
            if mine:
                feed.remove(mine)
        for stream in streams:
            if stream.channel == "book":
                self.books.forget(stream.symbol)  # while it reconnects, no connection will say that it is gone

    async def _run_feed(self, feed: Feed) -> None:
        await feed.run()
        if self._feeds.get(feed.group.number) is feed:
            del self._feeds[feed.group.number]

    # --- what connections and books ask ---

    def connections(self) -> list[Connection]:
        return [c for feed in list(self._feeds.values()) for c in feed.connections]

    def _connection(self, conn: str) -> Connection | None:
        return next((c for c in self.connections() if c.conn == conn), None)

    def _covered(self, conn: str, group: Group) -> bool:
        return any(feed.covered(conn, group) for feed in self._feeds.values())

    def rotate(self, conn: str) -> None:
        for feed in self._feeds.values():
            feed.rotate(conn)

    def seq_of(self, conn: str) -> int:
        connection = self._connection(conn)
        return connection.seq if connection is not None else 0

    def renew_book(self, conn: str, symbol: str) -> bool:
        connection = self._connection(conn)
        return connection is not None and connection.renew_book(symbol, time.time_ns())

    def request_book(self, conn: str, symbol: str) -> bool:
        connection = self._connection(conn)
        return connection is not None and connection.request_book(symbol)

    # --- time and end ---

    def tick(self, now_s: float, recv_ns: int) -> None:
        for feed in list(self._feeds.values()):
            feed.tick(now_s, recv_ns)
        self.books.tick(now_s)

    def close_connections(self, reason: str) -> None:
        for feed in self._feeds.values():
            feed.close(reason)

    async def stop(self) -> None:
        """End all connections (their `disconnected` records are written before this first waits)."""
        self._stopping = True
        for feed in list(self._feeds.values()):
            feed.stop("stopping")
        for task in self._services:
            task.cancel()
        await asyncio.gather(*self._services, *self._tasks, return_exceptions=True)
        await self.books.snapshots.stop()
        await self.polls.stop()
        await self.rest.close()

    def _spawn(self, tasks: set[asyncio.Task[None]], work: Coroutine[Any, Any, None]) -> None:
        """A bug of ours in a task ends the process (see `App`): nothing goes on half-alive."""
        task = asyncio.create_task(work)
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        task.add_done_callback(self._on_task_done)

    # --- what surfaces ask, from their own thread: iterate copies, change nothing ---

    def not_ready(self) -> str | None:
        """Why not all that is wanted is carried, or None."""
        said = []
        live = {name for c in self.connections() for name, line in list(c.lines.items()) if line.delivers}
        wanted = [s for feed in list(self._feeds.values()) for s in list(feed.group.streams.values())]
        missing = [s.name for s in wanted if s.name not in live and s.channel != MARKET_CHANNEL]
        if missing:
            said.append(f"{len(missing)} of {len(wanted)} streams not delivering, {missing[0]} for one")
        if unlisted := self.instruments.unlisted:
            said.append(f"{len(unlisted)} symbols the venue does not list, {unlisted[0]} for one")
        elif held := list(self.wishes.held):
            said.append(f"{len(held)} symbols wait for metadata, {held[0]} for one")
        return ", ".join(said) or None

    def symbols(self) -> list[str]:
        return list(self.wishes.channels)

    def streams(self) -> int:
        return sum(len(feed.group.streams) for feed in list(self._feeds.values()))

    def skew_s(self) -> float | None:
        """The venue's clock minus ours, by the newest connection that knows."""
        clocks = [c.clock for c in self.connections() if c.clock.known]
        return clocks[-1].now_us(time.monotonic()) / 1e6 - time.time() if clocks else None

    def gauges(self) -> dict[str, float]:
        found = {
            "connections_open": float(len(self.connections())),
            "streams_subscribed": float(self.streams()),
            "streams_silent": float(sum(c.silent_streams() for c in self.connections())),
            "rest_weight_used": float(self.rest.pools.peek()),
            "books_waiting": float(self.books.waiting),
            "symbols_captured": float(len(self.wishes.channels)),
            "symbols_unlisted": float(len(self.instruments.unlisted)),
            "symbols_held": float(len(self.wishes.held)),
            "polls_wanted": float(self.polls.count),
        }
        skew_s = self.skew_s()
        return found if skew_s is None else {**found, "venue_clock_skew_seconds": skew_s}
