"""What the consumer of all sinks takes at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from marketdata.topics import MD_TRADE
from runtime.config import Config
from sinks.consumer import SinkConsumer
from tests.sinks.loop_kit import Message


class Log:
    """In the place of the client: records of 1,000 bytes, as many as are asked for."""

    def __init__(self) -> None:
        self.offset = 0

    def poll(self, timeout_s: float) -> Any:
        self.offset += 1
        return Message("md.trade", b"x" * 1000, self.offset)


@pytest.fixture
def consumer() -> Iterator[SinkConsumer]:
    config = Config.model_validate({"kafka": {"bootstrap_servers": "127.0.0.1:1"}})
    made = SinkConsumer(config, "group", [MD_TRADE])
    real, made._consumer = made._consumer, Log()
    yield made
    real.close()


@pytest.mark.parametrize(("records_max", "bytes_max", "taken"), [(7, 10**9, 7), (2_000, 4_500, 5), (2_000, 1, 1)])
def test_it_takes_no_more_than_either_bound(
    consumer: SinkConsumer, records_max: int, bytes_max: int, taken: int
) -> None:
    """Records may have a megabyte: by their number alone the memory is not bounded."""
    assert len(consumer.consume(records_max, bytes_max, 1.0)) == taken
