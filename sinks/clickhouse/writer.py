"""The only file that talks to ClickHouse on behalf of the sink."""

from __future__ import annotations

import logging
import struct
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from clickhouse_driver import Client, errors

from marketdata.errors import BadData, StoreError
from runtime.config import Config
from sinks.clickhouse.ddl import insert_sql
from sinks.clickhouse.rows import REFUSED, Columns
from sinks.clickhouse.table import Table
from sinks.clickhouse.tables import TABLES
from sinks.consumer import Partition

logging.getLogger("clickhouse_driver").setLevel(logging.ERROR)  # it logs each refused connection; we say it once

CONTENT_CODES = frozenset((
    errors.ErrorCodes.CANNOT_PARSE_TEXT,
    errors.ErrorCodes.CANNOT_PARSE_NUMBER,
    errors.ErrorCodes.CANNOT_PARSE_DATETIME,
    errors.ErrorCodes.CANNOT_PARSE_DATE,
    errors.ErrorCodes.ARGUMENT_OUT_OF_BOUND,
    errors.ErrorCodes.VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE,
    407,  # DECIMAL_OVERFLOW
    errors.ErrorCodes.CANNOT_CONVERT_TYPE,
    errors.ErrorCodes.TYPE_MISMATCH,
    errors.ErrorCodes.INCORRECT_DATA,
    errors.ErrorCodes.TOO_LARGE_STRING_SIZE,
    errors.ErrorCodes.TOO_LARGE_ARRAY_SIZE,
    469,  # VIOLATED_CONSTRAINT
    errors.ErrorCodes.CANNOT_INSERT_NULL_IN_ORDINARY_COLUMN,
))  # fmt: skip
"""Errors about the values sent. Every other error is the server's and is retried until it passes."""


class Refused(BadData):
    """ClickHouse does not take these rows, whatever we do: at least one of them is to blame."""

    def __init__(self, detail: str) -> None:
        super().__init__(REFUSED, detail)


class Writer:
    """One connection, made when needed and thrown away after any error."""

    def __init__(self, config: Config) -> None:
        c = config.clickhouse
        self._database = config.environment.database
        self._where = f"{c.host}:{c.port}"
        self._options = {
            "host": c.host,
            "port": c.port,
            "user": c.user,
            "password": c.password.get_secret_value(),
            "database": self._database,
            "connect_timeout": 5,
            "send_receive_timeout": config.sinks.clickhouse.insert_timeout_s,
            "client_name": "marketprism-sink",
        }
        self._sql = {table.name: insert_sql(table) for table in TABLES}
        self._client: Client | None = None

    def insert(self, table: Table, columns: Columns, token: str) -> None:
        """Write rows and wait for the acknowledgement. `token` names exactly these bytes: a repeat is dropped by it.

        Raises Refused when a value is to blame, StoreError for everything that may pass.
        """
        settings = {
            # one acknowledgement = one part, under our own token; since 26.3 the server's default is 1
            "async_insert": 0,
            "insert_deduplication_token": token,
            # a backlog of many days is one insert with many partitions
            "max_partitions_per_insert_block": 0,
        }
        self._run(self._sql[table.name], columns, settings=settings, columnar=True)

    def beyond(self, table: Table, ends: Mapping[Partition, int]) -> dict[Partition, int]:
        """The highest offset of each partition of which the table holds rows at or beyond its end.

        Cheap: the minmax index of `_offset` skips what is below. Raises StoreError.
        """
        if not ends:
            return {}
        params: dict[str, object] = {}
        conditions = []
        for i, ((topic, partition), end) in enumerate(ends.items()):
            params |= {f"t{i}": topic, f"p{i}": partition, f"o{i}": end}
            conditions.append(f"(_topic = %(t{i})s AND _partition = %(p{i})s AND _offset >= %(o{i})s)")
        sql = (
            f"SELECT _topic, _partition, max(_offset) FROM {table.log} "
            f"WHERE {' OR '.join(conditions)} GROUP BY _topic, _partition"
        )
        return {(topic, partition): highest for topic, partition, highest in self._run(sql, params)}

    def close(self) -> None:
        if self._client is not None:
            self._client.disconnect()
            self._client = None

    def _run(self, sql: str, params: object, **options: object) -> list[tuple[Any, ...]]:
        client = self._client or Client(**self._options)
        self._client = None
        try:
            result = client.execute(sql, params, **options)
        except errors.ServerException as exc:
            client.disconnect()
            said = _first_line(exc.message)
            if exc.code in CONTENT_CODES:
                raise Refused(f"ClickHouse error {exc.code}: {said}") from None
            raise StoreError(f"ClickHouse at {self._where}: error {exc.code}: {said}") from None
        except (errors.TypeMismatchError, struct.error, OverflowError, UnicodeError) as exc:
            client.disconnect()
            raise Refused(f"the client cannot encode it: {exc}") from None
        except (errors.Error, OSError, EOFError) as exc:
            client.disconnect()
            raise StoreError(f"ClickHouse at {self._where}: {type(exc).__name__}: {_first_line(str(exc))}") from None
        except BaseException:
            client.disconnect()
            raise
        self._client = client
        return result if isinstance(result, list) else []


def new_token() -> str:
    """A name for the bytes of one insert. Random: after a restart the same offsets may stand for other bytes."""
    return uuid4().hex


def _first_line(text: str) -> str:
    return text.split("Stack trace:")[0].strip().replace("\n", " ")[:500]
