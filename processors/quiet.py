"""Log lines that repeat: librdkafka says the same about a broker that is away many times a second."""

from __future__ import annotations

import logging
import time

REPEAT_AFTER_S = 10.0
REMEMBERED_MAX = 256


class QuietRepeats(logging.Filter):
    """Passes a line of the client libraries once per `REPEAT_AFTER_S`."""

    def __init__(self) -> None:
        super().__init__()
        self._last: dict[tuple[str, str], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        if not record.name.startswith(("quixstreams", "rdkafka")):
            return True
        line, now = (record.name, record.getMessage()), time.monotonic()
        before = self._last.get(line)
        if before is not None and now - before < REPEAT_AFTER_S:
            return False
        if len(self._last) >= REMEMBERED_MAX:
            self._last.clear()
        self._last[line] = now
        return True


def quieten() -> None:
    """Apply it to everything that is logged."""
    quiet = QuietRepeats()
    for handler in logging.getLogger().handlers:
        handler.addFilter(quiet)
