-- Contracts, venues that say less of a candle, and arbitrage.
-- Printed by `python -m sinks.clickhouse.ddl`, once for all tables and columns concerned.

ALTER TABLE trades_log
    ADD COLUMN IF NOT EXISTS venue_trade_id String CODEC(ZSTD(1)) COMMENT 'The exchange\'s own id where trade_id is its number within the symbol' AFTER liquidation,
    COMMENT COLUMN market 'Market segment: spot, perp, future, option, inverse (coin-margined, an API of its own)';

CREATE OR REPLACE VIEW trades
(
    exchange LowCardinality(String) COMMENT 'Exchange, lower case (binance)',
    market LowCardinality(String) COMMENT 'Market segment: spot, perp, future, option, inverse (coin-margined, an API of its own)',
    symbol LowCardinality(String) COMMENT 'The symbol in the exchange\'s own spelling, upper case (BTCUSDT)',
    instrument LowCardinality(String) COMMENT 'Canonical name (BTC-USDT), empty while the exchange metadata were not known',
    trade_time DateTime64(6, 'UTC') COMMENT 'When the matching engine traded. UTC, microseconds',
    trade_id UInt64 COMMENT 'The exchange\'s id of the trade. 0 where it is no plain number, see trade_id_text',
    trade_id_text String COMMENT 'The exchange\'s id of the trade, only where it is no plain number below 10^19. Else empty',
    aggregated Bool COMMENT 'True: fills of one taker order at one price merged, an id space of its own',
    price Decimal(38, 18) COMMENT 'Price in quote currency',
    quantity Decimal(38, 18) COMMENT 'Quantity in base coin',
    side Enum8('unknown' = 0, 'buy' = 1, 'sell' = 2) COMMENT 'Side of the taker',
    first_trade_id UInt64 COMMENT 'Aggregated only: first id merged. 0 where it is no plain number, see first_trade_id_text',
    first_trade_id_text String COMMENT 'Aggregated only: first id merged, only where it is no plain number below 10^19. Else empty',
    last_trade_id UInt64 COMMENT 'Aggregated only: last id merged. 0 where it is no plain number, see last_trade_id_text',
    last_trade_id_text String COMMENT 'Aggregated only: last id merged, only where it is no plain number below 10^19. Else empty',
    raw_quantity Nullable(Decimal(38, 18)) COMMENT 'Quantity as the exchange counts it (contracts), where that differs',
    liquidation Bool COMMENT 'True where the exchange says the trade was a liquidation',
    venue_trade_id String COMMENT 'The exchange\'s own id where trade_id is its number within the symbol',
    event_time DateTime64(6, 'UTC') COMMENT 'Exchange clock. UTC, microseconds. 1970 where it gave none',
    recv_time DateTime64(9, 'UTC') COMMENT 'Our clock when the frame arrived, before parsing. UTC, nanoseconds',
    _topic LowCardinality(String) COMMENT 'Kafka topic the row was read from',
    _partition UInt16 COMMENT 'Kafka partition the row was read from',
    _offset UInt64 COMMENT 'Kafka offset the row was read from',
    simulated Bool COMMENT 'True: the data do not come from the real exchange'
)
AS SELECT exchange, market, symbol, instrument, trade_time, trade_id, trade_id_text, aggregated, price, quantity, side, first_trade_id, first_trade_id_text, last_trade_id, last_trade_id_text, raw_quantity, liquidation, venue_trade_id, event_time, recv_time, _topic, _partition, _offset, ${simulated} AS simulated
FROM trades_log FINAL
COMMENT '${label}Executions, one row per trade id. One row per natural key in its newest version (FINAL)';

ALTER TABLE book_deltas_log
    ADD COLUMN IF NOT EXISTS multiplier Nullable(Decimal(38, 18)) CODEC(ZSTD(1)) COMMENT 'Where the exchange counts contracts: what one is worth in base coin (inverse: in quote currency). NULL where it counts base coin. The quantities here are in base coin in any case' AFTER flags,
    ADD COLUMN IF NOT EXISTS inverse Bool COMMENT 'True where a contract is worth a fixed sum of quote currency' AFTER multiplier,
    COMMENT COLUMN market 'Market segment: spot, perp, future, option, inverse (coin-margined, an API of its own)',
    MODIFY COLUMN flags Array(LowCardinality(String)) COMMENT 'unsynced: no verified book was held. gap_before: ids are missing just before. bridged: first one applied to an anchor. buffered: held until its anchor arrived. late: fills part of a gap, too late for the book';

CREATE OR REPLACE VIEW book_deltas
(
    exchange LowCardinality(String) COMMENT 'Exchange, lower case (binance)',
    market LowCardinality(String) COMMENT 'Market segment: spot, perp, future, option, inverse (coin-margined, an API of its own)',
    symbol LowCardinality(String) COMMENT 'The symbol in the exchange\'s own spelling, upper case (BTCUSDT)',
    instrument LowCardinality(String) COMMENT 'Canonical name (BTC-USDT), empty while the exchange metadata were not known',
    epoch UInt64 COMMENT 'Counts sequence resets of the exchange. (epoch, last_update_id) only grows',
    first_update_id UInt64 COMMENT 'First update id contained. 0 where it is no plain number, see first_update_id_text',
    first_update_id_text String COMMENT 'First update id contained, only where it is no plain number below 10^19. Else empty',
    last_update_id UInt64 COMMENT 'Last update id contained. 0 where it is no plain number, see last_update_id_text',
    last_update_id_text String COMMENT 'Last update id contained, only where it is no plain number below 10^19. Else empty',
    bid_prices Array(Decimal(38, 18)) COMMENT 'Bid prices, best first in snapshots, in quote currency',
    bid_quantities Array(Decimal(38, 18)) COMMENT 'Bid quantities in base coin, same order as bid_prices',
    ask_prices Array(Decimal(38, 18)) COMMENT 'Ask prices, best first in snapshots, in quote currency',
    ask_quantities Array(Decimal(38, 18)) COMMENT 'Ask quantities in base coin, same order as ask_prices',
    flags Array(LowCardinality(String)) COMMENT 'unsynced: no verified book was held. gap_before: ids are missing just before. bridged: first one applied to an anchor. buffered: held until its anchor arrived. late: fills part of a gap, too late for the book',
    multiplier Nullable(Decimal(38, 18)) COMMENT 'Where the exchange counts contracts: what one is worth in base coin (inverse: in quote currency). NULL where it counts base coin. The quantities here are in base coin in any case',
    inverse Bool COMMENT 'True where a contract is worth a fixed sum of quote currency',
    event_time DateTime64(6, 'UTC') COMMENT 'Exchange clock. UTC, microseconds. 1970 where it gave none',
    recv_time DateTime64(9, 'UTC') COMMENT 'Our clock when the frame arrived, before parsing. UTC, nanoseconds',
    _topic LowCardinality(String) COMMENT 'Kafka topic the row was read from',
    _partition UInt16 COMMENT 'Kafka partition the row was read from',
    _offset UInt64 COMMENT 'Kafka offset the row was read from',
    simulated Bool COMMENT 'True: the data do not come from the real exchange'
)
AS SELECT exchange, market, symbol, instrument, epoch, first_update_id, first_update_id_text, last_update_id, last_update_id_text, bid_prices, bid_quantities, ask_prices, ask_quantities, flags, multiplier, inverse, event_time, recv_time, _topic, _partition, _offset, ${simulated} AS simulated
FROM book_deltas_log FINAL
COMMENT '${label}Updates of order books as the exchange sent them. Quantities are absolute, zero removes the level. One row per natural key in its newest version (FINAL)';

