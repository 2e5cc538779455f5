"""Reads the services' /metrics, /livez and /readyz."""

from __future__ import annotations

import http.client
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

from deploy.local import servers

LINE = re.compile(r"^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)(?: \d+)?$")
LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
TIMEOUT_S = 2.0
Failed = (OSError, http.client.HTTPException)


@dataclass(frozen=True)
class Sample:
    name: str
    labels: dict[str, str]
    value: float


def parse(text: str) -> Iterator[Sample]:
    """Samples of Prometheus' text format; anything else is passed over."""
    for line in text.splitlines():
        if match := LINE.match(line):
            yield Sample(match[1], dict(LABEL.findall(match[2] or "")), float(match[3]))


def get(port: int, path: str, timeout_s: float = TIMEOUT_S) -> tuple[int, str]:
    """Status and body. Raises one of `Failed` while nobody answers."""
    connection = http.client.HTTPConnection(servers.HOST, port, timeout=timeout_s)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read().decode(errors="replace")
    finally:
        connection.close()


def samples(port: int) -> list[Sample]:
    """Empty while the service does not answer."""
    try:
        return list(parse(get(port, "/metrics")[1]))
    except Failed:
        return []


def problem(port: int, path: str) -> str | None:
    """None when /livez or /readyz says yes, else why not."""
    try:
        status, body = get(port, path)
    except Failed as exc:
        return f"does not answer ({exc or type(exc).__name__})"
    if status == 200:
        return None
    try:
        failed = json.loads(body)["failed"]
        return "; ".join(f"{name}: {said}" for name, said in failed.items())
    except (ValueError, KeyError, AttributeError):
        return body.strip()[:200] or f"status {status}"


def simulator_status(port: int) -> dict[str, object]:
    """What the simulator says of itself; empty while it does not answer."""
    try:
        found = json.loads(get(port, "/sim/status")[1])
    except (*Failed, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
