"""What must be true of a whole environment: every raw record accounted for, no row without one, every hole named.

Frames are read here with the standard library alone, from their stream names: nothing of the code under test decides
what a frame is.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from clickhouse_driver import Client
from confluent_kafka import Consumer, TopicPartition

from runtime.config import Config

MERGED = "md.kline_residual"
"""Made from two topics that may interleave as they like."""

RAW = ("raw.trade", "raw.book", "raw.bbo", "raw.kline", "raw.ticker")


class Message(NamedTuple):
    topic: str
    """Without the environment's prefix."""
    partition: int
    offset: int
    key: str
    value: bytes
    headers: dict[str, str]
    timestamp_ms: int


def read_topics(config: Config, topics: Iterable[str]) -> list[Message]:
    """All records of these topics up to their present ends, in order within each partition."""
    prefix = config.environment.topic_prefix
    consumer = Consumer(
        {
            "bootstrap.servers": config.kafka.bootstrap_servers,
            "group.id": f"{prefix}accounting",
            "enable.auto.commit": False,
            "log_level": 0,
        }
    )
    try:
        ends: dict[tuple[str, int], int] = {}
        start = []
        for topic in topics:
            for partition in consumer.list_topics(prefix + topic, timeout=20).topics[prefix + topic].partitions:
                low, high = consumer.get_watermark_offsets(TopicPartition(prefix + topic, partition), timeout=20)
                if high > low:
                    ends[prefix + topic, partition] = high
                    start.append(TopicPartition(prefix + topic, partition, low))
        consumer.assign(start)
        return list(_read_until(consumer, ends, prefix))
    finally:
        consumer.close()


def _read_until(consumer: Consumer, ends: dict[tuple[str, int], int], prefix: str) -> Iterator[Message]:
    deadline = time.monotonic() + 180
    while ends:
        assert time.monotonic() < deadline, f"could not read to the end of {sorted(ends)}"
        for m in consumer.consume(5_000, timeout=0.5):
            assert not m.error(), m.error()
            at = (m.topic(), m.partition())
            if at not in ends or m.offset() >= ends[at]:
                continue
            headers = {k: v.decode() for k, v in m.headers() or ()}
            key = (m.key() or b"").decode()
            yield Message(
                m.topic().removeprefix(prefix), m.partition(), m.offset(), key, m.value() or b"", headers,
                m.timestamp()[1],
            )  # fmt: skip
            if m.offset() == ends[at] - 1:
                del ends[at]
        for at in list(ends):
            with contextlib.suppress(Exception):
                position = consumer.position([TopicPartition(*at)])[0].offset
                if position >= ends[at]:
                    del ends[at]


Coordinates = tuple[str, int, int]


@dataclass
class Raw:
    """What the raw topics hold, by what must become of it."""

    trades: dict[tuple[str, int], set[Coordinates]] = field(default_factory=lambda: defaultdict(set))
    agg_trades: dict[tuple[str, int], set[Coordinates]] = field(default_factory=lambda: defaultdict(set))
    deltas: dict[tuple[str, int, int], set[Coordinates]] = field(default_factory=lambda: defaultdict(set))
    quotes: dict[tuple[str, int], set[Coordinates]] = field(default_factory=lambda: defaultdict(set))
    tickers: dict[tuple[str, int], set[Coordinates]] = field(default_factory=lambda: defaultdict(set))
    candles: dict[tuple[str, int], dict[str, Any]] = field(default_factory=dict)
    """(symbol, open time ms) -> the venue's newest candle."""
    unreadable: set[Coordinates] = field(default_factory=set)
    kinds: dict[str, int] = field(default_factory=lambda: defaultdict(int))


