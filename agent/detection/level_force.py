"""What pushes a vehicle about, free of heading and of mounting: the level part of the specific force.

Two measures of the same force, each right where the other is not:

* by direction: what of the low-passed force is across the slow estimate of up. It is exact in a sensor that
  is fixed to the box, and takes a tilt for a force;
* by size: a vehicle that is pushed along or across feels √(g² + a²), a box that is tilted feels g in any
  attitude (by which D. Tedaldi, ICRA 2014, calibrates). It is right in any frame whatever, also in that of a
  telephone whose "up" follows every long push within a second or two, and takes a lift by hand for a force.

A push is real where both see it. All is in units of g and in steps of one hop of 100 ms, so that it does not
depend on how samples were cut. The low-pass is ¼, ½, ¼ of three such means: -3 dB at 2 Hz, nothing left at 5.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from calibration.gravity import STANDARD_GRAVITY_MPS2

HOP_NS = 100_000_000
HOP_S = 0.1

BIAS_PART = 0.06  # what an uncorrected sensor reads more or less than g at rest (a MEMS one: up to 60 mg)
FIRST_HOPS = 10  # whose mean is the first idea of up

# A road lifts as much as it drops, so the size of the force is g on the median: the reference follows by so
# much a hop, whatever is read. A stop of 0.5 g for 4 s moves it by 0.004 g.
SIZE_STEP_G = 0.0001
SIZE_STEP_AT_REST_G = 0.01
LEVEL_EXCESS = 0.03  # g²: below (0.17 g) it may be gravity alone, so up may follow; a stop freezes it
UP_GAIN = 1.0 - math.exp(-HOP_S / 10.0)
UP_GAIN_AT_REST = 1.0 - math.exp(-HOP_S / 2.0)
TURNED_G = 0.35  # 20°: leaning by so much, and no longer than gravity, for so long: it was put down so
TURNED_HOPS = 30

# At rest the mean stays, and the vibration is less than half of what it is on the road; a smooth road at a
# steady speed has the first alone, an engine that shakes a van as its road does is never known to stand.
STILL_MPS2 = 0.12
STILL_HOPS = 20
CALM_PART = 0.5
CALM_MPS2 = 0.6  # from peak to peak, while no road is known: the noise of a sensor of 0.1 m/s²
SWING_HOPS = 300
REST_ACROSS = 0.0064  # g²: 0.08 g; a steady push is no rest, and a steeper place is learned to be level first
LONGEST_HOLE_HOPS = 5


class LevelForce:
    """Follows one accelerometer, hop by hop. What it says is of the last hop.

    ``excess``: (|f|² - g²)/g², the squared level force by size; ``across``: the squared level force by
    direction; ``along``: the force along up, in g; ``size``: |f| in g; ``still_hops``: for how many hops
    nothing has moved.
    """

    def __init__(self) -> None:
        self.excess = self.across = 0.0
        self.along = self.size = 1.0
        self.force: tuple[float, float, float] = (0.0, 0.0, 0.0)
        """The low-passed specific force, in m/s²."""
        self.up: tuple[float, float, float] = (0.0, 0.0, 0.0)
        self.ready = False
        self.still_hops = 0
        self._gravity_mps2 = STANDARD_GRAVITY_MPS2
        self._first: list[tuple[float, float, float]] = []
        self._before: tuple[float, float, float] | None = None
        self._before_that: tuple[float, float, float] | None = None
        self._hop = 0
        self._turned_hops = 0
        self._road_mps2 = 0.0
        self._road_hops = 0

    def step(self, hop: int, mean_mps2: Sequence[float], swing_mps2: float) -> bool:
        """Take the mean force of hop number `hop`, and its swing from peak to peak.

        Return False if it was cut off from the last.
        """
        x, y, z = mean_mps2
        whole = True
        if self._before is None or self._before_that is None or hop - self._hop > LONGEST_HOLE_HOPS:
            whole = self._before is None
            self._before = self._before_that = (x, y, z)
            self.still_hops = 0
        elif hop - self._hop > 1:  # a hole of a few samples: what was before went on
            self._before_that = self._before
        ax, ay, az = self._before
        bx, by, bz = self._before_that
        calm_mps2 = CALM_PART * self._road_mps2 if self._road_hops >= STILL_HOPS else CALM_MPS2
        steady = abs(x - ax) < STILL_MPS2 and abs(y - ay) < STILL_MPS2 and abs(z - az) < STILL_MPS2
        if steady and swing_mps2 < calm_mps2 and self.across < REST_ACROSS:
            self.still_hops += 1
        else:
            self.still_hops = 0
            if swing_mps2 >= calm_mps2:
                self._road_hops = min(self._road_hops + 1, SWING_HOPS)
                self._road_mps2 += (swing_mps2 - self._road_mps2) / self._road_hops
        self._before_that, self._before, self._hop = self._before, (x, y, z), hop
        fx, fy, fz = 0.25 * (x + bx) + 0.5 * ax, 0.25 * (y + by) + 0.5 * ay, 0.25 * (z + bz) + 0.5 * az
        self.force = (fx, fy, fz)
        squared = fx * fx + fy * fy + fz * fz
        if not self.ready:
            self._begin()
            if not self.ready:
                return whole
        g = self._gravity_mps2
        ux, uy, uz = self.up
        self.along = along = (fx * ux + fy * uy + fz * uz) / g
        squared /= g * g
        self.size = size = math.sqrt(squared)
        self.excess = squared - 1.0
        self.across = max(0.0, squared - along * along)
        step = SIZE_STEP_AT_REST_G if self.still_hops >= STILL_HOPS else SIZE_STEP_G
        self._gravity_mps2 = g * (1.0 + max(-step, min(step, size - 1.0)))
        if -LEVEL_EXCESS < self.excess < LEVEL_EXCESS:
            self._follow()
        else:
            self._turned_hops = 0
        return whole

    def _begin(self) -> None:
        self._first.append(self.force)
        if len(self._first) < FIRST_HOPS:
            return
        x, y, z = (sum(axis) / FIRST_HOPS for axis in zip(*self._first, strict=True))
        size_mps2 = math.sqrt(x * x + y * y + z * z)
        self._first.clear()
        if not 0.5 * STANDARD_GRAVITY_MPS2 < size_mps2 < 1.5 * STANDARD_GRAVITY_MPS2:
            return
        self.up = (x / size_mps2, y / size_mps2, z / size_mps2)
        low, high = (1.0 - BIAS_PART) * STANDARD_GRAVITY_MPS2, (1.0 + BIAS_PART) * STANDARD_GRAVITY_MPS2
        self._gravity_mps2 = max(low, min(high, size_mps2))
        self.ready = True

    def _follow(self) -> None:
        gain = UP_GAIN_AT_REST if self.still_hops >= STILL_HOPS else UP_GAIN
        if self.across > TURNED_G * TURNED_G:
            self._turned_hops += 1
            if self._turned_hops >= TURNED_HOPS:
                gain = 1.0
        else:
            self._turned_hops = 0
        fx, fy, fz = self.force
        scale = gain / self._gravity_mps2
        ux, uy, uz = self.up
        ux, uy, uz = ux + scale * fx - gain * ux, uy + scale * fy - gain * uy, uz + scale * fz - gain * uz
        size = math.sqrt(ux * ux + uy * uy + uz * uz)
        if size > 0.0:
            self.up = (ux / size, uy / size, uz / size)
            if gain == 1.0:
                self._turned_hops = 0

    def level(self) -> tuple[float, float, float]:
        """Return the level part of the force by direction, in g, in the sensor's axes."""
        g = self._gravity_mps2
        (fx, fy, fz), (ux, uy, uz), along = self.force, self.up, self.along
        return (fx / g - along * ux, fy / g - along * uy, fz / g - along * uz)
