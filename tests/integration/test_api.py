"""The API over real stores, filled by the sinks' own code."""

from __future__ import annotations

import contextlib
import html
import http.client
import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from api import models
from api.envelope import Envelope
from deploy.local import servers
from marketdata import types as t
from runtime.config import Config
from tests.api import records as r
from tests.api.server import serving
from tests.integration.conftest import MakeConfig, ServiceFactory
from tests.integration.ports import free_ports

EXCHANGES = {
    "binance": {
        "spot": {"ws_url": "ws://127.0.0.1:1", "rest_url": "http://127.0.0.1:1", "symbols": ["BTCUSDT", "EMPTYUSDT"]}
    }
}


def volatility() -> t.Volatility:
    whose = {"exchange": "deribit", "market": "option", "symbol": "BTC_USD", "index": "btc_usd"}
    return t.Volatility(**whose, value="52.1", event_time_us=time.time_ns() // 1000, recv_time_ns=r.now_ns())


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
    r.book(t.BookSnapshot, 400, update_id="998"),
    r.book(t.BookSnapshot, 400, update_id="999"),
]  # fmt: skip


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


@pytest.fixture
def config(make_config: MakeConfig) -> Config:
    return make_config(exchanges=EXCHANGES, api={"port": 0, "catalogue_age_s_max": 0, **PATIENT})


@pytest.fixture
def client(config: Config) -> Iterator[httpx.Client]:
    r.to_clickhouse(config, STORED)
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


def test_every_answer_has_the_documented_shape(client: httpx.Client, config: Config) -> None:
    shapes: dict[str, tuple[Any, dict[str, Any]]] = {
        "/health": (models.Health, {}),
        "/api/v1/exchanges": (models.Exchanges, {}),
        "/api/v1/symbols": (models.Symbols, {}),
        "/api/v1/tickers": (models.Tickers, {}),
        "/api/v1/data/ticker": (models.Ticker, S),
        "/api/v1/data/trades": (models.Trades, S),
        "/api/v1/data/orderbook": (models.OrderBook, S),
        "/api/v1/data/derivatives": (models.Derivatives, P),
        "/api/v1/data/klines": (models.Klines, S),
        "/api/v1/data/gaps": (models.Gaps, S),
    }
    documented = set(client.get("/openapi.json").json()["paths"])
    assert documented == set(shapes)
    for path, (model, params) in shapes.items():
        answer = client.get(path, params=params)
        assert answer.status_code == 200, answer.text
        shape: TypeAdapter[Envelope[models.Answer]] = TypeAdapter(Envelope.__class_getitem__(model))
        data = shape.validate_json(answer.content, strict=True, extra="forbid").data
        assert data is not None
        assert (data.environment, data.simulated) == (config.environment.name, True)


def test_trades(client: httpx.Client) -> None:
    data = get(client, "/api/v1/data/trades", **S, limit=1000, aggregated=False)
    assert [x["trade_id"] for x in data["trades"]] == [str(n) for n in [0, *range(1, TRADES)]]
    assert (data["source"], data["has_more"], data["instrument"]) == ("history", False, "BTC-USDT")
    assert data["trades"][1] == {
        "trade_id": "1", "price": "60001.1", "quantity": "0.001", "side": "buy",
        "trade_time_us": (r.T0_MS + 100) * 1000, "recv_time_ns": str((r.T0_MS + 100) * 1_000_000),
        "aggregated": False, "first_trade_id": "", "last_trade_id": "", "liquidation": False, "off_book": False,
    }  # fmt: skip


def test_trades_pages_and_ranges(client: httpx.Client) -> None:
    path = "/api/v1/data/trades"

    def ids(**params: Any) -> tuple[list[int], bool]:
        data = get(client, path, **S, aggregated=False, **params)
        return [int(x["trade_id"] or 0) for x in data["trades"]], data["has_more"]

    assert ids(limit=5) == ([245, 246, 247, 248, 249], True)
    assert ids(limit=3, start=r.T0_MS + 10_000) == ([100, 101, 102], True)
    assert ids(limit=3, end=r.T0_MS + 11_000) == ([107, 108, 109], True)
    assert ids(start=r.T0_MS + 11_500, end=r.T0_MS + 11_800) == ([115, 116, 117], False)
    assert ids(start="2027-01-01T00:00:00Z") == ([], False)
    only = get(client, path, **S, aggregated=True)["trades"]
    assert [(x["trade_id"], x["first_trade_id"], x["last_trade_id"]) for x in only] == [("3", "5", "7")]


