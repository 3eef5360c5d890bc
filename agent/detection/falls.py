"""When a drop was being reported: its impact is part of it, and no shock of its own.

Filled by the drop detector, asked by the shock detector; neither knows the other. Of each block the drop
detector is asked first, so what is known about a sample's time does not depend on how samples are cut.
"""

from __future__ import annotations

import bisect

KEPT = 4096
"""Of falls: more than an hour of one after the other."""


class Falls:
    """Times during which a drop was known and not yet over."""

    def __init__(self) -> None:
        self._known_ns: list[int] = []
        self._over_ns: list[int] = []

    def known(self, decided_ns: int) -> None:
        """A fall is sure as of the sample at `decided_ns`."""
        if len(self._known_ns) >= KEPT:
            del self._known_ns[: KEPT // 2], self._over_ns[: KEPT // 2]
        self._known_ns.append(decided_ns)

    def over(self, decided_ns: int) -> None:
        """It has settled as of the sample at `decided_ns`."""
        self._over_ns.append(decided_ns)

    def at(self, time_ns: int) -> bool:
        """Whether the sample at `time_ns` belongs to a drop."""
        which = bisect.bisect_right(self._known_ns, time_ns) - 1
        return which >= 0 and (which >= len(self._over_ns) or time_ns < self._over_ns[which])

    def between(self, begin_ns: int, end_ns: int) -> bool:
        """Whether a drop was known at any time from `begin_ns` to before `end_ns`."""
        which = bisect.bisect_left(self._known_ns, end_ns) - 1
        return which >= 0 and (which >= len(self._over_ns) or begin_ns < self._over_ns[which])
