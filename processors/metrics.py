"""Counters of a processor, cheap enough for every record: plain integers that Prometheus reads when it asks.

Names: `marketprism_<application>_<what>_total`, gauges without `_total`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import REGISTRY, Collector, CollectorRegistry

COUNTERS = {
    "records_in": ("topic", "Records read"),
    "records_out": ("topic", "Records published"),
    "dead_letters": ("reason", "Records that went to md.dead_letter"),
    "skipped": ("topic", "Records delivered again that were already applied"),
    "events": ("event", "What the core noticed: duplicates, gaps, late trades and the like"),
}


class Metrics(Collector):
    """All figures of one application. `counts[name][label] += 1` is the whole interface for counters."""

    def __init__(self, application: str, registry: CollectorRegistry | None = REGISTRY) -> None:
        self._prefix = f"marketprism_{application}_"
        self.counts: dict[str, dict[str, int]] = {name: defaultdict(int) for name in COUNTERS}
        self.gauges: dict[str, tuple[str, Callable[[], float]]] = {}
        """name -> (what it is, how to read it now)."""
        self.lag: dict[tuple[str, int], int] = {}
        """(topic, partition) -> records not yet processed, as the watchdog last saw it."""
        if registry is not None:
            registry.register(self)

    def collect(self) -> Iterable[Metric]:
        for name, (label, documentation) in COUNTERS.items():
            counter = CounterMetricFamily(self._prefix + name, documentation, labels=[label])
            for value, count in list(self.counts[name].items()):
                counter.add_metric([value], count)
            yield counter
        for name, (documentation, read) in self.gauges.items():
            yield GaugeMetricFamily(self._prefix + name, documentation, value=read())
        lag = GaugeMetricFamily(self._prefix + "lag", "Records not yet processed", labels=["topic", "partition"])
        for (topic, partition), behind in list(self.lag.items()):
            lag.add_metric([topic, str(partition)], behind)
        yield lag
