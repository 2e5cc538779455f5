from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.records import Place, Records, frame_record
from marketdata.codec import decode
from marketdata.raw import (
    ConnectedValue,
    DisconnectedValue,
    Headers,
    connected_decoder,
    disconnected_decoder,
    from_kafka,
    heartbeat_decoder,
    to_kafka,
)  # fmt: skip
from marketdata.topics import CHANNEL_TOPICS
from marketdata.types import DeadLetter
from runtime.config.stores import Environment

RECORDS = Records(Environment(topic_prefix="sim."), "binance", "spot")
RECV_NS = 1_700_000_000_123_456_789


@given(st.binary(max_size=200), st.integers(1, 2**62), st.integers(1, 2**62))
def test_a_frame_is_verbatim_with_the_five_headers(frame: bytes, seq: int, recv_ns: int) -> None:
    record = frame_record(
        "sim.raw.trade", b"binance.spot.X", frame, ("channel", b"trade"), ("conn", b"p-1-2"), seq, recv_ns
    )
    assert record.value == frame
    assert record.headers == to_kafka(Headers("frame", "trade", str(recv_ns), "p-1-2", str(seq)))
    assert record.timestamp_ms == recv_ns // 1_000_000


@pytest.mark.parametrize("channel", sorted(CHANNEL_TOPICS))
def test_topics_carry_the_environments_prefix(channel: str) -> None:
    assert RECORDS.topic(channel) == "sim." + CHANNEL_TOPICS[channel].name


def test_our_own_kinds() -> None:
    at = Place("sim.raw.book", b"binance.spot.BTCUSDT", "pod-1-7", 41, RECV_NS)
    connected = RECORDS.connected(at, ConnectedValue("wss://x/stream", ["book"], "rotation", True))
    assert from_kafka(connected.headers) == Headers("connected", "", str(RECV_NS), "pod-1-7", "41")
    assert connected_decoder.decode(connected.value).overlaps
    gone = RECORDS.disconnected(at, DisconnectedValue("closed 1001 recording ended", ["book"]))
    assert disconnected_decoder.decode(gone.value).reason == "closed 1001 recording ended"
    assert (
        heartbeat_decoder.decode(RECORDS.heartbeat(at, 1_700_000_000_000_001).value).venue_time_us
        == 1_700_000_000_000_001
    )
    snapshot = RECORDS.snapshot(at, b'{"lastUpdateId":1}', 1000)
    assert snapshot.headers[-1] == ("limit", b"1000")
    assert from_kafka(snapshot.headers) == Headers("snapshot", "book", str(RECV_NS), "pod-1-7", "41")
    assert snapshot.value == b'{"lastUpdateId":1}'
    assert from_kafka(RECORDS.instrument(at, b"{}").headers).kind == "instrument"
    for record in (connected, gone, snapshot):
        assert (record.topic, record.key) == ("sim.raw.book", b"binance.spot.BTCUSDT")
        assert record.timestamp_ms == RECV_NS // 1_000_000


def test_quotes_have_fewer_heartbeats_than_trades_and_books_others_none() -> None:
    assert RECORDS.heartbeat_paces == {"sim.raw.trade": 1, "sim.raw.book": 1, "sim.raw.bbo": 5}


def test_control_frames_are_keyed_by_connection() -> None:
    record = RECORDS.control("pod-1-7", b'{"result":null,"id":1}', RECV_NS, 3)
    assert (record.topic, record.key) == ("sim.raw.control", b"pod-1-7")
    assert from_kafka(record.headers) == Headers("frame", "", str(RECV_NS), "pod-1-7", "3")


@pytest.mark.parametrize(
    ("frame", "payload"), [(b'{"a":1}', '{"a":1}'), ("ü".encode(), "ü"), (b"\xff\xfe", "base64://4=")]
)
def test_dead_letters_keep_the_frame(frame: bytes, payload: str) -> None:
    record = RECORDS.dead_letter(frame, "unattributable", "why", RECV_NS)
    letter = decode(record.value)
    assert isinstance(letter, DeadLetter)
    assert (letter.reason, letter.payload, letter.recv_time_ns) == ("unattributable", payload, str(RECV_NS))
    assert record.topic == "sim.md.dead_letter"
    assert json.loads(record.value)["exchange"] == "binance"
