"""ccxt on the simulator's HTX, Deribit and Kraken, with nothing changed but its addresses and one error of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from datetime import date
from typing import Any

import ccxt.pro
import pytest

from tests.simulator_process import SimulatorProcess, simulator

BOOKS_COMPARED = 3
EXPIRY = date(date.today().year + 1, 12, 24)
"""Of what is traded on Deribit until a day: that day is to lie ahead whenever this runs."""
DATED = f"BTC-{EXPIRY:%d%b%y}".upper()


@pytest.fixture(scope="module")
def exchange(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimulatorProcess]:
    settings = {
        "venue_frames_per_s": 60.0,
        "frames_per_s": 5.0,
        "venues": {
            "htx": ["BTCUSDT"],
            "hbdm": ["BTC-USDT"],
            "deribit": ["BTC-PERPETUAL", "SOL_USDC-PERPETUAL", DATED, f"{DATED}-60000-C"],
            "kraken": ["BTC/USD"],
        },
    }
    with simulator(tmp_path_factory.mktemp("sim") / "state", **settings) as process:
        yield process


def htx(exchange: SimulatorProcess) -> Any:
    types = {"spot": True, "linear": True, "inverse": False}
    made = ccxt.pro.htx({"enableRateLimit": False, "options": {"fetchMarkets": {"types": types}}})
    made.has["fetchCurrencies"] = False
    base, ws = f"http://127.0.0.1:{exchange.port}", exchange.ws_url
    spot = {"public": f"{ws}/htx/ws", "private": f"{ws}/refused", "feed": f"{ws}/htx/feed"}
    linear = {"public": f"{ws}/hbdm/linear-swap-ws", "private": f"{ws}/hbdm/linear-swap-notification"}
    made.urls["api"] = {"spot": f"{base}/htx", "public": f"{base}/htx", "contract": f"{base}/hbdm"}
    made.urls["api"]["ws"] = {"api": {"spot": spot, "swap": {"linear": linear}, "future": {"linear": linear}}}
    return made


def deribit(exchange: SimulatorProcess) -> Any:
    made = ccxt.pro.deribit({"enableRateLimit": False})
    made.has["fetchCurrencies"] = False
    made.urls["api"] = {
        "rest": f"http://127.0.0.1:{exchange.port}/deribit",
        "ws": f"{exchange.ws_url}/deribit/ws/api/v2",
    }
    mend_trades(made)
    return made


def mend_trades(made: Any) -> None:
    """ccxt (4.5.90) looks among its trades for a dict and never finds one, since they are lists: it begins anew with
    every message, and loses the first of two that came before the watcher ran again."""
    look_up = made.safe_dict

    def mended(held: Any, key: Any, default: Any = None) -> Any:
        return held.get(key) if held is made.trades else look_up(held, key, default)

    made.safe_dict = mended


def kraken(exchange: SimulatorProcess) -> Any:
    made = ccxt.pro.kraken({"enableRateLimit": False})
    base = f"http://127.0.0.1:{exchange.port}/kraken"
    made.urls["api"] = {"public": base, "private": f"{base}/refused"}
    made.urls["api"]["ws"] = {"publicV2": f"{exchange.ws_url}/kraken/v2"}
    return made


def on(make: Callable[[SimulatorProcess], Any], exchange: SimulatorProcess, work: Callable[[Any], Any]) -> None:
    async def whole() -> None:
        made = make(exchange)
        try:
            await made.load_markets()
            await work(made)
        finally:
            await made.close()

    asyncio.run(asyncio.wait_for(whole(), 60))


async def same_books(made: Any, symbol: str, ask: Callable[[], Any], *, limit: int | None = None) -> None:
    """ccxt's book against the venue's own reply: the two are asked one after the other, so only some are of the same
    moment; a book that went wrong once stays wrong."""
    compared = 0
    for _ in range(400):
        book = await made.watch_order_book(symbol, limit)
        assert book["bids"][0][0] < book["asks"][0][0]
        ours = await asyncio.to_thread(ask)
        depth = min(len(ours["bids"]), len(ours["asks"]), len(book["bids"]), len(book["asks"]), 100)
        assert depth >= 10
        same = all(
            [list(map(float, level[:2])) for level in ours[side][:depth]]
            == [[float(level[0]), float(level[1])] for level in book[side][:depth]]
            for side in ("bids", "asks")
        )
        compared += same
        if compared == BOOKS_COMPARED:
            return
    raise AssertionError(f"{compared} books of {BOOKS_COMPARED} were the venue's own")


async def trades_of(made: Any, symbol: str, count: int, key: str) -> list[Any]:
    """So many trades in the order of the venue's number `key`."""
    seen: dict[int, Any] = {}
    while len(seen) < count:
        for trade in await made.watch_trades(symbol):
            seen[int(trade["info"][key])] = trade
    return [seen[number] for number in sorted(seen)]


