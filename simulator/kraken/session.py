"""One connection to Kraken: subscriptions with one ack a symbol, heartbeats in quiet seconds. Pure.

Streams are named `book.<depth>.<symbol>` and `trade.<symbol>`; `/bare` and `/snapshot` at the end where the client
asked for the other choice of a first frame than its default (books: with, trades: without).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from typing import Any

from simulator.forms import TEXT, Form
from simulator.kraken import wire

DEPTHS = (10, 25, 100, 500, 1000)
HEARTBEAT_S = 1.0
CHANNELS = ("book", "trade")


class Session:
    """Implements `dialect.Session`. `clock_us` tells the venue's time."""

    def __init__(self, number: int, symbols: Collection[str], clock_us: Callable[[], int]) -> None:
        self.number = number
        self.symbols = symbols
        self.clock_us = clock_us
        self.streams: dict[str, None] = {}
        self.form: Form = TEXT
        self.subscribed_once = False

    def greeting(self) -> list[bytes]:
        return [wire.status(7_204_881_492_680_171_915 + self.number)]

    def shutdown_notice(self, now_ms: int) -> bytes | None:
        del now_ms
        return None

    def tick(self, now_s: float, pushed_s: float, heard_s: float) -> list[bytes]:
        """Heartbeats start with the first subscription and fill seconds in which nothing else went out."""
        del heard_s
        return [wire.HEARTBEAT] if self.subscribed_once and now_s - pushed_s >= HEARTBEAT_S * 0.9 else []

    def handle(self, data: bytes, now_s: float) -> list[bytes]:
        del now_s
        now_us = self.clock_us()
        try:
            message = json.loads(data)
        except ValueError:
            return [wire.error(None, "Malformed request", now_us, None)]
        if not isinstance(message, dict):
            return [wire.error(None, "Malformed request", now_us, None)]
        method, req_id = message.get("method"), message.get("req_id")
        if not isinstance(req_id, int) or isinstance(req_id, bool):
            req_id = None
        if method == "ping":
            return [wire.pong(now_us, req_id)]
        if method not in ("subscribe", "unsubscribe"):
            return [wire.error(str(method), "Unsupported method", now_us, req_id)]
        params = message.get("params")
        if not isinstance(params, dict):
            return [wire.error(method, "Params missing", now_us, req_id)]
        return self._change(method, params, req_id, now_us)

    def _change(self, method: str, params: dict[str, Any], req_id: int | None, now_us: int) -> list[bytes]:
        channel, symbols = params.get("channel"), params.get("symbol")
        if channel not in CHANNELS:
            return [wire.error(method, "Channel not supported", now_us, req_id)]
        if not isinstance(symbols, list) or not symbols or not all(isinstance(each, str) for each in symbols):
            return [wire.error(method, "Symbol(s) not found", now_us, req_id)]
        depth = params.get("depth", 10)
        if channel == "book" and depth not in DEPTHS:
            return [wire.error(method, "Subscription depth not supported", now_us, req_id)]
        act = self._subscribe if method == "subscribe" else self._unsubscribe
        snapshot = params.get("snapshot", channel == "book") is True
        return [act(str(channel), symbol, depth, snapshot, req_id, now_us) for symbol in symbols]

    def _subscribe(
        self, channel: str, symbol: str, depth: int, snapshot: bool, req_id: int | None, now_us: int
    ) -> bytes:
        if symbol not in self.symbols:
            return wire.error("subscribe", f"Currency pair not supported {symbol}", now_us, req_id, symbol)
        if self._held(channel, symbol, depth if channel == "book" else None):
            return wire.error("subscribe", "Already subscribed", now_us, req_id, symbol)
        self.subscribed_once = True
        result: dict[str, Any] = {"channel": channel}
        if channel == "book":
            name = f"book.{depth}.{symbol}" + ("" if snapshot else "/bare")
            result["depth"] = depth
        else:
            name = f"trade.{symbol}" + ("/snapshot" if snapshot else "")
        self.streams[name] = None
        result |= {"snapshot": snapshot, "symbol": symbol}
        return wire.ack("subscribe", result, now_us, req_id)

    def _unsubscribe(
        self, channel: str, symbol: str, depth: int, snapshot: bool, req_id: int | None, now_us: int
    ) -> bytes:
        del snapshot
        name = self._held(channel, symbol, depth if channel == "book" else None)
        if name is None:
            return wire.error("unsubscribe", "Subscription Not Found", now_us, req_id, symbol)
        del self.streams[name]
        result: dict[str, Any] = {"channel": channel} | ({"depth": depth} if channel == "book" else {})
        return wire.ack("unsubscribe", result | {"symbol": symbol}, now_us, req_id)

    def _held(self, channel: str, symbol: str, depth: int | None) -> str | None:
        """The stream this connection has; a symbol's book is had in one depth at a time when `depth` is None."""
        stem = f"trade.{symbol}" if channel == "trade" else f"book.{depth}.{symbol}"
        return next((name for name in (stem, f"{stem}/bare", f"{stem}/snapshot") if name in self.streams), None)
