"""What is going on around the box: parked, driving, handling, loading, a door open; from the data alone.

Judged twice a second, from what the streams at hand can tell:

* a lid or door contact that is open;
* by hand: a box that floats or leans as no vehicle can (30°, 0.58 g across), is turned faster than a vehicle
  turns (34° a second from rest, 69 on the road), or is swung up and down slowly, with little vibration.
  Braking hardly changes the size of the specific force, √(1 + 0.4²) = 1.08; lifting by hand does
  (1–3 m/s² at 0.5–2 Hz);
* loading: what stands on the cells changes while the vehicle stands;
* driving: vibration above that of an idling engine for some seconds, on floors of real vehicles 0.3 to 1 m/s²
  against 0.05 to 0.15; or, on a tram that glides, pulls and bends of 0.05 g and more. Parked: neither of both
  for longer.

Between the levels the last word holds, so that it does not flicker at a traffic light.
"""

from __future__ import annotations

import bisect
import enum
import math
from collections import deque
from collections.abc import Iterable

import numpy as np

from agent.blocks import NS_PER_S, SiBlock
from agent.hops import HopRun, Hops
from agent.mounting import angle_between_deg
from agent.streams import StreamSpec

HOP_NS = 500_000_000
HOPS_PER_S = NS_PER_S // HOP_NS

DRIVING_MPS2 = 0.25
PARKED_MPS2 = 0.16
PULL_MPS2 = 0.5  # within the last seconds; a slope does not change, and nobody pulls away more softly
STEADY_MPS2 = 0.25
PULL_HOPS = 5 * HOPS_PER_S
DRIVING_HOPS = 3 * HOPS_PER_S
PULLED_HOPS = 10 * HOPS_PER_S  # a forklift that tips the box, and puts it back, is sooner done
SILENT_HOPS = 10 * HOPS_PER_S  # after which a stream's last word is no longer believed
PARKED_HOPS = 8 * HOPS_PER_S

SWING_MPS2 = 0.6  # standard deviation of the size of the force, over the last hops
MOVING_SWING_MPS2 = 1.5
SWING_HOPS = 3 * HOPS_PER_S
SMOOTH = 1.5  # vibration within a hop against that swing: a road shakes far more than it lifts
LEAN_DEG = 30.0
UPRIGHT_GAIN = 1.0 - math.exp(-1.0 / (20 * HOPS_PER_S))  # a box that was turned for good stands so after 20 s
SWAYING_GAIN = UPRIGHT_GAIN / 6
FLOATING_MPS2 = 4.9  # half of gravity, mean of half a second
TURNING_RADPS = 0.6
MOVING_TURNING_RADPS = 1.2  # a car that is thrown around a corner reaches 0.8
HANDLING_HOPS = 4 * HOPS_PER_S  # for which it goes on being so after the last sign of it

LOADING_KG = 0.5
LOADING_PART = 0.02
LOADING_BACK_HOPS = 2 * HOPS_PER_S
LOADING_HOPS = 5 * HOPS_PER_S
OPEN_BELOW = 0.5
LEAST_SAMPLES = 5  # of acceleration in a hop: with fewer, vibration cannot be told from rest

XYZ = 3


class Context(enum.StrEnum):
    """In what an event was seen."""

    UNKNOWN = "unknown"
    PARKED = "parked"
    DRIVING = "driving"
    HANDLING = "handling"
    LOADING = "loading"
    DOOR_OPEN = "door_open"


