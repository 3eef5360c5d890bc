"""Sensor faults: from the source's word to events, one for each sensor that fails.

The source decides what is a fault; here it is numbered, and its end finds its start. A log may have lost
either: a start that comes again goes on as the same event, and an end alone is said with what is known.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from agent.blocks import NS_PER_S, FaultKind, FaultPhase, SensorFault
from agent.detection.finding import EventType, Finding, Value
from agent.records import Phase, Severity

HARMLESS = frozenset({FaultKind.OVERFLOW, FaultKind.REGISTERS})
"""Mended as soon as they are seen; what was lost is a gap of its own."""


@dataclass(slots=True)
class _Open:
    number: int
    start_ns: int
    severity: Severity
    last: SensorFault


class SensorFaults:
    """Follows every sensor that fails."""

    def __init__(self) -> None:
        self._open: dict[tuple[str, tuple[str, ...]], _Open] = {}
        self._count = 0

    def take(self, decided_ns: int, fault: SensorFault) -> Finding | None:
        """Take one word of the source; return what it comes to, None where it says nothing new."""
        key = fault.sensor, fault.streams
        known = self._open.get(key)
        if fault.phase is FaultPhase.END:
            self._open.pop(key, None)
            return self._end(decided_ns, fault, known)
        severity = Severity.MINOR if fault.kind in HARMLESS else Severity.GENERAL
        if known is None:
            self._count += 1
            self._open[key] = known = _Open(self._count, fault.at_ns, severity, fault)
            phase = Phase.START
        else:
            if _words(known.last) == _words(fault):
                return None
            known.last, known.severity = fault, max(known.severity, severity)
            phase = Phase.UPDATE
        return _finding(decided_ns, phase, known, None, _words(fault))

    def _end(self, decided_ns: int, fault: SensorFault, known: _Open | None) -> Finding:
        if known is None:  # how long it lasted, nobody knows
            self._count += 1
            severity = Severity.MINOR if fault.kind in HARMLESS else Severity.GENERAL
            known = _Open(self._count, fault.at_ns, severity, fault)
            return _finding(decided_ns, Phase.END, known, fault.at_ns, _words(fault))
        end_ns = max(fault.at_ns, known.start_ns)
        lasted_s = round((end_ns - known.start_ns) / NS_PER_S, 3)
        return _finding(decided_ns, Phase.END, known, end_ns, {**_words(known.last), "lasted_s": lasted_s})


def _words(fault: SensorFault) -> Mapping[str, Value]:
    said: dict[str, Value] = {"fault": fault.kind.value, "sensor": fault.sensor}
    if fault.got:
        said["got"] = fault.got
    if fault.expected:
        said["expected"] = fault.expected
    return said


def _finding(
    decided_ns: int, phase: Phase, known: _Open, end_ns: int | None, values: Mapping[str, Value]
) -> Finding:
    return Finding(
        decided_ns,
        EventType.SENSOR_FAULT,
        known.number,
        phase,
        known.start_ns,
        end_ns,
        known.severity,
        values,
        known.last.streams,
    )
