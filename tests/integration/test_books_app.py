"""The books application on a real broker: killed in the middle, it publishes what a clean replay of its log does."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from bench.book_load import BookLoad
from marketdata import topics
from marketdata.codec import decode
from marketdata.topics import Topic, topic_name
from marketdata.types import BookSnapshot
from processors.book_core import LiveBook
from runtime.config import Config
from runtime.kafka import ensure_topics, producer_settings
from tests.integration.conftest import MakeConfig, ServiceFactory
from tests.integration.services import Service
from tests.processors.book_log import BookLog

OUTPUTS = (topics.MD_BOOK, topics.MD_BOOK_SNAPSHOT, topics.MD_BOOK_DELTA, topics.MD_GAP, topics.MD_FEED_STATUS)
SYMBOLS = 6
FRAMES = 400
"""Of each symbol: 40 s of a 100 ms stream."""

pytestmark = pytest.mark.timeout(600)

Published = dict[tuple[str, bytes], list[bytes]]


def market(seed: int = 3) -> list[BookLog]:
    """Logs with losses, repeats, reconnects, re-anchoring. Their time is the present, or retention would eat them."""
    rng = random.Random(seed)
    load = BookLoad(SYMBOLS, 20, seed)
    logs = []
    for i in range(SYMBOLS):
        log = BookLog(f"binance.spot.{load.symbols[i]}", now_ms=int(time.time() * 1000) - FRAMES * 100 - 5_000)
        log.connected()
        waiting = True
        for n in range(FRAMES):
            log.now_ms += 100
            if waiting or n % 150 == 149:
                log.raw("snapshot", load.snapshot(i), extra=(("limit", b"1000"),))
            frame = load.frame(i)
            waiting = rng.random() < 0.01
            if not waiting:  # else it is lost on the way, and the book with it
                log.raw("frame", frame)
            if rng.random() < 0.02:
                log.raw("frame", frame)
            if n % 10 == 9:
                log.heartbeat()
            if n == 220 + i:
                log.disconnected()
                log.conn = "pod-1-2"
                log.connected()
        logs.append(log)
    return logs


def expected(config: Config, logs: list[BookLog]) -> Published:
    """What the core makes of the logs."""
    out: Published = {}
    for log in logs:
        book = LiveBook(log.key, config.processors.books, "json", lambda _event: None)
        for record in log.records:
            for output in book.handle(record):
                out.setdefault((output.topic, log.key), []).append(output.value)
    return {key: values for key, values in out.items() if key[0] in {topic.name for topic in OUTPUTS}}


def publish(config: Config, logs: list[BookLog], begin: float, end: float) -> None:
    producer = Producer(producer_settings(config, linger_ms=20))
    name = topic_name(config.environment.topic_prefix, topics.RAW_BOOK)
    for log in logs:
        for record in log.records[int(begin * len(log.records)) : int(end * len(log.records))]:
            producer.produce(name, record.value, log.key, headers=record.headers, timestamp=record.timestamp_ms)
            producer.poll(0)
    assert producer.flush(30) == 0


def read(config: Config, topic: Topic) -> list[tuple[bytes, bytes, dict[str, bytes]]]:
    """Everything in a topic: key, value, headers."""
    name = topic_name(config.environment.topic_prefix, topic)
    consumer = Consumer(
        {"bootstrap.servers": config.kafka.bootstrap_servers, "group.id": "reader", "enable.auto.commit": False}
    )
    found = []
    try:
        for partition in consumer.list_topics(name, timeout=10).topics[name].partitions:
            low, high = consumer.get_watermark_offsets(TopicPartition(name, partition), timeout=10)
            if low == high:
                continue
            consumer.assign([TopicPartition(name, partition, low)])
            at = low
            while at < high:
                message = consumer.poll(30)
                assert message is not None, f"{name}[{partition}] ends at {at}, not at {high}"
                assert message.error() is None, message.error()
                at = message.offset() + 1
                key, value = message.key(), message.value()
                assert key is not None
                assert value is not None
                found.append((key, value, {k: bytes(v) for k, v in message.headers() or () if isinstance(v, bytes)}))
    finally:
        consumer.close()
    return found


def published(config: Config) -> Published:
    """The outputs, once each: a record made again after a crash has the `src` of the first."""
    out: Published = {}
    for topic in OUTPUTS:
        seen: dict[tuple[bytes, bytes], bytes] = {}
        for key, value, headers in read(config, topic):
            source = headers["src"]
            assert seen.setdefault((key, source), value) == value, "a repeat differs from the first"
            if seen[key, source] is value:
                out.setdefault((topic.name, key), []).append(value)
    return out


def wait(what: str, condition: Callable[[], bool], timeout_s: float = 150) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {timeout_s:.0f} s: {what}"
        time.sleep(0.1)


def records_in(app: Service) -> float:
    try:
        return app.total("marketprism_books_records_in_total") + app.total("marketprism_books_skipped_total")
    except OSError:
        return 0.0


def committed(config: Config) -> int:
    """Input records behind the group's committed offsets."""
    prefix = config.environment.topic_prefix
    name = topic_name(prefix, topics.RAW_BOOK)
    consumer = Consumer({"bootstrap.servers": config.kafka.bootstrap_servers, "group.id": prefix + "books"})
    try:
        partitions = [TopicPartition(name, p) for p in consumer.list_topics(name, timeout=10).topics[name].partitions]
        return sum(max(p.offset, 0) for p in consumer.committed(partitions, timeout=10))
    finally:
        consumer.close()


