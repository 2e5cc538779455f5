"""Frames and replies of the simulated USD-M and OKX have the keys and JSON types of recorded ones.

Venues add keys over the years, so a recorded frame must have nothing the simulator lacks, and what the simulator has
beyond it must be among the keys known to be newer. Key order is compared where the recording is the venue's own text.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from runtime.config.simulator import Simulator
from simulator.dialect import Desk, Request, Segment
from simulator.faults import Faults
from simulator.forms import TEXT, Form
from simulator.hub import Hub
from simulator.okx.dialect import SEGMENT as OKX
from simulator.store import Store
from simulator.usdm.dialect import SEGMENT as USDM
from tests.frames import frames_dir

T0_US = 1_790_000_000_000_000
SYMBOLS = {
    "usdm": ["BTCUSDT", "ETHUSDT", "BTCUSDT_261225"],
    "okx": ["BTC-USDT", "BTC-USDT-SWAP", "BTC-USD-SWAP", "BTC-USD-261225", "BTC-USD-261225-50000-C"],
}
NEWER = {"usdm": {"nq", "ap", "ps", "st"}, "okx": {"seqId", "prevSeqId", "checksum", "count", "source", "oiUsd"}}


class Ear:
    """Subscribed to everything; keeps the last frame of each stream."""

    form: Form = TEXT

    def __init__(self) -> None:
        self.frames: list[bytes] = []

    def queue(self, frame: bytes) -> None:
        self.frames.append(frame)


def payload(frame: bytes) -> Any:
    """Of an unmasked text frame."""
    size = frame[1]
    return json.loads(frame[4:] if size == 126 else frame[10:] if size == 127 else frame[2:])


class Everything(dict[str, Any]):
    """A table in which every stream has the same subscriber."""

    def __init__(self, ear: Ear) -> None:
        super().__init__()
        self.those = {ear: None}

    def __contains__(self, name: object) -> bool:
        return True

    def get(self, name: str, default: Any = None) -> Any:
        del name, default
        return self.those

    def keys(self) -> Any:
        return {"!markPrice@arr@1s", "!ticker@arr"}


def desk_of(segment: Segment, directory: Path) -> Desk:
    store = Store(directory / segment.name)
    market = store.open_market(SYMBOLS[segment.name], 1, 120.0, T0_US, segment.instrument, segment.name)
    faults = Faults()
    hub = Hub(faults, lambda: 0.0, venue=segment.name, kind_of=segment.stream_kind)
    config = Simulator(rest_weight_per_min_max=0)
    return Desk(segment.name, config, hub, faults, market, store)


@cache
def samples(name: str, directory: Path) -> dict[str, Any]:
    """One payload of every stream, by stream name."""
    segment = {"usdm": USDM, "okx": OKX}[name]
    desk = desk_of(segment, directory)
    dialect = segment.dialect(desk)
    ear = Ear()
    desk.hub.subscribers = Everything(ear)
    out: dict[str, Any] = {}
    publish = desk.hub.publish

    def note(stream: str, make: Any) -> None:
        out[stream] = json.loads(make(1000))
        publish(stream, make)

    desk.hub.publish = note  # type: ignore[method-assign]
    desk.market.advance(T0_US + 125_000_000, dialect.sink)
    for stream in list(out):
        for first in dialect.joined(stream) or ():
            out[f"{stream}/first"] = json.loads(first)
    for kind in ("SPOT", "SWAP", "FUTURES", "OPTION"):
        for first in dialect.joined(f"instruments:{kind}") or ():
            out[f"instruments:{kind}"] = json.loads(first)
    assert payload(ear.frames[-1])
    desk.store.close()
    return out


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("shapes")


def kinds(value: Any) -> Any:
    """JSON types by key, lists by their first element; decimal strings are one kind, whatever their places."""
    if isinstance(value, dict):
        return {key: kinds(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [kinds(value[0])] if value else []
    if isinstance(value, bool):
        return "bool"
    return type(value).__name__


def differences(theirs: Any, ours: Any, at: str = "") -> tuple[set[str], set[str]]:
    """(what a recorded value has and ours lacks, types that differ; what ours has beyond it)."""
    wrong: set[str] = set()
    beyond: set[str] = set()
    if isinstance(theirs, dict) and isinstance(ours, dict):
        wrong = {f"{at}.{key} is recorded, not simulated" for key in theirs.keys() - ours.keys()}
        beyond = {f"{at}.{key}" for key in ours.keys() - theirs.keys()}
        pairs = [(f"{at}.{key}", theirs[key], ours[key]) for key in theirs.keys() & ours.keys()]
    elif isinstance(theirs, list) and isinstance(ours, list):
        pairs = [(f"{at}[]", theirs[0], ours[0])] if theirs and ours else []
    else:
        pairs = []
        wrong = set() if theirs == ours else {f"{at}: recorded {theirs}, simulated {ours}"}
    for place, each, mine in pairs:
        inner = differences(each, mine, place)
        wrong, beyond = wrong | inner[0], beyond | inner[1]
    return wrong, beyond


class Compared:
    """Against many recorded values: each has nothing ours lacks, and what no one has is known to be newer."""

    def __init__(self, ours: Any) -> None:
        self.ours = kinds(ours)
        self.count = 0
        self.never: set[str] | None = None

    def add(self, theirs: Any) -> None:
        wrong, beyond = differences(kinds(theirs), self.ours)
        assert wrong == set()
        self.never = beyond if self.never is None else self.never & beyond
        self.count += 1

    def done(self, newer: set[str]) -> None:
        assert self.count
        assert {place.rpartition(".")[2] for place in self.never or ()} <= newer


def lines(path: str) -> Iterator[Any]:
    with (frames_dir() / path).open() as found:
        for line in found:
            if line.strip():
                yield json.loads(line)


USDM_STREAMS = [
    ("btcusdt@trade", "trade.jsonl"),
    ("btcusdt@aggTrade", "aggtrade.jsonl"),
    ("btcusdt@bookTicker", "bbo.jsonl"),
    ("btcusdt@depth@100ms", "book_delta.jsonl"),
    ("btcusdt@depth@100ms", "book_delta.docs.jsonl"),
    ("btcusdt@depth20", "book_partial.jsonl"),
    ("btcusdt@kline_1m", "kline.jsonl"),
    ("btcusdt@ticker", "ticker.jsonl"),
    ("btcusdt@ticker", "ticker.docs.jsonl"),
    ("btcusdt@miniTicker", "miniticker.jsonl"),
    ("btcusdt@markPrice@1s", "markprice.jsonl"),
    ("btcusdt@markPrice@1s", "markprice.docs.jsonl"),
    ("btcusdt@forceOrder", "liquidation.jsonl"),
]


@pytest.mark.parametrize(("stream", "name"), USDM_STREAMS)
def test_usdm_streams(directory: Path, stream: str, name: str) -> None:
    ours = samples("usdm", directory)[stream]
    compared = Compared(ours)
    for line in lines(f"binance/usdm/{name}"):
        theirs = line.get("data", line)
        coin_margined = name != "miniticker.jsonl" and not isinstance(theirs, list) and "BTCUSD_" in theirs.get("s", "")
        if isinstance(theirs, list) or theirs.get("generated") or coin_margined:
            continue
        compared.add(theirs)
        if "st" not in theirs and stream != "btcusdt@bookTicker":
            assert [key for key in theirs if key in ours] == [key for key in ours if key in theirs], "the order of keys"
    compared.done(NEWER["usdm"])


OKX_STREAMS = [
    ("books:BTC-USDT/first", "spot/book.docs.jsonl"),
    ("books:BTC-USDT-SWAP", "swap/seq_fm_btcusdt_swap_20260926_part.jsonl"),
    ("bbo-tbt:BTC-USDT-SWAP", "swap/seq_fm_btcusdt_swap_20260926_part.jsonl"),
    ("trades:BTC-USDT-SWAP", "swap/seq_fm_btcusdt_swap_20260926_part.jsonl"),
    ("books:BTC-USDT", "spot/book.jsonl"),
    ("books5:BTC-USDT", "spot/book5.jsonl"),
    ("books5:BTC-USD-SWAP", "swap/book5.jsonl"),
    ("bbo-tbt:BTC-USDT", "spot/bbo.docs.jsonl"),
    ("bbo-tbt:BTC-USD-SWAP", "swap/bbo.jsonl"),
    ("trades:BTC-USDT", "spot/trade.jsonl"),
    ("trades-all:BTC-USDT", "spot/trade_all.jsonl"),
    ("tickers:BTC-USDT", "spot/ticker.jsonl"),
    ("tickers:BTC-USD-SWAP", "swap/ticker.jsonl"),
    ("mark-price:BTC-USDT-SWAP", "swap/markprice.jsonl"),
    ("open-interest:BTC-USDT-SWAP", "swap/open_interest.jsonl"),
    ("liquidation-orders:SWAP", "swap/liquidation.jsonl"),
    ("index-tickers:BTC-USD", "spot/index_ticker.jsonl"),
    ("books:BTC-USD-261225-50000-C", "option/book.jsonl"),
    ("bbo-tbt:BTC-USD-261225-50000-C", "option/bbo.jsonl"),
    ("trades:BTC-USD-261225-50000-C", "option/trade.jsonl"),
    ("tickers:BTC-USD-261225-50000-C", "option/ticker.jsonl"),
    ("mark-price:BTC-USD-261225-50000-C", "option/markprice.jsonl"),
    ("open-interest:BTC-USD-261225-50000-C", "option/open_interest.jsonl"),
]


@pytest.mark.parametrize(("stream", "name"), OKX_STREAMS)
def test_okx_streams(directory: Path, stream: str, name: str) -> None:
    ours = samples("okx", directory)[stream]
    channel = ours["arg"]["channel"]
    compared = Compared(ours)
    for theirs in lines(f"okx/{name}"):
        recorded = theirs["arg"]["channel"]
        if "data" not in theirs or (recorded != channel and not (channel == "books" and recorded.startswith("books-"))):
            continue
        theirs["arg"]["channel"] = channel
        compared.add(theirs)
        rows, row = theirs["data"][0], ours["data"][0]
        if rows.get("asks") and row["asks"]:
            assert [type(part) for part in rows["asks"][0]] == [type(part) for part in row["asks"][0]]
            assert row["asks"][0][2] == "0"
    compared.done(NEWER["okx"])


def test_okx_candles_have_nine_strings(directory: Path) -> None:
    """Older recorded rows have seven or eight: volCcyQuote and confirm were added."""
    ours = samples("okx", directory)["candle1m:BTC-USDT"]["data"][0]
    [theirs] = [line["data"][0] for line in lines("okx/spot/kline.docs.jsonl")]
    assert [type(part) for part in ours] == [type(part) for part in theirs] == [str] * 9
    for line in (*lines("okx/spot/kline.jsonl"), *lines("okx/swap/kline.jsonl")):
        assert len(line["data"][0]) <= 9


def test_okx_funding_rates_have_the_recorded_keys_of_2026(directory: Path) -> None:
    ours = samples("okx", directory)["funding-rate:BTC-USDT-SWAP/first"]["data"][0]
    recorded = [line["data"][0] for line in lines("okx/swap/funding.jsonl") if "settState" in line["data"][0]]
    assert recorded
    for theirs in recorded:
        assert kinds(theirs) == kinds(ours)
        assert list(theirs) == list(ours)


def test_okx_instruments_channel_has_what_rest_has(directory: Path) -> None:
    ours = samples("okx", directory)["instruments:SWAP"]["data"][0]
    [theirs] = [line["data"][0] for line in lines("okx/swap/instruments.docs.jsonl")]
    assert theirs.keys() <= ours.keys()
    assert (ours["ctType"], ours["ctVal"], ours["ctValCcy"]) == ("linear", "0.01", "BTC")


OKX_INSTRUMENTS = ("okx/any/rest_instruments_spot.docs.jsonl", "okx/any/rest_instruments_swap.docs.jsonl")
REST = [
    ("usdm", "/fapi/v1/depth", {"symbol": "BTCUSDT", "limit": "5"}, ("binance/usdm/rest_book.jsonl",)),
    ("usdm", "/fapi/v1/openInterest", {"symbol": "BTCUSDT"}, ("binance/usdm/rest_open_interest.jsonl",)),
    ("usdm", "/fapi/v1/premiumIndex", {"symbol": "BTCUSDT"}, ("binance/usdm/rest_premium_index.jsonl",)),
    ("usdm", "/fapi/v1/ticker/24hr", {"symbol": "BTCUSDT"}, ("binance/usdm/rest_ticker24h.jsonl",)),
    ("usdm", "/fapi/v1/ticker/bookTicker", {}, ("binance/usdm/rest_bookticker.jsonl",)),
    ("usdm", "/fapi/v1/ticker/price", {"symbol": "BTCUSDT"}, ("binance/usdm/rest_ticker_price.docs.jsonl",)),
    ("usdm", "/fapi/v1/time", {}, ("binance/usdm/rest_time.jsonl",)),
    ("usdm", "/fapi/v1/trades", {"symbol": "BTCUSDT"}, ("binance/usdm/rest_trades.jsonl",)),
    ("usdm", "/fapi/v1/aggTrades", {"symbol": "BTCUSDT"}, ("binance/usdm/rest_aggtrades.jsonl",)),
    ("usdm", "/fapi/v1/klines", {"symbol": "BTCUSDT", "interval": "1m"}, ("binance/usdm/rest_klines.docs.jsonl",)),
    ("usdm", "/fapi/v1/fundingRate", {"symbol": "BTCUSDT"}, ("binance/usdm/rest_funding_rate.jsonl",)),
    *(
        ("usdm", f"/futures/data/{path}", {"symbol": "BTCUSDT", "period": "5m"}, (f"binance/usdm/{name}.jsonl",))
        for path, name in (
            ("openInterestHist", "rest_open_interest_hist"),
            ("globalLongShortAccountRatio", "rest_global_long_short_account_ratio"),
            ("topLongShortAccountRatio", "rest_top_long_short_account_ratio"),
            ("topLongShortPositionRatio", "rest_top_long_short_position_ratio"),
            ("takerlongshortRatio", "rest_taker_long_short_ratio"),
        )
    ),
    ("okx", "/api/v5/market/books", {"instId": "BTC-USDT", "sz": "3"}, ("okx/any/rest_book.jsonl",)),
    ("okx", "/api/v5/public/open-interest", {"instType": "SWAP"}, ("okx/any/rest_open_interest.jsonl",)),
    ("okx", "/api/v5/public/mark-price", {"instType": "SWAP"}, ("okx/any/rest_mark_price.docs.jsonl",)),
    ("okx", "/api/v5/market/trades", {"instId": "BTC-USDT"}, ("okx/any/rest_trades.docs.jsonl",)),
    ("okx", "/api/v5/market/candles", {"instId": "BTC-USDT"}, ("okx/any/rest_candlesticks.docs.jsonl",)),
    ("okx", "/api/v5/public/instruments", {"instType": "SPOT"}, OKX_INSTRUMENTS),
    ("okx", "/api/v5/public/instruments", {"instType": "SWAP"}, OKX_INSTRUMENTS),
    (
        "okx",
        "/api/v5/public/instruments",
        {"instType": "OPTION", "instFamily": "BTC-USD"},
        ("okx/any/rest_instruments_option.docs.jsonl", *OKX_INSTRUMENTS),
    ),
    (
        "okx",
        "/api/v5/public/funding-rate-history",
        {"instId": "BTC-USD-SWAP"},
        ("okx/any/rest_funding_rate_history.docs.jsonl",),
    ),
]
REST_NEWER = {"nq", "isRPITrade", "markPrice", "seqId", "oiUsd", "source", "method", "formulaType", "upcChg"}


@pytest.mark.parametrize(("venue", "path", "query", "names"), REST)
def test_rest_replies(tmp_path: Path, venue: str, path: str, query: dict[str, str], names: tuple[str, ...]) -> None:
    segment = {"usdm": USDM, "okx": OKX}[venue]
    desk = desk_of(segment, tmp_path)
    dialect = segment.dialect(desk)
    desk.market.advance(T0_US + 100_000_000, dialect.sink)
    reply = asyncio.run(dialect.rest(Request("GET", path, query, b"", "127.0.0.1")))
    desk.store.close()
    assert reply.status == 200
    compared = Compared(json.loads(reply.body))
    for name in names:
        for line in lines(name):
            if "pair=" not in line["_rest"] and "symbol" not in (line["body"] if path.endswith("depth") else ()):
                compared.add(line["body"])  # the others are of COIN-M
    compared.done(REST_NEWER)


def test_usdm_exchange_info_has_what_was_recorded(tmp_path: Path) -> None:
    desk = desk_of(USDM, tmp_path)
    dialect = USDM.dialect(desk)
    reply = asyncio.run(dialect.rest(Request("GET", "/fapi/v1/exchangeInfo", {}, b"", "127.0.0.1")))
    desk.store.close()
    told = json.loads(reply.body)
    ours = {each["symbol"]: each for each in told["symbols"]}
    assert ours["BTCUSDT_261225"]["contractType"] == "CURRENT_QUARTER"
    assert ours["BTCUSDT_261225"]["deliveryDate"] == 1_798_185_600_000
    for line in lines("binance/usdm/rest_exchange_info.jsonl"):
        theirs = line["body"]
        assert told.keys() == theirs.keys()
        mine = ours["BTCUSDT"]
        for key, value in theirs["symbols"][0].items():
            if key != "filters":
                assert kinds(mine[key]) == kinds(value), key
        filters = {each["filterType"]: kinds(each) for each in mine["filters"]}
        for each in theirs["symbols"][0]["filters"]:
            assert filters[each["filterType"]] == kinds(each)
