"""Housekeeping beside the services: what hangs is killed (and so restarted), and disk use stays within its bound.

Run by supervisord as `python -m deploy.local.guard --config FILE`; MP_RUN names the folder of this run's files.
"""

from __future__ import annotations

import json
import logging
import os
import time
from pathlib import Path

from clickhouse_driver import Client
from clickhouse_driver.errors import Error as ClickHouseError
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType
from prometheus_client import Counter, Gauge

from deploy.local import disk, scrape
from deploy.local.resolve import CLICKHOUSE_SHARE, KAFKA_SHARE
from deploy.local.supervisor_client import SupervisorClient, Unreachable
from runtime.config import Config
from runtime.service import start

HANG_CHECK_INTERVAL_S = 2.0
DISK_CHECK_INTERVAL_S = 20.0
BEGIN_AT = 0.85
"""Share of a budget at which its oldest data go: writing goes on while they do."""
CAP_CHANGE_MIN = 0.1

HUNG = Counter("marketprism_guard_killed_total", "Services killed because /livez failed for too long", ["service"])
DROPPED = Counter("marketprism_guard_dropped_bytes_total", "Bytes dropped from ClickHouse to bound disk use", ["table"])
USED = Gauge("marketprism_guard_used_bytes", "Bytes on disk", ["part"])
LIMIT = Gauge("marketprism_guard_limit_bytes", "Bound of all data on disk")

log = logging.getLogger("guard")


class HangDetector:
    """Notices a process that runs, but has not said it is alive for too long."""

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._since: dict[str, tuple[int, float]] = {}

    def observe(self, now_s: float, name: str, pid: int, alive: bool) -> bool:
        """True when it is to be killed. `pid` 0: it does not run. A new process begins with a clean slate."""
        if alive or not pid:
            self._since.pop(name, None)
            return False
        known, since = self._since.get(name, (pid, now_s))
        if known != pid:
            since = now_s
        self._since[name] = (pid, since)
        if now_s - since < self._timeout_s:
            return False
        del self._since[name]
        return True


class Guard:
    def __init__(self, config: Config, run_dir: Path) -> None:
        known = json.loads((run_dir / "run.json").read_text(encoding="utf-8"))
        self._config = config
        self._ports: dict[str, int] = known["metrics_ports"]
        self._supervisor = SupervisorClient(known["supervisor_port"], known["supervisor_password"])
        self._hangs = HangDetector(config.local.hang_timeout_s)
        self._data_dir = Path(config.local.data_dir)
        self._caps: dict[str, int] = {}
        LIMIT.set(config.local.disk_bytes_max)

    def check_hangs(self) -> None:
        for process in self._supervisor.processes():
            port = self._ports.get(process.name)
            if port is None or process.name == "guard":
                continue
            said = scrape.problem(port, "/livez") if process.pid else None
            if self._hangs.observe(time.monotonic(), process.name, process.pid, said is None):
                log.error("killing a service that hangs", extra={"data": {"service": process.name, "livez": said}})
                HUNG.labels(process.name).inc()
                self._supervisor.kill(process.group, process.name)

    def check_disk(self) -> None:
        for part in ("kafka", "clickhouse", "valkey", "state", "spill", "simulator", "logs"):
            USED.labels(part).set(disk.used_bytes(self._data_dir / part))
        self._bound_kafka(int(self._config.local.disk_bytes_max * KAFKA_SHARE * BEGIN_AT))
        self._bound_clickhouse(int(self._config.local.disk_bytes_max * CLICKHOUSE_SHARE * BEGIN_AT))

    def _bound_kafka(self, budget: int) -> None:
        """Lower the retention of the topics that are too large; Kafka then deletes their oldest segments."""
        caps = disk.topic_caps(disk.kafka_partitions(self._data_dir / "kafka" / "log"), budget)
        changed = {t: c for t, c in caps.items() if abs(c - self._caps.get(t, 0)) > CAP_CHANGE_MIN * c}
        if not changed:
            return
        admin = AdminClient({"bootstrap.servers": self._config.kafka.bootstrap_servers, "log_level": 0})
        changes = [
            ConfigResource(
                ResourceType.TOPIC,
                topic,
                incremental_configs=[ConfigEntry("retention.bytes", str(cap), None, incremental_operation=SET)],
            )
            for topic, cap in changed.items()
        ]
        for resource, future in admin.incremental_alter_configs(changes).items():
            try:
                future.result(timeout=30)
                self._caps[resource.name] = changed[resource.name]
            except KafkaException as exc:
                log.warning("cannot bound a topic", extra={"data": {"topic": resource.name, "error": str(exc)}})
        log.warning("disk bound: topics keep less", extra={"data": {"bytes_per_partition": changed}})

    def _bound_clickhouse(self, budget: int) -> None:
        ch = self._config.clickhouse
        client = Client(ch.host, port=ch.port, user=ch.admin_user, password=ch.admin_password.get_secret_value())
        try:
            rows = client.execute(
                "SELECT database, table, partition_id, sum(bytes_on_disk) FROM system.parts "
                "WHERE active AND startsWith(database, 'md') GROUP BY ALL"
            )
            for cut in disk.cuts((disk.TablePart(*row) for row in rows), budget):
                drop(client, cut)
                DROPPED.labels(f"{cut.part.database}.{cut.part.table}").inc(cut.part.size // (1 if cut.whole else 2))
                log.warning("disk bound: dropped the oldest rows", extra={"data": {"cut": str(cut)}})
        finally:
            client.disconnect()


SET = AlterConfigOpType.SET


def drop(client: Client, cut: disk.Cut) -> None:
    """Do what a cut says."""
    table = f"`{cut.part.database}`.`{cut.part.table}`"
    if cut.whole:
        client.execute(f"ALTER TABLE {table} DROP PARTITION ID '{cut.part.partition_id}'")
        return
    ((middle,),) = client.execute(f"SELECT toInt64(quantile(toUnixTimestamp64Nano(recv_time))) FROM {table}")
    client.execute(
        f"ALTER TABLE {table} DELETE WHERE toUnixTimestamp64Nano(recv_time) < {middle} SETTINGS mutations_sync = 1"
    )


def main() -> None:
    service = start("guard")
    service.install_signals()
    guard = Guard(service.config, Path(os.environ["MP_RUN"]))
    trouble: list[str | None] = ["has not looked yet"]
    service.health.ready["supervisord"] = lambda: trouble[0]
    next_disk_check = time.monotonic()
    while True:
        try:
            guard.check_hangs()
            trouble[0] = None
        except Unreachable as exc:
            trouble[0] = f"does not answer: {exc}"
        if service.stop.wait(HANG_CHECK_INTERVAL_S):
            return
        if time.monotonic() >= next_disk_check:
            next_disk_check = time.monotonic() + DISK_CHECK_INTERVAL_S
            try:
                guard.check_disk()
            except (KafkaException, ClickHouseError, OSError, EOFError) as exc:
                log.warning("cannot check the disk bound now", extra={"data": {"error": str(exc)[:300]}})


if __name__ == "__main__":
    main()
