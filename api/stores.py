"""The stores, all I/O of the API: Redis for the newest values, ClickHouse for history. Bounded in time and number."""

from __future__ import annotations

import asyncio
import logging
import queue
from collections.abc import AsyncIterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from clickhouse_driver import Client, errors
from redis.asyncio import Redis
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from api.envelope import StoreBusy, StoreDown
from api.metrics import STORE_ERRORS
from marketdata.codec import decode
from marketdata.errors import BadData
from marketdata.keys import Key, parse_key
from marketdata.types import AnyRecord, Record
from runtime.config import Config

log = logging.getLogger("api")

CLICKHOUSE_CLIENT_GRACE_S = 1.0
"""The client waits this much longer than the server may work, so that the server's own reason arrives."""
CLICKHOUSE_BUSY_CODES = frozenset((159, 160, 202, 241))
"""Timeout, too slow, too many simultaneous queries, memory limit."""
CLICKHOUSE_MISSING_CODES = frozenset((60, 81))
"""No such table, no such database: the sink has not made them yet."""
CLICKHOUSE_REFUSAL_CODES = frozenset((192, 193, 194, 497, 516))
"""Unknown user, wrong password, a password is required, access denied, authentication failed."""


class Latest(NamedTuple):
    """What Redis holds of one symbol; None where nothing has arrived."""

    trade: AnyRecord | None
    ticker: AnyRecord | None
    bbo: AnyRecord | None
    book: AnyRecord | None
    feeds: dict[str, AnyRecord]


DERIVATIVE_KINDS = (
    "mark_price", "funding", "open_interest", "liquidation",
    *(f"long_short:{kind}" for kind in ("global_account", "top_account", "top_position", "taker_volume")), "volatility",
)  # fmt: skip
"""What is kept of derivatives, as the keys of the Redis sink end."""


class LatestStore:
    """The newest values, written by the Redis sink."""

    def __init__(self, config: Config) -> None:
        self._prefix = config.environment.redis_prefix
        self._timeout_s = config.api.redis_timeout_s
        self._redis = Redis.from_url(
            config.redis.url,
            socket_timeout=self._timeout_s,
            socket_connect_timeout=self._timeout_s,
            max_connections=64,
            health_check_interval=30,
        )

    async def close(self) -> None:
        await self._redis.aclose()

    async def ping(self) -> None:
        async with self._answering():
            await self._redis.ping()

    async def last(self, key: Key, kind: str) -> AnyRecord | None:
        """The newest trade, ticker or bbo."""
        async with self._answering():
            return _record(await self._redis.hget(self._last(key, kind), "json"))

    async def book(self, key: Key) -> AnyRecord | None:
        async with self._answering():
            return _record(await self._redis.get(self._book(key)))

    async def kline(self, key: Key, interval: str) -> list[AnyRecord]:
        """The newest final candle and the newest of all, as far as there are any."""
        async with self._answering():
            values = await self._redis.hmget(f"{self._prefix}kline:{{{key}}}:{interval}", ["closed", "latest"])
        return [r for v in values if (r := _record(v)) is not None]

    async def many(self, keys: Sequence[Key]) -> list[Latest]:
        """Everything newest about each symbol, in one round trip."""
        async with self._answering():
            pipe = self._redis.pipeline(transaction=False)
            for key in keys:
                for kind in ("trade", "ticker", "bbo"):
                    pipe.hget(self._last(key, kind), "json")
                pipe.get(self._book(key))
                pipe.hgetall(self._feed(key))
            got = await pipe.execute()
        return [_latest(*got[i : i + 5]) for i in range(0, len(got), 5)]

    async def derivatives(self, keys: Sequence[Key]) -> list[dict[str, Record]]:
        """Of each symbol what there is of `DERIVATIVE_KINDS`, in one round trip."""
        async with self._answering():
            pipe = self._redis.pipeline(transaction=False)
            for key in keys:
                for kind in DERIVATIVE_KINDS:
                    pipe.hget(self._last(key, kind), "json")
            records = [_record(value) for value in await pipe.execute()]
        count = len(DERIVATIVE_KINDS)
        return [
            {kind: r for kind, r in zip(DERIVATIVE_KINDS, records[i : i + count], strict=True) if isinstance(r, Record)}
            for i in range(0, len(records), count)
        ]

    async def keys(self) -> list[Key]:
        """Every symbol that ever had a value here."""
        async with self._answering():
            names = await self._redis.smembers(f"{self._prefix}md:symbols")
        return sorted(parse_key(name) for name in names)

    def _last(self, key: Key, kind: str) -> str:
        return f"{self._prefix}md:last:{{{key}}}:{kind}"

    def _book(self, key: Key) -> str:
        return f"{self._prefix}md:book:{{{key}}}"

    def _feed(self, key: Key) -> str:
        return f"{self._prefix}md:feed:{{{key}}}"

    @asynccontextmanager
    async def _answering(self) -> AsyncIterator[None]:
        try:
            # The socket's timeout holds for each read; this one for the whole exchange.
            async with asyncio.timeout(2 * self._timeout_s):
                yield
        except (RedisError, OSError, TimeoutError) as exc:
            raise _noted(StoreDown("redis", _reason(exc))) from None