def test_newest_trade_is_live(client: httpx.Client) -> None:
    asked: list[dict[str, Any]] = [{"limit": 1}, {"source": "live"}]
    for params in asked:
        data = get(client, "/api/v1/data/trades", **S, **params)
        assert (data["source"], [x["trade_id"] for x in data["trades"]]) == ("live", [str(TRADES)])
        assert 0 <= data["age_ms"] < 60_000
    assert get(client, "/api/v1/data/trades", **S, limit=1, source="history")["trades"][0]["trade_id"] == "249"
    assert get(client, "/api/v1/data/trades", 422, **S, source="live", start=0)["code"] == "bad_parameter"


def test_klines_merge_stored_and_live(client: httpx.Client) -> None:
    data = get(client, "/api/v1/data/klines", **S)
    minutes = [(k["open_time"] - r.T0_MS) // r.MINUTE_MS for k in data["klines"]]
    assert minutes == [n for n in range(CANDLES + 1) if n != 50]
    assert [k["status"] for k in data["klines"][-2:]] == ["final", "provisional"]
    assert data["missing"] == [r.T0_MS + 50 * r.MINUTE_MS]
    assert [g["gap_id"] for g in data["gaps"]] == ["trade:40-44"]
    tenth = data["klines"][10]
    assert (tenth["complete"], tenth["reasons"], tenth["gaps"]) == (False, ["gap"], ["trade:40-44"])
    assert (tenth["status"], tenth["revision"], tenth["volume"]) == ("revised", 1, "1.5")
    assert all(k["status"] == "final" for n, k in enumerate(data["klines"][:-1]) if n != 10)


def test_klines_pages(client: httpx.Client) -> None:
    def minutes(**params: Any) -> tuple[list[int], bool]:
        data = get(client, "/api/v1/data/klines", **S, **params)
        return [(k["open_time"] - r.T0_MS) // r.MINUTE_MS for k in data["klines"]], data["has_more"]

    assert minutes(limit=2) == ([129, 130], True)
    assert minutes(limit=2, provisional=False) == ([128, 129], True)
    assert minutes(limit=2, start=r.T0_MS) == ([0, 1], True)
    assert minutes(limit=2, start=r.T0_MS + 128 * r.MINUTE_MS) == ([128, 129], True)
    assert minutes(start=r.T0_MS + 129 * r.MINUTE_MS) == ([129, 130], False)
    assert minutes(limit=2, end=r.T0_MS + 2 * r.MINUTE_MS) == ([0, 1], False)
    assert minutes(interval="5m") == ([0], False)
    assert minutes(interval="1d") == ([], False)


def test_gaps(client: httpx.Client) -> None:
    def ids(**params: Any) -> list[str]:
        return [g["gap_id"] for g in get(client, "/api/v1/data/gaps", **S, **params)["gaps"]]

    assert ids() == ["book:1-2", "trade:40-44"]
    assert ids(include_filled=True) == ["book:1-2", "trade:40-44", "trade:80-80"]
    assert ids(channel="trade") == ["trade:40-44"]
    assert ids(start=r.T0_MS + 4_200, end=r.T0_MS + 4_300) == ["trade:40-44"]
    assert ids(start=r.T0_MS + 4_600) == []


def test_derivatives(client: httpx.Client) -> None:
    path = "/api/v1/data/derivatives"
    data = get(client, path, **P)
    assert (data["market"], data["instrument"], data["mark_price"]["mark_price"]) == (
        "perp",
        "BTC-USDT-PERP",
        "60000.7",
    )
    assert data["funding"]["rate"] == "0.0001", "settled rates are history"
    assert [x["ratio_kind"] for x in data["long_short"]] == ["global_account", "top_account"]
    assert (data["open_interest"], data["liquidation"], data["volatility"]) == (None, None, None)
    assert 0 <= data["mark_price"]["age_ms"] < 60_000
    index = get(client, path, symbol="btc_usd")
    assert (index["exchange"], index["volatility"]["value"], index["long_short"]) == ("deribit", "52.1", [])
    assert get(client, path, 404, **S)["code"] == "no_value_yet"


def test_a_symbol_with_a_slash(client: httpx.Client) -> None:
    for symbol in ("BTC/USD", "BTC%2FUSD", "btc-usd"):
        answer = client.get(f"/api/v1/data/trades?exchange=kraken&source=live&symbol={symbol}").json()
        assert [x["trade_id"] for x in answer["data"]["trades"]] == ["9"], symbol
        assert answer["data"]["symbol"] == "BTC/USD"
    assert "kraken.spot.BTC/USD" in client.get("/").text


def test_an_index_with_nothing_but_its_volatility_is_healthy(client: httpx.Client, config: Config) -> None:
    r.to_redis(config, [volatility()])
    states = {(s["exchange"], s["symbol"]): s for s in get(client, "/health")["symbols"]}
    found = states["deribit", "BTC_USD"]
    assert (found["state"], found["problems"]) == ("ok", [])
    assert 0 <= found["age_ms"] < 60_000


def test_orderbook_live_and_deep(client: httpx.Client) -> None:
    live = get(client, "/api/v1/data/orderbook", **S, depth=5)
    assert (live["source"], live["state"], live["update_id"], live["complete"]) == ("live", "ok", "1000", True)
    assert live["bids"][0] == ["60000.5", "1.25"]
    assert 0 <= live["age_ms"] < 60_000
    deep = get(client, "/api/v1/data/orderbook", **S, depth=100)
    assert (deep["source"], deep["update_id"], len(deep["bids"]), len(deep["asks"])) == ("history", "999", 100, 100)
    assert deep["bids"][0] == ["60000.5", "1.25"]
    assert get(client, "/api/v1/data/orderbook", **S, depth=100, source="live")["complete"] is False


def test_a_bad_book_is_never_shown_as_good(client: httpx.Client, config: Config) -> None:
    bad = r.book(state="resyncing", reason="gap", update_id="1001", bids=[], asks=[], recv_time_ns=r.now_ns())
    r.to_redis(config, [bad])
    for depth in (5, 100):
        data = get(client, "/api/v1/data/orderbook", **S, depth=depth)
        assert (data["state"], data["reason"], data["bids"], data["asks"]) == ("resyncing", "gap", [], [])
    assert get(client, "/health")["status"] == "degraded"


def test_ticker(client: httpx.Client) -> None:
    data = get(client, "/api/v1/data/ticker", **S)
    assert (data["ticker"]["last_price"], data["quote"]["bid_price"]) == ("60000.75", "60000.5")
    assert all(0 <= data[k]["age_ms"] < 60_000 for k in ("ticker", "quote"))
    assert [x["symbol"] for x in get(client, "/api/v1/tickers")["tickers"]] == ["BTCUSDT"]
    assert get(client, "/api/v1/tickers", market="perp")["tickers"] == []


def test_nothing_yet_is_not_invented(client: httpx.Client) -> None:
    empty: dict[str, Any] = {"exchange": "binance", "symbol": "EMPTYUSDT"}
    assert get(client, "/api/v1/data/ticker", 404, **empty)["code"] == "no_value_yet"
    assert get(client, "/api/v1/data/orderbook", 404, **empty)["code"] == "no_value_yet"
    for path, name in (("trades", "trades"), ("klines", "klines"), ("gaps", "gaps")):
        assert get(client, f"/api/v1/data/{path}", **empty)[name] == []


def test_reference(client: httpx.Client) -> None:
    found = get(client, "/api/v1/symbols", exchange="BINANCE")["symbols"]
    assert [(x["symbol"], x["instrument"]) for x in found] == [("BTCUSDT", "BTC-USDT"), ("EMPTYUSDT", "")]
    assert {f["channel"]: f["state"] for f in found[0]["feeds"]}["trade"] == "connected"
    assert {f["state"] for f in found[1]["feeds"]} == {"unknown"}
    markets = {
        (e["exchange"], m["market"]): m["symbols"]
        for e in get(client, "/api/v1/exchanges")["exchanges"]
        for m in e["markets"]
    }
    assert markets == {
        ("binance", "spot"): 2, ("deribit", "option"): 1, ("kraken", "spot"): 1, ("okx", "perp"): 1,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("path", "params", "status", "code"),
    [
        ("/api/v1/data/trades", {"symbol": "BTCUSD"}, 404, "unknown_symbol"),
        ("/api/v1/data/trades", {"symbol": "BTCUSDT", "exchange": "htx"}, 404, "unknown_exchange"),
        ("/api/v1/data/trades", {}, 422, "bad_parameter"),
        ("/api/v1/data/trades", {**S, "limit": 5001}, 422, "bad_parameter"),
        ("/api/v1/data/klines", {**S, "interval": "7m"}, 422, "bad_parameter"),
        ("/api/v1/data/klines", {**S, "start": "soon"}, 422, "bad_parameter"),
        ("/api/v1/data/klines", {**S, "start": 5, "end": 4}, 422, "bad_parameter"),
        ("/api/v1/data/orderbook", {**S, "dept": 4}, 422, "bad_parameter"),
        ("/api/v1/tickers", {"exchange": "htx"}, 404, "unknown_exchange"),
        ("/api/v2/nothing", {}, 404, "not_found"),
    ],
)
def test_refusals(client: httpx.Client, path: str, params: dict[str, Any], status: int, code: str) -> None:
    error = get(client, path, status, **params)
    assert error["code"] == code
    assert error["message"]


def test_other_methods_are_refused_in_the_envelope(client: httpx.Client) -> None:
    answer = client.post("/api/v1/data/trades")
    assert (answer.status_code, answer.json()["error"]["code"]) == (405, "method_not_allowed")
    assert answer.headers["allow"] == "GET"


def test_health_says_how_a_recording_ended(client: httpx.Client, config: Config) -> None:
    assert get(client, "/health")["ended"] is False
    reason = "closed 1000 end of recording"
    gone = [r.feed(c, "disconnected", reason) for c in ("trade", "book", "bbo", "kline", "ticker")]
    r.to_redis(config, [*gone, r.book(state="stale", reason="disconnected", bids=[], asks=[], recv_time_ns=r.now_ns())])
    state = get(client, "/health")
    assert (state["status"], state["ended"]) == ("degraded", True)
    assert (state["feeds_connected"], state["feeds_disconnected"]) == (0, 5)
    assert f"5 of 5 feeds are disconnected: {reason}" in state["problems"]
    page = client.get("/").text
    assert reason in page


def test_pages_work_without_the_internet(client: httpx.Client) -> None:
    landing = client.get("/")
    assert landing.status_code == 200
    assert "Simulated" in landing.text
    assert "binance.spot.BTCUSDT" in landing.text
    links = [html.unescape(link) for link in re.findall(r'href="(/[^"]*)"', landing.text)]
    assert len(links) > 10
    for link in links:
        assert client.get(link).status_code == 200, link
    docs = client.get("/docs").text
    assert "https://" not in docs + landing.text
    for asset in ("swagger-ui-bundle.js", "swagger-ui.css", "favicon.png"):
        assert f"/assets/docs/{asset}" in docs
        assert client.get(f"/assets/docs/{asset}").status_code == 200


def test_metrics_count_by_route(client: httpx.Client) -> None:
    get(client, "/api/v1/data/klines", **S)
    get(client, "/api/v1/data/klines", 404, symbol="NOPE")
    text = client.get("/metrics").text
    assert 'marketprism_api_requests_total{route="/api/v1/data/klines",status="200"}' in text
    assert 'marketprism_api_requests_total{route="/api/v1/data/klines",status="404"}' in text
    assert 'marketprism_api_request_seconds_bucket{le="0.05",route="/api/v1/data/klines"}' in text


TEXTS = st.one_of(
    st.sampled_from(["BTCUSDT", "binance", "spot", "1m", "0", "1", "5000", "live", "history", "trade", "true"]),
    st.integers(-(10**20), 10**20).map(str),
    st.text(max_size=30),
)
NAMES = st.sampled_from(
    ["symbol", "exchange", "market", "limit", "interval", "start", "end", "depth", "source", "channel", "aggregated",
     "provisional", "include_filled", "other"]
)  # fmt: skip
PATHS = st.sampled_from(
    ["/health", "/api/v1/symbols", "/api/v1/exchanges", "/api/v1/tickers", "/api/v1/data/trades",
     "/api/v1/data/orderbook", "/api/v1/data/ticker", "/api/v1/data/klines", "/api/v1/data/gaps"]
)  # fmt: skip


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(path=PATHS, extra=st.dictionaries(NAMES, TEXTS, max_size=4))
def test_no_parameters_break_it(client: httpx.Client, path: str, extra: dict[str, str]) -> None:
    """Whatever is asked, the answer is an envelope, and never an error of ours."""
    params = {**S, **extra} if "/data/" in path else extra
    answer = client.get(path, params=params)
    assert answer.status_code in (200, 404, 422), (params, answer.text)
    body = answer.json()
    assert set(body) == {"success", "data", "error", "timestamp"}
    assert (body["error"] is None) is (answer.status_code == 200)


@pytest.fixture
def own_stores(tmp_path: Path, make_config: MakeConfig) -> Iterator[tuple[Config, dict[str, servers.Running]]]:
    """Stores of this test alone, so that it may stop them."""
    port, http_port, redis_port = free_ports(3)
    with contextlib.ExitStack() as stack:
        made = {
            "redis": servers.valkey(tmp_path / "valkey", redis_port),
            "clickhouse": servers.clickhouse(tmp_path / "ch", port, http_port, ("admin-pw", "writer-pw", "reader-pw")),
        }
        running = {n: stack.enter_context(servers.Running(s, tmp_path / f"{n}.log")) for n, s in made.items()}
        for server in running.values():
            server.wait_ready()
        passwords = {"admin_password": "admin-pw", "password": "writer-pw", "reader_password": "reader-pw"}
        yield (
            Config.model_validate(
                {
                    "environment": {"database": "md_down", "name": "down", "simulated": True},
                    "clickhouse": {"host": servers.HOST, "port": port, "http_port": http_port, **passwords},
                    "redis": {"url": f"redis://{servers.HOST}:{redis_port}/0"},
                    "exchanges": EXCHANGES,
                    "api": {"catalogue_age_s_max": 0, "clickhouse_timeout_s": 2, "redis_timeout_s": 0.5},
                }
            ),
            running,
        )


def test_stopped_stores_are_named(own_stores: tuple[Config, dict[str, servers.Running]]) -> None:
    config, running = own_stores
    r.to_clickhouse(config, STORED)
    r.to_redis(config, live())
    with serving(config) as client:
        assert get(client, "/health")["stores"]["clickhouse"]["state"] == "ok"
        get(client, "/api/v1/data/klines", **S)

        running["redis"].stop()
        for path in ("ticker", "orderbook"):
            error = get(client, f"/api/v1/data/{path}", 503, **S)
            assert (error["code"], error["details"]["store"]) == ("store_down", "redis")
        assert get(client, "/api/v1/tickers", 503)["details"]["store"] == "redis"
        candles = get(client, "/api/v1/data/klines", **S)
        assert (len(candles["klines"]), candles["klines"][-1]["status"]) == (CANDLES - 1, "provisional")
        assert "redis does not answer" in candles["warnings"][0]
        assert "redis does not answer" in get(client, "/api/v1/symbols")["warnings"][0]
        health = get(client, "/health")
        assert (health["status"], health["stores"]["redis"]["state"]) == ("degraded", "down")

        running["clickhouse"].stop()
        for path in ("trades", "klines", "gaps"):
            error = get(client, f"/api/v1/data/{path}", 503, **S)
            assert (error["code"], error["details"]["store"]) == ("store_down", "clickhouse")
        answer = client.get("/health")
        assert (answer.status_code, answer.json()["data"]["status"]) == (503, "down")
        assert answer.json()["success"] is False
        assert client.get("/").status_code == 200


def test_a_store_that_comes_late_is_used(make_config: MakeConfig) -> None:
    """The API starts before the sink made its tables."""
    config = make_config(exchanges=EXCHANGES, api={"catalogue_age_s_max": 0, **PATIENT})
    with serving(config) as client:
        error = get(client, "/api/v1/data/klines", 503, **S)
        assert error["details"]["store"] == "clickhouse"
        r.to_clickhouse(config, STORED)
        assert len(get(client, "/api/v1/data/klines", **S)["klines"]) == CANDLES - 1


def test_a_silent_store_is_given_up(make_config: MakeConfig) -> None:
    """It accepts connections and never answers: every wait ends."""
    with socket.create_server((servers.HOST, 0)) as silent:
        port = silent.getsockname()[1]
        made = make_config(
            exchanges=EXCHANGES,
            api={
                "catalogue_age_s_max": 3600, "redis_timeout_s": 0.2, "clickhouse_timeout_s": 0.3,
                "clickhouse_connections": 1, "clickhouse_waiting_max": 1,
            },
        )  # fmt: skip
        deaf = {
            "redis": made.redis.model_copy(update={"url": f"redis://{servers.HOST}:{port}/0"}),
            "clickhouse": made.clickhouse.model_copy(update={"port": port}),
        }
        config = made.model_copy(update=deaf)
        with serving(config) as client:
            error = get(client, "/api/v1/data/ticker", 503, **S)
            assert (error["details"]["store"], error["details"]["reason"]) == ("redis", "no answer in time")
            answers: list[str] = []
            asked = [
                threading.Thread(target=lambda: answers.append(get(client, "/api/v1/data/gaps", 503, **S)["code"]))
                for _ in range(6)
            ]
            for thread in asked:
                thread.start()
            for thread in asked:
                thread.join(30)
            assert set(answers) == {"store_down", "store_busy"}


def test_the_process(service: ServiceFactory, config: Config) -> None:
    """Starts, answers on both ports, and ends cleanly with a request under way."""
    r.to_clickhouse(config, STORED)
    r.to_redis(config, live())
    (port,) = free_ports(1)
    config = config.model_copy(update={"api": config.api.model_copy(update={"port": port})})
    with service("api", config) as api:
        api.wait_ready()

        def answer(path: str) -> tuple[int, Any]:
            connection = http.client.HTTPConnection(servers.HOST, port, timeout=10)
            with contextlib.closing(connection):
                connection.request("GET", path)
                response = connection.getresponse()
                return response.status, json.loads(response.read())

        assert answer("/api/v1/data/ticker?symbol=btc-usdt")[1]["data"]["simulated"] is True
        assert answer("/readyz")[0] == answer("/livez")[0] == api.get("/livez")[0] == 200
        assert api.total("marketprism_api_requests_total") >= 3
        assert api.metrics()['marketprism_api_store_up{store="clickhouse"}'] == 1
        ready: Callable[[], int] = api.stop
        assert ready() == 0
    lines = [json.loads(line) for line in api.log.read_text().splitlines()]
    assert {line["level"] for line in lines} == {"info"}


def test_a_taken_port_is_one_sentence(service: ServiceFactory, config: Config) -> None:
    with socket.create_server((servers.HOST, 0)) as taken:
        config = config.model_copy(update={"api": config.api.model_copy(update={"port": taken.getsockname()[1]})})
        with service("api", config) as api:
            assert api.process.wait(120) == 2
    assert "cannot listen on 127.0.0.1" in api.log.read_text().splitlines()[-1]
