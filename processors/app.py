"""The frame of every processor: a quixstreams application around functions from record to records.

A `Stage` is what an application does with one input topic (or several, merged): a live object per key, and a function
that changes it and returns outputs. The frame does the rest: at-least-once delivery with an idempotent producer,
static group membership, state written once per checkpoint, dead letters, metrics, health, the watchdog.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from quixstreams import Application, message_context
from quixstreams.dataframe import StreamingDataFrame
from quixstreams.models.topics import Topic as QuixTopic
from quixstreams.models.topics import TopicAdmin, TopicConfig, TopicManager
from quixstreams.models.topics.exceptions import TopicNotFoundError
from quixstreams.state import State
from quixstreams.state.exceptions import StateRecoveryOffsetOutOfRange

from marketdata.errors import BadData, StoreError
from marketdata.topics import MD_DEAD_LETTER, TOPICS, Topic, topic_name
from processors.alignment import Alignment
from processors.cached_state import CachedState, Entry
from processors.metrics import Metrics
from processors.outputs import INTERNAL, Output, OutputSerializer, SourceRecord, dead_letter
from processors.quiet import quieten
from processors.watchdog import Progress, Watchdog, end_process
from runtime.config import Config
from runtime.kafka import ensure_topics
from runtime.service import Service

S = TypeVar("S")

SOURCE_HEADER = "src"
"""On every output: `source topic:partition:offset:index of the output`."""
OURS = "md."
"""Topics that only processors write to."""
INDEX_BITS = 20
POLL_TIMEOUT_S = 0.25
MERGED_POLL_TIMEOUT_S = 0.02
"""With merged topics quixstreams waits for this long or 10,000 records, whatever comes first: it is pure latency."""
FETCH_WAIT_MAX_MS = 50
"""Taking partitions over asks the broker for the ends of each, one question after the other, and each waits behind a
fetch that waits for data: at librdkafka's 500 ms, ten idle partitions and their changelogs take ten seconds."""
STATISTICS_INTERVAL_MS = 1_000
TOPIC_VISIBLE_TIMEOUT_S = 15.0
QUEUED_INPUT_MAX_KBYTES = 16_384
"""Records fetched ahead, per process."""

log = logging.getLogger("processors")


@dataclass(frozen=True)
class Stage(Generic[S]):
    """What an application does with its input. All functions are pure but for the object they are given to change."""

    sources: tuple[Topic, ...]
    """Input topics. Several are merged into one stream with one state per key; their order among each other is not
    defined, so results must not depend on it."""
    handle: Callable[[S, SourceRecord], Sequence[Output]]
    """Applies one record to the key's object and returns what to publish. Must check before it changes anything, and
    may raise BadData: the record goes to md.dead_letter with its code."""
    new: Callable[[bytes], S]
    """The object of a key never seen."""
    load: Callable[[bytes, bytes], S]
    """(key, what `dump` wrote) -> the object."""
    dump: Callable[[S], bytes]
    stagger: int = 1
    """See `CachedState`."""
    ahead_ms_max: int | None = None
    """Read the partitions of a backlog in the order of time: none is taken further ahead of the others by more than
    about this. None: in whatever order Kafka gives them."""


@dataclass(frozen=True)
class Definition:
    """One application."""

    name: str
    """Names the consumer group, the state directory and the metrics."""
    stages: Sequence[Stage[Any]]
    outputs: Sequence[Topic]
    """Topics it writes, md.dead_letter excepted (always there)."""
    metrics: Metrics
    commit_interval_s: float | None = None
    """None: the common setting."""


