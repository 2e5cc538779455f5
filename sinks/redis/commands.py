"""Records to guarded writes: pure. Also which of two writes to one place is newer, and when each may go out."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from marketdata import codec
from marketdata.decimals import is_whole
from marketdata.errors import BadData, UnparsableFrame
from marketdata.keys import parse_key
from sinks.redis.tables import HEADS, Rule

QUOTE_RESET_S = 60
"""A quote with a lower id received this much later means that the exchange began to count anew."""

UNTIMED = "0"
"""`Command.ts` of a record without a receive time."""

TIME_DIGITS_MAX = 19
"""Of nanoseconds in 64 bits."""

_encode_json = codec.encoder("json")


class Command(NamedTuple):
    """One write. Field names as `guard.lua` takes them."""

    key: str
    field: str
    """"" for a string value, whose guard is the hash `{key}:guard`."""
    rule: Rule
    seq: str
    ts: str
    payload: bytes
    channel: str
    owner: str
    up: bool
    topic: str
    """Where it came from, for the latency metric."""


Place = tuple[str, str]
"""(key, field): what commands compete for."""


def commands(topic: str, key: str, payload: bytes, prefix: str = "") -> list[Command]:
    """The writes of one record of `topic` (name without the environment's prefix); none where it is of no interest.

    Raises BadData when it is not a record of ours, or could not be put into an order with others.
    """
    kind, decoder = HEADS[topic]
    try:
        if payload[:1] != b"{":
            payload = _encode_json(codec.decode(payload))
        head = decoder.decode(payload)
    except codec.UNDECODABLE as exc:
        raise UnparsableFrame(f"not a MarketPrism record: {exc}") from None
    if head.type != kind.tag:  # type: ignore[attr-defined]
        return []
    if kind.by_symbol:
        parse_key(key)
    ts = _time(head.recv_time_ns)  # type: ignore[attr-defined]
    return [
        Command(
            prefix + slot.key, slot.field, slot.rule, slot.seq, ts, payload,
            f"ch:{prefix}{slot.key}" if slot.publish else "", slot.owner, slot.up, topic,
        )
        for slot in kind.slots(key, head)
    ]  # fmt: skip


def _time(text: str) -> str:
    """A receive time as the rules take it: digits. Raises BadData."""
    if text and not (is_whole(text) and len(text) <= TIME_DIGITS_MAX):
        raise BadData("time_range", f"{text[:40]!r} is no time in nanoseconds")
    return text or UNTIMED


def supersedes(new: Command, old: Command) -> bool:
    """Whether `new` replaces `old` at the same place. The same rules as guard.lua."""
    newer = _above(new.seq, old.seq)
    if new.rule == "book" and not newer:
        return (new.seq == old.seq or not new.up) and not _above(old.ts, new.ts)
    if new.rule == "feed" and newer:
        return not (not new.up and old.up and old.owner != new.owner)
    if new.rule == "quote" and not newer:
        return len(new.ts) > 10 and len(old.ts) > 10 and int(new.ts[:-9]) - int(old.ts[:-9]) > QUOTE_RESET_S
    return newer


def _above(a: str, b: str) -> bool:
    return (len(a), a) > (len(b), b)


class Coalescer:
    """Keeps the newest command per place; lets the first go at once, then one per `min_interval_s`.

    It also remembers the last command of every place, so that an emptied Redis can be filled again. Bounded by the
    number of places (symbols times kinds).
    """

    def __init__(self, min_interval_s: float) -> None:
        self._min_interval_s = min_interval_s
        self._newest: dict[Place, Command] = {}
        self._ready: dict[Place, Command] = {}
        self._held: dict[Place, Command] = {}
        self._due: deque[tuple[float, Place]] = deque()
        """In order of time, because the interval is the same for all. A place in it waits before it may go again."""
        self._waiting: set[Place] = set()

    def offer(self, command: Command) -> bool:
        """Take a command in; False when what is known already supersedes it."""
        place = (command.key, command.field)
        known = self._newest.get(place)
        if known is not None:
            if not supersedes(command, known):
                return False
            if command.rule == "book" and _above(known.seq, command.seq):
                command = command._replace(seq=known.seq)  # as the script does: a sick book never lowers the order
        self._newest[place] = command
        if place in self._waiting:
            self._held[place] = command
        else:
            self._ready[place] = command
        return True

    def take(self, now_s: float) -> list[Command]:
        """What may be written now. Put it back with `restore` when writing failed."""
        while self._due and self._due[0][0] <= now_s:
            _, place = self._due.popleft()
            self._waiting.discard(place)
            held = self._held.pop(place, None)
            if held is not None:
                self._ready[place] = held
        return self._hand_out(now_s)

    def take_all(self, now_s: float) -> list[Command]:
        """Everything not yet written, whatever its interval: before a commit."""
        self._ready |= self._held
        self._held.clear()
        return self._hand_out(now_s)

    def restore(self, commands: list[Command]) -> None:
        """Commands that could not be written go back, unless newer ones came meanwhile."""
        for command in commands:
            place = (command.key, command.field)
            if self._newest[place] is command:
                self._ready[place] = command
                self._held.pop(place, None)

    def refill(self) -> None:
        """Redis came up empty: everything known is to be written again."""
        self._held.clear()
        self._ready = dict(self._newest)

    def next_due_s(self) -> float | None:
        """When a held value may go out; None when none is held. `ready` ones may go at once."""
        return self._due[0][0] if self._held else None

    @property
    def ready(self) -> bool:
        return bool(self._ready)

    def _hand_out(self, now_s: float) -> list[Command]:
        out = list(self._ready.values())
        due_s = now_s + self._min_interval_s
        for place in self._ready:
            if place not in self._waiting:
                self._waiting.add(place)
                self._due.append((due_s, place))
        self._ready = {}
        return out
