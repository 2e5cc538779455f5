"""normalise, klines, reconcile on a real broker: killed and stopped, they publish what a clean run does."""

from __future__ import annotations

import json
import signal
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from marketdata import raw, topics
from marketdata.topics import Topic, topic_name
from runtime.config import Config
from runtime.kafka import ensure_topics, producer_settings
from tests.integration.conftest import MakeConfig, ServiceFactory
from tests.integration.services import Service

SYMBOLS = ("AAAUSDT", "BBBUSDT", "CCCUSDT", "DDDUSDT")
T0 = 1_700_006_400_000
MINUTES = 12
TRADES_PER_S = 20
OUTPUTS = (
    topics.MD_TRADE, topics.MD_GAP, topics.MD_KLINE, topics.MD_VENUE_KLINE, topics.MD_KLINE_RESIDUAL,
    topics.MD_MARK_PRICE, topics.MD_FUNDING, topics.MD_LONG_SHORT,
)  # fmt: skip
APPS = ("processors.normalise", "processors.klines", "processors.reconcile")
SHORT_SESSION = {"MARKETPRISM_KAFKA__SESSION_TIMEOUT_MS": "2000"}
"""For the process that is to lose it: the others must not lose theirs to a busy machine."""

pytestmark = pytest.mark.timeout(900)


class RawLog:
    """A market of which ingest missed a little, written as ingest writes it."""

    def __init__(self, config: Config) -> None:
        self._prefix = config.environment.topic_prefix
        self._producer = Producer(producer_settings(config, linger_ms=20))
        self.records = 0

    def put(
        self, topic: Topic, symbol: str, at_ms: int, kind: str, channel: str, value: bytes, conn: str, path: str = ""
    ) -> None:
        self.records += 1
        headers = raw.to_kafka(raw.Headers(kind, channel, str(at_ms * 1_000_000), conn, str(self.records)))
        if path:
            headers.append((raw.PATH_HEADER, path.encode()))
        market = "perp" if topic is topics.RAW_DERIVATIVE else "spot"
        # Kafka's own timestamp is now: a log of another year would be deleted by its age
        self._producer.produce(
            topic_name(self._prefix, topic), value, f"binance.{market}.{symbol}".encode(), headers=headers
        )
        self._producer.poll(0)

    def derivatives(self, symbol: str) -> None:
        """A perpetual: mark prices by two connections that overlap, and replies that repeat what the last one said."""
        to = topics.RAW_DERIVATIVE
        self.put(to, symbol, T0, "connected", "", connected(["mark_price"], "start"), "c1")
        overlapping = raw.encode_value(raw.ConnectedValue("ws://x", ["mark_price"], "rotation", overlaps=True))
        self.put(to, symbol, T0, "connected", "", overlapping, "c2")
        path = f"/futures/data/globalLongShortAccountRatio?symbol={symbol}&period=5m&limit=6"
        for n in range(MINUTES * 20):
            at_ms = T0 + n * 3_000
            for conn in ("c1", "c2"):
                self.put(to, symbol, at_ms + 3, "frame", "mark_price", mark_price_frame(symbol, at_ms), conn)
            if n % 20 == 0:
                self.put(to, symbol, at_ms + 5, "poll", "long_short", ratios(symbol, at_ms), "", path)

    def market(self, symbol: str) -> None:
        """Trades and the venue's candles of one symbol; at minute 4 some trades are lost in a reconnect."""
        conn, number = "c1", 1000
        both = ((topics.RAW_TRADE, ["trade"]), (topics.RAW_KLINE, ["kline"]))
        for topic, channels in both:
            self.put(topic, symbol, T0, "connected", "", connected(channels, "start"), conn)
        minute: list[tuple[int, Decimal, Decimal, bool]] = []
        for tick in range(MINUTES * 60 * TRADES_PER_S):
            at_ms = T0 + tick * 1000 // TRADES_PER_S
            price, quantity = Decimal(100 + tick * 7 % 13) + Decimal("0.01"), Decimal(1 + tick % 5) / 8
            if tick and tick % (60 * TRADES_PER_S) == 0:
                self.put(topics.RAW_KLINE, symbol, at_ms, "frame", "kline", venue_kline(symbol, at_ms, minute), conn)
                minute = []
            number += 1
            minute.append((number, price, quantity, bool(tick % 2)))
            if tick == 4 * 60 * TRADES_PER_S + 100:
                for topic, channels in both:
                    self.put(topic, symbol, at_ms, "disconnected", "", disconnected(channels), conn)
            if 0 <= tick - (4 * 60 * TRADES_PER_S + 100) < 5:
                continue  # lost
            if tick == 4 * 60 * TRADES_PER_S + 105:
                conn = "c2"
                for topic, channels in both:
                    self.put(topic, symbol, at_ms, "connected", "", connected(channels, "reconnect"), conn)
            frame = trade_frame(symbol, at_ms, number, price, quantity, bool(tick % 2))
            self.put(topics.RAW_TRADE, symbol, at_ms + 3, "frame", "trade", frame, conn)
            if tick % 500 == 7:  # the second collector's copy
                self.put(topics.RAW_TRADE, symbol, at_ms + 4, "frame", "trade", frame, conn)
            if tick % TRADES_PER_S == TRADES_PER_S - 1:
                beat = b'{"venue_time_us":%d}' % (at_ms * 1000)
                self.put(topics.RAW_TRADE, symbol, at_ms + 5, "heartbeat", "", beat, conn)

    def close(self) -> None:
        assert self._producer.flush(30) == 0


