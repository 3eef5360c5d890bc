"""What was published against what was measured, hour by hour: the account that the upload budget promises."""

from __future__ import annotations

import bisect
from array import array

HOUR_S = 3600.0


class Ledger:
    """Running totals over time; each hour that begins at a note is looked at, not only the clock's own."""

    def __init__(self) -> None:
        # numbers and no objects: who measures memory must not take any
        self._times_s, self._raw, self._published = array("d"), array("d"), array("d")

    def note(self, time_s: float, raw_bytes: float, published_bytes: float) -> None:
        """Take the totals so far."""
        self._times_s.append(time_s)
        self._raw.append(raw_bytes)
        self._published.append(published_bytes)

    def hours(self) -> list[float]:
        """Return the ratio of every hour from the beginning on; the last one may be a part of one."""
        if not self._times_s:
            return []
        ratios, at, begin_s = [], 0, self._times_s[0]
        while at < len(self._times_s) - 1:
            begin_s += HOUR_S
            end = min(bisect.bisect_left(self._times_s, begin_s), len(self._times_s) - 1)
            end = max(end, at + 1)
            ratios.append(self._ratio(at, end))
            at = end
        return ratios

    def worst_hour(self) -> float:
        """Return the largest ratio of any whole hour; of all there is where that is less than one."""
        times_s = self._times_s
        if not times_s:
            return 0.0
        if times_s[-1] - times_s[0] < HOUR_S:
            return self._ratio(0, len(times_s) - 1, from_nothing=True)
        ends = ((i, bisect.bisect_left(times_s, t + HOUR_S)) for i, t in enumerate(times_s))
        return max(self._ratio(i, end) for i, end in ends if end < len(times_s))

    def _ratio(self, begin: int, end: int, *, from_nothing: bool = False) -> float:
        raw = self._raw[end] - (0.0 if from_nothing else self._raw[begin])
        published = self._published[end] - (0.0 if from_nothing else self._published[begin])
        return published / raw if raw else 0.0
