"""The simulated USD-M: limits of an IP, paces of streams, and REST that says of trades what the streams say."""

from __future__ import annotations

import asyncio
import json
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
