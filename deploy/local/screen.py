"""What a person sees: lines that stay, and one last line that changes in place (on a terminal)."""

from __future__ import annotations

import shutil
import sys
import time
from typing import TextIO

PIPE_INTERVAL_S = 10.0
"""Where the output is no terminal, a changing line is written this often."""


class Screen:
    """Never raises: a terminal that was closed must not disturb a clean stop."""

    def __init__(self, out: TextIO | None = None) -> None:
        self._out = out or sys.stdout
        self.is_terminal = self._out.isatty()
        self.closed = False
        """Nobody reads any more: the terminal is gone, or the pipe."""
        self._live = False
        self._written_at = 0.0
        self._last = ""

    def say(self, text: str = "") -> None:
        """A line that stays."""
        self._write(("\r\x1b[K" if self._live else "") + text + "\n")
        self._live = False

    def live(self, text: str) -> None:
        """The line that changes."""
        if self.is_terminal:
            width = shutil.get_terminal_size().columns - 1
            self._write("\r\x1b[K" + text[:width])
            self._live = True
        elif text != self._last and time.monotonic() - self._written_at >= PIPE_INTERVAL_S:
            self._last, self._written_at = text, time.monotonic()
            self._write(text + "\n")

    def _write(self, text: str) -> None:
        if self.closed:
            return
        try:
            self._out.write(text)
            self._out.flush()
        except (OSError, ValueError):
            self.closed = True
