"""One connection's life in the raw log: subscriptions, frames, connection events, heartbeats, watchdogs.

No I/O and no clock: the shell (`feed.py`) gives it frames, times and ticks, sends what it says, and publishes nothing
itself. Times: `recv_ns` wall clock, `now_s` monotonic.

When is `connected` written? An ack proves nothing, so it stands right before the first frame record of a (key, topic).
Only where every stream of that (key, topic) may rest for long (the venue's quiet channels, such as the trades of a thin
pair) it is written at the ack: waiting for a first trade would leave a quiet symbol without heartbeats.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import inf

from ingest.carriage import Carriage
from ingest.clock import VenueClock
from ingest.heartbeats import Heartbeats
from ingest.lines import Group, Host, Line
from ingest.metrics import events
from ingest.records import Header, Place, frame_record
from ingest.requests import Requests, Settled
from ingest.watchdog import Watchdog
from marketdata.errors import BadData
from marketdata.raw import DisconnectedValue, encode_value
from venues.contract import Ack, Data, Notice, Reply, Stream, Unknown, VenueError

WATCHDOG_INTERVAL_S = 0.5
LEAVE_S = 10.0
"""An unsubscription that is not acknowledged for this long is asked for again."""
LEAVE_TRIES = 3
"""After so many of them the stream counts as left."""


class Connection:
    """See the module. `send` puts a message on the socket at once."""

    def __init__(
        self, conn: str, url: str, reason: str, host: Host, send: Callable[[str | bytes], None], now_s: float
    ) -> None:
        self.conn = conn
        self.url = url
        self.reason = reason
        self.seq = 0
        self.clock = VenueClock()
        self.lines: dict[str, Line] = {}
        self.opened_s = now_s
        self.ended = ""
        self.broken = ""
        """Why this connection must be given up; set by `tick`."""
        self.doubtful = ""
        """Why it should be replaced with an overlap: the venue will close it, some streams fell silent while others
        deliver, or it may not subscribe any more. It stays so until it is replaced."""
        self._host = host
        self._market = ".".join(host.market)
        self._conn_header: Header = ("conn", conn.encode())
        self.wanted: dict[str, Stream] = {}
        self.requests = Requests(host.protocol, send)
        self._leaving: dict[str, tuple[float, int]] = {}  # until when the venue should have agreed, and tries so far
        self.watchdog = Watchdog(host.protocol.limits, host.patience_s, now_s)
        self._beats = Heartbeats(host.heartbeat_interval_s)
        self.carriage = Carriage(self, host, self._beats)
        self._checked_s = now_s
        self._ticked_s = now_s

    # --- subscriptions ---

    def add(self, streams: Iterable[Stream]) -> None:
        """Subscribe, as the message limit allows."""
        given = list(streams)
        self.wanted.update((s.name, s) for s in given)
        fresh = [s for s in given if s.name not in self.lines]  # one being unsubscribed comes back after its ack
        for stream in fresh:
            self.carriage.take_on(stream)
        self.requests.ask("subscribe", fresh)

    def remove(self, streams: Iterable[Stream]) -> None:
        """Unsubscribe; `disconnected` (unsubscribed) is written when the venue acknowledges it."""
        given = [s for s in streams if self.wanted.pop(s.name, s) and s.name in self.lines]
        self.requests.ask("unsubscribe", given)

    def share(self, name: str, symbol: str) -> None:
        """The symbol's part of a stream for EVERY_SYMBOL is captured too from now on: nothing to ask for."""
        line = self.lines.get(name)
        if line is not None and line.shared is not None:
            self.carriage.join(line, symbol)

    def unshare(self, name: str, symbol: str, recv_ns: int) -> None:
        """The symbol's part of the stream is not captured any more; the others' is."""
        line = self.lines.get(name)
        if line is not None and line.shared is not None and symbol in line.shared:
            self.carriage.part(line, symbol, "unsubscribed", recv_ns)

    def renew_book(self, symbol: str, recv_ns: int) -> bool:
        """Unsubscribe the symbol's book and subscribe it again, so that it begins anew. Noted in raw.control. False:
        it is not carried here."""
        stream = self._book_stream(symbol)
        if stream is None:
            return False
        if stream.name not in self._leaving:
            self._note("renewed", [stream.name], recv_ns)
            self._renew([stream])
        return True

    def _renew(self, streams: list[Stream]) -> None:
        self._leaving.update((s.name, (inf, 0)) for s in streams)
        self.requests.ask("renew", streams)

    def request_book(self, symbol: str) -> bool:
        """Ask for the symbol's whole book. False: it is not carried here."""
        stream = self._book_stream(symbol)
        if stream is not None:
            self.requests.ask("book", [stream])
        return stream is not None

    def _book_stream(self, symbol: str) -> Stream | None:
        lines = () if self.ended else self.carriage.lines_of("book", symbol)
        return next((n.stream for n in lines if n.is_book and n.stream.name in self.wanted), None)

    def _send_due(self, now_s: float) -> None:
        for method, streams in self.requests.send_due(now_s):
            for stream in streams:
                if method == "subscribe" and (line := self.lines.get(stream.name)) is not None:
                    self.watchdog.subscribed(line, now_s)
                elif method in ("unsubscribe", "renew"):
                    self._leaving[stream.name] = (now_s + LEAVE_S, self._leaving.get(stream.name, (0.0, 0))[1] + 1)

    # --- frames ---

    def on_server_ping(self, now_s: float) -> None:
        self.watchdog.sign_s = now_s

    def on_frame(self, frame: bytes, binary: bool, recv_ns: int, now_s: float) -> None:
        """A message of the venue: into the raw log, then looked at."""
        self.seq += 1
        self.watchdog.sign_s = now_s
        try:
            text = self._host.protocol.decode_binary(frame) if binary else frame
            what = self._host.protocol.classify(text)
        except BadData as exc:
            self._dead(frame, exc.code, exc.detail, recv_ns)
            return
        if type(what) is Data:
            line = self.lines.get(what.stream.name)
            lines = (line,) if line is not None else self._own_lines(what)
            if not lines:
                self._dead(text, "not_subscribed", f"a frame of {what.stream.name}", recv_ns)
                return
            if what.event_time_ms is not None:
                self.clock.see(what.event_time_ms, now_s)
            lines[0].tally.frames += 1
            lines[0].tally.bytes += len(text)
            for line in lines:
                line.frames += 1
                line.last_s = now_s
                if line.shared is None:
                    self._data(line, text, recv_ns)
                else:
                    self._shared_data(line, line.shared, what.symbols, text, recv_ns)
        else:
            self._other(what, text, recv_ns, now_s)

    def _own_lines(self, what: Data) -> tuple[Line, ...]:
        """Of a frame for several symbols that have streams of their own: their lines of its channel."""
        channel = what.stream.channel
        lines = [n for symbol in dict.fromkeys(what.symbols) for n in self.carriage.lines_of(channel, symbol)]
        return tuple(n for n in lines if n.stream.channel == channel)

    def _data(self, line: Line, frame: bytes, recv_ns: int) -> None:
        host = self._host
        if not line.announced:
            if line.group is None:  # about the market as a whole
                host.publish(host.records.control(self.conn, frame, recv_ns, self.seq))
                host.on_instruments()
                return
            self.carriage.announce(line.group, recv_ns)
        host.publish(frame_record(line.topic, line.key, frame, line.channel, self._conn_header, self.seq, recv_ns))
        if line.is_book:
            host.on_book(line.stream.symbol, self.conn, frame, recv_ns)

    def _shared_data(
        self, line: Line, shared: dict[str, Group], symbols: tuple[str, ...], frame: bytes, recv_ns: int
    ) -> None:
        """The whole frame under each captured symbol in it."""
        name, header = line.stream.name, self._conn_header
        for symbol in dict.fromkeys(symbols):
            group = shared.get(symbol)
            if group is None:
                continue
            if name not in group.told:
                self.carriage.announce(group, recv_ns)
            self._host.publish(frame_record(group.topic, group.key, frame, line.channel, header, self.seq, recv_ns))

    def _other(self, what: object, frame: bytes, recv_ns: int, now_s: float) -> None:
        host = self._host
        if isinstance(what, Unknown):
            self._dead(frame, "unattributable", what.reason, recv_ns)
            return
        host.publish(host.records.control(self.conn, frame, recv_ns, self.seq))
        host.metrics.count("control_frames", *host.market, type(what).__name__.lower())
        if isinstance(what, Ack):
            self._settle(self.requests.acknowledged(what), "dropped without a word", recv_ns, now_s)
        elif isinstance(what, VenueError):
            events.venue_error(self._market, self.conn, what.code, what.message)
            self._settle(self.requests.refused(what), f"refused {what.code}", recv_ns, now_s)
        elif isinstance(what, Reply):
            self.requests.say(what.payload, now_s)
        elif isinstance(what, Notice):
            if what.kind == "instruments":
                host.on_instruments()
                return
            events.notice(self._market, self.conn, what.kind, what.detail)
            if what.kind == "shutdown":
                self.doubtful = what.kind

    def _settle(self, answers: list[Settled], why: str, recv_ns: int, now_s: float) -> None:
        for method, taken, refused in answers:
            if method == "subscribe":
                self._subscribed(taken, recv_ns, now_s)
                self._not_taken(refused, why, recv_ns, now_s)
            elif method == "renew":
                self._renewed([*taken, *refused], now_s)
            elif method == "unsubscribe":
                self._left(taken, recv_ns)  # what was refused is asked for again, see `_press`
            elif refused:
                self._host.metrics.count("snapshots", *self._host.market, "refused", by=len(refused))

    def _subscribed(self, streams: list[Stream], recv_ns: int, now_s: float) -> None:
        lines = [self.lines[s.name] for s in streams if s.name in self.lines]
        for line in lines:
            line.acked, line.acked_s, line.refusals = True, now_s, 0
        for line in lines:
            for group in line.groups:
                self.carriage.announce_if_quiet(group, recv_ns)

    def _not_taken(self, streams: list[Stream], why: str, recv_ns: int, now_s: float) -> None:
        """Streams the venue did not take, in whatever way it said so: the first-data watchdog asks again."""
        if not streams:
            return
        names = [s.name for s in streams]
        events.not_taken(self._market, self.conn, why, names[:20])
        self._note(why, names, recv_ns)
        for stream in streams:
            self._host.metrics.count("streams_refused", *self._host.market, stream.channel)
            if (line := self.lines.get(stream.name)) is not None:
                line.acked, line.refused_s = False, line.refused_s if line.refusals else now_s
                line.refusals += 1

    def _renewed(self, streams: list[Stream], now_s: float) -> None:
        """The stream is off (or the venue says it never was on): on again."""
        for stream in streams:
            self._leaving.pop(stream.name, None)
            if (line := self.lines.get(stream.name)) is not None:
                line.resubscribe_s = 0.0 if line.frames else line.resubscribe_s
                line.frames, line.acked, line.retry_s = 0, False, 0.0
        self.requests.ask("subscribe", [s for s in streams if s.name in self.wanted])
        self._send_due(now_s)

    def _left(self, streams: list[Stream], recv_ns: int) -> None:
        for stream in streams:
            self._leaving.pop(stream.name, None)
        self.carriage.leave([self.lines[s.name] for s in streams if s.name in self.lines], "unsubscribed", recv_ns)
        self.add([s for s in streams if s.name in self.wanted])

    def _dead(self, frame: bytes, reason: str, detail: str, recv_ns: int) -> None:
        host = self._host
        events.dead_letter(self._market, reason, detail)
        host.metrics.count("dead_letters", *host.market, reason)
        host.publish(
            host.records.dead_letter(frame, reason, f"{detail} (connection {self.conn}, frame {self.seq})", recv_ns)
        )

    def _note(self, reason: str, names: list[str], recv_ns: int) -> None:
        """Streams that are off: in raw.control."""
        note = encode_value(DisconnectedValue(reason=reason, channels=names))
        self._host.publish(self._host.records.control(self.conn, note, recv_ns, self.seq, kind="disconnected"))

    def at(self, group: Group, recv_ns: int) -> Place:
        """Where a record of ours about this group stands now."""
        return Place(group.topic, group.key, self.conn, self.seq, recv_ns)

    def end(self, reason: str, recv_ns: int) -> None:
        """The connection is over: `disconnected` for all it carried. Only the first call counts."""
        if self.ended:
            return
        self.ended = reason
        self.requests.clear()
        self.carriage.leave(list(self.lines.values()), reason, recv_ns)
        events.disconnected(self._market, self.conn, reason)
        self._host.metrics.count("disconnects", *self._host.market, _reason_label(reason))

    # --- time ---

    def tick(self, now_s: float, recv_ns: int) -> None:
        """Send what is due, write heartbeats, look for silence; sets `broken` and `doubtful`."""
        if self.ended:
            return
        self._ticked_s = now_s
        self._send_due(now_s)
        self._beat(now_s, recv_ns)
        if now_s - self._checked_s < WATCHDOG_INTERVAL_S:
            return
        self._checked_s = now_s
        if self.watchdog.wants_ping(now_s) and (ping := self._host.protocol.ping()) is not None:
            self.requests.say(ping, now_s)
        broken, doubtful = self.watchdog.judge(self.lines, now_s)
        if not doubtful and self.requests.exhausted(now_s):
            doubtful = "requests_per_hour"
        self.broken = self.broken or broken
        self.doubtful = self.doubtful or doubtful
        if not self.broken:
            self._first_data(now_s, recv_ns)
            self._press(now_s, recv_ns)

    def _beat(self, now_s: float, recv_ns: int) -> None:
        host, clock_us = self._host, self.clock.now_us(now_s)
        due = self._beats.due(now_s, clock_us)
        if not clock_us:
            due = [group for group in due if group.topic in host.records.timeless_topics]
        for group in due:
            host.publish(host.records.heartbeat(self.at(group, recv_ns), clock_us))
        if due:
            host.metrics.count("heartbeats", *host.market, by=len(due))

    def _first_data(self, now_s: float, recv_ns: int) -> None:
        """Subscribe again what was asked for and never came, while other streams of the connection deliver: to
        reconnect would hurt those and help nothing. What was acknowledged is renewed, for to a venue that counts it as
        subscribed another request says nothing. Noted in raw.control."""
        late = self.watchdog.late(self.lines, now_s)
        if not late:
            return
        host = self._host
        names = [line.stream.name for line in late]
        events.resubscribed(self._market, self.conn, names[:20])
        self._note("no_first_data", names, recv_ns)
        for line in late:
            line.retry_s = 0.0
            host.metrics.count("resubscribes", *host.market, line.stream.channel)
        self.requests.ask("subscribe", [line.stream for line in late if not line.acked])
        self._renew([line.stream for line in late if line.acked and line.stream.name not in self._leaving])

    def _press(self, now_s: float, recv_ns: int) -> None:
        """Unsubscriptions the venue did not agree to: ask again; in the end the stream counts as left."""
        overdue = [name for name, (until_s, _) in self._leaving.items() if until_s < now_s]
        for name in overdue:
            line, tries = self.lines.get(name), self._leaving[name][1]
            if line is None:
                del self._leaving[name]
            elif name in self.wanted:
                self._renewed([line.stream], now_s)
            elif tries >= LEAVE_TRIES:
                self._left([line.stream], recv_ns)
            else:
                self._leaving[name] = (now_s + LEAVE_S, tries)
                self.requests.ask("unsubscribe", [line.stream])

    # --- what the shell asks ---

    def covers(self, group: Group) -> bool:
        """This live connection carries all of another one's (key, topic): not what fell silent on it, for what that
        missed nobody knows."""
        own = None if self.ended else self.carriage.groups.get(group.place)
        return own is not None and own.connected and all(self._carries(own.lines.get(name)) for name in group.lines)

    def _carries(self, line: Line | None) -> bool:
        return line is not None and line.delivers and not self.watchdog.is_silent(line, self._ticked_s)

    def silent_streams(self) -> int:
        return sum(1 for line in list(self.lines.values()) if not line.delivers)

    def be_patient(self, now_s: float) -> None:
        self.watchdog.be_patient(self.lines.values(), now_s)


def _reason_label(reason: str) -> str:
    """A reason without the venue's free text, for a metric's label."""
    words = reason.split()
    return " ".join(words[:2]) if words[:1] in (["closed"], ["silent"]) else words[0] if words else "unknown"
