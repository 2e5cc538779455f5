"""Kafka clients as this project sets them up, and the creation of its topics."""

from __future__ import annotations

import time
from typing import Any

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, NewTopic

from marketdata.errors import StoreError
from marketdata.topics import TOPICS, Topic, topic_name
from runtime.config import Config


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


def new_topic(config: Config, topic: Topic) -> NewTopic:
    """A row of the topic table as Kafka's admin client takes it, in this environment."""
    return NewTopic(
        topic_name(config.environment.topic_prefix, topic),
        num_partitions=config.kafka.partitions if topic.scale == "keyed" else 1,
        replication_factor=config.kafka.replication_factor,
        config={
            "cleanup.policy": topic.cleanup,
            "retention.ms": str(topic.retention_ms),
            "retention.bytes": str(config.kafka.retention_bytes_per_partition),
            "max.message.bytes": str(topic.max_message_bytes),
            "message.timestamp.type": "CreateTime",
        },
    )


def ensure_topics(config: Config, timeout_s: float = 60.0) -> list[str]:
    """Create the topics of the table that are missing; returns their names. Raises StoreError."""
    admin = AdminClient({"bootstrap.servers": config.kafka.bootstrap_servers, **config.kafka.extra})
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            have = admin.list_topics(timeout=5).topics
            break
        except KafkaException as exc:
            if time.monotonic() > deadline:
                raise StoreError(f"no Kafka broker at {config.kafka.bootstrap_servers}: {exc}") from None
    wanted = [new_topic(config, t) for t in TOPICS]
    missing = [t for t in wanted if t.topic not in have]
    made = []
    for name, future in admin.create_topics(missing).items() if missing else ():
        try:
            future.result(timeout=30)
            made.append(name)
        except KafkaException as exc:
            if exc.args[0].name() != "TOPIC_ALREADY_EXISTS":
                raise StoreError(f"cannot create the topic {name}: {exc}") from None
    return made
