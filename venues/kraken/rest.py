"""Kraken REST replies: metadata, books and errors, `{"error":[..],"result":{..}}`."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import msgspec

from marketdata.codec import UNDECODABLE
from marketdata.errors import BadData, UnparsableFrame
from marketdata.types import Instrument
from venues.contract import Context, RestReply, VenueError
from venues.kraken.book import parse_snapshot
from venues.kraken.instruments import parse_instrument
from venues.kraken.messages import PairsReply

_read = msgspec.json.Decoder(PairsReply).decode


def read_rest(path: str, body: bytes, ctx: Context) -> RestReply:
    """See `Venue.read_rest`. The path must be known: replies name what they are about in a spelling of their own."""
    try:
        reply = _read(body)
    except UNDECODABLE as exc:
        raise UnparsableFrame(f"not a reply of Kraken to {path or 'an unknown request'}: {exc}") from None
    if reply.error:
        code, _, message = reply.error[0].partition(":")
        return RestReply("error", error=VenueError(None, code, message))
    url = urlsplit(path)
    endpoint = url.path.rpartition("/")[2]
    query = {name: values[0] for name, values in parse_qs(url.query).items()}
    if endpoint == "Depth":
        count = query.get("count", "0")
        limit = int(count) if count.isdigit() else 0
        return RestReply("book", query.get("pair") or ctx.symbol, snapshot=parse_snapshot(body)._replace(limit=limit))
    if endpoint == "AssetPairs":
        return RestReply("instrument", ctx.symbol, _instruments(reply, ctx))
    raise UnparsableFrame(f"a reply to {path or 'an unknown request'}")


def _instruments(reply: PairsReply, ctx: Context) -> list[Instrument]:
    """Of the entries that can be read: not every pair is on the socket."""
    found = []
    for entry in (reply.result or {}).values():
        try:
            found.append(parse_instrument(bytes(entry), ctx))
        except BadData:
            continue
    if not found:
        raise UnparsableFrame("an AssetPairs reply of Kraken without a pair we can read")
    return found