def sort_raw(messages: Iterable[Message]) -> Raw:
    """The frames of the raw topics by kind and id."""
    raw = Raw()
    for m in messages:
        raw.kinds[m.headers["kind"]] += 1
        if m.headers["kind"] != "frame":
            continue
        at = (m.topic, m.partition, m.offset)
        try:
            frame = json.loads(m.value)
            stream, data = frame["stream"].partition("@")[2], frame["data"]
            _sort_frame(raw, stream, m.key.split(".", 2)[2], data, at)
        except (ValueError, KeyError, TypeError):
            raw.unreadable.add(at)
    return raw


def _sort_frame(raw: Raw, stream: str, symbol: str, data: dict[str, Any], at: Coordinates) -> None:
    if stream == "trade":
        raw.trades[symbol, data["t"]].add(at)
    elif stream == "aggTrade":
        raw.agg_trades[symbol, data["a"]].add(at)
    elif stream.startswith("depth"):
        raw.deltas[symbol, data["U"], data["u"]].add(at)
    elif stream == "bookTicker":
        raw.quotes[symbol, data["u"]].add(at)
    elif stream == "ticker":
        raw.tickers[symbol, data["E"]].add(at)
    elif stream.startswith("kline"):
        candle = {**data["k"], "E": data["E"]}
        old = raw.candles.get((symbol, candle["t"]))
        if old is None or (candle["x"], candle["L"], candle["E"]) >= (old["x"], old["L"], old["E"]):
            raw.candles[symbol, candle["t"]] = candle
    else:
        raise KeyError(stream)


class Tables:
    """The ClickHouse views of an environment."""

    def __init__(self, config: Config) -> None:
        ch = config.clickhouse
        self._client = Client(
            ch.host,
            port=ch.port,
            user=ch.admin_user,
            password=ch.admin_password.get_secret_value(),
            database=config.environment.database,
        )

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        return list(self._client.execute(sql))

    def close(self) -> None:
        self._client.disconnect()


def problems(raw: Raw, tables: Tables) -> list[str]:
    """Everything that is not as it must be; empty when all is well."""
    dead = {
        (topic, partition, offset)
        for topic, partition, offset in tables.rows("SELECT raw_topic, raw_partition, raw_offset FROM dead_letters")
    }
    found: list[str] = []
    found += [f"unreadable frame {at} is no dead letter" for at in raw.unreadable - dead]
    wanted: list[tuple[str, dict[Any, set[Coordinates]], str]] = [
        ("trades", raw.trades, "SELECT symbol, trade_id FROM trades WHERE NOT aggregated"),
        ("agg trades", raw.agg_trades, "SELECT symbol, trade_id FROM trades WHERE aggregated"),
        ("deltas", raw.deltas, "SELECT symbol, first_update_id, last_update_id FROM book_deltas"),
        ("quotes", raw.quotes, "SELECT symbol, update_id FROM quotes"),
        ("tickers", raw.tickers, "SELECT symbol, toUnixTimestamp64Milli(event_time) FROM tickers"),
    ]
    for name, expected, sql in wanted:
        rows = tables.rows(sql)
        have = set(rows)
        if len(rows) != len(have):
            found.append(f"{name}: {len(rows) - len(have)} rows are doubled under FINAL")
        missing = [i for i, places in expected.items() if i not in have and not places & dead]
        if missing:
            found.append(f"{name}: {len(missing)} of the log are neither a row nor a dead letter: {missing[:3]}")
        if invented := have - expected.keys():
            found.append(f"{name}: {len(invented)} rows without a raw record: {sorted(invented)[:3]}")
    found += _candle_problems(raw, tables)
    found += _gap_problems("trade", ids_of(raw.trades), tables)
    found += _gap_problems("agg_trade", ids_of(raw.agg_trades), tables)
    found += _gap_problems("book", update_ids_of(raw.deltas), tables)
    return found