def connected(channels: list[str], reason: str) -> bytes:
    return raw.encode_value(raw.ConnectedValue(url="ws://x", channels=channels, reason=reason))


def disconnected(channels: list[str]) -> bytes:
    return raw.encode_value(raw.DisconnectedValue(reason="closed 1006", channels=channels))


def trade_frame(symbol: str, at_ms: int, number: int, price: Decimal, quantity: Decimal, maker: bool) -> bytes:
    data = {
        "e": "trade", "E": at_ms + 1, "s": symbol, "t": number, "p": f"{price:.8f}", "q": f"{quantity:.8f}",
        "T": at_ms, "m": maker, "M": True,
    }  # fmt: skip
    return json.dumps({"stream": f"{symbol.lower()}@trade", "data": data}).encode()


def mark_price_frame(symbol: str, at_ms: int) -> bytes:
    data = {
        "e": "markPriceUpdate", "E": at_ms, "s": symbol, "p": "100.5", "P": "100.4", "i": "100.1", "r": "-0.0001",
        "T": T0 + 8 * 3_600_000,
    }  # fmt: skip
    return json.dumps({"stream": f"{symbol.lower()}@markPrice@1s", "data": data}).encode()


def ratios(symbol: str, at_ms: int) -> bytes:
    """The last six periods of five minutes."""
    newest_ms = at_ms // 300_000 * 300_000
    share = {"symbol": symbol, "longShortRatio": "1.5", "longAccount": "0.6", "shortAccount": "0.4"}
    return json.dumps([{**share, "timestamp": newest_ms - n * 300_000} for n in range(5, -1, -1)]).encode()


def venue_kline(symbol: str, end_ms: int, trades: list[tuple[int, Decimal, Decimal, bool]]) -> bytes:
    prices = [p for _, p, _, _ in trades]
    k = {
        "t": end_ms - 60_000, "T": end_ms - 1, "s": symbol, "i": "1m", "f": trades[0][0], "L": trades[-1][0],
        "o": f"{prices[0]:.8f}", "c": f"{prices[-1]:.8f}", "h": f"{max(prices):.8f}", "l": f"{min(prices):.8f}",
        "v": f"{sum(q for _, _, q, _ in trades):.8f}", "n": len(trades), "x": True,
        "q": f"{sum(p * q for _, p, q, _ in trades):.8f}",
        "V": f"{sum((q for _, _, q, m in trades if not m), Decimal()):.8f}",
        "Q": f"{sum((p * q for _, p, q, m in trades if not m), Decimal()):.8f}", "B": "0",
    }  # fmt: skip
    body = {"stream": f"{symbol.lower()}@kline_1m", "data": {"e": "kline", "E": end_ms + 10, "s": symbol, "k": k}}
    return json.dumps(body).encode()


