"""The fixtures themselves: every server answers, every user may do what it is for and no more."""

from __future__ import annotations

import urllib.request
from pathlib import Path

import pytest
from clickhouse_driver import Client
from clickhouse_driver.errors import ServerException
from redis import Redis

from deploy.local import config_file
from runtime.config import load
from runtime.config.stores import ClickHouse
from runtime.kafka import ensure_topics
from tests.integration.conftest import MakeConfig, ServiceFactory


def connect(ch: ClickHouse, user: str, password: str) -> Client:
    return Client(ch.host, port=ch.port, user=user, password=password)


def test_redis_answers(redis_url: str) -> None:
    with Redis.from_url(redis_url) as client:
        assert client.ping()


def test_clickhouse_users(clickhouse: ClickHouse, make_config: MakeConfig) -> None:
    database = make_config().environment.database
    admin = connect(clickhouse, "md_admin", clickhouse.admin_password.get_secret_value())
    writer = connect(clickhouse, "md_writer", clickhouse.password.get_secret_value())
    reader = connect(clickhouse, "md_reader", clickhouse.reader_password.get_secret_value())
    admin.execute(f"CREATE DATABASE {database}")
    admin.execute(f"CREATE TABLE {database}.x (n UInt64) ENGINE = ReplacingMergeTree ORDER BY n")
    writer.execute(f"INSERT INTO {database}.x VALUES", [(7,)])
    assert reader.execute(f"SELECT n FROM {database}.x FINAL") == [(7,)]
    for refused, query in (
        (reader, f"INSERT INTO {database}.x SELECT 1"),
        (writer, f"DROP TABLE {database}.x"),
        (writer, "CREATE DATABASE md_other"),
    ):
        with pytest.raises(ServerException):
            refused.execute(query)
    for client in (admin, writer, reader):
        client.disconnect()
    with urllib.request.urlopen(f"http://{clickhouse.host}:{clickhouse.http_port}/ping") as answer:
        assert answer.read() == b"Ok.\n"


def test_environments_are_apart(make_config: MakeConfig) -> None:
    one, two = make_config(), make_config(processors={"commit_interval_s": 1})
    assert one.environment.topic_prefix != two.environment.topic_prefix
    assert two.processors.commit_interval_s == 1
    made = ensure_topics(one)
    assert made
    assert ensure_topics(one) == []
    assert not set(made) & set(ensure_topics(two))


def test_a_service_starts_and_stops(make_config: MakeConfig, service: ServiceFactory) -> None:
    with service("tests.integration.idle_service", make_config()) as idle:
        idle.wait_ready()
        assert idle.total("process_start_time_seconds") > 0
        assert idle.stop() == 0


def test_a_config_survives_the_file(make_config: MakeConfig, tmp_path: Path) -> None:
    config = make_config()
    path = config_file.write(config, tmp_path / "config.yaml")
    assert load(path, env={}) == config
    assert path.stat().st_mode & 0o077 == 0