ALTER TABLE book_snapshots_log
    ADD COLUMN IF NOT EXISTS multiplier Nullable(Decimal(38, 18)) CODEC(ZSTD(1)) COMMENT 'Where the exchange counts contracts: what one is worth in base coin (inverse: in quote currency). NULL where it counts base coin. The quantities here are in base coin in any case' AFTER verified_time,
    ADD COLUMN IF NOT EXISTS inverse Bool COMMENT 'True where a contract is worth a fixed sum of quote currency' AFTER multiplier,
    COMMENT COLUMN market 'Market segment: spot, perp, future, option, inverse (coin-margined, an API of its own)';

CREATE OR REPLACE VIEW book_snapshots
(
    exchange LowCardinality(String) COMMENT 'Exchange, lower case (binance)',
    market LowCardinality(String) COMMENT 'Market segment: spot, perp, future, option, inverse (coin-margined, an API of its own)',
    symbol LowCardinality(String) COMMENT 'The symbol in the exchange\'s own spelling, upper case (BTCUSDT)',
    instrument LowCardinality(String) COMMENT 'Canonical name (BTC-USDT), empty while the exchange metadata were not known',
    epoch UInt64 COMMENT 'Counts sequence resets of the exchange. (epoch, update_id) only grows',
    update_id UInt64 COMMENT 'Last update applied. 0 where it is no plain number, see update_id_text',
    update_id_text String COMMENT 'Last update applied, only where it is no plain number below 10^19. Else empty',
    state LowCardinality(String) COMMENT 'ok, resyncing, stale or crossed. Only ok books are verified',
    reason LowCardinality(String) COMMENT 'Why it is not ok',
    bid_prices Array(Decimal(38, 18)) COMMENT 'Bid prices, best first in snapshots, in quote currency',
    bid_quantities Array(Decimal(38, 18)) COMMENT 'Bid quantities in base coin, same order as bid_prices',
    ask_prices Array(Decimal(38, 18)) COMMENT 'Ask prices, best first in snapshots, in quote currency',
    ask_quantities Array(Decimal(38, 18)) COMMENT 'Ask quantities in base coin, same order as ask_prices',
    bid_known_to String COMMENT 'Lowest bid price down to which the book is complete. Empty: unknown, 0: all',
    ask_known_to String COMMENT 'Highest ask price up to which the book is complete. Empty: unknown, inf: all',
    verified_time DateTime64(9, 'UTC') COMMENT 'Receive time of the record that proved the book right. UTC, nanoseconds',
    multiplier Nullable(Decimal(38, 18)) COMMENT 'Where the exchange counts contracts: what one is worth in base coin (inverse: in quote currency). NULL where it counts base coin. The quantities here are in base coin in any case',
    inverse Bool COMMENT 'True where a contract is worth a fixed sum of quote currency',
    event_time DateTime64(6, 'UTC') COMMENT 'Exchange clock. UTC, microseconds. 1970 where it gave none',
    recv_time DateTime64(9, 'UTC') COMMENT 'Our clock when the frame arrived, before parsing. UTC, nanoseconds',
    _topic LowCardinality(String) COMMENT 'Kafka topic the row was read from',
    _partition UInt16 COMMENT 'Kafka partition the row was read from',
    _offset UInt64 COMMENT 'Kafka offset the row was read from',
    simulated Bool COMMENT 'True: the data do not come from the real exchange'
)
AS SELECT exchange, market, symbol, instrument, epoch, update_id, update_id_text, state, reason, bid_prices, bid_quantities, ask_prices, ask_quantities, bid_known_to, ask_known_to, verified_time, multiplier, inverse, event_time, recv_time, _topic, _partition, _offset, ${simulated} AS simulated
FROM book_snapshots_log FINAL
COMMENT '${label}Deep views of verified order books at a slow pace, and one row with empty sides when a book stops being ok. One row per natural key in its newest version (FINAL)';

ALTER TABLE quotes_log
    ADD COLUMN IF NOT EXISTS raw_bid_quantity Nullable(Decimal(38, 18)) CODEC(ZSTD(1)) COMMENT 'The same as the exchange counts it (contracts), where that differs' AFTER ask_quantity,
    ADD COLUMN IF NOT EXISTS raw_ask_quantity Nullable(Decimal(38, 18)) CODEC(ZSTD(1)) COMMENT 'The same as the exchange counts it (contracts), where that differs' AFTER raw_bid_quantity,
    COMMENT COLUMN market 'Market segment: spot, perp, future, option, inverse (coin-margined, an API of its own)';

CREATE OR REPLACE VIEW quotes
(
    exchange LowCardinality(String) COMMENT 'Exchange, lower case (binance)',
    market LowCardinality(String) COMMENT 'Market segment: spot, perp, future, option, inverse (coin-margined, an API of its own)',
    symbol LowCardinality(String) COMMENT 'The symbol in the exchange\'s own spelling, upper case (BTCUSDT)',
    instrument LowCardinality(String) COMMENT 'Canonical name (BTC-USDT), empty while the exchange metadata were not known',
    update_id UInt64 COMMENT 'Update id of the book it belongs to. 0 where it is no plain number, see update_id_text',
    update_id_text String COMMENT 'Update id of the book it belongs to, only where it is no plain number below 10^19. Else empty',
    bid_price Nullable(Decimal(38, 18)) COMMENT 'Best bid in quote currency, NULL without bids',
    bid_quantity Nullable(Decimal(38, 18)) COMMENT 'Quantity at the best bid in base coin',
    ask_price Nullable(Decimal(38, 18)) COMMENT 'Best ask in quote currency, NULL without asks',
    ask_quantity Nullable(Decimal(38, 18)) COMMENT 'Quantity at the best ask in base coin',
    raw_bid_quantity Nullable(Decimal(38, 18)) COMMENT 'The same as the exchange counts it (contracts), where that differs',
    raw_ask_quantity Nullable(Decimal(38, 18)) COMMENT 'The same as the exchange counts it (contracts), where that differs',
    event_time DateTime64(6, 'UTC') COMMENT 'Exchange clock. UTC, microseconds. 1970 where it gave none',
    recv_time DateTime64(9, 'UTC') COMMENT 'Our clock when the frame arrived, before parsing. UTC, nanoseconds',
    _topic LowCardinality(String) COMMENT 'Kafka topic the row was read from',
    _partition UInt16 COMMENT 'Kafka partition the row was read from',
    _offset UInt64 COMMENT 'Kafka offset the row was read from',
    simulated Bool COMMENT 'True: the data do not come from the real exchange'
)
AS SELECT exchange, market, symbol, instrument, update_id, update_id_text, bid_price, bid_quantity, ask_price, ask_quantity, raw_bid_quantity, raw_ask_quantity, event_time, recv_time, _topic, _partition, _offset, ${simulated} AS simulated
FROM quotes_log FINAL
COMMENT '${label}Best bid and offer, one row per change. The whole quote is the key, because some exchanges give no time. One row per natural key in its newest version (FINAL)';

ALTER TABLE klines_log
    ADD COLUMN IF NOT EXISTS proof LowCardinality(String) DEFAULT 'ids' COMMENT 'What complete rests on. ids: trade ids count, none is missing. connection: ids prove nothing, but no connection was lost' AFTER source,
    COMMENT COLUMN market 'Market segment: spot, perp, future, option, inverse (coin-margined, an API of its own)',
    MODIFY COLUMN complete Bool COMMENT 'True when every trade of the interval is known to be in it, as far as proof tells';