Records = dict[tuple[str, bytes], list[bytes]]


def published(config: Config) -> Records:
    """Everything in the output topics, by (topic, key), in order, repeats of a record removed."""
    found: Records = defaultdict(list)
    seen: dict[tuple[str, bytes], set[bytes]] = defaultdict(set)
    for topic in (*OUTPUTS, topics.MD_DEAD_LETTER):
        for key, value in read(config, topic):
            # md.gap has records of several raw topics, which may interleave as they like
            name = topic.name + (json.loads(value)["channel"] if topic is topics.MD_GAP else "")
            if value not in seen[name, key]:
                seen[name, key].add(value)
                found[name, key].append(value)
    return found


def read(config: Config, topic: Topic) -> Iterator[tuple[bytes, bytes]]:
    consumer = Consumer(
        {"bootstrap.servers": config.kafka.bootstrap_servers, "group.id": "reader", "enable.partition.eof": False}
    )
    name = topic_name(config.environment.topic_prefix, topic)
    try:
        for partition in consumer.list_topics(name, timeout=10).topics[name].partitions:
            _, end = consumer.get_watermark_offsets(TopicPartition(name, partition), timeout=10)
            consumer.assign([TopicPartition(name, partition, 0)])
            at = 0
            while at < end:
                message = consumer.poll(30)
                assert message is not None, f"{name} {partition} ends at {end} but only {at} came"
                assert message.error() is None, message.error()
                at = message.offset() + 1
                yield message.key(), message.value()
    finally:
        consumer.close()


def published_count(config: Config) -> int:
    """How many records the output topics hold, repeats included."""
    consumer = Consumer({"bootstrap.servers": config.kafka.bootstrap_servers, "group.id": "reader"})
    names = [topic_name(config.environment.topic_prefix, topic) for topic in OUTPUTS]
    try:
        found = consumer.list_topics(timeout=10).topics
        places = [TopicPartition(name, partition) for name in names for partition in found[name].partitions]
        return sum(consumer.get_watermark_offsets(place, timeout=10)[1] for place in places)
    finally:
        consumer.close()


def wait(what: str, condition: Callable[[], bool], timeout_s: float = 120) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not happen within {timeout_s:.0f} s"
        time.sleep(0.1)


def caught_up(app: Service) -> bool:
    """True when the watchdog saw partitions and nothing waits in them (looked at twice: inputs may still grow)."""
    try:
        found = {k: v for k, v in app.metrics().items() if k.split("{")[0].endswith("_lag")}
    except OSError:
        return False
    return bool(found) and not any(found.values())


def settle(config: Config, apps: list[Service]) -> None:
    """Until all input was read and nothing new is published for a while."""
    counted = [-1]

    def quiet() -> bool:
        if not all(caught_up(app) for app in apps):
            return False
        total = published_count(config)
        same, counted[0] = total == counted[0], total
        if not same:
            time.sleep(3)  # longer than the watchdog's look at the broker
        return same

    wait("catching up", quiet, 360)


def records_in(app: Service) -> float:
    try:
        return sum(v for k, v in app.metrics().items() if "_records_in_total" in k)
    except OSError:
        return 0.0


