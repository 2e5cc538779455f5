"""A venue of the tests' own that has every odd part of the contract: acks per stream, silent drops, streams for every
symbol, aliases, polls, books that come whole through the stream. Not on any registry.

Streams are named `channel:SYMBOL`; a data frame is `{"s":name,"t":ms,...}`, for every symbol with `"for":[..]`; a book
frame has `"f"`, `"l"` (ids) and `"whole"`. Requests are `{"op","id","names"}`; the pong is bare text.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from marketdata.book_feed import Verdict
from marketdata.errors import ConfigError, UnparsableFrame
from marketdata.types import Instrument
from venues.contract import (
    EVERY_SYMBOL,
    Ack,
    Alive,
    BookEnvelope,
    BookFrame,
    BookRecovery,
    Classified,
    Context,
    Data,
    Limits,
    Notice,
    Poll,
    Request,
    RestPool,
    RestReply,
    SnapshotEnvelope,
    SnapshotFrame,
    Stream,
    Unknown,
    Venue,
    VenueError,
)
from venues.defaults import PlainProtocol

LIMITS = Limits(
    streams_per_connection=100,
    messages_per_s=20.0,
    streams_per_request=10,
    connection_attempts_per_5_min=3000,
    connection_max_age_s=86_400.0,
    rotate_after_s=80_000.0,
    server_ping_interval_s=None,
    client_ping_interval_s=25.0,
    rest_pools={"": RestPool(1000, 60.0), "polls": RestPool(20, 2.0)},
    first_data_timeout_s=30.0,
    silence_timeout_s={"book": 120.0},
    quiet_channels=frozenset(("trade", "liquidation")),
    idle_timeout_s=60.0,
)
PLAIN = ("trade", "book", "ticker", "bbo")
ALIASES = {"mark_price": "ticker", "funding": "ticker"}


def toy_stream(name: str) -> Stream:
    channel, _, symbol = name.partition(":")
    return Stream(name, channel, symbol)


class ToyProtocol(PlainProtocol):
    def __init__(
        self, recovery: BookRecovery = BookRecovery.RESUBSCRIBE, fallback: BookRecovery | None = None, **limits: Any
    ) -> None:
        self.recovery = recovery
        self.recovery_fallback = fallback
        self.limits = replace(LIMITS, **limits)

    def streams(self, symbols: Sequence[str], channels: Sequence[str]) -> list[Stream]:
        names: dict[str, None] = {}
        for symbol in symbols:
            for channel in channels:
                if channel in PLAIN or channel in ALIASES:
                    names[f"{ALIASES.get(channel, channel)}:{symbol}"] = None
                elif channel == "liquidation":
                    names[f"liquidation:{EVERY_SYMBOL}"] = None
                elif channel not in ("open_interest", "long_short"):
                    raise ConfigError(f"the toy venue has no channel {channel!r}")
        return [toy_stream(name) for name in names]

    def polls(self, symbols: Sequence[str], channels: Sequence[str]) -> list[Poll]:
        out = []
        if "open_interest" in channels:
            out.append(Poll("open_interest", EVERY_SYMBOL, Request("/oi", {}, 1, pool="polls"), 0.2))
        if "long_short" in channels:
            out += [Poll("long_short", s, Request("/ratio", {"s": s}, 1, pool="polls"), 0.2) for s in symbols]
        return out

    def poll_reply(self, request: Request, body: bytes) -> Iterable[tuple[str, bytes]]:
        try:
            rows = json.loads(body)["rows"]
        except (ValueError, KeyError) as exc:
            raise UnparsableFrame(f"no rows: {exc}") from None
        if request.path == "/ratio":
            return [(request.query["s"], body)]
        return [(symbol, json.dumps(row).encode()) for symbol, row in rows.items()]

    def market_streams(self) -> list[Stream]:
        return [Stream("listings", "instrument", EVERY_SYMBOL)]

    def greeting(self) -> Sequence[str]:
        return ('{"op":"hello","id":0,"names":[]}',)

    def connection_url(self, ws_url: str, streams: Sequence[Stream]) -> str:
        return ws_url

    def subscribe(self, streams: Sequence[Stream], request_id: int) -> str:
        return json.dumps({"op": "sub", "id": request_id, "names": [s.name for s in streams]})

    def unsubscribe(self, streams: Sequence[Stream], request_id: int) -> str:
        return json.dumps({"op": "unsub", "id": request_id, "names": [s.name for s in streams]})

    def book_request(self, stream: Stream, request_id: int) -> str:
        return json.dumps({"op": "book", "id": request_id, "names": [stream.name]})

    def ping(self) -> str | None:
        return "ping"

    def classify(self, frame: bytes) -> Classified:
        if frame == b"pong":
            return Alive()
        try:
            m = json.loads(frame)
        except ValueError:
            return Unknown("not JSON")
        if "s" in m:
            return Data(toy_stream(m["s"]), m.get("t"), tuple(m.get("for", ())))
        if "ok" in m:
            return Ack(m.get("id"), None if m["ok"] is None else tuple(m["ok"]), m.get("final", False))
        if "error" in m:
            return VenueError(m.get("id"), m["error"], "no", tuple(m.get("names", ())))
        if "listed" in m:
            return Notice("instruments", m["listed"])
        return Unknown("of no kind")

    def snapshot_request(self, symbol: str, levels: int) -> Request:
        return Request("/book", {"s": symbol}, 1, levels)

    def volume_request(self) -> Request | None:
        return Request("/volumes", {}, 1)

    def volume_reply(self, body: bytes) -> Iterable[tuple[str, str]]:
        return [(symbol, str(value)) for symbol, value in json.loads(body).items()]

    def instruments_request(self) -> Request:
        return Request("/instruments", {}, 1)

    def instruments_reply(self, body: bytes) -> Iterable[tuple[str, bytes]]:
        return [(symbol, json.dumps(row).encode()) for symbol, row in json.loads(body).items()]

    def ban_until_ms(self, status: int, body: bytes) -> int | None:
        said = body.partition(b"banned until ")[2]
        return int(said[:13]) if said else None

    def book_envelope(self, frame: bytes) -> BookEnvelope:
        m = json.loads(frame)
        return BookEnvelope(m["f"], m["l"], None, m.get("t", 0) * 1000, m.get("whole", False))

    def snapshot_envelope(self, body: bytes) -> SnapshotEnvelope:
        return SnapshotEnvelope(json.loads(body)["id"], 0)


class ToySequence:
    """Ids of one connection grow by one."""

    chains_across_connections = False
    consecutive_ids = True

    def check(self, last_id: int, first: int, last: int, prev: int | None) -> Verdict:
        return Verdict.DROP if last <= last_id else Verdict.GAP if first > last_id + 1 else Verdict.APPLY

    def bridge(self, snapshot_id: int, first: int, last: int, prev: int | None) -> Verdict:
        return self.check(snapshot_id, first, last, prev)


class JoinedSequence(ToySequence):
    """The same, ids belonging to the symbol."""

    chains_across_connections = True


def _no_books(_: bytes) -> BookFrame:
    raise UnparsableFrame("levels are not looked at here")


def _no_snapshots(_: bytes) -> SnapshotFrame:
    raise UnparsableFrame("levels are not looked at here")


def _no_rest(path: str, body: bytes, context: Context) -> RestReply:
    raise UnparsableFrame(path)


def parse_toy_instrument(body: bytes, context: Context) -> Instrument:
    row = json.loads(body)
    if "status" not in row:
        raise UnparsableFrame("no status")
    return Instrument(
        exchange=context.exchange, market=context.market, symbol=context.symbol, recv_time_ns=context.recv_time_ns,
        base="B", quote=row.get("quote", "USDT"), status=row["status"],
    )  # fmt: skip


def toy_venue(protocol: ToyProtocol | None = None, unit_channels: Iterable[str] = (), joined: bool = False) -> Venue:
    return Venue(
        exchange="toy",
        market="perp",
        protocol=protocol or ToyProtocol(),
        normalisers={},
        parse_instrument=parse_toy_instrument,
        rules={},
        book_sync=JoinedSequence if joined else ToySequence,
        parse_book=_no_books,
        parse_snapshot=_no_snapshots,
        read_rest=_no_rest,
        recordings=(),
        unit_channels=frozenset(unit_channels),
    )


def data(name: str, at_ms: int = 1_700_000_000_000, symbols: Sequence[str] = (), **more: Any) -> bytes:
    about = {"for": list(symbols)} if symbols else {}
    return json.dumps({"s": name, "t": at_ms, **about, **more}).encode()


def update(symbol: str, first: int, last: int | None = None, whole: bool = False) -> bytes:
    """A book frame."""
    return data(f"book:{symbol}", f=first, l=first if last is None else last, whole=whole)
