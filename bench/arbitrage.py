"""Arbitrage on one core: quotes as JSON in, merged by time, judged against five other markets, episodes out.

Each instrument's price walks; every market keeps near it, now and then further away than the fees, so that episodes
open, change and close. Quotes come from twelve partitions with the disorder a merge has to put right.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass

from bench.harness import Figure, figure, rates
from marketdata.codec import encoder
from marketdata.types import Bbo
from processors.arbitrage import ONE, Arbitrageur
from processors.metrics import Metrics
from processors.outputs import SourceRecord
from runtime.config.processors import Arbitrage as Settings

MARKETS = (
    ("binance", "spot"), ("okx", "spot"), ("htx", "spot"), ("kraken", "spot"), ("deribit", "spot"), ("binance", "perp"),
)  # fmt: skip
PARTITIONS = 12
QUOTES = 9_000
"""Measured, after those of the time in which all partitions join, and as many more."""
QUOTES_PER_S = 3_000
"""Of all markets together, by their receive times."""
DISORDER_NS = 40_000_000
RUNS = 4
T0_NS = 1_700_000_000_000_000_000
CASES = (("arbitrage_50_instruments", 50), ("arbitrage_1000_instruments", 1_000))


@dataclass
class Walk:
    """A price in log steps, and how far off each market's is."""

    price: float
    off: list[float]

    def quote(self, rng: random.Random, market: int) -> tuple[str, str]:
        """Best bid and ask of one market now. What is off by more than a fee comes back in about fifty quotes."""
        self.price *= math.exp(rng.gauss(0, 0.00005))
        self.off[market] = self.off[market] * 0.98 + rng.gauss(0, 0.00012)
        middle = self.price * (1 + self.off[market])
        return f"{middle * 0.99995:.6f}", f"{middle * 1.00005:.6f}"


def make_quotes(instruments: int, count: int) -> list[SourceRecord]:
    """Records of md.bbo_merged; each partition in order of receive time, partitions a little apart."""
    rng = random.Random(5)
    encode = encoder("json")
    walks = [Walk(math.exp(rng.uniform(-3, 11)), [rng.gauss(0, 0.0006) for _ in MARKETS]) for _ in range(instruments)]
    due = []
    for n in range(count):
        at_ns = T0_NS + n * 1_000_000_000 // QUOTES_PER_S
        name, market = rng.randrange(instruments), rng.randrange(len(MARKETS))
        bid, ask = walks[name].quote(rng, market)
        exchange, kind = MARKETS[market]
        symbol = f"C{name}USDT"
        bbo = Bbo(
            exchange=exchange, market=kind, symbol=symbol, instrument=f"C{name}-USDT", recv_time_ns=str(at_ns),
            event_time_us=at_ns // 1000, update_id=str(n), bid_price=bid, bid_quantity=f"{rng.uniform(0.1, 9):.4f}",
            ask_price=ask, ask_quantity=f"{rng.uniform(0.1, 9):.4f}",
        )  # fmt: skip
        partition = (name * len(MARKETS) + market) % PARTITIONS
        due.append((at_ns + partition * DISORDER_NS // PARTITIONS, n, partition, encode(bbo)))
    return [
        SourceRecord("md.bbo_merged", 0, offset, ONE, value, [("src", b"md.bbo:%d:%d:0" % (partition, offset))], 0)
        for offset, (_, _, partition, value) in enumerate(sorted(due))
    ]


class Feed:
    """An application past the beginning, and the quotes that go on from there."""

    def __init__(self, instruments: int) -> None:
        self.settings = Settings(merge_hold_ms=4_000)  # long enough for quotes to run out as fast as they come
        held = 2 * self.settings.merge_hold_ms * QUOTES_PER_S // 1000  # the first half does not count
        quotes = make_quotes(instruments, held + QUOTES)
        self.begin, self.rest = quotes[:held], quotes[held:]
        app = self.new()
        for quote in self.begin:
            app.handle(quote)
        self.blob = app.dump()
        self.actions: dict[str, int] = {}

    def new(self) -> Arbitrageur:
        self.metrics = Metrics("arbitrage", None)
        return Arbitrageur(self.settings, self.metrics, encoder("json"))

    def prepared(self) -> Callable[[], int]:
        """The quotes that are measured, on an application with the state it had after the beginning."""
        app = self.new().restore(self.blob)

        def work() -> int:
            for quote in self.rest:
                app.handle(quote)
            self.actions = dict(self.metrics.counts["events"])
            return len(self.rest)

        return work


def run() -> list[Figure]:
    figures = []
    for name, instruments in CASES:
        feed = Feed(instruments)
        found = [rate for _ in range(RUNS) for rate in rates(feed.prepared(), runs=1)]
        told = {action: feed.actions.get(action, 0) for action in ("open", "update", "close", "late", "forced")}
        if not told["open"] or told["late"] or told["forced"]:
            raise RuntimeError(f"not what is to be measured: {told}")
        note = f"{len(MARKETS)} markets, {PARTITIONS} partitions; of {QUOTES} quotes: {told}"
        figures.append(figure(name, found, "quotes per CPU second", note=note))
    return figures


if __name__ == "__main__":
    for one in run():
        print(one)
