"""The Redis sink: its script against the rules in Python, and `python -m sinks.redis` through crashes and outages."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from confluent_kafka import Producer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deploy.local import servers
from marketdata.codec import encoder
from runtime.config import Config
from runtime.config.stores import Redis as RedisSection
from runtime.kafka import ensure_topics, producer_settings
from sinks.redis.commands import Coalescer, Command, commands
from sinks.redis.writer import Writer
from tests.integration.conftest import MakeConfig, ServiceFactory
from tests.ports import free_ports
from tests.sinks import samples

MODULE = "sinks.redis"
K = "binance.spot.BTCUSDT"
encode = encoder()
DERIVATIVES = {
    "mark_price": "mark_price", "open_interest": "open_interest", "liquidation": "liquidation",
    "long_short": "long_short:global_account", "volatility": "volatility",
}  # fmt: skip
"""Topic, and what its last value is called in Redis."""


def until(check: Callable[[], Any], timeout_s: float = 120.0) -> Any:
    deadline = time.monotonic() + timeout_s
    said: object = None
    while time.monotonic() < deadline:
        try:
            said = check()
        except (redis.exceptions.RedisError, OSError) as exc:
            said = exc
        else:
            if said:
                return said
        time.sleep(0.02)
    raise AssertionError(f"not within {timeout_s:.0f} s, last: {said!r}")


@contextlib.contextmanager
def client_of(config: Config) -> Iterator[redis.Redis]:
    client = redis.Redis.from_url(config.redis.url, decode_responses=True)
    try:
        yield client
    finally:
        client.close()


def produce(config: Config, records: Iterable[tuple[str, Any]], key: str = K) -> None:
    producer = Producer(producer_settings(config))
    for topic, record in records:
        value = record if isinstance(record, bytes) else encode(record)
        producer.produce(config.environment.topic_prefix + topic, value, key)
        producer.poll(0)
    assert producer.flush(30) == 0


def made(topic: str, record: Any, prefix: str = "") -> list[Command]:
    return commands(topic, K, encode(record), prefix)


# --- the script --------------------------------------------------------------------------------------

times = st.integers(0, 200).map(lambda s: str(1_767_225_600_000_000_000 + s * 1_000_000_000))
records = st.one_of(
    st.tuples(
        st.just("md.book"),
        st.builds(
            samples.book,
            st.integers(8, 12),
            epoch=st.integers(0, 1),
            recv_time_ns=times,
            state=st.sampled_from(["ok", "ok", "stale", "resyncing"]),
        ),
    ),
    st.tuples(st.just("md.bbo"), st.builds(samples.bbo, st.integers(8, 12), recv_time_ns=times)),
    st.tuples(st.just("md.trade"), st.builds(samples.trade, st.integers(8, 12), recv_time_ns=times)),
    st.tuples(
        st.just("md.feed_status"),
        st.builds(
            samples.feed_status,
            state=st.sampled_from(["connected", "disconnected"]),
            connection=st.sampled_from("ab"),
            recv_time_ns=times,
        ),
    ),
    st.tuples(
        st.just("md.kline"),
        st.builds(samples.kline, st.integers(0, 1), revision=st.integers(0, 1), is_closed=st.booleans()),
    ),
)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(st.lists(records, min_size=1, max_size=25), st.integers(0, 25))
def test_the_script_decides_as_the_rules_in_python(
    make_config: MakeConfig, redis_url: str, sequence: list[tuple[str, Any]], again: int
) -> None:
    """Also after the sink was killed and reads from `again` once more, with an empty memory."""
    config = Config(redis=RedisSection(url=redis_url))
    writer = Writer(config)
    prefix = "script:"
    with client_of(config) as client:
        for key in client.scan_iter(f"{prefix}*"):
            client.delete(key)
        rules = Coalescer(0.0)
        for topic, record in sequence:
            for command in made(topic, record, prefix):
                assert writer.write([command]) == [rules.offer(command)]
        before = {key: client.type(key) for key in client.scan_iter(f"{prefix}*")}
        for topic, record in sequence[again:]:
            for command in made(topic, record, prefix):
                assert writer.write([command]) == [rules.offer(command)]
        assert {key: client.type(key) for key in client.scan_iter(f"{prefix}*")} == before
    writer.close()


def test_a_server_without_the_script_gets_it(redis_url: str) -> None:
    config = Config(redis=RedisSection(url=redis_url))
    writer = Writer(config)
    with client_of(config) as client:
        client.script_flush()
        (command,) = made("md.trade", samples.trade(), "fresh:")
        assert writer.write([command], [K]) == [True]
        assert client.smembers("md:symbols") >= {K}
        client.delete(command.key, "md:symbols")
    writer.close()


# --- the process -------------------------------------------------------------------------------------


def test_the_newest_of_everything_is_shown_and_published(make_config: MakeConfig, service: ServiceFactory) -> None:
    config = make_config()
    prefix = config.environment.redis_prefix
    ensure_topics(config)
    with client_of(config) as client, service(MODULE, config) as sink:
        sink.wait_ready()
        listener = client.pubsub()  # type: ignore[no-untyped-call]
        listener.psubscribe(f"ch:{prefix}*")
        until(lambda: (listener.get_message(timeout=1) or {}).get("type") == "psubscribe")
        produce(
            config,
            [
                *(("md.trade", samples.trade(n)) for n in (1, 3, 2)),
                ("md.trade", samples.gap()),
                ("md.trade", b"not json"),
                *(("md.bbo", samples.bbo(n)) for n in (5, 4)),
                ("md.ticker", samples.ticker(1)),
                *(("md.book", samples.book(n)) for n in (7, 8, 6)),
                ("md.kline", samples.kline(0)),
                ("md.kline", samples.kline(1, is_closed=False)),
                ("md.bbo", samples.heartbeat()),
                *(
                    ("md.funding", samples.of("md.funding", event_time_us=samples.AT_US + n, rate=f"-0.000{n}"))
                    for n in (1, 3, 2)
                ),
                ("md.funding", samples.of("md.funding", event_time_us=samples.AT_US + 4, settled=True)),
                *((f"md.{kind}", samples.of(f"md.{kind}")) for kind in DERIVATIVES),
                ("md.feed_status", samples.feed_status()),
            ],
        )
        produce(config, [("md.arbitrage", samples.arbitrage(n)) for n in (0, 2, 1)], "BTC-USDT")
        until(lambda: client.hget(f"{prefix}md:feed:{{{K}}}", "trade"))
        until(
            lambda: (
                client.hget(f"{prefix}kline:{{{K}}}:1m", "latest") == encode(samples.kline(1, is_closed=False)).decode()
            )
        )
        last = f"{prefix}md:last:{{{K}}}"
        until(lambda: client.hget(f"{last}:trade", "json") == encode(samples.trade(3)).decode())
        trade = client.hgetall(f"{last}:trade")
        assert trade["ts"] == samples.WHOSE["recv_time_ns"]
        assert trade["seq"]
        until(lambda: client.hget(f"{last}:bbo", "json") == encode(samples.bbo(5)).decode())
        until(lambda: client.hget(f"{last}:ticker", "json") == encode(samples.ticker(1)).decode())
        for kind, name in DERIVATIVES.items():
            wanted = encode(samples.of(f"md.{kind}")).decode()
            until(lambda name=name, wanted=wanted: client.hget(f"{last}:{name}", "json") == wanted)  # type: ignore[misc]
        until(lambda: json.loads(client.hget(f"{last}:funding", "json") or "{}").get("rate") == "-0.0003")
        pair = "binance.spot.BTCUSDT>kraken.spot.BTC/USDT"
        until(lambda: json.loads(client.hget(f"{prefix}arb:{{BTC-USDT}}", pair) or "{}").get("sequence") == 2)
        until(lambda: client.get(f"{prefix}md:book:{{{K}}}") == encode(samples.book(8)).decode())
        assert client.hget(f"{prefix}kline:{{{K}}}:1m", "closed") == encode(samples.kline(0)).decode()
        assert client.smembers(f"{prefix}md:symbols") == {K}
        for key in client.scan_iter(f"{prefix}*{K}*"):
            assert 0 < client.ttl(key) <= config.sinks.redis.ttl_s, key
        published: dict[str, str] = {}

        def heard() -> bool:
            while message := listener.get_message(timeout=0.05):
                published[message["channel"]] = message["data"]
            return len(published) >= 13

        until(heard)
        assert json.loads(published[f"ch:{last}:trade"])["trade_id"] == "3"
        assert json.loads(published[f"ch:{prefix}md:book:{{{K}}}"])["update_id"] == "8"
        listener.close()
        assert sink.total("marketprism_redis_latency_seconds_count") > 0
        unparsable = 'marketprism_redis_records_total{fate="unparsable",topic="md.trade"}'
        until(lambda: sink.metrics().get(unparsable) == 1)
        assert sink.stop() == 0


def test_a_book_that_is_not_ok_replaces_the_good_one(make_config: MakeConfig, service: ServiceFactory) -> None:
    config = make_config()
    ensure_topics(config)
    key = f"{config.environment.redis_prefix}md:book:{{{K}}}"
    with client_of(config) as client, service(MODULE, config) as sink:
        produce(config, [("md.book", samples.book(10))])
        until(lambda: client.get(key))
        sick = samples.book(
            0, update_id="", state="resyncing", reason="gap", bids=[], asks=[], recv_time_ns="1767225601000000000"
        )
        produce(config, [("md.book", sick)])
        until(lambda: json.loads(client.get(key) or "{}")["state"] == "resyncing")
        produce(
            config, [("md.book", samples.book(9, recv_time_ns="1767225600500000000")), ("md.book", samples.book(11))]
        )
        until(lambda: json.loads(client.get(key) or "{}")["update_id"] == "11")
        assert sink.stop() == 0


def test_killed_again_and_again_it_ends_with_the_newest(make_config: MakeConfig, service: ServiceFactory) -> None:
    config = make_config()
    ensure_topics(config)
    key = f"{config.environment.redis_prefix}md:last:{{{K}}}:trade"
    with client_of(config) as client:
        for round_ in range(3):
            first = round_ * 2_000
            produce(config, (("md.trade", samples.trade(n)) for n in range(first, first + 2_000)))

            def moved(first: int = first) -> bool:
                return int(json.loads(client.hget(key, "json") or '{"trade_id": -1}')["trade_id"]) > first

            with service(MODULE, config) as sink:
                until(moved)
                sink.kill()
        with service(MODULE, config) as sink:
            sink.wait_ready()
            until(lambda: json.loads(client.hget(key, "json") or "{}")["trade_id"] == "5999")
            assert sink.stop() == 0


@pytest.mark.parametrize("sink_restarts", [False, True], ids=["sink stays", "sink restarts as well"])
def test_redis_killed_and_back_empty(
    make_config: MakeConfig, service: ServiceFactory, tmp_path: Path, sink_restarts: bool
) -> None:
    """Everything comes back, also what has no new data: slow tickers and closed candles."""
    (port,) = free_ports(1)
    config = make_config().model_copy(update={"redis": RedisSection(url=f"redis://{servers.HOST}:{port}/0")})
    prefix = config.environment.redis_prefix
    ensure_topics(config)
    slow = [("md.ticker", samples.ticker(1)), ("md.kline", samples.kline(0)), ("md.book", samples.book(3))]

    def complete(newest: int) -> bool:
        with client_of(config) as client:
            return (
                json.loads(client.hget(f"{prefix}md:last:{{{K}}}:trade", "json") or "{}").get("trade_id") == str(newest)
                and client.hget(f"{prefix}md:last:{{{K}}}:ticker", "json") == encode(samples.ticker(1)).decode()
                and client.hget(f"{prefix}kline:{{{K}}}:1m", "closed") == encode(samples.kline(0)).decode()
                and client.get(f"{prefix}md:book:{{{K}}}") == encode(samples.book(3)).decode()
                and client.smembers(f"{prefix}md:symbols") == {K}
            )

    with contextlib.ExitStack() as stack:
        sink = stack.enter_context(service(MODULE, config))
        with servers.Running(servers.valkey(tmp_path / "one", port), tmp_path / "one.log") as running:
            running.wait_ready()
            produce(config, [*slow, ("md.trade", samples.trade(1))])
            until(lambda: complete(1))
            until(lambda: sink.get("/readyz")[0] == 200)
            with client_of(config) as client:
                until(lambda: client.exists(f"{prefix}md:sink:0"))
            running.process.kill()
            running.process.wait()
        produce(config, (("md.trade", samples.trade(n)) for n in range(2, 100)))
        if sink_restarts:
            sink.kill()
            sink = stack.enter_context(service(MODULE, config))
        else:
            until(lambda: sink.get("/readyz")[0] == 503)
            assert sink.get("/livez")[0] == 200
        # another data folder: as if it had never held anything
        with servers.Running(servers.valkey(tmp_path / "two", port), tmp_path / "two.log") as running:
            running.wait_ready()
            until(lambda: complete(99))
            until(lambda: sink.get("/readyz")[0] == 200)
            assert sink.stop() == 0
