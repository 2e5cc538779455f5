"""Raw records as Kafka takes them: topic, key, value, headers, timestamp. Pure; times are given."""

from __future__ import annotations

from typing import NamedTuple

from marketdata.codec import encoder, payload_text
from marketdata.raw import LIMIT_HEADER, PATH_HEADER, ConnectedValue, DisconnectedValue, HeartbeatValue, encode_value
from marketdata.topics import CHANNEL_TOPICS, MD_DEAD_LETTER, RAW_BBO, RAW_BOOK, RAW_CONTROL, RAW_TRADE, topic_name
from marketdata.types import DeadLetter
from runtime.config.stores import Environment

Header = tuple[str, bytes]

HEARTBEAT_PACES = {RAW_TRADE.name: 1, RAW_BOOK.name: 1, RAW_BBO.name: 5}
"""Raw topics with heartbeats, and in how many heartbeat intervals each key has one. Trades and books need them at the
full pace (candles close, stale books are told by them); quotes only so that whoever merges those of several venues can
move its watermark on while one of them is silent."""

TIMELESS = (RAW_BBO.name,)
"""Where a heartbeat says something though no frame has told the venue's time (quotes of Binance spot carry none): that
of its receipt, by which quotes are merged."""

_FRAME: Header = ("kind", b"frame")
_NO_CHANNEL: Header = ("channel", b"")


class Record(NamedTuple):
    """One Kafka record on its way out."""

    topic: str
    key: bytes
    value: bytes
    headers: list[Header]
    timestamp_ms: int


class Records:
    """Builds the records of one market (exchange, market) in one environment. Header order as `marketdata.raw`."""

    def __init__(self, environment: Environment, exchange: str, market: str, encoding: str = "json") -> None:
        self.exchange = exchange
        self.market = market
        self._prefix = environment.topic_prefix
        self._control = topic_name(self._prefix, RAW_CONTROL)
        self._dead = topic_name(self._prefix, MD_DEAD_LETTER)
        self._encode_typed = encoder("msgpack" if encoding == "msgpack" else "json")
        self.topics = tuple(dict.fromkeys(topic_name(self._prefix, topic) for topic in CHANNEL_TOPICS.values()))
        """Full names of all raw topics that channels are recorded in."""
        self.timeless_topics = tuple(self._prefix + name for name in TIMELESS)
        self.heartbeat_paces = {self._prefix + name: pace for name, pace in HEARTBEAT_PACES.items()}

    def topic(self, channel: str) -> str:
        """Full name of the raw topic of a channel."""
        return topic_name(self._prefix, CHANNEL_TOPICS[channel])

    def key(self, symbol: str) -> bytes:
        return f"{self.exchange}.{self.market}.{symbol}".encode()

    def connected(self, at: Place, value: ConnectedValue) -> Record:
        return at.record("connected", encode_value(value))

    def disconnected(self, at: Place, value: DisconnectedValue) -> Record:
        return at.record("disconnected", encode_value(value))

    def heartbeat(self, at: Place, venue_time_us: int) -> Record:
        return at.record("heartbeat", encode_value(HeartbeatValue(venue_time_us)))

    def snapshot(self, at: Place, body: bytes, levels: int) -> Record:
        """A REST book snapshot, verbatim, on the connection it anchors; `levels` per side were asked for."""
        record = at.record("snapshot", body, channel="book")
        record.headers.append((LIMIT_HEADER, b"%d" % levels))
        return record

    def poll(self, at: Place, body: bytes, channel: str, path: str) -> Record:
        """What a polled REST reply says of the symbol, verbatim; `path` (with query) was asked."""
        record = at.record("poll", body, channel=channel)
        record.headers.append((PATH_HEADER, path.encode()))
        return record

    def instrument(self, at: Place, metadata: bytes) -> Record:
        """The venue's metadata of the symbol, verbatim."""
        return at.record("instrument", metadata)

    def control(self, conn: str, frame: bytes, recv_ns: int, seq: int, kind: str = "frame") -> Record:
        """An ack, error, ping or notice of the venue, or (kind `disconnected`) our note about a stream that is off."""
        return Place(self._control, conn.encode(), conn, seq, recv_ns).record(kind, frame)

    def dead_letter(self, frame: bytes, reason: str, detail: str, recv_ns: int) -> Record:
        """A frame that belongs to no stream we know, kept whole."""
        letter = DeadLetter(
            exchange=self.exchange, market=self.market, symbol="", recv_time_ns=str(recv_ns),
            reason=reason, detail=detail, payload=payload_text(frame),
        )  # fmt: skip
        key = f"{self.exchange}.{self.market}.-".encode()
        return Record(self._dead, key, self._encode_typed(letter), [], recv_ns // 1_000_000)


class Place(NamedTuple):
    """Where and when a record of ours stands in the raw log."""

    topic: str
    key: bytes
    conn: str
    seq: int
    """Of the last frame of that connection before it."""
    recv_ns: int

    def record(self, kind: str, value: bytes, channel: str = "") -> Record:
        headers = [
            ("kind", kind.encode()),
            ("channel", channel.encode()) if channel else _NO_CHANNEL,
            ("recv_ns", b"%d" % self.recv_ns),
            ("conn", self.conn.encode()),
            ("seq", b"%d" % self.seq),
        ]
        return Record(self.topic, self.key, value, headers, self.recv_ns // 1_000_000)


def frame_record(topic: str, key: bytes, frame: bytes, channel: Header, conn: Header, seq: int, recv_ns: int) -> Record:
    """The hot one: header tuples that do not change are made once by the caller."""
    headers = [_FRAME, channel, ("recv_ns", b"%d" % recv_ns), conn, ("seq", b"%d" % seq)]
    return Record(topic, key, frame, headers, recv_ns // 1_000_000)
