"""One connection's life in the raw log: subscriptions, frames, connection events, heartbeats, watchdogs.

No I/O and no clock: the shell (`feed.py`) gives it frames, times and ticks, sends its `outbox`, and publishes nothing
itself. Times: `recv_ns` wall clock, `now_s` monotonic.

When is `connected` written? An ack proves nothing, so it stands right before the first frame record of a (key, topic).
Only where every stream of that (key, topic) may rest for long (the venue's quiet channels, such as the trades of a thin
pair) it is written at the ack: waiting for a first trade would leave a quiet symbol without heartbeats.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable

from ingest.clock import VenueClock
from ingest.lines import Group, Host, Line
from ingest.metrics import events
from ingest.pacing import Window
from ingest.plan import batches
from ingest.records import Header, Place, frame_record
from marketdata.errors import BadData
from marketdata.raw import ConnectedValue, DisconnectedValue, encode_value
from venues.contract import Ack, Data, Notice, Reply, Stream, Unknown, VenueError

PINGS_MISSED = 2.25
"""In server ping intervals: two missed, and some patience for the third."""
RESUBSCRIBE_S_MAX = 600.0
"""Streams that never deliver are subscribed again at growing intervals up to this."""
WATCHDOG_INTERVAL_S = 0.5
OVERLAP_S_MIN = 1.0
"""Two connections run beside each other at least this long before the old one closes."""
PATIENCE_S_MAX = 6 * 3600.0
"""A stream that keeps falling silent costs a replacement at most this often."""


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
        self._wanted: dict[str, Stream] = {}
        self.opened_s = now_s
        self.ended = ""
        self.broken = ""
        """Why this connection must be given up; set by `tick`."""
        self.doubtful = ""
        """Why it should be replaced with an overlap: some streams fell silent while others deliver. Set by `tick`."""
        self._host = host
        self._send = send
        self._conn_header: Header = ("conn", conn.encode())
        self._groups: dict[tuple[str, bytes], Group] = {}
        self._request_id = 0
        self._asked: dict[int, tuple[str, list[Stream]]] = {}
        self._outbox: deque[tuple[str, list[Stream]]] = deque()
        limits = host.protocol.limits
        self._limits = limits
        self._messages = Window(int(limits.messages_per_s), 1.0)
        self._sign_s = now_s  # last sign of life of the server: ping or frame
        self._client_ping_s = now_s
        self._beats: list[Group] = []
        self._beat_at = 0
        self._beats_owed = 0.0
        self._beat_from: tuple[float, int] | None = None
        self._beat_progress_s = 0.0
        self._checked_s = now_s

    # --- subscriptions ---

    def add(self, streams: Iterable[Stream]) -> None:
        """Subscribe, as the message limit allows."""
        host = self._host
        given = list(streams)
        self._wanted.update((s.name, s) for s in given)
        fresh = [s for s in given if s.name not in self.lines]  # one being unsubscribed comes back after its ack
        for stream in fresh:
            topic, key = host.records.topic(stream.channel), host.records.key(stream.symbol)
            group = self._groups.setdefault((topic, key), Group(topic, key, stream.symbol))
            line = Line(stream, group, host.metrics.channel(*host.market, stream.channel))
            self.lines[stream.name] = group.lines[stream.channel] = line
        self._ask("subscribe", fresh)

    def remove(self, streams: Iterable[Stream]) -> None:
        """Unsubscribe; `disconnected` (unsubscribed) is written when the venue acknowledges it."""
        given = [s for s in streams if self._wanted.pop(s.name, s) and s.name in self.lines]
        self._ask("unsubscribe", given)

    def _ask(self, method: str, streams: list[Stream]) -> None:
        for batch in batches(streams, self._limits):
            self._outbox.append((method, list(batch)))

    def _send_due(self, now_s: float) -> None:
        while self._outbox and self._messages.wait_s(now_s) <= 0:
            method, streams = self._outbox.popleft()
            self._request_id += 1
            self._asked[self._request_id] = (method, streams)
            for stream in streams if method == "subscribe" else ():
                line = self.lines.get(stream.name)
                if line is not None and not line.frames:
                    line.resubscribe_s = min(
                        RESUBSCRIBE_S_MAX, line.resubscribe_s * 2 or self._limits.first_data_timeout_s
                    )
                    line.retry_s = now_s + line.resubscribe_s
            build = self._host.protocol.subscribe if method == "subscribe" else self._host.protocol.unsubscribe
            self._say(build(streams, self._request_id), now_s)

    def _say(self, message: str | bytes, now_s: float) -> None:
        self._messages.take(now_s)
        self._send(message)

    # --- frames ---

    def on_server_ping(self, now_s: float) -> None:
        self._sign_s = now_s

    def on_frame(self, frame: bytes, binary: bool, recv_ns: int, now_s: float) -> None:
        """A message of the venue: into the raw log, then looked at."""
        self.seq += 1
        self._sign_s = now_s
        try:
            text = self._host.protocol.decode_binary(frame) if binary else frame
            what = self._host.protocol.classify(text)
        except BadData as exc:
            self._dead(frame, exc.code, exc.detail, recv_ns)
            return
        if type(what) is Data:
            line = self.lines.get(what.stream.name)
            if line is None:
                self._dead(text, "not_subscribed", f"a frame of {what.stream.name}", recv_ns)
                return
            self._data(line, text, what.event_time_ms, recv_ns, now_s)
        else:
            self._other(what, text, recv_ns, now_s)

    def _data(self, line: Line, frame: bytes, event_time_ms: int | None, recv_ns: int, now_s: float) -> None:
        if event_time_ms is not None:
            self.clock.see(event_time_ms, now_s)
        if not line.announced:
            self._announce(line.group, recv_ns)
        line.frames += 1
        line.last_s = now_s
        line.tally.frames += 1
        line.tally.bytes += len(frame)
        host = self._host
        host.publish(frame_record(line.topic, line.key, frame, line.channel, self._conn_header, self.seq, recv_ns))
        if line.is_book:
            host.on_book(line.stream.symbol, self.conn, frame, recv_ns)

    def _other(self, what: object, frame: bytes, recv_ns: int, now_s: float) -> None:
        host = self._host
        if isinstance(what, Unknown):
            self._dead(frame, "unattributable", what.reason, recv_ns)
            return
        host.publish(host.records.control(self.conn, frame, recv_ns, self.seq))
        host.metrics.count("control_frames", *host.market, type(what).__name__.lower())
        if isinstance(what, Ack):
            self._acknowledged(what.request_id, recv_ns, now_s)
        elif isinstance(what, VenueError):
            events.venue_error(".".join(host.market), self.conn, what.code, what.message)
            if what.request_id is not None:
                self._asked.pop(what.request_id, None)  # never acked: the first-data watchdog asks again
        elif isinstance(what, Reply):
            self._say(what.payload, now_s)
        elif isinstance(what, Notice):
            events.notice(".".join(host.market), self.conn, what.kind, what.detail)
            if what.kind == "shutdown":
                host.on_shutdown(self.conn)

    def _acknowledged(self, request_id: int, recv_ns: int, now_s: float) -> None:
        method, streams = self._asked.pop(request_id, ("", []))
        lines = [self.lines[s.name] for s in streams if s.name in self.lines]
        if method == "unsubscribe":
            self._leave(lines, "unsubscribed", recv_ns)
            self.add([s for s in streams if s.name in self._wanted])
            return
        for line in lines:
            line.acked, line.acked_s = True, now_s
        for line in lines:
            if not line.announced and all(
                other.acked and channel in self._limits.quiet_channels for channel, other in line.group.lines.items()
            ):
                self._announce(line.group, recv_ns)

    def _dead(self, frame: bytes, reason: str, detail: str, recv_ns: int) -> None:
        host = self._host
        events.dead_letter(".".join(host.market), reason, detail)
        host.metrics.count("dead_letters", *host.market, reason)
        host.publish(
            host.records.dead_letter(frame, reason, f"{detail} (connection {self.conn}, frame {self.seq})", recv_ns)
        )

    # --- connection events ---

    def _announce(self, group: Group, recv_ns: int) -> None:
        """Write `connected` for a (key, topic): it is carried from here on."""
        host = self._host
        again = group.connected
        overlaps = again or host.covered(self.conn, group)
        value = ConnectedValue(
            url=self.url, channels=list(group.lines), reason="subscribe" if again else self.reason, overlaps=overlaps
        )
        host.publish(host.records.connected(self._at(group, recv_ns), value))
        for line in group.lines.values():
            line.announced = True
        if not again:
            group.connected = True
            if group.topic in host.records.heartbeat_topics:
                self._beats.append(group)
        if "book" in group.lines and not again:
            host.on_book_connected(group.symbol, self.conn, overlaps)

    def _leave(self, lines: list[Line], reason: str, recv_ns: int) -> None:
        """Write `disconnected` for these streams and forget them."""
        host = self._host
        by_group: dict[tuple[str, bytes], list[Line]] = {}
        for line in lines:
            by_group.setdefault(line.group.place, []).append(line)
        for place, gone in by_group.items():
            group = self._groups[place]
            channels = [line.stream.channel for line in gone]
            if group.connected:
                value = DisconnectedValue(reason=reason, channels=channels)
                host.publish(host.records.disconnected(self._at(group, recv_ns), value))
                if "book" in channels:
                    host.on_book_disconnected(group.symbol, self.conn, reason)
            for line in gone:
                del self.lines[line.stream.name]
                del group.lines[line.stream.channel]
            if not group.lines:
                del self._groups[place]
                if group in self._beats:
                    self._beats.remove(group)

    def end(self, reason: str, recv_ns: int) -> None:
        """The connection is over: `disconnected` for all it carried. Only the first call counts."""
        if self.ended:
            return
        self.ended = reason
        self._outbox.clear()
        self._leave(list(self.lines.values()), reason, recv_ns)
        events.disconnected(".".join(self._host.market), self.conn, reason)
        self._host.metrics.count("disconnects", *self._host.market, _reason_label(reason))

    def _at(self, group: Group, recv_ns: int) -> Place:
        return Place(group.topic, group.key, self.conn, self.seq, recv_ns)

    # --- time ---

    def tick(self, now_s: float, recv_ns: int) -> None:
        """Send what is due, write heartbeats, look for silence; sets `broken`."""
        if self.ended:
            return
        self._send_due(now_s)
        self._beat(now_s, recv_ns)
        if now_s - self._checked_s >= WATCHDOG_INTERVAL_S:
            self._checked_s = now_s
            self._client_ping(now_s)
            self.broken = self.broken or self._silence(now_s)
            if not self.broken:
                self._first_data(now_s, recv_ns)

    def _beat(self, now_s: float, recv_ns: int) -> None:
        """Heartbeats of one interval are spread over it: each group has one whenever the venue's clock or ours moved
        on by the interval."""
        if not self.clock.known:
            return
        clock_us = self.clock.now_us(now_s)
        if self._beat_from is None:
            self._beat_from = (now_s, clock_us)
        from_s, from_us = self._beat_from
        progress_s = max(now_s - from_s, (clock_us - from_us) / 1e6)
        moved_s = progress_s - self._beat_progress_s
        self._beat_progress_s = progress_s
        if not self._beats:
            return
        self._beats_owed += len(self._beats) * moved_s / self._host.heartbeat_interval_s
        due = min(int(self._beats_owed), len(self._beats))
        self._beats_owed = min(self._beats_owed - due, len(self._beats))
        host = self._host
        for _ in range(due):
            self._beat_at = (self._beat_at + 1) % len(self._beats)
            host.publish(host.records.heartbeat(self._at(self._beats[self._beat_at], recv_ns), clock_us))
        if due:
            host.metrics.count("heartbeats", *host.market, by=due)

    def _client_ping(self, now_s: float) -> None:
        interval_s = self._limits.client_ping_interval_s
        if interval_s is not None and now_s - self._client_ping_s >= interval_s:
            self._client_ping_s = now_s
            ping = self._host.protocol.ping()
            if ping is not None:
                self._say(ping, now_s)

    def _silence(self, now_s: float) -> str:
        """Why the connection counts as broken, or "". Sets `doubtful`.

        A server that sends data but no pings is not called dead: venues change their ping interval without notice.
        One silent stream beside others that deliver does not break their connection: a replacement with overlap brings
        the stream back if that is possible, and costs the others nothing.
        """
        ping_s = self._limits.server_ping_interval_s
        if ping_s is not None and now_s - self._sign_s > PINGS_MISSED * ping_s:
            return "ping_timeout"
        quiet = self._limits.quiet_channels
        delivering = [line for line in self.lines.values() if line.frames]
        if not delivering:
            latest_s = max((n.retry_s for n in self.lines.values() if n.stream.channel not in quiet), default=0.0)
            return "no_first_data" if 0 < latest_s < now_s else ""
        silent = [line for line in delivering if self._is_silent(line, now_s)]
        if silent:
            said = f"silent {silent[0].stream.channel}"
            if len(silent) == sum(1 for line in delivering if self._limit_s(line) is not None):
                return said
            self.doubtful = self.doubtful or said
        return ""

    def _limit_s(self, line: Line) -> float | None:
        channel_s = self._limits.silence_timeout_s.get(line.stream.channel)
        return None if channel_s is None else self._host.patience_s.get(line.stream.name, channel_s)

    def _is_silent(self, line: Line, now_s: float) -> bool:
        limit_s = self._limit_s(line)
        return limit_s is not None and now_s - line.last_s > limit_s

    def be_patient(self, now_s: float) -> None:
        """A replacement comes for the silent streams; should they rest on it too (a halted or thin pair), each is
        given twice the time before the next replacement."""
        for line in self.lines.values():
            limit_s = self._limit_s(line)
            if limit_s is not None and line.frames and self._is_silent(line, now_s):
                self._host.patience_s[line.stream.name] = min(PATIENCE_S_MAX, 2 * limit_s)

    def _first_data(self, now_s: float, recv_ns: int) -> None:
        """Subscribe again what was acknowledged and never came, while other streams of the connection deliver: to
        reconnect would hurt those and help nothing. Noted in raw.control."""
        quiet = self._limits.quiet_channels
        late = [
            line
            for line in self.lines.values()
            if not line.frames and 0 < line.retry_s < now_s and (line.stream.channel not in quiet or not line.acked)
        ]
        if not late:
            return
        host = self._host
        names = [line.stream.name for line in late]
        events.resubscribed(".".join(host.market), self.conn, names[:20])
        note = DisconnectedValue(reason="no_first_data", channels=names)
        host.publish(host.records.control(self.conn, encode_value(note), recv_ns, self.seq, kind="disconnected"))
        for line in late:
            line.retry_s = 0.0
            host.metrics.count("resubscribes", *host.market, line.stream.channel)
        self._ask("subscribe", [line.stream for line in late])

    # --- what the shell asks ---

    def delivers(self, line: Line) -> bool:
        """A stream of this connection is proven to work (or cannot be: a quiet channel that was acknowledged)."""
        return line.frames > 0 or (line.acked and line.stream.channel in self._limits.quiet_channels)

    def covers(self, group: Group) -> bool:
        """This live connection carries all of another one's (key, topic)."""
        own = self._groups.get(group.place)
        return (
            not self.ended
            and own is not None
            and own.connected
            and all(channel in own.lines and self.delivers(own.lines[channel]) for channel in group.lines)
        )

    def silent_streams(self) -> int:
        return sum(1 for line in list(self.lines.values()) if not self.delivers(line))

    def can_replace(self, old: Connection, now_s: float) -> bool:
        """Everything is subscribed, and what the old connection delivered since then came over this one too.

        A thin stream that neither of them delivered in the meantime is no reason to wait.
        """
        if self._outbox:
            return False
        for name, was in old.lines.items():
            line = self.lines.get(name)
            if line is None or (line.frames == 0 and not line.acked):
                return False
            if line.frames == 0 and was.last_s > line.acked_s:
                return False
            if line.acked and now_s - line.acked_s < OVERLAP_S_MIN:
                return False
        return True

    def take_over(self, old: Connection, now_s: float, recv_ns: int) -> None:
        """The old connection is about to close: say `connected`, overlapping, for thin streams that had no frame here
        yet but are subscribed. Not for those that fell silent on the old one: what they missed nobody knows."""
        for name, was in old.lines.items():
            line = self.lines.get(name)
            if line is None or line.announced or not was.announced or old._is_silent(was, now_s):
                continue
            if all(other.acked for other in line.group.lines.values()):
                self._announce(line.group, recv_ns)


def _reason_label(reason: str) -> str:
    """A reason without the venue's free text, for a metric's label."""
    words = reason.split()
    return " ".join(words[:2]) if words[:1] in (["closed"], ["silent"]) else words[0] if words else "unknown"
