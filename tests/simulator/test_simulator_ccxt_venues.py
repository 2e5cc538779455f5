"""ccxt on the simulator's other venues, with nothing changed but its addresses: Binance USD-M and OKX."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import ccxt.pro
import pytest

from tests.simulator_process import SimulatorProcess, simulator


@pytest.fixture(scope="module")
def exchange(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimulatorProcess]:
    settings = {
        "venue_frames_per_s": 400.0,
        "venues": {"usdm": ["BTCUSDT", "ETHUSDT"], "okx": ["BTC-USDT", "BTC-USDT-SWAP", "BTC-USD-SWAP"]},
    }
    with simulator(tmp_path_factory.mktemp("sim") / "state", **settings) as process:
        yield process


def usdm(exchange: SimulatorProcess) -> Any:
    options = {"defaultType": "swap", "fetchMarkets": {"types": ["linear"]}, "fetchCurrencies": False}
    made = ccxt.pro.binanceusdm({"enableRateLimit": False, "options": options})
    base = f"http://127.0.0.1:{exchange.port}/usdm"
    made.urls["api"] = {name: f"{base}/refused" for name in made.urls["api"] if name != "ws"}
    made.urls["api"] |= {"fapiPublic": f"{base}/fapi/v1", "fapiData": f"{base}/futures/data"}
    made.urls["api"]["ws"] = {"linear": f"{exchange.ws_url}/usdm/ws"}
    return made


def okx(exchange: SimulatorProcess) -> Any:
    options = {"fetchMarkets": {"types": ["spot", "swap"]}, "fetchCurrencies": False}
    made = ccxt.pro.okx({"enableRateLimit": False, "options": options})
    made.urls["api"] = {"rest": f"http://127.0.0.1:{exchange.port}/okx", "ws": f"{exchange.ws_url}/okx/ws/v5"}
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


async def same_books(made: Any, symbol: str, ask: Callable[[], Any], id_of: Callable[[Any], int]) -> None:
    """ccxt's book against the venue's own reply, whenever both stand at the same id."""
    compared = 0
    while compared < 3:
        book = await made.watch_order_book(symbol)
        assert book["bids"][0][0] < book["asks"][0][0]
        ours = await asyncio.to_thread(ask)
        if id_of(ours) != book["nonce"]:
            continue
        for side in ("bids", "asks"):
            levels = [[float(level[0]), float(level[1])] for level in ours[side]][:50]
            assert levels == [list(level[:2]) for level in book[side][: len(levels)]]
        compared += 1


async def dense_trades(made: Any, symbol: str, count: int) -> list[Any]:
    """So many aggregated trades, none missing between the first and the last."""
    seen: dict[int, Any] = {}
    while len(seen) < count:
        for trade in await made.watch_trades(symbol):
            seen[int(trade["id"])] = trade
    ids = sorted(seen)
    for before, number in itertools.pairwise(ids):
        assert before == number - int(seen[number]["info"].get("count", 1)), "no trade missing"
    return [seen[number] for number in ids]


def test_usdm_markets_books_trades_and_contract_data(exchange: SimulatorProcess) -> None:
    symbol = "BTC/USDT:USDT"

    async def work(made: Any) -> None:
        market = made.markets[symbol]
        assert (market["swap"], market["linear"], market["precision"]["price"]) == (True, True, 0.1)

        def ask() -> Any:
            return exchange.get("/usdm/fapi/v1/depth", symbol="BTCUSDT", limit=50)

        ticker, candles, trades, *_ = await asyncio.gather(
            made.watch_ticker(symbol, {"name": "ticker"}),
            made.watch_ohlcv(symbol, "1m"),
            dense_trades(made, symbol, 40),
            same_books(made, symbol, ask, lambda told: int(told["lastUpdateId"])),
        )
        assert ticker["low"] <= ticker["last"] <= ticker["high"]
        assert candles[-1][3] <= candles[-1][4] <= candles[-1][2]
        assert {trade["side"] for trade in trades} == {"buy", "sell"}
        funding = await made.fetch_funding_rate(symbol)
        assert funding["fundingTimestamp"] > funding["timestamp"]
        assert abs(funding["markPrice"] / trades[-1]["price"] - 1) < 0.01
        assert (await made.fetch_open_interest(symbol))["openInterestAmount"] > 0
        ratios = await made.fetch_long_short_ratio_history(symbol, "5m", limit=3)
        assert len(ratios) == 3
        assert all(row["longShortRatio"] > 0 for row in ratios)

    on(usdm, exchange, work)


@pytest.mark.parametrize(
    ("symbol", "name", "size"), [("BTC/USDT", "BTC-USDT", None), ("BTC/USDT:USDT", "BTC-USDT-SWAP", 0.01)]
)
def test_okx_markets_books_trades_and_candles(
    exchange: SimulatorProcess, symbol: str, name: str, size: float | None
) -> None:
    async def work(made: Any) -> None:
        assert made.markets[symbol]["contractSize"] == size

        def ask() -> Any:
            return exchange.get("/okx/api/v5/market/books", instId=name, sz=50)["data"][0]

        ticker, candles, trades, *_ = await asyncio.gather(
            made.watch_ticker(symbol),
            made.watch_ohlcv(symbol, "1m"),
            dense_trades(made, symbol, 40),
            same_books(made, symbol, ask, lambda told: int(told["seqId"])),
        )
        assert ticker["bid"] < ticker["ask"]
        assert candles[-1][3] <= candles[-1][4] <= candles[-1][2]
        assert {trade["side"] for trade in trades} == {"buy", "sell"}
        fetched = await made.fetch_ohlcv(symbol, "1m", limit=2)
        assert fetched[-1][0] % 60_000 == 0

    on(okx, exchange, work)


def test_okx_inverse_contracts_and_their_data(exchange: SimulatorProcess) -> None:
    symbol = "BTC/USD:BTC"

    async def work(made: Any) -> None:
        market = made.markets[symbol]
        assert (market["inverse"], market["contractSize"], market["settle"]) == (True, 100, "BTC")
        mark, funding = await asyncio.gather(made.watch_mark_price(symbol), made.watch_funding_rate(symbol))
        assert mark["markPrice"] > 0
        assert funding["nextFundingTimestamp"] - funding["fundingTimestamp"] == 8 * 3_600_000
        interest = await made.fetch_open_interest(symbol)
        contracts, coins = interest["openInterestAmount"], float(interest["info"]["oiCcy"])
        assert interest["openInterestValue"] == contracts * 100 == pytest.approx(coins * mark["markPrice"], rel=0.02)
        history = await made.fetch_funding_rate_history(symbol, limit=3)
        assert [row["timestamp"] % 28_800_000 for row in history] == [0, 0, 0]

    on(okx, exchange, work)
