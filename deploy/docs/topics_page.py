"""docs/TOPICS.md: what each topic is, with one real record of each type it carries."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from marketdata.topics import TOPICS, Topic
from runtime.config import Config

HEAD = """\
# Topics

Written by `python -m deploy.docs` from `marketdata/topics.py` and `marketdata/types.py`; do not edit.

- **Names** get the environment's prefix: live data have none, the simulator's are `sim.md.trade` and so on, those of a
  recorded session `rec-<file>-<run>.md.trade`. Data of different environments never share a topic.
- **Key**: `exchange.market.symbol` as UTF-8 text (`binance.spot.BTCUSDT`), partitioned by murmur2, so that all records
  of a symbol are in one partition and in order. Symbols may contain dots: split at the first two.
- **Values** of `md.*` are JSON objects (MessagePack maps where `kafka.encoding` says so) with a `type`. A topic may
  carry several types, and may get more: skip those you do not know. Fields may be added, never removed or retyped. The
  schema of each topic is `schemas/<topic>.json`.
- **Prices and quantities** are exact decimal strings. Ids, and times in nanoseconds, are strings too.
- **The Kafka timestamp** is our receive time. `event_time_us` is the exchange's clock, `recv_time_ns` ours.
- **Delivery is at least once.** A crash may repeat records. Drop repeats by the identity given below; within a key the
  order is that of the exchange, so remembering the last few identities per key is enough.
- **What is missing is said**: `md.gap`, and for trades also inside `md.trade`, just before the first record after it.
- Partitions: {partitions} per keyed topic unless `kafka.partitions` says otherwise; never change it later.

