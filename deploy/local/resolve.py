"""From the configuration a person wrote to the one the services of this run get: ports, folders, environment.

Ports nobody asked for are free ones; a port somebody asked for must be free. Everything under the data folder is kept
apart by environment, so that a recording never meets the state of live data.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from deploy.local import servers
from deploy.local.programs import SERVICES, Program
from deploy.local.recording import Recording
from marketdata.errors import ConfigError
from runtime.config import Config

FREE_PORT_TRIES = 50
KAFKA_SHARE = 0.5
CLICKHOUSE_SHARE = 0.35
SPILL_SHARE = 0.1
"""Of `local.disk_bytes_max`. What is left is for state, logs and Valkey."""


@dataclass(frozen=True)
class Plan:
    """Everything one run needs to know."""

    config: Config
    data_dir: Path
    jars_dir: Path
    metrics_ports: dict[str, int]
    kafka_controller_port: int
    supervisor_port: int
    services: tuple[Program, ...]
    """The simulator is among them only where an exchange has its address."""

    def servers(self) -> tuple[servers.Server, ...]:
        local, ch = self.config.local, self.config.clickhouse
        passwords = (
            ch.admin_password.get_secret_value(), ch.password.get_secret_value(), ch.reader_password.get_secret_value()
        )  # fmt: skip
        kafka_port = int(self.config.kafka.bootstrap_servers.rpartition(":")[2])
        redis_port = urlsplit(self.config.redis.url).port or 0
        return (
            servers.kafka(
                self.data_dir / "kafka", self.jars_dir, kafka_port, self.kafka_controller_port,
                local.kafka_heap_mb, kafka_segment_bytes(local.disk_bytes_max),
            ),
            servers.clickhouse(
                self.data_dir / "clickhouse", ch.port, ch.http_port, passwords, local.clickhouse_memory_mb
            ),
            servers.valkey(self.data_dir / "valkey", redis_port, local.valkey_memory_mb),
        )  # fmt: skip


def kafka_segment_bytes(disk_bytes_max: int) -> int:
    """Retention cannot touch a partition's newest segment, so these are small against the bound, but never smaller
    than the largest record."""
    return max(16 * 1024**2, min(64 * 1024**2, int(disk_bytes_max * KAFKA_SHARE) // 160))


def is_free(port: int, host: str) -> bool:
    """Nobody listens there (a socket in TIME_WAIT does not count)."""
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind((host, port))
        except OSError:
            return False
    return True


class Ports:
    """Hands out ports, each once."""

    def __init__(self, free: Callable[[int, str], bool] = is_free) -> None:
        self._free = free
        self._taken: set[int] = set()

    def take(self, key: str, asked: int | None, host: str = servers.HOST) -> int:
        """The port asked for in `key`, or any free one. Raises ConfigError where the one asked for is taken."""
        if asked is None or asked == 0:
            port = servers.free_ports(1, host)[0]
            while port in self._taken:
                port = servers.free_ports(1, host)[0]
        else:
            port = asked
            if port in self._taken or not self._free(port, host):
                raise ConfigError(f"port {port} ({key}) is taken: free it, or set {key} to another one")
        self._taken.add(port)
        return port

    def take_near(self, key: str, wanted: int, explicit: bool, host: str) -> int:
        """The port wanted, or the next free one unless it was set on purpose."""
        if explicit:
            return self.take(key, wanted, host)
        for port in range(wanted, wanted + FREE_PORT_TRIES):
            if port not in self._taken and self._free(port, host):
                self._taken.add(port)
                return port
        return self.take(key, None, host)


def resolve(config: Config, root: Path, recording: Recording | None = None, ports: Ports | None = None) -> Plan:
    """The plan of one run. Raises ConfigError. `root` is what relative folders are relative to."""
    ports = ports or Ports()
    local = config.local
    data_dir, jars_dir = root / local.data_dir, root / local.jars_dir
    if recording is not None:
        config = with_recording(config, recording)
    simulator_port = ports.take_near(
        "simulator.port", config.simulator.port, "port" in config.simulator.model_fields_set, config.simulator.host
    )
    exchanges, simulated = _exchanges(config, simulator_port)
    _check_environment(config, simulated)
    api_port = ports.take_near("api.port", config.api.port, "port" in config.api.model_fields_set, config.api.host)
    kafka_port = ports.take("local.kafka_port", local.kafka_port)
    env_dir = config.environment.name
    changes: dict[str, dict[str, Any]] = {
        "kafka": {
            "bootstrap_servers": f"{servers.HOST}:{kafka_port}",
            "replication_factor": 1,
            "retention_bytes_per_partition": _partition_bytes(config),
        },
        "clickhouse": {
            "host": servers.HOST,
            "port": ports.take("local.clickhouse_port", local.clickhouse_port),
            "http_port": ports.take("local.clickhouse_http_port", local.clickhouse_http_port),
            "ttl": False,
        },
        "redis": {"url": f"redis://{servers.HOST}:{ports.take('local.valkey_port', local.valkey_port)}/0"},
        "ingest": {
            "spill_dir": str(data_dir / "spill" / env_dir),
            "spill_bytes_max": min(config.ingest.spill_bytes_max, int(local.disk_bytes_max * SPILL_SHARE)),
        },
        "processors": {"state_dir": str(data_dir / "state" / env_dir)},
        "simulator": {"port": simulator_port, "state_dir": str(data_dir / "simulator" / env_dir)},
        "api": {"port": api_port},
        "local": {"data_dir": str(data_dir), "jars_dir": str(jars_dir)},
    }
    base = local.metrics_port_base
    metrics_ports = {p.name: ports.take("local.metrics_port_base", base and base + i) for i, p in enumerate(SERVICES)}
    sections = {name: getattr(config, name).model_copy(update=values) for name, values in changes.items()}
    return Plan(
        config=config.model_copy(update={**sections, "exchanges": exchanges}),
        data_dir=data_dir,
        jars_dir=jars_dir,
        metrics_ports=metrics_ports,
        kafka_controller_port=ports.take("local.kafka_controller_port", local.kafka_controller_port),
        supervisor_port=ports.take("", None),
        services=tuple(p for p in SERVICES if p.name not in _idle(exchanges, simulated)),
    )  # fmt: skip


def _idle(exchanges: dict[str, dict[str, Any]], simulated: bool) -> set[str]:
    """Services that would have nothing to do: no exchange of ours, or a single market to compare with nothing."""
    idle = set() if simulated else {"simulator"}
    return idle if sum(map(len, exchanges.values())) > 1 else idle | {"arbitrage"}


def with_recording(config: Config, recording: Recording) -> Config:
    """The same pipeline on a recorded session, in an environment of its own."""
    markets = config.exchanges.get(recording.exchange, {})
    if recording.market not in markets:
        raise ConfigError(
            f"{recording.path.name} is a recording of {recording.exchange}.{recording.market}, "
            f"which the configuration has no addresses for"
        )
    market = markets[recording.market].model_copy(
        update={"symbols": list(recording.symbols), "channels": list(recording.channels)}
    )
    name = f"rec-{recording.slug}-{recording.run}"
    environment = config.environment.model_copy(
        update={
            "name": name,
            "topic_prefix": f"{name}.",
            "database": f"md_{name}".replace("-", "_"),
            "redis_prefix": f"{name}:",
            "simulated": True,
        }
    )
    simulator = config.simulator.model_copy(
        update={"recording": str(recording.path), "speed": recording.speed, "symbols": list(recording.symbols)}
    )
    return config.model_copy(
        update={
            "environment": environment,
            "simulator": simulator,
            "exchanges": {recording.exchange: {recording.market: market}},
        }
    )


def _exchanges(config: Config, simulator_port: int) -> tuple[dict[str, dict[str, Any]], bool]:
    """The exchanges with addresses of the simulator turned to its port of today, and whether there were any."""
    hosts = {config.simulator.host, "localhost", servers.HOST}
    found = False

    def turned(url: str) -> str:
        nonlocal found
        parts = urlsplit(url)
        if parts.hostname not in hosts or parts.port != config.simulator.port:
            return url
        found = True
        return urlunsplit(parts._replace(netloc=f"{parts.hostname}:{simulator_port}"))

    exchanges = {
        exchange: {
            name: market.model_copy(
                update={"ws_url": turned(market.ws_url), "rest_url": turned(market.rest_url)}
            )
            for name, market in markets.items()
        }
        for exchange, markets in config.exchanges.items()
    }  # fmt: skip
    return exchanges, found


def _check_environment(config: Config, simulated: bool) -> None:
    if simulated and not config.environment.simulated:
        raise ConfigError(
            "environment.simulated is false, but the exchanges' addresses are those of the simulator: "
            "data that were made up must be marked so"
        )
    if config.simulator.recording and not simulated:
        raise ConfigError("a recording is served by the simulator, but no exchange has the simulator's address")


def _partition_bytes(config: Config) -> int:
    """What one partition may hold at most; the guard lowers it where the sum of all partitions would be too much."""
    most = int(config.local.disk_bytes_max * KAFKA_SHARE) // 4
    asked = config.kafka.retention_bytes_per_partition
    return most if asked < 0 else min(asked, most)