class Topics(TopicManager):
    """Changelog topics that stay small on disk and hold large values."""

    @classmethod
    def derive_topic_config(cls, topics: Iterable[QuixTopic]) -> TopicConfig:
        config = super().derive_topic_config(topics)
        config.extra_config.update(
            {
                "segment.bytes": str(16 * 1024**2),
                "segment.ms": "600000",
                "min.cleanable.dirty.ratio": "0.2",
                # recovery ignores what lies past the committed offset: what it replaced must still be there
                "min.compaction.lag.ms": "120000",
                "max.message.bytes": str(max(t.max_message_bytes for t in TOPICS)),
            }
        )
        return config

    def _get_or_create_broker_topic(self, topic: QuixTopic) -> QuixTopic:
        """A topic just created is not at once visible to a broker that is busy: ask again for a while."""
        deadline = time.monotonic() + TOPIC_VISIBLE_TIMEOUT_S
        while True:
            try:
                return super()._get_or_create_broker_topic(topic)
            except TopicNotFoundError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)


class MarketApplication(Application):
    """quixstreams' application, except that it ends when its partitions were lost, flushes all state on a stop, and
    tells the watchdog while it takes partitions over."""

    caches: tuple[CachedState[Any], ...] = ()
    progress: Progress
    alignments: tuple[Alignment, ...] = ()

    def _process_message(self, dataframe_composed: Any) -> None:
        super()._process_message(dataframe_composed)  # type: ignore[no-untyped-call]
        for alignment in self.alignments:
            alignment.look(self._consumer, time.monotonic())

    def stop(self, fail: bool = False) -> None:
        for cache in self.caches:
            cache.flush_all = True
        super().stop(fail)

    def _on_assign(self, consumer: Any, topic_partitions: Any) -> None:
        self.progress.assigning = True
        try:
            super()._on_assign(consumer, topic_partitions)
            ours = [(tp.topic, tp.partition) for tp in topic_partitions if tp.topic in self.progress.topics]
            self.progress.assigned = ours  # eager rebalancing: these are all
            for alignment in self.alignments:
                alignment.assign(self._consumer, [p for topic, p in ours if topic == alignment.topic])
        finally:
            self.progress.assigning = False

    def _on_lost(self, consumer: Any, topic_partitions: Any) -> None:  # noqa: ARG002 (quixstreams' signature)
        # Another process may have moved on with these partitions; our live objects and open transactions are stale.
        end_process("partitions were lost: the session expired")


def instance_id(config: Config, name: str) -> str:
    """The name a process keeps in its group over restarts."""
    return f"{config.environment.topic_prefix}{name}-{config.processors.instance}"


def client_settings(config: Config) -> dict[str, Any]:
    """What every Kafka client of this process gets."""
    return {
        "bootstrap.servers": config.kafka.bootstrap_servers,
        "reconnect.backoff.max.ms": 1000,
        **config.kafka.extra,
    }


def build(
    config: Config, definition: Definition, progress: Progress, recover_expired: bool = False
) -> MarketApplication:
    """The quixstreams application. The topics must exist.

    `recover_expired`: go on from the oldest record left when records expired unread, instead of raising.
    """
    k = config.kafka
    group = config.environment.topic_prefix + definition.name
    largest = str(max(t.max_message_bytes for t in TOPICS))
    producer = {
        "enable.idempotence": True,
        "acks": "all",
        "compression.type": k.compression,
        "linger.ms": k.linger_ms,
        "delivery.timeout.ms": k.delivery_timeout_ms,
        "message.max.bytes": largest,
        "reconnect.backoff.max.ms": 1000,
        **k.extra,
    }
    app = MarketApplication(
        broker_address=k.bootstrap_servers,
        consumer_group=group,
        auto_offset_reset="earliest",
        commit_interval=definition.commit_interval_s or config.processors.commit_interval_s,
        consumer_extra_config={
            "group.instance.id": instance_id(config, definition.name),
            "session.timeout.ms": k.session_timeout_ms,
            "heartbeat.interval.ms": k.heartbeat_interval_ms,
            "reconnect.backoff.max.ms": 1000,
            "queued.max.messages.kbytes": QUEUED_INPUT_MAX_KBYTES,
            "fetch.wait.max.ms": FETCH_WAIT_MAX_MS,
            "statistics.interval.ms": STATISTICS_INTERVAL_MS,
            "stats_cb": progress.on_statistics,
            **k.extra,
        },
        producer_extra_config=producer,
        state_dir=Path(config.processors.state_dir) / f"{definition.name}-{config.processors.instance}",
        consumer_poll_timeout=MERGED_POLL_TIMEOUT_S
        if any(len(s.sources) > 1 for s in definition.stages)
        else POLL_TIMEOUT_S,
        loglevel=None,
        on_message_processed=progress.on_message_processed,
        auto_recover_from_source_offset_out_of_range=recover_expired,
        topic_manager=Topics(
            topic_admin=TopicAdmin(broker_address=k.bootstrap_servers, extra_config=producer), consumer_group=group
        ),
    )
    app.progress = progress
    outputs = {
        topic.name: app.topic(
            topic_name(config.environment.topic_prefix, topic),
            value_serializer=OutputSerializer(),
            key_serializer="bytes",
        )
        for topic in (*definition.outputs, MD_DEAD_LETTER)
    }
    app.caches = tuple(_wire(app, config, definition, stage, outputs) for stage in definition.stages)
    return app


