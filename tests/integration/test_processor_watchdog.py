"""Processors that would stand still for ever: hung in a call, or reading from a broker that was killed."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import KafkaException, Producer

from deploy.local import servers
from marketdata import topics
from marketdata.topics import topic_name
from processors.watchdog import EXIT_STATUS
from runtime.config import Config
from runtime.kafka import ensure_topics, producer_settings
from tests.integration.conftest import MakeConfig, ServiceFactory
from tests.integration.services import Service
from tests.integration.stack import JARS_DIR
from tests.integration.test_trade_processors import RawLog, connected, read, records_in, trade_frame, wait
from tests.ports import free_ports

pytestmark = pytest.mark.timeout(600)


def test_a_processor_that_hangs_ends_itself(make_config: MakeConfig, service: ServiceFactory) -> None:
    config = make_config(processors={"watchdog_timeout_s": 3, "commit_interval_s": 1})
    ensure_topics(config)
    producer = Producer(producer_settings(config))
    raw_trade = topic_name(config.environment.topic_prefix, topics.RAW_TRADE)
    with service("tests.integration.hanging_processor", config) as app:
        app.wait_ready()
        producer.produce(raw_trade, b"fine", b"binance.spot.A")
        producer.flush(10)
        wait("the first record", lambda: records_in(app) == 1, 90)
        assert app.get("/livez")[0] == 200
        for value in (b"hang", b"waits"):
            producer.produce(raw_trade, value, b"binance.spot.A")
        producer.flush(10)
        wait("the end of the process", lambda: app.process.poll() is not None, 90)
        assert app.process.returncode == EXIT_STATUS
        last = json.loads(app.tail(1))
        assert last["logger"] == "watchdog"
        assert "no record processed" in last["reason"]


class Broker:
    """A Kafka of our own, to be killed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._port, self._controller_port = free_ports(2)
        self.address = f"{servers.HOST}:{self._port}"
        self.running = self._start()

    def _start(self) -> servers.Running:
        server = servers.kafka(self._folder / "data", JARS_DIR, self._port, self._controller_port, heap_mb=384)
        running = servers.Running(server, self._folder / "kafka.log")
        running.wait_ready()
        return running

    def kill_and_restart(self) -> None:
        os.killpg(self.running.process.pid, signal.SIGKILL)
        self.running.process.wait()
        self.running.stop()
        self.running = self._start()


class Supervised:
    """A service that is started again whenever it ends, as the supervisor does."""

    def __init__(self, start: Callable[[], Any]) -> None:
        self._start = start
        self._context = start()
        self.service: Service = self._context.__enter__()
        self.restarts = 0

    def look(self) -> Service:
        if self.service.process.poll() is not None:
            self._context = self._start()
            self.service = self._context.__enter__()
            self.restarts += 1
        return self.service


@pytest.fixture
def own_config(tmp_path: Path) -> Any:
    broker = Broker(tmp_path / "own-kafka")
    config = Config.model_validate(
        {
            "environment": {"name": "own", "topic_prefix": "own.", "simulated": True},
            "kafka": {"bootstrap_servers": broker.address},
            "processors": {"state_dir": str(tmp_path / "state"), "commit_interval_s": 1, "watchdog_timeout_s": 6},
        }
    )
    yield broker, config
    broker.running.stop()


def test_a_killed_broker_stops_nothing_for_good(own_config: tuple[Broker, Config], service: ServiceFactory) -> None:
    broker, config = own_config
    ensure_topics(config)
    names = ("processors.normalise", "processors.klines")
    apps = [Supervised(lambda n=name: service(n, config)) for name in names]  # type: ignore[misc]
    for app in apps:
        app.service.wait_ready()
    log = RawLog(config)
    log.put(topics.RAW_TRADE, "AAAUSDT", 1_700_000_000_000, "connected", "", connected(["trade"], "start"), "c1")
    sent = 0

    def send(count: int) -> None:
        nonlocal sent
        for _ in range(count):
            at_ms = 1_700_000_000_000 + sent * 50
            frame = trade_frame("AAAUSDT", at_ms, 1000 + sent, Decimal(100), Decimal(1), True)
            log.put(topics.RAW_TRADE, "AAAUSDT", at_ms, "frame", "trade", frame, "c1")
            if sent % 20 == 19:
                beat = b'{"venue_time_us":%d}' % (at_ms * 1000)
                log.put(topics.RAW_TRADE, "AAAUSDT", at_ms, "heartbeat", "", beat, "c1")
            sent += 1

    def came() -> set[str]:
        values = (json.loads(value) for _, value in read(config, topics.MD_TRADE))
        return {v["trade_id"] for v in values if v["type"] == "trade"}

    send(2_000)
    wait("the first trades", lambda: len(came()) == 2_000, 120)
    send(500)
    broker.kill_and_restart()
    send(2_000)
    log.close()

    def caught_up() -> bool:
        for app in apps:
            app.look()
        try:
            return came() == {str(1000 + n) for n in range(sent)}
        except KafkaException:  # the broker has only just come back
            return False

    wait("all trades", caught_up, 180)

    def closed_minutes() -> set[int]:
        for app in apps:
            app.look()
        klines = (json.loads(value) for _, value in read(config, topics.MD_KLINE))
        return {k["open_time"] for k in klines if k["interval"] == "1m" and k["is_closed"]}

    wait("the candles", lambda: len(closed_minutes()) >= sent * 50 // 60_000 - 1, 120)
