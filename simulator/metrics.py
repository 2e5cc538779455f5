"""Everything the simulator counts."""

from __future__ import annotations

from prometheus_client import Counter, Gauge

PREFIX = "marketprism_simulator"

FRAMES = Counter(f"{PREFIX}_frames_sent_total", "Frames handed to connections")
CONNECTIONS = Gauge(f"{PREFIX}_connections", "Open WebSocket connections")
STREAMS = Gauge(f"{PREFIX}_streams", "Streams with a subscriber")
REQUESTS = Counter(f"{PREFIX}_requests_total", "HTTP requests, handshakes not counted")
FAULTS = Counter(f"{PREFIX}_faults_total", "Faults asked for", ["kind"])
LAG = Gauge(f"{PREFIX}_lag_seconds", "How far the market is behind its clock")
SAVE = Gauge(f"{PREFIX}_save_seconds", "Duration of the last save")
