"""The guard's two ways to bound the disk, on real servers."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from clickhouse_driver import Client
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic, ResourceType

from deploy.local import disk, guard
from runtime.config import Config
from tests.integration.conftest import MakeConfig


@pytest.fixture
def admin(make_config: MakeConfig) -> tuple[Config, Client]:
    config = make_config()
    ch = config.clickhouse
    client = Client(ch.host, port=ch.port, user=ch.admin_user, password=ch.admin_password.get_secret_value())
    client.execute(f"CREATE DATABASE {config.environment.database}")
    client.execute(
        f"CREATE TABLE {config.environment.database}.x (recv_time DateTime64(9, 'UTC'), _offset UInt64) "
        f"ENGINE = ReplacingMergeTree PARTITION BY toYYYYMM(recv_time) ORDER BY _offset"
    )
    return config, client


def days(client: Client, table: str) -> list[str]:
    return [day for (day,) in client.execute(f"SELECT toString(toDate(recv_time)) FROM {table} ORDER BY recv_time")]


def test_the_oldest_partition_goes_whole_and_the_last_one_by_half(admin: tuple[Config, Client]) -> None:
    config, client = admin
    database = config.environment.database
    client.execute(
        f"INSERT INTO {database}.x VALUES ('2026-01-05 00:00:00', 1), ('2026-02-01 00:00:00', 2), "
        f"('2026-02-02 00:00:00', 3), ('2026-02-03 00:00:00', 4), ('2026-02-04 00:00:00', 5)"
    )
    guard.drop(client, disk.Cut(disk.TablePart(database, "x", "202601", 1), whole=True))
    assert days(client, f"{database}.x") == ["2026-02-01", "2026-02-02", "2026-02-03", "2026-02-04"]
    guard.drop(client, disk.Cut(disk.TablePart(database, "x", "202602", 1), whole=False))
    left = days(client, f"{database}.x")
    assert left[-1] == "2026-02-04"
    assert 1 <= len(left) <= 3
    client.disconnect()


def test_a_topic_that_is_too_large_keeps_less(make_config: MakeConfig, stack: object, tmp_path: Path) -> None:
    data_dir = getattr(stack, "data_dir", None)
    if data_dir is None:
        pytest.skip("the broker's files are in a container")
    config = make_config(local={"data_dir": str(data_dir), "disk_bytes_max": 2 * 1024**3})
    topic = config.environment.topic_prefix + "large"
    kafka = AdminClient({"bootstrap.servers": config.kafka.bootstrap_servers})
    settings = {"segment.bytes": str(1024 * 1024), "retention.bytes": "-1"}
    kafka.create_topics([NewTopic(topic, 1, 1, config=settings)])[topic].result(30)
    producer = Producer({"bootstrap.servers": config.kafka.bootstrap_servers, "linger.ms": 50})
    for _ in range(200):
        producer.produce(topic, b"x" * 100_000)
    assert producer.flush(30) == 0
    (tmp_path / "run.json").write_text(
        json.dumps({"metrics_ports": {}, "supervisor_port": 1, "supervisor_password": ""})
    )
    watched = guard.Guard(config, tmp_path)
    before = disk.kafka_partitions(data_dir / "kafka" / "log")[topic, 0]
    assert before > 15_000_000
    watched._bound_kafka(5_000_000)
    resource = ConfigResource(ResourceType.TOPIC, topic)
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline:
        described = kafka.describe_configs([resource])[resource].result(10)
        if disk.kafka_partitions(data_dir / "kafka" / "log")[topic, 0] < 8_000_000:
            break
        time.sleep(0.5)
    assert 0 < int(described["retention.bytes"].value) <= 5_000_000
    assert disk.kafka_partitions(data_dir / "kafka" / "log")[topic, 0] < 8_000_000