The records shown below are what the applications make of frames that exchanges sent (the volatility index: of their
documentation's example); only long sides of books are cut. An example consumer that does all this:
[examples/consumer.py](examples/consumer.py).

| topic | purpose | key | partitions | cleanup | kept |
|---|---|---|---|---|---|
"""

RAW_TEXT = """
## Raw topics

`raw.*` values are what the exchange sent, byte for byte (after decompression, where a venue compresses frames). All of
ours stands in headers: `kind`, `channel`, `recv_ns` (receive time, ns), `conn` (the connection) and `seq` (the frame's
position on it). Kinds:

| kind | value | schema |
|---|---|---|
| `frame` | the venue's frame | the venue's documents |
| `snapshot` | the venue's REST answer with a full book (raw.book only) | the venue's documents |
| `poll` | what a REST reply says of the symbol, cut out byte for byte (raw.derivative only) | the venue's documents |
| `instrument` | the venue's metadata of the symbol, cut out byte for byte | the venue's documents |
| `heartbeat` | the venue's clock as ingest knows it, see below | `schemas/raw.heartbeat.json` |
| `connected` | a connection carries this key from now on | `schemas/raw.connected.json` |
| `disconnected` | it stopped | `schemas/raw.disconnected.json` |

In order per key and topic: `instrument`, `connected`, then frames, heartbeats and snapshots, then `disconnected`. A
process that was killed writes no `disconnected`: the next `connected`, with another `conn`, tells it. While a
connection is replaced by a fresh one two are live and their frames interleave.

Heartbeats stand in raw.trade, raw.book and, a fifth as often, raw.bbo. Polls are of what the venue does not stream:
open interest and long/short ratios. The header `path` has the request. Mostly a reply repeats the one before; only
what is new in it becomes a record.
"""

IDENTITY: dict[str, str] = {
    "trade": "`aggregated`, `trade_id` (and the epoch of resets, see gap)",
    "heartbeat": "none: repeats do no harm",
    "feed_status": "`channel`, `connection`, `state`",
    "gap": "`gap_id`; the one with the highest `filled_count` is newest",
    "book": "`epoch`, `update_id`, `state`",
    "book_snapshot": "`epoch`, `update_id`, `state`",
    "book_delta": "`epoch`, `last_update_id`",
    "bbo": "`update_id`, or where the exchange gives none `event_time_us` and the quote itself",
    "kline": "`interval`, `open_time`; newest by `is_closed`, `revision`, `last_trade_id`, then `trade_count`",
    "venue_kline": "`interval`, `open_time`; newest by `is_closed`, then `last_trade_id`, then `event_time_us`",
    "mark_price": "`event_time_us`",
    "funding": "`funding_time_us`, `settled`, `event_time_us`",
    "open_interest": "`event_time_us`; the newest `recv_time_ns` counts",
    "liquidation": "`event_time_us`, `liquidation_id`, `side`, `price`, `quantity`",
    "long_short": "`ratio_kind`, `period`, `event_time_us`; the newest `recv_time_ns` counts",
    "volatility": "`index`, `event_time_us`",
    "arbitrage": "`episode_id`, `sequence`",
    "kline_residual": "`interval`, `open_time`, `revision`",
    "ticker": "`event_time_us`",
    "instrument": "the key; the newest counts",
    "dead_letter": "`raw_topic`, `raw_partition`, `raw_offset`, `record_id`, `reason`",
}

MAX_SHOWN_LEVELS = 3


def page(records: Mapping[str, Mapping[str, Any]]) -> str:
    """The page's text. `records`: topic name -> record type -> one real record."""
    rows = "".join(
        f"| {_link(t)} | {t.purpose} | {t.key} | {_partitions(t)} | {t.cleanup} | {_kept(t)} |\n" for t in TOPICS
    )
    head = HEAD.format(partitions=Config().kafka.partitions)
    return "".join((head, rows, RAW_TEXT, *(_section(t, records.get(t.name, {})) for t in TOPICS if t.records)))


def _link(topic: Topic) -> str:
    return f"[`{topic.name}`](#{topic.name.replace('.', '')})" if topic.records else f"`{topic.name}`"


def _section(topic: Topic, records: Mapping[str, Any]) -> str:
    kept = f"{_kept(topic)}, cleanup `{topic.cleanup}`, at most {topic.max_message_bytes // 1024} KiB a record"
    parts = [
        f"\n## {topic.name}\n\n{topic.purpose[0].upper()}{topic.purpose[1:]}. Key `{topic.key}`, {_partitions(topic)} "
        f"partitions, {kept}. Schema: [`schemas/{topic.name}.json`](../schemas/{topic.name}.json).\n"
    ]
    for record in topic.records:
        tag = str(record.__struct_config__.tag)  # type: ignore[attr-defined]
        meaning = " ".join((record.__doc__ or "").split())
        parts.append(f"\n**`{tag}`**" + (f": {meaning}" if meaning and not meaning.startswith(record.__name__) else ""))
        if tag in IDENTITY:
            parts.append(f" Identity: {IDENTITY[tag]}.")
        if tag in records:
            parts.append(f"\n\n```json\n{json.dumps(_shortened(records[tag]), ensure_ascii=False)}\n```\n")
        else:
            parts.append("\n\nNo application of this version publishes it yet.\n" if tag not in IDENTITY else "\n")
    return "".join(parts)


def _shortened(record: Mapping[str, Any]) -> dict[str, Any]:
    """Long sides of books are cut for the page; all else is the record as it was published."""
    return {
        k: [*v[:MAX_SHOWN_LEVELS], f"... {len(v) - MAX_SHOWN_LEVELS} more"]
        if k in ("bids", "asks") and len(v) > MAX_SHOWN_LEVELS
        else v
        for k, v in record.items()
    }


def _partitions(topic: Topic) -> str:
    return "keyed" if topic.scale == "keyed" else "1"


def _kept(topic: Topic) -> str:
    if topic.cleanup == "compact":
        return "the newest of each key, for ever"
    hours = topic.retention_ms // 3_600_000
    return f"{hours // 24} d" if hours % 24 == 0 else f"{hours} h"
