"""The process as a whole, without Kafka and without a venue."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from ingest.app import App
from ingest.records import Record
from ingest.spill import Spill
from runtime.config import Config
from runtime.service import Service
from tests.ingest.ingest_servers import until


def test_an_end_that_fails_still_puts_on_disk_what_kafka_has_not_got(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ingest = {"spill_dir": str(tmp_path), "stop_timeout_s": 0.1}
    config = Config.model_validate({"kafka": {"bootstrap_servers": "127.0.0.1:9"}, "ingest": ingest})
    service = Service("ingest", config, 0)
    record = Record("raw.trade", b"k", b"v", [], 1_700_000_000_000)

    async def fail() -> None:
        raise OSError("the connection to Redis did not close")

    async def test() -> None:
        app = App(service)
        monkeypatch.setattr(app._addresses, "close", fail)
        running = asyncio.create_task(app.run())
        app.producer.release()
        await until(lambda: not app.producer.spilling)
        app.producer.publish(record)
        assert app.producer.outstanding == 1
        service.stop.set()
        with pytest.raises(OSError, match="did not close"):
            await running

    asyncio.run(test())
    service.server.shutdown()
    service.server.server_close()
    left = Spill(next(tmp_path.iterdir()), 1 << 20, 1 << 14)
    found = left.read()
    assert found is not None
    assert found[0] == record
    left.close()