CREATE OR REPLACE VIEW klines
(
    exchange LowCardinality(String) COMMENT 'Exchange, lower case (binance)',
    market LowCardinality(String) COMMENT 'Market segment: spot, perp, future, option, inverse (coin-margined, an API of its own)',
    symbol LowCardinality(String) COMMENT 'The symbol in the exchange\'s own spelling, upper case (BTCUSDT)',
    instrument LowCardinality(String) COMMENT 'Canonical name (BTC-USDT), empty while the exchange metadata were not known',
    interval LowCardinality(String) COMMENT '1m 5m 15m 1h 4h 1d, aligned to UTC',
    open_time DateTime64(3, 'UTC') COMMENT 'Start of the candle. UTC, milliseconds',
    close_time DateTime64(3, 'UTC') COMMENT 'Last millisecond of the candle, inclusive. UTC',
    open Nullable(Decimal(38, 18)) COMMENT 'First price. NULL without a trade and without a known previous close',
    high Nullable(Decimal(38, 18)) COMMENT 'Highest price',
    low Nullable(Decimal(38, 18)) COMMENT 'Lowest price',
    close Nullable(Decimal(38, 18)) COMMENT 'Last price',
    volume Decimal(38, 18) COMMENT 'Traded quantity in base coin',
    quote_volume Decimal(38, 18) COMMENT 'Traded value in quote currency',
    trade_count UInt64 COMMENT 'Number of trades',
    taker_buy_volume Decimal(38, 18) COMMENT 'Part of volume in which the taker bought, base coin',
    taker_buy_quote_volume Decimal(38, 18) COMMENT 'Part of quote_volume in which the taker bought, quote currency',
    first_trade_id String COMMENT 'Id of the first trade in it, empty without one',
    last_trade_id String COMMENT 'Id of the last trade in it, empty without one',
    is_closed Bool COMMENT 'False while the candle is still open',
    status LowCardinality(String) COMMENT 'provisional: still open. final. revised: changed by a later trade',
    complete Bool COMMENT 'True when every trade of the interval is known to be in it, as far as proof tells',
    reasons Array(LowCardinality(String)) COMMENT 'Why it is not complete: begun_before_capture, gap, late_dropped, disconnected',
    gaps Array(String) COMMENT 'gap_id of the gaps that touch it',
    revision UInt64 COMMENT 'Grows by one with each change after it was final',
    source LowCardinality(String) COMMENT 'Trades it is made of: trade or agg_trade',
    proof LowCardinality(String) COMMENT 'What complete rests on. ids: trade ids count, none is missing. connection: ids prove nothing, but no connection was lost',
    event_time DateTime64(6, 'UTC') COMMENT 'Exchange clock. UTC, microseconds. 1970 where it gave none',
    recv_time DateTime64(9, 'UTC') COMMENT 'Our clock when the frame arrived, before parsing. UTC, nanoseconds',
    _topic LowCardinality(String) COMMENT 'Kafka topic the row was read from',
    _partition UInt16 COMMENT 'Kafka partition the row was read from',
    _offset UInt64 COMMENT 'Kafka offset the row was read from',
    simulated Bool COMMENT 'True: the data do not come from the real exchange'
)
AS SELECT exchange, market, symbol, instrument, interval, open_time, close_time, open, high, low, close, volume, quote_volume, trade_count, taker_buy_volume, taker_buy_quote_volume, first_trade_id, last_trade_id, is_closed, status, complete, reasons, gaps, revision, source, proof, event_time, recv_time, _topic, _partition, _offset, ${simulated} AS simulated
FROM klines_log FINAL
COMMENT '${label}Our candles, made of trades by trade time, in their newest version. Open candles are in it: filter is_closed. One row per natural key in its newest version (FINAL)';

ALTER TABLE venue_klines_log
    ADD COLUMN IF NOT EXISTS raw_volume Nullable(Decimal(38, 18)) CODEC(ZSTD(1)) COMMENT 'Volume as the exchange counts it (contracts), where that differs' AFTER is_closed,
    COMMENT COLUMN market 'Market segment: spot, perp, future, option, inverse (coin-margined, an API of its own)',
    MODIFY COLUMN volume Nullable(Decimal(38, 18)) CODEC(ZSTD(1)) COMMENT 'Traded quantity in base coin. NULL where not given',
    MODIFY COLUMN quote_volume Nullable(Decimal(38, 18)) CODEC(ZSTD(1)) COMMENT 'Traded value in quote currency. NULL where not given',
    MODIFY COLUMN trade_count Nullable(UInt64) CODEC(ZSTD(1)) COMMENT 'Number of trades. NULL where not given',
    MODIFY COLUMN taker_buy_volume Nullable(Decimal(38, 18)) CODEC(ZSTD(1)) COMMENT 'Part of volume in which the taker bought, base coin. NULL where not given',
    MODIFY COLUMN taker_buy_quote_volume Nullable(Decimal(38, 18)) CODEC(ZSTD(1)) COMMENT 'Part of quote_volume in which the taker bought, quote currency. NULL where not given';

CREATE OR REPLACE VIEW venue_klines
(
    exchange LowCardinality(String) COMMENT 'Exchange, lower case (binance)',
    market LowCardinality(String) COMMENT 'Market segment: spot, perp, future, option, inverse (coin-margined, an API of its own)',
    symbol LowCardinality(String) COMMENT 'The symbol in the exchange\'s own spelling, upper case (BTCUSDT)',
    instrument LowCardinality(String) COMMENT 'Canonical name (BTC-USDT), empty while the exchange metadata were not known',
    interval LowCardinality(String) COMMENT '1m 5m 15m 1h 4h 1d, aligned to UTC',
    open_time DateTime64(3, 'UTC') COMMENT 'Start of the candle. UTC, milliseconds',
    close_time DateTime64(3, 'UTC') COMMENT 'Last millisecond of the candle, inclusive. UTC',
    open Nullable(Decimal(38, 18)) COMMENT 'First price. NULL without a trade and without a known previous close',
    high Nullable(Decimal(38, 18)) COMMENT 'Highest price',
    low Nullable(Decimal(38, 18)) COMMENT 'Lowest price',
    close Nullable(Decimal(38, 18)) COMMENT 'Last price',
    volume Nullable(Decimal(38, 18)) COMMENT 'Traded quantity in base coin. NULL where not given',
    quote_volume Nullable(Decimal(38, 18)) COMMENT 'Traded value in quote currency. NULL where not given',
    trade_count Nullable(UInt64) COMMENT 'Number of trades. NULL where not given',
    taker_buy_volume Nullable(Decimal(38, 18)) COMMENT 'Part of volume in which the taker bought, base coin. NULL where not given',
    taker_buy_quote_volume Nullable(Decimal(38, 18)) COMMENT 'Part of quote_volume in which the taker bought, quote currency. NULL where not given',
    first_trade_id String COMMENT 'Id of the first trade in it, empty without one',
    last_trade_id String COMMENT 'Id of the last trade in it, empty without one',
    is_closed Bool COMMENT 'False while the candle is still open',
    raw_volume Nullable(Decimal(38, 18)) COMMENT 'Volume as the exchange counts it (contracts), where that differs',
    event_time DateTime64(6, 'UTC') COMMENT 'Exchange clock. UTC, microseconds. 1970 where it gave none',
    recv_time DateTime64(9, 'UTC') COMMENT 'Our clock when the frame arrived, before parsing. UTC, nanoseconds',
    _topic LowCardinality(String) COMMENT 'Kafka topic the row was read from',
    _partition UInt16 COMMENT 'Kafka partition the row was read from',
    _offset UInt64 COMMENT 'Kafka offset the row was read from',
    simulated Bool COMMENT 'True: the data do not come from the real exchange'
)
AS SELECT exchange, market, symbol, instrument, interval, open_time, close_time, open, high, low, close, volume, quote_volume, trade_count, taker_buy_volume, taker_buy_quote_volume, first_trade_id, last_trade_id, is_closed, raw_volume, event_time, recv_time, _topic, _partition, _offset, ${simulated} AS simulated
FROM venue_klines_log FINAL
COMMENT '${label}The exchange\'s own candles in their newest version. One row per natural key in its newest version (FINAL)';

