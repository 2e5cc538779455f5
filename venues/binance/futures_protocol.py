"""How to talk to Binance's futures: USD-M (`fapi`, fstream) and COIN-M (`dapi`, dstream).

USD-M serves each stream on one of two paths, `/public` and `/market`, since 2026-03; a socket on another path
acknowledges the subscription and stays silent. COIN-M has one path for all (see README.md for what is said of it).
Source: https://developers.binance.com/docs/derivatives/usds-margined-futures/websocket-market-streams
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from marketdata.errors import ConfigError, InvariantError
from venues.binance import messages as m
from venues.binance.combined import CombinedProtocol, Kind, kind, weight_of
from venues.contract import EVERY_SYMBOL, Limits, Notice, Poll, Request, RestPool, Stream

PUBLIC = "public"
MARKET = "market"

CHANNEL_STREAMS = {
    "trade": "trade",
    "agg_trade": "aggTrade",
    "book": "depth@100ms",
    "bbo": "bookTicker",
    "kline": "kline_1m",
    "ticker": "ticker",
    "mark_price": "markPrice@1s",
    "liquidation": "forceOrder",
}

_SPEED = r"(@\d+ms)?"
KINDS: tuple[Kind, ...] = (
    kind(r"trade", "trade", "trade", PUBLIC),  # the route is measured by others, not documented
    kind(rf"depth{_SPEED}", "book", "depthUpdate", PUBLIC),
    kind(r"bookTicker", "bbo", "", PUBLIC, timed=True),
    kind(rf"depth\d+{_SPEED}", "partial_book", "depthUpdate", PUBLIC),
    kind(rf"rpiDepth{_SPEED}", "rpi_book", "depthUpdate", PUBLIC),
    kind(r"aggTrade", "agg_trade", "aggTrade", MARKET),
    kind(r"kline_\w+", "kline", "kline", MARKET),
    kind(r"ticker", "ticker", "24hrTicker", MARKET),
    kind(r"miniTicker", "mini_ticker", "24hrMiniTicker", MARKET),
    kind(r"markPrice(@1s)?", "mark_price", "markPriceUpdate", MARKET),
    kind(r"forceOrder", "liquidation", "forceOrder", MARKET),
    kind(r"contractInfo", "instrument", "contractInfo", MARKET),
    kind(r"continuousKline_\w+", "continuous_kline", "continuous_kline", MARKET),
    kind(r"compositeIndex", "composite_index", "compositeIndex", MARKET),
    kind(r"indexPrice(@1s)?", "index_price", "indexPriceUpdate", MARKET),
    # Not the venue's: Tardis' re-wrapped REST replies.
    kind(r"depthSnapshot", "tardis_snapshot", timed=True),
    kind(r"openInterest", "tardis_open_interest"),
)
"""A subscribed stream must be in this table: its path cannot be guessed."""

BARE_SUFFIXES = {
    "trade": "trade",
    "aggTrade": "aggTrade",
    "depthUpdate": "depth",
    "bookTicker": "bookTicker",
    "kline": "kline_",
    "24hrTicker": "ticker",
    "24hrMiniTicker": "miniTicker",
    "markPriceUpdate": "markPrice",
    "forceOrder": "forceOrder",
}

SNAPSHOT_WEIGHTS = ((50, 2), (100, 5), (500, 10), (1000, 20))
"""Weight of `depth` up to each limit. The venue takes 5, 10, 20, 50, 100, 500 and 1000, nothing between."""

FUTURES_DATA = "futures_data"
"""The pool of `/futures/data`: counted in requests, apart from the weight."""

LIMITS = Limits(
    streams_per_connection=200,  # 1024 are allowed; one lost socket shall not take everything with it
    messages_per_s=8.0,  # the venue disconnects above 10
    streams_per_request=100,
    connection_attempts_per_5_min=300,  # of spot: no number is published for these
    connection_max_age_s=24 * 3600,
    rotate_after_s=23 * 3600,
    server_ping_interval_s=180.0,
    client_ping_interval_s=None,
    rest_pools={"": RestPool(2400, 60.0), FUTURES_DATA: RestPool(1000, 300.0)},
    rest_used_weight_header="X-MBX-USED-WEIGHT-1M",
    first_data_timeout_s=30.0,
    rest_account="futures",
    silence_timeout_s={
        "mark_price": 30.0,
        "book": 120.0,
        "ticker": 120.0,
        "bbo": 300.0,
        "kline": 600.0,
        "trade": 900.0,
        "agg_trade": 900.0,
    },
    quiet_channels=frozenset(("trade", "agg_trade", "bbo", "kline", "liquidation", "instrument")),
)

OPEN_INTEREST_INTERVAL_S = 60.0
RATIO_INTERVAL_S = 300.0
RATIO_PERIOD = "5m"
RATIO_PERIODS = 30
"""Periods asked for at once; up to 500 cost the same. Of the pool's 1,000 requests in 5 minutes ingest takes 85 %
(`ingest.rest_budget_share`) and lets polls fill half of that: 425, the four ratios of 106 symbols. Thirty periods leave
none out as long as everybody's turn comes once in two and a half hours, that is for about 3,100 symbols."""

