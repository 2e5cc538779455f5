"""`python -m simulator --config FILE`: serve the exchange until SIGTERM."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
import time
from pathlib import Path
from typing import Protocol

import uvloop

from marketdata.errors import ConfigError
from runtime.config.simulator import Simulator
from runtime.service import Service, start
from simulator.connection import Connection
from simulator.recording import BadRecording
from simulator.replay import Replay, read_recording
from simulator.server import Server
from simulator.synthetic import Synthetic

SHUTDOWN_TIMEOUT_S = 2.0
STUCK_S_MAX = 10.0


class Runner(Protocol):
    async def run(self) -> None: ...

    def close(self) -> None: ...


def make_runner(config: Simulator, server: Server) -> Runner:
    if config.recording is not None:
        return Replay(config, server, read_recording(Path(config.recording)))
    return Synthetic(config, server)


async def serve(service: Service) -> None:
    config = service.config.simulator
    server = Server(config)
    runner = make_runner(config, server)
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for sig in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(sig, stop.set)
    listener = await loop.create_server(lambda: Connection(server), config.host, config.port)
    alive = [time.monotonic()]
    service.health.live["loop"] = lambda: (
        None if time.monotonic() - alive[0] < STUCK_S_MAX else "the event loop stands still"
    )
    service.health.ready["listening"] = lambda: None if listener.is_serving() else "not listening"
    service.log.info("listening", extra={"data": {"address": f"{config.host}:{config.port}"}})

    async def beat() -> None:
        while True:
            alive[0] = time.monotonic()
            await asyncio.sleep(1.0)

    tasks = [loop.create_task(work) for work in (runner.run(), server.keep_alive(), beat(), stop.wait())]
    done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    listener.close()
    for task in tasks:
        task.cancel()
    failed = [exc for task in done if (exc := task.exception()) is not None]
    server.close_all(1001, "Server shutdown")
    try:
        runner.close()
        deadline = time.monotonic() + SHUTDOWN_TIMEOUT_S
        while server.connections and time.monotonic() < deadline:
            await asyncio.sleep(0.02)
    finally:
        if failed:  # the cause, not what followed from it
            raise failed[0]


def main() -> int:
    service = start("simulator")
    try:
        uvloop.run(serve(service))
    except (OSError, sqlite3.OperationalError, BadRecording, ConfigError) as exc:
        config = service.config.simulator
        service.log.error(
            f"cannot serve {config.host}:{config.port} from {config.recording or config.state_dir}: {exc}"
        )
        return 1
    service.log.info("stopped")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
