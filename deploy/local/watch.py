"""No orphans: a server ends when the pipe on its standard input closes, which the death of its parent does too."""

from __future__ import annotations

import os
import select
import signal
import time

GRACE_S = 20.0
POLL_S = 1.0


def end_with_stdin() -> None:
    """Leave a small watcher process behind, then return; to be called just before `os.exec*`.

    The watcher holds our standard input. At its end of file (closed on purpose, or the parent died, however) it sends
    this process SIGTERM and after `GRACE_S` SIGKILL. It goes when this process goes. It is detached by a double fork:
    the server never sees a child it does not know.
    """
    server = os.getpid()
    first = os.fork()
    if first:
        os.waitpid(first, 0)
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        os.close(null)
        return
    os.setsid()
    if os.fork():
        os._exit(0)
    try:
        _watch(server)
    finally:
        os._exit(0)


def _watch(server: int) -> None:
    for sig in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(sig, signal.SIG_IGN)
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(null, 2)
    os.closerange(3, 1024)
    while _signal(server, 0):
        readable, _, _ = select.select([0], [], [], POLL_S)
        if readable and not os.read(0, 4096):
            break
    if _signal(server, signal.SIGTERM):
        _signal(server, signal.SIGCONT)
        deadline = time.monotonic() + GRACE_S
        while time.monotonic() < deadline and _signal(server, 0):
            time.sleep(0.1)
        _signal(server, signal.SIGKILL)


def _signal(pid: int, sig: int) -> bool:
    try:
        os.kill(pid, sig)
    except (ProcessLookupError, PermissionError):
        return False
    return True
