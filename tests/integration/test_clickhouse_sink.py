"""`python -m sinks.clickhouse` as a process: crashes, outages, poison, a foreign log."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from clickhouse_driver import Client
from clickhouse_driver.errors import Error
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from deploy.local import servers
from marketdata.codec import encoder
from runtime.config import Config
from runtime.kafka import ensure_topics, new_topic, producer_settings
from sinks.clickhouse import tables
from sinks.clickhouse.__main__ import GROUP
from sinks.clickhouse.market_tables import TRADES
from sinks.clickhouse.rows import identity
from tests.integration.conftest import MakeConfig, ServiceFactory
from tests.integration.services import Service
from tests.integration.stack import PASSWORDS, clickhouse_address
from tests.ports import free_ports
from tests.sinks import samples

MODULE = "sinks.clickhouse"
encode = encoder()


def until(check: Callable[[], Any], timeout_s: float = 120.0) -> Any:
    """The first truthy answer; an error of a server that is away counts as none."""
    deadline = time.monotonic() + timeout_s
    said: object = None
    while time.monotonic() < deadline:
        try:
            said = check()
        except (Error, OSError, EOFError) as exc:
            said = exc
        else:
            if said:
                return said
        time.sleep(0.05)
    raise AssertionError(f"not within {timeout_s:.0f} s, last: {said!r}")


@contextmanager
def database(config: Config) -> Iterator[Client]:
    ch = config.clickhouse
    password = ch.admin_password.get_secret_value()
    with Client(
        ch.host, port=ch.port, user=ch.admin_user, password=password, database=config.environment.database
    ) as client:
        yield client


def count(config: Config, what: str) -> int:
    with database(config) as client:
        return int(client.execute(f"SELECT count() FROM {what}")[0][0])


def produce(config: Config, records: Iterable[tuple[str, Any]]) -> None:
    """Records (or raw bytes) as the processors publish them: keyed by symbol."""
    producer = Producer(producer_settings(config))
    for topic, record in records:
        key = f"binance.spot.{getattr(record, 'symbol', 'BTCUSDT')}"
        value = record if isinstance(record, bytes) else encode(record)
        producer.produce(config.environment.topic_prefix + topic, value, key)
        producer.poll(0)
    assert producer.flush(30) == 0


def committed(config: Config, topic: str) -> dict[int, int]:
    prefix = config.environment.topic_prefix
    consumer = Consumer({"bootstrap.servers": config.kafka.bootstrap_servers, "group.id": prefix + GROUP})
    try:
        asked = [TopicPartition(prefix + topic, p) for p in range(config.kafka.partitions)]
        return {tp.partition: max(0, tp.offset) for tp in consumer.committed(asked, timeout=10)}
    finally:
        consumer.close()


def market(symbols: int, numbers: range) -> Iterator[tuple[str, Any]]:
    for number in numbers:
        whose = {"symbol": f"COIN{number % symbols}USDT"}
        yield "md.trade", samples.trade(number, **whose)
        yield "md.bbo", samples.bbo(number, **whose)
        yield "md.kline", samples.kline(number // 100, trade_count=number, **whose)


def expected_keys(records: Iterable[tuple[str, Any]]) -> dict[str, set[Any]]:
    out: dict[str, set[Any]] = {}
    for topic, record in records:
        table = tables.TABLE_OF[topic, type(record)]
        out.setdefault(table.name, set()).add(identity(table, record))
    return out


def test_every_kind_arrives_and_sigterm_writes_what_is_held(make_config: MakeConfig, service: ServiceFactory) -> None:
    config = make_config(sinks={"clickhouse": {"flush_interval_s": 600}})
    ensure_topics(config)
    beat, status = samples.heartbeat(), samples.feed_status()
    copies = [("md.trade", samples.gap()), ("md.bbo", beat), ("md.bbo", status)]
    records = [*samples.every_kind(), *copies, ("md.trade", samples.trade(1))]
    produce(config, records)
    with service(MODULE, config) as sink:
        sink.wait_ready()
        until(lambda: sink.total("marketprism_clickhouse_buffered_records") == len(records))
        assert count(config, "trades") == 0
        assert sink.stop() == 0
    for topic, record in samples.every_kind():
        table = tables.TABLE_OF[topic, type(record)]
        assert count(config, table.name) == (2 if table.name == "trades" else 1), table.name
    assert sum(committed(config, "md.trade").values()) == 4


def test_killed_between_insert_and_commit_nothing_is_lost_or_doubled(
    make_config: MakeConfig, service: ServiceFactory
) -> None:
    config = make_config(sinks={"clickhouse": {"flush_interval_s": 0.05, "batch_rows_max": 700}})
    ensure_topics(config)
    ambiguous = 0
    done = 0
    for round_ in range(30):
        numbers = range(done, done + 2_000)
        done = numbers.stop
        produce(config, market(7, numbers))
        with service(MODULE, config) as sink:
            kill_at_an_insert(sink, config, count(config, "trades_log") if round_ else 0)
        with database(config) as client:
            sql = "SELECT _partition, max(_offset) + 1 FROM trades_log GROUP BY _partition"
            written = dict(client.execute(sql))
        offsets = committed(config, "md.trade")
        assert all(offset <= written.get(p, 0) for p, offset in offsets.items()), "committed before it was written"
        ambiguous += written != offsets
        if ambiguous and round_ >= 2:
            break
    assert ambiguous, "no kill came between insert and commit"
    with service(MODULE, config) as sink:
        expected = expected_keys(market(7, range(done)))
        until(lambda: count(config, "trades") >= done and count(config, "quotes") >= done)
        sink.wait_ready()
        until(lambda: sum(committed(config, "md.kline").values()) == done)
        assert sink.stop() == 0
    for name, keys in expected.items():
        assert count(config, name) == len(keys), name
    with database(config) as client:
        assert client.execute("SELECT max(trade_count) FROM klines") == [(done - 1,)]


def kill_at_an_insert(sink: Service, config: Config, rows: int) -> None:
    """As soon as there are more rows of trades than that: they are not committed yet, if only this looks often."""
    until(lambda: count(config, "trades_log") >= rows)
    with database(config) as client:
        deadline = time.monotonic() + 120
        while client.execute("SELECT count() FROM trades_log")[0][0] <= rows:
            assert time.monotonic() < deadline, "no trade was written"
        sink.kill()


def test_duplicates_and_late_records_change_nothing(make_config: MakeConfig, service: ServiceFactory) -> None:
    config = make_config(sinks={"clickhouse": {"flush_interval_s": 0.1}})
    ensure_topics(config)
    records = list(market(3, range(300)))
    final = ("md.kline", samples.kline(9, close="7", symbol="LATEUSDT"))
    provisional = ("md.kline", samples.kline(9, close="8", symbol="LATEUSDT", is_closed=False))
    with service(MODULE, config) as sink:
        produce(config, [*records, final])
        until(lambda: count(config, "trades") == 300)
        produce(config, [*reversed(records), provisional])
        until(lambda: sum(committed(config, "md.kline").values()) == 602)
        assert sink.stop() == 0
    assert count(config, "trades") == count(config, "quotes") == 300
    with database(config) as client:
        assert client.execute("SELECT toString(close), is_closed FROM klines WHERE symbol = 'LATEUSDT'") == [
            ("7", True)
        ]


def test_poison_is_set_aside_and_everything_else_goes_on(make_config: MakeConfig, service: ServiceFactory) -> None:
    config = make_config(sinks={"clickhouse": {"flush_interval_s": 0.2}})
    ensure_topics(config)
    prefix = config.environment.topic_prefix
    with service(MODULE, config) as sink:
        sink.wait_ready()
        with database(config) as client:
            client.execute("ALTER TABLE trades_log ADD CONSTRAINT sane CHECK price < 1000000")
        poison = {
            10: ("md.trade", b"not json"),
            20: ("md.trade", samples.trade(20, price="0.1234567890123456789")),
            30: ("md.trade", samples.trade(30, price="2000000")),  # the server itself refuses it
            40: ("md.bbo", samples.bbo(40, bid_quantity="1" * 25)),
            50: ("md.dead_letter", b"{}"),  # must not go round for ever
        }
        produce(config, (poison.get(n, ("md.trade", samples.trade(n))) for n in range(100)))
        until(lambda: count(config, "trades") == 95 and count(config, "dead_letters") == 4)
        with database(config) as client:
            found = client.execute("SELECT reason, raw_topic, payload FROM dead_letters ORDER BY reason, raw_topic")
        assert [(reason, topic) for reason, topic, _ in found] == [
            ("decimal_range", "md.bbo"),
            ("decimal_range", "md.trade"),
            ("refused_by_store", "md.trade"),
            ("unparsable", "md.trade"),
        ]
        assert json.loads(found[2][2])["trade_id"] == "30"
        assert sink.metrics()['marketprism_clickhouse_dead_letters_total{reason="refused_by_store"}'] == 1
        assert sink.stop() == 0
    assert sum(committed(config, "md.trade").values()) == 98, prefix


def test_clickhouse_killed_and_back(make_config: MakeConfig, service: ServiceFactory, tmp_path: Path) -> None:
    """Longer than a session timeout: reading stops, the membership stays, and everything arrives afterwards."""
    port, http_port = free_ports(2)
    server = servers.clickhouse(tmp_path / "clickhouse", port, http_port, PASSWORDS)
    address = clickhouse_address(servers.HOST, port, http_port)
    config = make_config(
        kafka={"session_timeout_ms": 3000}, sinks={"clickhouse": {"flush_interval_s": 0.1, "batch_rows_max": 500}}
    ).model_copy(update={"clickhouse": address})
    ensure_topics(config)
    with service(MODULE, config) as sink:
        with servers.Running(server, tmp_path / "clickhouse-1.log") as running:
            running.wait_ready()
            produce(config, market(5, range(1_000)))
            until(lambda: count(config, "trades") == 1_000)
            running.process.kill()
            running.process.wait()
        produce(config, market(5, range(1_000, 4_000)))
        until(lambda: "ClickHouse" in sink.get("/readyz")[1])
        until(lambda: sink.total("marketprism_clickhouse_retries_total") >= 4)
        assert sink.get("/livez")[0] == 200
        buffered = sink.total("marketprism_clickhouse_buffered_records")
        assert buffered <= 500 + 2_000
        with servers.Running(server, tmp_path / "clickhouse-2.log") as running:
            running.wait_ready()
            until(lambda: count(config, "trades") == count(config, "quotes") == 4_000)
            until(lambda: sink.get("/readyz")[0] == 200)
            until(lambda: sum(committed(config, "md.bbo").values()) == 4_000)
            assert sink.stop() == 0
            assert "Kafka ended our membership" not in sink.log.read_text()


def test_a_new_kafka_under_old_tables_stops_the_sink(make_config: MakeConfig, service: ServiceFactory) -> None:
    config = make_config(sinks={"clickhouse": {"flush_interval_s": 0.1}})
    ensure_topics(config)
    produce(config, market(3, range(200)))
    with service(MODULE, config) as sink:
        until(lambda: count(config, "trades") == 200)
        until(lambda: sum(committed(config, "md.trade").values()) == 200)
        assert sink.stop() == 0
    admin = AdminClient({"bootstrap.servers": config.kafka.bootstrap_servers})
    topic = new_topic(config, TRADES.topic)
    for future in admin.delete_topics([topic.topic], operation_timeout=20).values():
        future.result(20)
    until(lambda: topic.topic not in admin.list_topics(timeout=10).topics)
    for future in admin.create_topics([topic]).values():
        future.result(20)
    produce(config, market(3, range(10)))
    with service(MODULE, config) as sink:
        assert sink.process.wait(120) == 3
        assert "ForeignLogError" in sink.tail()
        assert "trades_log" in sink.tail()
    assert count(config, "trades") == 200


@pytest.mark.parametrize("ttl", [True, False])
def test_rows_older_than_the_ttl_are_reported(make_config: MakeConfig, service: ServiceFactory, ttl: bool) -> None:
    config = make_config(clickhouse={"ttl": ttl}, sinks={"clickhouse": {"flush_interval_s": 0.1}})
    ensure_topics(config)
    produce(config, [("md.trade", samples.trade(n, trade_time_us=1_500_000_000_000_000 + n)) for n in range(5)])
    with service(MODULE, config) as sink:
        until(lambda: sum(committed(config, "md.trade").values()) == 5)
        assert sink.total("marketprism_clickhouse_expired_rows_total") == (5 if ttl else 0)
        assert sink.stop() == 0
