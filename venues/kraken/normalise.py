"""Kraken trades to our records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from marketdata.codec import UNDECODABLE
from marketdata.errors import UnparsableFrame
from marketdata.types import AnyRecord, Side, Trade
from venues.contract import Context, Normaliser, canonical
from venues.json_numbers import number
from venues.kraken.book import time_us
from venues.kraken.messages import Envelope, TradeFrame

_SIDES: Mapping[str, Side] = {"buy": "buy", "sell": "sell"}
_read_trades = msgspec.json.Decoder(TradeFrame).decode
_read_any = msgspec.json.Decoder(Envelope).decode


def trade(frame: bytes, ctx: Context) -> Sequence[Trade]:
    """`trade`: those of the context's symbol, in base coin; `side` is the taker's."""
    try:
        entries = _read_trades(frame).data
    except UNDECODABLE as exc:
        raise UnparsableFrame(f"not a trade frame of Kraken: {exc}") from None
    ours = [entry for entry in entries if entry.symbol == ctx.symbol]
    if not ours:
        raise UnparsableFrame(f"the stream is {ctx.symbol}'s but its payload names other symbols alone")
    out = []
    for entry in ours:
        price, quantity = number(entry.price), number(entry.qty)
        if not price or not quantity:
            raise UnparsableFrame(f"trade {entry.trade_id} has no price or quantity")
        when_us = time_us(entry.timestamp)
        out.append(
            Trade(
                exchange=ctx.exchange,
                market=ctx.market,
                symbol=ctx.symbol,
                instrument=canonical(ctx),
                recv_time_ns=ctx.recv_time_ns,
                trade_id=str(entry.trade_id),
                price=price,
                quantity=quantity,
                side=_SIDES.get(entry.side, "unknown"),
                trade_time_us=when_us,
                event_time_us=when_us,
            )
        )
    return out


def without_record(frame: bytes, ctx: Context) -> Sequence[AnyRecord]:  # noqa: ARG001  the contract's signature
    """For channels we recognise and do not subscribe."""
    try:
        _read_any(frame)
    except UNDECODABLE as exc:
        raise UnparsableFrame(f"not a frame of Kraken: {exc}") from None
    return ()


NORMALISERS: dict[str, Normaliser] = {"trade": trade, "ticker": without_record, "kline": without_record}
