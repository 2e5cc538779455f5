"""raw.trade, raw.bbo, raw.kline, raw.ticker, raw.derivative -> typed, validated records, gaps and feed states.

One `Feed` per key and raw topic (`processors.normalise_feed`), one processing function (`processors.normalise_core`).
"""

from __future__ import annotations

from marketdata import topics
from marketdata.codec import encoder
from processors.app import Definition, Stage, run
from processors.metrics import Metrics
from processors.normalise_core import Normaliser
from processors.normalise_feed import Feed, FeedState
from runtime.config import Config
from runtime.service import start

SOURCES = (topics.RAW_TRADE, topics.RAW_BBO, topics.RAW_KLINE, topics.RAW_TICKER, topics.RAW_DERIVATIVE)
OUTPUTS = (
    topics.MD_TRADE, topics.MD_BBO, topics.MD_VENUE_KLINE, topics.MD_TICKER, topics.MD_MARK_PRICE, topics.MD_FUNDING,
    topics.MD_OPEN_INTEREST, topics.MD_LIQUIDATION, topics.MD_LONG_SHORT, topics.MD_VOLATILITY, topics.MD_INSTRUMENT,
    topics.MD_GAP, topics.MD_FEED_STATUS,
)  # fmt: skip


def definition(config: Config, metrics: Metrics) -> Definition:
    """The application: one stage per raw topic."""
    normaliser = Normaliser(metrics, encoder(config.kafka.encoding))
    stages = [
        Stage(
            sources=(topic,),
            handle=normaliser.handle,
            new=lambda key: Feed(key, FeedState()),
            load=Feed.load,
            dump=lambda feed: feed.dump(),
            # quotes are merged over partitions later (processors.arbitrage): a backlog must not pull them apart
            ahead_ms_max=config.processors.arbitrage.read_ahead_ms if topic is topics.RAW_BBO else None,
        )
        for topic in SOURCES
    ]
    return Definition("normalise", stages, OUTPUTS, metrics)


def main() -> None:
    service = start("normalise")
    run(service, definition(service.config, Metrics("normalise")))


if __name__ == "__main__":
    main()
