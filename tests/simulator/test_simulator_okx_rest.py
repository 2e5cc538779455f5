"""OKX's REST replies without sockets: quotas, what is listed, and books from a cache that lags."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import pytest

from simulator.dialect import Request
from simulator.faults import Fault
from simulator.okx.dialect import SEGMENT, Okx
from simulator.okx.quotas import QUOTAS
from tests.simulator.dialect_harness import Venue

SWAP, OTHER = "BTC-USDT-SWAP", "ETH-USDT-SWAP"
LINEAR, OPTION = "BTC-USD_UM-SWAP", "BTC-USD-261225-50000-C"
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

    def fault(self, **fields: Any) -> int:
        fault = Fault(venue="okx", **fields)
        struck = asyncio.run(self.dialect.apply(fault))
        self.faults.add(fault, time.monotonic())
        return struck

    def book(self, symbol: str, sz: int = 400) -> Any:
        (told,) = self.ask(BOOKS, instId=symbol, sz=str(sz))[1]["data"]
        return told


@pytest.fixture
def exchange(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Asked:
    monkeypatch.setattr("simulator.okx.dialect.WINDOW_S", 3_600.0)  # the whole of a test, however slow the machine
    made = Asked(SEGMENT, [SWAP, OTHER, "BTC-USDT", LINEAR, OPTION], tmp_path)
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


@pytest.mark.parametrize("path", ["/api/v5/public/instruments", "/api/v5/public/open-interest"])
@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"instType": "SWAP"}, [SWAP, OTHER, LINEAR]),
        ({"instType": "SWAP", "instFamily": "BTC-USDT"}, [SWAP]),
        ({"instType": "SWAP", "instFamily": "BTC-USD_UM"}, [LINEAR]),
        ({"instType": "SWAP", "uly": "BTC-USD"}, [LINEAR]),
        ({"instType": "SWAP", "instId": OTHER}, [OTHER]),
        ({"instType": "OPTION", "instFamily": "BTC-USD"}, [OPTION]),
        ({"instType": "OPTION", "uly": "BTC-USD"}, [OPTION]),
        ({"instType": "OPTION", "instFamily": "ETH-USD"}, []),
        ({"instType": "OPTION"}, "50015"),  # options are told by family alone
        ({"instType": "NONE"}, "51000"),
        ({}, "50014"),
    ],
)
def test_contracts_are_told_by_type_and_family(
    exchange: Asked, path: str, query: dict[str, str], found: list[str] | str
) -> None:
    _, told = exchange.ask(path, **query)
    assert (told["code"] if isinstance(found, str) else [row["instId"] for row in told["data"]]) == found


def test_statistics_are_not_of_options(exchange: Asked) -> None:
    path = f"{RUBIK}contracts/long-short-account-ratio-contract"
    codes = {name: exchange.ask(path, instId=name)[1]["code"] for name in (SWAP, LINEAR, OPTION, "BTC-USDT")}
    assert codes == {SWAP: "0", LINEAR: "0", OPTION: "51000", "BTC-USDT": "51000"}


def test_a_book_from_a_cache_that_lags(exchange: Asked) -> None:
    before, other = exchange.book(SWAP), exchange.book(OTHER)
    assert exchange.fault(kind="stale_snapshot", symbol=SWAP, count=2) == 1
    exchange.advance(5.0)
    assert exchange.book(SWAP) == before
    shallow = exchange.book(SWAP, sz=3)
    assert shallow == before | {side: before[side][:3] for side in ("asks", "bids")}
    assert exchange.book(OTHER)["seqId"] > other["seqId"]
    assert exchange.book(SWAP)["seqId"] > before["seqId"]


def test_all_books_lag_until_the_faults_are_cleared(exchange: Asked) -> None:
    before = {symbol: exchange.book(symbol)["seqId"] for symbol in (SWAP, OTHER)}
    assert exchange.fault(kind="stale_snapshot", count=10) == 5
    exchange.advance(5.0)
    assert {symbol: exchange.book(symbol)["seqId"] for symbol in before} == before
    exchange.faults.clear()
    assert all(exchange.book(symbol)["seqId"] > seq for symbol, seq in before.items())
    exchange.fault(kind="stale_snapshot", symbol=OTHER)
    assert exchange.book(OTHER)["seqId"] > before[OTHER], "as it is when it is asked for anew"
    assert exchange.fault(kind="stale_snapshot", symbol="NO-SUCH") == 0