ALTER TABLE kline_residuals_log
    COMMENT COLUMN market 'Market segment: spot, perp, future, option, inverse (coin-margined, an API of its own)';

CREATE OR REPLACE VIEW kline_residuals
(
    exchange LowCardinality(String) COMMENT 'Exchange, lower case (binance)',
    market LowCardinality(String) COMMENT 'Market segment: spot, perp, future, option, inverse (coin-margined, an API of its own)',
    symbol LowCardinality(String) COMMENT 'The symbol in the exchange\'s own spelling, upper case (BTCUSDT)',
    instrument LowCardinality(String) COMMENT 'Canonical name (BTC-USDT), empty while the exchange metadata were not known',
    interval LowCardinality(String) COMMENT '1m 5m 15m 1h 4h 1d, aligned to UTC',
    open_time DateTime64(3, 'UTC') COMMENT 'Start of the candle. UTC, milliseconds',
    close_time DateTime64(3, 'UTC') COMMENT 'Last millisecond of the candle, inclusive. UTC',
    revision UInt64 COMMENT 'Revision of our candle that was compared',
    matched Bool COMMENT 'True when every field is equal',
    ours_complete Bool COMMENT 'Whether our candle claimed to be complete',
    fields Array(LowCardinality(String)) COMMENT 'Names of the fields that differ',
    volume_diff Decimal(38, 18) COMMENT 'Difference of volume, base coin',
    quote_volume_diff Decimal(38, 18) COMMENT 'Difference of quote_volume, quote currency',
    trade_count_diff Int64 COMMENT 'Difference of trade_count',
    open_diff Decimal(38, 18) COMMENT 'Difference of open',
    high_diff Decimal(38, 18) COMMENT 'Difference of high',
    low_diff Decimal(38, 18) COMMENT 'Difference of low',
    close_diff Decimal(38, 18) COMMENT 'Difference of close',
    source LowCardinality(String) COMMENT 'Trades ours is made of: trade or agg_trade',
    event_time DateTime64(6, 'UTC') COMMENT 'Exchange clock. UTC, microseconds. 1970 where it gave none',
    recv_time DateTime64(9, 'UTC') COMMENT 'Our clock when the frame arrived, before parsing. UTC, nanoseconds',
    _topic LowCardinality(String) COMMENT 'Kafka topic the row was read from',
    _partition UInt16 COMMENT 'Kafka partition the row was read from',
    _offset UInt64 COMMENT 'Kafka offset the row was read from',
    simulated Bool COMMENT 'True: the data do not come from the real exchange'
)
AS SELECT exchange, market, symbol, instrument, interval, open_time, close_time, revision, matched, ours_complete, fields, volume_diff, quote_volume_diff, trade_count_diff, open_diff, high_diff, low_diff, close_diff, source, event_time, recv_time, _topic, _partition, _offset, ${simulated} AS simulated
FROM kline_residuals_log FINAL
COMMENT '${label}Our final candles compared with the exchange\'s closed ones. Differences are ours minus theirs. One row per natural key in its newest version (FINAL)';

ALTER TABLE tickers_log
    ADD COLUMN IF NOT EXISTS raw_volume Nullable(Decimal(38, 18)) CODEC(ZSTD(1)) COMMENT 'Volume as the exchange counts it (contracts), where that differs' AFTER window_close,
    COMMENT COLUMN market 'Market segment: spot, perp, future, option, inverse (coin-margined, an API of its own)',
    MODIFY COLUMN last_price Nullable(Decimal(38, 18)) CODEC(ZSTD(1)) COMMENT 'Price of the last trade, NULL where nothing was traded yet';

CREATE OR REPLACE VIEW tickers
(
    exchange LowCardinality(String) COMMENT 'Exchange, lower case (binance)',
    market LowCardinality(String) COMMENT 'Market segment: spot, perp, future, option, inverse (coin-margined, an API of its own)',
    symbol LowCardinality(String) COMMENT 'The symbol in the exchange\'s own spelling, upper case (BTCUSDT)',
    instrument LowCardinality(String) COMMENT 'Canonical name (BTC-USDT), empty while the exchange metadata were not known',
    event_time DateTime64(6, 'UTC') COMMENT 'Exchange clock. UTC, microseconds. 1970 where it gave none',
    last_price Nullable(Decimal(38, 18)) COMMENT 'Price of the last trade, NULL where nothing was traded yet',
    last_quantity Nullable(Decimal(38, 18)) COMMENT 'Quantity of the last trade, base coin',
    open Nullable(Decimal(38, 18)) COMMENT 'First price of the window',
    high Nullable(Decimal(38, 18)) COMMENT 'Highest price of the window',
    low Nullable(Decimal(38, 18)) COMMENT 'Lowest price of the window',
    volume Nullable(Decimal(38, 18)) COMMENT 'Quantity traded in the window, base coin',
    quote_volume Nullable(Decimal(38, 18)) COMMENT 'Value traded in the window, quote currency',
    price_change Nullable(Decimal(38, 18)) COMMENT 'Last price minus first price',
    price_change_percent Nullable(Decimal(38, 18)) COMMENT 'The same in percent of the first price',
    weighted_average_price Nullable(Decimal(38, 18)) COMMENT 'quote_volume / volume as the exchange rounds it',
    bid_price Nullable(Decimal(38, 18)) COMMENT 'Best bid',
    bid_quantity Nullable(Decimal(38, 18)) COMMENT 'Quantity at the best bid, base coin',
    ask_price Nullable(Decimal(38, 18)) COMMENT 'Best ask',
    ask_quantity Nullable(Decimal(38, 18)) COMMENT 'Quantity at the best ask, base coin',
    trade_count UInt64 COMMENT 'Trades in the window, 0 where not given',
    first_trade_id UInt64 COMMENT 'First trade of the window. 0 where it is no plain number, see first_trade_id_text',
    first_trade_id_text String COMMENT 'First trade of the window, only where it is no plain number below 10^19. Else empty',
    last_trade_id UInt64 COMMENT 'Last trade of the window. 0 where it is no plain number, see last_trade_id_text',
    last_trade_id_text String COMMENT 'Last trade of the window, only where it is no plain number below 10^19. Else empty',
    window_open DateTime64(3, 'UTC') COMMENT 'Start of the window. UTC, milliseconds. 1970: not given',
    window_close DateTime64(3, 'UTC') COMMENT 'End of the window. UTC, milliseconds. 1970: not given',
    raw_volume Nullable(Decimal(38, 18)) COMMENT 'Volume as the exchange counts it (contracts), where that differs',
    recv_time DateTime64(9, 'UTC') COMMENT 'Our clock when the frame arrived, before parsing. UTC, nanoseconds',
    _topic LowCardinality(String) COMMENT 'Kafka topic the row was read from',
    _partition UInt16 COMMENT 'Kafka partition the row was read from',
    _offset UInt64 COMMENT 'Kafka offset the row was read from',
    simulated Bool COMMENT 'True: the data do not come from the real exchange'
)
AS SELECT exchange, market, symbol, instrument, event_time, last_price, last_quantity, open, high, low, volume, quote_volume, price_change, price_change_percent, weighted_average_price, bid_price, bid_quantity, ask_price, ask_quantity, trade_count, first_trade_id, first_trade_id_text, last_trade_id, last_trade_id_text, window_open, window_close, raw_volume, recv_time, _topic, _partition, _offset, ${simulated} AS simulated
FROM tickers_log FINAL
COMMENT '${label}Rolling 24 hour statistics as the exchange computes them. One row per natural key in its newest version (FINAL)';

