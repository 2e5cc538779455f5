"""HTX REST replies to our records, told by their paths."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import msgspec

from marketdata.codec import UNDECODABLE
from marketdata.errors import UnparsableFrame
from marketdata.types import Ticker
from venues.contract import Context, RestReply, VenueError
from venues.htx import messages as m
from venues.htx import replies
from venues.htx.book_frames import parse_snapshot
from venues.htx.instruments import parse_contract, parse_symbol
from venues.htx.normalise import reader, statistics
from venues.htx.polls import FUNDING_ENDPOINT, funding, long_short, open_interest, ratio_kind
from venues.htx.symbols import market_of, parse_stream
from venues.names import upper_ascii

_read_tickers = reader(list[m.TickersEntry], "tickers reply")


def read_rest(path: str, body: bytes, ctx: Context) -> RestReply:
    """See `Venue.read_rest`. Where a reply is about contracts of several markets, each record names its own."""
    url = urlsplit(path)
    query = {name: values[0] for name, values in parse_qs(url.query).items()}
    asked = upper_ascii(query.get("symbol", query.get("contract_code", "")))
    ctx = msgspec.structs.replace(ctx, symbol=asked or ctx.symbol)
    endpoint = url.path.rpartition("/")[2]
    try:
        reply = replies.read(body)
        if endpoint == "depth":
            return _book(reply, body, ctx)
        if endpoint == "symbols":
            entries = list(replies.spot_symbols(body))
            return RestReply(
                "instrument", ctx.symbol, tuple(parse_symbol(e, _of(s, ctx)) for s, e in entries if _wanted(s, ctx))
            )
        if endpoint.endswith("contract_info"):
            entries = list(replies.contracts(body))
            return RestReply(
                "instrument", ctx.symbol, tuple(parse_contract(e, _of(s, ctx)) for s, e in entries if _wanted(s, ctx))
            )
        if endpoint.endswith("open_interest"):
            records = open_interest(body, ctx)
            return RestReply("open_interest", ctx.symbol, records)
        if endpoint == FUNDING_ENDPOINT:
            return RestReply("funding", ctx.symbol, funding(body, ctx))
        if ratio_kind(endpoint):
            return RestReply("long_short", ctx.symbol, long_short(path, body, ctx))
        if endpoint == "tickers":
            return RestReply("ticker", ctx.symbol, _tickers(reply, ctx))
    except replies.Refused as exc:
        return RestReply("error", ctx.symbol, error=VenueError(None, exc.venue_code, exc.venue_message))
    except UNDECODABLE as exc:
        raise UnparsableFrame(f"not a reply of HTX to {path[:100]}: {exc}") from None
    raise UnparsableFrame(f"a reply of HTX to {path[:100] or 'an unknown request'}, which we never ask")


def _wanted(symbol: str, ctx: Context) -> bool:
    return market_of(symbol) is not None and ctx.symbol in ("", symbol)


def _of(symbol: str, ctx: Context) -> Context:
    return msgspec.structs.replace(ctx, symbol=symbol, market=market_of(symbol) or ctx.market)


def _book(reply: m.Reply, body: bytes, ctx: Context) -> RestReply:
    """The reply names its own symbol, in `ch`."""
    stream = parse_stream(reply.ch)
    if stream is None or (ctx.symbol and stream.symbol != ctx.symbol):
        raise UnparsableFrame(f"a book of {ctx.symbol or 'any symbol'} that says {reply.ch[:100]!r}")
    return RestReply("book", stream.symbol, snapshot=parse_snapshot(body))


def _tickers(reply: m.Reply, ctx: Context) -> tuple[Ticker, ...]:
    entries = [(upper_ascii(entry.symbol), entry) for entry in _read_tickers(reply.data)]
    return tuple(
        ticker
        for symbol, entry in entries
        if _wanted(symbol, ctx)
        for ticker in statistics(entry, _of(symbol, ctx), reply.ts * 1000)
    )