def test_killed_in_the_middle_it_publishes_what_a_clean_replay_does(
    make_config: MakeConfig, service: ServiceFactory
) -> None:
    config = make_config(processors={"books": {"commit_interval_s": 1}})
    ensure_topics(config)
    logs = market()
    total = sum(len(log.records) for log in logs)
    want = expected(config, logs)
    publish(config, logs, 0, 0.6)
    with service("processors.books", config) as app:
        wait("half of the log", lambda: records_in(app) >= total * 0.5)
        wait("a checkpoint", lambda: committed(config) >= total * 0.4)
        publish(config, logs, 0.6, 0.8)
        wait("work after a checkpoint", lambda: records_in(app) >= total * 0.7)
        app.kill()
    publish(config, logs, 0.8, 1)
    with service("processors.books", config) as app:
        wait("everything", lambda: published(config) == want)
        assert app.total("marketprism_books_dead_letters_total") == 0
        states = {s: app.total(f"marketprism_books_state_{s}") for s in ("ok", "resyncing", "stale", "crossed")}
        assert sum(states.values()) == SYMBOLS
        assert app.stop() == 0
    assert {key[0] for key in want} == {topic.name for topic in OUTPUTS}


def test_a_book_asked_for_is_answered_from_the_live_object(make_config: MakeConfig, service: ServiceFactory) -> None:
    config = make_config()
    ensure_topics(config)
    log = BookLog(now_ms=int(time.time() * 1000))
    log.connected()
    log.frame(9, 10)
    log.snapshot(10, [(f"{99 - i}.0", "1") for i in range(50)], [("101.0", "1")], limit=1000)
    publish(config, [log], 0, 1)
    ask = topic_name(config.environment.topic_prefix, topics.CONTROL_BOOK_REQUEST)
    with service("processors.books", config) as app:
        wait("the log", lambda: records_in(app) >= len(log.records))
        producer = Producer(producer_settings(config))
        for key, value in ((log.key, b'{"levels":30}'), (log.key, b"{}"), (b"binance.spot.NOSUCH", b"{}")):
            producer.produce(ask, value, key)
        producer.produce(ask, b"no request", log.key)
        assert producer.flush(30) == 0
        wait("replies", lambda: len(read(config, topics.MD_BOOK_REPLY)) == 3)
        wait("a dead letter", lambda: len(read(config, topics.MD_DEAD_LETTER)) == 1)
    by_key: dict[bytes, list[BookSnapshot]] = {}
    for key, value, _ in read(config, topics.MD_BOOK_REPLY):
        record = decode(value)
        assert isinstance(record, BookSnapshot)
        by_key.setdefault(key, []).append(record)
    assert [(r.state, len(r.bids), len(r.asks)) for r in by_key[log.key]] == [("ok", 30, 1), ("ok", 50, 1)]
    assert [(r.state, r.bids) for r in by_key[b"binance.spot.NOSUCH"]] == [("resyncing", [])]
