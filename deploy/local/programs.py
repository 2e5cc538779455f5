"""What the local stack runs, in which order it stops, and how supervisord is told.

Stopping goes from the last group to the first, one after the other: the exchange first, so that ingest takes all it
sent; then ingest; then those who read; the servers last.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

GROUPS = ("servers", "guard", "pipeline", "ingest", "simulator")
"""From the first started to the last; stopped in the opposite order."""
LOG_BYTES_MAX = 5 * 1024 * 1024
LOG_BACKUPS = 1
STOP_WAIT_S = {"servers": 30, "guard": 5, "pipeline": 30, "ingest": 20, "simulator": 10}


@dataclass(frozen=True)
class Program:
    """One supervised process. `module` is None for the servers, whose command lines are in `servers.py`."""

    name: str
    group: str
    module: str | None = None


PROGRAMS: tuple[Program, ...] = (
    Program("kafka", "servers"),
    Program("clickhouse", "servers"),
    Program("valkey", "servers"),
    Program("guard", "guard", "deploy.local.guard"),
    Program("normalise", "pipeline", "processors.normalise"),
    Program("books", "pipeline", "processors.books"),
    Program("klines", "pipeline", "processors.klines"),
    Program("reconcile", "pipeline", "processors.reconcile"),
    Program("arbitrage", "pipeline", "processors.arbitrage"),
    Program("clickhouse-sink", "pipeline", "sinks.clickhouse"),
    Program("redis-sink", "pipeline", "sinks.redis"),
    Program("api", "pipeline", "api"),
    Program("ingest", "ingest", "ingest"),
    Program("simulator", "simulator", "simulator"),
)
SERVICES = tuple(p for p in PROGRAMS if p.module)


HEAD = """\
[supervisord]
nodaemon=true
silent=true
nocleanup=true
logfile=logs/supervisord.log
logfile_maxbytes={log_bytes}
logfile_backups={log_backups}
pidfile=run/supervisord.pid
identifier=marketprism

[inet_http_server]
port=127.0.0.1:{port}
username=local
password={password}

[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface
"""

GROUP = """
[group:{group}]
programs={programs}
priority={priority}
"""

# startsecs=0: a process that dies at once counts as exited, and the next tick starts it again, for ever. With any other
# value it would be given up after `startretries`, or be started again ever more slowly.
PROGRAM = """
[program:{name}]
command={python} -m deploy.local.child {name}
autostart={autostart}
autorestart=true
startsecs=0
startretries=1000000000
stopsignal=TERM
stopwaitsecs={stop_wait}
killasgroup=true
redirect_stderr=true
stdout_logfile=logs/{name}.log
stdout_logfile_maxbytes={log_bytes}
stdout_logfile_backups={log_backups}
"""


def supervisor_config(programs: Iterable[Program], port: int, password: str, python: str | None = None) -> str:
    """supervisord's configuration. It holds no path of ours: that format has its own ideas about blanks, `;`, `#` and
    `%`. Files are relative to the data folder, supervisord's working directory; `python` is found on PATH; `child`
    finds the rest."""
    chosen = list(programs)
    out = [HEAD.format(port=port, password=password, log_bytes=LOG_BYTES_MAX, log_backups=LOG_BACKUPS)]
    for priority, group in enumerate(GROUPS, start=1):
        names = [p.name for p in chosen if p.group == group]
        if names:
            out.append(GROUP.format(group=group, programs=",".join(names), priority=priority))
    out.extend(
        PROGRAM.format(
            name=p.name,
            python=python or Path(sys.executable).name,
            autostart="true" if p.group == "servers" else "false",
            stop_wait=STOP_WAIT_S[p.group],
            log_bytes=LOG_BYTES_MAX,
            log_backups=LOG_BACKUPS,
        )
        for p in chosen
    )
    return "".join(out)
