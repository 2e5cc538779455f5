"""Every table of the database: which record fills it, its columns and their meaning. The one place to add a table.

A record type is one row here plus one migration (`python -m sinks.clickhouse.ddl NAME` prints its statements). Each
table `X_log` holds whole rows, repeats and superseded versions included; the view `X` over it is what people read: it
has FINAL applied, so that each natural key appears once, in its newest version.

The sort key is the record's natural identity: what an exchange or a deterministic processor gives again when the log is
replayed. Never a receive time of market data (two collectors differ in it), never a Kafka offset. Where a record comes
in versions, the version is made of its content.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from marketdata import topics, types
from marketdata.topics import Topic
from sinks.clickhouse import kinds as k
from sinks.clickhouse.kinds import Kind

Source = str | Callable[[Any], Any]
"""An attribute of the record, or a function of it."""


@dataclass(frozen=True)
class Column:
    name: str
    kind: Kind
    comment: str
    source: Source = ""
    """Default: the attribute called as the column."""
    default: str = ""
    """SQL of what rows have that are older than the column; "": the type's own default."""


WHOSE = (
    Column("exchange", k.NAME, "Exchange, lower case (binance)"),
    Column("market", k.NAME, "Market segment: spot, perp, future, option, inverse (coin-margined, an API of its own)"),
    Column("symbol", k.NAME, "The symbol in the exchange's own spelling, upper case (BTCUSDT)"),
    Column("instrument", k.NAME, "Canonical name (BTC-USDT), empty while the exchange metadata were not known"),
)


@dataclass(frozen=True)
class Table:
    name: str
    """Of the view; the table under it is called `{name}_log`."""
    record: type
    topic: Topic
    comment: str
    own: tuple[Column, ...]
    """Its columns without those every table has; see `columns`."""
    key: tuple[str, ...]
    """Natural key after `whose_key`."""
    partition: str
    """`toYYYYMM(column)` or `toYYYYMMDD(column)`; "" for a small table that is kept whole."""
    ttl_days: int
    """How long rows are kept where the configuration asks for it (`clickhouse.ttl`), by the partition's column."""
    version: Source | None = None
    """Highest wins among rows of one key; None: rows of one key are equal."""
    whose: tuple[Column, ...] = WHOSE
    whose_key: tuple[str, ...] = ("exchange", "market", "symbol")

    @property
    def log(self) -> str:
        return f"{self.name}_log"

    @property
    def ttl_column(self) -> str:
        return self.partition.partition("(")[2].rstrip(")")

    @property
    def sort_key(self) -> tuple[str, ...]:
        return (*self.whose_key, *self.key)

    @property
    def columns(self) -> tuple[Column, ...]:
        """All columns of the record, in order; `coordinates` follow them."""
        version = (Column("_version", k.VERSION, VERSION_COMMENT, self.version),) if self.version else ()
        return (*self.whose, *self.own, RECEIVED, *version)


RECEIVED = Column(
    "recv_time", k.TIME_NS, "Our clock when the frame arrived, before parsing. UTC, nanoseconds", "recv_time_ns"
)
VERSION_COMMENT = "Made of the content. The highest among rows of one key is the valid one"
COORDINATES = (
    Column("_topic", k.NAME, "Kafka topic the row was read from"),
    Column("_partition", k.PARTITION, "Kafka partition the row was read from"),
    Column("_offset", k.OFFSET, "Kafka offset the row was read from"),
)

EVENT_TIME = Column(
    "event_time", k.TIME_US, "Exchange clock. UTC, microseconds. 1970 where it gave none", "event_time_us"
)


def id_columns(name: str, comment: str) -> tuple[Column, Column]:
    """The two columns of an id: number for order and compression, text for what is no plain number."""
    return (
        Column(name, k.ID, f"{comment}. 0 where it is no plain number, see {name}_text"),
        Column(f"{name}_text", k.ID_TEXT, f"{comment}, only where it is no plain number below 10^19. Else empty", name),
    )


ID_DIGITS_MAX = 40
"""2**128 has 39."""


def _bits(value: int, width: int) -> int:
    return min(max(value, 0), (1 << width) - 1)


def _number(text: str) -> int:
    """0 for what is no number. One too long for any column is the highest there is: Python reads but 4300 digits."""
    if not (text.isascii() and text.isdigit()):
        return 0
    return int(text) if len(text) <= ID_DIGITS_MAX else 10**ID_DIGITS_MAX


