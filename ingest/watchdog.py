"""When a connection counts as broken or doubtful, and which streams must be subscribed again. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from ingest.lines import Line
from venues.contract import Limits

PINGS_MISSED = 2.25
"""In server ping intervals: two missed, and some patience for the third."""
RESUBSCRIBE_S_MAX = 600.0
"""Streams that never deliver are subscribed again at growing intervals up to this."""
HALF = 0.5
PATIENCE_S_MAX = 6 * 3600.0
"""A stream that keeps falling silent costs a replacement at most this often."""


class Watchdog:
    """Of one connection. `patience_s`: longer silence timeouts of single streams, by name, shared by the market."""

    def __init__(self, limits: Limits, patience_s: dict[str, float], now_s: float) -> None:
        self._limits = limits
        self._patience_s = patience_s
        self.sign_s = now_s
        """The last sign of life of the server: frame or ping."""
        self._pinged_s = now_s

    def wants_ping(self, now_s: float) -> bool:
        """Nothing came for so long that the venue wants to hear from us; says so once per interval."""
        interval_s = self._limits.client_ping_interval_s
        if interval_s is None or now_s - max(self.sign_s, self._pinged_s) < interval_s:
            return False
        self._pinged_s = now_s
        return True

    def judge(self, lines: Mapping[str, Line], now_s: float) -> tuple[str, str]:
        """(why the connection is broken, why it is doubtful), each "" where it is not.

        A server that sends data but no pings is not called dead: venues change their ping interval without notice.
        One silent stream beside others that deliver does not break their connection: a replacement with overlap brings
        the stream back if that is possible, and costs the others nothing. Nor does a stream that was acknowledged and
        never spoke: it may be a pair that nobody trades.
        """
        ping_s, idle_s = self._limits.server_ping_interval_s, self._limits.idle_timeout_s
        if ping_s is not None and now_s - self.sign_s > PINGS_MISSED * ping_s:
            return "ping_timeout", ""
        if idle_s is not None and now_s - self.sign_s > idle_s:
            return "idle", ""
        if not any(line.frames for line in lines.values()):
            latest_s = max((n.retry_s for n in lines.values() if not n.quiet), default=0.0)
            if 0 < latest_s < now_s:
                return "no_first_data", ""
        silent = [line for line in lines.values() if self.is_silent(line, now_s)]
        if not silent:
            return "", ""
        said = f"silent {silent[0].stream.channel}"
        spoke = [line for line in lines.values() if line.frames and self._limit_s(line) is not None]
        return (said, "") if spoke and all(self.is_silent(line, now_s) for line in spoke) else ("", said)

    def is_silent(self, line: Line, now_s: float, part: float = 1.0) -> bool:
        """Nothing came for (a `part` of) its limit, since its last frame or, of a quiet stream, since the ack."""
        limit_s = self._limit_s(line)
        return limit_s is not None and line.delivers and now_s - max(line.last_s, line.acked_s) > part * limit_s

    def _limit_s(self, line: Line) -> float | None:
        channel_s = self._limits.silence_timeout_s.get(line.stream.channel)
        return None if channel_s is None else self._patience_s.get(line.stream.name, channel_s)

    def be_patient(self, lines: Collection[Line], now_s: float) -> None:
        """A replacement comes for the silent streams; should they rest on it too (a halted or thin pair), each is
        given twice the time before the next replacement. So is one that is half-way to its limit: the replacement
        renews it as well, and many thin pairs shall not cost one each."""
        if not any(self.is_silent(line, now_s) for line in lines):
            return
        for line in lines:
            limit_s = self._limit_s(line)
            if limit_s is not None and self.is_silent(line, now_s, HALF):
                self._patience_s[line.stream.name] = min(PATIENCE_S_MAX, 2 * limit_s)

    def subscribed(self, line: Line, now_s: float) -> None:
        """A subscription went out: until when its first frame (or, of a quiet stream, its ack) must be there."""
        if not line.frames:
            line.resubscribe_s = min(RESUBSCRIBE_S_MAX, line.resubscribe_s * 2 or self._limits.first_data_timeout_s)
            line.retry_s = now_s + line.resubscribe_s

    def late(self, lines: Mapping[str, Line], now_s: float) -> list[Line]:
        """Streams to subscribe again: asked for, and they never came."""
        return [
            line
            for line in lines.values()
            if not line.frames and 0 < line.retry_s < now_s and not (line.quiet and line.acked)
        ]
