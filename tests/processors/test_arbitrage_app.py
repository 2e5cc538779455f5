"""The arbitrage application's functions: md.bbo_merged in, episodes out; and reading in the order of time."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any, NamedTuple

import pytest
from confluent_kafka import TopicPartition
from msgspec import structs
from pydantic import ValidationError

from marketdata.codec import decode, encoder
from marketdata.errors import UnparsableFrame
from marketdata.topics import TOPICS
from marketdata.types import Arbitrage, Bbo, FeedStatus, Heartbeat, Record
from processors.alignment import Alignment, ahead_of
from processors.arbitrage import ONE, Arbitrageur, definition, partition_of
from processors.metrics import Metrics
from processors.outputs import Output, SourceRecord
from runtime.config import Config
from runtime.config.processors import Arbitrage as Settings

S = 1_000_000_000
encode = encoder("json")
SETTINGS = Settings(
    fees={"default": "0"}, merge_hold_ms=5_000, merge_silence_ms=12_000, merge_delay_ms=100, update_interval_ms=0
)
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


def joined(settings: Settings = SETTINGS) -> tuple[Arbitrageur, Metrics]:
    """An application that knows the markets' partitions and counts them from 5 s on."""
    metrics = Metrics("a", None)
    app = Arbitrageur(settings, metrics, encode)
    for exchange, symbol, partition in MARKETS[:2]:
        app.handle(source(0, Came(partition, status(exchange, symbol, 1, "connected", "c1"))))
    return app, metrics


def market_day(seed: int, killed_ms: int = 0) -> list[list[Came]]:
    """A log per partition: quotes that cross now and then, a feed that ends and comes back, heartbeats. The last feed
    can be killed, and then says nothing more."""
    rng = random.Random(seed)
    logs: list[list[Came]] = []
    for exchange, symbol, partition in MARKETS:
        log = [Came(partition, status(exchange, symbol, 1, "connected"))]
        at_ms = 1
        end_ms = killed_ms if killed_ms and partition == 2 else 30_000
        while at_ms < end_ms:
            at_ms += rng.randrange(1, 900)
            middle = 1000 + rng.randrange(-6, 7)
            log.append(Came(partition, bbo(exchange, symbol, at_ms, middle - 2, middle + 2)))
            if rng.random() < 0.05:
                log.append(Came(partition, status(exchange, symbol, at_ms + 1, "disconnected")))
                at_ms += 2_000
                log.append(Came(partition, status(exchange, symbol, at_ms, "connected")))
        if end_ms == 30_000:
            log += [Came(partition, beat(exchange, symbol, at_ms)) for at_ms in (40_000, 50_000, 60_000)]
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


@pytest.mark.parametrize("killed_ms", [0, 15_000])
@pytest.mark.parametrize("seed", range(6))
def test_interleaving_and_restarts_change_nothing(seed: int, killed_ms: int) -> None:
    """However it ends for one feed, everything comes out and every episode is closed."""
    logs = market_day(seed, killed_ms)
    first = play(logs, turns_of(logs, 0, 0))
    records = [decode(value) for _, value in first]
    actions = [r.action for r in records if isinstance(r, Arbitrage)]
    assert actions.count("open") == actions.count("close") > 3
    for other in range(4):
        assert play(logs, turns_of(logs, other, 4_000), restart_every=other * 7) == first


def test_episodes_are_keyed_by_instrument() -> None:
    app, _ = joined()
    log = [
        Came(0, bbo("binance", "BTCUSDT", 5_010, 99, 100)),
        Came(1, bbo("okx", "BTC-USDT", 5_020, 101, 102)),
        *(Came(partition, beat(*MARKETS[partition][:2], at_ms)) for at_ms in (11_000, 12_000) for partition in (0, 1)),
    ]
    out = [o for offset, came in enumerate(log) for o in app.handle(source(offset, came))]
    assert [(o.topic, o.key) for o in out] == [("md.arbitrage", b"BTC-USDT")] * 2, "opened, and closed as too old"