def candle_version(candle: types.Kline | types.VenueKline) -> int:
    """(is_closed, revision, last_trade_id, trade_count, event_time_us) as one number that orders alike.

    The count comes after the id because a back-filled trade raises it while the last id stays. A candle of an exchange
    that gives no time has our receive time instead.
    """
    last = _number(candle.last_trade_id)
    revision = candle.revision if isinstance(candle, types.Kline) else 0
    time_us = candle.event_time_us
    if not time_us and isinstance(candle, types.VenueKline):
        time_us = _received(candle) // 1000
    version = int(candle.is_closed)
    for value, width in ((revision, 31), (last, 128), (candle.trade_count, 32), (time_us, 63)):
        version = version << width | _bits(value, width)
    return version


def _received(record: types.Record) -> int:
    """Raises BadData, as the column of that time does."""
    (received_ns,) = k.TIME_NS.prepare([record.recv_time_ns])
    return int(received_ns)


_BOOK_SIDES = (
    Column("bid_prices", k.LEVEL_PRICES, "Bid prices, best first in snapshots, in quote currency", "bids"),
    Column("bid_quantities", k.LEVEL_QUANTITIES, "Bid quantities in base coin, same order as bid_prices", "bids"),
    Column("ask_prices", k.LEVEL_PRICES, "Ask prices, best first in snapshots, in quote currency", "asks"),
    Column("ask_quantities", k.LEVEL_QUANTITIES, "Ask quantities in base coin, same order as ask_prices", "asks"),
)

_CANDLE_HEAD = (
    Column("interval", k.NAME, "1m 5m 15m 1h 4h 1d, aligned to UTC"),
    Column("open_time", k.TIME_MS, "Start of the candle. UTC, milliseconds"),
    Column("close_time", k.TIME_MS, "Last millisecond of the candle, inclusive. UTC"),
)

_PRICES = (
    Column("open", k.OPTIONAL, "First price. NULL without a trade and without a known previous close"),
    Column("high", k.OPTIONAL, "Highest price"),
    Column("low", k.OPTIONAL, "Lowest price"),
    Column("close", k.OPTIONAL, "Last price"),
)
_CANDLE_TAIL = (
    Column("first_trade_id", k.TEXT, "Id of the first trade in it, empty without one"),
    Column("last_trade_id", k.TEXT, "Id of the last trade in it, empty without one"),
    Column("is_closed", k.FLAG, "False while the candle is still open"),
)


def _amounts(amount: Kind, count: Kind, note: str = "") -> tuple[Column, ...]:
    return (
        Column("volume", amount, f"Traded quantity in base coin{note}"),
        Column("quote_volume", amount, f"Traded value in quote currency{note}"),
        Column("trade_count", count, f"Number of trades{note}"),
        Column("taker_buy_volume", amount, f"Part of volume in which the taker bought, base coin{note}"),
        Column(
            "taker_buy_quote_volume", amount, f"Part of quote_volume in which the taker bought, quote currency{note}"
        ),
    )


_CANDLE = (*_CANDLE_HEAD, *_PRICES, *_amounts(k.PRICE, k.COUNT), *_CANDLE_TAIL)
_VENUE_CANDLE = (
    *_CANDLE_HEAD, *_PRICES, *_amounts(k.OPTIONAL, k.OPTIONAL_COUNT, ". NULL where not given"), *_CANDLE_TAIL
)  # fmt: skip

_CONTRACTS = (
    Column("multiplier", k.OPTIONAL, "Where the exchange counts contracts: what one is worth in base coin (inverse: in "
           "quote currency). NULL where it counts base coin. The quantities here are in base coin in any case"),
    Column("inverse", k.FLAG, "True where a contract is worth a fixed sum of quote currency"),
)  # fmt: skip

