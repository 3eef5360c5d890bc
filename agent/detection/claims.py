"""When an event was known of whose motion another detector would make an event of its own.

The impact of a fall belongs to its drop and is no shock; what falls, or is struck, feels no bump. A detector
that knows fills one of these, others ask; none knows another. Of each block the filling detector is fed
first, so what is known about a sample's time does not depend on how samples are cut.
"""

from __future__ import annotations

import bisect

KEPT = 4096
"""Of events: more than an hour of one after the other."""


class Claims:
    """Times during which an event of one type was known and not yet over."""

    def __init__(self) -> None:
        self._known_ns: list[int] = []
        self._over_ns: list[int] = []

    def known(self, decided_ns: int) -> None:
        """An event is sure as of the sample at `decided_ns`."""
        if len(self._known_ns) >= KEPT:
            del self._known_ns[: KEPT // 2], self._over_ns[: KEPT // 2]
        self._known_ns.append(decided_ns)

    def over(self, decided_ns: int) -> None:
        """It has settled as of the sample at `decided_ns`."""
        self._over_ns.append(decided_ns)

    def at(self, time_ns: int) -> bool:
        """Whether the sample at `time_ns` belongs to one."""
        return self.between(time_ns, time_ns + 1)

    def between(self, begin_ns: int, end_ns: int) -> bool:
        """Whether one was known at any time from `begin_ns` to before `end_ns`."""
        which = bisect.bisect_left(self._known_ns, end_ns) - 1
        return which >= 0 and (which >= len(self._over_ns) or begin_ns < self._over_ns[which])
