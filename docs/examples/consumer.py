"""A small consumer of MarketPrism's topics: copy it and begin.

    pip install confluent-kafka jsonschema
    python consumer.py --bootstrap 127.0.0.1:9092 --prefix sim. --schemas schemas --seconds 10

It needs nothing of MarketPrism but the published schemas (and works without them). It shows the four things a consumer
has to get right, see docs/TOPICS.md:

1. values are JSON with a `type`; a topic carries several types, and may get new ones: skip what you do not know
2. delivery is at least once: drop repeats by identity. Within a key the order is the exchange's, so remembering the
   newest few identities per key is enough
3. what is missing is said: a `gap` stands just before the first trade after it, and comes again as it is filled
4. prices and quantities are exact decimal strings: `Decimal`, never `float`

It prints one JSON line per symbol at the end: trades, traded value, repeats dropped, ids known to be missing.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import OrderedDict
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, KafkaError

IDENTITIES_KEPT = 10_000
"""Per key. A crash repeats what was published since the last checkpoint, some seconds of records."""


class Seen:
    """The newest identities of one key."""

    def __init__(self, kept: int = IDENTITIES_KEPT) -> None:
        self._kept = kept
        self._newest: OrderedDict[tuple[Any, ...], None] = OrderedDict()

    def first_time(self, identity: tuple[Any, ...]) -> bool:
        if identity in self._newest:
            return False
        self._newest[identity] = None
        if len(self._newest) > self._kept:
            self._newest.popitem(last=False)
        return True


class Symbol:
    """What we make of one symbol's trades. Feed it every record of md.trade in order."""

    def __init__(self) -> None:
        self.trades = 0
        self.value = Decimal(0)
        self.repeats = 0
        self.connected = False
        self.skipped_types: set[str] = set()
        self._seen = Seen()
        self._epoch = 0
        self._missing: dict[str, int] = {}

    def on_record(self, record: dict[str, Any]) -> None:
        if record["type"] == "trade":
            self._on_trade(record)
        elif record["type"] == "gap":
            # The same gap again says that more of it came after all: the higher count is the newer record.
            self._missing[record["gap_id"]] = record["missing_count"] - record["filled_count"]
            if record["reason"] == "sequence_reset":
                self._epoch = record["epoch"]  # the exchange began to count anew: old ids come again
        elif record["type"] == "feed_status":
            self.connected = record["state"] == "connected"
        elif record["type"] == "heartbeat":
            pass  # time as data: what a candle builder would close its candles by
        else:
            self.skipped_types.add(record["type"])

    def _on_trade(self, trade: dict[str, Any]) -> None:
        if trade["aggregated"]:
            return  # the same trades again, merged: an id space of its own
        if not self._seen.first_time((self._epoch, trade["trade_id"])):
            self.repeats += 1
            return
        self.trades += 1
        self.value += Decimal(trade["price"]) * Decimal(trade["quantity"])

    @property
    def missing(self) -> int:
        return sum(self._missing.values())


def validator(folder: Path | None, topic: str) -> Callable[[dict[str, Any]], None]:
    """Checks records against the published schema; does nothing where no folder is given."""
    if folder is None:
        return lambda _: None
    from jsonschema import Draft202012Validator

    schema = json.loads((folder / f"{topic}.json").read_text(encoding="utf-8"))
    known = {kind["properties"]["type"]["enum"][0] for kind in schema["$defs"].values()}
    checker = Draft202012Validator(schema)

    def check(record: dict[str, Any]) -> None:
        if record["type"] in known:  # a type of a later version has no schema here: skip it
            checker.validate(record)

    return check


def consume(bootstrap: str, prefix: str, group: str, seconds: float, schemas: Path | None = None) -> dict[str, Symbol]:
    """Read md.trade for so long; key -> what was made of it."""
    check = validator(schemas, "md.trade")
    symbols: dict[str, Symbol] = {}
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": group,
            "auto.offset.reset": "earliest",
            # Offsets are stored after a record was handled, so that a crash repeats records and never loses one.
            "enable.auto.offset.store": False,
        }
    )
    consumer.subscribe([f"{prefix}md.trade"])
    deadline = time.monotonic() + seconds
    try:
        while time.monotonic() < deadline:
            message = consumer.poll(0.2)
            if message is None:
                continue
            if (error := message.error()) is not None:
                if error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                    continue  # not made yet: the client asks again
                raise RuntimeError(error.str())
            record = json.loads(message.value())
            check(record)
            symbols.setdefault(message.key().decode(), Symbol()).on_record(record)
            consumer.store_offsets(message)
    finally:
        consumer.close()
    return symbols


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bootstrap", default="127.0.0.1:9092")
    parser.add_argument("--prefix", default="", help="the environment's, `sim.` for simulated data")
    parser.add_argument("--group", default="example")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--schemas", type=Path, help="folder of the published schemas, to validate every record")
    args = parser.parse_args()
    for key, symbol in sorted(consume(args.bootstrap, args.prefix, args.group, args.seconds, args.schemas).items()):
        line = {
            "key": key, "trades": symbol.trades, "value": str(symbol.value), "repeats": symbol.repeats,
            "missing": symbol.missing, "connected": symbol.connected,
        }  # fmt: skip
        print(json.dumps(line))  # noqa: T201


if __name__ == "__main__":
    main()
