"""How to talk to Binance spot: addresses, requests, limits, and what each frame is.

Source: https://github.com/binance/binance-spot-api-docs (web-socket-streams.md, rest-api.md; 2026-07-21).
"""

from __future__ import annotations

from venues.binance.combined import CombinedProtocol, kind, weight_of
from venues.contract import Limits, Request, RestPool

CHANNEL_STREAMS = {
    "trade": "trade",
    "agg_trade": "aggTrade",
    "book": "depth@100ms",
    "bbo": "bookTicker",
    "kline": "kline_1m",
    "ticker": "ticker",
}

SNAPSHOT_WEIGHTS = ((100, 5), (500, 25), (1000, 50), (5000, 250))
"""Weight of `/api/v3/depth` up to each limit, rest-api.md. Asking for the whole step costs nothing more."""

LIMITS = Limits(
    streams_per_connection=1024,
    messages_per_s=4.0,  # the venue disconnects above 5, pongs and network jitter included
    streams_per_request=100,
    connection_attempts_per_5_min=300,
    connection_max_age_s=24 * 3600,
    rotate_after_s=23 * 3600,
    server_ping_interval_s=20.0,
    client_ping_interval_s=None,
    rest_pools={"": RestPool(6000, 60.0)},
    rest_used_weight_header="X-MBX-USED-WEIGHT-1M",
    first_data_timeout_s=30.0,
    # A stream speaks only when something changes: quotes of a thin pair rest for minutes (recorded: RUNEEUR, no quote
    # in 30 s), a candle appears with its first trade.
    silence_timeout_s={
        "book": 120.0,
        "ticker": 120.0,
        "bbo": 300.0,
        "kline": 600.0,
        "trade": 900.0,
        "agg_trade": 900.0,
    },
    quiet_channels=frozenset(("trade", "agg_trade", "bbo", "kline")),
)

KINDS = (
    kind(r"trade", "trade", "trade"),
    kind(r"aggTrade", "agg_trade", "aggTrade"),
    kind(r"depth(@100ms|@1000ms)?", "book", "depthUpdate"),
    kind(r"bookTicker", "bbo"),
    kind(r"kline_\w+(@\+08:00)?", "kline", "kline"),
    kind(r"ticker", "ticker", "24hrTicker"),
    kind(r"ticker_\w+", "window_ticker", timed=True),
    kind(r"miniTicker", "mini_ticker", "24hrMiniTicker"),
    kind(r"avgPrice", "avg_price", "avgPrice"),
    kind(r"blockTrade", "block_trade", "blockTrade"),
    kind(r"referencePrice", "reference_price"),
    kind(r"depth\d+(@100ms|@1000ms)?", "partial_book"),
    kind(r"depthSnapshot", "tardis_snapshot"),  # not the venue's: Tardis' re-wrapped REST replies
)

BARE_SUFFIXES = {
    "trade": "trade",
    "aggTrade": "aggTrade",
    "depthUpdate": "depth",
    "kline": "kline_",
    "24hrTicker": "ticker",
    "24hrMiniTicker": "miniTicker",
    "avgPrice": "avgPrice",
    "blockTrade": "blockTrade",
    "referencePrice": "referencePrice",
}


class BinanceSpotProtocol(CombinedProtocol):
    """See `venues.contract.VenueProtocol`."""

    limits = LIMITS
    title = "Binance spot"
    channels = CHANNEL_STREAMS
    kinds = KINDS
    bare_suffixes = BARE_SUFFIXES

    def snapshot_request(self, symbol: str, levels: int) -> Request:
        limit, weight = weight_of(levels, SNAPSHOT_WEIGHTS)
        return Request("/api/v3/depth", {"symbol": symbol, "limit": str(limit)}, weight, limit)

    def instruments_request(self) -> Request:
        """Without permission sets, which are most of the reply's megabytes and say nothing about the instrument."""
        return Request("/api/v3/exchangeInfo", {"showPermissionSets": "false"}, 20)

    def volume_request(self) -> Request:
        return Request("/api/v3/ticker/24hr", {"type": "MINI"}, 80)
