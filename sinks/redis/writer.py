"""The only file that talks to Redis on behalf of the sink."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import sha1
from pathlib import Path
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from marketdata.errors import StoreError
from runtime.config import Config
from sinks.redis.commands import Command
from sinks.redis.tables import MARKER_KEY, SYMBOLS_KEY

SCRIPT = (Path(__file__).parent / "guard.lua").read_text(encoding="utf-8")
SCRIPT_SHA = sha1(SCRIPT.encode(), usedforsecurity=False).hexdigest()


class Writer:
    """One connection. Every error of the server or the network is a StoreError: try again."""

    def __init__(self, config: Config) -> None:
        self._prefix = config.environment.redis_prefix
        self._marker = f"{self._prefix}{MARKER_KEY}:{config.sinks.instance}"
        self._ttl_s = str(config.sinks.redis.ttl_s)
        timeout_s = config.sinks.redis.timeout_s
        self._client = redis.Redis.from_url(
            config.redis.url,
            socket_timeout=timeout_s,
            socket_connect_timeout=timeout_s,
            retry=Retry(NoBackoff(), 0),  # retrying is the sink's business
            client_name="marketprism-sink",
        )

    def write(self, commands: Sequence[Command], symbols: Iterable[str] = ()) -> list[bool]:
        """Run commands and add symbols in one pipeline; says which commands were newer. Raises StoreError."""
        names = list(symbols)
        try:
            replies = self._pipeline(commands, names)
        except redis.exceptions.NoScriptError:
            # a new or flushed server: give it the script; the guard makes it harmless to run the rest twice
            self._guarded(lambda: self._client.script_load(SCRIPT))
            replies = self._guarded(lambda: self._pipeline(commands, names))
        except (redis.exceptions.RedisError, OSError) as exc:
            raise StoreError(f"Redis: {type(exc).__name__}: {exc}") from None
        return [reply == 1 for reply in replies[: len(commands)]]

    def keep(self, keys: Iterable[str]) -> None:
        """Let these keys (without prefix) live for the whole TTL from now. Raises StoreError."""
        pipe = self._client.pipeline(transaction=False)
        for key in keys:
            pipe.expire(self._prefix + key, int(self._ttl_s))
        self._guarded(pipe.execute)

    def marked(self) -> bool:
        """Whether Redis holds what this process wrote to it before. Raises StoreError."""
        return bool(self._guarded(lambda: self._client.exists(self._marker)))

    def mark(self) -> None:
        self._guarded(lambda: self._client.set(self._marker, "1"))

    def close(self) -> None:
        self._client.close()

    def _pipeline(self, commands: Sequence[Command], symbols: list[str]) -> list[Any]:
        pipe = self._client.pipeline(transaction=False)
        for c in commands:
            if c.field:
                head: tuple[Any, ...] = (1, c.key, c.rule, c.field, *_guard_fields(c.field))
            else:
                head = (2, c.key, f"{c.key}:guard", c.rule, "", "seq", "ts")
            rest = (c.seq, c.ts, c.payload, self._ttl_s, c.channel, c.owner, "1" if c.up else "0")
            pipe.evalsha(SCRIPT_SHA, *head, *rest)
        if symbols:
            pipe.sadd(self._prefix + SYMBOLS_KEY, *symbols)
        return list(pipe.execute())

    def _guarded(self, action: Any) -> Any:
        try:
            return action()
        except (redis.exceptions.RedisError, OSError) as exc:
            raise StoreError(f"Redis: {type(exc).__name__}: {exc}") from None


def _guard_fields(field: str) -> tuple[str, str]:
    return ("seq", "ts") if field == "json" else (f"{field}:seq", f"{field}:ts")
