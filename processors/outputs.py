"""What goes in and out of a processing function, and the record that says why something could not be accepted."""

from __future__ import annotations

from typing import Any, NamedTuple

from quixstreams.models import Serializer

from marketdata.codec import encoder, payload_text
from marketdata.errors import UnparsableFrame
from marketdata.keys import Key, parse_key
from marketdata.raw import from_kafka
from marketdata.topics import MD_DEAD_LETTER
from marketdata.types import DeadLetter

INTERNAL = "internal"
"""Reason of a dead letter that is our bug rather than the venue's data."""


class SourceRecord(NamedTuple):
    """One record of an input topic, as Kafka holds it."""

    topic: str
    """Name in the topic table, without the environment's prefix."""
    partition: int
    offset: int
    key: bytes
    value: bytes
    headers: list[tuple[str, bytes]]
    timestamp_ms: int
    """Kafka's timestamp; every output made from this record carries it too."""


class Output(NamedTuple):
    """One record to publish."""

    topic: str
    """Name in the topic table, without the environment's prefix."""
    value: bytes
    key: bytes
    """Almost always the source record's key."""


class OutputSerializer(Serializer):
    """Hands the ready bytes of an `Output` to Kafka."""

    def __call__(self, value: Output, ctx: Any) -> bytes:  # noqa: ARG002 (quixstreams' signature)
        return value[1]


_encode = encoder()


def dead_letter(source: SourceRecord, reason: str, detail: str, record_id: str = "") -> Output:
    """The dead letter for a source record. JSON always: it must be readable when everything else went wrong."""
    try:
        key = parse_key(source.key or b"")
    except (UnparsableFrame, UnicodeDecodeError):
        key = Key("", "", "")
    try:
        headers = from_kafka(source.headers)
        channel, recv_ns = headers.channel, headers.recv_ns
    except (UnparsableFrame, UnicodeDecodeError):
        channel, recv_ns = "", ""
    record = DeadLetter(
        exchange=key.exchange,
        market=key.market,
        symbol=key.symbol,
        recv_time_ns=recv_ns,
        reason=reason,
        detail=detail,
        channel=channel,
        raw_topic=source.topic,
        raw_partition=source.partition,
        raw_offset=str(source.offset),
        record_id=record_id,
        payload=payload_text(source.value or b""),
    )
    return Output(MD_DEAD_LETTER.name, _encode(record), source.key or b"")
