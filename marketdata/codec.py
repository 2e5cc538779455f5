"""Records to bytes and back: JSON by default, MessagePack by setting. The tag `type` tells records apart."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Final, Literal, cast

import msgspec

from marketdata.errors import BadData, UnparsableFrame
from marketdata.types import AnyRecord

Encoding = Literal["json", "msgpack"]

UNDECODABLE: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What decoding may raise: not of the shape asked for, no UTF-8, or nested deeper than the interpreter goes."""

TEXT_PAYLOAD_MAX: Final = 1024 * 1024
"""JSON may write a byte of text as six: the largest raw record must fit into a dead letter all the same."""

_json_encode = msgspec.json.Encoder().encode
_msgpack_encode = msgspec.msgpack.Encoder().encode
_json_decode = msgspec.json.Decoder(AnyRecord).decode
_msgpack_decode = msgspec.msgpack.Decoder(AnyRecord).decode


def encoder(encoding: Encoding = "json") -> Callable[[object], bytes]:
    """The function that turns any record into bytes. Raises BadData on what the encoding cannot hold."""
    return _json_encode if encoding == "json" else _pack


def _pack(record: object) -> bytes:
    """MessagePack, whose numbers have 64 bits. Raises BadData."""
    try:
        return _msgpack_encode(record)
    except OverflowError:
        raise BadData("integer_range", "MessagePack has no number of more than 64 bits") from None


def decode(payload: bytes) -> AnyRecord:
    """The record in `payload`, of either encoding (a JSON object starts with `{`, a MessagePack map never does).

    Raises UnparsableFrame, naming the field, when it is not one of ours. Unknown fields are ignored.
    """
    decode_ = _json_decode if payload[:1] == b"{" else _msgpack_decode
    try:
        return cast(AnyRecord, decode_(payload))
    except UNDECODABLE as exc:
        raise UnparsableFrame(f"not a MarketPrism record: {exc}") from None


def payload_text(payload: bytes) -> str:
    """Bytes as `DeadLetter.payload` keeps them: text where they are UTF-8 and not very long, else base64 behind the
    prefix `base64:`."""
    if len(payload) > TEXT_PAYLOAD_MAX:
        return "base64:" + base64.b64encode(payload).decode()
    try:
        return payload.decode()
    except UnicodeDecodeError:
        return "base64:" + base64.b64encode(payload).decode()