TRADES = Table(
    "trades",
    types.Trade,
    topics.MD_TRADE,
    "Executions, one row per trade id",
    (
        Column("trade_time", k.TIME_US, "When the matching engine traded. UTC, microseconds", "trade_time_us"),
        *id_columns("trade_id", "The exchange's id of the trade"),
        Column("aggregated", k.FLAG, "True: fills of one taker order at one price merged, an id space of its own"),
        Column("price", k.PRICE, "Price in quote currency"),
        Column("quantity", k.PRICE, "Quantity in base coin"),
        Column("side", k.SIDE, "Side of the taker"),
        *id_columns("first_trade_id", "Aggregated only: first id merged"),
        *id_columns("last_trade_id", "Aggregated only: last id merged"),
        Column("raw_quantity", k.OPTIONAL, "Quantity as the exchange counts it (contracts), where that differs"),
        Column("liquidation", k.FLAG, "True where the exchange says the trade was a liquidation"),
        Column("venue_trade_id", k.TEXT, "The exchange's own id where trade_id is its number within the symbol"),
        Column("off_book", k.FLAG, "True: not matched in the symbol's own book (block trade, leg of a combination)"),
        EVENT_TIME,
    ),
    ("trade_time", "aggregated", "trade_id", "trade_id_text"),
    "toYYYYMM(trade_time)",
    730,
)
BOOK_DELTAS = Table(
    "book_deltas",
    types.BookDelta,
    topics.MD_BOOK_DELTA,
    "Updates of order books as the exchange sent them. Quantities are absolute, zero removes the level",
    (
        Column("epoch", k.COUNT, "Counts sequence resets of the exchange. (epoch, last_update_id) only grows"),
        *id_columns("first_update_id", "First update id contained"),
        *id_columns("last_update_id", "Last update id contained"),
        *_BOOK_SIDES,
        Column("flags", k.NAMES, "unsynced: no verified book was held. gap_before: ids are missing just before. "
               "bridged: first one applied to an anchor. buffered: held until its anchor arrived. "
               "late: fills part of a gap, too late for the book"),
        *_CONTRACTS,
        EVENT_TIME,
    ),
    ("epoch", "last_update_id", "last_update_id_text", "first_update_id", "first_update_id_text"),
    "toYYYYMMDD(recv_time)",
    30,
)  # fmt: skip
BOOK_SNAPSHOTS = Table(
    "book_snapshots",
    types.BookSnapshot,
    topics.MD_BOOK_SNAPSHOT,
    "Deep views of verified order books at a slow pace, and one row with empty sides when a book stops being ok",
    (
        Column("epoch", k.COUNT, "Counts sequence resets of the exchange. (epoch, update_id) only grows"),
        *id_columns("update_id", "Last update applied"),
        Column("state", k.NAME, "ok, resyncing, stale or crossed. Only ok books are verified"),
        Column("reason", k.NAME, "Why it is not ok"),
        *_BOOK_SIDES,
        Column("bid_known_to", k.TEXT, "Lowest bid price down to which the book is complete. Empty: unknown, 0: all"),
        Column("ask_known_to", k.TEXT, "Highest ask price up to which the book is complete. Empty: unknown, inf: all"),
        Column("verified_time", k.TIME_NS, "Receive time of the record that proved the book right. UTC, nanoseconds",
               "verified_time_ns"),
        *_CONTRACTS,
        EVENT_TIME,
    ),
    ("epoch", "update_id", "update_id_text", "state", "reason"),
    "toYYYYMMDD(recv_time)",
    90,
)  # fmt: skip
QUOTES = Table(
    "quotes",
    types.Bbo,
    topics.MD_BBO,
    "Best bid and offer, one row per change. The whole quote is the key, because some exchanges give no time",
    (
        *id_columns("update_id", "Update id of the book it belongs to"),
        Column("bid_price", k.OPTIONAL, "Best bid in quote currency, NULL without bids"),
        Column("bid_quantity", k.OPTIONAL, "Quantity at the best bid in base coin"),
        Column("ask_price", k.OPTIONAL, "Best ask in quote currency, NULL without asks"),
        Column("ask_quantity", k.OPTIONAL, "Quantity at the best ask in base coin"),
        Column("raw_bid_quantity", k.OPTIONAL, "The same as the exchange counts it (contracts), where that differs"),
        Column("raw_ask_quantity", k.OPTIONAL, "The same as the exchange counts it (contracts), where that differs"),
        EVENT_TIME,
    ),
    ("update_id", "update_id_text", "event_time", "bid_price", "bid_quantity", "ask_price", "ask_quantity"),
    "toYYYYMMDD(recv_time)",
    90,
)
KLINES = Table(
    "klines",
    types.Kline,
    topics.MD_KLINE,
    "Our candles, made of trades by trade time, in their newest version. Open candles are in it: filter is_closed",
    (
        *_CANDLE,
        Column("status", k.NAME, "provisional: still open. final. revised: changed by a later trade"),
        Column("complete", k.FLAG, "True when every trade of the interval is known to be in it, as far as proof tells"),
        Column("reasons", k.NAMES, "Why it is not complete: begun_before_capture, gap, late_dropped, disconnected"),
        Column("gaps", k.TEXTS, "gap_id of the gaps that touch it"),
        Column("revision", k.COUNT, "Grows by one with each change after it was final"),
        Column("source", k.NAME, "Trades it is made of: trade or agg_trade"),
        Column("proof", k.NAME, "What complete rests on. ids: trade ids count, none is missing. connection: ids prove "
               "nothing, but no connection was lost", default="'ids'"),
        EVENT_TIME,
    ),
    ("interval", "open_time"),
    "toYYYYMM(open_time)",
    3650,
    candle_version,
)  # fmt: skip
VENUE_KLINES = Table(
    "venue_klines",
    types.VenueKline,
    topics.MD_VENUE_KLINE,
    "The exchange's own candles in their newest version",
    (
        *_VENUE_CANDLE,
        Column("raw_volume", k.OPTIONAL, "Volume as the exchange counts it (contracts), where that differs"),
        EVENT_TIME,
    ),
    ("interval", "open_time"),
    "toYYYYMM(open_time)",
    3650,
    candle_version,
)
KLINE_RESIDUALS = Table(
    "kline_residuals",
    types.KlineResidual,
    topics.MD_KLINE_RESIDUAL,
    "Our final candles compared with the exchange's closed ones. Differences are ours minus theirs",
    (
        *_CANDLE_HEAD,
        Column("revision", k.COUNT, "Revision of our candle that was compared"),
        Column("matched", k.FLAG, "True when every field is equal"),
        Column("ours_complete", k.FLAG, "Whether our candle claimed to be complete"),
        Column("fields", k.NAMES, "Names of the fields that differ"),
        Column("volume_diff", k.PRICE, "Difference of volume, base coin"),
        Column("quote_volume_diff", k.PRICE, "Difference of quote_volume, quote currency"),
        Column("trade_count_diff", k.DIFFERENCE, "Difference of trade_count"),
        Column("open_diff", k.PRICE, "Difference of open"),
        Column("high_diff", k.PRICE, "Difference of high"),
        Column("low_diff", k.PRICE, "Difference of low"),
        Column("close_diff", k.PRICE, "Difference of close"),
        Column("source", k.NAME, "Trades ours is made of: trade or agg_trade"),
        EVENT_TIME,
    ),
    ("interval", "open_time"),
    "toYYYYMM(open_time)",
    3650,
    lambda r: _bits(r.revision, 64) << 64 | _bits(r.event_time_us, 64),
)
TICKERS = Table(
    "tickers",
    types.Ticker,
    topics.MD_TICKER,
    "Rolling 24 hour statistics as the exchange computes them",
    (
        EVENT_TIME,
        Column("last_price", k.OPTIONAL, "Price of the last trade, NULL where nothing was traded yet"),
        Column("last_quantity", k.OPTIONAL, "Quantity of the last trade, base coin"),
        Column("open", k.OPTIONAL, "First price of the window"),
        Column("high", k.OPTIONAL, "Highest price of the window"),
        Column("low", k.OPTIONAL, "Lowest price of the window"),
        Column("volume", k.OPTIONAL, "Quantity traded in the window, base coin"),
        Column("quote_volume", k.OPTIONAL, "Value traded in the window, quote currency"),
        Column("price_change", k.OPTIONAL, "Last price minus first price"),
        Column("price_change_percent", k.OPTIONAL, "The same in percent of the first price"),
        Column("weighted_average_price", k.OPTIONAL, "quote_volume / volume as the exchange rounds it"),
        Column("bid_price", k.OPTIONAL, "Best bid"),
        Column("bid_quantity", k.OPTIONAL, "Quantity at the best bid, base coin"),
        Column("ask_price", k.OPTIONAL, "Best ask"),
        Column("ask_quantity", k.OPTIONAL, "Quantity at the best ask, base coin"),
        Column("trade_count", k.COUNT, "Trades in the window, 0 where not given"),
        *id_columns("first_trade_id", "First trade of the window"),
        *id_columns("last_trade_id", "Last trade of the window"),
        Column("window_open", k.TIME_MS, "Start of the window. UTC, milliseconds. 1970: not given", "window_open_ms"),
        Column("window_close", k.TIME_MS, "End of the window. UTC, milliseconds. 1970: not given", "window_close_ms"),
        Column("raw_volume", k.OPTIONAL, "Volume as the exchange counts it (contracts), where that differs"),
    ),
    ("event_time", "window_close", "last_trade_id", "last_trade_id_text"),
    "toYYYYMM(event_time)",
    365,
)
GAPS = Table(
    "gaps",
    types.Gap,
    topics.MD_GAP,
    "What we know we do not have. A gap whose filled_count reached missing_count was filled later",
    (
        Column("channel", k.NAME, "Stream it is in: trade, agg_trade, book, bbo, kline, ticker, mark_price ..."),
        Column("gap_id", k.TEXT, "{channel}:{first_missing_id}-{last_missing_id} or {channel}:{from_time_us}"),
        Column("epoch", k.COUNT, "Counts sequence resets of the exchange"),
        *id_columns("first_missing_id", "First id missing"),
        *id_columns("last_missing_id", "Last id missing"),
        Column("missing_count", k.COUNT, "How many ids are missing. 0: unknown, the stream has no consecutive ids"),
        Column("filled_count", k.COUNT, "How many of them came after all"),
        Column("from_time", k.TIME_US, "Time of the last record before the gap. UTC, microseconds", "from_time_us"),
        Column("to_time", k.TIME_US, "Time of the first record after the gap. UTC, microseconds", "to_time_us"),
        Column("reason", k.NAME, "id_skip, disconnected, capture_restarted, buffer_full, sequence_reset"),
    ),
    ("channel", "gap_id", "epoch"),
    "toYYYYMM(from_time)",
    3650,
    "filled_count",
)
FEED_STATUS = Table(
    "feed_status",
    types.FeedStatus,
    topics.MD_FEED_STATUS,
    "Connections of streams that came up or went down. Our own events, so the receive time is part of the key",
    (
        Column("channel", k.NAME, "Stream: trade, agg_trade, book, bbo, kline, ticker, mark_price ..."),
        Column("state", k.NAME, "connected or disconnected"),
        Column("reason", k.NAME, "Why"),
        Column("connection", k.TEXT, "Identity of the connection"),
        EVENT_TIME,
    ),
    ("channel", "recv_time", "connection", "state"),
    "toYYYYMM(recv_time)",
    3650,
)
DEAD_LETTERS = Table(
    "dead_letters",
    types.DeadLetter,
    topics.MD_DEAD_LETTER,
    "What could not be accepted, with the reason and the coordinates of the raw record",
    (
        Column("reason", k.NAME, "Stable code of why it was refused"),
        Column("detail", k.TEXT, "The same in words"),
        Column("channel", k.NAME, "Stream it came on"),
        Column("raw_topic", k.NAME, "Kafka topic of the record that was refused"),
        Column("raw_partition", k.PARTITION, "Kafka partition of the record that was refused"),
        Column("raw_offset", k.OFFSET_TEXT, "Kafka offset of the record that was refused"),
        Column("record_id", k.TEXT, "Id of the refused item within the record (a trade id), where there is one"),
        Column("payload", k.TEXT, "The bytes: text where they are UTF-8, else base64 with the prefix base64:"),
    ),
    ("raw_topic", "raw_partition", "raw_offset", "record_id", "reason"),
    "toYYYYMM(recv_time)",
    365,
)
INSTRUMENTS = Table(
    "instruments",
    types.Instrument,
    topics.MD_INSTRUMENT,
    "What each symbol is, as the exchange last described it",
    (
        Column("base", k.NAME, "Base currency"),
        Column("quote", k.NAME, "Quote currency"),
        Column("settle", k.NAME, "Currency a contract settles in"),
        Column("status", k.NAME, "As the exchange names it"),
        Column("tick_size", k.OPTIONAL, "Smallest price step, of the lowest prices where it depends on the price"),
        Column("tick_step_prices", k.LEVEL_PRICES, "Prices above which the tick size changes, ascending", "tick_steps"),
        Column("tick_step_sizes", k.LEVEL_QUANTITIES, "Tick size above each of tick_step_prices", "tick_steps"),
        Column("lot_size", k.OPTIONAL, "Smallest quantity step, in what the exchange counts in"),
        Column("min_quantity", k.OPTIONAL, "Smallest order, in what the exchange counts in"),
        Column("min_notional", k.OPTIONAL, "Smallest order in quote currency"),
        Column("contract_multiplier", k.PRICE, "Base coin (inverse: quote currency) per one of what the exchange's "
               "streams count in"),
        Column("contract_size", k.TEXT, "The exchange's own field of that meaning"),
        Column("inverse", k.FLAG, "True for contracts counted in quote currency and settled in base coin"),
        Column("expiry", k.TIME_US, "Expiry. UTC, microseconds. 1970: none", "expiry_us"),
        Column("strike", k.OPTIONAL, "Strike price of an option"),
        Column("option_kind", k.NAME, "call or put, empty for others"),
        EVENT_TIME,
    ),
    (),
    "",
    0,
    _received,
)  # fmt: skip
MARK_PRICES = Table(
    "mark_prices",
    types.MarkPrice,
    topics.MD_MARK_PRICE,
    "Mark and index prices of derivatives",
    (
        EVENT_TIME,
        Column("mark_price", k.PRICE, "Mark price in quote currency"),
        Column("index_price", k.OPTIONAL, "Index price in quote currency"),
        Column("settle_price", k.OPTIONAL, "Estimated settlement price in quote currency"),
    ),
    ("event_time",),
    "toYYYYMM(event_time)",
    365,
    _received,
)
FUNDING = Table(
    "funding",
    types.Funding,
    topics.MD_FUNDING,
    "Funding rates of perpetuals",
    (
        Column("funding_time", k.TIME_US, "When the rate is or was exchanged. UTC, microseconds", "funding_time_us"),
        Column("settled", k.FLAG, "True when it was exchanged, false for an estimate"),
        EVENT_TIME,
        Column("rate", k.PRICE, "Fraction per period, 0.0001 is one basis point"),
        Column("next_rate", k.OPTIONAL, "Estimate for the period after"),
        Column("interval_ms", k.COUNT, "Length of the period in milliseconds, 0 where not given"),
    ),
    ("funding_time", "settled", "event_time"),
    "toYYYYMM(funding_time)",
    3650,
    _received,
)
OPEN_INTEREST = Table(
    "open_interest",
    types.OpenInterest,
    topics.MD_OPEN_INTEREST,
    "Open interest of derivatives",
    (
        EVENT_TIME,
        Column("open_interest", k.PRICE, "In base coin"),
        Column("raw_open_interest", k.OPTIONAL, "As the exchange counts it (contracts)"),
        Column("value", k.OPTIONAL, "In quote currency, where the exchange gives it"),
    ),
    ("event_time",),
    "toYYYYMM(event_time)",
    3650,
    _received,
)
LIQUIDATIONS = Table(
    "liquidations",
    types.Liquidation,
    topics.MD_LIQUIDATION,
    "Liquidation orders. Where sampled is true the exchange publishes only some, so that sums undercount",
    (
        EVENT_TIME,
        Column("liquidation_id", k.TEXT, "Id, empty where the exchange gives none"),
        Column("side", k.SIDE, "Side of the liquidation order"),
        Column("price", k.PRICE, "Price of the order or of bankruptcy, as the exchange gives it, in quote currency"),
        Column("quantity", k.PRICE, "Quantity in base coin"),
        Column("average_price", k.OPTIONAL, "Average fill price"),
        Column("raw_quantity", k.OPTIONAL, "Quantity as the exchange counts it (contracts)"),
        Column("sampled", k.FLAG, "True where the exchange publishes only some of them"),
    ),
    ("event_time", "liquidation_id", "side", "price", "quantity"),
    "toYYYYMM(event_time)",
    3650,
)
LONG_SHORT = Table(
    "long_short",
    types.LongShort,
    topics.MD_LONG_SHORT,
    "Long/short ratios as exchanges publish them",
    (
        Column("ratio_kind", k.NAME, "global_account, top_account, top_position or taker_volume"),
        Column("period", k.NAME, "Length of the period it covers (5m, 1h)"),
        EVENT_TIME,
        Column("ratio", k.PRICE, "Long divided by short"),
        Column("long", k.OPTIONAL, "Long share as a fraction, of taker_volume the quantity bought in base coin"),
        Column("short", k.OPTIONAL, "Short share as a fraction, of taker_volume the quantity sold in base coin"),
    ),
    ("ratio_kind", "period", "event_time"),
    "toYYYYMM(event_time)",
    3650,
    _received,
)
VOLATILITY = Table(
    "volatility",
    types.Volatility,
    topics.MD_VOLATILITY,
    "Volatility indices",
    (
        Column("index_name", k.NAME, "Name of the index", "index"),
        EVENT_TIME,
        Column("value", k.PRICE, "Annualised volatility in percent"),
    ),
    ("index_name", "event_time"),
    "toYYYYMM(event_time)",
    3650,
    _received,
)

