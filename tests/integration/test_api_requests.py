"""The API's surface over real stores: documented shapes, refusals, pages, metrics, any parameters at all."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from api import models
from api.envelope import Envelope
from runtime.config import Config
from tests.integration.api_kit import P, S, api_config, filled, get
from tests.integration.conftest import MakeConfig


@pytest.fixture
def config(make_config: MakeConfig) -> Config:
    return api_config(make_config)


@pytest.fixture
def client(config: Config) -> Iterator[httpx.Client]:
    with filled(config) as client:
        yield client


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


@pytest.mark.parametrize(
    ("path", "params", "status", "code"),
    [
        ("/api/v1/data/trades", {"symbol": "BTCUSD"}, 404, "unknown_symbol"),
        ("/api/v1/data/trades", {"symbol": "BTCUSDT", "exchange": "htx"}, 404, "unknown_exchange"),
        ("/api/v1/data/trades", {}, 422, "bad_parameter"),
        ("/api/v1/data/trades", {**S, "limit": 5001}, 422, "bad_parameter"),
        ("/api/v1/data/klines", {**S, "interval": "7m"}, 422, "bad_parameter"),
        ("/api/v1/data/klines", {**S, "start": "soon"}, 422, "bad_parameter"),
        ("/api/v1/data/klines", {**S, "start": "2026-11-22", "end": "2026-11-21"}, 422, "bad_parameter"),
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
