"""Ports for servers of tests that nobody else takes before they are bound.

A port from the kernel (port 0) may be handed out again, to another process or another test's server, while ours is
still starting, or dead and to be started again: seconds, and there are hundreds of them in a session. So each is taken
once, from below what the kernel hands out, and every worker has a stretch of its own.
"""

from __future__ import annotations

import contextlib
import os
import random
import socket
from collections.abc import Iterator

from deploy.local.servers import HOST

LOWEST, HIGHEST = 12_000, 32_000
"""Linux gives port 0 and outgoing connections 32768 and above."""
WORKERS = 4
"""Stretches; more workers than that share them."""


def _stretch() -> Iterator[int]:
    """This worker's ports, for ever, begun anywhere: another session on this machine begins elsewhere."""
    size = (HIGHEST - LOWEST) // WORKERS
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % WORKERS
    at = random.SystemRandom().randrange(size)
    while True:
        yield LOWEST + worker * size + at
        at = (at + 1) % size


_ports = _stretch()


def free_ports(count: int) -> list[int]:
    """Ports nobody listens on, all different, each given once."""
    found: list[int] = []
    while len(found) < count:
        if _is_free(port := next(_ports)):
            found.append(port)
    return found


def free_ports_in_a_row(count: int) -> int:
    """The first of so many, one after the other."""
    found: list[int] = []
    while len(found) < count:
        (port,) = free_ports(1)
        found = [*found, port] if found and port == found[-1] + 1 else [port]
    return found[0]


def _is_free(port: int) -> bool:
    with contextlib.suppress(OSError), socket.socket() as sock:
        sock.bind((HOST, port))
        return True
    return False
