"""Records for tests of the API, and the real sinks' own code to put them into the stores."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from marketdata import codec
from marketdata import types as t
from marketdata.keys import Key
from runtime.config import Config
from sinks.clickhouse import writer as clickhouse
from sinks.clickhouse.migrate import migrate
from sinks.clickhouse.rows import Row, record_of, to_columns
from sinks.redis import writer as redis
from sinks.redis.commands import commands
from sinks.redis.tables import HEADS

KEY = Key("binance", "spot", "BTCUSDT")
WHOSE: dict[str, Any] = {**KEY._asdict(), "instrument": "BTC-USDT"}
MINUTE_MS = 60_000
T0_MS = 1_795_251_600_000
"""2026-11-21T09:00:00Z."""

TOPIC_OF: dict[type, str] = {
    t.Trade: "md.trade",
    t.Ticker: "md.ticker",
    t.Bbo: "md.bbo",
    t.Book: "md.book",
    t.BookSnapshot: "md.book_snapshot",
    t.Kline: "md.kline",
    t.Gap: "md.gap",
    t.FeedStatus: "md.feed_status",
    t.MarkPrice: "md.mark_price",
    t.Funding: "md.funding",
    t.OpenInterest: "md.open_interest",
    t.Liquidation: "md.liquidation",
    t.LongShort: "md.long_short",
    t.Volatility: "md.volatility",
    t.Instrument: "md.instrument",
}


def now_ns() -> str:
    return str(time.time_ns())


def trade(number: int, **fields: Any) -> t.Trade:
    """Trades 100 ms apart from T0 on."""
    base: dict[str, Any] = {
        **WHOSE, "trade_id": str(number), "price": f"{60000 + number}.10000000", "quantity": "0.00100000",
        "side": "buy" if number % 2 else "sell", "trade_time_us": (T0_MS + 100 * number) * 1000,
        "recv_time_ns": str((T0_MS + 100 * number) * 1_000_000),
    }  # fmt: skip
    return t.Trade(**{**base, **fields})


def kline(number: int, interval: str = "1m", **fields: Any) -> t.Kline:
    """The candle of minute `number` from T0 on, closed and complete."""
    open_time = T0_MS + number * MINUTE_MS
    base: dict[str, Any] = {
        **WHOSE, "interval": interval, "open_time": open_time, "close_time": open_time + MINUTE_MS - 1,
        "open": "60000.10", "high": "60001.00", "low": "59999.99", "close": "60000.50", "volume": "1.5",
        "quote_volume": "90000.75", "trade_count": 3, "taker_buy_volume": "0.5", "taker_buy_quote_volume": "30000.25",
        "first_trade_id": str(3 * number + 1), "last_trade_id": str(3 * number + 3), "is_closed": True,
        "status": "final", "complete": True, "recv_time_ns": str((open_time + MINUTE_MS) * 1_000_000),
    }  # fmt: skip
    return t.Kline(**{**base, **fields})


def book(kind: type[t.Book | t.BookSnapshot] = t.Book, levels: int = 20, **fields: Any) -> t.Book | t.BookSnapshot:
    base: dict[str, Any] = {
        **WHOSE, "state": "ok", "update_id": "1000", "verified_time_ns": now_ns(), "recv_time_ns": now_ns(),
        "bids": [(f"{60000 - i}.5", "1.25") for i in range(levels)],
        "asks": [(f"{60001 + i}.5", "0.75") for i in range(levels)],
        "bid_known_to": f"{60000 - levels}.5", "ask_known_to": f"{60001 + levels}.5",
    }  # fmt: skip
    return kind(**{**base, **fields})


def bbo(**fields: Any) -> t.Bbo:
    base: dict[str, Any] = {
        **WHOSE, "update_id": "1000", "bid_price": "60000.5", "bid_quantity": "1.25", "ask_price": "60001.5",
        "ask_quantity": "0.75", "recv_time_ns": now_ns(),
    }  # fmt: skip
    return t.Bbo(**{**base, **fields})


def ticker(**fields: Any) -> t.Ticker:
    base: dict[str, Any] = {**WHOSE, "last_price": "60000.75", "volume": "123.456", "recv_time_ns": now_ns()}
    return t.Ticker(**{**base, **fields})


def feed(channel: str, state: str = "connected", reason: str = "", **fields: Any) -> t.FeedStatus:
    base: dict[str, Any] = {**WHOSE, "channel": channel, "state": state, "reason": reason, "recv_time_ns": now_ns()}
    return t.FeedStatus(**{**base, "connection": "ingest-0-1-1", **fields})


def gap(first: int, last: int, **fields: Any) -> t.Gap:
    base: dict[str, Any] = {
        **WHOSE, "gap_id": f"trade:{first}-{last}", "channel": "trade", "first_missing_id": str(first),
        "last_missing_id": str(last), "missing_count": last - first + 1, "reason": "id_skip",
        "from_time_us": (T0_MS + 100 * (first - 1)) * 1000, "to_time_us": (T0_MS + 100 * (last + 1)) * 1000,
        "recv_time_ns": now_ns(),
    }  # fmt: skip
    return t.Gap(**{**base, **fields})


def instrument(**fields: Any) -> t.Instrument:
    return t.Instrument(**{**WHOSE, "base": "BTC", "quote": "USDT", "status": "TRADING", **fields})


def to_clickhouse(config: Config, records: Sequence[t.AnyRecord]) -> None:
    """Write records as the ClickHouse sink does, the schema included."""
    migrate(config)
    rows: dict[str, tuple[Any, list[Row]]] = defaultdict(lambda: (None, []))
    for offset, record in enumerate(records):
        topic = TOPIC_OF[type(record)]
        payload = codec.encoder()(record)
        found = record_of(topic, payload)
        if found is not None:
            table, decoded = found
            key = Key(decoded.exchange, decoded.market, decoded.symbol).encode()
            rows.setdefault(table.name, (table, []))[1].append(Row(decoded, topic, 0, offset, 0, key, payload))
    writer = clickhouse.Writer(config)
    try:
        for table, its_rows in rows.values():
            writer.insert(table, to_columns(table, its_rows), clickhouse.new_token())
    finally:
        writer.close()


def to_redis(config: Config, records: Sequence[t.AnyRecord]) -> None:
    """Write records as the Redis sink does."""
    writer = redis.Writer(config)
    try:
        for record in records:
            assert isinstance(record, t.Record)
            key = str(Key(record.exchange, record.market, record.symbol))
            topic = TOPIC_OF[type(record)]
            if topic in HEADS:
                payload = codec.encoder()(record)
                writer.write(commands(topic, key, payload, config.environment.redis_prefix), [key])
    finally:
        writer.close()
