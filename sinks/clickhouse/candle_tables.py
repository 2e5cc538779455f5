"""Tables of candles: ours, the exchange's, and how they differ."""

from __future__ import annotations

from marketdata import topics, types
from sinks.clickhouse import kinds as k
from sinks.clickhouse.kinds import Kind
from sinks.clickhouse.table import EVENT_TIME, Column, Table
from sinks.clickhouse.versions import candle_version, residual_version

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
    residual_version,
)