def test_killed_and_stopped_processors_publish_what_a_clean_run_does(
    make_config: MakeConfig, service: ServiceFactory
) -> None:
    settings: dict[str, Any] = {"processors": {"commit_interval_s": 1}, "kafka": {"partitions": 2}}
    clean = make_config(**settings)
    ensure_topics(clean)
    log = RawLog(clean)
    for symbol in SYMBOLS:
        log.market(symbol)
        log.derivatives(symbol)
    log.close()
    with service(APPS[0], clean) as a, service(APPS[1], clean) as b, service(APPS[2], clean) as c:
        for app in (a, b, c):
            app.wait_ready()
        settle(clean, [a, b, c])
        assert [app.stop() for app in (a, b, c)] == [0, 0, 0], a.tail()
    expected = published(clean)
    check_content(expected)

    rough = make_config(**settings, environment={"raw_topic_prefix": clean.environment.topic_prefix})
    running = {name: service(name, rough) for name in APPS}
    apps = {name: context.__enter__() for name, context in running.items()}
    to_kill: list[tuple[str, dict[str, str]]] = [*((name, {}) for name in (*APPS, APPS[0])), (APPS[1], SHORT_SESSION)]
    for name, env in to_kill:
        victim = apps[name]
        before = records_in(victim)
        wait(f"{name} at work", lambda v=victim, b=before: records_in(v) > b or caught_up(v), 120)  # type: ignore[misc]
        victim.kill()
        running[name] = service(name, rough, **env)
        apps[name] = running[name].__enter__()
    stopped = apps[APPS[1]]
    stopped.wait_ready()
    stopped.process.send_signal(signal.SIGSTOP)
    time.sleep(4)  # past its session: that is what this case is about
    stopped.process.send_signal(signal.SIGCONT)
    wait("the stopped processor ends itself", lambda: stopped.process.poll() is not None, 60)
    assert stopped.process.returncode == 70
    assert "stood still" in stopped.tail() or "lost" in stopped.tail()
    running[APPS[1]] = service(APPS[1], rough)
    apps[APPS[1]] = running[APPS[1]].__enter__()
    settle(rough, list(apps.values()))
    assert [app.stop() for app in apps.values()] == [0, 0, 0]
    got = published(rough)
    assert {k: len(v) for k, v in got.items()} == {k: len(v) for k, v in expected.items()}
    for at, records in expected.items():
        assert got[at] == records, f"{at} differs"


def check_content(records: Records) -> None:
    """The clean run itself: nothing lost but what was lost, and candles that equal the venue's."""
    for symbol in SYMBOLS:
        key = f"binance.spot.{symbol}".encode()
        found = [json.loads(v) for v in records["md.trade", key]]
        ids = [int(r["trade_id"]) for r in found if r["type"] == "trade"]
        assert len(ids) == len(set(ids)) == MINUTES * 60 * TRADES_PER_S - 5
        (gap,) = [json.loads(v) for v in records["md.gaptrade", key]]
        assert (gap["missing_count"], gap["reason"]) == (5, "disconnected")
        klines = [json.loads(v) for v in records["md.kline", key]]
        minutes = [k for k in klines if k["interval"] == "1m" and k["is_closed"]]
        assert [(k["complete"], k["reasons"]) for k in minutes[:6]] == [
            (False, ["begun_before_capture"]), (True, []), (True, []), (True, []), (False, ["gap"]), (True, [])
        ]  # fmt: skip
        residuals = [json.loads(v) for v in records["md.kline_residual", key]]
        assert len(residuals) == MINUTES - 1
        assert [r["matched"] for r in residuals] == [n != 4 for n in range(MINUTES - 1)]
        lost = residuals[4]
        assert (lost["trade_count_diff"], lost["ours_complete"]) == (-5, False)
        perpetual = f"binance.perp.{symbol}".encode()
        counts = [len(records[topic, perpetual]) for topic in ("md.mark_price", "md.funding", "md.long_short")]
        assert counts == [MINUTES * 20, MINUTES * 20, 6 + (MINUTES - 1) // 5]
    assert not any(topic == "md.dead_letter" for topic, _ in records)
