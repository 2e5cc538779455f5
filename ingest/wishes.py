"""What is wanted of one market, symbol by symbol, and which streams and polls that makes. Pure.

Channels are wishes, streams are what the venue has: two channels may come in one stream, one stream may carry every
symbol, some channels are polled. And some need the symbol's metadata first (`Venue.unit_channels`): nothing can be said
of their quantities without, so they wait until the venue has told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from ingest.lines import is_shared
from ingest.polls import PollKey, Wish
from marketdata.errors import ConfigError
from venues.contract import Poll, Stream, Venue


@dataclass
class Change:
    """What to do on the wire."""

    fresh: list[Stream] = field(default_factory=list)
    gone: list[Stream] = field(default_factory=list)
    joins: list[tuple[str, str]] = field(default_factory=list)
    """(stream name, symbol): shares a stream that is subscribed already."""
    parts: list[tuple[str, str]] = field(default_factory=list)
    """(stream name, symbol): leaves a stream that others still share."""


class Wishes:
    """See the module."""

    def __init__(self, venue: Venue) -> None:
        self._protocol = venue.protocol
        self._unit_channels = venue.unit_channels
        self.channels: dict[str, tuple[str, ...]] = {}
        """By symbol, what was asked for."""
        self.sharers: dict[str, dict[str, None]] = {}
        """By the name of a stream for EVERY_SYMBOL: the symbols that share it."""
        self.held: set[str] = set()
        """Symbols of which something waits for metadata."""
        self._carried: dict[str, tuple[Stream, ...]] = {}
        self._names: dict[str, list[str]] = {}
        self._owners: dict[str, str] = {}
        """Whose a stream is, by its name: two spellings of a symbol would take each other's frames, and its end."""

    def set(self, symbol: str, channels: Sequence[str]) -> frozenset[str]:
        """The symbol is wanted with exactly these channels (none: not any more). Nothing moves before `settle`.

        Returns the channels that records will stand under. Raises ConfigError on a channel the venue has not, and on
        another symbol's stream; then all stays as it was.
        """
        wanted = tuple(dict.fromkeys(channels))
        streams = self._protocol.streams([symbol], wanted)
        polls = self._protocol.polls([symbol], wanted)
        self._own(symbol, streams)
        if wanted:
            self.channels[symbol] = wanted
        else:
            self.channels.pop(symbol, None)
        return frozenset(s.channel for s in streams) | frozenset(p.channel for p in polls)

    def _own(self, symbol: str, streams: Sequence[Stream]) -> None:
        own = [s.name for s in streams if not is_shared(s)]
        for name in own:
            if (owner := self._owners.get(name, symbol)) != symbol:
                raise ConfigError(f"its stream {name} is that of {owner} already")
        for name in self._names.pop(symbol, ()):
            del self._owners[name]
        self._owners.update(dict.fromkeys(own, symbol))
        if own:
            self._names[symbol] = own

    def settle(self, symbols: Iterable[str], known: Callable[[str], bool]) -> Change:
        """The way from what is carried to what is wanted, for these symbols; `known`: it has metadata."""
        change = Change()
        lost: list[tuple[str, Stream]] = []
        for symbol in symbols:
            wanted = self._protocol.streams([symbol], self.channels.get(symbol, ()))
            now = [s for s in wanted if known(symbol) or s.channel not in self._unit_channels]
            self.held.discard(symbol)
            if len(now) < len(wanted) or (not known(symbol) and self._polled_units(symbol)):
                self.held.add(symbol)
            before = self._carried.pop(symbol, ())
            if now:
                self._carried[symbol] = tuple(now)
            old, new = {s.name for s in before}, {s.name for s in now}
            for stream in now:
                if stream.name not in old:
                    self._take(symbol, stream, change)
            lost += [(symbol, stream) for stream in before if stream.name not in new]
        for symbol, stream in lost:
            self._drop(symbol, stream, change)
        return change

    def _take(self, symbol: str, stream: Stream, change: Change) -> None:
        if not is_shared(stream):
            change.fresh.append(stream)
            return
        sharers = self.sharers.setdefault(stream.name, {})
        if sharers:
            change.joins.append((stream.name, symbol))
        else:
            change.fresh.append(stream)
        sharers[symbol] = None

    def _drop(self, symbol: str, stream: Stream, change: Change) -> None:
        if not is_shared(stream):
            change.gone.append(stream)
            return
        sharers = self.sharers[stream.name]
        del sharers[symbol]
        if sharers:
            change.parts.append((stream.name, symbol))
        else:
            del self.sharers[stream.name]
            change.gone.append(stream)

    def _polled_units(self, symbol: str) -> bool:
        return any(p.channel in self._unit_channels for p in self._polls(symbol))

    def _polls(self, symbol: str) -> list[Poll]:
        return self._protocol.polls([symbol], self.channels.get(symbol, ()))

    def polls(self, known: Callable[[str], bool]) -> dict[PollKey, Wish]:
        """All that is polled now; one reply may serve many symbols."""
        polls: dict[PollKey, Poll] = {}
        symbols: dict[PollKey, set[str]] = {}
        for symbol in self.channels:
            for poll in self._polls(symbol):
                if known(symbol) or poll.channel not in self._unit_channels:
                    key = Wish(poll, frozenset()).key
                    polls[key] = poll
                    symbols.setdefault(key, set()).add(symbol)
        return {key: Wish(poll, frozenset(symbols[key])) for key, poll in polls.items()}
