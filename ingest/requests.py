"""What a connection asks of its venue, and what became of it: requests in order, at the venue's pace, with their acks.

Pure: times are monotonic seconds given by the caller, `send` puts a message on the socket. An ack may come once for a
request or once per stream, may name its request or not, and may come twice; see `venues.contract.Ack`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

from ingest.pacing import Window
from ingest.plan import batches
from venues.contract import Ack, Limits, Stream, VenueError, VenueProtocol

Method = Literal["subscribe", "unsubscribe", "renew", "book"]
"""`renew`: an unsubscription that is followed by a subscription; `book`: the request for a whole book."""

HOUR_S = 3600.0
HOUR_PATIENCE_S = 20.0
"""Requests that an hourly limit would hold back for longer than this want a fresh connection."""
BOOK_PAUSE_S = 0.12
"""Between two requests for whole books on one connection: HTX refuses them when closer than 100 ms."""
ASKED_MAX = 10_000
"""Requests remembered that were never answered; the oldest are forgotten."""


class Settled(NamedTuple):
    """What an answer of the venue says about one request."""

    method: Method
    taken: list[Stream]
    refused: list[Stream]
    """Refused, or dropped without a word."""


@dataclass(slots=True)
class Asked:
    method: Method
    pending: dict[str, Stream]


def message_window(messages_per_s: float) -> Window:
    """At most so many messages in any second; below one a second, one in so many seconds."""
    return Window(int(messages_per_s), 1.0) if messages_per_s >= 1 else Window(1, 1.0 / messages_per_s)


class Requests:
    """See the module."""

    def __init__(self, protocol: VenueProtocol, send: Callable[[str | bytes], None]) -> None:
        limits: Limits = protocol.limits
        self._protocol = protocol
        self._limits = limits
        self._send = send
        self._greeting = deque(protocol.greeting())
        self._outbox: deque[tuple[Method, list[Stream]]] = deque()
        self._asked: dict[int, Asked] = {}
        self._number = 0
        self._messages = message_window(limits.messages_per_s)
        self._books: deque[Stream] = deque()
        self._book_at_s = 0.0
        self._hourly = None if limits.requests_per_hour is None else Window(limits.requests_per_hour, HOUR_S)

    @property
    def idle(self) -> bool:
        """Everything asked for has been sent, books apart."""
        return not self._outbox

    def ask(self, method: Method, streams: Iterable[Stream]) -> None:
        """Queue a request, cut to the venue's batch size."""
        if method == "book":
            self._books.extend(s for s in streams if s not in self._books)
        else:
            self._outbox.extend((method, list(part)) for part in batches(list(streams), self._limits))

    def say(self, message: str | bytes, now_s: float) -> None:
        """Send at once: answers to pings, pings."""
        self._messages.take(now_s)
        self._send(message)

    def send_due(self, now_s: float) -> Iterator[tuple[Method, list[Stream]]]:
        """Send what the limits allow now, the greeting first; gives what was asked."""
        while self._messages.wait_s(now_s) <= 0:
            if self._greeting:
                self.say(self._greeting.popleft(), now_s)
            elif self._outbox and (self._hourly is None or self._hourly.wait_s(now_s) <= 0):
                yield self._send_next(now_s)
            elif self._books and now_s >= self._book_at_s:
                self._book_at_s = now_s + BOOK_PAUSE_S
                stream = self._books.popleft()
                self.say(self._protocol.book_request(stream, self._note("book", [stream])), now_s)
                yield "book", [stream]
            else:
                return

    def _send_next(self, now_s: float) -> tuple[Method, list[Stream]]:
        method, streams = self._outbox.popleft()
        build = self._protocol.subscribe if method == "subscribe" else self._protocol.unsubscribe
        if self._hourly is not None:
            self._hourly.take(now_s)
        self.say(build(streams, self._note(method, streams)), now_s)
        return method, streams

    def _note(self, method: Method, streams: list[Stream]) -> int:
        """A request goes out: its number, under which its answer is awaited."""
        self._number += 1
        self._asked[self._number] = Asked(method, {s.name: s for s in streams})
        if len(self._asked) > ASKED_MAX:
            del self._asked[next(iter(self._asked))]
        return self._number

    def exhausted(self, now_s: float) -> bool:
        """The hourly limit holds requests back for so long that a fresh connection is better."""
        return bool(self._outbox) and self._hourly is not None and self._hourly.wait_s(now_s) > HOUR_PATIENCE_S

    def clear(self) -> None:
        self._outbox.clear()
        self._books.clear()
        self._greeting.clear()

    # --- answers ---

    def acknowledged(self, ack: Ack) -> list[Settled]:
        """What this ack settles; nothing where it repeats an earlier one."""
        if ack.names is None:
            asked = self._asked.pop(ack.request_id, None) if ack.request_id is not None else None
            return [Settled(asked.method, list(asked.pending.values()), [])] if asked else []
        taken = self._find(ack.request_id, ack.names)
        if ack.final and ack.request_id in self._asked:
            taken.setdefault(ack.request_id, [])
        out = []
        for number, streams in taken.items():
            asked = self._asked[number]
            dropped = list(asked.pending.values()) if ack.final else []
            if ack.final or not asked.pending:
                del self._asked[number]
            out.append(Settled(asked.method, streams, dropped))
        return out

    def refused(self, error: VenueError) -> list[Settled]:
        """What this error settles; nothing where it does not say what it is about."""
        if not error.names:
            asked = self._asked.pop(error.request_id, None) if error.request_id is not None else None
            return [Settled(asked.method, [], list(asked.pending.values()))] if asked else []
        out = []
        for number, streams in self._find(error.request_id, error.names).items():
            out.append(Settled(self._asked[number].method, [], streams))
            if not self._asked[number].pending:
                del self._asked[number]
        return out

    def _find(self, request_id: int | None, names: Iterable[str]) -> dict[int, list[Stream]]:
        """Take these names out of their requests: the one quoted, else the oldest that waits for the name."""
        found: dict[int, list[Stream]] = {}
        for name in names:
            number = request_id
            if number is None:
                number = next((n for n, asked in self._asked.items() if name in asked.pending), None)
            asked = self._asked.get(number) if number is not None else None
            stream = asked.pending.pop(name, None) if asked is not None else None
            if stream is not None and number is not None:
                found.setdefault(number, []).append(stream)
        return found
