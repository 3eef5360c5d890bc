"""What the virtual trip did, held against what the box said of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from firmware_bridge.virtual.happenings import Happening

BEFORE_S = 2.0  # a window of a detector may begin before what happened in it
AFTER_S = 4.0  # and its own filter and hold come after it
NOT_YET_S = 4.0  # what is due this shortly before the end may be said only after it


@dataclass(slots=True)
class SaidEvent:
    """An event as the broker delivered it; times in seconds of the trip.

    ``severity`` and ``values`` are the newest that were said: an end knows more than a start.
    """

    type: str
    id: str
    start_s: float
    severity: int
    values: dict[str, Any]
    said_s: float
    delivered_ms: float
    """Of its start: from the sample that completed its condition to the subscriber behind the broker."""


@dataclass(frozen=True, slots=True)
class Judged:
    """One happening and the events that were said of it."""

    happening: Happening
    events: tuple[SaidEvent, ...]
    still_due: bool

    @property
    def right(self) -> bool:
        """Said exactly once if it matters, never if it is harmless."""
        wanted = 0 if self.happening.expected_event is None else 1
        return len(self.events) == wanted or (self.still_due and not self.events)

    @property
    def verdict(self) -> str:
        """In words."""
        if self.happening.expected_event is None:
            return "rightly silent" if not self.events else f"said {len(self.events)} ×"
        if len(self.events) == 1:
            return "said once"
        if not self.events:
            return "not due yet" if self.still_due else "MISSED"
        return f"said {len(self.events)} ×"


def judge(
    truth: Iterable[Happening], said: Sequence[SaidEvent], until_s: float
) -> tuple[list[Judged], list[SaidEvent]]:
    """Match events to happenings by type and time; return them, and the events that nothing explains."""
    unexplained = list(said)
    judged: list[Judged] = []
    for happening in truth:
        if happening.due_s > until_s:
            continue
        mine = [
            event
            for event in unexplained
            if event.type == happening.expected_event
            and happening.start_s - BEFORE_S <= event.start_s <= happening.end_s + AFTER_S
        ]
        unexplained = [event for event in unexplained if event not in mine]
        judged.append(Judged(happening, tuple(mine), happening.due_s > until_s - NOT_YET_S))
    return judged, unexplained
