"""Kraken's v2 JSON: unquoted numbers in full precision, microsecond RFC 3339 times, CRC32 on every book frame.

Key order and number forms as recorded; the checksum as in docs.kraken.com/exchange/guides/websockets/book-checksum-v2.
"""

from __future__ import annotations

import datetime as dt
import json
import zlib
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any

from simulator.market.instruments import Instrument
from simulator.market.listing import fixed, places
from simulator.market.symbol import Trade
from simulator.market.view import Levels

CHECKSUM_LEVELS = 10
QTY_PLACES = 8
HEARTBEAT = b'{"channel":"heartbeat"}'


def time_text(time_us: int) -> str:
    """RFC 3339, UTC, microseconds."""
    whole, rest = divmod(time_us, 1_000_000)
    return f"{dt.datetime.fromtimestamp(whole, dt.UTC):%Y-%m-%dT%H:%M:%S}.{rest:06d}Z"


def compact(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def price_text(instrument: Instrument, ticks: int) -> str:
    return fixed(ticks * instrument.tick_e8, places(instrument.tick_e8))


def qty_text(instrument: Instrument, steps: int) -> str:
    return fixed(steps * instrument.step_e8, QTY_PLACES)


def levels(instrument: Instrument, pairs: Iterable[tuple[int, int]]) -> str:
    rows = (f'{{"price":{price_text(instrument, p)},"qty":{qty_text(instrument, q)}}}' for p, q in pairs)
    return "[" + ",".join(rows) + "]"


def checksum(instrument: Instrument, bids: Levels, asks: Levels) -> int:
    """Of the best ten levels, asks first, digits only, leading zeros left out; fewer where a side is thinner."""
    parts = []
    for side in (asks, bids):
        for price, qty in islice(side.items(), CHECKSUM_LEVELS):
            parts.append(price_text(instrument, price).replace(".", "").lstrip("0"))
            parts.append(qty_text(instrument, qty).replace(".", "").lstrip("0"))
    return zlib.crc32("".join(parts).encode())


def book(
    kind: str, instrument: Instrument, bids: Iterable[tuple[int, int]], asks: Iterable[tuple[int, int]],
    crc: int, time_us: int,
) -> bytes:  # fmt: skip
    return (
        f'{{"channel":"book","type":"{kind}","data":[{{"symbol":"{instrument.symbol}",'
        f'"bids":{levels(instrument, bids)},"asks":{levels(instrument, asks)},'
        f'"checksum":{crc},"timestamp":"{time_text(time_us)}"}}]}}'
    ).encode()


def trades(kind: str, instrument: Instrument, items: Sequence[Trade]) -> bytes:
    """The taker's side; every eighth taker came with a limit order."""
    rows = (
        f'{{"symbol":"{instrument.symbol}","side":"{"sell" if t.buyer_is_maker else "buy"}",'
        f'"price":{price_text(instrument, t.price)},"qty":{qty_text(instrument, t.qty)},'
        f'"ord_type":"{"market" if t.agg_id % 8 else "limit"}","trade_id":{t.id},"timestamp":"{time_text(t.time_us)}"}}'
        for t in items
    )
    return f'{{"channel":"trade","type":"{kind}","data":[{",".join(rows)}]}}'.encode()


def status(connection_id: int) -> bytes:
    return compact(
        {
            "channel": "status",
            "type": "update",
            "data": [{"version": "2.0.10", "system": "online", "api_version": "v2", "connection_id": connection_id}],
        }
    )


def ack(method: str, result: dict[str, Any], now_us: int, req_id: int | None) -> bytes:
    out: dict[str, Any] = {"method": method, "result": result, "success": True}
    return compact(out | _times(now_us) | ({} if req_id is None else {"req_id": req_id}))


def error(method: str | None, text: str, now_us: int, req_id: int | None, symbol: str | None = None) -> bytes:
    out: dict[str, Any] = {"error": text}
    if method is not None:
        out["method"] = method
    if req_id is not None:
        out["req_id"] = req_id
    out["success"] = False
    if symbol is not None:
        out["symbol"] = symbol
    return compact(out | _times(now_us))


def pong(now_us: int, req_id: int | None) -> bytes:
    out: dict[str, Any] = {"method": "pong"}
    if req_id is not None:
        out["req_id"] = req_id
    return compact(out | _times(now_us))


def _times(now_us: int) -> dict[str, str]:
    return {"time_in": time_text(now_us), "time_out": time_text(now_us + 42)}