ALTER TABLE gaps_log
    COMMENT COLUMN market 'Market segment: spot, perp, future, option, inverse (coin-margined, an API of its own)',
    COMMENT COLUMN channel 'Stream it is in: trade, agg_trade, book, bbo, kline, ticker, mark_price ...';

CREATE OR REPLACE VIEW gaps
(
    exchange LowCardinality(String) COMMENT 'Exchange, lower case (binance)',
    market LowCardinality(String) COMMENT 'Market segment: spot, perp, future, option, inverse (coin-margined, an API of its own)',
    symbol LowCardinality(String) COMMENT 'The symbol in the exchange\'s own spelling, upper case (BTCUSDT)',
    instrument LowCardinality(String) COMMENT 'Canonical name (BTC-USDT), empty while the exchange metadata were not known',
    channel LowCardinality(String) COMMENT 'Stream it is in: trade, agg_trade, book, bbo, kline, ticker, mark_price ...',
    gap_id String COMMENT '{channel}:{first_missing_id}-{last_missing_id} or {channel}:{from_time_us}',
    epoch UInt64 COMMENT 'Counts sequence resets of the exchange',
    first_missing_id UInt64 COMMENT 'First id missing. 0 where it is no plain number, see first_missing_id_text',
    first_missing_id_text String COMMENT 'First id missing, only where it is no plain number below 10^19. Else empty',
    last_missing_id UInt64 COMMENT 'Last id missing. 0 where it is no plain number, see last_missing_id_text',
    last_missing_id_text String COMMENT 'Last id missing, only where it is no plain number below 10^19. Else empty',
    missing_count UInt64 COMMENT 'How many ids are missing. 0: unknown, the stream has no consecutive ids',
    filled_count UInt64 COMMENT 'How many of them came after all',
    from_time DateTime64(6, 'UTC') COMMENT 'Time of the last record before the gap. UTC, microseconds',
    to_time DateTime64(6, 'UTC') COMMENT 'Time of the first record after the gap. UTC, microseconds',
    reason LowCardinality(String) COMMENT 'id_skip, disconnected, capture_restarted, buffer_full, sequence_reset',
    recv_time DateTime64(9, 'UTC') COMMENT 'Our clock when the frame arrived, before parsing. UTC, nanoseconds',
    _topic LowCardinality(String) COMMENT 'Kafka topic the row was read from',
    _partition UInt16 COMMENT 'Kafka partition the row was read from',
    _offset UInt64 COMMENT 'Kafka offset the row was read from',
    simulated Bool COMMENT 'True: the data do not come from the real exchange'
)
AS SELECT exchange, market, symbol, instrument, channel, gap_id, epoch, first_missing_id, first_missing_id_text, last_missing_id, last_missing_id_text, missing_count, filled_count, from_time, to_time, reason, recv_time, _topic, _partition, _offset, ${simulated} AS simulated
FROM gaps_log FINAL
COMMENT '${label}What we know we do not have. A gap whose filled_count reached missing_count was filled later. One row per natural key in its newest version (FINAL)';

ALTER TABLE feed_status_log
    COMMENT COLUMN market 'Market segment: spot, perp, future, option, inverse (coin-margined, an API of its own)',
    COMMENT COLUMN channel 'Stream: trade, agg_trade, book, bbo, kline, ticker, mark_price ...';

CREATE OR REPLACE VIEW feed_status
(
    exchange LowCardinality(String) COMMENT 'Exchange, lower case (binance)',
    market LowCardinality(String) COMMENT 'Market segment: spot, perp, future, option, inverse (coin-margined, an API of its own)',
    symbol LowCardinality(String) COMMENT 'The symbol in the exchange\'s own spelling, upper case (BTCUSDT)',
    instrument LowCardinality(String) COMMENT 'Canonical name (BTC-USDT), empty while the exchange metadata were not known',
    channel LowCardinality(String) COMMENT 'Stream: trade, agg_trade, book, bbo, kline, ticker, mark_price ...',
    state LowCardinality(String) COMMENT 'connected or disconnected',
    reason LowCardinality(String) COMMENT 'Why',
    connection String COMMENT 'Identity of the connection',
    event_time DateTime64(6, 'UTC') COMMENT 'Exchange clock. UTC, microseconds. 1970 where it gave none',
    recv_time DateTime64(9, 'UTC') COMMENT 'Our clock when the frame arrived, before parsing. UTC, nanoseconds',
    _topic LowCardinality(String) COMMENT 'Kafka topic the row was read from',
    _partition UInt16 COMMENT 'Kafka partition the row was read from',
    _offset UInt64 COMMENT 'Kafka offset the row was read from',
    simulated Bool COMMENT 'True: the data do not come from the real exchange'
)
AS SELECT exchange, market, symbol, instrument, channel, state, reason, connection, event_time, recv_time, _topic, _partition, _offset, ${simulated} AS simulated
FROM feed_status_log FINAL
COMMENT '${label}Connections of streams that came up or went down. Our own events, so the receive time is part of the key. One row per natural key in its newest version (FINAL)';

ALTER TABLE dead_letters_log
    COMMENT COLUMN market 'Market segment: spot, perp, future, option, inverse (coin-margined, an API of its own)';

CREATE OR REPLACE VIEW dead_letters
(
    exchange LowCardinality(String) COMMENT 'Exchange, lower case (binance)',
    market LowCardinality(String) COMMENT 'Market segment: spot, perp, future, option, inverse (coin-margined, an API of its own)',
    symbol LowCardinality(String) COMMENT 'The symbol in the exchange\'s own spelling, upper case (BTCUSDT)',
    instrument LowCardinality(String) COMMENT 'Canonical name (BTC-USDT), empty while the exchange metadata were not known',
    reason LowCardinality(String) COMMENT 'Stable code of why it was refused',
    detail String COMMENT 'The same in words',
    channel LowCardinality(String) COMMENT 'Stream it came on',
    raw_topic LowCardinality(String) COMMENT 'Kafka topic of the record that was refused',
    raw_partition UInt16 COMMENT 'Kafka partition of the record that was refused',
    raw_offset UInt64 COMMENT 'Kafka offset of the record that was refused',
    record_id String COMMENT 'Id of the refused item within the record (a trade id), where there is one',
    payload String COMMENT 'The bytes: text where they are UTF-8, else base64 with the prefix base64:',
    recv_time DateTime64(9, 'UTC') COMMENT 'Our clock when the frame arrived, before parsing. UTC, nanoseconds',
    _topic LowCardinality(String) COMMENT 'Kafka topic the row was read from',
    _partition UInt16 COMMENT 'Kafka partition the row was read from',
    _offset UInt64 COMMENT 'Kafka offset the row was read from',
    simulated Bool COMMENT 'True: the data do not come from the real exchange'
)
AS SELECT exchange, market, symbol, instrument, reason, detail, channel, raw_topic, raw_partition, raw_offset, record_id, payload, recv_time, _topic, _partition, _offset, ${simulated} AS simulated
FROM dead_letters_log FINAL
COMMENT '${label}What could not be accepted, with the reason and the coordinates of the raw record. One row per natural key in its newest version (FINAL)';

