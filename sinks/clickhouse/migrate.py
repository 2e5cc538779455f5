"""Bring the database to the newest schema: `migrations/*.sql`, applied by the `clickhouse-migrations` library.

Safe at every start and for several processes at once: every statement is `IF NOT EXISTS`, what was applied stands in
`schema_versions`, and replicated engines (which have a Keeper) use the library's lock as well.
"""

from __future__ import annotations

import logging
from pathlib import Path

from clickhouse_driver import Client, errors
from clickhouse_migrations.clickhouse_cluster import ClickhouseCluster
from clickhouse_migrations.exceptions import MigrationException

from marketdata.errors import ConfigError, InvariantError, StoreError
from runtime.config import Config
from sinks.clickhouse.ddl import variables

MIGRATIONS = Path(__file__).parent / "migrations"

log = logging.getLogger("sinks.clickhouse.migrate")


def migrate(config: Config) -> list[int]:
    """Apply what is missing; returns the versions applied. Raises StoreError when ClickHouse is away (try again),
    ConfigError when database and files do not belong together (a person must look)."""
    c = config.clickhouse
    database = config.environment.database
    account = {"port": c.port, "user": c.admin_user, "password": c.admin_password.get_secret_value()}
    values = variables(config)
    try:
        _create_database(Client(c.host, connect_timeout=5, **account), config)
        cluster = ClickhouseCluster(
            db_host=c.host,
            db_port=str(c.port),
            db_user=c.admin_user,
            db_password=c.admin_password.get_secret_value(),
            db_name=database,
            connect_timeout=5,
            migrations_table_engine="MergeTree" if not _replicated(config) else "ReplicatedMergeTree",
        )
        with _quiet():
            applied = cluster.migrate(
                database,
                MIGRATIONS,
                create_db_if_no_exists=False,
                multi_statement=True,
                migration_log_format="compact",
                lock=_replicated(config),
                variables=values,
            )
    except MigrationException as exc:
        raise ConfigError(f"the schema of database {database} cannot be brought up to date: {exc}") from None
    except (errors.Error, OSError, EOFError) as exc:
        if isinstance(exc, errors.ServerException) and exc.code == errors.ErrorCodes.SYNTAX_ERROR:
            raise InvariantError(f"a migration is not valid SQL: {exc.message}") from None
        said = str(exc).split("Stack trace:")[0].strip().replace("\n", " ")
        raise StoreError(f"ClickHouse at {c.host}:{c.port}: {type(exc).__name__}: {said[:500]}") from None
    return [m.version for m in applied]


def _create_database(client: Client, config: Config) -> None:
    env = config.environment
    comment = f"MarketPrism market data, environment {env.name}"
    if env.simulated:
        comment = f"SIMULATED, not from a real exchange. {comment}"
    quoted = comment.replace("\\", "\\\\").replace("'", "\\'")
    try:
        client.execute(f"CREATE DATABASE IF NOT EXISTS `{env.database}` COMMENT '{quoted}'")
    finally:
        client.disconnect()


def _replicated(config: Config) -> bool:
    return config.clickhouse.engine.startswith("Replicated")


class _quiet:  # noqa: N801 (reads as a word in `with`)
    """The library logs every step to the root logger: keep its warnings."""

    def __enter__(self) -> None:
        self._root = logging.getLogger()
        self._root.addFilter(self._filter)

    def __exit__(self, *_: object) -> None:
        self._root.removeFilter(self._filter)

    @staticmethod
    def _filter(record: logging.LogRecord) -> bool:
        return record.levelno >= logging.WARNING
