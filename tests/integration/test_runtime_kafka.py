"""Topics and clients against a real broker, and the example consumer on top of them."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient, ConfigResource, ResourceType

from marketdata import types as t
from marketdata.codec import encoder
from marketdata.errors import ConfigError, StoreError
from marketdata.topics import MD_BOOK, MD_INSTRUMENT, MD_TRADE, TOPICS, topic_name
from runtime.config import Config
from runtime.kafka import consumer_settings, ensure_topics, producer_settings
from tests.api import records as r
from tests.integration.conftest import MakeConfig
from tests.ports import free_ports

ROOT = Path(__file__).resolve().parents[2]
DEADLINE_S = 30.0


def eventually(look: Callable[[], Any], wanted: Any) -> None:
    """What the broker says of a change it accepted lags a moment behind."""
    deadline = time.monotonic() + DEADLINE_S
    while (seen := look()) != wanted:
        assert time.monotonic() < deadline, f"{seen} is not {wanted}"
        time.sleep(0.05)


def settings_of(config: Config, name: str) -> dict[str, str]:
    admin = AdminClient({"bootstrap.servers": config.kafka.bootstrap_servers})
    (future,) = admin.describe_configs([ConfigResource(ResourceType.TOPIC, name)]).values()
    return {k: v.value for k, v in future.result(10).items()}


def with_kafka(config: Config, **fields: Any) -> Config:
    return config.model_copy(update={"kafka": config.kafka.model_copy(update=fields)})


def test_topics_are_made_once_as_the_table_says(make_config: MakeConfig) -> None:
    config = make_config(kafka={"partitions": 3})
    names = {topic_name(config.environment.topic_prefix, topic) for topic in TOPICS}
    assert set(ensure_topics(config)) == names
    admin = AdminClient({"bootstrap.servers": config.kafka.bootstrap_servers})
    partitions = {n: len(m.partitions) for n, m in admin.list_topics(timeout=10).topics.items() if n in names}
    prefix = config.environment.topic_prefix
    assert partitions == {topic_name(prefix, topic): 3 if topic.scale == "keyed" else 1 for topic in TOPICS}
    assert ensure_topics(config) == []
    assert settings_of(config, topic_name(prefix, MD_INSTRUMENT))["cleanup.policy"] == "compact"
    book = settings_of(config, topic_name(prefix, MD_BOOK))
    assert (book["retention.ms"], book["max.message.bytes"]) == (str(24 * 3_600_000), str(1024 * 1024))


def test_services_that_start_together_do_not_disturb_each_other(make_config: MakeConfig) -> None:
    config = make_config()
    with ThreadPoolExecutor(5) as pool:
        made = list(pool.map(lambda _: ensure_topics(config), range(5)))
    assert sum(map(len, made)) == len(TOPICS)


def test_a_changed_disk_bound_reaches_existing_topics(make_config: MakeConfig) -> None:
    config = make_config()
    ensure_topics(config)
    name = topic_name(config.environment.topic_prefix, MD_BOOK)
    ensure_topics(with_kafka(config, retention_bytes_per_partition=40_000_000))

    def bounds() -> tuple[str, str]:
        have = settings_of(config, name)
        return have["retention.bytes"], have["segment.bytes"]

    eventually(bounds, ("40000000", "10000000"))


def test_another_partition_count_is_refused(make_config: MakeConfig) -> None:
    config = make_config()
    ensure_topics(config)
    with pytest.raises(ConfigError, match=r"has 2 partitions, the configuration says 4 \(kafka.partitions\)"):
        ensure_topics(with_kafka(config, partitions=4))


def test_an_absent_broker_is_waited_for(make_config: MakeConfig) -> None:
    (port,) = free_ports(1)
    config = with_kafka(make_config(), bootstrap_servers=f"127.0.0.1:{port}")
    with pytest.raises(StoreError, match=f"127.0.0.1:{port}"):
        ensure_topics(config, timeout_s=0.1)
    stop = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(ensure_topics, config, None, stop)
        assert not waiting.done()
        stop.set()
        assert waiting.result(DEADLINE_S) == []


def publish(config: Config, records: list[t.AnyRecord]) -> None:
    producer = Producer(producer_settings(config))
    for record in records:
        name = topic_name(config.environment.topic_prefix, MD_TRADE)
        producer.produce(name, encoder()(record), key=r.KEY.encode())
    assert producer.flush(DEADLINE_S) == 0


def test_clients_keep_order_and_resume_where_they_committed(make_config: MakeConfig) -> None:
    config = make_config()
    ensure_topics(config)
    publish(config, [r.trade(n) for n in range(100)])

    def read(count: int) -> list[str]:
        consumer = Consumer(consumer_settings(config, "probe", "0"))
        try:
            consumer.subscribe([topic_name(config.environment.topic_prefix, MD_TRADE)])
            got: list[str] = []
            deadline = time.monotonic() + DEADLINE_S
            while len(got) < count:
                assert time.monotonic() < deadline
                message = consumer.poll(0.2)
                if message is not None and message.error() is None:
                    got.append(json.loads(message.value())["trade_id"])
                    consumer.store_offsets(message)
            consumer.commit(asynchronous=False)
            return got
        finally:
            consumer.close()

    assert read(60) == [str(n) for n in range(60)]
    assert read(40) == [str(n) for n in range(60, 100)]


def test_the_example_consumer(make_config: MakeConfig) -> None:
    """Repeats, gaps, fills, resets, merged trades and a type of a later version, through the program as it stands."""
    config = make_config()
    ensure_topics(config)
    beat = t.Heartbeat(**r.WHOSE, event_time_us=r.T0_MS * 1000)
    reset = r.gap(0, 0, reason="sequence_reset", gap_id="trade:reset", epoch=1, missing_count=0)
    publish(
        config,
        [
            r.feed("trade"), *(r.trade(n) for n in range(10)), beat,
            *(r.trade(n) for n in range(5, 10)),  # repeated after a crash
            r.gap(10, 12), r.trade(13), r.trade(11), r.gap(10, 12, filled_count=1),
            r.trade(3, aggregated=True, trade_id="1", first_trade_id="2", last_trade_id="3"),
            reset, r.trade(0), r.trade(1),
            r.kline(0),  # stands for a type this consumer does not know
        ],
    )  # fmt: skip
    numbers = [*range(10), 13, 11, 0, 1]
    value = sum((Decimal(f"{60000 + n}.1") * Decimal("0.001") for n in numbers), Decimal(0))
    wanted = {"key": str(r.KEY), "trades": 14, "repeats": 5, "missing": 2, "connected": True, "value": value}
    # It reads for so long, and on a busy machine needs most of that to join its group.
    assert example_consumer(config, 6) == wanted or example_consumer(config, 60) == wanted


def example_consumer(config: Config, seconds: int) -> dict[str, Any]:
    """What the program said of the one symbol; {} when it had no time to read anything."""
    done = subprocess.run(
        [
            sys.executable, ROOT / "docs/examples/consumer.py", "--bootstrap", config.kafka.bootstrap_servers,
            "--prefix", config.environment.topic_prefix, "--group", f"{config.environment.name}-{seconds}",
            "--seconds", str(seconds), "--schemas", ROOT / "schemas",
        ],
        capture_output=True, text=True, timeout=seconds + 60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    if not done.stdout:
        return {}
    (line,) = done.stdout.splitlines()
    got: dict[str, Any] = json.loads(line)
    return {**got, "value": Decimal(got["value"])}
