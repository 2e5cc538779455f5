-- Trades that were not matched in their symbol's own book.
-- Printed by `python -m sinks.clickhouse.ddl trades+off_book`.

ALTER TABLE trades_log
    ADD COLUMN IF NOT EXISTS off_book Bool COMMENT 'True: not matched in the symbol\'s own book (block trade, leg of a combination)' AFTER venue_trade_id;

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
    off_book Bool COMMENT 'True: not matched in the symbol\'s own book (block trade, leg of a combination)',
    event_time DateTime64(6, 'UTC') COMMENT 'Exchange clock. UTC, microseconds. 1970 where it gave none',
    recv_time DateTime64(9, 'UTC') COMMENT 'Our clock when the frame arrived, before parsing. UTC, nanoseconds',
    _topic LowCardinality(String) COMMENT 'Kafka topic the row was read from',
    _partition UInt16 COMMENT 'Kafka partition the row was read from',
    _offset UInt64 COMMENT 'Kafka offset the row was read from',
    simulated Bool COMMENT 'True: the data do not come from the real exchange'
)
AS SELECT exchange, market, symbol, instrument, trade_time, trade_id, trade_id_text, aggregated, price, quantity, side, first_trade_id, first_trade_id_text, last_trade_id, last_trade_id_text, raw_quantity, liquidation, venue_trade_id, off_book, event_time, recv_time, _topic, _partition, _offset, ${simulated} AS simulated
FROM trades_log FINAL
COMMENT '${label}Executions, one row per trade id. One row per natural key in its newest version (FINAL)';
