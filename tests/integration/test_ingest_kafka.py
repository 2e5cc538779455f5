"""`python -m ingest` between the simulator and a real Kafka that stops, dies and comes back."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
from confluent_kafka import KafkaException, Producer

from deploy.local import servers
from ingest.app import kafka_settings
from ingest.metrics import ProducerTally
from ingest.producer import RawProducer
from ingest.records import Record
from ingest.spill import Spill
from marketdata.raw import connected_decoder, disconnected_decoder
from marketdata.topics import TOPICS
from runtime.config import Config
from runtime.kafka import ensure_topics
from tests.integration import accounting, stack
from tests.integration.conftest import ServiceFactory
from tests.integration.services import Service
from tests.ports import free_ports

SYMBOLS = ["BTCUSDT", "ETHUSDT", "SOLUSDT"]
CHANNELS = ["trade", "agg_trade", "book", "bbo", "kline", "ticker"]
SPILLED = "marketprism_ingest_records_spilled_total"
RAW = [t.name for t in TOPICS if t.name.startswith("raw.")]


class Broker:
    """A Kafka of this module's own, to be stopped and killed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.port, self._controller_port = free_ports(2)
        self.running = self._start()

    def _start(self) -> servers.Running:
        server = servers.kafka(self._folder / "kafka", stack.JARS_DIR, self.port, self._controller_port, 256)
        running = servers.Running(server, self._folder / "kafka.log")
        running.wait_ready()
        return running

    def signal(self, number: signal.Signals) -> None:
        os.killpg(self.running.process.pid, number)

    def kill(self) -> None:
        self.signal(signal.SIGKILL)
        self.running.stop()

    def restart(self) -> None:
        self.running = self._start()


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    made = Broker(tmp_path_factory.mktemp("broker"))
    yield made
    with contextlib.suppress(ProcessLookupError):
        made.signal(signal.SIGCONT)
    made.running.stop()


@pytest.fixture
def config(broker: Broker, tmp_path: Path) -> Config:
    (port,) = free_ports(1)
    address = f"127.0.0.1:{port}"
    name = f"i{port}"
    return Config.model_validate(
        {
            "environment": {"name": name, "topic_prefix": f"{name}.", "simulated": True},
            "kafka": {"bootstrap_servers": f"127.0.0.1:{broker.port}"},
            "exchanges": {
                "binance": {
                    "spot": {
                        "ws_url": f"ws://{address}", "rest_url": f"http://{address}",
                        "symbols": SYMBOLS, "channels": CHANNELS,
                    }
                }
            },
            "ingest": {"spill_dir": str(tmp_path / "spill"), "stall_after_s": 1.0, "snapshot_demand_interval_s": 1.0},
            "simulator": {
                "port": port, "state_dir": str(tmp_path / "sim"), "symbols": [*SYMBOLS, "XRPUSDT"], "frames_per_s": 300,
            },
        }
    )  # fmt: skip


def until(condition: Callable[[], object], what: str, timeout_s: float = 120.0) -> None:
    deadline = time.monotonic() + timeout_s
    while True:
        with contextlib.suppress(OSError):
            if condition():
                return
        assert time.monotonic() < deadline, f"not within {timeout_s:.0f} s: {what}"
        time.sleep(0.1)


def frames_in(ingest: Service) -> float:
    return ingest.total("marketprism_ingest_frames_total")


def more_frames(ingest: Service, count: int) -> None:
    begin = frames_in(ingest)
    until(lambda: frames_in(ingest) > begin + count, f"{count} more frames")


def check_order(messages: list[accounting.Message]) -> dict[str, set[int]]:
    """Per key and topic the frames of a connection stand in their order (repeats aside). Returns what was seen: the
    sequence numbers of each connection."""
    newest: dict[tuple[str, str, str], int] = {}
    seen: dict[str, set[int]] = defaultdict(set)
    for m in messages:
        if m.headers["kind"] != "frame":
            continue
        conn, seq = m.headers["conn"], int(m.headers["seq"])
        if seq in seen[conn]:
            continue
        seen[conn].add(seq)
        place = (m.topic, m.key, conn)
        assert seq > newest.get(place, 0), f"{place}: {seq} after {newest[place]}"
        newest[place] = seq
        assert m.timestamp_ms == int(m.headers["recv_ns"]) // 1_000_000
    return seen


def missing(seen: set[int]) -> list[int]:
    return sorted(set(range(1, max(seen) + 1)) - seen)


def kinds(messages: list[accounting.Message], topic: str, key: str) -> list[str]:
    return [m.headers["kind"] for m in messages if (m.topic, m.key) == (topic, key)]


