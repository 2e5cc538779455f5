"""Routes of USD-M: a connection is acknowledged everything and given only what its route carries.

Source: "Important WebSocket Change Notice" (2026-03): without a route a connection gets `/public` streams alone.
"""

from __future__ import annotations

import re
from typing import Any

from simulator.session import Opened, Session, TooManyStreams, parse_target

PUBLIC = re.compile(r"@(trade|bookTicker|depth[0-9]*(@[0-9]+ms)?|rpiDepth@500ms)$|^!bookTicker$")
ROUTES = ("public", "market")


def route_of(stream: str) -> str:
    return "public" if PUBLIC.search(stream) else "market"


class RoutedSession(Session):
    """What was asked for is listed; `streams` has what the route carries."""

    def __init__(self, opened: Opened, streams_max: int, route: str) -> None:
        super().__init__(opened, streams_max)
        self.route = route
        self.asked: dict[str, None] = dict(self.streams)
        self._choose()

    def _choose(self) -> None:
        self.streams = {name: None for name in self.asked if route_of(name) == self.route}

    def shutdown_notice(self, now_ms: int) -> bytes | None:
        """None is documented."""
        del now_ms
        return None

    def _subscribe(self, params: list[Any]) -> None:
        self._change(params, super()._subscribe)

    def _unsubscribe(self, params: list[Any]) -> None:
        self._change(params, super()._unsubscribe)

    def _change(self, params: list[Any], change: Any) -> None:
        """Let the plain session change everything asked for, then choose."""
        self.streams = self.asked
        try:
            change(params)
        finally:
            self._choose()

    def _list_subscriptions(self, params: list[Any]) -> list[str]:
        del params
        return list(self.asked)


def open_session(path: str, query: str, streams_max: int) -> RoutedSession | None:
    """From the path after the segment's prefix. Raises TooManyStreams."""
    first, _, rest = path[1:].partition("/")
    route, path = (first, "/" + rest) if first in ROUTES else ("public", path)
    opened = parse_target(path, query)
    if opened is None:
        return None
    if len(opened.streams) > streams_max:
        raise TooManyStreams
    return RoutedSession(opened._replace(microseconds=False), streams_max, route)
