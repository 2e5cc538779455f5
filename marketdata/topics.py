"""The one table of Kafka topics. Everything that creates, reads, writes or documents a topic starts from here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from marketdata import types as t

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS

SNAPSHOT_MAX_BYTES = 4 * 1024 * 1024
"""The largest raw record: a depth snapshot of 2 x 5,000 levels is about 300 kB, exchangeInfo entries a few kB."""


@dataclass(frozen=True)
class Topic:
    """One topic. `name` is without the environment's prefix; see `topic_name`."""

    name: str
    purpose: str
    records: tuple[type, ...] = ()
    """Record types it carries; empty for raw and control topics."""
    retention_ms: int = 7 * DAY_MS
    cleanup: Literal["delete", "compact"] = "delete"
    scale: Literal["keyed", "single"] = "keyed"
    """keyed: the environment's partition count; single: one partition."""
    max_message_bytes: int = 1024 * 1024
    key: str = "exchange.market.symbol"


RAW_TRADE = Topic("raw.trade", "trade and aggregated-trade frames, verbatim", retention_ms=3 * DAY_MS)
RAW_BOOK = Topic(
    "raw.book",
    "book frames and REST snapshots, verbatim",
    retention_ms=3 * DAY_MS,
    max_message_bytes=SNAPSHOT_MAX_BYTES,
)
RAW_BBO = Topic("raw.bbo", "best-quote frames, verbatim", retention_ms=3 * DAY_MS)
RAW_KLINE = Topic("raw.kline", "the venue's own candles, verbatim", retention_ms=3 * DAY_MS)
RAW_TICKER = Topic("raw.ticker", "24 h statistics frames, verbatim", retention_ms=3 * DAY_MS)
RAW_DERIVATIVE = Topic(
    "raw.derivative",
    "mark price, funding, open interest, liquidation, long/short and volatility frames, verbatim",
    retention_ms=3 * DAY_MS,
)
RAW_CONTROL = Topic(
    "raw.control", "acks, errors and notices of the venues, verbatim", key="connection", retention_ms=3 * DAY_MS
)
RAW_TOPICS = (RAW_TRADE, RAW_BOOK, RAW_BBO, RAW_KLINE, RAW_TICKER, RAW_DERIVATIVE)

