"""The API while its stores are away, late or silent, and as a process."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from deploy.local import servers
from runtime.config import Config
from tests.api import records as r
from tests.api.server import serving
from tests.integration.api_kit import CANDLES, EXCHANGES, PATIENT, STORED, TRADES, S, api_config, get, live
from tests.integration.conftest import MakeConfig, ServiceFactory
from tests.ports import free_ports


@pytest.fixture
def config(make_config: MakeConfig) -> Config:
    return api_config(make_config)


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
            assert "/health" in error["details"]["remedy"]
        assert client.get("/api/v1/tickers").headers["retry-after"] == "2"
        assert get(client, "/api/v1/tickers", 503)["details"]["store"] == "redis"
        assert get(client, "/api/v1/data/trades", 503, **S, source="live")["details"]["store"] == "redis"
        newest = get(client, "/api/v1/data/trades", **S, limit=1)
        assert (newest["source"], newest["trades"][0]["trade_id"]) == ("history", str(TRADES - 1))
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


def test_a_reader_who_is_refused_is_told_so(config: Config) -> None:
    reader = config.clickhouse.model_copy(update={"reader_password": SecretStr("not-the-password")})
    with serving(config.model_copy(update={"clickhouse": reader})) as client:
        error = get(client, "/api/v1/data/klines", 503, **S)
        assert error["code"] == "store_down"
        assert "clickhouse.reader_password" in error["message"]
        assert get(client, "/health")["stores"]["clickhouse"]["state"] == "down"


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
