"""Fixtures of the integration tests: real servers, an environment for each test, services as subprocesses.

kafka_bootstrap, clickhouse, redis_url   addresses; the server starts when first asked for (once per session)
make_config(**sections)                  a Config with an environment of its own in those servers
service(module, config)                  context manager: `python -m module` with that config
"""

from __future__ import annotations

import contextlib
import itertools
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from deploy.local import config_file
from marketdata.topics import TOPICS, topic_name
from runtime.config import Config
from runtime.config.stores import ClickHouse
from tests.integration import stack as stacks
from tests.integration.services import Service

MakeConfig = Callable[..., Config]
ServiceFactory = Callable[..., contextlib.AbstractContextManager[Service]]


LONGEST = ("test_kill_everything.py", "test_venues.py", "test_trade_processors.py", "test_clickhouse_sink.py")
"""Begun first, so that two workers end at about the same time."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.integration)
    items.sort(key=lambda item: LONGEST.index(item.path.name) if item.path.name in LONGEST else len(LONGEST))


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[stacks.Stack]:
    chosen = stacks.choose(tmp_path_factory.mktemp("stack"))
    yield chosen
    chosen.close()


@pytest.fixture(scope="session")
def kafka_bootstrap(stack: stacks.Stack) -> str:
    """host:port of a ready broker."""
    return stack.kafka


@pytest.fixture(scope="session")
def clickhouse(stack: stacks.Stack) -> ClickHouse:
    """The configuration section of a ready server: host, both ports, users and passwords."""
    return stack.clickhouse


@pytest.fixture(scope="session")
def redis_url(stack: stacks.Stack) -> str:
    """The URL of a ready Redis (Valkey)."""
    return stack.redis


@pytest.fixture
def make_config(kafka_bootstrap: str, clickhouse: ClickHouse, redis_url: str, tmp_path: Path) -> Iterator[MakeConfig]:
    """Config(**sections) in an environment of its own; its topics and database are removed after the test."""
    yield from environments(kafka_bootstrap, clickhouse, redis_url, tmp_path)


@pytest.fixture(scope="module")
def module_config(
    kafka_bootstrap: str, clickhouse: ClickHouse, redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[MakeConfig]:
    """The same, for all tests of a module together."""
    yield from environments(kafka_bootstrap, clickhouse, redis_url, tmp_path_factory.mktemp("module"))


def environments(kafka_bootstrap: str, clickhouse: ClickHouse, redis_url: str, tmp_path: Path) -> Iterator[MakeConfig]:
    """See `make_config`. Nobody starts a processor again that ends itself, so the machine may be slow for longer than
    a supervised one's: tests of that have limits of their own."""
    made: list[Config] = []

    def make(**sections: Any) -> Config:
        name = "t" + secrets.token_hex(4)
        base: dict[str, Any] = {
            "environment": {
                "name": name,
                "topic_prefix": f"{name}.",
                "database": f"md_{name}",
                "redis_prefix": f"{name}:",
                "simulated": True,
            },
            "kafka": {"bootstrap_servers": kafka_bootstrap, "session_timeout_ms": 20_000},
            "clickhouse": dict(clickhouse),
            "redis": {"url": redis_url},
            "ingest": {"spill_dir": str(tmp_path / name / "spill")},
            "processors": {"state_dir": str(tmp_path / name / "state"), "watchdog_timeout_s": 120},
            "simulator": {"state_dir": str(tmp_path / name / "simulator")},
        }
        config = Config.model_validate(_merged(base, sections))
        made.append(config)
        return config

    yield make
    for config in made:
        _remove(config)


@pytest.fixture
def service(tmp_path: Path) -> Iterator[ServiceFactory]:
    """`with service("processors.books", config) as books:` starts it; whatever still runs is killed at the end."""
    yield from services(tmp_path)


@pytest.fixture(scope="module")
def module_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceFactory]:
    """The same, for all tests of a module together."""
    yield from services(tmp_path_factory.mktemp("services"))


def services(tmp_path: Path) -> Iterator[ServiceFactory]:
    """See `service`."""
    started: list[Service] = []
    numbers = itertools.count()

    @contextlib.contextmanager
    def run(module: str, config: Config, **env: str) -> Iterator[Service]:
        number = next(numbers)
        file = config_file.write(config, tmp_path / f"{number}-{module}.yaml")
        running = Service(module, file, tmp_path / f"{number}-{module}.log", env)
        started.append(running)
        try:
            yield running
        finally:
            running.kill()

    yield run
    for running in started:
        running.kill()


def _merged(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    out = dict(base)
    for key, value in over.items():
        below = out.get(key)
        out[key] = _merged(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return out


def _remove(config: Config) -> None:
    """The broker of a long session must not carry the partitions of every test that was."""
    from clickhouse_driver import Client
    from confluent_kafka.admin import AdminClient

    prefix = config.environment.topic_prefix
    admin = AdminClient({"bootstrap.servers": config.kafka.bootstrap_servers, "log_level": 0})
    have = set(admin.list_topics(timeout=30).topics)
    mine = sorted({n for n in have if n.startswith(prefix) or n.startswith(f"changelog__{prefix}")})
    assert not prefix or all(topic_name(prefix, t) in mine for t in TOPICS if topic_name(prefix, t) in have)
    if mine:
        for future in admin.delete_topics(mine, operation_timeout=10).values():
            with contextlib.suppress(Exception):
                future.result(10)
    ch = config.clickhouse
    client = Client(ch.host, port=ch.port, user=ch.admin_user, password=ch.admin_password.get_secret_value())
    try:
        client.execute(f"DROP DATABASE IF EXISTS {config.environment.database}")
    finally:
        client.disconnect()
