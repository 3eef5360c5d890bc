"""Load shift: the centre of the load moves on its four cells, and stays there.

Four cells at the corners give the load's centre as a fraction of the platform, free of its mass.
Braking, turning and a slope move it too; so each attitude (the specific force, low-passed alike) has a
reference of its own, that follows slowly and waits while in doubt. A change of mass is loading or
unloading, not a shift.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import msgspec

from agent.blocks import NS_PER_S, SiBlock
from agent.detection.finding import EventType, Finding
from agent.detection.hold import Hold, Turn
from agent.hops import Hops
from agent.ranges import NotNegative, Part, Positive
from agent.records import Phase, Severity

HOP_NS = 250_000_000
GRAVITY_MPS2 = 9.80665  # standard gravity, CGPM 1901
MOST_ATTITUDES = 8
WEIGHTLESS_MPS2 = 2.0  # in free fall the cells say nothing of the load


class LoadShiftSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Shifts are of the centre of load, as a fraction of half the platform's width or length."""

    enabled: bool = True
    shift: Part = 0.10
    hold_s: NotNegative = 2.0
    lowpass_s: Positive = 0.6
    follow_s: Positive = 30.0
    """How fast the reference follows; a slow creep of the load is not a shift."""
    settle_s: Positive = 2.0
    """How long the first reference is averaged before anything is judged."""
    min_load_kg: Positive = 5.0
    same_load: Part = 0.04
    """A mass that changed by more than this part is loading ..."""
    adopt_load_s: Positive = 5.0
    """... and after so long, what stands there is the reference."""
    same_force_mps2: Positive = 0.5
    """Beyond this change of the low-passed specific force, braking or a slope moves the centre."""
    major_shift: Part = 0.15


@dataclass(slots=True)
class _Reference:
    """Where the load's centre is in one attitude: right, front, mass in kg, then the specific force."""

    state: list[float]
    hops: int = 1

    def settled(self, settle_s: float) -> bool:
        """Whether it was averaged for long enough to judge by."""
        return self.hops * HOP_NS >= settle_s * NS_PER_S

    def follow(self, here: list[float], gain: float) -> None:
        """Move towards what is seen now."""
        self.state = _towards(self.state, here, gain)