def _wire(
    app: MarketApplication, config: Config, definition: Definition, stage: Stage[S], outputs: dict[str, QuixTopic]
) -> CachedState[S]:
    """One stage as a dataframe: one `apply`, one `to_topic`."""
    frame: StreamingDataFrame | None = None
    for source in stage.sources:
        topic = app.topic(config.environment.source_topic(source), value_deserializer="bytes", key_deserializer="bytes")
        one = app.dataframe(topic)
        frame = one if frame is None else frame.concat(one)
    assert frame is not None
    cache = CachedState(stage.new, stage.load, stage.dump, stage.stagger)
    frame.processing_context.sink_manager.register(cache)
    names = {config.environment.source_topic(source): source.name for source in stage.sources}
    step = stepper(stage, cache, definition.metrics, names)
    if stage.ahead_ms_max is not None:
        (source,) = stage.sources
        alignment = Alignment(config.environment.source_topic(source), stage.ahead_ms_max)
        app.alignments += (alignment,)
        step = alignment.noting(step)
    frame = frame.apply(step, expand=True, stateful=True, metadata=True)
    frame.to_topic(lambda value, _key, _timestamp, _headers: outputs[value[0]], key=lambda value: value[2])
    return cache


def stepper(
    stage: Stage[S], cache: CachedState[S], metrics: Metrics, names: Mapping[str, str]
) -> Callable[[bytes, bytes, int, Any, State[str, Any]], Iterable[Output]]:
    """The function quixstreams calls for each record. `names`: Kafka's name of a source -> the table's."""
    handle, records_in = stage.handle, metrics.counts["records_in"]

    def step(value: bytes, key: bytes, timestamp: int, headers: Any, state: State[str, Any]) -> Iterable[Output]:
        context = message_context()
        offset = context.offset
        topic = names[context.topic]
        source = SourceRecord(topic, context.partition, offset, key, value, list(headers or ()), timestamp)
        records_in[topic] += 1
        if not key:
            return emit(reject(source, "no_key", "the record has no key", metrics), source, headers, metrics)
        try:
            entry = cache.open(key, state)
        except BadData as exc:  # a key that names no stream
            return emit(reject(source, exc.code, exc.detail, metrics), source, headers, metrics)
        if offset <= entry.applied.get(topic, -1) or repeats(entry, source):
            metrics.counts["skipped"][topic] += 1
            return ()
        try:
            out = handle(entry.live, source)
        except BadData as exc:
            out = reject(source, exc.code, exc.detail, metrics, exc.record_id)
        except Exception as exc:  # the outermost loop: a bug of ours must not lose other records
            log.error(
                "bug: a record could not be processed and went to md.dead_letter",
                exc_info=exc,
                extra={"data": {"topic": topic, "partition": context.partition, "offset": offset}},
            )
            out = reject(source, INTERNAL, f"{type(exc).__name__}: {exc}", metrics)
        entry.applied[topic] = offset
        return emit(out, source, headers, metrics)

    return step