@pytest.mark.parametrize("restarted", [False, True])
def test_a_quote_counts_until_its_own_age_however_many_came_before(restarted: bool) -> None:
    app, _ = joined()
    log = [Came(0, bbo("binance", "BTCUSDT", at_ms, 99, 100)) for at_ms in range(5_100, 12_100, 70)]
    last_ms = int(log[-1].record.recv_time_ns) // 1_000_000
    log += [Came(1, bbo("okx", "BTC-USDT", at_ms, 101, 102)) for at_ms in range(5_130, 19_000, 90)]
    log.sort(key=lambda came: int(came.record.recv_time_ns))
    log += [Came(partition, beat(*MARKETS[partition][:2], at_ms)) for at_ms in (30_000, 31_000) for partition in (0, 1)]
    out = []
    for offset, came in enumerate(log):
        out += [decode(o.value) for o in app.handle(source(offset, came))]
        if restarted and offset % 10 == 0:
            app = Arbitrageur(SETTINGS, Metrics("a", None), encode).restore(app.dump())
    told = [(r.action, r.reason, int(r.recv_time_ns) // 1_000_000) for r in out if isinstance(r, Arbitrage)]
    assert told == [("open", "", 5_130), ("close", "stale", last_ms + SETTINGS.max_quote_age_ms)]


def test_a_rotation_of_connections_is_no_end_of_the_feed() -> None:
    app, _ = joined()
    log = [
        Came(0, bbo("binance", "BTCUSDT", 5_010, 99, 100)),
        Came(1, bbo("okx", "BTC-USDT", 5_020, 101, 102)),
        Came(0, status("binance", "BTCUSDT", 5_030, "connected", "c2")),
        Came(0, status("binance", "BTCUSDT", 5_040, "disconnected", "c1")),
        Came(0, status("binance", "BTCUSDT", 5_700, "disconnected", "c2")),
        Came(1, beat("okx", "BTC-USDT", 6_500)),
        Came(1, beat("okx", "BTC-USDT", 12_000)),
        Came(1, beat("okx", "BTC-USDT", 13_000)),
    ]
    records = [decode(o.value) for offset, came in enumerate(log) for o in app.handle(source(offset, came))]
    assert [(r.action, r.reason) for r in records if isinstance(r, Arbitrage)] == [
        ("open", ""), ("close", "disconnected"),
    ]  # fmt: skip


@pytest.mark.parametrize("restarted", [False, True])
def test_a_killed_feed_holds_the_others_up_for_a_stated_time(restarted: bool) -> None:
    """Its collector could not say `disconnected`. Its quote ages out, and others go on."""
    app, metrics = joined()

    def at(at_ms: int, *came: Came) -> list[tuple[str, str, int]]:
        nonlocal app
        found = [decode(o.value) for each in came for o in app.handle(source(at_ms, each))]
        if restarted:
            app = Arbitrageur(SETTINGS, metrics, encode).restore(app.dump())
        return [(r.action, r.reason, int(r.recv_time_ns) // 1_000_000) for r in found if isinstance(r, Arbitrage)]

    assert not at(5_020, Came(1, bbo("okx", "BTC-USDT", 5_020, 101, 102)))
    assert not at(5_030, Came(0, bbo("binance", "BTCUSDT", 5_030, 99, 100)))
    told = {at_ms: at(at_ms, Came(0, bbo("binance", "BTCUSDT", at_ms, 99, 100))) for at_ms in range(5_500, 30_000, 500)}
    last_ms = 5_020 + SETTINGS.merge_silence_ms + SETTINGS.merge_hold_ms
    seen_ms = min(at_ms for at_ms, found in told.items() if found)
    assert last_ms < seen_ms <= last_ms + 1_000, "told by the time before the last one"
    opened, closed = ("open", "", 5_030), ("close", "stale", 5_020 + SETTINGS.max_quote_age_ms)
    assert [each for found in told.values() for each in found] == [opened, closed]
    assert not metrics.counts["events"]["late"] + metrics.counts["events"]["joining"]
    assert not at(29_600, Came(1, bbo("okx", "BTC-USDT", 29_600, 101, 102)))
    assert metrics.counts["events"]["joining"] == 1, "it is back"


def test_who_holds_the_watermark_back_can_be_seen() -> None:
    app, metrics = joined()

    def seen() -> list[float]:
        return [metrics.gauges[n][1]() for n in ("watermark_behind_seconds", "watermark_partition", "waiting")]

    app.handle(source(0, Came(1, beat("okx", "BTC-USDT", 2_000))))
    for offset, at_ms in enumerate((6_000, 9_000, 9_500), 1):
        app.handle(source(offset, Came(0, bbo("binance", "BTCUSDT", at_ms, 99, 100))))
    assert seen() == pytest.approx([7.1, 1, 3]), "nothing came of partition 1 since 2 s"
    app.handle(source(4, Came(1, beat("okx", "BTC-USDT", 9_400))))
    assert seen() == pytest.approx([0.1, -1, 3]), "two quotes, and the end of the first one"


def test_as_many_quotes_as_may_wait_fit_into_the_state() -> None:
    """One message of the changelog; long names and prices, all of them waiting for a partition that was killed."""
    app, metrics = joined(Settings())
    symbol, quotes = "BTC-26DEC26-100000-C", Settings().waiting_quotes_max + 1
    for offset in range(quotes):
        quote = bbo("deribit", symbol, 10_001 + offset * 50_000 // quotes, 98_765, 98_766)
        quote = structs.replace(quote, instrument=symbol, bid_quantity="12.34567890", ask_quantity="0.00012345")
        app.handle(source(offset, Came(0, quote)))
    assert metrics.counts["events"]["forced"]
    assert len(app.dump()) < 0.8 * max(topic.max_message_bytes for topic in TOPICS), "see processors.app"


def test_what_would_be_read_too_far_ahead_is_refused() -> None:
    with pytest.raises(ValidationError, match="read_ahead_ms"):
        Settings(read_ahead_ms=10_000)


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
        self.ends, self.at, self.begins = ends, dict.fromkeys(ends, -1001), dict.fromkeys(ends, 0)
        self.paused: set[int] = set()

    def committed(self, partitions: list[TopicPartition], timeout: Any = None) -> list[TopicPartition]:
        return [TopicPartition(tp.topic, tp.partition, 0) for tp in partitions]

    def position(self, partitions: list[TopicPartition]) -> list[TopicPartition]:
        return [TopicPartition(tp.topic, tp.partition, self.at[tp.partition]) for tp in partitions]

    def get_watermark_offsets(
        self, partition: TopicPartition, timeout: Any = None, cached: bool = False
    ) -> tuple[int, int]:
        return self.begins[partition.partition], self.ends[partition.partition]

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


def test_nobody_waits_for_records_that_expired_unread() -> None:
    log = Log({0: 10, 1: 10})
    log.begins[1] = 10
    alignment = Alignment("t", 20)
    alignment.assign(log, [0, 1])
    alignment.noting(lambda *_: (), lambda: 0)(b"", b"", 1000, None, None)
    log.at[0] = 1
    alignment.look(log, 1.0)
    assert log.paused == set()