ARBITRAGE = Table(
    "arbitrage",
    types.Arbitrage,
    topics.MD_ARBITRAGE,
    "Episodes in which an instrument could be bought on one market and sold higher on another, net of fees",
    (
        Column("opened_time", k.TIME_US, "Our clock when the quote came that opened the episode. UTC, microseconds",
               "opened_time_us"),
        Column("episode_id", k.TEXT, "Names the episode"),
        Column("sequence", k.COUNT, "Of the row within its episode, from 0"),
        Column("action", k.NAME, "open, update or close"),
        Column("reason", k.NAME, "Why it ended: gone (the prices met), stale or disconnected. Empty before"),
        Column("buy_exchange", k.NAME, "Exchange to buy on"),
        Column("buy_market", k.NAME, "Market segment to buy on"),
        Column("buy_symbol", k.NAME, "Symbol to buy"),
        Column("buy_price", k.PRICE, "Best ask there, quote currency"),
        Column("sell_exchange", k.NAME, "Exchange to sell on"),
        Column("sell_market", k.NAME, "Market segment to sell on"),
        Column("sell_symbol", k.NAME, "Symbol to sell"),
        Column("sell_price", k.PRICE, "Best bid there, quote currency"),
        Column("quantity", k.PRICE, "What both quotes have, base coin"),
        Column("net_profit", k.PRICE, "For the whole quantity, after the fees of both sides, quote currency"),
        Column("net_profit_bps", k.PRICE, "The same in basis points of what the purchase costs with its fee"),
        EVENT_TIME,
    ),
    ("opened_time", "episode_id", "sequence", "action"),
    "toYYYYMM(opened_time)",
    3650,
    whose=(Column("instrument", k.NAME, "Canonical name of what is bought and sold (BTC-USDT)"),),
    whose_key=("instrument",),
)  # fmt: skip