class HistoryStore:
    """Rows from ClickHouse, read as the reader user through a few kept connections, each used by one thread."""

    def __init__(self, config: Config) -> None:
        self._config = config
        settings = config.api
        self._timeout_s = settings.clickhouse_timeout_s
        self._pool = ThreadPoolExecutor(settings.clickhouse_connections, thread_name_prefix="clickhouse")
        self._idle: queue.LifoQueue[Client] = queue.LifoQueue()
        self._under_way = 0
        self._under_way_max = settings.clickhouse_connections + settings.clickhouse_waiting_max
        # How many rows an answer may have stands in each statement's LIMIT.
        self._settings = {
            "max_execution_time": self._timeout_s,
            "max_threads": 2,
        }

    async def close(self) -> None:
        await asyncio.to_thread(self._pool.shutdown, wait=True, cancel_futures=True)
        while not self._idle.empty():
            self._idle.get_nowait().disconnect()

    async def ping(self) -> None:
        await self.select("SELECT 1", {})

    async def select(self, sql: str, params: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        """Rows of a query. Raises StoreDown, or StoreBusy where a bound was reached."""
        if self._under_way >= self._under_way_max:
            raise _noted(StoreBusy("clickhouse", f"{self._under_way} queries are waiting already"))
        self._under_way += 1
        future = asyncio.get_running_loop().run_in_executor(self._pool, self._run, sql, dict(params))
        # Counted until the thread is free again, also when the request has gone.
        future.add_done_callback(self._done)
        try:
            async with asyncio.timeout(2 * (self._timeout_s + CLICKHOUSE_CLIENT_GRACE_S)):
                return await asyncio.shield(future)
        except TimeoutError:
            raise _noted(StoreBusy("clickhouse", "no connection became free in time")) from None
        except StoreDown as exc:
            raise _noted(exc) from None

    def _done(self, future: asyncio.Future[list[tuple[Any, ...]]]) -> None:
        self._under_way -= 1
        if not future.cancelled():
            future.exception()

    def _run(self, sql: str, params: dict[str, Any]) -> list[tuple[Any, ...]]:
        try:
            client = self._idle.get_nowait()
        except queue.Empty:
            client = self._connect()
        try:
            rows: list[tuple[Any, ...]] = client.execute(sql, params, settings=self._settings)
        except errors.ServerException as exc:
            self._idle.put(client)
            if exc.code in CLICKHOUSE_BUSY_CODES:
                raise StoreBusy("clickhouse", _first_line(exc.message)) from None
            if exc.code in CLICKHOUSE_MISSING_CODES:
                raise StoreDown("clickhouse", f"its tables are not there yet: {_first_line(exc.message)}") from None
            if exc.code in CLICKHOUSE_REFUSAL_CODES:
                raise StoreDown(
                    "clickhouse", "it refuses the reader (clickhouse.reader_user, clickhouse.reader_password)"
                ) from None
            raise
        except (errors.Error, OSError, EOFError) as exc:
            client.disconnect()
            raise StoreDown("clickhouse", _reason(exc)) from None
        except BaseException:
            client.disconnect()
            raise
        self._idle.put(client)
        return rows

    def _connect(self) -> Client:
        store = self._config.clickhouse
        return Client(
            store.host,
            port=store.port,
            user=store.reader_user,
            password=store.reader_password.get_secret_value(),
            database=self._config.environment.database,
            connect_timeout=self._timeout_s,
            send_receive_timeout=self._timeout_s + CLICKHOUSE_CLIENT_GRACE_S,
            sync_request_timeout=self._timeout_s,
            client_name="marketprism-api",
        )


def _latest(
    trade: bytes | None, ticker: bytes | None, bbo: bytes | None, book: bytes | None, feeds: dict[bytes, bytes]
) -> Latest:
    # Beside each channel stand the fields of its guard, as `<channel>:seq`.
    values = {channel.decode(): value for channel, value in feeds.items() if b":" not in channel}
    states = {channel: r for channel, value in values.items() if (r := _record(value)) is not None}
    return Latest(_record(trade), _record(ticker), _record(bbo), _record(book), states)


def _record(value: bytes | str | None) -> AnyRecord | None:
    if value is None:
        return None
    try:
        return decode(value.encode() if isinstance(value, str) else value)
    except BadData as exc:
        # Not ours, or of a version that cannot be read: as good as absent, and said.
        log.error("unreadable value in Redis: %s", exc)
        return None


def _noted(exc: StoreDown) -> StoreDown:
    STORE_ERRORS.labels(exc.store, exc.code).inc()
    return exc


def _reason(exc: BaseException) -> str:
    if isinstance(exc, TimeoutError | RedisTimeoutError | errors.SocketTimeoutError):
        return "no answer in time"
    return _first_line(str(exc)) or type(exc).__name__


def _first_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[0][:300] if lines else ""
