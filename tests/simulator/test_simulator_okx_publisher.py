"""OKX's instruments and paces without sockets: keep-alives of books, when candles open, liquidations, indexes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from simulator.faults import Faults
from simulator.forms import TEXT, Form
from simulator.hub import Hub
from simulator.market.derivatives import Liquidation
from simulator.market.listing import reference_e8
from simulator.market.symbol import SymbolMarket
from simulator.okx import wire
from simulator.okx.bars import BARS, SIZES_MS, opened_ms
from simulator.okx.instruments import describe, make_instrument
from simulator.okx.publisher import KEEP_ALIVE_US, Publisher
from simulator.store import Store

T0_US = 1_790_000_000_000_000
NAME = "ETH-USDT-SWAP"


class Ear:
    """A subscriber that keeps what it is given."""

    form: Form = TEXT

    def __init__(self) -> None:
        self.frames: list[Any] = []

    def queue(self, frame: bytes) -> None:
        head = {126: 4, 127: 10}.get(frame[1], 2)
        self.frames.append(json.loads(frame[head:]))

    def rows(self) -> list[Any]:
        return [row for frame in self.frames for row in frame["data"]]


@pytest.fixture
def venue(tmp_path: Path) -> Iterator[tuple[Publisher, SymbolMarket]]:
    store = Store(tmp_path)
    market = store.open_market([NAME, "BTC-USDT"], 1, 60.0, T0_US, make_instrument, "okx")
    publisher = Publisher(Hub(Faults(), lambda: 0.0, venue="okx"), market)
    market.advance(T0_US + 2_000_000, publisher)
    yield publisher, market.symbols[NAME]
    store.close()


def test_a_quiet_book_says_that_nothing_changed(venue: tuple[Publisher, SymbolMarket]) -> None:
    publisher, market = venue
    ear = Ear()
    [first] = publisher.joined(f"books:{NAME}")
    publisher.hub.subscribe(ear, f"books:{NAME}")
    last = json.loads(first)["data"][0]["seqId"]
    publisher.on_second(market, market.at_us + KEEP_ALIVE_US - 1)
    assert ear.frames == []
    publisher.on_second(market, market.at_us + KEEP_ALIVE_US)
    [row] = ear.rows()
    assert (row["asks"], row["bids"], row["seqId"], row["prevSeqId"]) == ([], [], last, last)
    publisher.on_second(market, market.at_us + KEEP_ALIVE_US + 1_000_000)
    assert len(ear.frames) == 1


def test_those_who_come_later_continue_the_same_chain(venue: tuple[Publisher, SymbolMarket]) -> None:
    publisher, market = venue
    early, late, stream = Ear(), Ear(), f"books:{NAME}"
    publisher.joined(stream)
    publisher.hub.subscribe(early, stream)
    publisher.market.advance(T0_US + 5_000_000, publisher)
    [snapshot] = publisher.joined(stream)
    publisher.hub.subscribe(late, stream)
    publisher.market.advance(T0_US + 9_000_000, publisher)
    assert late.frames
    assert early.frames[-len(late.frames) :] == late.frames
    assert late.rows()[0]["prevSeqId"] == json.loads(snapshot)["data"][0]["seqId"]
    for ear in (early, late):
        publisher.hub.unsubscribe(ear, stream)
    publisher.market.advance(T0_US + 12_000_000, publisher)
    assert publisher.of(market).view is None
    assert publisher.snapshot(market)[2] == publisher.seq(market)


def test_one_liquidation_a_second_is_told(venue: tuple[Publisher, SymbolMarket]) -> None:
    publisher, market = venue
    ear = Ear()
    publisher.hub.subscribe(ear, "liquidation-orders:SWAP")
    publisher.of(market).liquidation = Liquidation(1, market.at_us, True, 300_000, 12, 300_000.0)
    publisher.on_second(market, market.at_us)
    publisher.on_second(market, market.at_us + 1_000_000)
    [row] = ear.rows()
    [detail] = row["details"]
    assert (row["instId"], detail["side"], detail["posSide"]) == (NAME, "sell", "long")


@pytest.mark.parametrize(
    ("symbol", "told"),
    [
        ("BTC-USDT", ("SPOT", "", "", "", "", "BTC", "")),
        ("BTC-USDT-SWAP", ("SWAP", "BTC-USDT", "BTC-USDT", "linear", "USDT", "", "")),
        ("BTC-USD-SWAP", ("SWAP", "BTC-USD", "BTC-USD", "inverse", "BTC", "", "")),
        ("BTC-USD_UM-SWAP", ("SWAP", "BTC-USD", "BTC-USD_UM", "linear", "USD", "", "")),
        ("BTC-USD-261225", ("FUTURES", "BTC-USD", "BTC-USD", "inverse", "BTC", "", "1798185600000")),
        ("BTC-USD_UM-261225", ("FUTURES", "BTC-USD", "BTC-USD_UM", "linear", "USD", "", "1798185600000")),
        ("ETH-USD-261225-4000.5-P", ("OPTION", "ETH-USD", "ETH-USD", "", "ETH", "", "1798185600000")),
    ],
)
def test_what_a_name_says(symbol: str, told: tuple[str, ...]) -> None:
    entry = describe(make_instrument(0, symbol, 1))
    fields = ("instType", "uly", "instFamily", "ctType", "settleCcy", "baseCcy", "expTime")
    assert tuple(entry[field] for field in fields) == told
    if entry["instType"] == "OPTION":
        assert [entry[field] for field in ("stk", "optType", "ctVal", "ctMult", "ctValCcy", "tickSz", "lotSz")] == [
            "4000.5", "P", "1", "0.1", "ETH", "0.0001", "1",
        ]  # fmt: skip


@pytest.mark.parametrize(
    "symbol",
    ["BTC", "BTCUSDT", "btc-usdt", "BTC-USDT-PERP", "BTC-USDT-261325", "BTC-USD_UM", "BTC-USDT_UM-SWAP",
     "BTC-USD-SWAP-50000-C", "BTC-USD-261225-50000", "BTC-USD-261225-50000-X", "BTC-USDT-261225-50000-C",
     "BTC-USD_UM-261225-50000-C"],
)  # fmt: skip
def test_names_that_cannot_be(symbol: str) -> None:
    with pytest.raises(ValueError, match=f"{symbol}|month"):
        make_instrument(0, symbol, 1)


def test_an_index_is_never_told_in_an_options_ticks(tmp_path: Path) -> None:
    names = ["BTC-USD-261225-50000-C", "BTC-USD_UM-SWAP", "BTC-USD-SWAP", "ETH-USD-261225-4000-P"]
    store = Store(tmp_path)
    market = store.open_market(names, 1, 60.0, T0_US, make_instrument, "okx")
    publisher = Publisher(Hub(Faults(), lambda: 0.0, venue="okx"), market)
    ears = {name: Ear() for name in ("index-tickers:BTC-USD", "index-candle1m:BTC-USD", "index-tickers:ETH-USD")}
    for stream, ear in ears.items():
        publisher.hub.subscribe(ear, stream)
    market.advance(T0_US + 3_000_000, publisher)
    dollars = reference_e8("BTC", 1) / 1e8
    told = [float(row["idxPx"]) for row in ears["index-tickers:BTC-USD"].rows()]
    told += [float(row[4]) for row in ears["index-candle1m:BTC-USD"].rows()]
    assert len(told) >= 4
    assert told == pytest.approx([dollars] * len(told), rel=0.01)
    assert ears["index-tickers:ETH-USD"].frames == []
    contracts, coins, worth = map(float, wire.interest(market.symbols[names[0]], market.at_us))
    assert coins == pytest.approx(contracts / 100)
    assert worth == pytest.approx(coins * dollars, rel=0.01)
    store.close()


@pytest.mark.parametrize(
    ("bar", "opened"),
    [
        ("1m", "2026-11-21T03:17:00"),
        ("4H", "2026-11-21T00:00:00"),
        ("6H", "2026-11-20T22:00:00"),
        ("6Hutc", "2026-11-21T00:00:00"),
        ("12H", "2026-11-20T16:00:00"),
        ("1D", "2026-11-20T16:00:00"),
        ("1Dutc", "2026-11-21T00:00:00"),
    ],
)
def test_long_candles_open_at_utc8_unless_named_utc(bar: str, opened: str) -> None:
    at = datetime(2026, 11, 21, 3, 17, 30, tzinfo=UTC)
    found = datetime.fromtimestamp(opened_ms(bar, int(at.timestamp() * 1000)) / 1000, UTC)
    assert found.strftime("%Y-%m-%dT%H:%M:%S") == opened


def test_candles_are_told_open_and_once_closed(venue: tuple[Publisher, SymbolMarket]) -> None:
    publisher, market = venue
    ears = {bar: Ear() for bar in BARS}
    for bar, ear in ears.items():
        publisher.hub.subscribe(ear, f"candle{bar}:{NAME}")
    publisher.market.advance(T0_US + 130_000_000, publisher)
    rows = ears["1m"].rows()
    closed = [row for row in rows if row[8] == "1"]
    assert [int(row[0]) for row in closed] == [bar.open_ms for bar in market.bars]
    assert all(float(row[3]) <= float(row[4]) <= float(row[2]) for row in rows)
    for bar, ear in ears.items():
        assert {int(row[0]) % 60_000 for row in ear.rows()} == {0}
        assert all(opened_ms(bar, int(row[0])) == int(row[0]) for row in ear.rows())
        assert SIZES_MS[bar] > 0
    contracts, coins = float(closed[-1][5]), float(closed[-1][6])
    assert coins == pytest.approx(contracts / 10)