_DATE_DIGITS = 6


def is_coin_margined(symbol: str) -> bool:
    """`BTCUSD_PERP`, `BTCUSD_261225`. A USD-M symbol has no tail, or its quote before it: `BTCUSDT_261225`."""
    pair, bar, tail = symbol.rpartition("_")
    return bool(bar) and pair.endswith("USD") and (tail == "PERP" or (tail.isdigit() and len(tail) == _DATE_DIGITS))


class FuturesProtocol(CombinedProtocol, ABC):
    """What both segments share; see `venues.contract.VenueProtocol`."""

    limits = LIMITS
    channels = CHANNEL_STREAMS
    aliases = MappingProxyType({"funding": "mark_price"})
    polled = frozenset(("open_interest", "long_short"))
    kinds = KINDS
    bare_suffixes = BARE_SUFFIXES
    api: str
    """First part of the REST path."""
    segment: int
    """The venue's number for it (`st`) on streams that carry both."""

    def market_streams(self) -> list[Stream]:
        return [Stream("!contractInfo", "instrument", EVERY_SYMBOL)]

    def notice(self, payload: m.Payload) -> Notice | None:
        """`!contractInfo` carries the contracts of both segments since 2026-06-30, told apart by `st`."""
        if payload.e != "contractInfo":
            return None
        ours = self.owns(payload.s) if payload.st is None else payload.st == self.segment
        return Notice("instruments" if ours else "instruments_elsewhere", f"{payload.s} {payload.cs}")

    def snapshot_request(self, symbol: str, levels: int) -> Request:
        limit, weight = weight_of(levels, SNAPSHOT_WEIGHTS)
        return Request(f"/{self.api}/v1/depth", {"symbol": symbol, "limit": str(limit)}, weight, limit)

    def instruments_request(self) -> Request:
        return Request(f"/{self.api}/v1/exchangeInfo", {}, 1)

    def volume_request(self) -> Request:
        return Request(f"/{self.api}/v1/ticker/24hr", {}, 40)

    def polls(self, symbols: Sequence[str], channels: Sequence[str]) -> list[Poll]:
        polls: list[Poll] = []
        for symbol in symbols:
            if "open_interest" in channels:
                polls += self.open_interest_polls(symbol)
            if "long_short" in channels:
                polls += (
                    Poll("long_short", symbol, _data_request(path, query), RATIO_INTERVAL_S)
                    for path, query in self.ratio_queries(symbol)
                )
        return polls

    @abstractmethod
    def open_interest_polls(self, symbol: str) -> list[Poll]: ...

    @abstractmethod
    def ratio_queries(self, symbol: str) -> Sequence[tuple[str, Mapping[str, str]]]:
        """Name and query, without the period, of each kind of ratio that is told of the symbol."""


