"""Kafka clients as this project sets them up, and the creation of its topics."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from concurrent.futures import TimeoutError as FutureTimeout
from typing import Any

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    ResourceType,
)

from marketdata.errors import ConfigError, StoreError
from marketdata.topics import TOPICS, Topic, topic_name
from runtime.config import Config

REQUEST_TIMEOUT_S = 5.0
FUTURE_TIMEOUT_S = 30.0
RETRY_INTERVAL_S = 0.5
CREATED_INTERVAL_S = 0.05
WAITING_LOG_INTERVAL_S = 30.0
SEGMENT_BYTES_MIN = 1024 * 1024
SEGMENT_BYTES_MAX = 1024**3
SEGMENTS_PER_PARTITION = 4
PERMANENT_REFUSALS = frozenset(
    (
        KafkaError.INVALID_CONFIG,
        KafkaError.INVALID_PARTITIONS,
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        KafkaError.POLICY_VIOLATION,
    )
)
"""Answers that waiting does not change."""

log = logging.getLogger("kafka")


def producer_settings(config: Config, linger_ms: float | None = None) -> dict[str, Any]:
    """Idempotent, all acks, and the partitioner that puts a key where quixstreams puts it."""
    k = config.kafka
    return {
        "bootstrap.servers": k.bootstrap_servers,
        "enable.idempotence": True,
        "acks": "all",
        "partitioner": "murmur2_random",
        "compression.type": k.compression,
        "linger.ms": k.linger_ms if linger_ms is None else linger_ms,
        "delivery.timeout.ms": k.delivery_timeout_ms,
        "message.max.bytes": max(t.max_message_bytes for t in TOPICS),
        "reconnect.backoff.max.ms": 1000,
        **k.extra,
    }


def consumer_settings(config: Config, group: str, instance: str) -> dict[str, Any]:
    """Manual commits from the earliest offset, static membership so that a restart disturbs nobody."""
    k = config.kafka
    return {
        "bootstrap.servers": k.bootstrap_servers,
        "group.id": config.environment.topic_prefix + group,
        "group.instance.id": f"{config.environment.topic_prefix}{group}-{instance}",
        "session.timeout.ms": k.session_timeout_ms,
        "heartbeat.interval.ms": k.heartbeat_interval_ms,
        "auto.offset.reset": "earliest",
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "partition.assignment.strategy": "range",
        "reconnect.backoff.max.ms": 1000,
        **k.extra,
    }


def topic_config(config: Config, topic: Topic) -> dict[str, str]:
    """Kafka's settings of a topic. Where disk use is bounded, segments are small enough that the bound can act:
    Kafka deletes whole closed segments only, and its default segment is 1 GiB."""
    bound_bytes = config.kafka.retention_bytes_per_partition
    settings = {
        "cleanup.policy": topic.cleanup,
        "retention.ms": str(topic.retention_ms),
        "retention.bytes": str(bound_bytes),
        "max.message.bytes": str(topic.max_message_bytes),
        "message.timestamp.type": "CreateTime",
    }
    if bound_bytes > 0:
        smallest = max(SEGMENT_BYTES_MIN, 2 * topic.max_message_bytes)
        settings["segment.bytes"] = str(min(SEGMENT_BYTES_MAX, max(smallest, bound_bytes // SEGMENTS_PER_PARTITION)))
    return settings


def new_topic(config: Config, topic: Topic) -> NewTopic:
    """A row of the topic table as Kafka's admin client takes it, in this environment."""
    return NewTopic(
        topic_name(config.environment.topic_prefix, topic),
        num_partitions=config.kafka.partitions if topic.scale == "keyed" else 1,
        replication_factor=config.kafka.replication_factor,
        config=topic_config(config, topic),
    )


def ensure_topics(config: Config, timeout_s: float | None = None, stop: threading.Event | None = None) -> list[str]:
    """Create the topics of the table that are missing and set the settings of those that differ; returns the names of
    the new ones. Any number of services may do so at once. On return every topic is there to be used.

    Waits while the broker is away, for ever or for `timeout_s`, or until `stop` is set (then it returns []).
    Raises StoreError after `timeout_s`, ConfigError when a topic has other partitions than the configuration says.
    """
    admin = AdminClient({"bootstrap.servers": config.kafka.bootstrap_servers, **config.kafka.extra}, logger=log)
    started = time.monotonic()
    warned = started
    made: list[str] = []
    while not (stop and stop.is_set()):
        try:
            if _ensure(admin, config, made):
                break
        except (KafkaException, FutureTimeout) as exc:
            now = time.monotonic()
            if timeout_s is not None and now - started > timeout_s:
                raise StoreError(f"no usable Kafka broker at {config.kafka.bootstrap_servers}: {exc}") from None
            if now - warned > WAITING_LOG_INTERVAL_S:
                warned = now
                log.warning("waiting for Kafka at %s: %s", config.kafka.bootstrap_servers, exc)
            time.sleep(RETRY_INTERVAL_S)
    return made


def _ensure(admin: AdminClient, config: Config, made: list[str]) -> bool:
    """One attempt; adds the topics it creates to `made`. True when all are there as they should be."""
    have = admin.list_topics(timeout=REQUEST_TIMEOUT_S).topics
    wanted = [new_topic(config, t) for t in TOPICS]
    missing = []
    for topic in wanted:
        # A topic just created is listed a moment later, at first perhaps without partitions.
        partitions = len(have[topic.topic].partitions) if topic.topic in have else 0
        if not partitions:
            missing.append(topic)
        elif partitions != topic.num_partitions:
            raise ConfigError(
                f"the topic {topic.topic} has {partitions} partitions, the configuration says {topic.num_partitions} "
                "(kafka.partitions): keys would move between partitions and leave their state behind"
            )
    if missing:
        made += _create(admin, missing)
        time.sleep(CREATED_INTERVAL_S)
        return False
    _align(admin, [t for t in wanted if t.topic not in made])
    return True


def _create(admin: AdminClient, missing: Sequence[NewTopic]) -> list[str]:
    made = []
    for name, future in admin.create_topics(missing, operation_timeout=REQUEST_TIMEOUT_S).items():
        try:
            future.result(timeout=FUTURE_TIMEOUT_S)
            made.append(name)
        except KafkaException as exc:
            code = exc.args[0].code()
            if code in PERMANENT_REFUSALS:
                raise StoreError(f"cannot create the topic {name}: {exc.args[0].str()}") from None
            if code != KafkaError.TOPIC_ALREADY_EXISTS:
                raise
    return made


def _align(admin: AdminClient, topics: Sequence[NewTopic]) -> None:
    """Bring the settings of existing topics to what the table and the configuration say (retention, sizes)."""
    if not topics:
        return
    wanted = {t.topic: t.config for t in topics}
    changes = []
    for resource, future in admin.describe_configs([ConfigResource(ResourceType.TOPIC, t) for t in wanted]).items():
        have = future.result(timeout=FUTURE_TIMEOUT_S)
        entries = [
            ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
            for name, value in wanted[resource.name].items()
            if name not in have or have[name].value != value
        ]
        if entries:
            changes.append(ConfigResource(ResourceType.TOPIC, resource.name, incremental_configs=entries))
    for future in admin.incremental_alter_configs(changes).values() if changes else ():
        future.result(timeout=FUTURE_TIMEOUT_S)
