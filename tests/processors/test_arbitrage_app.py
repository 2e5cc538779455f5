"""The arbitrage application's functions: md.bbo_merged in, episodes out; and reading in the order of time."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any, NamedTuple

import pytest
from confluent_kafka import TopicPartition

from marketdata.codec import decode, encoder
from marketdata.errors import UnparsableFrame
from marketdata.types import Arbitrage, Bbo, FeedStatus, Heartbeat, Record
from processors.alignment import Alignment, ahead_of
from processors.arbitrage import ONE, Arbitrageur, definition, partition_of
from processors.metrics import Metrics
from processors.outputs import Output, SourceRecord
from runtime.config import Config
from runtime.config.processors import Arbitrage as Settings

S = 1_000_000_000
encode = encoder("json")
SETTINGS = Settings(fees={"default": "0"}, merge_hold_ms=5_000, merge_delay_ms=100, update_interval_ms=0)
MARKETS = (("binance", "BTCUSDT", 0), ("okx", "BTC-USDT", 1), ("htx", "BTCUSDT", 2))


class Came(NamedTuple):
    partition: int
    record: Record


def bbo(exchange: str, symbol: str, at_ms: int, bid: int, ask: int) -> Bbo:
    return Bbo(
        exchange=exchange, market="spot", symbol=symbol, instrument="BTC-USDT", recv_time_ns=str(at_ms * 1_000_000),
        update_id=str(at_ms), bid_price=str(bid), bid_quantity="1", ask_price=str(ask), ask_quantity="1",
    )  # fmt: skip


def status(exchange: str, symbol: str, at_ms: int, state: str, conn: str = "c") -> FeedStatus:
    return FeedStatus(
        exchange=exchange, market="spot", symbol=symbol, recv_time_ns=str(at_ms * 1_000_000), channel="bbo",
        state="connected" if state == "connected" else "disconnected", connection=conn,
    )  # fmt: skip


def beat(exchange: str, symbol: str, at_ms: int) -> Heartbeat:
    return Heartbeat(
        exchange=exchange, market="spot", symbol=symbol, recv_time_ns=str(at_ms * 1_000_000), event_time_us=1
    )


def source(offset: int, came: Came) -> SourceRecord:
    headers = [("src", b"md.bbo:%d:%d:0" % (came.partition, offset))]
    return SourceRecord("md.bbo_merged", 0, offset, ONE, encode(came.record), headers, 0)


def found(outputs: Sequence[Output]) -> list[tuple[bytes, bytes]]:
    return [(output.key, output.value) for output in outputs]


def market_day(seed: int) -> list[list[Came]]:
    """A log per partition: quotes that cross now and then, a feed that ends and comes back, heartbeats."""
    rng = random.Random(seed)
    logs: list[list[Came]] = []
    for exchange, symbol, partition in MARKETS:
        log = [Came(partition, status(exchange, symbol, 0, "connected"))]
        at_ms = 1
        while at_ms < 20_000:
            at_ms += rng.randrange(1, 900)
            middle = 1000 + rng.randrange(-6, 7)
            log.append(Came(partition, bbo(exchange, symbol, at_ms, middle - 2, middle + 2)))
            if rng.random() < 0.05:
                log.append(Came(partition, status(exchange, symbol, at_ms + 1, "disconnected")))
                at_ms += 2_000
                log.append(Came(partition, status(exchange, symbol, at_ms, "connected")))
        log.append(Came(partition, beat(exchange, symbol, 40_000)))
        logs.append(log)
    return logs


def play(logs: list[list[Came]], turns: Sequence[int], restart_every: int = 0) -> list[tuple[bytes, bytes]]:
    app = Arbitrageur(SETTINGS, Metrics("a", None), encode)
    at = [0] * len(logs)
    out: list[tuple[bytes, bytes]] = []
    for offset, log in enumerate(turns):
        out += found(app.handle(source(offset, logs[log][at[log]])))
        at[log] += 1
        if restart_every and offset % restart_every == 0:
            app = Arbitrageur(SETTINGS, Metrics("a", None), encode).restore(app.dump())
    return out


def turns_of(logs: list[list[Came]], seed: int, ahead_ms_max: int) -> list[int]:
    """Some order to read the logs in, none further ahead of the others than allowed."""
    rng = random.Random(seed)
    at = [0] * len(logs)
    turns: list[int] = []
    while left := [log for log in range(len(logs)) if at[log] < len(logs[log])]:
        times = {log: int(logs[log][at[log]].record.recv_time_ns) // 1_000_000 for log in left}
        may = [log for log in left if times[log] <= min(times.values()) + ahead_ms_max]
        turns.append(rng.choice([*may, *may[:1] * 4]))
        at[turns[-1]] += 1
    return turns


@pytest.mark.parametrize("seed", range(6))
def test_interleaving_and_restarts_change_nothing(seed: int) -> None:
    logs = market_day(seed)
    first = play(logs, turns_of(logs, 0, 0))
    records = [decode(value) for _, value in first]
    actions = [r.action for r in records if isinstance(r, Arbitrage)]
    assert actions.count("open") == actions.count("close") > 3
    for other in range(4):
        assert play(logs, turns_of(logs, other, 4_000), restart_every=other * 7) == first


def test_episodes_are_keyed_by_instrument() -> None:
    app = Arbitrageur(SETTINGS, Metrics("a", None), encode)
    log = [
        Came(0, status("binance", "BTCUSDT", 0, "connected")),
        Came(1, status("okx", "BTC-USDT", 0, "connected")),
        Came(0, bbo("binance", "BTCUSDT", 10, 99, 100)),
        Came(1, bbo("okx", "BTC-USDT", 20, 101, 102)),
        Came(0, beat("binance", "BTCUSDT", 6_000)),
        Came(1, beat("okx", "BTC-USDT", 6_000)),
    ]
    out = [o for offset, came in enumerate(log) for o in app.handle(source(offset, came))]
    assert [(o.topic, o.key) for o in out] == [("md.arbitrage", b"BTC-USDT")] * 2, "opened, and closed as too old"


@pytest.mark.parametrize("restarted", [False, True])
def test_a_quote_counts_until_its_own_age_however_many_came_before(restarted: bool) -> None:
    app = Arbitrageur(SETTINGS, Metrics("a", None), encode)
    log = [Came(0, bbo("binance", "BTCUSDT", at_ms, 99, 100)) for at_ms in range(100, 7_100, 70)]
    last_ms = int(log[-1].record.recv_time_ns) // 1_000_000
    log += [Came(1, bbo("okx", "BTC-USDT", at_ms, 101, 102)) for at_ms in range(130, 14_000, 90)]
    log.sort(key=lambda came: int(came.record.recv_time_ns))
    log += [Came(partition, beat(*MARKETS[partition][:2], 30_000)) for partition in (0, 1)]
    out = []
    for offset, came in enumerate(log):
        out += [decode(o.value) for o in app.handle(source(offset, came))]
        if restarted and offset % 10 == 0:
            app = Arbitrageur(SETTINGS, Metrics("a", None), encode).restore(app.dump())
    told = [(r.action, r.reason, int(r.recv_time_ns) // 1_000_000) for r in out if isinstance(r, Arbitrage)]
    assert told == [("open", "", 130), ("close", "stale", last_ms + SETTINGS.max_quote_age_ms)]


def test_a_rotation_of_connections_is_no_end_of_the_feed() -> None:
    app = Arbitrageur(SETTINGS, Metrics("a", None), encode)
    log = [
        Came(0, status("binance", "BTCUSDT", 0, "connected", "c1")),
        Came(1, status("okx", "BTC-USDT", 0, "connected")),
        Came(0, bbo("binance", "BTCUSDT", 10, 99, 100)),
        Came(1, bbo("okx", "BTC-USDT", 20, 101, 102)),
        Came(0, status("binance", "BTCUSDT", 30, "connected", "c2")),
        Came(0, status("binance", "BTCUSDT", 40, "disconnected", "c1")),
        Came(0, status("binance", "BTCUSDT", 700, "disconnected", "c2")),
        Came(1, beat("okx", "BTC-USDT", 1_500)),
        Came(1, beat("okx", "BTC-USDT", 7_000)),
    ]
    records = [decode(o.value) for offset, came in enumerate(log) for o in app.handle(source(offset, came))]
    assert [(r.action, r.reason) for r in records if isinstance(r, Arbitrage)] == [
        ("open", ""), ("close", "disconnected"),
    ]  # fmt: skip


def test_quotes_without_instrument_and_records_without_origin_are_told() -> None:
    metrics = Metrics("a", None)
    app = Arbitrageur(SETTINGS, metrics, encode)
    nameless = Bbo(
        exchange="x", market="spot", symbol="Y", recv_time_ns="5", update_id="", bid_price="1", bid_quantity="1",
        ask_price="2", ask_quantity="1",
    )  # fmt: skip
    assert app.handle(source(0, Came(0, nameless))) == []
    assert metrics.counts["events"]["no_instrument"] == 1
    with pytest.raises(UnparsableFrame, match="src"):
        partition_of(source(0, Came(0, nameless))._replace(headers=[]))


def test_the_application_reads_and_writes_the_topics_it_says() -> None:
    found = definition(Config(), Metrics("a", None))
    assert [s.name for stage in found.stages for s in stage.sources] == ["md.bbo", "md.bbo_merged"]
    assert [topic.name for topic in found.outputs] == ["md.bbo_merged", "md.arbitrage"]
    (copied,) = found.stages[0].handle(None, source(3, Came(1, beat("x", "y", 1))))
    assert (copied.topic, copied.key) == ("md.bbo_merged", ONE)


# --- reading in the order of time ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("newest", "behind", "ahead"),
    [
        ({0: 100, 1: 90}, {0, 1}, set()),
        ({0: 100, 1: 50}, {0, 1}, {0}),
        ({0: 100, 1: 50}, {0}, set()),  # the other one has nothing left to read
        ({0: 100, 1: 50, 2: 99}, {1, 2}, {0, 2}),
        ({0: 100, 1: 0}, {0, 1}, {0}),  # not begun, and not empty
        ({0: 100, 1: 0}, set(), set()),
    ],
)
def test_who_is_ahead(newest: dict[int, int], behind: set[int], ahead: set[int]) -> None:
    assert ahead_of(newest, behind, 20) == ahead


class Log:
    """Stands for quixstreams' consumer: positions and ends as set, and what was asked."""

    def __init__(self, ends: dict[int, int]) -> None:
        self.ends, self.at = ends, dict.fromkeys(ends, -1001)
        self.paused: set[int] = set()

    def committed(self, partitions: list[TopicPartition], timeout: Any = None) -> list[TopicPartition]:
        return [TopicPartition(tp.topic, tp.partition, -1001) for tp in partitions]

    def position(self, partitions: list[TopicPartition]) -> list[TopicPartition]:
        return [TopicPartition(tp.topic, tp.partition, self.at[tp.partition]) for tp in partitions]

    def get_watermark_offsets(
        self, partition: TopicPartition, timeout: Any = None, cached: bool = False
    ) -> tuple[int, int]:
        return 0, self.ends[partition.partition]

    def pause(self, partitions: list[TopicPartition]) -> None:
        self.paused |= {tp.partition for tp in partitions}

    def resume(self, partitions: list[TopicPartition]) -> None:
        self.paused -= {tp.partition for tp in partitions}


def test_partitions_wait_for_each_other_and_go_on() -> None:
    log = Log({0: 10, 1: 10, 2: 0})
    alignment = Alignment("t", 20)
    alignment.assign(log, [0, 1, 2])
    now = [0.0]

    def read(partition: int, offset: int, time_ms: int) -> None:
        step = alignment.noting(lambda *_: (), lambda: partition)
        step(b"", b"", time_ms, None, None)
        log.at[partition] = offset + 1
        now[0] += 1.0
        alignment.look(log, now[0])

    read(0, 0, 1000)
    assert log.paused == {0}, "partition 1 has records and none was read"
    read(1, 0, 990)
    assert log.paused == set()
    read(1, 1, 1100)
    assert log.paused == {1}
    read(0, 9, 1010)
    assert log.paused == set(), "partition 0 is read to its end"