def test_a_dead_broker_loses_no_frame(config: Config, broker: Broker, service: ServiceFactory) -> None:
    with service("simulator", config) as simulator, service("ingest", config) as ingest:
        simulator.wait_ready()
        ingest.wait_ready()
        more_frames(ingest, 500)
        broker.signal(signal.SIGSTOP)
        until(lambda: ingest.total(SPILLED) > 500, "spilling while Kafka stands still")
        broker.signal(signal.SIGCONT)
        until(lambda: ingest.total("marketprism_ingest_spilling") == 0, "drained")
        more_frames(ingest, 200)
        broker.kill()
        spilled = ingest.total(SPILLED)
        until(lambda: ingest.total(SPILLED) > spilled + 500, "spilling again")
        assert ingest.get("/livez")[0] == 200
        assert ingest.get("/readyz")[0] == 503
        broker.restart()
        until(lambda: ingest.total("marketprism_ingest_spilling") == 0, "drained again")
        more_frames(ingest, 200)
        assert ingest.total("marketprism_ingest_records_lost_total") == 0
        assert ingest.total("marketprism_ingest_disconnects_total") == 0
        assert ingest.stop() == 0
        sent = _trades(config, "BTCUSDT")
    messages = accounting.read_topics(config, RAW)
    ((_, seen),) = check_order(messages).items()
    assert missing(seen) == []
    for symbol in SYMBOLS:
        for topic in ("raw.trade", "raw.book", "raw.bbo", "raw.kline", "raw.ticker"):
            told = kinds(messages, topic, f"binance.spot.{symbol}")
            assert told[:2] == ["instrument", "connected"]
            assert told[-1] == "disconnected"
            assert ("heartbeat" in told) == (topic in ("raw.trade", "raw.book", "raw.bbo"))
        assert "snapshot" in kinds(messages, "raw.book", f"binance.spot.{symbol}")
    frames = {
        json.loads(m.value)["data"]["t"]: json.loads(m.value)["data"]
        for m in messages
        if m.topic == "raw.trade" and m.key == "binance.spot.BTCUSDT" and m.headers["channel"] == "trade"
    }
    ids = sorted(frames)
    assert ids == list(range(ids[0], ids[-1] + 1))
    assert {i: f for i, f in frames.items() if i in sent} == {i: f for i, f in sent.items() if ids[0] <= i <= ids[-1]}


def _trades(config: Config, symbol: str) -> dict[int, Any]:
    """The trades the simulator made, by id."""
    url = f"http://127.0.0.1:{config.simulator.port}/sim/sent?symbol={symbol}&stream=trade&limit=1000000"
    with urlopen(url) as reply:
        return {t["t"]: t for t in map(json.loads, json.load(reply)["trades"])}


def test_what_was_spilled_survives_a_killed_ingest(config: Config, broker: Broker, service: ServiceFactory) -> None:
    with service("simulator", config) as simulator, service("ingest", config) as ingest:
        simulator.wait_ready()
        ingest.wait_ready()
        more_frames(ingest, 300)
        broker.signal(signal.SIGSTOP)
        until(lambda: ingest.total(SPILLED) > 400, "spilling")
        spilled = int(ingest.total(SPILLED))
        ingest.kill()
        broker.signal(signal.SIGCONT)
        with service("ingest", config) as again:
            again.wait_ready()
            more_frames(again, 300)
            until(lambda: again.total("marketprism_ingest_spill_bytes") == 0, "the spill is sent")
            assert again.stop() == 0
    messages = accounting.read_topics(config, RAW)
    first, second = check_order(messages).values()
    assert missing(second) == []
    # At most what the client held when the process died is missing; of what reached the disk, nothing.
    hole = missing(first)
    assert hole == [] or max(first) - hole[-1] >= spilled * 0.5
    told = [m for m in messages if m.topic == "raw.book" and m.key == "binance.spot.BTCUSDT"]
    connects = [connected_decoder.decode(m.value) for m in told if m.headers["kind"] == "connected"]
    assert [c.overlaps for c in connects] == [False, False]
    assert [m.headers["kind"] for m in told].count("disconnected") == 1


def test_records_that_come_back_are_sent_again_in_order(broker: Broker, config: Config, tmp_path: Path) -> None:
    """The topic does not exist at first: Kafka returns the records, and takes them once it does."""
    topic = f"{config.environment.topic_prefix}raw.trade"
    settings = {**kafka_settings(config), "topic.metadata.propagation.max.ms": 300}
    tally = ProducerTally()
    producer = RawProducer(settings, Spill(tmp_path / "s", 1 << 24, 1 << 16), tally, 1.0, lambda r, why: None)
    producer.release()
    number = 0

    def publish() -> bool:
        nonlocal number
        producer.publish(Record(topic, b"k%d" % (number % 3), b"%d" % number, [("kind", b"frame")], 1_700_000_000_000))
        number += 1
        producer.tick(time.monotonic())
        return producer.recoveries > 0

    until(publish, "records came back")
    ensure_topics(config)

    def drained() -> bool:
        producer.tick(time.monotonic())
        return not producer.spilling and producer.outstanding == 0

    until(drained, "records sent again")
    for _ in range(50):
        publish()
    producer.close(10)
    assert tally.lost == 0
    found: list[accounting.Message] = []

    def readable() -> bool:
        with contextlib.suppress(KafkaException):  # a partition may still be without a leader
            found[:] = accounting.read_topics(config, ["raw.trade"])
        return bool(found)

    until(readable, "the topic can be read")
    values: dict[str, list[int]] = defaultdict(list)
    for m in found:
        values[m.key].append(int(m.value))
    assert {key: list(dict.fromkeys(numbers)) for key, numbers in values.items()} == {
        f"k{n}": list(range(n, number, 3)) for n in range(3)
    }


