"""The simulated USD-M: limits of an IP, paces of streams, and REST that says of trades what the streams say."""

from __future__ import annotations

import asyncio
import itertools
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from simulator.dialect import Request
from simulator.limits import REFUSED_UNTIL_BAN
from simulator.usdm.dialect import SEGMENT, Usdm
from simulator.usdm.limits import DATA_REQUESTS_MAX, FUNDING_REQUESTS_MAX, IpLimits
from tests.simulator.dialect_harness import Venue

DEPTH, RATE, INFO = "/fapi/v1/depth", "/fapi/v1/fundingRate", "/fapi/v1/fundingInfo"
RATIO, INTEREST = "/futures/data/takerlongshortRatio", "/futures/data/openInterestHist"
NOW_S = 60_000.0


# --- limits -----------------------------------------------------------------------------------------------------------


def statuses(limits: IpLimits, paths: tuple[str, ...], times: int, now_s: float = NOW_S) -> list[int]:
    """Of requests to each path in turn, `times` in all."""
    found = [limits.spend(paths[n % len(paths)], {}, now_s) for n in range(times)]
    return [200 if refusal is None else refusal.status for refusal in found]


@pytest.mark.parametrize(
    ("paths", "most"), [((RATIO, INTEREST), DATA_REQUESTS_MAX), ((RATE, INFO), FUNDING_REQUESTS_MAX)]
)
def test_requests_of_a_family_are_counted_together(paths: tuple[str, ...], most: int) -> None:
    limits = IpLimits(True, 120.0)
    assert statuses(limits, paths, most) == [200] * most
    refusal = limits.spend(paths[0], {}, NOW_S + 10)
    assert refusal is not None
    assert (refusal.status, refusal.retry_after_s) == (429, 291)
    assert f"limit is {most} requests per 5 MINUTE" in refusal.message
    others = tuple({RATIO, RATE, DEPTH} - set(paths))
    assert statuses(limits, others, 2, NOW_S + 10) == [200, 200], "not yet banned, and counted apart"
    assert limits.spend(paths[0], {}, NOW_S + 10 + refusal.retry_after_s) is None
    assert limits.weight.used <= 20, "they cost no weight"


@pytest.mark.parametrize("path", [RATIO, RATE, DEPTH])
def test_going_on_after_a_refusal_is_banned_from_everything(path: str) -> None:
    limits = IpLimits(True, 120.0)
    refused = [status for status in statuses(limits, (path,), 1100) if status != 200]
    assert refused[:REFUSED_UNTIL_BAN] == [429] * REFUSED_UNTIL_BAN
    assert set(refused[REFUSED_UNTIL_BAN:]) == {418}
    for other in (DEPTH, RATE, INFO, RATIO, INTEREST):
        ban = limits.spend(other, {}, NOW_S + 100)
        assert ban is not None
        assert (ban.status, ban.retry_after_s) == (418, 21)
        assert f"banned until {int(NOW_S + 120) * 1000}" in ban.message
        assert limits.spend(other, {}, NOW_S + 1000) is None


def test_weight_used_up_leaves_what_costs_none() -> None:
    limits = IpLimits(True, 120.0)
    assert 429 in statuses(limits, (DEPTH,), 250)
    assert statuses(limits, (RATIO, RATE), 2) == [200, 200]


def test_without_limits_nothing_is_refused() -> None:
    assert set(statuses(IpLimits(False, 120.0), (RATIO, RATE, DEPTH), 5000)) == {200}


@pytest.fixture
def venue(tmp_path: Path) -> Venue:
    return Venue(SEGMENT, ["BTCUSDT", "ETHUSDT"], tmp_path)


def test_a_ban_as_it_is_told(venue: Venue) -> None:
    def ask(path: str) -> Any:
        return asyncio.run(venue.dialect.rest(Request("GET", path, {"symbol": "BTCUSDT", "period": "5m"}, b"", "ip")))

    assert isinstance(venue.dialect, Usdm)
    assert ask(RATIO).status == 200
    venue.dialect.of_ip["ip"].weight.banned_until_s = 10.0**11
    for path, headers in ((RATIO, {"Retry-After"}), (DEPTH, {"Retry-After", "X-MBX-USED-WEIGHT-1M"})):
        reply = ask(path)
        assert (reply.status, json.loads(reply.body)["code"]) == (418, -1003)
        assert {name for name, _ in reply.headers} == headers
        assert "banned until 100000000000000" in json.loads(reply.body)["msg"]


# --- paces ------------------------------------------------------------------------------------------------------------


