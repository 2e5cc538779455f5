"""The servers integration tests run against: the local stack's own, or containers (`TEST_STACK=testcontainers`).

Each server starts when first asked for and lives as long as the test session.
"""

from __future__ import annotations

import contextlib
import os
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from deploy.local import servers
from runtime.config.stores import ClickHouse
from tests.ports import free_ports

JARS_DIR = Path(os.environ.get("MARKETPRISM_LOCAL__JARS_DIR", str(servers.REPO / ".marketprism" / "jars"))).absolute()
PASSWORDS = ("admin-pw", "writer-pw", "reader-pw")
KAFKA_HEAP_MB = 384


class Stack(Protocol):
    """Addresses of ready servers."""

    @property
    def kafka(self) -> str: ...
    @property
    def clickhouse(self) -> ClickHouse: ...
    @property
    def redis(self) -> str: ...
    def close(self) -> None: ...


def clickhouse_address(host: str, port: int, http_port: int) -> ClickHouse:
    admin, writer, reader = PASSWORDS
    return ClickHouse.model_validate(
        {
            "host": host, "port": port, "http_port": http_port, "ttl": False,
            "admin_password": admin, "password": writer, "reader_password": reader,
        }
    )  # fmt: skip


class LocalStack:
    """Kafka, ClickHouse and Valkey from wheels and jars, as `make run` starts them."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self._running = contextlib.ExitStack()
        self.servers: dict[str, servers.Running] = {}

    @cached_property
    def kafka(self) -> str:
        port, controller_port = free_ports(2)
        self._start(servers.kafka(self.data_dir / "kafka", JARS_DIR, port, controller_port, KAFKA_HEAP_MB))
        return f"{servers.HOST}:{port}"

    @cached_property
    def clickhouse(self) -> ClickHouse:
        port, http_port = free_ports(2)
        self._start(servers.clickhouse(self.data_dir / "clickhouse", port, http_port, PASSWORDS))
        return clickhouse_address(servers.HOST, port, http_port)

    @cached_property
    def redis(self) -> str:
        (port,) = free_ports(1)
        self._start(servers.valkey(self.data_dir / "valkey", port))
        return f"redis://{servers.HOST}:{port}/0"

    def _start(self, server: servers.Server) -> None:
        running = servers.Running(server, self.data_dir / "logs" / f"{server.name}.log")
        self._running.enter_context(running)
        self.servers[server.name] = running
        running.wait_ready()

    def close(self) -> None:
        self._running.close()


class ContainerStack:
    """Redpanda, ClickHouse and Redis in Docker."""

    def __init__(self) -> None:
        self._running = contextlib.ExitStack()

    def _run(self, container: Any) -> Any:
        return self._running.enter_context(container)

    @cached_property
    def kafka(self) -> str:
        from testcontainers.community.kafka import RedpandaContainer

        image = "docker.redpanda.com/redpandadata/redpanda:v25.2.1"
        return str(self._run(RedpandaContainer(image)).get_bootstrap_server())

    @cached_property
    def clickhouse(self) -> ClickHouse:
        from clickhouse_driver import Client
        from testcontainers.community.clickhouse import ClickHouseContainer

        container = ClickHouseContainer("clickhouse/clickhouse-server:26.8", username="md_admin", password=PASSWORDS[0])
        container.with_env("CLICKHOUSE_DEFAULT_ACCESS_MANAGEMENT", "1")
        self._run(container)
        host = container.get_container_host_ip()
        port, http_port = int(container.get_exposed_port(9000)), int(container.get_exposed_port(8123))
        admin = Client(host, port=port, user="md_admin", password=PASSWORDS[0])
        admin.execute(f"CREATE USER md_writer IDENTIFIED BY '{PASSWORDS[1]}'")
        admin.execute("GRANT SELECT, INSERT ON md*.* TO md_writer")
        admin.execute(f"CREATE USER md_reader IDENTIFIED BY '{PASSWORDS[2]}' SETTINGS readonly = 2")
        admin.execute("GRANT SELECT ON md*.* TO md_reader")
        admin.disconnect()
        return clickhouse_address(host, port, http_port)

    @cached_property
    def redis(self) -> str:
        from testcontainers.community.redis import RedisContainer

        container = self._run(RedisContainer("redis:8"))
        return f"redis://{container.get_container_host_ip()}:{container.get_exposed_port(6379)}/0"

    def close(self) -> None:
        self._running.close()


def choose(data_dir: Path) -> Stack:
    if os.environ.get("TEST_STACK", "local") == "testcontainers":
        return ContainerStack()
    return LocalStack(data_dir)
