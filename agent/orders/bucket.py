"""A token bucket: so many at once, then so many in a time."""

from __future__ import annotations

import time


class Bucket:
    """Times are monotonic seconds, given by the caller."""

    def __init__(self, rate_hz: float, burst: float) -> None:
        self._rate_hz = rate_hz
        self._burst = self._tokens = float(burst)
        self._last_s: float | None = None

    def take(self, now_s: float) -> bool:
        """Take a token if there is one."""
        if self.wait_s(now_s) > 0:
            return False
        self._tokens -= 1
        return True

    def take_now(self) -> bool:
        """Take a token if there is one by the clock."""
        return self.take(time.monotonic())

    def wait_s(self, now_s: float) -> float:
        """Return after what time there will be a token."""
        if self._last_s is not None:
            passed_s = max(0.0, now_s - self._last_s)
            self._tokens = min(self._burst, self._tokens + passed_s * self._rate_hz)
        self._last_s = now_s
        return max(0.0, (1 - self._tokens) / self._rate_hz)
