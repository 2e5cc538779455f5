"""Tables of what derivatives alone have: mark prices, funding, open interest, liquidations, ratios, volatility."""

from __future__ import annotations

from marketdata import topics, types
from sinks.clickhouse import kinds as k
from sinks.clickhouse.table import EVENT_TIME, Column, Table
from sinks.clickhouse.versions import received_ns

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
    received_ns,
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
    received_ns,
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
    received_ns,
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
    received_ns,
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
    received_ns,
)
