"""Load shift: the centre of the load moves on its four cells, and stays there.

Four cells at the corners give the load's centre as a fraction of the platform, free of its mass. Braking,
turning and a slope move it too; `centre_model.py` learns by how much, and what it cannot tell yet is no
shift. What it expects follows slowly and waits while in doubt. A change of mass is loading or unloading,
and what is done with a door open is done by somebody: neither is a shift.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import msgspec

from agent.blocks import NS_PER_S, SiBlock
from agent.detection.centre_model import NOISE, CentreModel
from agent.detection.context import Context, ContextWatch
from agent.detection.finding import EventType, Finding, Value
from agent.detection.hold import Hold, Turn
from agent.detection.track import Track
from agent.hops import Hops
from agent.mounting import Vector
from agent.ranges import NotNegative, Part, Positive
from agent.records import Phase, Severity
from calibration.gravity import STANDARD_GRAVITY_MPS2

HOP_NS = 250_000_000
WEIGHTLESS_MPS2 = 2.0  # in free fall the cells say nothing of the load
STALE_NS = 60 * NS_PER_S
STALE_PERIODS = 3  # of an accelerometer that is read more rarely than that
SURE = 2.0  # standard deviations of the model beyond which it is not its own doubt


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
    loading_s: NotNegative = 30.0
    """For so long after it somebody is about: what moves is moved."""
    moved_per_g: Positive = 0.4
    """So much may a g sideways move the centre, before it was seen."""
    major_shift: Part = 0.15
    cool_down_s: NotNegative = 0.0


class LoadShiftDetector:
    """Watches four cells, in the order front left, front right, rear left, rear right.

    ``up``: what is up in the accelerometer's axes; None: as at first.
    """

    def __init__(
        self,
        settings: LoadShiftSettings,
        stream: str = "load",
        motion_stream: str | None = "accel",
        context: ContextWatch | None = None,
        up: Vector | None = None,
    ) -> None:
        self.streams: tuple[str, ...] = (stream,) if motion_stream is None else (stream, motion_stream)
        self._settings = settings
        self._context = context
        self._up = up
        self._load = Hops(HOP_NS)
        self._motion = Hops(HOP_NS) if motion_stream is not None else None
        self._hold = Hold(round(settings.hold_s * NS_PER_S), 0)
        self._track = Track(EventType.LOAD_SHIFT, self.streams, cool_down_s=settings.cool_down_s)
        self._gain = 1.0 - math.exp(-HOP_NS / NS_PER_S / settings.lowpass_s)
        self._settle_hops = round(settings.settle_s * NS_PER_S / HOP_NS)
        self._cells_kg: list[float] | None = None
        self._force: list[float] = []
        self._force_ns: int | None = None
        self._stale_ns = STALE_NS
        self._blind_hops = 0
        self._model: CentreModel | None = None
        self._mass_kg = self._weight_kg = 0.0
        self._loading_hops = 0
        self._loaded_ns: int | None = None
        self._open = False

    def notes(self) -> Sequence[str]:
        """Say for how long nothing could be judged."""
        if not self._blind_hops:
            return ()
        return (
            f"load_shift: not watched for {self._blind_hops * HOP_NS / NS_PER_S:.0f} s: "
            f"{self.streams[-1]} said nothing for more than {self._stale_ns / NS_PER_S:.0f} s",
        )

    def feed(self, block: SiBlock) -> Sequence[Finding]:
        """Take samples; time decides."""
        if block.stream == self.streams[0]:
            self._load.feed(block)
        elif self._motion is not None:
            self._stale_ns = max(STALE_NS, STALE_PERIODS * block.period_ns)
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
            if hop in force_of and math.isfinite(sum(force_of[hop])):
                if not self._force or self._knows_no_force((hop + 1) * HOP_NS):
                    self._force = []
                    self._start_again((hop + 1) * HOP_NS)  # what was seen until now knew no force
                self._force_ns = (hop + 1) * HOP_NS
                self._force = _towards(self._force or None, force_of[hop], self._gain)
            if hop in cells_of and math.isfinite(sum(cells_of[hop])):
                found.extend(self._judge((hop + 1) * HOP_NS, cells_of[hop]))
        return found

    def _knows_no_force(self, time_ns: int) -> bool:
        """Whether there was a force once, and it is too old to be believed."""
        return self._force_ns is not None and time_ns - self._force_ns > self._stale_ns

    def _judge(self, time_ns: int, cells: list[float]) -> Sequence[Finding]:
        s = self._settings
        self._cells_kg = _towards(self._cells_kg, cells, self._gain)
        weight_kg = sum(self._cells_kg)
        if self._knows_no_force(time_ns):
            self._blind_hops += 1
            return self._start_again(time_ns)
        force_mps2 = self._pressing_mps2()
        if weight_kg < s.min_load_kg or force_mps2 < WEIGHTLESS_MPS2:
            return self._start_again(time_ns)
        context = self._context.at(time_ns) if self._context is not None else Context.UNKNOWN
        if self._open and context is not Context.DOOR_OPEN:
            self._start_again(time_ns)
        self._open = context is Context.DOOR_OPEN
        fl, fr, rl, rr = self._cells_kg
        mass_kg = weight_kg * STANDARD_GRAVITY_MPS2 / force_mps2
        here = (fr + rr - fl - rl) / weight_kg, (fl + fr - rl - rr) / weight_kg
        force_g = [f / STANDARD_GRAVITY_MPS2 for f in self._force]
        if self._model is None:
            creep = NOISE * HOP_NS / NS_PER_S / s.follow_s
            self._model = CentreModel(here, force_g, s.moved_per_g, creep)
            self._mass_kg, self._weight_kg = mass_kg, weight_kg
            return ()
        if self._other_load(mass_kg, weight_kg):
            self._loading_hops += 1
            if self._loading_hops * HOP_NS >= s.adopt_load_s * NS_PER_S:
                self._loaded_ns = time_ns
                return self._start_again(time_ns)
            self._hold.step(time_ns, on=False, off=False)
            return ()
        self._loading_hops = 0
        right, front, deviation = self._model.predict(force_g)
        moved = math.hypot(here[0] - right, here[1] - front)
        settled = self._model.seen >= self._settle_hops
        quiet = context not in {Context.LOADING, Context.DOOR_OPEN}
        doubted = settled and moved > s.shift
        if doubted and self._loaded_ns is not None and time_ns - self._loaded_ns < s.loading_s * NS_PER_S:
            return self._start_again(time_ns)
        turn = self._hold.step(
            time_ns, on=doubted and quiet and moved > s.shift + SURE * deviation, off=False
        )
        if turn is Turn.STARTED:
            return self._shifted(time_ns, (right, front), here, mass_kg)
        if not doubted or (self._hold.since_ns is None and quiet):
            self._model.learn(here, (right, front))
            gain = HOP_NS / NS_PER_S / s.follow_s
            self._mass_kg += gain * (mass_kg - self._mass_kg)
            self._weight_kg += gain * (weight_kg - self._weight_kg)
        return ()

    def _other_load(self, mass_kg: float, weight_kg: float) -> bool:
        """Whether something was put on or taken off: a lean changes the weight alone."""
        part = self._settings.same_load
        return (
            abs(mass_kg - self._mass_kg) > part * self._mass_kg
            and abs(weight_kg - self._weight_kg) > part * self._weight_kg
        )

    def _pressing_mps2(self) -> float:
        """Return the specific force on the cells: what is square to the platform."""
        if not self._force:
            return STANDARD_GRAVITY_MPS2
        size_mps2 = math.hypot(*self._force)
        if self._up is None:
            if size_mps2 < WEIGHTLESS_MPS2:
                return size_mps2
            x, y, z = (f / size_mps2 for f in self._force)
            self._up = x, y, z
        return sum(f * u for f, u in zip(self._force, self._up, strict=True))

    def _start_again(self, time_ns: int) -> Sequence[Finding]:
        """Forget what stood there: loaded, unloaded, or in the air."""
        self._model, self._loading_hops = None, 0
        self._hold.step(time_ns, on=False, off=False)
        return ()

    def _shifted(
        self, time_ns: int, before: tuple[float, float], here: tuple[float, float], mass_kg: float
    ) -> Sequence[Finding]:
        """Report the shift, begun and ended at once: where the load stands now is the new reference."""
        moved = math.hypot(here[0] - before[0], here[1] - before[1])
        start_ns = self._hold.since_ns or time_ns
        self._model = None
        self._hold = Hold(round(self._settings.hold_s * NS_PER_S), 0)
        if not self._track.ready(time_ns):
            return ()
        severity = Severity.MAJOR if moved >= self._settings.major_shift else Severity.GENERAL
        values: dict[str, Value] = {
            "moved": round(moved, 3),
            "from": [round(v, 3) for v in before],
            "to": [round(v, 3) for v in here],
            "load_kg": round(mass_kg, 1),
        }
        start = self._track.start(time_ns, start_ns, severity, values)
        self._track.end(time_ns, time_ns, severity, values)
        return start, replace(start, phase=Phase.END, end_ns=time_ns)


def _towards(value: list[float] | None, target: list[float], gain: float) -> list[float]:
    """One step of a first-order low-pass, each component by itself."""
    if value is None:
        return list(target)
    return [v + gain * (t - v) for v, t in zip(value, target, strict=True)]
