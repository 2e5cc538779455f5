"""The API over stores that hold known records, for its integration tests."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Any

import httpx

from marketdata import types as t
from runtime.config import Config
from tests.api import records as r
from tests.api.server import serving
from tests.integration.conftest import MakeConfig

EXCHANGES = {
    "binance": {
        "spot": {"ws_url": "ws://127.0.0.1:1", "rest_url": "http://127.0.0.1:1", "symbols": ["BTCUSDT", "EMPTYUSDT"]}
    }
}

PATIENT = {"redis_timeout_s": 20, "clickhouse_timeout_s": 20}
"""Where no store is away, none is given up because the machine is busy."""

CANDLES = 130
TRADES = 250
S: dict[str, Any] = {"exchange": "binance", "symbol": "BTCUSDT"}
P: dict[str, Any] = {"exchange": "okx", "symbol": "BTC-USDT-SWAP"}
PERP: dict[str, Any] = {**P, "market": "perp", "instrument": "BTC-USDT-PERP"}

STORED: list[t.AnyRecord] = [
    *(r.trade(n) for n in range(TRADES)),
    *(r.trade(n) for n in range(100, 120)),  # what a crash repeated
    r.trade(7, aggregated=True, trade_id="3", first_trade_id="5", last_trade_id="7"),
    *(r.kline(n, is_closed=False, status="provisional", complete=False) for n in range(CANDLES) if n != 50),
    *(r.kline(n) for n in range(CANDLES) if n not in (50, CANDLES - 1)),
    r.kline(10, complete=False, reasons=["gap"], gaps=["trade:40-44"], revision=1, status="revised"),
    r.kline(0, interval="5m"),
    r.gap(40, 44),
    r.gap(80, 80, filled_count=1),
    r.gap(1, 2, gap_id="book:1-2", channel="book"),
    r.instrument(),
]  # fmt: skip


def deep() -> list[t.AnyRecord]:
    """Views of the book, proven right just now."""
    return [r.book(t.BookSnapshot, 400, update_id=n) for n in ("998", "999")]


def live() -> list[t.AnyRecord]:
    """Received just now."""
    return [
        r.trade(TRADES, recv_time_ns=r.now_ns()), r.ticker(), r.bbo(), r.book(),
        r.kline(CANDLES - 1), r.kline(CANDLES, is_closed=False, status="provisional", complete=False),
        *(r.feed(c) for c in ("trade", "book", "bbo", "kline", "ticker")),
        t.MarkPrice(**PERP, mark_price="60000.7", index_price="60001", event_time_us=5, recv_time_ns=r.now_ns()),
        t.Funding(**PERP, rate="0.0001", funding_time_us=7, event_time_us=5, recv_time_ns=r.now_ns()),
        t.Funding(**PERP, rate="0.0009", funding_time_us=6, settled=True, event_time_us=6, recv_time_ns=r.now_ns()),
        *(
            t.LongShort(**PERP, ratio_kind=kind, period="5m", ratio="1.5", event_time_us=5, recv_time_ns=r.now_ns())
            for kind in ("top_account", "global_account")
        ),
        t.Trade(
            exchange="kraken", market="spot", symbol="BTC/USD", instrument="BTC-USD", trade_id="9", price="60000.1",
            quantity="0.5", side="buy", trade_time_us=r.T0_MS * 1000, recv_time_ns=r.now_ns(),
        ),
        volatility(),
    ]  # fmt: skip


def volatility() -> t.Volatility:
    whose = {"exchange": "deribit", "market": "option", "symbol": "BTC_USD", "index": "btc_usd"}
    return t.Volatility(**whose, value="52.1", event_time_us=time.time_ns() // 1000, recv_time_ns=r.now_ns())


def api_config(make_config: MakeConfig) -> Config:
    return make_config(exchanges=EXCHANGES, api={"port": 0, "catalogue_age_s_max": 0, **PATIENT})


@contextlib.contextmanager
def filled(config: Config) -> Iterator[httpx.Client]:
    r.to_clickhouse(config, [*STORED, *deep()])
    r.to_redis(config, live())
    with serving(config) as client:
        yield client


def get(client: httpx.Client, path: str, status: int = 200, **params: Any) -> Any:
    """Data (or the error) of an answer, whose envelope and status are checked."""
    answer = client.get(path, params=params)
    body = answer.json()
    assert answer.status_code == status, body
    assert set(body) == {"success", "data", "error", "timestamp"}
    assert body["success"] is (status == 200)
    assert body["timestamp"] > r.T0_MS - 10**12
    return body["data"] if status == 200 else body["error"]
