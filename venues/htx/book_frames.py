"""HTX book frames and snapshots, with their levels or with their ids alone.

Levels stay in the venue's unit: base coin on spot, contracts elsewhere. A side that is absent or null has no changes.
"""

from __future__ import annotations

import re

import msgspec

from marketdata.codec import UNDECODABLE
from marketdata.errors import UnparsableFrame
from venues.contract import BookEnvelope, BookFrame, SnapshotEnvelope, SnapshotFrame
from venues.htx import messages as m
from venues.json_numbers import levels

STEP0_LEVELS = 150
"""Levels a side of `/market/depth?type=step0`, and of the streams we subscribe."""

_decode_mbp = msgspec.json.Decoder(m.MbpFrame).decode
_decode_depth = msgspec.json.Decoder(m.DepthFrame).decode
_decode_snapshot = msgspec.json.Decoder(m.SnapshotFrame).decode

_MBP_NAME = re.compile(r"market\.[^.]+\.mbp\.\d+")
_EVENTS = {"snapshot": True, "update": False}


def parse_mbp(frame: bytes) -> BookFrame:
    """Spot: `market.<s>.mbp.<n>`, and the reply to `req`, which is a whole book. Raises UnparsableFrame."""
    tick, envelope = _mbp(frame)
    return BookFrame(envelope, levels(tick.bids), levels(tick.asks))


def mbp_envelope(frame: bytes) -> BookEnvelope:
    """Ids of a spot book frame. Raises UnparsableFrame."""
    return _mbp(frame)[1]


def _mbp(frame: bytes) -> tuple[m.MbpTick, BookEnvelope]:
    try:
        msg = _decode_mbp(frame)
    except UNDECODABLE as exc:
        raise UnparsableFrame(f"not an mbp frame of HTX: {exc}") from None
    tick = msg.data if msg.rep else msg.tick
    if tick is None or not _MBP_NAME.fullmatch(msg.rep or msg.ch):
        raise UnparsableFrame("not an mbp frame of HTX: neither an update nor a reply")
    if msg.rep:
        return tick, BookEnvelope(tick.seqNum, tick.seqNum, None, msg.ts * 1000, is_snapshot=True)
    if tick.prevSeqNum is None:
        raise UnparsableFrame("an mbp update without prevSeqNum")
    return tick, BookEnvelope(tick.seqNum, tick.seqNum, tick.prevSeqNum, msg.ts * 1000)


def parse_depth(frame: bytes) -> BookFrame:
    """Contracts: `market.<c>.depth.size_<n>.high_freq`. Raises UnparsableFrame."""
    tick, envelope = _depth(frame)
    return BookFrame(envelope, levels(tick.bids), levels(tick.asks))


def depth_envelope(frame: bytes) -> BookEnvelope:
    """Ids of a contract's book frame. Its time is that of the check, not of the sending. Raises UnparsableFrame."""
    return _depth(frame)[1]


def _depth(frame: bytes) -> tuple[m.DepthTick, BookEnvelope]:
    try:
        msg = _decode_depth(frame)
    except UNDECODABLE as exc:
        raise UnparsableFrame(f"not a high_freq frame of HTX: {exc}") from None
    tick = msg.tick
    if tick.ch and tick.ch != msg.ch:
        raise UnparsableFrame(f"the stream is {msg.ch!r} but its payload says {tick.ch!r}")
    whole = _EVENTS.get(tick.event)
    if whole is None:
        raise UnparsableFrame(f"a high_freq frame of the event {tick.event!r}")
    version = tick.version
    return tick, BookEnvelope(version, version, None if whole else version - 1, tick.ts * 1000, whole)


def parse_snapshot(body: bytes) -> SnapshotFrame:
    """A reply to `/market/depth`; the type it was asked with is in its `ch`.

    Contracts: its `version` is of no stream's count, so that it cannot be joined with one. Raises UnparsableFrame.
    """
    msg = _snapshot(body)
    tick = msg.tick
    limit = STEP0_LEVELS if msg.ch.endswith(".depth.step0") else 0
    return SnapshotFrame(
        SnapshotEnvelope(tick.version, (tick.ts or msg.ts) * 1000), levels(tick.bids), levels(tick.asks), limit
    )


def snapshot_envelope(body: bytes) -> SnapshotEnvelope:
    """Ids of a reply to `/market/depth`. Raises UnparsableFrame."""
    msg = _snapshot(body)
    return SnapshotEnvelope(msg.tick.version, (msg.tick.ts or msg.ts) * 1000)


def _snapshot(body: bytes) -> m.SnapshotFrame:
    try:
        return _decode_snapshot(body)
    except UNDECODABLE as exc:
        raise UnparsableFrame(f"not a depth reply of HTX: {exc}") from None