def test_htx_spot(exchange: SimulatorProcess) -> None:
    async def work(made: Any) -> None:
        market = made.markets["BTC/USDT"]
        assert (market["spot"], market["precision"]["price"]) == (True, 0.01)

        def ask() -> Any:
            return exchange.get("/htx/market/depth", symbol="btcusdt", type="step0", depth=20)["tick"]

        _, trades, candles = await asyncio.gather(
            same_books(made, "BTC/USDT", ask, limit=150),
            trades_of(made, "BTC/USDT", 25, "tradeId"),
            made.watch_ohlcv("BTC/USDT", "1m"),
        )
        ids = [int(trade["info"]["tradeId"]) for trade in trades]
        assert sorted(ids) == list(range(min(ids), min(ids) + len(ids)))
        assert all(trade["side"] in ("buy", "sell") and trade["amount"] > 0 for trade in trades)
        opened, first, high, low, close, volume = candles[-1]
        assert opened % 60_000 == 0
        assert low <= min(first, close) <= max(first, close) <= high
        assert volume > 0

    on(htx, exchange, work)


def test_htx_swap(exchange: SimulatorProcess) -> None:
    async def work(made: Any) -> None:
        market = made.markets["BTC/USDT:USDT"]
        assert (market["swap"], market["linear"], market["contractSize"]) == (True, True, 0.001)

        def ask() -> Any:
            return exchange.get("/hbdm/linear-swap-ex/market/depth", contract_code="BTC-USDT")["tick"]

        _, trades, ticker = await asyncio.gather(
            same_books(made, "BTC/USDT:USDT", ask, limit=150),
            trades_of(made, "BTC/USDT:USDT", 25, "id"),
            made.watch_ticker("BTC/USDT:USDT"),
        )
        assert all(int(trade["info"]["amount"]) % 2 == 0 for trade in trades)
        assert ticker["low"] <= ticker["last"] <= ticker["high"]

    on(htx, exchange, work)


def test_deribit(exchange: SimulatorProcess) -> None:
    async def work(made: Any) -> None:
        perpetual, linear = made.markets["BTC/USD:BTC"], made.markets["SOL/USDC:USDC"]
        assert (perpetual["swap"], perpetual["inverse"], perpetual["contractSize"]) == (True, True, 10.0)
        assert (linear["swap"], linear["linear"]) == (True, True)
        future = f"BTC/USD:BTC-{EXPIRY:%y%m%d}"
        option = made.markets[f"{future}-60000-C"]
        assert (option["type"], option["strike"], option["optionType"]) == ("option", 60000, "call")
        assert made.markets[future]["future"] is True

        def ask() -> Any:
            path = "/deribit/api/v2/public/get_order_book"
            return exchange.get(path, instrument_name="BTC-PERPETUAL", depth=100)["result"]

        _, trades, ticker = await asyncio.gather(
            same_books(made, "BTC/USD:BTC", ask),
            trades_of(made, "BTC/USD:BTC", 15, "trade_seq"),
            made.watch_ticker("BTC/USD:BTC"),
        )
        seqs = [int(trade["info"]["trade_seq"]) for trade in trades]
        assert seqs == list(range(seqs[0], seqs[0] + len(seqs)))
        assert ticker["bid"] < ticker["ask"]

    on(deribit, exchange, work)


def test_kraken(exchange: SimulatorProcess) -> None:
    async def work(made: Any) -> None:
        market = made.markets["BTC/USD"]
        assert (market["spot"], market["wsId"]) == (True, "XBT/USD")

        def ask() -> Any:
            return exchange.get("/kraken/0/public/Depth", pair="XBTUSD", count=25)["result"]["XXBTZUSD"]

        _, trades = await asyncio.gather(
            same_books(made, "BTC/USD", ask, limit=25),
            trades_of(made, "BTC/USD", 20, "trade_id"),
        )
        ids = [int(trade["id"]) for trade in trades]
        assert ids == list(range(ids[0], ids[0] + len(ids)))

    on(kraken, exchange, work)