class LoadShiftDetector:
    """Watches four cells, in the order front left, front right, rear left, rear right."""

    def __init__(
        self, settings: LoadShiftSettings, stream: str = "load", motion_stream: str | None = "accel"
    ) -> None:
        self.streams: tuple[str, ...] = (stream,) if motion_stream is None else (stream, motion_stream)
        self._settings = settings
        self._load = Hops(HOP_NS)
        self._motion = Hops(HOP_NS) if motion_stream is not None else None
        self._hold = Hold(round(settings.hold_s * NS_PER_S), 0)
        self._cells_kg: list[float] | None = None
        self._force: list[float] = []
        self._references: list[_Reference] = []
        self._loading_hops = 0
        self._count = 0

    def notes(self) -> Sequence[str]:
        """Nothing to say: it watches whatever stands on the cells."""
        return ()

    def feed(self, block: SiBlock) -> Sequence[Finding]:
        """Take samples; time decides."""
        if block.stream == self.streams[0]:
            self._load.feed(block)
        elif self._motion is not None:
            self._motion.feed(block)
        return ()

    def advance(self, horizon_ns: int) -> Sequence[Finding]:
        """Judge the hops that are complete, with the motion of the same hops."""
        motion = self._motion.advance(horizon_ns) if self._motion is not None else None
        force_of = dict(zip(motion.index.tolist(), motion.mean.tolist(), strict=True)) if motion else {}
        run = self._load.advance(horizon_ns)
        found: list[Finding] = []
        hops = run.index.tolist() if run else []
        cells_of = dict(zip(hops, run.mean.tolist(), strict=True)) if run else {}
        for hop in sorted(force_of.keys() | cells_of.keys()):
            if hop in force_of:
                if not self._force:
                    self._start_again((hop + 1) * HOP_NS)  # what was seen until now knew no attitude
                self._force = _towards(
                    self._force or None, force_of[hop], self._gain(self._settings.lowpass_s)
                )
            if hop in cells_of:
                found.extend(self._judge((hop + 1) * HOP_NS, cells_of[hop]))
        return found

    def _gain(self, time_constant_s: float) -> float:
        return 1.0 - math.exp(-HOP_NS / NS_PER_S / time_constant_s)

    def _judge(self, time_ns: int, cells: list[float]) -> Sequence[Finding]:
        s = self._settings
        self._cells_kg = _towards(self._cells_kg, cells, self._gain(s.lowpass_s))
        weight_kg = sum(self._cells_kg)
        force_mps2 = math.hypot(*self._force) if self._force else GRAVITY_MPS2
        if weight_kg < s.min_load_kg or force_mps2 < WEIGHTLESS_MPS2:
            return self._start_again(time_ns)
        fl, fr, rl, rr = self._cells_kg
        mass_kg = weight_kg * GRAVITY_MPS2 / force_mps2
        here = [(fr + rr - fl - rl) / weight_kg, (fl + fr - rl - rr) / weight_kg, mass_kg, *self._force]
        if self._other_mass(mass_kg):
            self._loading_hops += 1
            if self._loading_hops * HOP_NS >= s.adopt_load_s * NS_PER_S:
                return self._start_again(time_ns)
            self._hold.step(time_ns, on=False, off=False)
            return ()
        self._loading_hops = 0
        known = self._known_attitude(here)
        if not known.settled(s.settle_s):
            known.hops += 1
            known.follow(here, 1.0 / known.hops)
            self._hold.step(time_ns, on=False, off=False)
            return ()
        moved = math.hypot(here[0] - known.state[0], here[1] - known.state[1])
        turn = self._hold.step(time_ns, on=moved > s.shift, off=False)
        if turn is Turn.STARTED:
            return self._shifted(time_ns, known.state, here)
        if self._hold.since_ns is None:
            known.follow(here, self._gain(s.follow_s))
        return ()

    def _other_mass(self, mass_kg: float) -> bool:
        """Whether another mass than the references' stands there now."""
        settled = (r.state[2] for r in self._references if r.settled(self._settings.settle_s))
        known_kg = next(settled, mass_kg)
        return abs(mass_kg - known_kg) > self._settings.same_load * known_kg

    def _known_attitude(self, here: list[float]) -> _Reference:
        """Return the reference of this attitude; begin one where there is none."""
        limit = self._settings.same_force_mps2
        for reference in self._references:
            if all(abs(f - r) <= limit for f, r in zip(here[3:], reference.state[3:], strict=True)):
                break
        else:
            reference = _Reference(here)
            self._references.append(reference)
        # one that was left before it had settled was a manoeuvre, and no attitude
        settle_s = self._settings.settle_s
        kept = [r for r in self._references if r is reference or r.settled(settle_s)]
        self._references = kept[-MOST_ATTITUDES:]
        return reference

    def _start_again(self, time_ns: int) -> Sequence[Finding]:
        """Forget what stood there: loaded, unloaded, or in the air."""
        self._references, self._loading_hops = [], 0
        self._hold.step(time_ns, on=False, off=False)
        return ()

    def _shifted(self, time_ns: int, before: list[float], here: list[float]) -> Sequence[Finding]:
        """Report the shift, begun and ended at once: where the load stands now is the new reference."""
        moved = math.hypot(here[0] - before[0], here[1] - before[1])
        start_ns = self._hold.since_ns or time_ns
        self._count += 1
        self._references = [_Reference(here)]
        self._hold = Hold(round(self._settings.hold_s * NS_PER_S), 0)
        start = Finding(
            decided_ns=time_ns,
            type=EventType.LOAD_SHIFT,
            number=self._count,
            phase=Phase.START,
            start_ns=start_ns,
            end_ns=None,
            severity=Severity.MAJOR if moved >= self._settings.major_shift else Severity.GENERAL,
            values={
                "moved": round(moved, 3),
                "from": [round(v, 3) for v in before[:2]],
                "to": [round(v, 3) for v in here[:2]],
                "load_kg": round(here[2], 1),
            },
            streams=self.streams,
        )
        return start, replace(start, phase=Phase.END, end_ns=time_ns)


def _towards(value: list[float] | None, target: list[float], gain: float) -> list[float]:
    """One step of a first-order low-pass, each component by itself."""
    if value is None:
        return list(target)
    return [v + gain * (t - v) for v, t in zip(value, target, strict=True)]
