"""The files of one run: what the services, supervisord, `make status` and other tools read."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy.local import config_file, programs, servers
from deploy.local.resolve import Plan

ENDPOINTS = "endpoints.json"


@dataclass(frozen=True)
class RunFiles:
    run_dir: Path
    logs_dir: Path
    supervisor_config: Path
    supervisor_password: str
    env: dict[str, str]
    """supervisord's environment, which all it starts inherit."""


def write(plan: Plan) -> RunFiles:
    """Everything but the addresses, which are for others and come when all is ready."""
    run_dir, logs_dir = plan.data_dir / "run", plan.data_dir / "logs"
    shutil.rmtree(run_dir, ignore_errors=True)
    (run_dir / "starts").mkdir(parents=True, mode=0o700)
    logs_dir.mkdir(exist_ok=True)
    password = secrets.token_hex(16)
    config = config_file.write(plan.config, run_dir / "config.yaml")
    _write_json(run_dir / "programs.json", _programs(plan))
    known = {
        "supervisor_port": plan.supervisor_port,
        "supervisor_password": password,
        "metrics_ports": {p.name: plan.metrics_ports[p.name] for p in plan.services},
    }
    _write_json(run_dir / "run.json", known)
    wanted = [p for p in programs.PROGRAMS if p.module is None or p in plan.services]
    conf = run_dir / "supervisord.conf"
    conf.touch(mode=0o600)
    conf.write_text(programs.supervisor_config(wanted, plan.supervisor_port, password), encoding="utf-8")
    return RunFiles(run_dir, logs_dir, conf, password, _env(run_dir, config))


def _env(run_dir: Path, config: Path) -> dict[str, str]:
    """Overrides are already part of the written configuration: none may be applied twice."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("MARKETPRISM_", "MAKE"))}
    return {
        **inherited,
        "PATH": os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath))),
        "PYTHONPATH": str(servers.REPO),
        "PYTHONUNBUFFERED": "1",
        "MALLOC_ARENA_MAX": "2",
        "MARKETPRISM_CONFIG": str(config),
        "MP_RUN": str(run_dir),
        "MP_PROGRAMS": str(run_dir / "programs.json"),
        "MP_RUNNER_PID": str(os.getpid()),
    }


def _programs(plan: Plan) -> dict[str, dict[str, Any]]:
    """What `child` reads: the arguments and the environment of each program."""
    found: dict[str, dict[str, Any]] = {s.name: {"argv": list(s.argv), "env": s.env} for s in plan.servers()}
    for program in plan.services:
        env = {"MARKETPRISM_METRICS_PORT": str(plan.metrics_ports[program.name])}
        found[program.name] = {"argv": ["-m", program.module], "env": env}
    return found


def endpoints(plan: Plan) -> dict[str, Any]:
    """Every address of the running stack."""
    config, env, ch = plan.config, plan.config.environment, plan.config.clickhouse
    api = f"http://{config.api.host}:{config.api.port}"
    reader = f"{ch.reader_user}:{ch.reader_password.get_secret_value()}@{ch.host}"
    found: dict[str, Any] = {
        "environment": env.model_dump(),
        "api": {"url": api, "docs": f"{api}/docs", "health": f"{api}/health"},
        "kafka": {"bootstrap_servers": config.kafka.bootstrap_servers, "topic_prefix": env.topic_prefix},
        "clickhouse": {
            "native": f"clickhouse://{reader}:{ch.port}/{env.database}",
            "http": f"http://{reader}:{ch.http_port}/?database={env.database}",
            "host": ch.host,
            "port": ch.port,
            "http_port": ch.http_port,
            "user": ch.reader_user,
            "password": ch.reader_password.get_secret_value(),
            "database": env.database,
        },
        "redis": {"url": config.redis.url, "prefix": env.redis_prefix},
        "exchanges": {
            f"{exchange}.{name}": {"ws_url": market.ws_url, "rest_url": market.rest_url}
            for exchange, markets in config.exchanges.items()
            for name, market in markets.items()
        },
        "metrics": {p.name: f"http://{servers.HOST}:{plan.metrics_ports[p.name]}/metrics" for p in plan.services},
        "data_dir": str(plan.data_dir),
        "logs_dir": str(plan.data_dir / "logs"),
    }
    return found


def exchange_lines(plan: Plan) -> list[str]:
    """For a person: each exchange with its markets, what of each is captured, and where from."""
    lines = []
    for exchange, markets in plan.config.exchanges.items():
        for count, (name, market) in enumerate(markets.items()):
            chosen = len(market.symbols)
            said = f"{chosen} symbol{'' if chosen == 1 else 's'}" if chosen else "symbols by selection"
            lines.append(f"{'' if count else exchange:<12} {name:<8} {said}, {market.ws_url}")
    return lines


def write_endpoints(plan: Plan) -> Path:
    path = plan.data_dir / ENDPOINTS
    _write_json(path, endpoints(plan))
    return path


def remove_endpoints(data_dir: Path) -> None:
    (data_dir / ENDPOINTS).unlink(missing_ok=True)


def _write_json(path: Path, value: Any) -> None:
    part = path.with_name(path.name + ".part")
    part.touch(mode=0o600)
    part.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")
    part.replace(path)


def starts(run_dir: Path, name: str) -> int:
    """How often a program was started in this run."""
    try:
        return int((run_dir / "starts" / name).read_text())
    except (OSError, ValueError):
        return 0