def test_wishes_are_followed_live(config: Config, broker: Broker, service: ServiceFactory) -> None:
    prefix = config.environment.topic_prefix
    with service("simulator", config) as simulator, service("ingest", config) as ingest:
        simulator.wait_ready()
        ingest.wait_ready()
        more_frames(ingest, 100)
        wish = Producer({"bootstrap.servers": config.kafka.bootstrap_servers})
        wish.produce(f"{prefix}control.subscription", b'{"channels":["trade","book"]}', b"binance.spot.XRPUSDT")
        wish.produce(f"{prefix}control.subscription", b'{"channels":[]}', b"binance.spot.SOLUSDT")
        assert wish.flush(30) == 0
        until(lambda: ingest.total("marketprism_ingest_streams_subscribed") == 2 * len(CHANNELS) + 2, "the new state")
        until(lambda: ingest.get("/readyz")[0] == 200, "the new streams")
        before = ingest.total("marketprism_ingest_snapshots_total")
        wish.produce(f"{prefix}control.snapshot", b'{"reason":"crossed 2 >= 1"}', b"binance.spot.XRPUSDT")
        assert wish.flush(30) == 0
        until(lambda: ingest.total("marketprism_ingest_snapshots_total") > before, "the snapshot asked for")
        more_frames(ingest, 100)
        ingest.process.send_signal(signal.SIGTERM)
        assert ingest.stop() == 0
    messages = accounting.read_topics(config, [*RAW, "md.dead_letter"])
    assert len(check_order([m for m in messages if m.topic != "md.dead_letter"])) == 1  # one connection all along
    for topic in ("raw.trade", "raw.book"):
        fresh = [m for m in messages if (m.topic, m.key) == (topic, "binance.spot.XRPUSDT")]
        assert [m.headers["kind"] for m in fresh[:2]] == ["instrument", "connected"]
        gone = [m for m in messages if (m.topic, m.key) == (topic, "binance.spot.SOLUSDT")]
        assert gone[-1].headers["kind"] == "disconnected"
        assert disconnected_decoder.decode(gone[-1].value).reason == "unsubscribed"
    assert not [m for m in messages if m.topic == "md.dead_letter"]


def test_rules_select_and_others_decide(config: Config, broker: Broker, service: ServiceFactory) -> None:
    """A rule brings symbols in and says so in control.subscription; who decides otherwise there wins.

    Which four of five symbols turn over most is the market's affair; that one of the two no pattern names is among
    them is not.
    """
    prefix = config.environment.topic_prefix
    values = config.model_dump()
    spot = values["exchanges"]["binance"]["spot"]
    spot |= {"symbols": ["BTCUSDT"], "channels": ["trade"]}
    spot["select"] = [{"patterns": ["S*", "X*"], "channels": ["trade", "ticker"]}, {"top": 4, "quotes": ["USDT"]}]
    values["simulator"]["symbols"] = [*SYMBOLS, "XRPUSDT", "ADAUSDT"]
    ruled = Config.model_validate(values)
    with service("simulator", ruled) as simulator, service("ingest", ruled) as ingest:
        simulator.wait_ready()
        ingest.wait_ready()
        captured = "marketprism_ingest_symbols_captured"
        until(lambda: ingest.total(captured) >= 4, "the selection")
        until(lambda: ingest.get("/readyz")[0] == 200, "its streams")
        before = ingest.total(captured)
        wish = Producer({"bootstrap.servers": config.kafka.bootstrap_servers})
        wish.produce(f"{prefix}control.subscription", b'{"channels":[]}', b"binance.spot.SOLUSDT")
        assert wish.flush(30) == 0
        until(lambda: ingest.total(captured) == before - 1, "the symbol taken out")
        assert ingest.stop() == 0
    told = accounting.read_topics(ruled, ["control.subscription"])
    newest = {m.key: json.loads(m.value) for m in told}
    assert newest["binance.spot.XRPUSDT"] == {"channels": ["trade", "ticker"], "source": "config"}
    assert newest["binance.spot.SOLUSDT"] == {"channels": []}
    assert newest["binance.spot.BTCUSDT"] == {"channels": ["trade"], "source": "config"}
    assert len(newest) >= 4
    with service("simulator", ruled) as simulator, service("ingest", ruled) as ingest:
        simulator.wait_ready()
        ingest.wait_ready()
        until(lambda: ingest.total(captured) >= 3, "the selection again")
        more_frames(ingest, 50)
        assert ingest.stop() == 0
    again = {m.key: m.value for m in accounting.read_topics(ruled, ["control.subscription"])}
    for name in ("BTCUSDT", "SOLUSDT", "XRPUSDT"):
        key = f"binance.spot.{name}"
        assert json.loads(again[key]) == newest[key]
