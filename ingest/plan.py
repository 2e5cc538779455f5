"""Which streams go where: shards, connections, subscription requests. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b

from venues.contract import Limits, Stream


def shard_of(key: str, shards: int) -> int:
    """The shard of a key by rendezvous hashing: every shard draws a number for the key, the highest has it.

    From n to n+1 shards only the keys the new one wins move: about 1/(n+1) of them.
    """
    draws = (
        int.from_bytes(blake2b(f"{shard}|{key}".encode(), digest_size=8).digest(), "big") for shard in range(shards)
    )
    return max(enumerate(draws), key=lambda drawn: drawn[1])[0]


@dataclass
class Group:
    """Streams that share a connection; lives on while single streams come and go."""

    number: int
    route: str
    streams: dict[str, Stream] = field(default_factory=dict)


def place(
    groups: list[Group],
    streams: Iterable[Stream],
    route: Callable[[Stream], str],
    streams_max: int,
    books_max: int | None = None,
) -> list[Group]:
    """Put new streams into groups that have room, making groups as needed; returns the groups that changed.

    Streams of one symbol stay together when they come together (callers give them symbol by symbol). Streams that are
    placed already are left where they are. `books_max`: book streams in one group at most.
    """
    changed: dict[int, Group] = {}
    placed = {name for group in groups for name in group.streams}
    books = {group.number: _books(group.streams.values()) for group in groups}
    for symbol_streams in _by_symbol(s for s in streams if s.name not in placed):
        for name, on_route in _by_route(symbol_streams, route):
            more = _books(on_route)

            def has_room(group: Group, name: str = name, on_route: list[Stream] = on_route, more: int = more) -> bool:
                crowded = books_max is not None and more and books[group.number] + more > max(books_max, more)
                return group.route == name and not crowded and _fits(group, on_route, streams_max)

            room = next(filter(has_room, groups), None)
            if room is None:
                room = Group(1 + max((g.number for g in groups), default=0), name)
                groups.append(room)
                books[room.number] = 0
            room.streams.update((s.name, s) for s in on_route)
            books[room.number] += more
            changed[room.number] = room
    return list(changed.values())


def _books(streams: Iterable[Stream]) -> int:
    return sum(1 for s in streams if s.channel == "book")


def batches(streams: Sequence[Stream], limits: Limits) -> list[Sequence[Stream]]:
    """Streams cut into subscription requests."""
    size = max(1, limits.streams_per_request)
    return [streams[i : i + size] for i in range(0, len(streams), size)]


def streams_max(limits: Limits, setting: int) -> int:
    return max(1, min(limits.streams_per_connection, setting))


def _fits(group: Group, streams: Sequence[Stream], streams_max: int) -> bool:
    return len(group.streams) + len(streams) <= max(streams_max, len(streams) if not group.streams else 0)


def _by_symbol(streams: Iterable[Stream]) -> list[list[Stream]]:
    by: dict[str, list[Stream]] = {}
    for stream in streams:
        by.setdefault(stream.symbol, []).append(stream)
    return list(by.values())


def _by_route(streams: Sequence[Stream], route: Callable[[Stream], str]) -> list[tuple[str, list[Stream]]]:
    by: dict[str, list[Stream]] = {}
    for stream in streams:
        by.setdefault(route(stream), []).append(stream)
    return list(by.items())
