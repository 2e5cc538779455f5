"""What the Redis sink's writer keeps in a real server besides values: markers, and the life of keys."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis

from marketdata.codec import encoder
from runtime.config import Config
from sinks.redis.commands import commands
from sinks.redis.tables import lasting
from sinks.redis.writer import Writer
from tests.integration.conftest import MakeConfig
from tests.sinks import samples

encode = encoder()
K = "binance.spot.BTCUSDT"


@pytest.fixture
def config(make_config: MakeConfig) -> Config:
    return make_config()


@pytest.fixture
def client(config: Config) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(config.redis.url, decode_responses=True) as client:
        yield client


def test_each_process_knows_whether_redis_has_what_it_wrote(config: Config) -> None:
    """Two share the partitions. An emptied Redis that one has filled again still lacks what the other knows."""
    one, other = (
        Writer(config.model_copy(update={"sinks": config.sinks.model_copy(update={"instance": name})})) for name in "01"
    )
    assert (one.marked(), other.marked()) == (False, False)
    one.mark()
    assert (one.marked(), other.marked()) == (True, False)
    one.close()
    other.close()


def test_what_lasts_is_given_its_whole_life_again(config: Config, client: redis.Redis) -> None:
    writer, prefix = Writer(config), config.environment.redis_prefix
    records = [("md.feed_status", samples.feed_status()), ("md.book", samples.book()), ("md.trade", samples.trade())]
    writer.write([command for topic, record in records for command in commands(topic, K, encode(record), prefix)])
    keys = list(client.scan_iter(f"{prefix}*"))
    assert len(keys) == 4
    for key in keys:
        client.expire(key, 100)
    writer.keep(lasting(K))
    writer.keep(lasting("no.such.symbol"))
    writer.close()
    renewed = {key.removeprefix(prefix) for key in keys if client.ttl(key) > config.sinks.redis.ttl_s - 60}
    assert renewed == set(lasting(K))
    assert set(client.scan_iter(f"{prefix}*")) == set(keys)
