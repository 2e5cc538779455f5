"""A processor with a bug: it hangs for ever on a record that says so. For the test of the watchdog."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from marketdata import topics
from processors.app import Definition, Stage, run
from processors.metrics import Metrics
from processors.outputs import Output, SourceRecord
from runtime.service import start


def handle(_state: list[int], source: SourceRecord) -> Sequence[Output]:
    if source.value == b"hang":
        threading.Event().wait()
    return [Output("md.trade", source.value, source.key)]


def main() -> None:
    service = start("hanging")
    stage = Stage((topics.RAW_TRADE,), handle, lambda _key: [0], lambda _key, _blob: [0], lambda _state: b"0")
    run(service, Definition("hanging", [stage], (topics.MD_TRADE,), Metrics("hanging")))


if __name__ == "__main__":
    main()
