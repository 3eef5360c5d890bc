"""One event after the other of a detector: its number, what was said of it, and when to say more.

A start, an update when it became worse or has lasted for long, an end; an event that begins too soon after
the last is held back by the cool-down. What was called major stays major: its end never says less.
"""

from __future__ import annotations

from collections.abc import Mapping

from agent.blocks import NS_PER_S
from agent.detection.finding import EventType, Finding, Value
from agent.hops import TICK_NS
from agent.records import Phase, Severity

UPDATE_S = 60.0
LASTING_S = 600.0  # for what is slow and may last for days
SILENT_NS = 10 * NS_PER_S
"""Nobody knows how an event goes on whose stream says nothing for so long: it ends with its last sample."""


def silent_ns(last_ns: int) -> int:
    """Return the time at which a stream whose last sample is before or at `last_ns` counts as silent.

    A whole tick: only there is anything decided by time alone. The end of a log is a silence, too.
    """
    return -(-(last_ns + SILENT_NS) // TICK_NS) * TICK_NS


class Track:
    """Follows the events of one detector, one at a time."""

    def __init__(
        self,
        event_type: EventType,
        streams: tuple[str, ...],
        *,
        update_s: float = UPDATE_S,
        cool_down_s: float = 0.0,
    ) -> None:
        self.active = False
        self.severity = Severity.MINOR
        """The worst that was said of the event that is open, or of the last one."""
        self.start_ns = 0
        self._type = event_type
        self._streams = streams
        self._update_ns = round(update_s * NS_PER_S)
        self._cool_down_ns = round(cool_down_s * NS_PER_S)
        self._number = 0
        self._said_ns = 0
        self._ended_ns: int | None = None

    def ready(self, time_ns: int) -> bool:
        """Whether an event may begin: none is open, and the last has been over for the cool-down."""
        if self.active:
            return False
        return self._ended_ns is None or time_ns - self._ended_ns >= self._cool_down_ns

    def start(
        self, decided_ns: int, start_ns: int, severity: Severity, values: Mapping[str, Value]
    ) -> Finding:
        """Begin an event that has lasted since `start_ns`."""
        self.active = True
        self._number += 1
        self.start_ns = start_ns
        self.severity = severity
        return self._finding(decided_ns, Phase.START, None, values)

    def update(self, decided_ns: int, severity: Severity, values: Mapping[str, Value]) -> Finding | None:
        """Say how it goes on: at once where it became worse, otherwise now and then; None when not due."""
        if severity <= self.severity and decided_ns - self._said_ns < self._update_ns:
            return None
        self.severity = max(severity, self.severity)
        return self._finding(decided_ns, Phase.UPDATE, None, values)

    def end(self, decided_ns: int, end_ns: int, severity: Severity, values: Mapping[str, Value]) -> Finding:
        """End it; it was over at `end_ns`. What makes it major or critical needs an update before."""
        self.active = False
        self._ended_ns = end_ns
        self.severity = max(severity, self.severity)
        return self._finding(decided_ns, Phase.END, end_ns, values)

    def _finding(
        self, decided_ns: int, phase: Phase, end_ns: int | None, values: Mapping[str, Value]
    ) -> Finding:
        self._said_ns = decided_ns
        return Finding(
            decided_ns=decided_ns,
            type=self._type,
            number=self._number,
            phase=phase,
            start_ns=self.start_ns,
            end_ns=end_ns,
            severity=self.severity,
            values=values,
            streams=self._streams,
        )
