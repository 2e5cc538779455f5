"""A dialect without sockets: its market, its hub, and connections as the server keeps them."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from runtime.config.simulator import Simulator
from simulator.dialect import Desk, Dialect, Segment, Session
from simulator.faults import Faults
from simulator.forms import BINARY_FRAME, Form
from simulator.hub import Hub
from simulator.store import Store

T0_US = 1_790_000_000_000_000


def payload_of(frame: bytes) -> bytes:
    """What an unmasked frame carries; gzip undone where the frame is binary."""
    size = frame[1]
    data = frame[2:] if size < 126 else frame[4:] if size == 126 else frame[10:]
    return gzip.decompress(data) if frame[0] == BINARY_FRAME else data


class Client:
    """One connection, in the order the server does things."""

    def __init__(self, venue: Venue, session: Session) -> None:
        self.venue = venue
        self.session = session
        self.frames: list[bytes] = []
        self.tell(session.greeting())

    @property
    def form(self) -> Form:
        return self.session.form

    def queue(self, frame: bytes) -> None:
        self.frames.append(frame)

    def tell(self, payloads: Any) -> None:
        self.frames += [self.form.reply(payload) for payload in payloads]

    def send(self, message: Any, now_s: float = 0.0) -> None:
        before = dict(self.session.streams)
        data = message if isinstance(message, bytes) else json.dumps(message).encode()
        self.tell(self.session.handle(data, now_s))
        hub = self.venue.hub
        for stream in before.keys() - self.session.streams.keys():
            hub.unsubscribe(self, stream)
        for stream in list(self.session.streams):
            if stream in before:
                continue
            first = self.venue.dialect.joined(stream)
            if first is None:
                hub.wait(self, stream)
                continue
            self.tell(first)
            hub.subscribe(self, stream)

    def texts(self) -> list[bytes]:
        """Payloads since the last call."""
        taken, self.frames = self.frames, []
        return [payload_of(frame) for frame in taken]

    def take(self, keep: Callable[[Any], Any] = lambda _: True) -> list[Any]:
        return [told for told in map(json.loads, self.texts()) if keep(told)]


class Venue:
    """A segment's dialect over a market of its own."""

    def __init__(self, segment: Segment, symbols: list[str], tmp_path: Path, frames_per_s: float = 400.0) -> None:
        self.now_s = 0.0
        self.faults = Faults()
        store = Store(tmp_path)
        self.market = store.open_market(symbols, 1, frames_per_s, T0_US, segment.instrument)
        self.hub = Hub(self.faults, lambda: self.now_s, venue=segment.name, kind_of=segment.stream_kind)
        config = Simulator(state_dir=str(tmp_path))
        desk = Desk(segment.name, config, self.hub, self.faults, self.market, store)
        self.dialect: Dialect = segment.dialect(desk)

    def open(self, path: str, query: str = "", number: int = 1) -> Client:
        session = self.dialect.open(path, query, number)
        assert session is not None
        return Client(self, session)

    def advance(self, seconds: float) -> None:
        self.now_s += seconds
        self.market.advance(self.market.at_us + int(seconds * 1e6), self.dialect.sink)
