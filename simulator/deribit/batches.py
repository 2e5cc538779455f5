"""Rows that are told together a while after the first of them."""

from __future__ import annotations

from collections.abc import Sequence


class Batches:
    """By channel. What is added waits for `due`."""

    def __init__(self) -> None:
        self.rows: dict[str, tuple[int, list[str]]] = {}

    def add(self, channel: str, rows: Sequence[str], due_us: int) -> None:
        """`due_us` counts where nothing waits yet."""
        self.rows.setdefault(channel, (due_us, []))[1].extend(rows)

    def due(self, now_us: int) -> list[tuple[str, list[str]]]:
        """Taken out."""
        ready = [channel for channel, (due_us, _) in self.rows.items() if due_us <= now_us]
        return [(channel, self.rows.pop(channel)[1]) for channel in ready]
