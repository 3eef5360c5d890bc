"""When what was measured is told: each time, or rarer where a box measures too little to pay for it."""

from __future__ import annotations

PART = 0.25  # of the upload budget, at most
AT_LEAST_S = 3600.0  # whatever it costs


class Timing:
    """``budget``: published bytes per raw byte. Times are of a clock that never jumps, in seconds."""

    def __init__(self, budget: float, now_s: float) -> None:
        self._part = PART * budget
        self._last_s = now_s
        self._size_bytes = 0
        self._raw_bytes = 0.0

    def due(self, now_s: float, raw_bytes: float, *, news: bool) -> bool:
        """Return whether to tell it; at any price if there is news, such as trouble."""
        earned_bytes = self._part * (raw_bytes - self._raw_bytes)
        return news or earned_bytes >= self._size_bytes or now_s - self._last_s >= AT_LEAST_S

    def told(self, now_s: float, raw_bytes: float, size_bytes: int) -> None:
        """A record of that size was told."""
        self._last_s, self._raw_bytes, self._size_bytes = now_s, raw_bytes, size_bytes