def _candle_problems(raw: Raw, tables: Tables) -> list[str]:
    sql = """SELECT symbol, toUnixTimestamp64Milli(open_time), is_closed, toString(close), toString(volume), trade_count
             FROM venue_klines"""
    have = {(symbol, at): tuple(rest) for symbol, at, *rest in tables.rows(sql)}
    found = []
    for key, candle in raw.candles.items():
        row = have.pop(key, None)
        want = (candle["x"], _plain(candle["c"]), _plain(candle["v"]), candle["n"])
        if row is None or (row[0], _plain(row[1]), _plain(row[2]), row[3]) != want:
            found.append(f"venue candle {key}: {want} in the log, {row} in the table")
    return found + [f"venue candle {key} has no raw record" for key in have]


def _plain(text: str) -> str:
    return text.rstrip("0").rstrip(".") if "." in text else text


def ids_of(records: Iterable[tuple[str, int]]) -> dict[str, set[int]]:
    out: dict[str, set[int]] = defaultdict(set)
    for symbol, number in records:
        out[symbol].add(number)
    return out


def update_ids_of(deltas: Iterable[tuple[str, int, int]]) -> dict[str, set[int]]:
    out: dict[str, set[int]] = defaultdict(set)
    for symbol, first, last in deltas:
        out[symbol].update(range(first, last + 1))
    return out


def holes(ids: set[int]) -> set[int]:
    """The ids missing between the lowest and the highest."""
    return set(range(min(ids), max(ids) + 1)) - ids if ids else set()


def _gap_problems(channel: str, ids: dict[str, set[int]], tables: Tables) -> list[str]:
    named: dict[str, set[int]] = defaultdict(set)
    unfilled: dict[str, int] = defaultdict(int)
    sql = f"""SELECT symbol, first_missing_id, last_missing_id, missing_count, filled_count FROM gaps
              WHERE channel = '{channel}' AND missing_count > 0"""
    for symbol, first, last, missing, filled in tables.rows(sql):
        named[symbol].update(range(first, last + 1))
        unfilled[symbol] += missing - filled
    found = []
    for symbol, present in ids.items():
        want = holes(present)
        if want != named[symbol] - present:
            found.append(
                f"{channel} {symbol}: {len(want)} ids are missing, md.gap names {len(named[symbol] - present)}"
            )
        if unfilled[symbol] != len(want):
            found.append(f"{channel} {symbol}: {len(want)} ids are missing, md.gap counts {unfilled[symbol]}")
    return found


def distinct(messages: Iterable[Message]) -> dict[tuple[str, str, str], list[bytes]]:
    """Per (topic, key, source topic) the records in order, repeats removed: what the replay promise speaks of.

    A repeat carries the same `src` header (source topic, offset, index), and must carry the same bytes. What ingest
    and the sinks themselves could not accept has no source record to be made from again. A residual is made when the
    second of two topics has its side, whichever that is: their set is promised, not their order.
    """
    out: dict[tuple[str, str, str], dict[str, bytes]] = defaultdict(dict)
    for m in messages:
        source = m.headers.get("src")
        if source is None:
            assert m.topic == "md.dead_letter", m
            continue
        first = out[m.topic, m.key, source.split(":")[0]].setdefault(source, m.value)
        assert first == m.value, f"two different records of {source} in {m.topic}: {first!r} and {m.value!r}"
    streams = {stream: list(values.values()) for stream, values in out.items()}
    for topic, key, source in [stream for stream in streams if stream[0] == MERGED]:
        streams.setdefault((topic, key, "either"), []).extend(streams.pop((topic, key, source)))
        streams[topic, key, "either"].sort()
    return streams


def differences(a: dict[Any, list[bytes]], b: dict[Any, list[bytes]]) -> list[str]:
    """Where two sets of records, as `distinct` gives them, are not the same."""
    found = []
    for stream in a.keys() | b.keys():
        ours, theirs = a.get(stream, []), b.get(stream, [])
        if ours != theirs:
            at = next((i for i, (x, y) in enumerate(zip(ours, theirs, strict=False)) if x != y), None)
            shown = "" if at is None else f"; first at {at}: {ours[at]!r} and {theirs[at]!r}"
            found.append(f"{stream}: {len(ours)} records live, {len(theirs)} replayed{shown}")
    return found