def heard(venue: Venue, route: str, streams: list[str], seconds: float) -> dict[str, list[Any]]:
    """Payloads of the streams, in order."""
    client = venue.open(f"/{route}/stream")
    client.send({"method": "SUBSCRIBE", "params": streams, "id": 1})
    client.texts()
    venue.advance(seconds)
    found: dict[str, list[Any]] = {stream: [] for stream in streams}
    for told in client.take():
        found[told["stream"]].append(told["data"])
    return found


def spacings_ms(payloads: list[Any]) -> list[int]:
    return [after["E"] - before["E"] for before, after in itertools.pairwise(payloads)]


@pytest.mark.parametrize(("suffix", "every_ms"), [("@100ms", 100), ("", 250), ("@500ms", 500)])
def test_books_come_at_the_pace_of_their_name(venue: Venue, suffix: str, every_ms: int) -> None:
    streams = [f"btcusdt@depth{levels}{suffix}" for levels in ("", 5, 10, 20)]
    found = heard(venue, "public", streams, 30.0)
    changes = found[streams[0]]
    assert min(spacings_ms(changes)) >= every_ms - 50
    assert 30_000 / every_ms * 0.95 <= len(changes) <= 30_000 / every_ms + 1
    assert all(before["u"] == after["pu"] for before, after in itertools.pairwise(changes))
    for stream, levels in zip(streams[1:], (5, 10, 20), strict=True):
        assert [(top["E"], top["U"], top["u"], top["pu"]) for top in found[stream]] == [
            (change["E"], change["U"], change["u"], change["pu"]) for change in changes
        ]
        assert {len(top[side]) for top in found[stream] for side in "ba"} == {levels}


def test_the_slower_changes_lead_to_the_same_book(venue: Venue) -> None:
    streams = [f"btcusdt@depth{suffix}" for suffix in ("@100ms", "", "@500ms")]
    books: list[dict[str, str]] = []
    found = heard(venue, "public", streams, 20.0)
    ends = set.intersection(*({event["u"] for event in found[stream]} for stream in streams))
    for stream in streams:
        book: dict[str, str] = {}
        for event in found[stream]:
            if event["u"] <= max(ends):
                book |= {f"{side}{price}": amount for side in "ba" for price, amount in event[side]}
        books.append(book)
    assert len(ends) > 10
    assert books[0] == books[1] == books[2]


def test_open_candles_come_four_times_a_second_with_each_trade_told(venue: Venue) -> None:
    found = heard(venue, "market", ["btcusdt@kline_1m", "btcusdt@aggTrade"], 50.0)
    candles = [told for told in found["btcusdt@kline_1m"] if not told["k"]["x"]]
    assert min(spacings_ms(candles)) >= 200
    assert len(candles) > 100, "once a second would be 50"
    last = [told["l"] for told in found["btcusdt@aggTrade"]]
    assert all(told["k"]["L"] in last for told in candles)
    assert candles[-1]["k"]["L"] == max(number for number, told in zip(last, found["btcusdt@aggTrade"], strict=True)
                                        if told["E"] <= candles[-1]["E"])  # fmt: skip


# --- REST -------------------------------------------------------------------------------------------------------------


def test_rest_says_of_trades_what_the_streams_say(venue: Venue) -> None:
    """With those against retail price improvement orders left out of `nq`, and named one by one."""
    found = heard(venue, "market", ["btcusdt@aggTrade"], 60.0)["btcusdt@aggTrade"][100:]  # held, not yet on disk

    def ask(name: str, first: int) -> list[dict[str, Any]]:
        query = {"symbol": "BTCUSDT", "fromId": str(first), "limit": "1000"}
        reply = asyncio.run(venue.dialect.rest(Request("GET", f"/fapi/v1/{name}", query, b"", "ip")))
        rows: list[dict[str, Any]] = json.loads(reply.body)
        return rows

    aggs = ask("aggTrades", found[0]["a"])
    assert aggs == [{name: told[name] for name in ("a", "p", "q", "nq", "f", "l", "T", "m")} for told in found[:1000]]
    trades = ask("historicalTrades", found[0]["f"])
    assert any(row["isRPITrade"] for row in trades)
    whole = [told for told in aggs if told["l"] <= trades[-1]["id"]]
    assert len(whole) > 100
    for told in whole:
        parts = [row for row in trades if told["f"] <= row["id"] <= told["l"]]
        assert Decimal(told["q"]) == sum(Decimal(row["qty"]) for row in parts)
        assert Decimal(told["nq"]) == sum(Decimal(row["qty"]) for row in parts if not row["isRPITrade"])
