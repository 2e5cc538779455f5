"""Tables of the market itself: trades, books, quotes, 24 hour statistics, what each symbol is; and arbitrage."""

from __future__ import annotations

from marketdata import topics, types
from sinks.clickhouse import kinds as k
from sinks.clickhouse.table import EVENT_TIME, Column, Table, id_columns
from sinks.clickhouse.versions import received_ns

_BOOK_SIDES = (
    Column("bid_prices", k.LEVEL_PRICES, "Bid prices, best first in snapshots, in quote currency", "bids"),
    Column("bid_quantities", k.LEVEL_QUANTITIES, "Bid quantities in base coin, same order as bid_prices", "bids"),
    Column("ask_prices", k.LEVEL_PRICES, "Ask prices, best first in snapshots, in quote currency", "asks"),
    Column("ask_quantities", k.LEVEL_QUANTITIES, "Ask quantities in base coin, same order as ask_prices", "asks"),
)

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
    received_ns,
)  # fmt: skip

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
