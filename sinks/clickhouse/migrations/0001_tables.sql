CREATE TABLE IF NOT EXISTS trades_log
(
    exchange LowCardinality(String) COMMENT 'Exchange, lower case (binance)',
    market LowCardinality(String) COMMENT 'Market segment: spot, perp, future, option',
    symbol LowCardinality(String) COMMENT 'The symbol in the exchange\'s own spelling, upper case (BTCUSDT)',
    instrument LowCardinality(String) COMMENT 'Canonical name (BTC-USDT), empty while the exchange metadata were not known',
    trade_time DateTime64(6, 'UTC') CODEC(Delta(8), ZSTD(1)) COMMENT 'When the matching engine traded. UTC, microseconds',
    trade_id UInt64 CODEC(DoubleDelta, ZSTD(1)) COMMENT 'The exchange\'s id of the trade. 0 where it is no plain number, see trade_id_text',
    trade_id_text String CODEC(ZSTD(1)) COMMENT 'The exchange\'s id of the trade, only where it is no plain number below 10^19. Else empty',
    aggregated Bool COMMENT 'True: fills of one taker order at one price merged, an id space of its own',
    price Decimal(38, 18) CODEC(ZSTD(1)) COMMENT 'Price in quote currency',
    quantity Decimal(38, 18) CODEC(ZSTD(1)) COMMENT 'Quantity in base coin',
    side Enum8('unknown' = 0, 'buy' = 1, 'sell' = 2) COMMENT 'Side of the taker',
    first_trade_id UInt64 CODEC(DoubleDelta, ZSTD(1)) COMMENT 'Aggregated only: first id merged. 0 where it is no plain number, see first_trade_id_text',
    first_trade_id_text String CODEC(ZSTD(1)) COMMENT 'Aggregated only: first id merged, only where it is no plain number below 10^19. Else empty',
    last_trade_id UInt64 CODEC(DoubleDelta, ZSTD(1)) COMMENT 'Aggregated only: last id merged. 0 where it is no plain number, see last_trade_id_text',
    last_trade_id_text String CODEC(ZSTD(1)) COMMENT 'Aggregated only: last id merged, only where it is no plain number below 10^19. Else empty',
    raw_quantity Nullable(Decimal(38, 18)) CODEC(ZSTD(1)) COMMENT 'Quantity as the exchange counts it (contracts), where that differs',
    liquidation Bool COMMENT 'True where the exchange says the trade was a liquidation',
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
PARTITION BY toYYYYMM(trade_time)
PRIMARY KEY (exchange, market, symbol, trade_time, aggregated)
ORDER BY (exchange, market, symbol, trade_time, aggregated, trade_id, trade_id_text)
${ttl_trades}
SETTINGS non_replicated_deduplication_window = 1000, ttl_only_drop_parts = 1
COMMENT '${label}Executions, one row per trade id. All rows written, repeats and superseded versions included: read the view instead';

CREATE VIEW IF NOT EXISTS trades
(
    exchange LowCardinality(String) COMMENT 'Exchange, lower case (binance)',
    market LowCardinality(String) COMMENT 'Market segment: spot, perp, future, option',
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
    event_time DateTime64(6, 'UTC') COMMENT 'Exchange clock. UTC, microseconds. 1970 where it gave none',
    recv_time DateTime64(9, 'UTC') COMMENT 'Our clock when the frame arrived, before parsing. UTC, nanoseconds',
    _topic LowCardinality(String) COMMENT 'Kafka topic the row was read from',
    _partition UInt16 COMMENT 'Kafka partition the row was read from',
    _offset UInt64 COMMENT 'Kafka offset the row was read from',
    simulated Bool COMMENT 'True: the data do not come from the real exchange'
)
AS SELECT exchange, market, symbol, instrument, trade_time, trade_id, trade_id_text, aggregated, price, quantity, side, first_trade_id, first_trade_id_text, last_trade_id, last_trade_id_text, raw_quantity, liquidation, event_time, recv_time, _topic, _partition, _offset, ${simulated} AS simulated
FROM trades_log FINAL
COMMENT '${label}Executions, one row per trade id. One row per natural key in its newest version (FINAL)';

CREATE TABLE IF NOT EXISTS book_deltas_log
(
    exchange LowCardinality(String) COMMENT 'Exchange, lower case (binance)',
    market LowCardinality(String) COMMENT 'Market segment: spot, perp, future, option',
    symbol LowCardinality(String) COMMENT 'The symbol in the exchange\'s own spelling, upper case (BTCUSDT)',
    instrument LowCardinality(String) COMMENT 'Canonical name (BTC-USDT), empty while the exchange metadata were not known',
    epoch UInt64 CODEC(ZSTD(1)) COMMENT 'Counts sequence resets of the exchange. (epoch, last_update_id) only grows',
    first_update_id UInt64 CODEC(DoubleDelta, ZSTD(1)) COMMENT 'First update id contained. 0 where it is no plain number, see first_update_id_text',
    first_update_id_text String CODEC(ZSTD(1)) COMMENT 'First update id contained, only where it is no plain number below 10^19. Else empty',
    last_update_id UInt64 CODEC(DoubleDelta, ZSTD(1)) COMMENT 'Last update id contained. 0 where it is no plain number, see last_update_id_text',
    last_update_id_text String CODEC(ZSTD(1)) COMMENT 'Last update id contained, only where it is no plain number below 10^19. Else empty',
    bid_prices Array(Decimal(38, 18)) CODEC(ZSTD(1)) COMMENT 'Bid prices, best first in snapshots, in quote currency',
    bid_quantities Array(Decimal(38, 18)) CODEC(ZSTD(1)) COMMENT 'Bid quantities in base coin, same order as bid_prices',
    ask_prices Array(Decimal(38, 18)) CODEC(ZSTD(1)) COMMENT 'Ask prices, best first in snapshots, in quote currency',
    ask_quantities Array(Decimal(38, 18)) CODEC(ZSTD(1)) COMMENT 'Ask quantities in base coin, same order as ask_prices',
    flags Array(LowCardinality(String)) COMMENT 'unsynced: no verified book was held. gap_before: ids are missing just before. bridged: first one applied to an anchor. buffered: held until its anchor arrived',
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
PARTITION BY toYYYYMMDD(recv_time)
PRIMARY KEY (exchange, market, symbol, epoch, last_update_id)
ORDER BY (exchange, market, symbol, epoch, last_update_id, last_update_id_text, first_update_id, first_update_id_text)
${ttl_book_deltas}
SETTINGS non_replicated_deduplication_window = 1000, ttl_only_drop_parts = 1
COMMENT '${label}Updates of order books as the exchange sent them. Quantities are absolute, zero removes the level. All rows written, repeats and superseded versions included: read the view instead';

CREATE VIEW IF NOT EXISTS book_deltas
(
    exchange LowCardinality(String) COMMENT 'Exchange, lower case (binance)',
    market LowCardinality(String) COMMENT 'Market segment: spot, perp, future, option',
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
    flags Array(LowCardinality(String)) COMMENT 'unsynced: no verified book was held. gap_before: ids are missing just before. bridged: first one applied to an anchor. buffered: held until its anchor arrived',
    event_time DateTime64(6, 'UTC') COMMENT 'Exchange clock. UTC, microseconds. 1970 where it gave none',
    recv_time DateTime64(9, 'UTC') COMMENT 'Our clock when the frame arrived, before parsing. UTC, nanoseconds',
    _topic LowCardinality(String) COMMENT 'Kafka topic the row was read from',
    _partition UInt16 COMMENT 'Kafka partition the row was read from',
    _offset UInt64 COMMENT 'Kafka offset the row was read from',
    simulated Bool COMMENT 'True: the data do not come from the real exchange'
)
AS SELECT exchange, market, symbol, instrument, epoch, first_update_id, first_update_id_text, last_update_id, last_update_id_text, bid_prices, bid_quantities, ask_prices, ask_quantities, flags, event_time, recv_time, _topic, _partition, _offset, ${simulated} AS simulated
FROM book_deltas_log FINAL
COMMENT '${label}Updates of order books as the exchange sent them. Quantities are absolute, zero removes the level. One row per natural key in its newest version (FINAL)';

CREATE TABLE IF NOT EXISTS book_snapshots_log
(
    exchange LowCardinality(String) COMMENT 'Exchange, lower case (binance)',
    market LowCardinality(String) COMMENT 'Market segment: spot, perp, future, option',
    symbol LowCardinality(String) COMMENT 'The symbol in the exchange\'s own spelling, upper case (BTCUSDT)',
    instrument LowCardinality(String) COMMENT 'Canonical name (BTC-USDT), empty while the exchange metadata were not known',
    epoch UInt64 CODEC(ZSTD(1)) COMMENT 'Counts sequence resets of the exchange. (epoch, update_id) only grows',
    update_id UInt64 CODEC(DoubleDelta, ZSTD(1)) COMMENT 'Last update applied. 0 where it is no plain number, see update_id_text',
    update_id_text String CODEC(ZSTD(1)) COMMENT 'Last update applied, only where it is no plain number below 10^19. Else empty',
    state LowCardinality(String) COMMENT 'ok, resyncing, stale or crossed. Only ok books are verified',
    reason LowCardinality(String) COMMENT 'Why it is not ok',
    bid_prices Array(Decimal(38, 18)) CODEC(ZSTD(1)) COMMENT 'Bid prices, best first in snapshots, in quote currency',
    bid_quantities Array(Decimal(38, 18)) CODEC(ZSTD(1)) COMMENT 'Bid quantities in base coin, same order as bid_prices',
    ask_prices Array(Decimal(38, 18)) CODEC(ZSTD(1)) COMMENT 'Ask prices, best first in snapshots, in quote currency',
    ask_quantities Array(Decimal(38, 18)) CODEC(ZSTD(1)) COMMENT 'Ask quantities in base coin, same order as ask_prices',
    bid_known_to String CODEC(ZSTD(1)) COMMENT 'Lowest bid price down to which the book is complete. Empty: unknown, 0: all',
    ask_known_to String CODEC(ZSTD(1)) COMMENT 'Highest ask price up to which the book is complete. Empty: unknown, inf: all',
    verified_time DateTime64(9, 'UTC') CODEC(Delta(8), ZSTD(1)) COMMENT 'Receive time of the record that proved the book right. UTC, nanoseconds',
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
PARTITION BY toYYYYMMDD(recv_time)
PRIMARY KEY (exchange, market, symbol, epoch, update_id)
ORDER BY (exchange, market, symbol, epoch, update_id, update_id_text, state, reason)
${ttl_book_snapshots}
SETTINGS non_replicated_deduplication_window = 1000, ttl_only_drop_parts = 1
COMMENT '${label}Deep views of verified order books at a slow pace, and one row with empty sides when a book stops being ok. All rows written, repeats and superseded versions included: read the view instead';

CREATE VIEW IF NOT EXISTS book_snapshots
(
    exchange LowCardinality(String) COMMENT 'Exchange, lower case (binance)',
    market LowCardinality(String) COMMENT 'Market segment: spot, perp, future, option',
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
    event_time DateTime64(6, 'UTC') COMMENT 'Exchange clock. UTC, microseconds. 1970 where it gave none',
    recv_time DateTime64(9, 'UTC') COMMENT 'Our clock when the frame arrived, before parsing. UTC, nanoseconds',
    _topic LowCardinality(String) COMMENT 'Kafka topic the row was read from',
    _partition UInt16 COMMENT 'Kafka partition the row was read from',
    _offset UInt64 COMMENT 'Kafka offset the row was read from',
    simulated Bool COMMENT 'True: the data do not come from the real exchange'
)
AS SELECT exchange, market, symbol, instrument, epoch, update_id, update_id_text, state, reason, bid_prices, bid_quantities, ask_prices, ask_quantities, bid_known_to, ask_known_to, verified_time, event_time, recv_time, _topic, _partition, _offset, ${simulated} AS simulated
FROM book_snapshots_log FINAL
COMMENT '${label}Deep views of verified order books at a slow pace, and one row with empty sides when a book stops being ok. One row per natural key in its newest version (FINAL)';

CREATE TABLE IF NOT EXISTS quotes_log
(
    exchange LowCardinality(String) COMMENT 'Exchange, lower case (binance)',
    market LowCardinality(String) COMMENT 'Market segment: spot, perp, future, option',
    symbol LowCardinality(String) COMMENT 'The symbol in the exchange\'s own spelling, upper case (BTCUSDT)',
    instrument LowCardinality(String) COMMENT 'Canonical name (BTC-USDT), empty while the exchange metadata were not known',
    update_id UInt64 CODEC(DoubleDelta, ZSTD(1)) COMMENT 'Update id of the book it belongs to. 0 where it is no plain number, see update_id_text',
    update_id_text String CODEC(ZSTD(1)) COMMENT 'Update id of the book it belongs to, only where it is no plain number below 10^19. Else empty',
    bid_price Nullable(Decimal(38, 18)) CODEC(ZSTD(1)) COMMENT 'Best bid in quote currency, NULL without bids',
    bid_quantity Nullable(Decimal(38, 18)) CODEC(ZSTD(1)) COMMENT 'Quantity at the best bid in base coin',
    ask_price Nullable(Decimal(38, 18)) CODEC(ZSTD(1)) COMMENT 'Best ask in quote currency, NULL without asks',
    ask_quantity Nullable(Decimal(38, 18)) CODEC(ZSTD(1)) COMMENT 'Quantity at the best ask in base coin',
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
PARTITION BY toYYYYMMDD(recv_time)
PRIMARY KEY (exchange, market, symbol, update_id, update_id_text)
ORDER BY (exchange, market, symbol, update_id, update_id_text, event_time, bid_price, bid_quantity, ask_price, ask_quantity)
${ttl_quotes}
SETTINGS non_replicated_deduplication_window = 1000, ttl_only_drop_parts = 1, allow_nullable_key = 1
COMMENT '${label}Best bid and offer, one row per change. The whole quote is the key, because some exchanges give no time. All rows written, repeats and superseded versions included: read the view instead';

CREATE VIEW IF NOT EXISTS quotes
(
    exchange LowCardinality(String) COMMENT 'Exchange, lower case (binance)',
    market LowCardinality(String) COMMENT 'Market segment: spot, perp, future, option',
    symbol LowCardinality(String) COMMENT 'The symbol in the exchange\'s own spelling, upper case (BTCUSDT)',
    instrument LowCardinality(String) COMMENT 'Canonical name (BTC-USDT), empty while the exchange metadata were not known',
    update_id UInt64 COMMENT 'Update id of the book it belongs to. 0 where it is no plain number, see update_id_text',
    update_id_text String COMMENT 'Update id of the book it belongs to, only where it is no plain number below 10^19. Else empty',
    bid_price Nullable(Decimal(38, 18)) COMMENT 'Best bid in quote currency, NULL without bids',
    bid_quantity Nullable(Decimal(38, 18)) COMMENT 'Quantity at the best bid in base coin',
    ask_price Nullable(Decimal(38, 18)) COMMENT 'Best ask in quote currency, NULL without asks',
    ask_quantity Nullable(Decimal(38, 18)) COMMENT 'Quantity at the best ask in base coin',
    event_time DateTime64(6, 'UTC') COMMENT 'Exchange clock. UTC, microseconds. 1970 where it gave none',
    recv_time DateTime64(9, 'UTC') COMMENT 'Our clock when the frame arrived, before parsing. UTC, nanoseconds',
    _topic LowCardinality(String) COMMENT 'Kafka topic the row was read from',
    _partition UInt16 COMMENT 'Kafka partition the row was read from',
    _offset UInt64 COMMENT 'Kafka offset the row was read from',
    simulated Bool COMMENT 'True: the data do not come from the real exchange'
)
AS SELECT exchange, market, symbol, instrument, update_id, update_id_text, bid_price, bid_quantity, ask_price, ask_quantity, event_time, recv_time, _topic, _partition, _offset, ${simulated} AS simulated
FROM quotes_log FINAL
COMMENT '${label}Best bid and offer, one row per change. The whole quote is the key, because some exchanges give no time. One row per natural key in its newest version (FINAL)';

CREATE TABLE IF NOT EXISTS klines_log
(
    exchange LowCardinality(String) COMMENT 'Exchange, lower case (binance)',
    market LowCardinality(String) COMMENT 'Market segment: spot, perp, future, option',
    symbol LowCardinality(String) COMMENT 'The symbol in the exchange\'s own spelling, upper case (BTCUSDT)',
    instrument LowCardinality(String) COMMENT 'Canonical name (BTC-USDT), empty while the exchange metadata were not known',
    interval LowCardinality(String) COMMENT '1m 5m 15m 1h 4h 1d, aligned to UTC',
    open_time DateTime64(3, 'UTC') CODEC(Delta(8), ZSTD(1)) COMMENT 'Start of the candle. UTC, milliseconds',
    close_time DateTime64(3, 'UTC') CODEC(Delta(8), ZSTD(1)) COMMENT 'Last millisecond of the candle, inclusive. UTC',
    open Nullable(Decimal(38, 18)) CODEC(ZSTD(1)) COMMENT 'First price. NULL without a trade and without a known previous close',
    high Nullable(Decimal(38, 18)) CODEC(ZSTD(1)) COMMENT 'Highest price',
    low Nullable(Decimal(38, 18)) CODEC(ZSTD(1)) COMMENT 'Lowest price',
    close Nullable(Decimal(38, 18)) CODEC(ZSTD(1)) COMMENT 'Last price',
    volume Decimal(38, 18) CODEC(ZSTD(1)) COMMENT 'Traded quantity in base coin',
    quote_volume Decimal(38, 18) CODEC(ZSTD(1)) COMMENT 'Traded value in quote currency',
    trade_count UInt64 CODEC(ZSTD(1)) COMMENT 'Number of trades',
    taker_buy_volume Decimal(38, 18) CODEC(ZSTD(1)) COMMENT 'Part of volume in which the taker bought, base coin',
    taker_buy_quote_volume Decimal(38, 18) CODEC(ZSTD(1)) COMMENT 'Part of quote_volume in which the taker bought, quote currency',
    first_trade_id String CODEC(ZSTD(1)) COMMENT 'Id of the first trade in it, empty without one',
    last_trade_id String CODEC(ZSTD(1)) COMMENT 'Id of the last trade in it, empty without one',
    is_closed Bool COMMENT 'False while the candle is still open',
    status LowCardinality(String) COMMENT 'provisional: still open. final. revised: changed by a later trade',
    complete Bool COMMENT 'True when every trade of the interval is known to be in it',
    reasons Array(LowCardinality(String)) COMMENT 'Why it is not complete: begun_before_capture, gap, late_dropped, disconnected',
    gaps Array(String) CODEC(ZSTD(1)) COMMENT 'gap_id of the gaps that touch it',
    revision UInt64 CODEC(ZSTD(1)) COMMENT 'Grows by one with each change after it was final',
    source LowCardinality(String) COMMENT 'Trades it is made of: trade or agg_trade',
    event_time DateTime64(6, 'UTC') CODEC(Delta(8), ZSTD(1)) COMMENT 'Exchange clock. UTC, microseconds. 1970 where it gave none',
    recv_time DateTime64(9, 'UTC') CODEC(Delta(8), ZSTD(1)) COMMENT 'Our clock when the frame arrived, before parsing. UTC, nanoseconds',
    _version UInt256 CODEC(ZSTD(1)) COMMENT 'Made of the content. The highest among rows of one key is the valid one',
    _topic LowCardinality(String) COMMENT 'Kafka topic the row was read from',
    _partition UInt16 COMMENT 'Kafka partition the row was read from',
    _offset UInt64 CODEC(Delta(8), ZSTD(1)) COMMENT 'Kafka offset the row was read from',
    INDEX event_time_range event_time TYPE minmax GRANULARITY 4,
    INDEX recv_time_range recv_time TYPE minmax GRANULARITY 4,
    INDEX _offset_range _offset TYPE minmax GRANULARITY 4
)
ENGINE = ${engine}(_version)
PARTITION BY toYYYYMM(open_time)
PRIMARY KEY (exchange, market, symbol, interval, open_time)
ORDER BY (exchange, market, symbol, interval, open_time)
${ttl_klines}
SETTINGS non_replicated_deduplication_window = 1000, ttl_only_drop_parts = 1
COMMENT '${label}Our candles, made of trades by trade time, in their newest version. Open candles are in it: filter is_closed. All rows written, repeats and superseded versions included: read the view instead';

CREATE VIEW IF NOT EXISTS klines
(
    exchange LowCardinality(String) COMMENT 'Exchange, lower case (binance)',
    market LowCardinality(String) COMMENT 'Market segment: spot, perp, future, option',
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
    complete Bool COMMENT 'True when every trade of the interval is known to be in it',
    reasons Array(LowCardinality(String)) COMMENT 'Why it is not complete: begun_before_capture, gap, late_dropped, disconnected',
    gaps Array(String) COMMENT 'gap_id of the gaps that touch it',
    revision UInt64 COMMENT 'Grows by one with each change after it was final',
    source LowCardinality(String) COMMENT 'Trades it is made of: trade or agg_trade',
    event_time DateTime64(6, 'UTC') COMMENT 'Exchange clock. UTC, microseconds. 1970 where it gave none',
    recv_time DateTime64(9, 'UTC') COMMENT 'Our clock when the frame arrived, before parsing. UTC, nanoseconds',
    _topic LowCardinality(String) COMMENT 'Kafka topic the row was read from',
    _partition UInt16 COMMENT 'Kafka partition the row was read from',
    _offset UInt64 COMMENT 'Kafka offset the row was read from',
    simulated Bool COMMENT 'True: the data do not come from the real exchange'
)
AS SELECT exchange, market, symbol, instrument, interval, open_time, close_time, open, high, low, close, volume, quote_volume, trade_count, taker_buy_volume, taker_buy_quote_volume, first_trade_id, last_trade_id, is_closed, status, complete, reasons, gaps, revision, source, event_time, recv_time, _topic, _partition, _offset, ${simulated} AS simulated
FROM klines_log FINAL
COMMENT '${label}Our candles, made of trades by trade time, in their newest version. Open candles are in it: filter is_closed. One row per natural key in its newest version (FINAL)';

CREATE TABLE IF NOT EXISTS venue_klines_log
(
    exchange LowCardinality(String) COMMENT 'Exchange, lower case (binance)',
    market LowCardinality(String) COMMENT 'Market segment: spot, perp, future, option',
    symbol LowCardinality(String) COMMENT 'The symbol in the exchange\'s own spelling, upper case (BTCUSDT)',
    instrument LowCardinality(String) COMMENT 'Canonical name (BTC-USDT), empty while the exchange metadata were not known',
    interval LowCardinality(String) COMMENT '1m 5m 15m 1h 4h 1d, aligned to UTC',
    open_time DateTime64(3, 'UTC') CODEC(Delta(8), ZSTD(1)) COMMENT 'Start of the candle. UTC, milliseconds',
    close_time DateTime64(3, 'UTC') CODEC(Delta(8), ZSTD(1)) COMMENT 'Last millisecond of the candle, inclusive. UTC',
    open Nullable(Decimal(38, 18)) CODEC(ZSTD(1)) COMMENT 'First price. NULL without a trade and without a known previous close',
    high Nullable(Decimal(38, 18)) CODEC(ZSTD(1)) COMMENT 'Highest price',
    low Nullable(Decimal(38, 18)) CODEC(ZSTD(1)) COMMENT 'Lowest price',
    close Nullable(Decimal(38, 18)) CODEC(ZSTD(1)) COMMENT 'Last price',
    volume Decimal(38, 18) CODEC(ZSTD(1)) COMMENT 'Traded quantity in base coin',
    quote_volume Decimal(38, 18) CODEC(ZSTD(1)) COMMENT 'Traded value in quote currency',
    trade_count UInt64 CODEC(ZSTD(1)) COMMENT 'Number of trades',
    taker_buy_volume Decimal(38, 18) CODEC(ZSTD(1)) COMMENT 'Part of volume in which the taker bought, base coin',
    taker_buy_quote_volume Decimal(38, 18) CODEC(ZSTD(1)) COMMENT 'Part of quote_volume in which the taker bought, quote currency',
    first_trade_id String CODEC(ZSTD(1)) COMMENT 'Id of the first trade in it, empty without one',
    last_trade_id String CODEC(ZSTD(1)) COMMENT 'Id of the last trade in it, empty without one',
    is_closed Bool COMMENT 'False while the candle is still open',
    event_time DateTime64(6, 'UTC') CODEC(Delta(8), ZSTD(1)) COMMENT 'Exchange clock. UTC, microseconds. 1970 where it gave none',
    recv_time DateTime64(9, 'UTC') CODEC(Delta(8), ZSTD(1)) COMMENT 'Our clock when the frame arrived, before parsing. UTC, nanoseconds',
    _version UInt256 CODEC(ZSTD(1)) COMMENT 'Made of the content. The highest among rows of one key is the valid one',
    _topic LowCardinality(String) COMMENT 'Kafka topic the row was read from',
    _partition UInt16 COMMENT 'Kafka partition the row was read from',
    _offset UInt64 CODEC(Delta(8), ZSTD(1)) COMMENT 'Kafka offset the row was read from',
    INDEX event_time_range event_time TYPE minmax GRANULARITY 4,
    INDEX recv_time_range recv_time TYPE minmax GRANULARITY 4,
    INDEX _offset_range _offset TYPE minmax GRANULARITY 4
)
ENGINE = ${engine}(_version)
PARTITION BY toYYYYMM(open_time)
PRIMARY KEY (exchange, market, symbol, interval, open_time)
ORDER BY (exchange, market, symbol, interval, open_time)
${ttl_venue_klines}
SETTINGS non_replicated_deduplication_window = 1000, ttl_only_drop_parts = 1
COMMENT '${label}The exchange\'s own candles in their newest version. All rows written, repeats and superseded versions included: read the view instead';

CREATE VIEW IF NOT EXISTS venue_klines
(
    exchange LowCardinality(String) COMMENT 'Exchange, lower case (binance)',
    market LowCardinality(String) COMMENT 'Market segment: spot, perp, future, option',
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
    event_time DateTime64(6, 'UTC') COMMENT 'Exchange clock. UTC, microseconds. 1970 where it gave none',
    recv_time DateTime64(9, 'UTC') COMMENT 'Our clock when the frame arrived, before parsing. UTC, nanoseconds',
    _topic LowCardinality(String) COMMENT 'Kafka topic the row was read from',
    _partition UInt16 COMMENT 'Kafka partition the row was read from',
    _offset UInt64 COMMENT 'Kafka offset the row was read from',
    simulated Bool COMMENT 'True: the data do not come from the real exchange'
)
AS SELECT exchange, market, symbol, instrument, interval, open_time, close_time, open, high, low, close, volume, quote_volume, trade_count, taker_buy_volume, taker_buy_quote_volume, first_trade_id, last_trade_id, is_closed, event_time, recv_time, _topic, _partition, _offset, ${simulated} AS simulated
FROM venue_klines_log FINAL
COMMENT '${label}The exchange\'s own candles in their newest version. One row per natural key in its newest version (FINAL)';

CREATE TABLE IF NOT EXISTS kline_residuals_log
(
    exchange LowCardinality(String) COMMENT 'Exchange, lower case (binance)',
    market LowCardinality(String) COMMENT 'Market segment: spot, perp, future, option',
    symbol LowCardinality(String) COMMENT 'The symbol in the exchange\'s own spelling, upper case (BTCUSDT)',
    instrument LowCardinality(String) COMMENT 'Canonical name (BTC-USDT), empty while the exchange metadata were not known',
    interval LowCardinality(String) COMMENT '1m 5m 15m 1h 4h 1d, aligned to UTC',
    open_time DateTime64(3, 'UTC') CODEC(Delta(8), ZSTD(1)) COMMENT 'Start of the candle. UTC, milliseconds',
    close_time DateTime64(3, 'UTC') CODEC(Delta(8), ZSTD(1)) COMMENT 'Last millisecond of the candle, inclusive. UTC',
    revision UInt64 CODEC(ZSTD(1)) COMMENT 'Revision of our candle that was compared',
    matched Bool COMMENT 'True when every field is equal',
    ours_complete Bool COMMENT 'Whether our candle claimed to be complete',
    fields Array(LowCardinality(String)) COMMENT 'Names of the fields that differ',
    volume_diff Decimal(38, 18) CODEC(ZSTD(1)) COMMENT 'Difference of volume, base coin',
    quote_volume_diff Decimal(38, 18) CODEC(ZSTD(1)) COMMENT 'Difference of quote_volume, quote currency',
    trade_count_diff Int64 CODEC(ZSTD(1)) COMMENT 'Difference of trade_count',
    open_diff Decimal(38, 18) CODEC(ZSTD(1)) COMMENT 'Difference of open',
    high_diff Decimal(38, 18) CODEC(ZSTD(1)) COMMENT 'Difference of high',
    low_diff Decimal(38, 18) CODEC(ZSTD(1)) COMMENT 'Difference of low',
    close_diff Decimal(38, 18) CODEC(ZSTD(1)) COMMENT 'Difference of close',
    source LowCardinality(String) COMMENT 'Trades ours is made of: trade or agg_trade',
    event_time DateTime64(6, 'UTC') CODEC(Delta(8), ZSTD(1)) COMMENT 'Exchange clock. UTC, microseconds. 1970 where it gave none',
    recv_time DateTime64(9, 'UTC') CODEC(Delta(8), ZSTD(1)) COMMENT 'Our clock when the frame arrived, before parsing. UTC, nanoseconds',
    _version UInt256 CODEC(ZSTD(1)) COMMENT 'Made of the content. The highest among rows of one key is the valid one',
    _topic LowCardinality(String) COMMENT 'Kafka topic the row was read from',
    _partition UInt16 COMMENT 'Kafka partition the row was read from',
    _offset UInt64 CODEC(Delta(8), ZSTD(1)) COMMENT 'Kafka offset the row was read from',
    INDEX event_time_range event_time TYPE minmax GRANULARITY 4,
    INDEX recv_time_range recv_time TYPE minmax GRANULARITY 4,
    INDEX _offset_range _offset TYPE minmax GRANULARITY 4
)
ENGINE = ${engine}(_version)
PARTITION BY toYYYYMM(open_time)
PRIMARY KEY (exchange, market, symbol, interval, open_time)
ORDER BY (exchange, market, symbol, interval, open_time)
${ttl_kline_residuals}
SETTINGS non_replicated_deduplication_window = 1000, ttl_only_drop_parts = 1
COMMENT '${label}Our final candles compared with the exchange\'s closed ones. Differences are ours minus theirs. All rows written, repeats and superseded versions included: read the view instead';

CREATE VIEW IF NOT EXISTS kline_residuals
(
    exchange LowCardinality(String) COMMENT 'Exchange, lower case (binance)',
    market LowCardinality(String) COMMENT 'Market segment: spot, perp, future, option',
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

CREATE TABLE IF NOT EXISTS tickers_log
(
    exchange LowCardinality(String) COMMENT 'Exchange, lower case (binance)',
    market LowCardinality(String) COMMENT 'Market segment: spot, perp, future, option',
    symbol LowCardinality(String) COMMENT 'The symbol in the exchange\'s own spelling, upper case (BTCUSDT)',
    instrument LowCardinality(String) COMMENT 'Canonical name (BTC-USDT), empty while the exchange metadata were not known',
    event_time DateTime64(6, 'UTC') CODEC(Delta(8), ZSTD(1)) COMMENT 'Exchange clock. UTC, microseconds. 1970 where it gave none',
    last_price Decimal(38, 18) CODEC(ZSTD(1)) COMMENT 'Price of the last trade',
    last_quantity Nullable(Decimal(38, 18)) CODEC(ZSTD(1)) COMMENT 'Quantity of the last trade, base coin',
    open Nullable(Decimal(38, 18)) CODEC(ZSTD(1)) COMMENT 'First price of the window',
    high Nullable(Decimal(38, 18)) CODEC(ZSTD(1)) COMMENT 'Highest price of the window',
    low Nullable(Decimal(38, 18)) CODEC(ZSTD(1)) COMMENT 'Lowest price of the window',
    volume Nullable(Decimal(38, 18)) CODEC(ZSTD(1)) COMMENT 'Quantity traded in the window, base coin',
    quote_volume Nullable(Decimal(38, 18)) CODEC(ZSTD(1)) COMMENT 'Value traded in the window, quote currency',
    price_change Nullable(Decimal(38, 18)) CODEC(ZSTD(1)) COMMENT 'Last price minus first price',
    price_change_percent Nullable(Decimal(38, 18)) CODEC(ZSTD(1)) COMMENT 'The same in percent of the first price',
    weighted_average_price Nullable(Decimal(38, 18)) CODEC(ZSTD(1)) COMMENT 'quote_volume / volume as the exchange rounds it',
    bid_price Nullable(Decimal(38, 18)) CODEC(ZSTD(1)) COMMENT 'Best bid',
    bid_quantity Nullable(Decimal(38, 18)) CODEC(ZSTD(1)) COMMENT 'Quantity at the best bid, base coin',
    ask_price Nullable(Decimal(38, 18)) CODEC(ZSTD(1)) COMMENT 'Best ask',
    ask_quantity Nullable(Decimal(38, 18)) CODEC(ZSTD(1)) COMMENT 'Quantity at the best ask, base coin',
    trade_count UInt64 CODEC(ZSTD(1)) COMMENT 'Trades in the window, 0 where not given',
    first_trade_id UInt64 CODEC(DoubleDelta, ZSTD(1)) COMMENT 'First trade of the window. 0 where it is no plain number, see first_trade_id_text',
    first_trade_id_text String CODEC(ZSTD(1)) COMMENT 'First trade of the window, only where it is no plain number below 10^19. Else empty',
    last_trade_id UInt64 CODEC(DoubleDelta, ZSTD(1)) COMMENT 'Last trade of the window. 0 where it is no plain number, see last_trade_id_text',
    last_trade_id_text String CODEC(ZSTD(1)) COMMENT 'Last trade of the window, only where it is no plain number below 10^19. Else empty',
    window_open DateTime64(3, 'UTC') CODEC(Delta(8), ZSTD(1)) COMMENT 'Start of the window. UTC, milliseconds. 1970: not given',
    window_close DateTime64(3, 'UTC') CODEC(Delta(8), ZSTD(1)) COMMENT 'End of the window. UTC, milliseconds. 1970: not given',
    recv_time DateTime64(9, 'UTC') CODEC(Delta(8), ZSTD(1)) COMMENT 'Our clock when the frame arrived, before parsing. UTC, nanoseconds',
    _topic LowCardinality(String) COMMENT 'Kafka topic the row was read from',
    _partition UInt16 COMMENT 'Kafka partition the row was read from',
    _offset UInt64 CODEC(Delta(8), ZSTD(1)) COMMENT 'Kafka offset the row was read from',
    INDEX recv_time_range recv_time TYPE minmax GRANULARITY 4,
    INDEX _offset_range _offset TYPE minmax GRANULARITY 4
)
ENGINE = ${engine}()
PARTITION BY toYYYYMM(event_time)
PRIMARY KEY (exchange, market, symbol, event_time, window_close)
ORDER BY (exchange, market, symbol, event_time, window_close, last_trade_id, last_trade_id_text)
${ttl_tickers}
SETTINGS non_replicated_deduplication_window = 1000, ttl_only_drop_parts = 1
COMMENT '${label}Rolling 24 hour statistics as the exchange computes them. All rows written, repeats and superseded versions included: read the view instead';

CREATE VIEW IF NOT EXISTS tickers
(
    exchange LowCardinality(String) COMMENT 'Exchange, lower case (binance)',
    market LowCardinality(String) COMMENT 'Market segment: spot, perp, future, option',
    symbol LowCardinality(String) COMMENT 'The symbol in the exchange\'s own spelling, upper case (BTCUSDT)',
    instrument LowCardinality(String) COMMENT 'Canonical name (BTC-USDT), empty while the exchange metadata were not known',
    event_time DateTime64(6, 'UTC') COMMENT 'Exchange clock. UTC, microseconds. 1970 where it gave none',
    last_price Decimal(38, 18) COMMENT 'Price of the last trade',
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
    recv_time DateTime64(9, 'UTC') COMMENT 'Our clock when the frame arrived, before parsing. UTC, nanoseconds',
    _topic LowCardinality(String) COMMENT 'Kafka topic the row was read from',
    _partition UInt16 COMMENT 'Kafka partition the row was read from',
    _offset UInt64 COMMENT 'Kafka offset the row was read from',
    simulated Bool COMMENT 'True: the data do not come from the real exchange'
)
AS SELECT exchange, market, symbol, instrument, event_time, last_price, last_quantity, open, high, low, volume, quote_volume, price_change, price_change_percent, weighted_average_price, bid_price, bid_quantity, ask_price, ask_quantity, trade_count, first_trade_id, first_trade_id_text, last_trade_id, last_trade_id_text, window_open, window_close, recv_time, _topic, _partition, _offset, ${simulated} AS simulated
FROM tickers_log FINAL
COMMENT '${label}Rolling 24 hour statistics as the exchange computes them. One row per natural key in its newest version (FINAL)';

CREATE TABLE IF NOT EXISTS gaps_log
(
    exchange LowCardinality(String) COMMENT 'Exchange, lower case (binance)',
    market LowCardinality(String) COMMENT 'Market segment: spot, perp, future, option',
    symbol LowCardinality(String) COMMENT 'The symbol in the exchange\'s own spelling, upper case (BTCUSDT)',
    instrument LowCardinality(String) COMMENT 'Canonical name (BTC-USDT), empty while the exchange metadata were not known',
    channel LowCardinality(String) COMMENT 'Stream it is in: trade, agg_trade, book, bbo, kline, ticker',
    gap_id String CODEC(ZSTD(1)) COMMENT '{channel}:{first_missing_id}-{last_missing_id} or {channel}:{from_time_us}',
    epoch UInt64 CODEC(ZSTD(1)) COMMENT 'Counts sequence resets of the exchange',
    first_missing_id UInt64 CODEC(DoubleDelta, ZSTD(1)) COMMENT 'First id missing. 0 where it is no plain number, see first_missing_id_text',
    first_missing_id_text String CODEC(ZSTD(1)) COMMENT 'First id missing, only where it is no plain number below 10^19. Else empty',
    last_missing_id UInt64 CODEC(DoubleDelta, ZSTD(1)) COMMENT 'Last id missing. 0 where it is no plain number, see last_missing_id_text',
    last_missing_id_text String CODEC(ZSTD(1)) COMMENT 'Last id missing, only where it is no plain number below 10^19. Else empty',
    missing_count UInt64 CODEC(ZSTD(1)) COMMENT 'How many ids are missing. 0: unknown, the stream has no consecutive ids',
    filled_count UInt64 CODEC(ZSTD(1)) COMMENT 'How many of them came after all',
    from_time DateTime64(6, 'UTC') CODEC(Delta(8), ZSTD(1)) COMMENT 'Time of the last record before the gap. UTC, microseconds',
    to_time DateTime64(6, 'UTC') CODEC(Delta(8), ZSTD(1)) COMMENT 'Time of the first record after the gap. UTC, microseconds',
    reason LowCardinality(String) COMMENT 'id_skip, disconnected, capture_restarted, buffer_full, sequence_reset',
    recv_time DateTime64(9, 'UTC') CODEC(Delta(8), ZSTD(1)) COMMENT 'Our clock when the frame arrived, before parsing. UTC, nanoseconds',
    _version UInt256 CODEC(ZSTD(1)) COMMENT 'Made of the content. The highest among rows of one key is the valid one',
    _topic LowCardinality(String) COMMENT 'Kafka topic the row was read from',
    _partition UInt16 COMMENT 'Kafka partition the row was read from',
    _offset UInt64 CODEC(Delta(8), ZSTD(1)) COMMENT 'Kafka offset the row was read from',
    INDEX recv_time_range recv_time TYPE minmax GRANULARITY 4,
    INDEX _offset_range _offset TYPE minmax GRANULARITY 4
)
ENGINE = ${engine}(_version)
PARTITION BY toYYYYMM(from_time)
PRIMARY KEY (exchange, market, symbol, channel, gap_id)
ORDER BY (exchange, market, symbol, channel, gap_id, epoch)
${ttl_gaps}
SETTINGS non_replicated_deduplication_window = 1000, ttl_only_drop_parts = 1
COMMENT '${label}What we know we do not have. A gap whose filled_count reached missing_count was filled later. All rows written, repeats and superseded versions included: read the view instead';

CREATE VIEW IF NOT EXISTS gaps
(
    exchange LowCardinality(String) COMMENT 'Exchange, lower case (binance)',
    market LowCardinality(String) COMMENT 'Market segment: spot, perp, future, option',
    symbol LowCardinality(String) COMMENT 'The symbol in the exchange\'s own spelling, upper case (BTCUSDT)',
    instrument LowCardinality(String) COMMENT 'Canonical name (BTC-USDT), empty while the exchange metadata were not known',
    channel LowCardinality(String) COMMENT 'Stream it is in: trade, agg_trade, book, bbo, kline, ticker',
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

CREATE TABLE IF NOT EXISTS feed_status_log
(
    exchange LowCardinality(String) COMMENT 'Exchange, lower case (binance)',
    market LowCardinality(String) COMMENT 'Market segment: spot, perp, future, option',
    symbol LowCardinality(String) COMMENT 'The symbol in the exchange\'s own spelling, upper case (BTCUSDT)',
    instrument LowCardinality(String) COMMENT 'Canonical name (BTC-USDT), empty while the exchange metadata were not known',
    channel LowCardinality(String) COMMENT 'Stream: trade, agg_trade, book, bbo, kline, ticker',
    state LowCardinality(String) COMMENT 'connected or disconnected',
    reason LowCardinality(String) COMMENT 'Why',
    connection String CODEC(ZSTD(1)) COMMENT 'Identity of the connection',
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
PARTITION BY toYYYYMM(recv_time)
PRIMARY KEY (exchange, market, symbol, channel, recv_time)
ORDER BY (exchange, market, symbol, channel, recv_time, connection, state)
${ttl_feed_status}
SETTINGS non_replicated_deduplication_window = 1000, ttl_only_drop_parts = 1
COMMENT '${label}Connections of streams that came up or went down. Our own events, so the receive time is part of the key. All rows written, repeats and superseded versions included: read the view instead';

CREATE VIEW IF NOT EXISTS feed_status
(
    exchange LowCardinality(String) COMMENT 'Exchange, lower case (binance)',
    market LowCardinality(String) COMMENT 'Market segment: spot, perp, future, option',
    symbol LowCardinality(String) COMMENT 'The symbol in the exchange\'s own spelling, upper case (BTCUSDT)',
    instrument LowCardinality(String) COMMENT 'Canonical name (BTC-USDT), empty while the exchange metadata were not known',
    channel LowCardinality(String) COMMENT 'Stream: trade, agg_trade, book, bbo, kline, ticker',
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

CREATE TABLE IF NOT EXISTS dead_letters_log
(
    exchange LowCardinality(String) COMMENT 'Exchange, lower case (binance)',
    market LowCardinality(String) COMMENT 'Market segment: spot, perp, future, option',
    symbol LowCardinality(String) COMMENT 'The symbol in the exchange\'s own spelling, upper case (BTCUSDT)',
    instrument LowCardinality(String) COMMENT 'Canonical name (BTC-USDT), empty while the exchange metadata were not known',
    reason LowCardinality(String) COMMENT 'Stable code of why it was refused',
    detail String CODEC(ZSTD(1)) COMMENT 'The same in words',
    channel LowCardinality(String) COMMENT 'Stream it came on',
    raw_topic LowCardinality(String) COMMENT 'Kafka topic of the record that was refused',
    raw_partition UInt16 COMMENT 'Kafka partition of the record that was refused',
    raw_offset UInt64 CODEC(Delta(8), ZSTD(1)) COMMENT 'Kafka offset of the record that was refused',
    record_id String CODEC(ZSTD(1)) COMMENT 'Id of the refused item within the record (a trade id), where there is one',
    payload String CODEC(ZSTD(1)) COMMENT 'The bytes: text where they are UTF-8, else base64 with the prefix base64:',
    recv_time DateTime64(9, 'UTC') CODEC(Delta(8), ZSTD(1)) COMMENT 'Our clock when the frame arrived, before parsing. UTC, nanoseconds',
    _topic LowCardinality(String) COMMENT 'Kafka topic the row was read from',
    _partition UInt16 COMMENT 'Kafka partition the row was read from',
    _offset UInt64 CODEC(Delta(8), ZSTD(1)) COMMENT 'Kafka offset the row was read from',
    INDEX recv_time_range recv_time TYPE minmax GRANULARITY 4,
    INDEX _offset_range _offset TYPE minmax GRANULARITY 4
)
ENGINE = ${engine}()
PARTITION BY toYYYYMM(recv_time)
PRIMARY KEY (exchange, market, symbol, raw_topic, raw_partition)
ORDER BY (exchange, market, symbol, raw_topic, raw_partition, raw_offset, record_id, reason)
${ttl_dead_letters}
SETTINGS non_replicated_deduplication_window = 1000, ttl_only_drop_parts = 1
COMMENT '${label}What could not be accepted, with the reason and the coordinates of the raw record. All rows written, repeats and superseded versions included: read the view instead';

CREATE VIEW IF NOT EXISTS dead_letters
(
    exchange LowCardinality(String) COMMENT 'Exchange, lower case (binance)',
    market LowCardinality(String) COMMENT 'Market segment: spot, perp, future, option',
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

CREATE TABLE IF NOT EXISTS instruments_log
(
    exchange LowCardinality(String) COMMENT 'Exchange, lower case (binance)',
    market LowCardinality(String) COMMENT 'Market segment: spot, perp, future, option',
    symbol LowCardinality(String) COMMENT 'The symbol in the exchange\'s own spelling, upper case (BTCUSDT)',
    instrument LowCardinality(String) COMMENT 'Canonical name (BTC-USDT), empty while the exchange metadata were not known',
    base LowCardinality(String) COMMENT 'Base currency',
    quote LowCardinality(String) COMMENT 'Quote currency',
    settle LowCardinality(String) COMMENT 'Currency a contract settles in',
    status LowCardinality(String) COMMENT 'As the exchange names it',
    tick_size Nullable(Decimal(38, 18)) CODEC(ZSTD(1)) COMMENT 'Smallest price step',
    lot_size Nullable(Decimal(38, 18)) CODEC(ZSTD(1)) COMMENT 'Smallest quantity step',
    min_quantity Nullable(Decimal(38, 18)) CODEC(ZSTD(1)) COMMENT 'Smallest order in base coin',
    min_notional Nullable(Decimal(38, 18)) CODEC(ZSTD(1)) COMMENT 'Smallest order in quote currency',
    contract_multiplier Decimal(38, 18) CODEC(ZSTD(1)) COMMENT 'Base coin (inverse: quote currency) per contract',
    inverse Bool COMMENT 'True for contracts counted in quote currency and settled in base coin',
    expiry DateTime64(6, 'UTC') CODEC(Delta(8), ZSTD(1)) COMMENT 'Expiry. UTC, microseconds. 1970: none',
    strike Nullable(Decimal(38, 18)) CODEC(ZSTD(1)) COMMENT 'Strike price of an option',
    option_kind LowCardinality(String) COMMENT 'call or put, empty for others',
    event_time DateTime64(6, 'UTC') CODEC(Delta(8), ZSTD(1)) COMMENT 'Exchange clock. UTC, microseconds. 1970 where it gave none',
    recv_time DateTime64(9, 'UTC') CODEC(Delta(8), ZSTD(1)) COMMENT 'Our clock when the frame arrived, before parsing. UTC, nanoseconds',
    _version UInt256 CODEC(ZSTD(1)) COMMENT 'Made of the content. The highest among rows of one key is the valid one',
    _topic LowCardinality(String) COMMENT 'Kafka topic the row was read from',
    _partition UInt16 COMMENT 'Kafka partition the row was read from',
    _offset UInt64 CODEC(Delta(8), ZSTD(1)) COMMENT 'Kafka offset the row was read from',
    INDEX event_time_range event_time TYPE minmax GRANULARITY 4,
    INDEX recv_time_range recv_time TYPE minmax GRANULARITY 4,
    INDEX _offset_range _offset TYPE minmax GRANULARITY 4
)
ENGINE = ${engine}(_version)
PRIMARY KEY (exchange, market, symbol)
ORDER BY (exchange, market, symbol)
SETTINGS non_replicated_deduplication_window = 1000
COMMENT '${label}What each symbol is, as the exchange last described it. All rows written, repeats and superseded versions included: read the view instead';

CREATE VIEW IF NOT EXISTS instruments
(
    exchange LowCardinality(String) COMMENT 'Exchange, lower case (binance)',
    market LowCardinality(String) COMMENT 'Market segment: spot, perp, future, option',
    symbol LowCardinality(String) COMMENT 'The symbol in the exchange\'s own spelling, upper case (BTCUSDT)',
    instrument LowCardinality(String) COMMENT 'Canonical name (BTC-USDT), empty while the exchange metadata were not known',
    base LowCardinality(String) COMMENT 'Base currency',
    quote LowCardinality(String) COMMENT 'Quote currency',
    settle LowCardinality(String) COMMENT 'Currency a contract settles in',
    status LowCardinality(String) COMMENT 'As the exchange names it',
    tick_size Nullable(Decimal(38, 18)) COMMENT 'Smallest price step',
    lot_size Nullable(Decimal(38, 18)) COMMENT 'Smallest quantity step',
    min_quantity Nullable(Decimal(38, 18)) COMMENT 'Smallest order in base coin',
    min_notional Nullable(Decimal(38, 18)) COMMENT 'Smallest order in quote currency',
    contract_multiplier Decimal(38, 18) COMMENT 'Base coin (inverse: quote currency) per contract',
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
AS SELECT exchange, market, symbol, instrument, base, quote, settle, status, tick_size, lot_size, min_quantity, min_notional, contract_multiplier, inverse, expiry, strike, option_kind, event_time, recv_time, _topic, _partition, _offset, ${simulated} AS simulated
FROM instruments_log FINAL
COMMENT '${label}What each symbol is, as the exchange last described it. One row per natural key in its newest version (FINAL)';

CREATE TABLE IF NOT EXISTS mark_prices_log
(
    exchange LowCardinality(String) COMMENT 'Exchange, lower case (binance)',
    market LowCardinality(String) COMMENT 'Market segment: spot, perp, future, option',
    symbol LowCardinality(String) COMMENT 'The symbol in the exchange\'s own spelling, upper case (BTCUSDT)',
    instrument LowCardinality(String) COMMENT 'Canonical name (BTC-USDT), empty while the exchange metadata were not known',
    event_time DateTime64(6, 'UTC') CODEC(Delta(8), ZSTD(1)) COMMENT 'Exchange clock. UTC, microseconds. 1970 where it gave none',
    mark_price Decimal(38, 18) CODEC(ZSTD(1)) COMMENT 'Mark price in quote currency',
    index_price Nullable(Decimal(38, 18)) CODEC(ZSTD(1)) COMMENT 'Index price in quote currency',
    settle_price Nullable(Decimal(38, 18)) CODEC(ZSTD(1)) COMMENT 'Estimated settlement price in quote currency',
    recv_time DateTime64(9, 'UTC') CODEC(Delta(8), ZSTD(1)) COMMENT 'Our clock when the frame arrived, before parsing. UTC, nanoseconds',
    _version UInt256 CODEC(ZSTD(1)) COMMENT 'Made of the content. The highest among rows of one key is the valid one',
    _topic LowCardinality(String) COMMENT 'Kafka topic the row was read from',
    _partition UInt16 COMMENT 'Kafka partition the row was read from',
    _offset UInt64 CODEC(Delta(8), ZSTD(1)) COMMENT 'Kafka offset the row was read from',
    INDEX recv_time_range recv_time TYPE minmax GRANULARITY 4,
    INDEX _offset_range _offset TYPE minmax GRANULARITY 4
)
ENGINE = ${engine}(_version)
PARTITION BY toYYYYMM(event_time)
PRIMARY KEY (exchange, market, symbol, event_time)
ORDER BY (exchange, market, symbol, event_time)
${ttl_mark_prices}
SETTINGS non_replicated_deduplication_window = 1000, ttl_only_drop_parts = 1
COMMENT '${label}Mark and index prices of derivatives. All rows written, repeats and superseded versions included: read the view instead';

CREATE VIEW IF NOT EXISTS mark_prices
(
    exchange LowCardinality(String) COMMENT 'Exchange, lower case (binance)',
    market LowCardinality(String) COMMENT 'Market segment: spot, perp, future, option',
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

CREATE TABLE IF NOT EXISTS funding_log
(
    exchange LowCardinality(String) COMMENT 'Exchange, lower case (binance)',
    market LowCardinality(String) COMMENT 'Market segment: spot, perp, future, option',
    symbol LowCardinality(String) COMMENT 'The symbol in the exchange\'s own spelling, upper case (BTCUSDT)',
    instrument LowCardinality(String) COMMENT 'Canonical name (BTC-USDT), empty while the exchange metadata were not known',
    funding_time DateTime64(6, 'UTC') CODEC(Delta(8), ZSTD(1)) COMMENT 'When the rate is or was exchanged. UTC, microseconds',
    settled Bool COMMENT 'True when it was exchanged, false for an estimate',
    event_time DateTime64(6, 'UTC') CODEC(Delta(8), ZSTD(1)) COMMENT 'Exchange clock. UTC, microseconds. 1970 where it gave none',
    rate Decimal(38, 18) CODEC(ZSTD(1)) COMMENT 'Fraction per period, 0.0001 is one basis point',
    next_rate Nullable(Decimal(38, 18)) CODEC(ZSTD(1)) COMMENT 'Estimate for the period after',
    interval_ms UInt64 CODEC(ZSTD(1)) COMMENT 'Length of the period in milliseconds, 0 where not given',
    recv_time DateTime64(9, 'UTC') CODEC(Delta(8), ZSTD(1)) COMMENT 'Our clock when the frame arrived, before parsing. UTC, nanoseconds',
    _version UInt256 CODEC(ZSTD(1)) COMMENT 'Made of the content. The highest among rows of one key is the valid one',
    _topic LowCardinality(String) COMMENT 'Kafka topic the row was read from',
    _partition UInt16 COMMENT 'Kafka partition the row was read from',
    _offset UInt64 CODEC(Delta(8), ZSTD(1)) COMMENT 'Kafka offset the row was read from',
    INDEX event_time_range event_time TYPE minmax GRANULARITY 4,
    INDEX recv_time_range recv_time TYPE minmax GRANULARITY 4,
    INDEX _offset_range _offset TYPE minmax GRANULARITY 4
)
ENGINE = ${engine}(_version)
PARTITION BY toYYYYMM(funding_time)
PRIMARY KEY (exchange, market, symbol, funding_time, settled)
ORDER BY (exchange, market, symbol, funding_time, settled, event_time)
${ttl_funding}
SETTINGS non_replicated_deduplication_window = 1000, ttl_only_drop_parts = 1
COMMENT '${label}Funding rates of perpetuals. All rows written, repeats and superseded versions included: read the view instead';

CREATE VIEW IF NOT EXISTS funding
(
    exchange LowCardinality(String) COMMENT 'Exchange, lower case (binance)',
    market LowCardinality(String) COMMENT 'Market segment: spot, perp, future, option',
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

CREATE TABLE IF NOT EXISTS open_interest_log
(
    exchange LowCardinality(String) COMMENT 'Exchange, lower case (binance)',
    market LowCardinality(String) COMMENT 'Market segment: spot, perp, future, option',
    symbol LowCardinality(String) COMMENT 'The symbol in the exchange\'s own spelling, upper case (BTCUSDT)',
    instrument LowCardinality(String) COMMENT 'Canonical name (BTC-USDT), empty while the exchange metadata were not known',
    event_time DateTime64(6, 'UTC') CODEC(Delta(8), ZSTD(1)) COMMENT 'Exchange clock. UTC, microseconds. 1970 where it gave none',
    open_interest Decimal(38, 18) CODEC(ZSTD(1)) COMMENT 'In base coin',
    raw_open_interest Nullable(Decimal(38, 18)) CODEC(ZSTD(1)) COMMENT 'As the exchange counts it (contracts)',
    value Nullable(Decimal(38, 18)) CODEC(ZSTD(1)) COMMENT 'In quote currency, where the exchange gives it',
    recv_time DateTime64(9, 'UTC') CODEC(Delta(8), ZSTD(1)) COMMENT 'Our clock when the frame arrived, before parsing. UTC, nanoseconds',
    _version UInt256 CODEC(ZSTD(1)) COMMENT 'Made of the content. The highest among rows of one key is the valid one',
    _topic LowCardinality(String) COMMENT 'Kafka topic the row was read from',
    _partition UInt16 COMMENT 'Kafka partition the row was read from',
    _offset UInt64 CODEC(Delta(8), ZSTD(1)) COMMENT 'Kafka offset the row was read from',
    INDEX recv_time_range recv_time TYPE minmax GRANULARITY 4,
    INDEX _offset_range _offset TYPE minmax GRANULARITY 4
)
ENGINE = ${engine}(_version)
PARTITION BY toYYYYMM(event_time)
PRIMARY KEY (exchange, market, symbol, event_time)
ORDER BY (exchange, market, symbol, event_time)
${ttl_open_interest}
SETTINGS non_replicated_deduplication_window = 1000, ttl_only_drop_parts = 1
COMMENT '${label}Open interest of derivatives. All rows written, repeats and superseded versions included: read the view instead';

CREATE VIEW IF NOT EXISTS open_interest
(
    exchange LowCardinality(String) COMMENT 'Exchange, lower case (binance)',
    market LowCardinality(String) COMMENT 'Market segment: spot, perp, future, option',
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

CREATE TABLE IF NOT EXISTS liquidations_log
(
    exchange LowCardinality(String) COMMENT 'Exchange, lower case (binance)',
    market LowCardinality(String) COMMENT 'Market segment: spot, perp, future, option',
    symbol LowCardinality(String) COMMENT 'The symbol in the exchange\'s own spelling, upper case (BTCUSDT)',
    instrument LowCardinality(String) COMMENT 'Canonical name (BTC-USDT), empty while the exchange metadata were not known',
    event_time DateTime64(6, 'UTC') CODEC(Delta(8), ZSTD(1)) COMMENT 'Exchange clock. UTC, microseconds. 1970 where it gave none',
    liquidation_id String CODEC(ZSTD(1)) COMMENT 'Id, empty where the exchange gives none',
    side Enum8('unknown' = 0, 'buy' = 1, 'sell' = 2) COMMENT 'Side of the liquidation order',
    price Decimal(38, 18) CODEC(ZSTD(1)) COMMENT 'Order price in quote currency',
    quantity Decimal(38, 18) CODEC(ZSTD(1)) COMMENT 'Quantity in base coin',
    average_price Nullable(Decimal(38, 18)) CODEC(ZSTD(1)) COMMENT 'Average fill price',
    raw_quantity Nullable(Decimal(38, 18)) CODEC(ZSTD(1)) COMMENT 'Quantity as the exchange counts it (contracts)',
    sampled Bool COMMENT 'True where the exchange publishes only some of them',
    recv_time DateTime64(9, 'UTC') CODEC(Delta(8), ZSTD(1)) COMMENT 'Our clock when the frame arrived, before parsing. UTC, nanoseconds',
    _topic LowCardinality(String) COMMENT 'Kafka topic the row was read from',
    _partition UInt16 COMMENT 'Kafka partition the row was read from',
    _offset UInt64 CODEC(Delta(8), ZSTD(1)) COMMENT 'Kafka offset the row was read from',
    INDEX recv_time_range recv_time TYPE minmax GRANULARITY 4,
    INDEX _offset_range _offset TYPE minmax GRANULARITY 4
)
ENGINE = ${engine}()
PARTITION BY toYYYYMM(event_time)
PRIMARY KEY (exchange, market, symbol, event_time, liquidation_id)
ORDER BY (exchange, market, symbol, event_time, liquidation_id, side, price, quantity)
${ttl_liquidations}
SETTINGS non_replicated_deduplication_window = 1000, ttl_only_drop_parts = 1
COMMENT '${label}Liquidation orders. Where sampled is true the exchange publishes only some, so that sums undercount. All rows written, repeats and superseded versions included: read the view instead';

CREATE VIEW IF NOT EXISTS liquidations
(
    exchange LowCardinality(String) COMMENT 'Exchange, lower case (binance)',
    market LowCardinality(String) COMMENT 'Market segment: spot, perp, future, option',
    symbol LowCardinality(String) COMMENT 'The symbol in the exchange\'s own spelling, upper case (BTCUSDT)',
    instrument LowCardinality(String) COMMENT 'Canonical name (BTC-USDT), empty while the exchange metadata were not known',
    event_time DateTime64(6, 'UTC') COMMENT 'Exchange clock. UTC, microseconds. 1970 where it gave none',
    liquidation_id String COMMENT 'Id, empty where the exchange gives none',
    side Enum8('unknown' = 0, 'buy' = 1, 'sell' = 2) COMMENT 'Side of the liquidation order',
    price Decimal(38, 18) COMMENT 'Order price in quote currency',
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

CREATE TABLE IF NOT EXISTS long_short_log
(
    exchange LowCardinality(String) COMMENT 'Exchange, lower case (binance)',
    market LowCardinality(String) COMMENT 'Market segment: spot, perp, future, option',
    symbol LowCardinality(String) COMMENT 'The symbol in the exchange\'s own spelling, upper case (BTCUSDT)',
    instrument LowCardinality(String) COMMENT 'Canonical name (BTC-USDT), empty while the exchange metadata were not known',
    ratio_kind LowCardinality(String) COMMENT 'global_account, top_account, top_position or taker_volume',
    period LowCardinality(String) COMMENT 'Length of the period it covers (5m, 1h)',
    event_time DateTime64(6, 'UTC') CODEC(Delta(8), ZSTD(1)) COMMENT 'Exchange clock. UTC, microseconds. 1970 where it gave none',
    ratio Decimal(38, 18) CODEC(ZSTD(1)) COMMENT 'Long divided by short',
    long Nullable(Decimal(38, 18)) CODEC(ZSTD(1)) COMMENT 'Long share or volume',
    short Nullable(Decimal(38, 18)) CODEC(ZSTD(1)) COMMENT 'Short share or volume',
    recv_time DateTime64(9, 'UTC') CODEC(Delta(8), ZSTD(1)) COMMENT 'Our clock when the frame arrived, before parsing. UTC, nanoseconds',
    _version UInt256 CODEC(ZSTD(1)) COMMENT 'Made of the content. The highest among rows of one key is the valid one',
    _topic LowCardinality(String) COMMENT 'Kafka topic the row was read from',
    _partition UInt16 COMMENT 'Kafka partition the row was read from',
    _offset UInt64 CODEC(Delta(8), ZSTD(1)) COMMENT 'Kafka offset the row was read from',
    INDEX event_time_range event_time TYPE minmax GRANULARITY 4,
    INDEX recv_time_range recv_time TYPE minmax GRANULARITY 4,
    INDEX _offset_range _offset TYPE minmax GRANULARITY 4
)
ENGINE = ${engine}(_version)
PARTITION BY toYYYYMM(event_time)
PRIMARY KEY (exchange, market, symbol, ratio_kind, period)
ORDER BY (exchange, market, symbol, ratio_kind, period, event_time)
${ttl_long_short}
SETTINGS non_replicated_deduplication_window = 1000, ttl_only_drop_parts = 1
COMMENT '${label}Long/short ratios as exchanges publish them. All rows written, repeats and superseded versions included: read the view instead';

CREATE VIEW IF NOT EXISTS long_short
(
    exchange LowCardinality(String) COMMENT 'Exchange, lower case (binance)',
    market LowCardinality(String) COMMENT 'Market segment: spot, perp, future, option',
    symbol LowCardinality(String) COMMENT 'The symbol in the exchange\'s own spelling, upper case (BTCUSDT)',
    instrument LowCardinality(String) COMMENT 'Canonical name (BTC-USDT), empty while the exchange metadata were not known',
    ratio_kind LowCardinality(String) COMMENT 'global_account, top_account, top_position or taker_volume',
    period LowCardinality(String) COMMENT 'Length of the period it covers (5m, 1h)',
    event_time DateTime64(6, 'UTC') COMMENT 'Exchange clock. UTC, microseconds. 1970 where it gave none',
    ratio Decimal(38, 18) COMMENT 'Long divided by short',
    long Nullable(Decimal(38, 18)) COMMENT 'Long share or volume',
    short Nullable(Decimal(38, 18)) COMMENT 'Short share or volume',
    recv_time DateTime64(9, 'UTC') COMMENT 'Our clock when the frame arrived, before parsing. UTC, nanoseconds',
    _topic LowCardinality(String) COMMENT 'Kafka topic the row was read from',
    _partition UInt16 COMMENT 'Kafka partition the row was read from',
    _offset UInt64 COMMENT 'Kafka offset the row was read from',
    simulated Bool COMMENT 'True: the data do not come from the real exchange'
)
AS SELECT exchange, market, symbol, instrument, ratio_kind, period, event_time, ratio, long, short, recv_time, _topic, _partition, _offset, ${simulated} AS simulated
FROM long_short_log FINAL
COMMENT '${label}Long/short ratios as exchanges publish them. One row per natural key in its newest version (FINAL)';

CREATE TABLE IF NOT EXISTS volatility_log
(
    exchange LowCardinality(String) COMMENT 'Exchange, lower case (binance)',
    market LowCardinality(String) COMMENT 'Market segment: spot, perp, future, option',
    symbol LowCardinality(String) COMMENT 'The symbol in the exchange\'s own spelling, upper case (BTCUSDT)',
    instrument LowCardinality(String) COMMENT 'Canonical name (BTC-USDT), empty while the exchange metadata were not known',
    index_name LowCardinality(String) COMMENT 'Name of the index',
    event_time DateTime64(6, 'UTC') CODEC(Delta(8), ZSTD(1)) COMMENT 'Exchange clock. UTC, microseconds. 1970 where it gave none',
    value Decimal(38, 18) CODEC(ZSTD(1)) COMMENT 'Annualised volatility in percent',
    recv_time DateTime64(9, 'UTC') CODEC(Delta(8), ZSTD(1)) COMMENT 'Our clock when the frame arrived, before parsing. UTC, nanoseconds',
    _version UInt256 CODEC(ZSTD(1)) COMMENT 'Made of the content. The highest among rows of one key is the valid one',
    _topic LowCardinality(String) COMMENT 'Kafka topic the row was read from',
    _partition UInt16 COMMENT 'Kafka partition the row was read from',
    _offset UInt64 CODEC(Delta(8), ZSTD(1)) COMMENT 'Kafka offset the row was read from',
    INDEX event_time_range event_time TYPE minmax GRANULARITY 4,
    INDEX recv_time_range recv_time TYPE minmax GRANULARITY 4,
    INDEX _offset_range _offset TYPE minmax GRANULARITY 4
)
ENGINE = ${engine}(_version)
PARTITION BY toYYYYMM(event_time)
PRIMARY KEY (exchange, market, symbol, index_name, event_time)
ORDER BY (exchange, market, symbol, index_name, event_time)
${ttl_volatility}
SETTINGS non_replicated_deduplication_window = 1000, ttl_only_drop_parts = 1
COMMENT '${label}Volatility indices. All rows written, repeats and superseded versions included: read the view instead';

CREATE VIEW IF NOT EXISTS volatility
(
    exchange LowCardinality(String) COMMENT 'Exchange, lower case (binance)',
    market LowCardinality(String) COMMENT 'Market segment: spot, perp, future, option',
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

