"""OKX's REST replies without sockets: quotas."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from simulator.dialect import Request
from simulator.okx.dialect import SEGMENT, Okx
from simulator.okx.quotas import QUOTAS
from tests.simulator.dialect_harness import Venue

SWAP, OTHER = "BTC-USDT-SWAP", "ETH-USDT-SWAP"
RUBIK = "/api/v5/rubik/stat/"
BOOKS = "/api/v5/market/books"


class Asked(Venue):
    """The exchange, and who asks it."""

    def ask(self, path: str, ip: str = "10.0.0.1", **query: str) -> tuple[int, Any]:
        reply = asyncio.run(self.dialect.rest(Request("GET", path, query, b"", ip)))
        return reply.status, json.loads(reply.body)

    def allowed(self, count: int, path: str, **query: str) -> int:
        """How many of so many requests at once are answered."""
        return sum(self.ask(path, **query)[0] != 429 for _ in range(count))


@pytest.fixture
def exchange(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Asked:
    monkeypatch.setattr("simulator.okx.dialect.WINDOW_S", 3_600.0)  # the whole of a test, however slow the machine
    made = Asked(SEGMENT, [SWAP, OTHER, "BTC-USDT"], tmp_path)
    made.advance(2.0)
    return made


def test_every_path_has_a_quota(exchange: Asked) -> None:
    assert isinstance(exchange.dialect, Okx)
    assert exchange.dialect.endpoints.paths.keys() == QUOTAS.keys()


@pytest.mark.parametrize(
    ("path", "most", "apart"),
    [
        (BOOKS, 40, False),
        ("/api/v5/public/funding-rate-history", 10, True),
        (f"{RUBIK}contracts/open-interest-history", 10, False),
        (f"{RUBIK}contracts/long-short-account-ratio-contract", 5, True),
        (f"{RUBIK}contracts/long-short-account-ratio-contract-top-trader", 5, True),
        (f"{RUBIK}contracts/long-short-position-ratio-contract-top-trader", 5, True),
        (f"{RUBIK}taker-volume-contract", 5, False),
    ],
)
def test_requests_are_counted_by_address_and_some_by_instrument(
    exchange: Asked, path: str, most: int, apart: bool
) -> None:
    assert exchange.allowed(most + 3, path, instId=SWAP, limit="1") == most
    assert exchange.allowed(1, path, ip="10.0.0.2", instId=SWAP, limit="1") == 1
    assert exchange.allowed(most + 3, path, instId=OTHER, limit="1") == (most if apart else 0)


def test_instruments_are_counted_by_type(exchange: Asked) -> None:
    path = "/api/v5/public/instruments"
    assert exchange.allowed(23, path, instType="SWAP") == exchange.allowed(23, path, instType="SPOT") == 20