MD_TRADE = Topic(
    "md.trade",
    "validated trades; heartbeats, connection marks and gaps of the same key in between",
    (t.Trade, t.Heartbeat, t.FeedStatus, t.Gap),
)
MD_BOOK = Topic("md.book", "best levels of each book, fast", (t.Book,), retention_ms=DAY_MS)
MD_BOOK_SNAPSHOT = Topic("md.book_snapshot", "deep view of each book, slow", (t.BookSnapshot,), retention_ms=DAY_MS)
MD_BOOK_DELTA = Topic("md.book_delta", "the venue's book updates with flags", (t.BookDelta,), retention_ms=3 * DAY_MS)
MD_BOOK_REPLY = Topic(
    "md.book_reply",
    "deep views asked for through control.book_request; outside the replay promise",
    (t.BookSnapshot,),
    retention_ms=HOUR_MS,
)
MD_BBO = Topic(
    "md.bbo",
    "best bid and offer; heartbeats and connection marks of the same key in between",
    (t.Bbo, t.Heartbeat, t.FeedStatus),
    retention_ms=3 * DAY_MS,
)
MD_BBO_MERGED = Topic(
    "md.bbo_merged",
    "md.bbo of all partitions in one, for the arbitrage application",
    (t.Bbo, t.Heartbeat, t.FeedStatus),
    retention_ms=HOUR_MS,
    scale="single",
    key="all.all.all",
)
MD_KLINE = Topic("md.kline", "our candles: provisional, final, revised", (t.Kline,))
MD_VENUE_KLINE = Topic("md.venue_kline", "the venue's own candles", (t.VenueKline,))
MD_KLINE_RESIDUAL = Topic("md.kline_residual", "our candles compared with the venue's", (t.KlineResidual,))
MD_TICKER = Topic("md.ticker", "24 h statistics", (t.Ticker,), retention_ms=3 * DAY_MS)
MD_MARK_PRICE = Topic("md.mark_price", "mark and index prices", (t.MarkPrice,), retention_ms=3 * DAY_MS)
MD_FUNDING = Topic("md.funding", "funding rates", (t.Funding,))
MD_OPEN_INTEREST = Topic("md.open_interest", "open interest", (t.OpenInterest,))
MD_LIQUIDATION = Topic("md.liquidation", "liquidations", (t.Liquidation,))
MD_LONG_SHORT = Topic("md.long_short", "long/short ratios", (t.LongShort,))
MD_VOLATILITY = Topic("md.volatility", "volatility indices", (t.Volatility,))
MD_INSTRUMENT = Topic("md.instrument", "what each symbol is", (t.Instrument,), cleanup="compact")
MD_GAP = Topic("md.gap", "what is missing", (t.Gap,), retention_ms=30 * DAY_MS)
MD_FEED_STATUS = Topic("md.feed_status", "streams that came up or went down", (t.FeedStatus,))
MD_DEAD_LETTER = Topic(
    "md.dead_letter",
    "what could not be accepted, with its reason",
    (t.DeadLetter,),
    retention_ms=30 * DAY_MS,
    max_message_bytes=SNAPSHOT_MAX_BYTES * 2,
)
MD_ARBITRAGE = Topic("md.arbitrage", "cross-exchange opportunities as episodes", (t.Arbitrage,), key="instrument")
MD_QUALITY = Topic("md.quality", "counts per symbol and minute", (t.Quality,))

CONTROL_SUBSCRIPTION = Topic(
    "control.subscription", "desired subscriptions", cleanup="compact", scale="single", key="exchange.market.symbol"
)
CONTROL_SNAPSHOT = Topic(
    "control.snapshot", "processors ask ingest for a snapshot", scale="single", retention_ms=HOUR_MS
)
CONTROL_BOOK_REQUEST = Topic("control.book_request", "consumers ask for a deep view of a book", retention_ms=HOUR_MS)

TOPICS: tuple[Topic, ...] = (
    *RAW_TOPICS, RAW_CONTROL,
    MD_TRADE, MD_BOOK, MD_BOOK_SNAPSHOT, MD_BOOK_DELTA, MD_BOOK_REPLY, MD_BBO, MD_BBO_MERGED, MD_KLINE, MD_VENUE_KLINE,
    MD_KLINE_RESIDUAL, MD_TICKER, MD_MARK_PRICE, MD_FUNDING, MD_OPEN_INTEREST, MD_LIQUIDATION, MD_LONG_SHORT,
    MD_VOLATILITY, MD_INSTRUMENT, MD_GAP, MD_FEED_STATUS, MD_DEAD_LETTER, MD_ARBITRAGE, MD_QUALITY,
    CONTROL_SUBSCRIPTION, CONTROL_SNAPSHOT, CONTROL_BOOK_REQUEST,
)  # fmt: skip


CHANNEL_TOPICS: dict[str, Topic] = {
    "trade": RAW_TRADE,
    "agg_trade": RAW_TRADE,
    "book": RAW_BOOK,
    "bbo": RAW_BBO,
    "kline": RAW_KLINE,
    "ticker": RAW_TICKER,
    "mark_price": RAW_DERIVATIVE,
    "funding": RAW_DERIVATIVE,
    "open_interest": RAW_DERIVATIVE,
    "liquidation": RAW_DERIVATIVE,
    "long_short": RAW_DERIVATIVE,
    "volatility": RAW_DERIVATIVE,
}
"""Which raw topic a channel's frames go to."""


def topic_name(prefix: str, topic: Topic) -> str:
    """The topic's name in an environment; the prefix is "" for live data, else like `sim.`."""
    return prefix + topic.name
