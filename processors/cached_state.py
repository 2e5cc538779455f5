"""Keyed state as live Python objects, written to quixstreams' state once per checkpoint.

quixstreams calls `sink.flush()` before it turns the checkpoint's state transactions into changelog records, so a sink
is a "before commit" hook made of public API alone. At the first touch of a key in a checkpoint the version stored in
state is compared with the live object's: a partition that was handed over and came back, or a checkpoint that was
dropped, makes them differ, and the object is read again.

Beside each object stands, per input topic, the offset of the last record applied to it. A record at or below it was
already applied (redelivered after partitions were lost and regained) and is skipped. A process that stood still past
its session is ended by the watchdog, because another one may have gone on with its partitions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

from quixstreams.models import HeadersTuples
from quixstreams.sinks import BaseSink
from quixstreams.state import State

S = TypeVar("S")

VERSION_KEY = "v"
BLOB_KEY = "b"


class Entry(Generic[S]):
    """A live object and how far it has come."""

    __slots__ = ("applied", "live", "version")

    def __init__(self, live: S, version: int, applied: dict[str, int]) -> None:
        self.live = live
        self.version = version
        self.applied = applied
        """Input topic -> offset of the last record applied."""


class CachedState(BaseSink, Generic[S]):
    """Live objects by key. `open` one per record, change it in place; `flush` is the framework's.

    With `stagger` n > 1 each object is written at every n-th checkpoint only, so that not all of them are dumped in
    one pause. After a crash such an object is older than the committed offsets: only for objects that notice missing
    input themselves (a book whose update ids must chain) and can recover from it.
    """

    def __init__(
        self,
        new: Callable[[bytes], S],
        load: Callable[[bytes, bytes], S],
        dump: Callable[[S], bytes],
        stagger: int = 1,
    ) -> None:
        """`new(key)` makes the object of a key never seen, `load(key, blob)` one from what `dump` wrote."""
        super().__init__(on_client_connect_success=lambda: None)
        self._new, self._load, self._dump = new, load, dump
        self._stagger = max(1, stagger)
        self._entries: dict[bytes, Entry[S]] = {}
        self._open: dict[bytes, State[str, Any]] = {}
        self._checkpoint = 0
        self.flush_all = False
        """Set before a clean stop: the next flush writes every object that was touched, staggered or not."""
        self.reloads = 0
        self.dumps = 0

    def __len__(self) -> int:
        return len(self._entries)

    def open(self, key: bytes, state: State[str, Any]) -> Entry[S]:
        """The live entry of a key; valid until the next `flush`."""
        if key in self._open:  # hot path: one lookup after the first touch per checkpoint
            return self._entries[key]
        stored = state.get(VERSION_KEY)
        version, applied = (stored[0], stored[1]) if stored else (0, {})
        entry = self._entries.get(key)
        if entry is None or entry.version != version:
            blob = state.get_bytes(BLOB_KEY)
            live = self._new(key) if blob is None else self._load(key, blob)
            entry = self._entries[key] = Entry(live, version, dict(applied))
            self.reloads += 1
        self._open[key] = state
        return entry

    def flush(self) -> None:
        """Write the touched objects into state. Called by the checkpoint before changelog records are made."""
        self._checkpoint += 1
        for key, state in self._open.items():
            if (
                self._stagger > 1
                and not self.flush_all
                and hash(key) % self._stagger != self._checkpoint % self._stagger
            ):
                continue
            entry = self._entries[key]
            state.set_bytes(BLOB_KEY, self._dump(entry.live))
            state.set(VERSION_KEY, [entry.version + 1, entry.applied])
            entry.version += 1
            self.dumps += 1
        self._open.clear()

    def forget(self) -> None:
        """Drop every live object: the next touch reads from state."""
        self._open.clear()
        self._entries.clear()

    def add(
        self,
        value: object,
        key: object,
        timestamp: int,
        headers: HeadersTuples,
        topic: str,
        partition: int,
        offset: int,
    ) -> None:
        """Unused: nothing is sunk here."""

    def on_paused(self) -> None:
        """Another sink asked for a pause and the input will be rewound: live objects are ahead of it."""
        self.forget()