ALTER TABLE instruments_log
    ADD COLUMN IF NOT EXISTS tick_step_prices Array(Decimal(38, 18)) CODEC(ZSTD(1)) COMMENT 'Prices above which the tick size changes, ascending' AFTER tick_size,
    ADD COLUMN IF NOT EXISTS tick_step_sizes Array(Decimal(38, 18)) CODEC(ZSTD(1)) COMMENT 'Tick size above each of tick_step_prices' AFTER tick_step_prices,
    ADD COLUMN IF NOT EXISTS contract_size String CODEC(ZSTD(1)) COMMENT 'The exchange\'s own field of that meaning' AFTER contract_multiplier,
    COMMENT COLUMN market 'Market segment: spot, perp, future, option, inverse (coin-margined, an API of its own)',
    MODIFY COLUMN tick_size Nullable(Decimal(38, 18)) CODEC(ZSTD(1)) COMMENT 'Smallest price step, of the lowest prices where it depends on the price',
    MODIFY COLUMN lot_size Nullable(Decimal(38, 18)) CODEC(ZSTD(1)) COMMENT 'Smallest quantity step, in what the exchange counts in',
    MODIFY COLUMN min_quantity Nullable(Decimal(38, 18)) CODEC(ZSTD(1)) COMMENT 'Smallest order, in what the exchange counts in',
    MODIFY COLUMN contract_multiplier Decimal(38, 18) CODEC(ZSTD(1)) COMMENT 'Base coin (inverse: quote currency) per one of what the exchange\'s streams count in';

CREATE OR REPLACE VIEW instruments
(
    exchange LowCardinality(String) COMMENT 'Exchange, lower case (binance)',
    market LowCardinality(String) COMMENT 'Market segment: spot, perp, future, option, inverse (coin-margined, an API of its own)',
    symbol LowCardinality(String) COMMENT 'The symbol in the exchange\'s own spelling, upper case (BTCUSDT)',
    instrument LowCardinality(String) COMMENT 'Canonical name (BTC-USDT), empty while the exchange metadata were not known',
    base LowCardinality(String) COMMENT 'Base currency',
    quote LowCardinality(String) COMMENT 'Quote currency',
    settle LowCardinality(String) COMMENT 'Currency a contract settles in',
    status LowCardinality(String) COMMENT 'As the exchange names it',
    tick_size Nullable(Decimal(38, 18)) COMMENT 'Smallest price step, of the lowest prices where it depends on the price',
    tick_step_prices Array(Decimal(38, 18)) COMMENT 'Prices above which the tick size changes, ascending',
    tick_step_sizes Array(Decimal(38, 18)) COMMENT 'Tick size above each of tick_step_prices',
    lot_size Nullable(Decimal(38, 18)) COMMENT 'Smallest quantity step, in what the exchange counts in',
    min_quantity Nullable(Decimal(38, 18)) COMMENT 'Smallest order, in what the exchange counts in',
    min_notional Nullable(Decimal(38, 18)) COMMENT 'Smallest order in quote currency',
    contract_multiplier Decimal(38, 18) COMMENT 'Base coin (inverse: quote currency) per one of what the exchange\'s streams count in',
    contract_size String COMMENT 'The exchange\'s own field of that meaning',
    inverse Bool COMMENT 'True for contracts counted in quote currency and settled in base coin',
    expiry DateTime64(6, 'UTC') COMMENT 'Expiry. UTC, microseconds. 1970: none',
    strike Nullable(Decimal(38, 18)) COMMENT 'Strike price of an option',
    option_kind LowCardinality(String) COMMENT 'call or put, empty for others',
    event_time DateTime64(6, 'UTC') COMMENT 'Exchange clock. UTC, microseconds. 1970 where it gave none',
    recv_time DateTime64(9, 'UTC') COMMENT 'Our clock when the frame arrived, before parsing. UTC, nanoseconds',
    _topic LowCardinality(String) COMMENT 'Kafka topic the row was read from',
    _partition UInt16 COMMENT 'Kafka partition the row was read from',
    _offset UInt64 COMMENT 'Kafka offset the row was read from',
    simulated Bool COMMENT 'True: the data do not come from the real exchange'
)
AS SELECT exchange, market, symbol, instrument, base, quote, settle, status, tick_size, tick_step_prices, tick_step_sizes, lot_size, min_quantity, min_notional, contract_multiplier, contract_size, inverse, expiry, strike, option_kind, event_time, recv_time, _topic, _partition, _offset, ${simulated} AS simulated
FROM instruments_log FINAL
COMMENT '${label}What each symbol is, as the exchange last described it. One row per natural key in its newest version (FINAL)';

ALTER TABLE mark_prices_log
    COMMENT COLUMN market 'Market segment: spot, perp, future, option, inverse (coin-margined, an API of its own)';

CREATE OR REPLACE VIEW mark_prices
(
    exchange LowCardinality(String) COMMENT 'Exchange, lower case (binance)',
    market LowCardinality(String) COMMENT 'Market segment: spot, perp, future, option, inverse (coin-margined, an API of its own)',
    symbol LowCardinality(String) COMMENT 'The symbol in the exchange\'s own spelling, upper case (BTCUSDT)',
    instrument LowCardinality(String) COMMENT 'Canonical name (BTC-USDT), empty while the exchange metadata were not known',
    event_time DateTime64(6, 'UTC') COMMENT 'Exchange clock. UTC, microseconds. 1970 where it gave none',
    mark_price Decimal(38, 18) COMMENT 'Mark price in quote currency',
    index_price Nullable(Decimal(38, 18)) COMMENT 'Index price in quote currency',
    settle_price Nullable(Decimal(38, 18)) COMMENT 'Estimated settlement price in quote currency',
    recv_time DateTime64(9, 'UTC') COMMENT 'Our clock when the frame arrived, before parsing. UTC, nanoseconds',
    _topic LowCardinality(String) COMMENT 'Kafka topic the row was read from',
    _partition UInt16 COMMENT 'Kafka partition the row was read from',
    _offset UInt64 COMMENT 'Kafka offset the row was read from',
    simulated Bool COMMENT 'True: the data do not come from the real exchange'
)
AS SELECT exchange, market, symbol, instrument, event_time, mark_price, index_price, settle_price, recv_time, _topic, _partition, _offset, ${simulated} AS simulated
FROM mark_prices_log FINAL
COMMENT '${label}Mark and index prices of derivatives. One row per natural key in its newest version (FINAL)';

ALTER TABLE funding_log
    COMMENT COLUMN market 'Market segment: spot, perp, future, option, inverse (coin-margined, an API of its own)';

CREATE OR REPLACE VIEW funding
(
    exchange LowCardinality(String) COMMENT 'Exchange, lower case (binance)',
    market LowCardinality(String) COMMENT 'Market segment: spot, perp, future, option, inverse (coin-margined, an API of its own)',
    symbol LowCardinality(String) COMMENT 'The symbol in the exchange\'s own spelling, upper case (BTCUSDT)',
    instrument LowCardinality(String) COMMENT 'Canonical name (BTC-USDT), empty while the exchange metadata were not known',
    funding_time DateTime64(6, 'UTC') COMMENT 'When the rate is or was exchanged. UTC, microseconds',
    settled Bool COMMENT 'True when it was exchanged, false for an estimate',
    event_time DateTime64(6, 'UTC') COMMENT 'Exchange clock. UTC, microseconds. 1970 where it gave none',
    rate Decimal(38, 18) COMMENT 'Fraction per period, 0.0001 is one basis point',
    next_rate Nullable(Decimal(38, 18)) COMMENT 'Estimate for the period after',
    interval_ms UInt64 COMMENT 'Length of the period in milliseconds, 0 where not given',
    recv_time DateTime64(9, 'UTC') COMMENT 'Our clock when the frame arrived, before parsing. UTC, nanoseconds',
    _topic LowCardinality(String) COMMENT 'Kafka topic the row was read from',
    _partition UInt16 COMMENT 'Kafka partition the row was read from',
    _offset UInt64 COMMENT 'Kafka offset the row was read from',
    simulated Bool COMMENT 'True: the data do not come from the real exchange'
)
AS SELECT exchange, market, symbol, instrument, funding_time, settled, event_time, rate, next_rate, interval_ms, recv_time, _topic, _partition, _offset, ${simulated} AS simulated
FROM funding_log FINAL
COMMENT '${label}Funding rates of perpetuals. One row per natural key in its newest version (FINAL)';

