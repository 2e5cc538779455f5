"""The state of a symbol's streams, as ingest last reported them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache

from api import models, views
from marketdata import types as t
from marketdata.errors import MarketPrismError
from marketdata.keys import Key
from venues import find_venue

CARRIERS_KEPT = 100_000
POLLED = ""
"""In place of a stream's channel."""


def feeds(key: Key, expected: Sequence[str], records: Mapping[str, object], now_ms: int) -> list[models.Feed]:
    """Every channel that is configured or was reported. `records`: newest FeedStatus by channel.

    A channel that the venue does not offer for this instrument is left out, unless it was reported.
    """
    found = []
    for channel in dict.fromkeys((*expected, *records)):
        carrier = channel if channel in records else carrier_of(key, channel)
        if carrier == POLLED:
            found.append(models.Feed(channel=channel, state="polled"))
        elif carrier is not None:
            found.append(_feed(channel, records.get(carrier), now_ms))
    return found


@lru_cache(CARRIERS_KEPT)
def carrier_of(key: Key, channel: str) -> str | None:
    """The channel whose stream brings this one's data: its own, or that of another (Binance's funding rates come with
    the mark price). POLLED: there is none, it is asked for by REST. None: the venue has no such data of the symbol."""
    try:
        protocol = find_venue(key.exchange, key.market).protocol
        streams = protocol.streams([key.symbol], [channel])
    except MarketPrismError:
        return channel  # a venue or a symbol that this process does not know
    if streams:
        return channel if any(stream.channel == channel for stream in streams) else streams[0].channel
    return POLLED if protocol.polls([key.symbol], [channel]) else None


def _feed(channel: str, record: object, now_ms: int) -> models.Feed:
    if not isinstance(record, t.FeedStatus):
        return models.Feed(channel=channel, state="unknown")
    since_ms = views.age_ms(now_ms, record.recv_time_ns)
    return models.Feed(channel=channel, state=record.state, reason=record.reason, since_ms=since_ms)