def emit(out: Sequence[Output], source: SourceRecord, headers: Any, metrics: Metrics) -> Iterator[Output]:
    """Pass outputs on one by one, each with a header `src` that says which output of which record it is.

    quixstreams hands the very list of the input's headers to each output and sends it before it asks for the next.
    """
    records_out = metrics.counts["records_out"]
    for index, output in enumerate(out):
        if headers is not None:
            origin = b"%s:%d:%d:%d" % (source.topic.encode(), source.partition, source.offset, index)
            headers[:] = ((SOURCE_HEADER, origin),)
        records_out[output[0]] += 1
        yield output


def repeats(entry: Entry[Any], source: SourceRecord) -> bool:
    """True for a record that an application before us published a second time, after a crash of its own.

    Records of a key that come from one partition of one source topic are in order, so a `src` at or below the last one
    of that partition is a repeat. What processors did not write (a consumer's request, a raw record) may have a header
    of that name that means something else.
    """
    if not source.topic.startswith(OURS):
        return False
    for name, value in source.headers:
        if name == SOURCE_HEADER:
            try:
                origin, offset, index = value.decode().rsplit(":", 2)
                at = int(offset) << INDEX_BITS | int(index)
            except (ValueError, AttributeError):  # not ours either
                return False
            slot = f"{source.topic}<{origin}"
            if at <= entry.applied.get(slot, -1):
                return True
            entry.applied[slot] = at
            return False
    return False


def reject(source: SourceRecord, reason: str, detail: str, metrics: Metrics, record_id: str = "") -> list[Output]:
    """The dead letter for a source record, counted."""
    metrics.counts["dead_letters"][reason] += 1
    return [dead_letter(source, reason, detail, record_id)]


def wait_for_broker(config: Config) -> None:
    """Returns when the broker answers and the topics exist; tries for ever."""
    while True:
        try:
            ensure_topics(config)
        except StoreError as exc:
            log.warning("waiting for the broker", extra={"data": {"error": str(exc)}})
        else:
            return


def run(service: Service, definition: Definition) -> None:
    """Run until SIGTERM. Ends the process with a status other than 0 when it cannot go on; a supervisor restarts it."""
    config = service.config
    quieten()
    wait_for_broker(config)
    prefix = config.environment.topic_prefix
    progress = Progress([config.environment.source_topic(s) for stage in definition.stages for s in stage.sources])
    watchdog = Watchdog(
        client_settings(config),
        group=prefix + definition.name,
        progress=progress,
        timeout_s=config.processors.watchdog_timeout_s,
        session_timeout_s=config.kafka.session_timeout_ms / 1000,
        on_lag=lambda lag: _publish_lag(definition.metrics, prefix, lag),
    )
    service.health.live["loop"] = watchdog.live
    service.health.ready["group"] = lambda: None if progress.joined else "not yet joined its group"
    watchdog.start()
    try:
        _run_recovering(config, definition, progress)
    except Exception as exc:  # the outermost loop: say why, then let the supervisor start afresh
        service.log.error("stopped by an error", exc_info=exc)
        sys.exit(1)
    finally:
        watchdog.stop()
    service.log.info("stopped")


def _run_recovering(config: Config, definition: Definition, progress: Progress) -> None:
    """Run; where records expired before we read them, say so loudly and go on from the oldest one left.

    State is kept: it is rebuilt from its changelog. What is missing shows as gaps, by ids and connection records.
    """
    try:
        build(config, definition, progress).run()
    except Exception as exc:
        if not _caused_by(exc, StateRecoveryOffsetOutOfRange):
            raise
        definition.metrics.counts["events"]["expired_unread"] += 1
        log.error("records expired before they were read: going on from the oldest left", exc_info=exc)
        build(config, definition, progress, recover_expired=True).run()


def _caused_by(exc: BaseException | None, kind: type[BaseException]) -> bool:
    while exc is not None:
        if isinstance(exc, kind):
            return True
        exc = exc.__cause__ or exc.__context__
    return False


def _publish_lag(metrics: Metrics, prefix: str, lag: dict[tuple[str, int], int]) -> None:
    metrics.lag = {(topic.removeprefix(prefix), partition): behind for (topic, partition), behind in lag.items()}
