"""Faults asked for: what happens to frames, connections and REST replies. Pure: `now_s` is given."""

from __future__ import annotations

import re
from collections import Counter
from fnmatch import fnmatchcase
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Kind = Literal[
    "drop",
    "duplicate",
    "reorder",
    "corrupt",
    "silence",
    "disconnect",
    "refuse",
    "slow",
    "stale_snapshot",
    "rest",
    "shutdown",
    "sequence_reset",
    "instrument_state",
    "drop_subscription",
    "no_snapshot",
    "clear",
]
FRAME_KINDS = frozenset(("drop", "duplicate", "reorder", "corrupt", "silence"))
ALL = "*"


class Fault(BaseModel):
    """Body of POST /sim/fault. A fault strikes `count` times, or for `duration_s` where that is given.

    kind               what happens                                                 fields
    drop               frames are not sent                                          stream, count | duration_s
    duplicate          frames are sent twice                                        stream, count
    reorder            a frame is sent after the one that follows it                stream, count
    corrupt            a frame is not JSON, cut short, or holds an absurd value     stream, count, how
    silence            no data, pings go on                                         stream, duration_s
    slow               frames are written late, in order                            delay_s, duration_s
    disconnect         close with code and reason, or cut without a word            connection, code, reason, abrupt
    refuse             handshakes are refused                                       status, count | duration_s
    shutdown           the venue's notice of a restart, close after delay_s         connection, delay_s
    rest               REST replies 429, 418, 503...; 429, 418 with Retry-After     status, retry_after_s, path, count
    stale_snapshot     depth requests get the book as it was when this was asked    symbol, count
    sequence_reset     ids count anew: OKX's maintenance reset, restarts of others  stream
    instrument_state   instruments are in another state: delivered ones leave the  symbol, state
                       listings, with `open` they are created anew (Deribit)
    drop_subscription  a subscription is acknowledged and stays without data, or    stream, count
                       where the venue drops silently is missing from the reply
    no_snapshot        a stream that begins with a snapshot begins with an update   stream, count
    clear              forget all faults at work

    `venue` is a segment's name (spot, usdm, okx, htx, hbdm, deribit, kraken) or `*`; `stream` a stream's name, a glob
    as `books:*`, or `*`; `connection` a number from /sim/status, all when left out; `path` is what follows /api/v3/ at
    Binance spot, elsewhere the path after the segment's prefix, a glob or `*`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Kind
    venue: str = ALL
    stream: str = ALL
    symbol: str = ALL
    count: int = Field(1, ge=1, le=1_000_000)
    duration_s: float | None = Field(None, gt=0, le=86_400)
    connection: int | None = None
    code: int = 1001
    reason: str = ""
    abrupt: bool = False
    status: int = 429
    retry_after_s: int = 5
    delay_s: float = 1.0
    how: Literal["json", "value", "truncate"] = "json"
    path: str = ALL
    state: Literal["open", "settlement", "delivered", "inactive", "locked", "halted", "archivized"] = "open"


class Active:
    """A fault at work: so many frames more, or until a time."""

    def __init__(self, fault: Fault, now_s: float) -> None:
        self.fault = fault
        self.left = fault.count
        self.until_s = now_s + fault.duration_s if fault.duration_s is not None else None
        self.held: Payload | None = None

    def expired(self, now_s: float) -> bool:
        return now_s >= self.until_s if self.until_s is not None else self.left <= 0

    def describe(self) -> dict[str, Any]:
        return self.fault.model_dump(exclude_defaults=True) | {"kind": self.fault.kind, "left": self.left}


class Payload:
    """One event's JSON in the time units asked for; `whole` is its combined form where that is given (recordings)."""

    __slots__ = ("by_unit", "whole")

    def __init__(self, by_unit: dict[int, bytes], whole: bytes | None = None) -> None:
        self.by_unit = by_unit
        self.whole = whole

    def corrupted(self, how: str) -> Payload:
        return Payload({unit: _corrupt(data, how) for unit, data in self.by_unit.items()})


