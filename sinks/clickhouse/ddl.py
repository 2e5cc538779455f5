"""The SQL of a table and its view, from their description. `python -m sinks.clickhouse.ddl [NAME...]` prints it.

`NAME+column+column~column` prints what brings a table made earlier up to its description: columns added (+) and those
whose type or comment changed (~), `NAME~` alone what makes its view anew; `~column` does it for that column of all
tables that have it.

The printed statements go into a new file of `migrations/`; files already released are never edited. Placeholders:

    ${engine}      ReplacingMergeTree or ReplicatedReplacingMergeTree
    ${ttl_NAME}    the table's TTL clause, or nothing where old rows must not vanish at INSERT
    ${simulated}   true or false: a column of every view
    ${label}       put before every table's comment: empty for live data
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence

from runtime.config import Config
from sinks.clickhouse.kinds import FLAG
from sinks.clickhouse.table import COORDINATES, Column, Table
from sinks.clickhouse.tables import TABLES

DEDUPLICATION_WINDOW = 1000
"""Inserts remembered per table: a retry of the same bytes is dropped by its token."""

SIMULATED_COMMENT = "True: the data do not come from the real exchange"
VIEW_NOTE = "One row per natural key in its newest version (FINAL)"
LOG_NOTE = "All rows written, repeats and superseded versions included: read the view instead"


def table_sql(table: Table) -> str:
    """CREATE TABLE of the log under a view."""
    lines = [f"    {c.name} {c.kind.stored} {_codec(c)}COMMENT {_quote(c.comment)}" for c in _stored(table)]
    ranges = [c.name for c in table.columns if c.name in ("event_time", "recv_time") and c.name not in table.key[:1]]
    lines += [f"    INDEX {name}_range {name} TYPE minmax GRANULARITY 4" for name in (*ranges, "_offset")]
    version = "_version" if table.version else ""
    settings = [f"non_replicated_deduplication_window = {DEDUPLICATION_WINDOW}"]
    if table.ttl_days:
        settings.append("ttl_only_drop_parts = 1")
    if any(c.kind.stored.startswith("Nullable") for c in table.columns if c.name in table.key):
        settings.append("allow_nullable_key = 1")
    clauses = [
        f"ENGINE = ${{engine}}({version})",
        f"PARTITION BY {table.partition}" if table.partition else "",
        f"PRIMARY KEY ({', '.join(_primary(table))})",
        f"ORDER BY ({', '.join(table.sort_key)})",
        f"${{ttl_{table.name}}}" if table.ttl_days else "",
        f"SETTINGS {', '.join(settings)}",
        f"COMMENT {_quote('${label}' + table.comment + '. ' + LOG_NOTE)}",
    ]
    body = ",\n".join(lines)
    return f"CREATE TABLE IF NOT EXISTS {table.log}\n(\n{body}\n)\n" + "\n".join(filter(None, clauses)) + ";\n"


def upgrade_sql(table: Table, added: Sequence[str], changed: Sequence[str]) -> str:
    """ALTER TABLE for columns that a table made earlier lacks, or has otherwise, and its view anew."""
    columns = _stored(table)
    places = {c.name: i for i, c in enumerate(columns)}
    actions = []
    for name in sorted(added, key=places.__getitem__):
        c = columns[places[name]]
        default = f"DEFAULT {c.default} " if c.default else ""
        before = columns[places[name] - 1].name
        actions.append(
            f"ADD COLUMN IF NOT EXISTS {c.name} {c.kind.stored} {default}{_codec(c)}COMMENT {_quote(c.comment)} "
            f"AFTER {before}"
        )
    for name in sorted(changed, key=places.__getitem__):
        c = columns[places[name]]
        if name in table.sort_key:  # ClickHouse lets nobody touch the type of these
            actions.append(f"COMMENT COLUMN {c.name} {_quote(c.comment)}")
        else:
            actions.append(f"MODIFY COLUMN {c.name} {c.kind.stored} {_codec(c)}COMMENT {_quote(c.comment)}")
    body = ",\n".join(f"    {action}" for action in actions)
    alter = f"ALTER TABLE {table.log}\n{body};\n\n" if actions else ""
    return alter + view_sql(table, "CREATE OR REPLACE VIEW")


def view_sql(table: Table, create: str = "CREATE VIEW IF NOT EXISTS") -> str:
    """CREATE VIEW of what people read."""
    shown = [c for c in _stored(table) if c.name != "_version"]
    lines = [f"    {c.name} {c.kind.stored} COMMENT {_quote(c.comment)}" for c in shown]
    lines.append(f"    simulated {FLAG.stored} COMMENT {_quote(SIMULATED_COMMENT)}")
    selected = ", ".join(c.name for c in shown)
    body = ",\n".join(lines)
    return (
        f"{create} {table.name}\n(\n{body}\n)\n"
        f"AS SELECT {selected}, ${{simulated}} AS simulated\nFROM {table.log} FINAL\n"
        f"COMMENT {_quote('${label}' + table.comment + '. ' + VIEW_NOTE)};\n"
    )


def variables(config: Config) -> dict[str, str]:
    """What the placeholders of the migrations stand for in this environment."""
    simulated = config.environment.simulated
    world = re.sub(r"[^\w. -]", "", config.environment.name)
    values = {
        "engine": config.clickhouse.engine,
        "simulated": "true" if simulated else "false",
        "label": f"SIMULATED ({world}), not from the real exchange. " if simulated else "",
    }
    for table in TABLES:
        if table.ttl_days:
            clause = f"TTL toDateTime({table.ttl_column}) + INTERVAL {table.ttl_days} DAY DELETE"
            values[f"ttl_{table.name}"] = clause if config.clickhouse.ttl else ""
    return values


def insert_sql(table: Table) -> str:
    """The insert: values come as the client sends them and are cast to what is stored."""
    columns = _stored(table)
    names = ", ".join(c.name for c in columns)
    casts = ", ".join(c.kind.cast.format(c.name) for c in columns)
    sent = ", ".join(f"{c.name} {c.kind.sent}" for c in columns).replace("'", "\\'")
    return f"INSERT INTO {table.log} ({names}) SELECT {casts} FROM input('{sent}') FORMAT Native"


def _stored(table: Table) -> tuple[Column, ...]:
    return (*table.columns, *COORDINATES)


def _primary(table: Table) -> Sequence[str]:
    """The sparse index needs only the first few parts of a long key."""
    return table.sort_key[:5]


def _codec(column: Column) -> str:
    return f"CODEC({column.kind.codec}) " if column.kind.codec else ""


def _quote(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def main(names: Sequence[str]) -> None:
    everywhere = [name[1:] for name in names if name[:1] == "~"]
    asked = {name: marks for name, *marks in (re.split(r"(?=[+~])", one) for one in names if one[:1] != "~")}
    for table in TABLES:
        marks = asked.get(table.name)
        if not names or marks == []:
            sys.stdout.write(f"{table_sql(table)}\n{view_sql(table)}\n")
            continue
        columns = {c.name for c in table.columns}
        added = [mark[1:] for mark in marks or () if mark[:1] == "+"]
        changed = [mark[1:] for mark in marks or () if mark[:1] == "~" and mark != "~"]
        changed += [name for name in everywhere if name in columns and name not in changed]
        if added or changed or marks:
            sys.stdout.write(f"{upgrade_sql(table, added, changed)}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
