"""The venue's clock as one connection knows it: what heartbeats carry and every watermark follows."""

from __future__ import annotations

from marketdata.validation import TIME_MAX_US

JUMP_US = 60_000_000


class VenueClock:
    """Newest event time seen plus the monotonic time since. What it says never goes back; pure, times are given.

    A frame dated more than 60 s ahead of the clock may be a freak value: it is believed only when the next timed frame
    agrees with it within 60 s (the venue was silent for long, or a recording has a hole).
    """

    def __init__(self) -> None:
        self._newest_us = 0
        self._seen_s = 0.0
        self._said_us = 0
        self._doubted_us = 0

    @property
    def known(self) -> bool:
        """False until the first frame that carries a time."""
        return self._newest_us > 0

    def see(self, event_time_ms: int, now_s: float) -> None:
        """A frame of this event time came at monotonic `now_s`."""
        event_us = event_time_ms * 1000
        if not 0 < event_us < TIME_MAX_US:
            return
        far_ahead = bool(self._newest_us) and event_us - self.now_us(now_s) > JUMP_US
        if far_ahead and (not self._doubted_us or abs(event_us - self._doubted_us) > JUMP_US):
            self._doubted_us = event_us
            return
        self._doubted_us = 0
        if event_us > self._newest_us:
            self._newest_us = event_us
            self._seen_s = now_s

    def now_us(self, now_s: float) -> int:
        """The venue's time at monotonic `now_s`, microseconds since 1970; 0 while unknown."""
        if not self._newest_us:
            return 0
        now_us = self._newest_us + max(0, int((now_s - self._seen_s) * 1e6))
        self._said_us = max(self._said_us, now_us)
        return self._said_us
