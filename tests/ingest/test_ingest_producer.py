"""The way to Kafka while there is no Kafka: nothing blocks, nothing is lost, order is kept over restarts."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from ingest.metrics import ProducerTally
from ingest.producer import DISK_RETRY_S, RawProducer
from ingest.records import Record
from ingest.spill import Spill

NOWHERE: dict[str, Any] = {"bootstrap.servers": "127.0.0.1:9", "enable.idempotence": True, "message.timeout.ms": 0}


def record(n: int) -> Record:
    return Record("raw.trade", b"k", b"%d" % n, [("seq", b"%d" % n)], 1_700_000_000_000)


class Run:
    def __init__(self, folder: Path, queue_max: int = 100, stall_after_s: float = 2.0) -> None:
        self.tally = ProducerTally()
        self.spill = Spill(folder, 1 << 20, 1 << 14)
        self.refused: list[tuple[Record, str]] = []
        settings = {**NOWHERE, "queue.buffering.max.messages": queue_max, "message.max.bytes": 2000}
        self.producer = RawProducer(settings, self.spill, self.tally, stall_after_s, self._refuse)
        self.now_s = 100.0

    def _refuse(self, refused: Record, reason: str) -> None:
        self.refused.append((refused, reason))

    def spilling(self) -> bool:
        return self.producer.spilling

    def receives(self) -> bool:
        assert self.producer.full is not self.producer.roomy
        return self.producer.roomy

    def tick(self, seconds: float = 0.05) -> None:
        self.now_s += seconds
        self.producer.tick(self.now_s)


def waiting(folder: Path) -> list[int]:
    spill = Spill(folder, 1 << 20, 1 << 14)
    out = []
    while (found := spill.read()) is not None:
        out.append(int(found[0].value))
    spill.close()
    return out


def test_everything_waits_on_disk_until_released(tmp_path: Path) -> None:
    run = Run(tmp_path)
    for n in range(50):
        run.producer.publish(record(n))
        run.tick()
    assert run.tally.enqueued == 0
    assert run.tally.spilled == 50
    run.producer.close(0.1)
    assert waiting(tmp_path) == list(range(50))


def test_a_full_queue_goes_to_disk_in_order_and_stays_for_the_next_start(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.producer.release()
    run.tick()
    assert not run.spilling()
    begin_s = time.perf_counter()
    for n in range(1_000):
        run.producer.publish(record(n))
    assert time.perf_counter() - begin_s < 9.0  # a wait of 10 ms for each that finds it full takes longer
    assert run.tally.enqueued == 100
    assert run.spilling()
    run.producer.close(0.1)
    assert waiting(tmp_path) == list(range(1_000))
    assert run.tally.lost == 0


def test_a_stall_spills_before_the_queue_is_full(tmp_path: Path) -> None:
    run = Run(tmp_path, queue_max=10_000, stall_after_s=1.0)
    run.producer.release()
    run.tick()
    for n in range(10):
        run.producer.publish(record(n))
    run.tick()
    assert not run.spilling()
    run.tick(1.5)
    assert run.spilling()
    for n in range(10, 20):
        run.producer.publish(record(n))
    run.producer.close(0.1)
    assert waiting(tmp_path) == list(range(20))


def test_restarts_without_kafka_repeat_and_lose_nothing(tmp_path: Path) -> None:
    n = 0
    for _ in range(4):
        run = Run(tmp_path)
        run.producer.release()
        for _ in range(150):
            run.producer.publish(record(n))
            n += 1
            if n % 40 == 0:
                run.tick()
        run.producer.close(0.1)
    assert waiting(tmp_path) == list(range(n))


def test_a_disk_that_refuses_stops_receiving_until_it_is_worth_a_try(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(fd: int, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    run = Run(tmp_path)
    run.producer.publish(record(0))
    with monkeypatch.context() as disk:
        disk.setattr("os.write", refuse)
        run.producer.publish(record(1))
        assert run.tally.lost == 1
        assert not run.receives()
        for _ in range(10):
            run.tick(DISK_RETRY_S / 10)
        run.producer.publish(record(2))  # the disk still refuses
        assert run.tally.lost == 2
    for _ in range(10):
        run.tick(DISK_RETRY_S / 10)
        assert not run.receives()
    run.tick(DISK_RETRY_S / 10)
    assert run.receives()
    run.producer.publish(record(3))
    run.producer.close(0.1)
    assert waiting(tmp_path) == [0, 3]


def test_what_kafka_never_takes_is_handed_back(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.producer.release()
    run.tick()
    big = Record("raw.book", b"k", b"x" * 5_000, [], 1)
    run.producer.publish(big)
    assert run.refused == [(big, "MSG_SIZE_TOO_LARGE")]
    assert run.tally.refused == 1
    assert not run.spilling()
    run.producer.close(0.1)
