"""A processor Kafka to Kafka on one core, as the other application benchmarks need it too: a broker, input, a watch."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psutil
from confluent_kafka import Producer

from deploy.local import config_file, servers
from marketdata.topics import Topic, topic_name
from runtime.config import Config
from runtime.kafka import ensure_topics, producer_settings

READY_TIMEOUT_S = 60.0
RUN_TIMEOUT_S = 300.0
POLL_INTERVAL_S = 0.5
"""Each look at /metrics costs the measured process some milliseconds."""
PREFIX = "bench."

Input = tuple[bytes, bytes, list[tuple[str, bytes]]]
"""(key, value, headers)."""


@contextmanager
def broker(folder: Path) -> Iterator[str]:
    """Address of a fresh Kafka that ends with the block."""
    port, controller_port = servers.free_ports(2)
    jars = Path(os.environ.get("MARKETPRISM_LOCAL__JARS_DIR", str(servers.REPO / ".marketprism" / "jars"))).absolute()
    server = servers.kafka(folder / "kafka", jars, port, controller_port)
    with servers.Running(server, folder / "kafka.log") as running:
        running.wait_ready()
        yield f"{servers.HOST}:{port}"


def make_config(bootstrap: str, folder: Path) -> Config:
    """The local profile: two partitions, linger 5 ms, zstd."""
    return Config.model_validate(
        {
            "environment": {"name": "bench", "topic_prefix": PREFIX, "simulated": True},
            "kafka": {"bootstrap_servers": bootstrap},
            "processors": {"state_dir": str(folder / "state")},
        }
    )


def publish(
    config: Config, topic: Topic, records: Iterable[Input], timestamps_ms: Callable[[int], int] | None = None
) -> int:
    """Write the input; returns how many records there are. `timestamps_ms`: of the n-th record; else the present."""
    ensure_topics(config)
    producer = Producer(producer_settings(config, linger_ms=50))
    count = 0
    for key, value, headers in records:
        at_ms = 0 if timestamps_ms is None else timestamps_ms(count)
        while True:
            try:
                producer.produce(topic_name(PREFIX, topic), value, key, headers=headers, timestamp=at_ms)
                break
            except BufferError:
                producer.poll(0.1)
        count += 1
        if count % 1_000 == 0:
            producer.poll(0)
    assert producer.flush(60) == 0
    return count


class Rate:
    """What a run gave."""

    def __init__(self, records: float, wall_s: float, cpu_s: float) -> None:
        self.per_s = records / wall_s
        self.per_cpu_s = records / cpu_s
        self.cores = cpu_s / wall_s


def measure(module: str, config: Config, folder: Path, records: int, env: Mapping[str, str] | None = None) -> Rate:
    """Start `python -m module` on the last core, and watch it work through `records` of input (the first tenth is its
    warm-up and is not measured). Its own offsets and state decide where it begins: give each run an instance."""
    (port,) = servers.free_ports(1)
    file = config_file.write(config, folder / f"{module}.yaml")
    with (folder / f"{module}.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", module, "--config", str(file)],
            cwd=servers.REPO,
            env={
                **os.environ,
                "MARKETPRISM_METRICS_PORT": str(port),
                "MARKETPRISM_PARENT_PID": str(os.getpid()),
                **(env or {}),
            },
            stderr=log,
        )
    try:
        watched = psutil.Process(process.pid)
        if hasattr(watched, "cpu_affinity"):
            watched.cpu_affinity([max(os.sched_getaffinity(0))])
        first = _wait_for(port, process, records * 0.1)
        begun, cpu = time.monotonic(), _cpu_s(watched)
        last = _wait_for(port, process, records)
        return Rate(last - first, time.monotonic() - begun, _cpu_s(watched) - cpu)
    finally:
        process.terminate()
        process.wait(60)


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _wait_for(port: int, process: subprocess.Popen[bytes], count: float) -> float:
    """Until that many records were read; returns how many exactly."""
    deadline = time.monotonic() + RUN_TIMEOUT_S
    while time.monotonic() < deadline:
        assert process.poll() is None, f"the processor ended with {process.returncode}"
        got = _records_in(port)
        if got >= count:
            return got
        time.sleep(POLL_INTERVAL_S)
    raise TimeoutError(f"only {_records_in(port):.0f} of {count:.0f} records within {RUN_TIMEOUT_S:.0f} s")


def _records_in(port: int) -> float:
    try:
        with urllib.request.urlopen(f"http://{servers.HOST}:{port}/metrics", timeout=5) as answer:
            lines = answer.read().decode().splitlines()
    except OSError:
        return 0.0
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if "_records_in_total{" in line)
