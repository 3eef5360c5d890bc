"""Slow sensors that give readings of which none can be believed, for so long that it is told as their fault.

What is no measurement (`plausible.py`) is left out by those who judge, so a thermometer that leapt by 40 K
and gives the very same value ever since blinds them without a word. One that really is somewhere else
shows it within a minute: its values move, if only in the last digit, and are believed again. One that has
not moved for ten is stuck, and one whose readings are impossible for so long gives no measurement: it is said
once, and its end with the first reading that can be believed.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from agent.blocks import NS_PER_S, FaultKind, FaultPhase, SensorFault, SiBlock
from agent.detection.plausible import DEGC, PASCAL, PERCENT, Limits, Plausible
from agent.streams import StreamSpec

DOUBT_S = 600
LEAST_READINGS = 10
"""Of a sensor that is read more rarely than once a minute it takes longer."""
LIMITS: dict[str, Limits] = {"temperature": DEGC, "humidity": PERCENT, "air_pressure": PASCAL}


class Word(NamedTuple):
    """What is said of a sensor, and the time of the sample that decided it."""

    decided_ns: int
    fault: SensorFault


@dataclass(slots=True)
class _Doubt:
    since_ns: int
    low: float
    high: float
    readings: int = 0
    told: FaultKind | None = None


class _Watched:
    """One stream of one value a sample."""

    def __init__(self, spec: StreamSpec, limits: Limits) -> None:
        self._spec = spec
        self._plausible = Plausible(limits)
        self._good: float | None = None
        self._doubt: _Doubt | None = None

    def step(self, time_ns: int, value: float) -> Word | None:
        """Take a reading; return what there is to say."""
        doubt = self._doubt
        if self._plausible.step(time_ns, value):
            self._good, self._doubt = value, None
            if doubt is None or doubt.told is None:
                return None
            return Word(time_ns, self._word(time_ns, FaultPhase.END, doubt.told))
        if doubt is None:
            doubt = self._doubt = _Doubt(time_ns, value, value)
        doubt.low, doubt.high = min(doubt.low, value), max(doubt.high, value)
        doubt.readings += 1
        long = time_ns - doubt.since_ns >= DOUBT_S * NS_PER_S and doubt.readings >= LEAST_READINGS
        if doubt.told is not None or not long:
            return None
        unit = self._spec.unit.value
        if doubt.low == doubt.high:
            doubt.told, got = FaultKind.STUCK_VALUE, f"exactly {value:g} {unit}"
        else:
            doubt.told, got = FaultKind.BAD_DATA, f"{doubt.low:g} to {doubt.high:g} {unit}"
        got = f"{got}, for {DOUBT_S // 60} minutes"
        limits = self._plausible.limits
        expected = f"readings that move, within {limits.least:g} to {limits.most:g} {unit}"
        if self._good is not None:
            got += f", after {self._good:g}"
        return Word(time_ns, self._word(doubt.since_ns, FaultPhase.START, doubt.told, got, expected))

    def _word(
        self, at_ns: int, phase: FaultPhase, kind: FaultKind, got: str = "", expected: str = ""
    ) -> SensorFault:
        name = self._spec.name
        return SensorFault(name, at_ns, phase, kind, f"what measures {name}", (name,), got, expected)


class Believed:
    """Watches those of `LIMITS` that there are."""

    def __init__(self, specs: Iterable[StreamSpec]) -> None:
        self._watched = {
            spec.name: _Watched(spec, LIMITS[spec.name])
            for spec in specs
            if spec.name in LIMITS and len(spec.axes) == 1
        }

    def feed(self, block: SiBlock) -> list[Word]:
        """Take samples; return what they decide."""
        watched = self._watched.get(block.stream)
        if watched is None:
            return []
        pairs = zip(block.times_ns.tolist(), block.values[:, 0].tolist(), strict=True)
        return [word for pair in pairs if (word := watched.step(*pair)) is not None]