ALTER TABLE open_interest_log
    COMMENT COLUMN market 'Market segment: spot, perp, future, option, inverse (coin-margined, an API of its own)';

CREATE OR REPLACE VIEW open_interest
(
    exchange LowCardinality(String) COMMENT 'Exchange, lower case (binance)',
    market LowCardinality(String) COMMENT 'Market segment: spot, perp, future, option, inverse (coin-margined, an API of its own)',
    symbol LowCardinality(String) COMMENT 'The symbol in the exchange\'s own spelling, upper case (BTCUSDT)',
    instrument LowCardinality(String) COMMENT 'Canonical name (BTC-USDT), empty while the exchange metadata were not known',
    event_time DateTime64(6, 'UTC') COMMENT 'Exchange clock. UTC, microseconds. 1970 where it gave none',
    open_interest Decimal(38, 18) COMMENT 'In base coin',
    raw_open_interest Nullable(Decimal(38, 18)) COMMENT 'As the exchange counts it (contracts)',
    value Nullable(Decimal(38, 18)) COMMENT 'In quote currency, where the exchange gives it',
    recv_time DateTime64(9, 'UTC') COMMENT 'Our clock when the frame arrived, before parsing. UTC, nanoseconds',
    _topic LowCardinality(String) COMMENT 'Kafka topic the row was read from',
    _partition UInt16 COMMENT 'Kafka partition the row was read from',
    _offset UInt64 COMMENT 'Kafka offset the row was read from',
    simulated Bool COMMENT 'True: the data do not come from the real exchange'
)
AS SELECT exchange, market, symbol, instrument, event_time, open_interest, raw_open_interest, value, recv_time, _topic, _partition, _offset, ${simulated} AS simulated
FROM open_interest_log FINAL
COMMENT '${label}Open interest of derivatives. One row per natural key in its newest version (FINAL)';

ALTER TABLE liquidations_log
    COMMENT COLUMN market 'Market segment: spot, perp, future, option, inverse (coin-margined, an API of its own)',
    COMMENT COLUMN price 'Price of the order or of bankruptcy, as the exchange gives it, in quote currency';

CREATE OR REPLACE VIEW liquidations
(
    exchange LowCardinality(String) COMMENT 'Exchange, lower case (binance)',
    market LowCardinality(String) COMMENT 'Market segment: spot, perp, future, option, inverse (coin-margined, an API of its own)',
    symbol LowCardinality(String) COMMENT 'The symbol in the exchange\'s own spelling, upper case (BTCUSDT)',
    instrument LowCardinality(String) COMMENT 'Canonical name (BTC-USDT), empty while the exchange metadata were not known',
    event_time DateTime64(6, 'UTC') COMMENT 'Exchange clock. UTC, microseconds. 1970 where it gave none',
    liquidation_id String COMMENT 'Id, empty where the exchange gives none',
    side Enum8('unknown' = 0, 'buy' = 1, 'sell' = 2) COMMENT 'Side of the liquidation order',
    price Decimal(38, 18) COMMENT 'Price of the order or of bankruptcy, as the exchange gives it, in quote currency',
    quantity Decimal(38, 18) COMMENT 'Quantity in base coin',
    average_price Nullable(Decimal(38, 18)) COMMENT 'Average fill price',
    raw_quantity Nullable(Decimal(38, 18)) COMMENT 'Quantity as the exchange counts it (contracts)',
    sampled Bool COMMENT 'True where the exchange publishes only some of them',
    recv_time DateTime64(9, 'UTC') COMMENT 'Our clock when the frame arrived, before parsing. UTC, nanoseconds',
    _topic LowCardinality(String) COMMENT 'Kafka topic the row was read from',
    _partition UInt16 COMMENT 'Kafka partition the row was read from',
    _offset UInt64 COMMENT 'Kafka offset the row was read from',
    simulated Bool COMMENT 'True: the data do not come from the real exchange'
)
AS SELECT exchange, market, symbol, instrument, event_time, liquidation_id, side, price, quantity, average_price, raw_quantity, sampled, recv_time, _topic, _partition, _offset, ${simulated} AS simulated
FROM liquidations_log FINAL
COMMENT '${label}Liquidation orders. Where sampled is true the exchange publishes only some, so that sums undercount. One row per natural key in its newest version (FINAL)';

ALTER TABLE long_short_log
    COMMENT COLUMN market 'Market segment: spot, perp, future, option, inverse (coin-margined, an API of its own)',
    MODIFY COLUMN long Nullable(Decimal(38, 18)) CODEC(ZSTD(1)) COMMENT 'Long share as a fraction, of taker_volume the quantity bought in base coin',
    MODIFY COLUMN short Nullable(Decimal(38, 18)) CODEC(ZSTD(1)) COMMENT 'Short share as a fraction, of taker_volume the quantity sold in base coin';

CREATE OR REPLACE VIEW long_short
(
    exchange LowCardinality(String) COMMENT 'Exchange, lower case (binance)',
    market LowCardinality(String) COMMENT 'Market segment: spot, perp, future, option, inverse (coin-margined, an API of its own)',
    symbol LowCardinality(String) COMMENT 'The symbol in the exchange\'s own spelling, upper case (BTCUSDT)',
    instrument LowCardinality(String) COMMENT 'Canonical name (BTC-USDT), empty while the exchange metadata were not known',
    ratio_kind LowCardinality(String) COMMENT 'global_account, top_account, top_position or taker_volume',
    period LowCardinality(String) COMMENT 'Length of the period it covers (5m, 1h)',
    event_time DateTime64(6, 'UTC') COMMENT 'Exchange clock. UTC, microseconds. 1970 where it gave none',
    ratio Decimal(38, 18) COMMENT 'Long divided by short',
    long Nullable(Decimal(38, 18)) COMMENT 'Long share as a fraction, of taker_volume the quantity bought in base coin',
    short Nullable(Decimal(38, 18)) COMMENT 'Short share as a fraction, of taker_volume the quantity sold in base coin',
    recv_time DateTime64(9, 'UTC') COMMENT 'Our clock when the frame arrived, before parsing. UTC, nanoseconds',
    _topic LowCardinality(String) COMMENT 'Kafka topic the row was read from',
    _partition UInt16 COMMENT 'Kafka partition the row was read from',
    _offset UInt64 COMMENT 'Kafka offset the row was read from',
    simulated Bool COMMENT 'True: the data do not come from the real exchange'
)
AS SELECT exchange, market, symbol, instrument, ratio_kind, period, event_time, ratio, long, short, recv_time, _topic, _partition, _offset, ${simulated} AS simulated
FROM long_short_log FINAL
COMMENT '${label}Long/short ratios as exchanges publish them. One row per natural key in its newest version (FINAL)';

