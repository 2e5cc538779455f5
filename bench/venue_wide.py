"""A venue with very many symbols, looking like Binance spot: for what each subscribed symbol costs in memory.

`python -m bench.venue_wide PORT SYMBOLS FRAMES_PER_S`. Any number of websockets; every subscribed stream has its turn,
so that nothing is silent. Metadata have the size of the venue's; snapshots have 1,000 levels a side.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time
from urllib.parse import parse_qs, urlsplit

from websockets.asyncio.server import ServerConnection, serve
from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from bench.venue_load import symbols

TICK_S = 0.01
FILTERS = [
    {"filterType": name, "minPrice": "0.01000000", "maxPrice": "1000000.00000000", "tickSize": "0.01000000"}
    for name in ("PRICE_FILTER", "LOT_SIZE", "ICEBERG_PARTS", "MARKET_LOT_SIZE", "TRAILING_DELTA", "NOTIONAL")
]
LEVELS = [[f"{100 - n / 100:.8f}", "1.00000000"] for n in range(1000)]


class Venue:
    """Streams by socket, in turns; one book id for all symbols."""

    def __init__(self, names: list[str], frames_per_s: int) -> None:
        self._frames_per_s = frames_per_s
        self._streams: list[tuple[ServerConnection, str]] = []
        self._numbers: dict[str, int] = {}
        self._instruments = json.dumps(
            {"symbols": [{"symbol": s, "status": "TRADING", "baseAsset": s[:8], "baseAssetPrecision": 8,
                          "quoteAsset": "USDT", "quotePrecision": 8, "filters": FILTERS} for s in names]}
        ).encode()  # fmt: skip

    async def socket(self, socket: ServerConnection) -> None:
        with contextlib.suppress(Exception):
            async for message in socket:
                request = json.loads(message)
                await socket.send(json.dumps({"result": None, "id": request["id"]}))
                self._streams += [(socket, name) for name in request["params"]]

    def rest(self, _: ServerConnection, request: Request) -> Response | None:
        """Plain HTTP on the same port."""
        if "Upgrade" in request.headers:
            return None
        parts = urlsplit(request.path)
        if parts.path.endswith("exchangeInfo"):
            body = self._instruments
        else:
            low = parse_qs(parts.query)["symbol"][0].lower()
            newest = self._numbers.get(f"{low}@depth@100ms", 0)
            body = json.dumps({"lastUpdateId": newest, "bids": LEVELS, "asks": LEVELS}).encode()
        return Response(200, "OK", Headers({"Content-Length": str(len(body)), "Connection": "close"}), body)

    def frame(self, name: str) -> str:
        number = self._numbers[name] = self._numbers.get(name, 0) + 1
        low, _, kind = name.partition("@")
        at_ms, symbol = time.time_ns() // 1_000_000, low.upper()
        if kind.startswith("depth"):
            levels = '["100.00000000","1.00000000"],' * 9 + '["101.00000000","0.00000000"]'
            body = (
                f'"e":"depthUpdate","E":{at_ms},"s":"{symbol}","U":{number},"u":{number},"b":[{levels}],"a":[{levels}]'
            )
        elif kind == "bookTicker":
            body = f'"u":{number},"s":"{symbol}","b":"100.00000000","B":"1.20000000","a":"100.1","A":"3.40000000"'
        else:
            event = {"trade": "trade", "aggTrade": "aggTrade", "ticker": "24hrTicker"}.get(kind, "kline")
            body = f'"e":"{event}","E":{at_ms},"s":"{symbol}","t":{number},"p":"100.00000000","q":"0.01300000"'
        return f'{{"stream":"{name}","data":{{{body}}}}}'

    async def run(self) -> None:
        """Frames in turns, for ever."""
        begin_s, sent = time.perf_counter(), 0
        while True:
            await asyncio.sleep(TICK_S)
            due = int((time.perf_counter() - begin_s) * self._frames_per_s) if self._streams else sent
            if not self._streams:
                begin_s, sent = time.perf_counter(), 0
                continue
            for number in range(sent, due):
                socket, name = self._streams[number % len(self._streams)]
                with contextlib.suppress(Exception):
                    socket.protocol.send_text(self.frame(name).encode())
                    socket.send_data()
            sent = max(sent, due)


async def main(port: int, count: int, frames_per_s: int) -> None:
    venue = Venue(symbols(count), frames_per_s)
    async with serve(venue.socket, "127.0.0.1", port, process_request=venue.rest, ping_interval=10):
        print("listening", flush=True)
        await venue.run()


if __name__ == "__main__":
    asyncio.run(main(*map(int, sys.argv[1:4])))
