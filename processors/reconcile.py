"""md.kline and md.venue_kline -> md.kline_residual, when both sides of a candle are final, whatever their order."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from marketdata import topics
from marketdata.codec import decode, encoder
from marketdata.reconcile import Reconciler
from marketdata.types import Kline, VenueKline
from processors.app import Definition, Stage, run
from processors.metrics import Metrics
from processors.outputs import Output, SourceRecord
from runtime.config import Config
from runtime.service import start


def make_handler(
    metrics: Metrics, encode: Callable[[object], bytes]
) -> Callable[[Reconciler, SourceRecord], Sequence[Output]]:
    """The processing function: one candle of either side to residuals."""
    events = metrics.counts["events"]

    def handle(reconciler: Reconciler, source: SourceRecord) -> Sequence[Output]:
        record = decode(source.value)
        if isinstance(record, Kline):
            residuals = reconciler.on_ours(record)
        elif isinstance(record, VenueKline):
            residuals = reconciler.on_venue(record)
        else:
            return ()
        for event in reconciler.events:
            events[event] += 1
        reconciler.events.clear()
        return [Output("md.kline_residual", encode(residual), source.key) for residual in residuals]

    return handle


def definition(config: Config, metrics: Metrics) -> Definition:
    """The application. Its two topics are merged; what it publishes does not depend on how they interleave."""
    settings = config.processors.reconcile
    stage = Stage(
        sources=(topics.MD_KLINE, topics.MD_VENUE_KLINE),
        handle=make_handler(metrics, encoder(config.kafka.encoding)),
        new=lambda _key: Reconciler(settings.intervals, settings.window_ms),
        load=lambda _key, blob: Reconciler.restore(settings.intervals, settings.window_ms, blob),
        dump=lambda reconciler: reconciler.dump(),
    )
    return Definition("reconcile", [stage], (topics.MD_KLINE_RESIDUAL,), metrics)


def main() -> None:
    service = start("reconcile")
    run(service, definition(service.config, Metrics("reconcile")))


if __name__ == "__main__":
    main()
