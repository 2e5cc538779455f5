"""The whole pipeline of services in front of the session's servers, for end-to-end tests."""

from __future__ import annotations

import contextlib
import json
import time
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

from runtime.config import Config
from tests.integration.services import Service

PROCESSORS = (
    "processors.normalise",
    "processors.books",
    "processors.klines",
    "processors.reconcile",
    "processors.arbitrage",
)
SINKS = ("sinks.clickhouse", "sinks.redis")

ServiceFactory = Callable[..., contextlib.AbstractContextManager[Service]]


@contextlib.contextmanager
def running(service: ServiceFactory, config: Config, *modules: str) -> Iterator[dict[str, Service]]:
    """These services, started together and ready; stopped in the opposite order."""
    with contextlib.ExitStack() as stack:
        services = {module: stack.enter_context(service(module, config)) for module in modules}
        for running_service in services.values():
            running_service.wait_ready()
        yield services


def get_json(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=10) as reply:
        return json.loads(reply.read())


def wait_until(condition: Callable[[], object], timeout_s: float, what: str, every_s: float = 0.2) -> None:
    """Polls until the condition is true; an AssertionError names what did not come, with its last value."""
    deadline = time.monotonic() + timeout_s
    value: object = None
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return
        time.sleep(every_s)
    raise AssertionError(f"{what}: not within {timeout_s:.0f} s (last: {value!r})")


def wait_until_empty(problems: Callable[[], list[str]], timeout_s: float, every_s: float = 1.0) -> None:
    """Polls until nothing is wrong any more; an AssertionError lists what still is."""
    deadline = time.monotonic() + timeout_s
    while found := problems():
        assert time.monotonic() < deadline, f"still wrong after {timeout_s:.0f} s:\n" + "\n".join(found)
        time.sleep(every_s)
