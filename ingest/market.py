"""One market (exchange and segment) captured by this process: its connections, snapshots and metadata."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterable, Mapping
from typing import Any

from ingest.budget import WeightBudget
from ingest.connection import Connection
from ingest.feed import Around, Feed, attempts_window
from ingest.instruments import Instruments
from ingest.lines import Group, Host
from ingest.metrics import Metrics, events
from ingest.plan import Group as StreamGroup
from ingest.plan import place, streams_max
from ingest.proxy import proxy_for
from ingest.records import Record, Records
from ingest.rest import Rest
from ingest.snapshots import Snapshots
from marketdata.errors import ConfigError
from runtime.config import Config
from runtime.config.ingest import MarketConfig
from venues.contract import Stream, Venue


class Market:
    """See the module. `apply` sets what is captured; `tick` drives time."""

    def __init__(
        self,
        venue: Venue,
        market: MarketConfig,
        config: Config,
        publish: Callable[[Record], None],
        metrics: Metrics,
        next_conn: Callable[[], str],
        may_connect: Callable[[], bool],
        env: Mapping[str, str],
        budget: WeightBudget,
        on_task_done: Callable[[asyncio.Task[None]], None],
    ) -> None:
        settings = config.ingest
        self.venue = venue
        self.name = (venue.exchange, venue.market)
        self._settings = settings
        self._wait_s = settings.instruments_wait_s
        self._channels: dict[str, tuple[str, ...]] = {}
        self._feeds: dict[int, Feed] = {}
        self._groups: list[StreamGroup] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._services: set[asyncio.Task[None]] = set()
        self._on_task_done = on_task_done
        self._changes = asyncio.Lock()
        self._stopping = False
        protocol = venue.protocol
        records = Records(config.environment, venue.exchange, venue.market, config.kafka.encoding)
        ws_proxy = proxy_for(market.ws_url, settings.proxy, settings.no_proxy, env)
        rest_proxy = proxy_for(market.rest_url, settings.proxy, settings.no_proxy, env)
        self.rest = Rest(market.rest_url, protocol, budget, metrics, self.name, rest_proxy, settings.rest_timeout_s)
        self.snapshots = Snapshots(venue, self.rest, records, publish, metrics, settings, self._seq_of)
        self.instruments = Instruments(protocol, self.rest, records, publish, metrics, next_conn())
        self._around = Around(
            ws_url=market.ws_url,
            proxy=ws_proxy,
            settings=settings,
            attempts=attempts_window(protocol.limits.connection_attempts_per_5_min),
            next_conn=next_conn,
            may_connect=may_connect,
        )
        self._host = Host(
            protocol=protocol,
            records=records,
            publish=publish,
            metrics=metrics,
            market=self.name,
            heartbeat_interval_s=settings.heartbeat_interval_s,
            patience_s={},
            sharers={},
            covered=self._covered,
            on_book=self.snapshots.on_frame,
            on_book_connected=self.snapshots.on_connected,
            on_book_disconnected=self.snapshots.on_disconnected,
            books_anchored=lambda _: True,
            on_shutdown=self._rotate,
            on_instruments=lambda: None,
        )

    # --- subscriptions ---

    async def start(self) -> None:
        """Ask for metadata in the background from now on; fetch snapshots as books need them."""
        self._spawn(self._services, self.snapshots.run())
        self._spawn(self._services, self.instruments.run(self._settings.instruments_interval_s))

    async def apply(self, changes: Mapping[str, Iterable[str]]) -> None:
        """Capture exactly these channels of these symbols (none: nothing). Others stay as they are.

        A symbol the venue has no channel for is refused as a whole, with a log record.
        """
        async with self._changes:
            fresh: list[Stream] = []
            gone: list[Stream] = []
            for symbol, channels in changes.items():
                new, old = self._change(symbol, tuple(channels))
                fresh += new
                gone += old
            unknown = any(symbol in changes for symbol in self.instruments.missing)
            if unknown and not await self.instruments.first(self._wait_s):
                events.no_metadata(".".join(self.name), self._wait_s)
            self.instruments.write()
            if not self._stopping:
                self._remove(gone)
                self._add(fresh)

    def _change(self, symbol: str, channels: tuple[str, ...]) -> tuple[list[Stream], list[Stream]]:
        """Streams to add and to remove."""
        try:
            now = self.venue.protocol.streams([symbol], channels)
        except ConfigError as exc:
            events.bad_control("subscription", f"{'.'.join(self.name)}.{symbol}", str(exc))
            return [], []
        before = self.venue.protocol.streams([symbol], self._channels.pop(symbol, ()))
        if channels:
            self._channels[symbol] = channels
        self.instruments.want(symbol, channels)
        return [s for s in now if s not in before], [s for s in before if s not in now]

    def _add(self, streams: list[Stream]) -> None:
        self._groups = [g for g in self._groups if g.streams]
        before = {g.number: set(g.streams) for g in self._groups}
        limit = streams_max(self.venue.protocol.limits, self._settings.streams_per_connection)
        for group in place(self._groups, streams, self.venue.protocol.route, limit):
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

    async def _run_feed(self, feed: Feed) -> None:
        await feed.run()
        if self._feeds.get(feed.group.number) is feed:
            del self._feeds[feed.group.number]

    # --- what connections ask ---

    def connections(self) -> list[Connection]:
        return [c for feed in list(self._feeds.values()) for c in feed.connections]

    def _covered(self, conn: str, group: Group) -> bool:
        return any(feed.covered(conn, group) for feed in self._feeds.values())

    def _rotate(self, conn: str) -> None:
        for feed in self._feeds.values():
            feed.rotate(conn)

    def _seq_of(self, conn: str) -> int:
        return next((c.seq for c in self.connections() if c.conn == conn), 0)

    # --- time and end ---

    def tick(self, now_s: float, recv_ns: int) -> None:
        for feed in list(self._feeds.values()):
            feed.tick(now_s, recv_ns)

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
        await self.snapshots.stop()
        await self.rest.close()

    def _spawn(self, tasks: set[asyncio.Task[None]], work: Coroutine[Any, Any, None]) -> None:
        """A bug of ours in a task ends the process (see `App`): nothing goes on half-alive."""
        task = asyncio.create_task(work)
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        task.add_done_callback(self._on_task_done)

    # --- what surfaces ask, from their own thread: iterate copies, change nothing ---

    def not_ready(self) -> str | None:
        """Why not all wanted streams are carried, or None."""
        live = {name for c in self.connections() for name, line in list(c.lines.items()) if line.delivers}
        wanted = [name for feed in list(self._feeds.values()) for name in list(feed.group.streams)]
        missing = [name for name in wanted if name not in live]
        return f"{len(missing)} of {len(wanted)} streams not delivering, {missing[0]} for one" if missing else None

    def symbols(self) -> list[str]:
        return list(self._channels)

    def streams(self) -> int:
        return sum(len(feed.group.streams) for feed in list(self._feeds.values()))

    def silent(self) -> int:
        return sum(c.silent_streams() for c in self.connections())

    def skew_s(self) -> float | None:
        """The venue's clock minus ours, by the newest connection that knows."""
        clocks = [c.clock for c in self.connections() if c.clock.known]
        return clocks[-1].now_us(time.monotonic()) / 1e6 - time.time() if clocks else None

    def gauges(self) -> dict[str, float]:
        found = {
            "connections_open": float(len(self.connections())),
            "streams_subscribed": float(self.streams()),
            "streams_silent": float(self.silent()),
            "rest_weight_used": float(self.rest.budget.peek(time.monotonic())),
            "books_waiting": float(self.snapshots.waiting),
        }
        skew_s = self.skew_s()
        return found if skew_s is None else {**found, "venue_clock_skew_seconds": skew_s}
