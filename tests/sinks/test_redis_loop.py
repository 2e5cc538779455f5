"""The Redis sink around its writes: where it starts, and which keys it keeps."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, cast

import pytest
from prometheus_client import REGISTRY

from sinks.consumer import SinkConsumer
from sinks.redis import metrics
from sinks.redis.__main__ import GROUP, RedisSink
from sinks.redis.commands import Command
from sinks.redis.tables import KINDS
from tests.sinks import samples
from tests.sinks.loop_kit import FakeConsumer, Message, service

K = "binance.spot.BTCUSDT"


class FakeWriter:
    def __init__(self) -> None:
        self.kept: list[str] = []
        self.written: list[Command] = []

    def write(self, commands: Sequence[Command], symbols: Iterable[str] = ()) -> list[bool]:
        self.written += commands
        return [True] * len(commands)

    def keep(self, keys: Iterable[str]) -> None:
        self.kept += keys

    def marked(self) -> bool:
        return True


class Sink:
    def __init__(self, sink: RedisSink) -> None:
        self.sink = sink
        self.writer = FakeWriter()
        sink.writer = self.writer  # type: ignore[assignment]
        self.fake = FakeConsumer(sink.service.config, GROUP, [kind.topic for kind in KINDS])
        self.consumer = cast(SinkConsumer, self.fake)

    def accept(self, topic: str, record: Any, key: str = K) -> None:
        self.sink._accept(self.consumer, cast(Any, Message(topic, record, 1, key)))


@pytest.fixture
def sink() -> Iterator[Sink]:
    with service() as made:
        yield Sink(RedisSink(made))


def test_an_empty_redis_is_filled_also_when_kafka_answers_late(sink: Sink, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sinks.redis.__main__.ASK_AGAIN_S", 0.0)
    sink.sink.refilling = True
    sink.fake.deaf_for = 3
    starts = sink.sink._start_at(sink.consumer, [("md.trade", 0)])
    assert starts == {("md.trade", 0): 950_000}
    assert sink.sink.refilling is False


def test_an_empty_redis_is_filled_when_there_is_something_to_read(sink: Sink) -> None:
    sink.sink.refilling = True
    assert sink.sink._start_at(sink.consumer, []) == {}
    assert sink.sink._start_at(sink.consumer, [("md.bbo", 0)]) == {("md.bbo", 0): 950_000}


def test_told_to_stop_it_asks_no_more(sink: Sink) -> None:
    sink.sink.refilling = True
    sink.fake.deaf_for = 1
    sink.sink.service.stop.set()
    assert sink.sink._start_at(sink.consumer, [("md.trade", 0)]) == {}


def test_a_connection_is_known_as_long_as_it_says_anything(sink: Sink) -> None:
    """Deribit's live for a week; what was written when one began would vanish after a day."""
    sink.accept("md.bbo", samples.heartbeat())
    sink.sink._checkpoint(sink.consumer, sink.sink.next_keep_s - 1)
    assert sink.writer.kept == []
    at_s = sink.sink.next_keep_s
    sink.sink._checkpoint(sink.consumer, at_s)
    assert set(sink.writer.kept) == {f"md:feed:{{{K}}}", f"md:book:{{{K}}}", f"md:book:{{{K}}}:guard"}
    sink.writer.kept.clear()
    sink.sink._checkpoint(sink.consumer, sink.sink.next_keep_s)
    assert sink.writer.kept == [], "nothing came since"
    assert sink.sink.next_keep_s > at_s


def timed() -> float:
    return REGISTRY.get_sample_value("marketprism_redis_latency_seconds_count", {"topic": "md.trade"}) or 0.0


def test_what_is_odd_is_passed_over(sink: Sink) -> None:
    before = timed()
    sink.accept("md.trade", samples.trade(1, recv_time_ns="soon"))
    sink.accept("md.trade", samples.trade(2), key="BTCUSDT")
    sink.accept("md.trade", samples.trade(3, recv_time_ns=""))
    sink.sink._checkpoint(sink.consumer, 0.0)
    assert [command.seq.split(":")[1].lstrip("0") for command in sink.writer.written] == ["3"]
    assert sink.sink.symbols == {K}
    assert sink.fake.said == [{("md.trade", 0): 2}]
    assert timed() == before, "without a receive time there is no latency"


def test_partitions_that_left_are_forgotten(sink: Sink) -> None:
    sink.sink.next_offsets = {("md.trade", 0): 5, ("md.trade", 1): 6}
    metrics.LAG.labels("md.trade", 1).set(1_000_000)
    sink.fake.generation = 1
    sink.sink._assigned_anew(sink.consumer)
    assert sink.sink.next_offsets == {("md.trade", 0): 5}
    assert [sample for family in metrics.LAG.collect() for sample in family.samples] == []
