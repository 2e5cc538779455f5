"""A client library that is not ours lives on the simulator: ccxt, with nothing changed but its addresses."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import ccxt.pro
from websockets.uri import parse_uri

from tests.simulator_process import SimulatorProcess, simulator

SYMBOL = "BTC/USDT"


def client(exchange: SimulatorProcess) -> Any:
    """ccxt's Binance; every address not replaced would fail: nothing but loopback is reachable by it."""
    made = ccxt.pro.binance(
        {
            "enableRateLimit": False,
            "options": {"defaultType": "spot", "fetchMarkets": {"types": ["spot"]}, "fetchCurrencies": False},
        }
    )
    base = f"http://127.0.0.1:{exchange.port}"
    api = made.urls["api"]
    made.urls["api"] = {name: f"{base}/refused" for name in api if name != "ws"}
    made.urls["api"]["public"] = f"{base}/api/v3"
    made.urls["api"]["ws"] = {"spot": f"{exchange.ws_url}/ws"}
    assert parse_uri(made.urls["api"]["ws"]["spot"]).host == "127.0.0.1"
    return made


async def settle_book(made: Any, exchange: SimulatorProcess) -> int:
    """ccxt's bridged book against the exchange's own, whenever both stand at the same update id."""
    compared = 0
    while compared < 5:
        book = await made.watch_order_book(SYMBOL, 1000)
        assert book["bids"][0][0] < book["asks"][0][0]
        ours = await asyncio.to_thread(exchange.get, "/api/v3/depth", symbol="BTCUSDT", limit=50)
        if ours["lastUpdateId"] != book["nonce"]:
            continue
        for side in ("bids", "asks"):
            assert [list(map(float, level)) for level in ours[side]] == [list(level[:2]) for level in book[side][:50]]
        compared += 1
    return compared


async def collect_trades(made: Any, exchange: SimulatorProcess) -> int:
    seen: dict[int, Any] = {}
    while len(seen) < 60:
        for trade in await made.watch_trades(SYMBOL):
            seen[int(trade["id"])] = trade
    ids = sorted(seen)
    assert ids == list(range(ids[0], ids[-1] + 1)), "no trade missing"
    told = await asyncio.to_thread(
        exchange.get, "/api/v3/historicalTrades", symbol="BTCUSDT", fromId=ids[0], limit=len(ids)
    )
    for trade, ours in zip((seen[i] for i in ids), told, strict=True):
        assert (trade["price"], trade["amount"]) == (float(ours["price"]), float(ours["qty"]))
        assert trade["timestamp"] == ours["time"]
        assert trade["side"] == ("sell" if ours["isBuyerMaker"] else "buy")
    return len(ids)


async def watch_all(exchange: SimulatorProcess) -> None:
    made = client(exchange)
    try:
        await made.load_markets()
        assert SYMBOL in made.markets
        assert made.markets[SYMBOL]["precision"]["price"] == 0.01
        ticker, candles, *_ = await asyncio.gather(
            made.watch_ticker(SYMBOL, {"name": "ticker"}),
            made.watch_ohlcv(SYMBOL, "1m"),
            settle_book(made, exchange),
            collect_trades(made, exchange),
        )
        assert ticker["bid"] < ticker["ask"]
        assert ticker["low"] <= ticker["last"] <= ticker["high"]
        opened, first, high, low, close, volume = candles[-1]
        assert opened % 60_000 == 0
        assert low <= min(first, close) <= max(first, close) <= high
        assert volume > 0
        fetched = await made.fetch_ohlcv(SYMBOL, "1m", limit=1)
        assert fetched[-1][0] >= opened
    finally:
        await made.close()


def test_ccxt_watches_trades_book_ticker_and_candles(tmp_path: Path) -> None:
    with simulator(tmp_path / "state", symbols=["BTCUSDT", "ETHUSDT"], frames_per_s=400.0) as exchange:
        asyncio.run(asyncio.wait_for(watch_all(exchange), 60))
