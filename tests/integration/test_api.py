"""What the API answers over real stores, filled by the sinks' own code."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from marketdata import types as t
from runtime.config import Config
from tests.api import records as r
from tests.api.server import serving
from tests.integration.api_kit import CANDLES, PATIENT, TRADES, P, S, api_config, filled, get, volatility
from tests.integration.conftest import MakeConfig


@pytest.fixture
def config(make_config: MakeConfig) -> Config:
    return api_config(make_config)


@pytest.fixture
def client(config: Config) -> Iterator[httpx.Client]:
    with filled(config) as client:
        yield client


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


def test_the_newest_trade_is_the_stored_one_where_redis_has_none(client: httpx.Client, config: Config) -> None:
    """Values in Redis expire, those of a quiet symbol too."""
    r.to_clickhouse(config, [r.trade(5, symbol="EMPTYUSDT", instrument="EMPTY-USDT")])
    quiet: dict[str, Any] = {"exchange": "binance", "symbol": "EMPTYUSDT", "limit": 1}
    data = get(client, "/api/v1/data/trades", **quiet)
    assert (data["source"], [x["trade_id"] for x in data["trades"]]) == ("history", ["5"])
    assert get(client, "/api/v1/data/trades", **quiet, source="live")["trades"] == []


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


def test_a_small_page_limits_pages_alone(make_config: MakeConfig) -> None:
    """The list of symbols, and the gaps named beside candles, are no pages."""
    config = api_config(make_config)
    config = config.model_copy(update={"api": config.api.model_copy(update={"rows_max": 1})})
    r.to_clickhouse(config, [r.instrument(symbol=f"S{n}USDT", instrument=f"S{n}-USDT") for n in range(4)])
    r.to_clickhouse(config, [r.gap(n, n, gap_id=f"trade:{n}") for n in range(1, 9, 2)])
    with filled(config) as client:
        assert len(get(client, "/api/v1/symbols")["symbols"]) > 4
        assert [x["symbol"] for x in get(client, "/health")["symbols"]]
        assert len(get(client, "/api/v1/data/klines", **S, limit=1)["klines"]) == 1
        for name in ("trades", "klines", "gaps"):
            assert len(get(client, f"/api/v1/data/{name}", **S)[name]) == 1, "the default is no more than allowed"
            assert get(client, f"/api/v1/data/{name}", 422, **S, limit=2)["code"] == "bad_parameter"


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
    error = get(client, path, 404, **S)
    assert (error["code"], "is a spot market" in error["message"]) == ("no_value_yet", True)


def test_derivatives_of_a_name_that_spot_has_too(client: httpx.Client, config: Config) -> None:
    whose: dict[str, Any] = {"exchange": "binance", "market": "perp", "symbol": "BTCUSDT"}
    r.to_redis(config, [t.MarkPrice(**whose, mark_price="60000.7", event_time_us=5, recv_time_ns=r.now_ns())])
    get(client, "/api/v1/symbols")
    data = get(client, "/api/v1/data/derivatives", **S)
    assert (data["market"], data["mark_price"]["mark_price"]) == ("perp", "60000.7")
    assert get(client, "/api/v1/data/ticker", **S)["market"] == "spot"


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


def test_what_is_not_captured_any_more_is_no_problem(config: Config) -> None:
    """Taken out of the configuration: its last values stay, and so does how its streams ended."""
    old = str(time.time_ns() - 3600 * 10**9)
    whose: dict[str, Any] = {"symbol": "OLDUSDT", "instrument": "OLD-USDT", "recv_time_ns": old}
    r.to_redis(config, [r.trade(1, **whose), r.feed("trade", "disconnected", "stopping", **whose)])
    r.to_clickhouse(config, [r.instrument(symbol="EXPIREDUSDT", instrument="EXPIRED-USDT")])
    with filled(config) as client:
        assert {"OLDUSDT", "EXPIREDUSDT"} <= {s["symbol"] for s in get(client, "/api/v1/symbols")["symbols"]}
        state = get(client, "/health")
    assert not {"OLDUSDT", "EXPIREDUSDT"} & {s["symbol"] for s in state["symbols"]}
    assert (state["feeds_disconnected"], "OLD" in str(state["problems"])) == (0, False)
    assert any("EMPTYUSDT: nothing has arrived yet" in problem for problem in state["problems"])


def test_a_selected_symbol_is_judged_until_it_is_unsubscribed(make_config: MakeConfig) -> None:
    """Ingest alone knows which symbols its rules pick."""
    rules = {"ws_url": "ws://127.0.0.1:1", "rest_url": "http://127.0.0.1:1", "select": [{"quotes": ["USDT"]}]}
    config = make_config(exchanges={"okx": {"option": rules}}, api={"port": 0, "catalogue_age_s_max": 0, **PATIENT})
    old = str(time.time_ns() - 3600 * 10**9)
    for symbol, reason in (("A", "unsubscribed"), ("B", "closed 1006")):
        whose: dict[str, Any] = {"exchange": "okx", "market": "option", "symbol": symbol, "recv_time_ns": old}
        r.to_redis(config, [r.trade(1, **whose), r.feed("trade", "disconnected", reason, **whose)])
    r.to_clickhouse(config, [r.instrument()])
    with serving(config) as client:
        assert [s["symbol"] for s in get(client, "/health")["symbols"]] == ["B"]


def test_orderbook_live_and_deep(client: httpx.Client) -> None:
    live = get(client, "/api/v1/data/orderbook", **S, depth=5)
    assert (live["source"], live["state"], live["update_id"], live["complete"]) == ("live", "ok", "1000", True)
    assert live["bids"][0] == ["60000.5", "1.25"]
    assert 0 <= live["age_ms"] < 60_000
    deep = get(client, "/api/v1/data/orderbook", **S, depth=100)
    assert (deep["source"], deep["update_id"], len(deep["bids"]), len(deep["asks"])) == ("history", "999", 100, 100)
    assert deep["bids"][0] == ["60000.5", "1.25"]
    assert get(client, "/api/v1/data/orderbook", **S, depth=100, source="live")["complete"] is False


def test_a_deep_view_long_outdated_does_not_stand_for_the_live_book(client: httpx.Client, config: Config) -> None:
    """The ClickHouse sink may be behind or stopped."""
    long_ago = str(time.time_ns() - 3600 * 10**9)
    r.to_clickhouse(config, [r.book(t.BookSnapshot, 400, update_id="1001", verified_time_ns=long_ago)])
    r.to_redis(config, [r.book(update_id="1002")])
    data = get(client, "/api/v1/data/orderbook", **S, depth=100)
    assert (data["source"], data["update_id"], len(data["bids"]), data["complete"]) == ("live", "1002", 20, False)
    assert "s older" in data["warnings"][0]
    assert get(client, "/api/v1/data/orderbook", **S, depth=100, source="history")["update_id"] == "1001"


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
