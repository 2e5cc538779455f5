"""Long/short ratios of OKX contracts, which only REST has.

Source: https://www.okx.com/docs-v5/en/#trading-statistics (March 2026). Rows are [begin of the period, value..], newest
first, and the newest one is still growing: a row becomes a record once its period is over. What may come to stand
behind the values means nothing to us.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Final, NamedTuple
from urllib.parse import parse_qs, urlsplit

import msgspec

from marketdata.codec import UNDECODABLE
from marketdata.decimals import is_whole, is_zero, plain
from marketdata.errors import UnparsableFrame
from marketdata.types import LongShort
from venues import contract as c
from venues.contract import canonical
from venues.okx import messages as m

PERIOD: Final = "5m"
PERIODS_MS: Final = {"5m": 300_000, "1H": 3_600_000, "1D": 86_400_000}
INTERVAL_S: Final = 300.0
ROWS: Final = 4
"""Rows asked for: those of three polls, so that one that fails loses nothing."""

RATIO_PLACES: Final = Decimal("1e-8")
"""Decimals of bought / sold volume, which the venue leaves to us to divide."""
_division = Context(prec=60, rounding=ROUND_HALF_EVEN)


class Statistic(NamedTuple):
    path: str
    kind: str
    pool: str


_RUBIK: Final = "/api/v5/rubik/stat/"
STATISTICS: Final = (
    Statistic(f"{_RUBIK}contracts/long-short-account-ratio-contract", "global_account", "account_ratio"),
    Statistic(f"{_RUBIK}contracts/long-short-account-ratio-contract-top-trader", "top_account", "top_account_ratio"),
    Statistic(f"{_RUBIK}contracts/long-short-position-ratio-contract-top-trader", "top_position", "top_position_ratio"),
    Statistic(f"{_RUBIK}taker-volume-contract", "taker_volume", "taker_volume"),
)
_BY_PATH: Final = {statistic.path: statistic for statistic in STATISTICS}

_decode = msgspec.json.Decoder(m.Reply[list[str]]).decode


def long_short_polls(symbol: str) -> list[c.Poll]:
    """The four kinds of one contract. Taker volume is asked for in coin (`unit` 0)."""
    return [
        c.Poll("long_short", symbol, c.Request(statistic.path, _query(statistic, symbol), 1, pool=statistic.pool),
               INTERVAL_S)
        for statistic in STATISTICS
    ]  # fmt: skip


def _query(statistic: Statistic, symbol: str) -> dict[str, str]:
    query = {"instId": symbol, "period": PERIOD, "limit": str(ROWS)}
    return query | {"unit": "0"} if statistic.kind == "taker_volume" else query


def read_poll(path: str, body: bytes, ctx: c.Context) -> Sequence[LongShort]:
    """See `Venue.read_poll`: the rows whose period is over at the context's receive time ("": all), oldest first."""
    url = urlsplit(path)
    query = {name: values[0] for name, values in parse_qs(url.query).items()}
    statistic, period = _BY_PATH.get(url.path), query.get("period", PERIOD)
    if statistic is None:
        raise UnparsableFrame(f"{url.path[:200]!r} is no statistic we ask OKX for")
    if period not in PERIODS_MS:
        raise UnparsableFrame(f"{period[:40]!r} is no period we ask OKX for")
    if query.get("instId", ctx.symbol) != ctx.symbol:
        raise UnparsableFrame(f"the reply to {path[:200]!r} stands under {ctx.symbol}")
    if statistic.kind == "taker_volume" and query.get("unit") != "0":
        raise UnparsableFrame("taker volumes that are not in coin")
    until_ms = int(ctx.recv_time_ns) // 1_000_000 if ctx.recv_time_ns else 1 << 62
    return [r for row in reversed(read_rows(body)) for r in _record(row, statistic, period, until_ms, ctx)]


def read_rows(body: bytes) -> list[list[str]]:
    """Raises UnparsableFrame, also where the venue refuses."""
    try:
        reply = _decode(body)
    except UNDECODABLE as exc:
        raise UnparsableFrame(f"not a statistic of OKX: {exc}") from None
    if reply.code != "0":
        raise UnparsableFrame(f"OKX refuses: {reply.code} {reply.msg[:200]}")
    return reply.data


def _record(
    row: list[str], statistic: Statistic, period: str, until_ms: int, ctx: c.Context
) -> Iterator[LongShort]:  # fmt: skip
    wanted = 3 if statistic.kind == "taker_volume" else 2
    if len(row) < wanted or not is_whole(row[0]):
        raise UnparsableFrame(f"a row of {statistic.kind} is {row[:4]!r}")
    begin_ms, values = int(row[0]), [plain(value) for value in row[1:wanted]]
    ratio, bought, sold = values[0], "", ""
    if statistic.kind == "taker_volume":
        sold, bought = values  # the venue names what was sold first
        if is_zero(sold):
            return  # no ratio
        ratio = plain(str(_division.quantize(_division.divide(Decimal(bought), Decimal(sold)), RATIO_PLACES)))
    if begin_ms + PERIODS_MS[period] <= until_ms:
        yield LongShort(
            exchange=ctx.exchange,
            market=ctx.market,
            symbol=ctx.symbol,
            instrument=canonical(ctx),
            recv_time_ns=ctx.recv_time_ns,
            ratio_kind=statistic.kind,
            period=period.lower(),
            ratio=ratio,
            long=bought,
            short=sold,
            event_time_us=begin_ms * 1000,
        )