def matches(pattern: str, name: str) -> bool:
    """Whether a name is the one meant, or one of the glob's."""
    return pattern in (ALL, name) or fnmatchcase(name, pattern)


FIRST_VALUE = re.compile(rb'(":"|":|\[\["|\[\[)(?=[0-9])')


def _corrupt(data: bytes, how: str) -> bytes:
    """Bytes a healthy venue never sends: not JSON, half a frame, or a value that cannot be."""
    if how == "truncate":
        return data[: len(data) // 2]
    if how == "value":
        for name in (b'"p":"', b'"b":"', b'"o":"', b'"c":"'):
            if name in data:
                return data.replace(name, name + b"-x", 1)
        if b'[["' in data:
            return data.replace(b'[["', b'[["-x', 1)
        return FIRST_VALUE.sub(rb"\1-", data, count=1)
    return data[:-1] + b',"x":}'


class Faults:
    """The faults at work and how often each kind struck."""

    def __init__(self) -> None:
        self.active: list[Active] = []
        self.requested: Counter[str] = Counter()
        self.applied: Counter[str] = Counter()
        self.frame_faults = False

    def add(self, fault: Fault, now_s: float) -> None:
        self.requested[fault.kind] += 1
        self.active.append(Active(fault, now_s))
        self._refresh(now_s)

    def clear(self) -> None:
        self.active.clear()
        self.frame_faults = False

    def _refresh(self, now_s: float) -> None:
        self.active = [item for item in self.active if not item.expired(now_s) or item.held is not None]
        self.frame_faults = any(item.fault.kind in FRAME_KINDS for item in self.active)

    def frames(self, stream: str, payload: Payload, now_s: float, venue: str = "spot") -> list[Payload]:
        """What is sent in place of one frame."""
        out = [payload]
        for item in self.active:
            fault = item.fault
            if fault.kind not in FRAME_KINDS or not self._meant(fault, venue, stream):
                continue
            if fault.kind == "reorder" and item.held is not None:
                out, item.held = [*out, item.held], None
                continue
            if item.expired(now_s):
                continue
            item.left -= 1
            self.applied[fault.kind] += 1
            if fault.kind in ("drop", "silence"):
                out = []
            elif fault.kind == "duplicate":
                out = [each for each in out for _ in range(2)]
            elif fault.kind == "corrupt":
                out = [each.corrupted(fault.how) for each in out]
            elif out:
                item.held, out = out[-1], out[:-1]
        self._refresh(now_s)
        return out

    @staticmethod
    def _meant(fault: Fault, venue: str, stream: str) -> bool:
        return fault.venue in (ALL, venue) and matches(fault.stream, stream)

    def silenced(self, stream: str, now_s: float, venue: str) -> bool:
        """Whether a stream is silent now."""
        return any(
            item.fault.kind == "silence" and not item.expired(now_s) and self._meant(item.fault, venue, stream)
            for item in self.active
        )

    def take(
        self, kind: Kind, now_s: float, *, symbol: str = ALL, path: str = ALL, venue: str = ALL, stream: str = ALL
    ) -> Active | None:
        """Use up one of a fault that strikes requests and subscriptions; None when there is none."""
        self._refresh(now_s)
        for item in self.active:
            fault = item.fault
            if (
                fault.kind == kind
                and fault.symbol in (ALL, symbol)
                and matches(fault.path, path)
                and self._meant(fault, venue, stream)
            ):
                item.left -= 1
                self.applied[kind] += 1
                return item
        return None

    def slow_by_s(self, now_s: float, venue: str = ALL) -> float:
        """How late a venue's frames are written."""
        return max(
            (
                item.fault.delay_s
                for item in self.active
                if item.fault.kind == "slow" and item.fault.venue in (ALL, venue) and not item.expired(now_s)
            ),
            default=0.0,
        )

    def status(self) -> dict[str, Any]:
        return {
            "requested": dict(self.requested),
            "applied": dict(self.applied),
            "active": [item.describe() for item in self.active],
        }
