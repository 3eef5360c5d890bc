"""When a live source says how the wall clock stands: at the start, once a minute, and when it has changed."""

from __future__ import annotations

from collections.abc import Callable

from agent.timebase import TimeMark, measure_mark

MARK_NS = 55_000_000_000  # a mark at least once a minute
LOOK_NS = 1_000_000_000
JUMP_NS = 10_000_000


class WallMarks:
    """`now_ns`: the source's clock; marks are in box time, which is that of this machine."""

    def __init__(self, now_ns: Callable[[], int]) -> None:
        self._now_ns = now_ns
        self._looked_ns = 0
        self._known: TimeMark | None = None

    def first(self) -> TimeMark:
        """Return the mark to begin with."""
        self._looked_ns = self._now_ns()
        self._known = measure_mark()
        return self._known

    def due(self, now_ns: int) -> TimeMark | None:
        """Return a mark, if one is owed."""
        if now_ns - self._looked_ns < LOOK_NS:
            return None
        self._looked_ns = now_ns
        newer = measure_mark()
        if self._known is not None and not _tells_more(self._known, newer):
            return None
        self._known = newer
        return newer


def _tells_more(known: TimeMark, newer: TimeMark) -> bool:
    return (
        abs(newer.offset_ns - known.offset_ns) > JUMP_NS
        or newer.quality is not known.quality
        or newer.box_ns - known.box_ns >= MARK_NS
    )