class UsdMarginedProtocol(FuturesProtocol):
    title = "Binance USD-M"
    api = "fapi"
    segment = 1

    def owns(self, symbol: str) -> bool:
        return bool(symbol) and not is_coin_margined(symbol)

    def route(self, stream: Stream) -> str:
        """The path that delivers it. Raises ConfigError where the table above does not know it."""
        found = self.parse_stream(stream.name)
        if found is None or not found[1].route:
            raise ConfigError(f"no path of {self.title} is known to deliver the stream {stream.name!r}")
        return found[1].route

    def connection_url(self, ws_url: str, streams: Sequence[Stream]) -> str:
        routes = {self.route(stream) for stream in streams}
        if len(routes) != 1:
            raise InvariantError(f"one connection of {self.title} for {sorted(routes) or 'no'} paths")
        return f"{ws_url.rstrip('/')}/{routes.pop()}/stream"

    def open_interest_polls(self, symbol: str) -> list[Poll]:
        request = Request("/fapi/v1/openInterest", {"symbol": symbol}, 1)
        return [Poll("open_interest", symbol, request, OPEN_INTEREST_INTERVAL_S)]

    def ratio_queries(self, symbol: str) -> Sequence[tuple[str, Mapping[str, str]]]:
        names = (
            "topLongShortPositionRatio", "topLongShortAccountRatio", "globalLongShortAccountRatio",
            "takerlongshortRatio",
        )  # fmt: skip
        return [(name, {"symbol": symbol}) for name in names]


class CoinMarginedProtocol(FuturesProtocol):
    """Ratios are told of a pair (all its contracts together), and base-coin open interest of a pair's contract type:
    both are polled for the perpetual alone, as whose they are recorded."""

    title = "Binance COIN-M"
    api = "dapi"
    segment = 2

    def owns(self, symbol: str) -> bool:
        return is_coin_margined(symbol)

    def route(self, stream: Stream) -> str:
        if self.parse_stream(stream.name) is None:
            raise ConfigError(f"{self.title} has no stream {stream.name!r}")
        return ""

    def open_interest_polls(self, symbol: str) -> list[Poll]:
        """The history's newest periods: `/dapi/v1/openInterest` counts contracts, which are worth nothing known in
        base coin without a price of the same moment."""
        pair, _, tail = symbol.rpartition("_")
        if tail != "PERP":
            return []
        request = _data_request("openInterestHist", {"pair": pair, "contractType": "PERPETUAL"})
        return [Poll("open_interest", symbol, request, RATIO_INTERVAL_S)]

    def ratio_queries(self, symbol: str) -> Sequence[tuple[str, Mapping[str, str]]]:
        pair, _, tail = symbol.rpartition("_")
        if tail != "PERP":
            return []
        names = ("topLongShortPositionRatio", "topLongShortAccountRatio", "globalLongShortAccountRatio")
        return [(name, {"pair": pair}) for name in names] + [
            ("takerBuySellVol", {"pair": pair, "contractType": "ALL"}),
        ]

    def symbol_of(self, query: Mapping[str, str]) -> str:
        return symbol_or_perpetual(query)


def perpetual_of(pair: str) -> str:
    return f"{pair}_PERP"


def symbol_or_perpetual(query: Mapping[str, str]) -> str:
    """The symbol a COIN-M request is about: what is told of a pair is recorded as its perpetual's."""
    return perpetual_of(query["pair"]) if "pair" in query else query.get("symbol", "")


def _data_request(name: str, query: Mapping[str, str]) -> Request:
    wanted = {**query, "period": RATIO_PERIOD, "limit": str(RATIO_PERIODS)}
    return Request(f"/futures/data/{name}", wanted, 1, pool=FUTURES_DATA)
