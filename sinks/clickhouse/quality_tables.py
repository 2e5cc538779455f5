"""Tables of what is missing and why: gaps, connections, and what could not be accepted."""

from __future__ import annotations

from marketdata import topics, types
from sinks.clickhouse import kinds as k
from sinks.clickhouse.table import EVENT_TIME, Column, Table, id_columns

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
