"""Raw records: what ingest writes, verbatim, before anyone interprets it.

Value = the frame's bytes, untouched. Everything else stands in Kafka headers (ASCII):

    kind     frame | snapshot | poll | heartbeat | connected | disconnected | instrument
    channel  trade | agg_trade | book | bbo | kline | ticker | ... ("" where a record is about the key as a whole)
    recv_ns  receive time, ns since 1970, stamped before parsing
    conn     identity of the connection: `{pod}-{start ms}-{number}`; for snapshots the connection they anchor
    seq      position of the frame on that connection, from 1, over all topics
    limit    snapshots only, optional: levels asked for per side (a side with fewer is known complete)
    path     polls only: what was asked, path and query

Values of the kinds that are ours rather than the venue's are the small Structs below, as JSON. A snapshot's value is
the venue's REST reply, verbatim; an instrument's is the venue's metadata for the symbol, cut out of its reply byte for
byte. A poll's is what a REST reply says of the symbol, cut out likewise, of a channel that the venue does not stream
(open interest, long/short ratios): it stands in the channel's topic, belongs to no connection (`conn` "", `seq` 0), and
mostly repeats what an earlier reply said.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, NamedTuple, get_args

import msgspec
from msgspec import Struct

from marketdata.errors import UnparsableFrame

RawKind = Literal["frame", "snapshot", "poll", "heartbeat", "connected", "disconnected", "instrument"]
RAW_KINDS: frozenset[str] = frozenset(get_args(RawKind))

LIMIT_HEADER = "limit"
"""Only on snapshots: levels per side that were asked for. A side with fewer is known to be whole."""
PATH_HEADER = "path"
"""Only on polls: path and query of the request."""


class HeartbeatValue(Struct, frozen=True):
    """The venue's clock as ingest knew it: newest event time on that connection plus monotonic time since (us); 0 in
    raw.bbo while no frame has told it."""

    venue_time_us: int


class ConnectedValue(Struct, frozen=True):
    """A connection carries this key's streams from now on; later ones of the same conn id never come before it."""

    url: str
    channels: list[str] = []
    reason: str = ""
    """Why it was opened: `start`, `reconnect`, `rotation`, `subscribe`."""
    overlaps: bool = False
    """True when it was opened beside a live one (rotation): nothing is missing between the two."""


class DisconnectedValue(Struct, frozen=True):
    """A connection stopped carrying this key's streams."""

    reason: str
    """`closed <code> <venue's text>`, `silent <channel>`, `ping_timeout`, `rotation`, `stopping`, `unsubscribed`..."""
    channels: list[str] = []


class Headers(NamedTuple):
    kind: str
    channel: str
    recv_ns: str
    conn: str
    seq: str


def to_kafka(h: Headers) -> list[tuple[str, bytes]]:
    """Headers as confluent-kafka takes them."""
    return [
        ("kind", h.kind.encode()),
        ("channel", h.channel.encode()),
        ("recv_ns", h.recv_ns.encode()),
        ("conn", h.conn.encode()),
        ("seq", h.seq.encode()),
    ]


def from_kafka(headers: Iterable[tuple[str, bytes | str | None]] | None) -> Headers:
    """The headers of a raw record. Raises UnparsableFrame when one is missing or the kind is unknown."""
    found: dict[str, str] = {}
    for name, value in headers or ():
        found[name] = value.decode() if isinstance(value, bytes) else (value or "")
    try:
        h = Headers(found["kind"], found["channel"], found["recv_ns"], found["conn"], found["seq"])
    except KeyError as exc:
        raise UnparsableFrame(f"raw record lacks the header {exc.args[0]!r}") from None
    if h.kind not in RAW_KINDS:
        raise UnparsableFrame(f"raw record of unknown kind {h.kind!r}")
    return h


def header(headers: Iterable[tuple[str, bytes | str | None]], name: str) -> str:
    """One more header of a raw record, such as PATH_HEADER; "" where it is not there."""
    for found, value in headers:
        if found == name:
            return value.decode() if isinstance(value, bytes) else (value or "")
    return ""


heartbeat_decoder = msgspec.json.Decoder(HeartbeatValue)
connected_decoder = msgspec.json.Decoder(ConnectedValue)
disconnected_decoder = msgspec.json.Decoder(DisconnectedValue)
encode_value = msgspec.json.Encoder().encode