class ContextWatch:
    """Says what was going on at any time that the streams are complete to."""

    def __init__(self, specs: Iterable[StreamSpec]) -> None:
        axes = {spec.name: len(spec.axes) for spec in specs}
        wanted = {"accel": XYZ, "gyro": XYZ, "load": None, "lid": 1}
        self.streams = tuple(n for n, k in wanted.items() if n in axes and k in (None, axes[n]))
        self._hops = {name: Hops(HOP_NS) for name in self.streams}
        self._times_ns: list[int] = []
        self._contexts: list[Context] = []
        self._upright: list[float] | None = None
        self._forces: deque[list[float]] = deque(maxlen=PULL_HOPS)
        self._sizes_mps2: deque[float] = deque(maxlen=SWING_HOPS)
        self._weights_kg: deque[float] = deque(maxlen=LOADING_BACK_HOPS + 1)
        self._busy_hops = self._pulled_hops = self._quiet_hops = 0
        self._handled_until = self._loaded_until = -1
        self._moving: bool | None = None
        self._open = False
        self._felt = self._looked = -SILENT_HOPS

    def feed(self, block: SiBlock) -> None:
        """Take samples of one of `streams`; time decides."""
        self._hops[block.stream].feed(block)

    def advance(self, horizon_ns: int) -> None:
        """Judge the hops that are complete."""
        runs = {name: hops.advance(horizon_ns) for name, hops in self._hops.items()}
        accel = _rows(runs.get("accel"), squares=True)
        gyro, load, lid = (_rows(runs.get(name)) for name in ("gyro", "load", "lid"))
        for hop in sorted(accel.keys() | gyro.keys() | load.keys() | lid.keys()):
            if hop - self._felt > SILENT_HOPS:
                self._moving = None
            if hop in lid:
                self._open, self._looked = lid[hop][0] < OPEN_BELOW, hop
            if hop in accel:
                self._take_motion(hop, accel[hop])
            least_radps = MOVING_TURNING_RADPS if self._moving else TURNING_RADPS
            if hop in gyro and math.hypot(*gyro[hop]) > least_radps:
                self._handled_until = hop + HANDLING_HOPS
            if hop in load:
                self._take_load(hop, sum(load[hop]))
            self._say((hop + 1) * HOP_NS, self._judge(hop))

    def at(self, time_ns: int) -> Context:
        """Return what was going on at `time_ns`, as known then."""
        which = bisect.bisect_right(self._times_ns, time_ns) - 1
        return self._contexts[which] if which >= 0 else Context.UNKNOWN

    def forget_before(self, time_ns: int) -> None:
        """Nobody asks for an earlier time any more."""
        old = bisect.bisect_right(self._times_ns, time_ns) - 1
        if old > 0:
            del self._times_ns[:old], self._contexts[:old]

    def _take_motion(self, hop: int, row: list[float]) -> None:
        force, vibration_mps2 = row[:XYZ], row[XYZ]
        size_mps2 = math.hypot(*force)
        self._sizes_mps2.append(size_mps2)
        self._felt = hop
        if hop <= self._handled_until:
            self._forces.clear()  # what a hand does is no pull of a vehicle
        self._forces.append(force)
        pull_mps2 = max(max(axis) - min(axis) for axis in zip(*self._forces, strict=True))
        self._busy_hops = self._busy_hops + 1 if vibration_mps2 > DRIVING_MPS2 else 0
        self._pulled_hops = self._pulled_hops + 1 if pull_mps2 > PULL_MPS2 else 0
        quiet = vibration_mps2 < PARKED_MPS2 and pull_mps2 < STEADY_MPS2
        self._quiet_hops = self._quiet_hops + 1 if quiet else 0
        if self._by_hand(force, size_mps2, vibration_mps2):
            self._handled_until = hop + HANDLING_HOPS
            self._busy_hops = self._pulled_hops = 0
        if self._busy_hops >= DRIVING_HOPS or self._pulled_hops >= PULLED_HOPS:
            self._moving = True
        elif self._quiet_hops >= PARKED_HOPS:
            self._moving = False
        before = self._upright or force
        gain = UPRIGHT_GAIN if pull_mps2 < STEADY_MPS2 else SWAYING_GAIN
        self._upright = [b + gain * (f - b) for b, f in zip(before, force, strict=True)]

    def _by_hand(self, force: list[float], size_mps2: float, vibration_mps2: float) -> bool:
        if size_mps2 < FLOATING_MPS2:
            return True
        if self._upright is not None and angle_between_deg(force, self._upright) > LEAN_DEG:
            return True
        sizes = self._sizes_mps2
        mean = sum(sizes) / len(sizes)
        swing_mps2 = math.sqrt(sum((s - mean) ** 2 for s in sizes) / len(sizes))
        # who drives goes on driving: an emergency stop of 0.6 g changes the size by 1.6 m/s²
        least_mps2 = MOVING_SWING_MPS2 if self._moving else SWING_MPS2
        return swing_mps2 > least_mps2 and vibration_mps2 < SMOOTH * swing_mps2

    def _take_load(self, hop: int, weight_kg: float) -> None:
        before = self._weights_kg[0] if self._weights_kg else weight_kg
        self._weights_kg.append(weight_kg)
        changed_kg = abs(weight_kg - before)
        if self._moving is not True and changed_kg > max(LOADING_KG, LOADING_PART * abs(before)):
            self._loaded_until = hop + LOADING_HOPS

    def _judge(self, hop: int) -> Context:
        if self._open and hop - self._looked <= SILENT_HOPS:
            return Context.DOOR_OPEN
        if hop <= self._handled_until:
            return Context.HANDLING
        if hop <= self._loaded_until:
            return Context.LOADING
        if self._moving is None:
            return Context.UNKNOWN
        return Context.DRIVING if self._moving else Context.PARKED

    def _say(self, time_ns: int, context: Context) -> None:
        if not self._contexts or self._contexts[-1] is not context:
            self._times_ns.append(time_ns)
            self._contexts.append(context)


def _rows(run: HopRun | None, *, squares: bool = False) -> dict[int, list[float]]:
    """Return the mean of each axis by hop; with `squares`, the vibration about it as one more."""
    if run is None:
        return {}
    rows: list[list[float]] = run.mean.tolist()
    if squares:
        with np.errstate(invalid="ignore", over="ignore"):
            variance = (run.squares / run.count[:, None] - run.mean * run.mean).sum(axis=1)
        for row, value in zip(rows, variance.tolist(), strict=True):
            row.append(math.sqrt(max(0.0, value)))
        judged = (run.count >= LEAST_SAMPLES) & np.isfinite(variance)
        return {h: r for h, r, good in zip(run.index.tolist(), rows, judged.tolist(), strict=True) if good}
    return dict(zip(run.index.tolist(), rows, strict=True))
