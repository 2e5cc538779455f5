"""Which keys a connection carries, and the records that say so: `connected` and `disconnected` per (key, topic)."""

from __future__ import annotations

from typing import Protocol

from ingest.heartbeats import Heartbeats
from ingest.lines import MARKET_CHANNEL, Group, Host, Line
from ingest.records import Place
from marketdata.raw import ConnectedValue, DisconnectedValue
from venues.contract import Stream


class Carrier(Protocol):
    """What the carriage needs of its connection."""

    conn: str
    url: str
    reason: str
    lines: dict[str, Line]

    def at(self, group: Group, recv_ns: int) -> Place: ...


class Carriage:
    """See the module."""

    def __init__(self, carrier: Carrier, host: Host, beats: Heartbeats) -> None:
        self._carrier = carrier
        self._host = host
        self._beats = beats
        self.groups: dict[tuple[str, bytes], Group] = {}

    def take_on(self, stream: Stream) -> Line:
        """A line for this stream, in its group or groups."""
        host = self._host
        tally = host.metrics.channel(*host.market, stream.channel)
        quiet = stream.channel == MARKET_CHANNEL or stream.channel in host.protocol.limits.quiet_channels
        line = Line(stream, None, tally, quiet)
        if line.shared is not None:
            for symbol in host.sharers.get(stream.name, ()):
                self.join(line, symbol)
        elif stream.channel != MARKET_CHANNEL:
            group = self._group(stream.channel, stream.symbol)
            line = Line(stream, group, tally, quiet)
            group.lines[stream.name] = line
        self._carrier.lines[stream.name] = line
        return line

    def join(self, line: Line, symbol: str) -> None:
        """The symbol shares the line from now on."""
        if line.shared is not None and symbol not in line.shared:
            group = self._group(line.stream.channel, symbol)
            group.lines[line.stream.name] = line
            line.shared[symbol] = group

    def part(self, line: Line, symbol: str, reason: str, recv_ns: int) -> None:
        """The symbol does not share the line any more."""
        if line.shared is not None:
            self._take_off(line.shared.pop(symbol), [line], reason, recv_ns)

    def _group(self, channel: str, symbol: str) -> Group:
        records = self._host.records
        topic, key = records.topic(channel), records.key(symbol)
        group = self.groups.get((topic, key))
        if group is None:
            group = self.groups[topic, key] = Group(topic, key, symbol)
        return group

    def lines_of(self, channel: str, symbol: str) -> list[Line]:
        """All lines recorded where this channel of the symbol is."""
        group = self.groups.get((self._host.records.topic(channel), self._host.records.key(symbol)))
        return list(group.lines.values()) if group is not None else []

    # --- records ---

    def announce_if_quiet(self, group: Group, recv_ns: int) -> None:
        """At an ack: where every stream of the group may rest, nothing better will come soon."""
        if set(group.lines) - set(group.told) and all(n.acked and n.quiet for n in group.lines.values()):
            self.announce(group, recv_ns)

    def announce(self, group: Group, recv_ns: int) -> None:
        """Write `connected` for a (key, topic): it is carried from here on."""
        host, carrier = self._host, self._carrier
        again = group.connected
        overlaps = again or host.covered(carrier.conn, group)
        reason = "subscribe" if again else carrier.reason
        value = ConnectedValue(url=carrier.url, channels=group.channels, reason=reason, overlaps=overlaps)
        host.publish(host.records.connected(carrier.at(group, recv_ns), value))
        group.told = tuple(group.lines)
        for line in group.lines.values():
            line.announced = True
        if again:
            return
        group.connected = True
        pace = host.records.heartbeat_paces.get(group.topic)
        if pace is not None:
            self._beats.add(group, pace)
        if any(line.is_book for line in group.lines.values()):
            host.on_book_connected(group.symbol, carrier.conn, overlaps)

    def leave(self, lines: list[Line], reason: str, recv_ns: int) -> None:
        """Write `disconnected` for these streams and forget them."""
        by_group: dict[tuple[str, bytes], list[Line]] = {}
        for line in lines:
            for group in line.groups:
                by_group.setdefault(group.place, []).append(line)
        for place, gone in by_group.items():
            self._take_off(self.groups[place], gone, reason, recv_ns)
        for line in lines:
            del self._carrier.lines[line.stream.name]

    def _take_off(self, group: Group, gone: list[Line], reason: str, recv_ns: int) -> None:
        host = self._host
        channels = list(dict.fromkeys(line.stream.channel for line in gone))
        if group.connected:
            value = DisconnectedValue(reason=reason, channels=channels)
            host.publish(host.records.disconnected(self._carrier.at(group, recv_ns), value))
            if "book" in channels:
                host.on_book_disconnected(group.symbol, self._carrier.conn, reason)
        for line in gone:
            del group.lines[line.stream.name]
        group.told = tuple(name for name in group.told if name in group.lines)
        if not group.lines:
            del self.groups[group.place]
            self._beats.remove(group)
