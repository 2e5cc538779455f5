"""md.trade -> md.kline: candles of all intervals, by the state machine of `marketdata.kline`."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from marketdata import topics
from marketdata.codec import decode, encoder
from marketdata.errors import ConfigError
from marketdata.keys import parse_key
from marketdata.kline import KlineMachine, KlineSettings, LateTrade
from processors.app import Definition, Stage, reject, run
from processors.metrics import Metrics
from processors.outputs import Output, SourceRecord
from runtime.config import Config
from runtime.service import start
from venues import find_venue


def make_handler(
    metrics: Metrics, encode: Callable[[object], bytes]
) -> Callable[[KlineMachine, SourceRecord], Sequence[Output]]:
    """The processing function: one record of md.trade to candles."""
    events = metrics.counts["events"]

    def handle(machine: KlineMachine, source: SourceRecord) -> Sequence[Output]:
        emitted = machine.apply(decode(source.value))
        if machine.events:
            for event in machine.events:
                events[event] += 1
            machine.events.clear()
        out: list[Output] = []
        for item in emitted:
            if isinstance(item, LateTrade):
                detail = f"trade time {item.trade.trade_time_us} us; not in {', '.join(item.intervals)}"
                out += reject(source, "late_dropped", detail, metrics, item.trade.trade_id)
            else:
                events[f"{item.status}_{item.interval}"] += 1
                out.append(Output("md.kline", encode(item), source.key))
        return out

    return handle


def settings_for(config: Config, key: bytes) -> KlineSettings:
    """The settings of one key's machine: the configured ones, and what the ids of the venue's channels say."""
    k = config.processors.klines
    name = parse_key(key)
    try:
        rules = find_venue(name.exchange, name.market).rules
    except ConfigError:
        rules = {}
    numbered = {c: rules[c] for c in ("trade", "agg_trade") if c in rules and rules[c].continuous_ids}
    return KlineSettings(
        intervals=tuple(k.intervals),
        allowed_lateness_ms=k.allowed_lateness_ms,
        provisional_interval_ms=k.provisional_interval_ms,
        revise_window_ms=k.revise_window_ms,
        continuous_ids=tuple(numbered),
        id_ranges=tuple(c for c, r in numbered.items() if r.id_ranges),
        passes_ids=tuple(c for c, r in numbered.items() if r.passes_ids),
    )


def definition(config: Config, metrics: Metrics) -> Definition:
    """The application."""
    stage = Stage(
        sources=(topics.MD_TRADE,),
        handle=make_handler(metrics, encoder(config.kafka.encoding)),
        new=lambda key: KlineMachine(parse_key(key), settings_for(config, key)),
        load=lambda key, blob: KlineMachine.restore(parse_key(key), settings_for(config, key), blob),
        dump=lambda machine: machine.dump(),
    )
    return Definition("klines", [stage], (topics.MD_KLINE,), metrics)


def main() -> None:
    service = start("klines")
    run(service, definition(service.config, Metrics("klines")))


if __name__ == "__main__":
    main()