ALTER TABLE volatility_log
    COMMENT COLUMN market 'Market segment: spot, perp, future, option, inverse (coin-margined, an API of its own)';

CREATE OR REPLACE VIEW volatility
(
    exchange LowCardinality(String) COMMENT 'Exchange, lower case (binance)',
    market LowCardinality(String) COMMENT 'Market segment: spot, perp, future, option, inverse (coin-margined, an API of its own)',
    symbol LowCardinality(String) COMMENT 'The symbol in the exchange\'s own spelling, upper case (BTCUSDT)',
    instrument LowCardinality(String) COMMENT 'Canonical name (BTC-USDT), empty while the exchange metadata were not known',
    index_name LowCardinality(String) COMMENT 'Name of the index',
    event_time DateTime64(6, 'UTC') COMMENT 'Exchange clock. UTC, microseconds. 1970 where it gave none',
    value Decimal(38, 18) COMMENT 'Annualised volatility in percent',
    recv_time DateTime64(9, 'UTC') COMMENT 'Our clock when the frame arrived, before parsing. UTC, nanoseconds',
    _topic LowCardinality(String) COMMENT 'Kafka topic the row was read from',
    _partition UInt16 COMMENT 'Kafka partition the row was read from',
    _offset UInt64 COMMENT 'Kafka offset the row was read from',
    simulated Bool COMMENT 'True: the data do not come from the real exchange'
)
AS SELECT exchange, market, symbol, instrument, index_name, event_time, value, recv_time, _topic, _partition, _offset, ${simulated} AS simulated
FROM volatility_log FINAL
COMMENT '${label}Volatility indices. One row per natural key in its newest version (FINAL)';

CREATE TABLE IF NOT EXISTS arbitrage_log
(
    instrument LowCardinality(String) COMMENT 'Canonical name of what is bought and sold (BTC-USDT)',
    opened_time DateTime64(6, 'UTC') CODEC(Delta(8), ZSTD(1)) COMMENT 'Our clock when the quote came that opened the episode. UTC, microseconds',
    episode_id String CODEC(ZSTD(1)) COMMENT 'Names the episode',
    sequence UInt64 CODEC(ZSTD(1)) COMMENT 'Of the row within its episode, from 0',
    action LowCardinality(String) COMMENT 'open, update or close',
    reason LowCardinality(String) COMMENT 'Why it ended: gone (the prices met), stale or disconnected. Empty before',
    buy_exchange LowCardinality(String) COMMENT 'Exchange to buy on',
    buy_market LowCardinality(String) COMMENT 'Market segment to buy on',
    buy_symbol LowCardinality(String) COMMENT 'Symbol to buy',
    buy_price Decimal(38, 18) CODEC(ZSTD(1)) COMMENT 'Best ask there, quote currency',
    sell_exchange LowCardinality(String) COMMENT 'Exchange to sell on',
    sell_market LowCardinality(String) COMMENT 'Market segment to sell on',
    sell_symbol LowCardinality(String) COMMENT 'Symbol to sell',
    sell_price Decimal(38, 18) CODEC(ZSTD(1)) COMMENT 'Best bid there, quote currency',
    quantity Decimal(38, 18) CODEC(ZSTD(1)) COMMENT 'What both quotes have, base coin',
    net_profit Decimal(38, 18) CODEC(ZSTD(1)) COMMENT 'For the whole quantity, after the fees of both sides, quote currency',
    net_profit_bps Decimal(38, 18) CODEC(ZSTD(1)) COMMENT 'The same in basis points of what the purchase costs with its fee',
    event_time DateTime64(6, 'UTC') CODEC(Delta(8), ZSTD(1)) COMMENT 'Exchange clock. UTC, microseconds. 1970 where it gave none',
    recv_time DateTime64(9, 'UTC') CODEC(Delta(8), ZSTD(1)) COMMENT 'Our clock when the frame arrived, before parsing. UTC, nanoseconds',
    _topic LowCardinality(String) COMMENT 'Kafka topic the row was read from',
    _partition UInt16 COMMENT 'Kafka partition the row was read from',
    _offset UInt64 CODEC(Delta(8), ZSTD(1)) COMMENT 'Kafka offset the row was read from',
    INDEX event_time_range event_time TYPE minmax GRANULARITY 4,
    INDEX recv_time_range recv_time TYPE minmax GRANULARITY 4,
    INDEX _offset_range _offset TYPE minmax GRANULARITY 4
)
ENGINE = ${engine}()
PARTITION BY toYYYYMM(opened_time)
PRIMARY KEY (instrument, opened_time, episode_id, sequence, action)
ORDER BY (instrument, opened_time, episode_id, sequence, action)
${ttl_arbitrage}
SETTINGS non_replicated_deduplication_window = 1000, ttl_only_drop_parts = 1
COMMENT '${label}Episodes in which an instrument could be bought on one market and sold higher on another, net of fees. All rows written, repeats and superseded versions included: read the view instead';

CREATE VIEW IF NOT EXISTS arbitrage
(
    instrument LowCardinality(String) COMMENT 'Canonical name of what is bought and sold (BTC-USDT)',
    opened_time DateTime64(6, 'UTC') COMMENT 'Our clock when the quote came that opened the episode. UTC, microseconds',
    episode_id String COMMENT 'Names the episode',
    sequence UInt64 COMMENT 'Of the row within its episode, from 0',
    action LowCardinality(String) COMMENT 'open, update or close',
    reason LowCardinality(String) COMMENT 'Why it ended: gone (the prices met), stale or disconnected. Empty before',
    buy_exchange LowCardinality(String) COMMENT 'Exchange to buy on',
    buy_market LowCardinality(String) COMMENT 'Market segment to buy on',
    buy_symbol LowCardinality(String) COMMENT 'Symbol to buy',
    buy_price Decimal(38, 18) COMMENT 'Best ask there, quote currency',
    sell_exchange LowCardinality(String) COMMENT 'Exchange to sell on',
    sell_market LowCardinality(String) COMMENT 'Market segment to sell on',
    sell_symbol LowCardinality(String) COMMENT 'Symbol to sell',
    sell_price Decimal(38, 18) COMMENT 'Best bid there, quote currency',
    quantity Decimal(38, 18) COMMENT 'What both quotes have, base coin',
    net_profit Decimal(38, 18) COMMENT 'For the whole quantity, after the fees of both sides, quote currency',
    net_profit_bps Decimal(38, 18) COMMENT 'The same in basis points of what the purchase costs with its fee',
    event_time DateTime64(6, 'UTC') COMMENT 'Exchange clock. UTC, microseconds. 1970 where it gave none',
    recv_time DateTime64(9, 'UTC') COMMENT 'Our clock when the frame arrived, before parsing. UTC, nanoseconds',
    _topic LowCardinality(String) COMMENT 'Kafka topic the row was read from',
    _partition UInt16 COMMENT 'Kafka partition the row was read from',
    _offset UInt64 COMMENT 'Kafka offset the row was read from',
    simulated Bool COMMENT 'True: the data do not come from the real exchange'
)
AS SELECT instrument, opened_time, episode_id, sequence, action, reason, buy_exchange, buy_market, buy_symbol, buy_price, sell_exchange, sell_market, sell_symbol, sell_price, quantity, net_profit, net_profit_bps, event_time, recv_time, _topic, _partition, _offset, ${simulated} AS simulated
FROM arbitrage_log FINAL
COMMENT '${label}Episodes in which an instrument could be bought on one market and sold higher on another, net of fees. One row per natural key in its newest version (FINAL)';

