"""A flush of the ClickHouse sink: what is told to Kafka while the database takes its time, and when offsets follow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from marketdata.errors import StoreError
from sinks.clickhouse import __main__ as sink_module
from sinks.clickhouse import metrics
from sinks.clickhouse.__main__ import ClickHouseSink
from sinks.clickhouse.rows import Columns
from sinks.clickhouse.table import Table
from sinks.consumer import Partition
from tests.sinks import samples
from tests.sinks.loop_kit import FakeConsumer, Message, service


class FakeWriter:
    def __init__(self, said: list[object]) -> None:
        self.said = said
        self.failures = 0

    def insert(self, table: Table, columns: Columns, token: str) -> None:
        if self.failures:
            self.failures -= 1
            raise StoreError("ClickHouse is away")
        self.said.append(table.name)

    def beyond(self, table: Table, ends: Mapping[Partition, int]) -> dict[Partition, int]:
        return {}


class Sink:
    """The sink with three records of three tables read."""

    def __init__(self, sink: ClickHouseSink) -> None:
        self.sink = sink
        assert isinstance(sink.consumer, FakeConsumer)
        self.consumer = sink.consumer
        self.writer = FakeWriter(self.consumer.said)
        sink.writer = self.writer  # type: ignore[assignment]
        records: list[tuple[str, Any]] = [
            ("md.trade", samples.trade()), ("md.bbo", samples.bbo()), ("md.kline", samples.kline())
        ]  # fmt: skip
        self.consumer.waiting = [Message(topic, record, 7) for topic, record in records]
        sink._read()


OFFSETS = {("md.trade", 0): 8, ("md.bbo", 0): 8, ("md.kline", 0): 8}


@pytest.fixture
def sink(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sink]:
    monkeypatch.setattr(sink_module, "SinkConsumer", FakeConsumer)
    with service() as made:
        yield Sink(ClickHouseSink(made))


def test_offsets_follow_the_last_insert(sink: Sink) -> None:
    sink.writer.failures = 1
    sink.sink._flush(stopping=False)
    assert [said for said in sink.consumer.said if said != "alive"] == ["trades", "quotes", "klines", OFFSETS]


def test_between_slow_inserts_the_group_sees_us(sink: Sink, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twenty tables of a minute each would otherwise cost the membership, and the rows be read again for ever."""
    monkeypatch.setattr(sink_module, "POLL_INTERVAL_S_MAX", 0.0)
    sink.sink.next_poll_s = 0.0
    sink.sink._flush(stopping=False)
    assert sink.consumer.said == ["alive", "trades", "alive", "quotes", "alive", "klines", OFFSETS]


def test_a_rebalance_between_inserts_ends_the_flush(sink: Sink, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sink_module, "POLL_INTERVAL_S_MAX", 0.0)
    monkeypatch.setattr(sink.consumer, "keep_alive", lambda _: setattr(sink.consumer, "generation", 1))
    sink.sink.next_poll_s = 0.0
    sink.sink._flush_or_abandon()
    assert sink.consumer.said == [], "nothing written, nothing committed"


def test_an_insert_may_take_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sink_module, "SinkConsumer", FakeConsumer)
    with service(sinks={"clickhouse": {"insert_timeout_s": 300}}) as made:
        assert ClickHouseSink(made).liveness.stalled_after_s > 300


def test_partitions_that_left_are_forgotten(sink: Sink) -> None:
    metrics.LAG.labels("md.trade", 1).set(1_000_000)
    sink.consumer.generation = 1
    sink.sink._read()
    assert (sink.sink.batch.records, sink.sink.expected) == (0, {})
    assert [sample for family in metrics.LAG.collect() for sample in family.samples] == []