TABLES: tuple[Table, ...] = (
    TRADES, BOOK_DELTAS, BOOK_SNAPSHOTS, QUOTES, KLINES, VENUE_KLINES, KLINE_RESIDUALS, TICKERS, GAPS, FEED_STATUS,
    DEAD_LETTERS, INSTRUMENTS, MARK_PRICES, FUNDING, OPEN_INTEREST, LIQUIDATIONS, LONG_SHORT, VOLATILITY,
    ARBITRAGE,
)  # fmt: skip

TABLE_OF: dict[tuple[str, type], Table] = {(table.topic.name, table.record): table for table in TABLES}
"""(topic without prefix, record type) -> table. What is not here produces no row."""

PRODUCES_NO_ROW: dict[tuple[str, str], str] = {
    ("md.trade", "heartbeat"): "time as data, for watermarks; carries no market data",
    ("md.trade", "feed_status"): "a copy under the trades' key for the candles; md.feed_status is stored",
    ("md.trade", "gap"): "a copy under the trades' key for the candles; md.gap is stored",
    ("md.book", "book"): "fast view of the best levels for live use; deltas and snapshots hold the same and more",
    ("md.book_reply", "book_snapshot"): "answer to one consumer's question, outside the replay promise",
    ("md.bbo_merged", "bbo"): "md.bbo over again by another key; md.bbo is stored",
    ("md.bbo_merged", "heartbeat"): "as in md.bbo",
    ("md.bbo_merged", "feed_status"): "as in md.bbo",
    ("md.bbo", "heartbeat"): "time as data, for the age of quotes; carries no market data",
    ("md.bbo", "feed_status"): "a copy under the quotes' key for the arbitrage processor; md.feed_status is stored",
    ("md.quality", "quality"): "no application publishes it yet",
}
"""(topic, record kind) that is published but stored in no table, and why."""
