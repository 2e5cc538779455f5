"""What the Redis sink counts."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

RECORDS = Counter("marketprism_redis_records", "Records read, by topic and what became of them", ["topic", "fate"])
WRITES = Counter("marketprism_redis_writes", "Commands Redis answered, by topic and outcome", ["topic", "outcome"])
RETRIES = Counter("marketprism_redis_retries", "Pipelines that failed and were tried again")
REFILLS = Counter("marketprism_redis_refills", "Times an emptied Redis was filled again")
FLUSH_SECONDS = Histogram(
    "marketprism_redis_flush_seconds",
    "One pipeline, from sending to the last reply",
    buckets=(0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1, 5),
)
LATENCY = Histogram(
    "marketprism_redis_latency_seconds",
    "From the frame's receive time to the reply of Redis, by topic",
    ["topic"],
    buckets=(0.001, 0.002, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.035, 0.05, 0.1, 0.25, 0.5, 1, 5, 60),
)
LAG = Gauge("marketprism_redis_lag_records", "Records behind the end of the topic", ["topic", "partition"])
