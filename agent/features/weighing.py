"""Weighing while driving: the mass on the cells, whatever the road does, and how well it is known.

The cells feel force, the accelerometer the specific force along the box's up: F = m·f, in motion, on a
slope and at rest alike. Both go through the same low-pass, far below the platform's own resonance, and
the mass is the least-squares slope through the origin, Σ F·f / Σ f²; never a mean of F/f. Every window of a
second is solved by itself, by sums that can be merged into those of longer windows.

Cells and accelerometer do not look at the same moment: a converter's mean ends when it is told, a filter
lags, a platform follows with its resonance. Far below that, all of it is a series in the derivatives,
F = m·(f + c1·f' + c2·f'' + …), c1 = −delay; c is regressed from what the windows of the last minutes hold of
it, a mass of its own to every window (R. Frisch, F. V. Waugh, Econometrica 1 (1933) 387). In the same way
the height of the load over its cells is found, through which braking and slopes move what the corners see.

The uncertainty (JCGM 100:2008): from what the regression leaves (`scatter.py`), and the certificates' own,
which no mean makes smaller.

What stands on the cells while they show zero, the bare plate, is felt like the load; but zero was taken from
it as a constant, upright and under gravity alone. So it is added to the reading before the fit, and taken
from the mass afterwards. Where it is not known it is left out: on a slope of θ it shows as −dead·(1 − cos θ).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import numpy as np

from agent.blocks import SiBlock
from agent.features.lowpass import POINTS, lowpassed
from agent.features.pooled import Pooled, Products, decay, dot, products
from agent.features.scatter import Scatter
from agent.features.table import F64, I64
from agent.features.thinned import thinned, whole
from agent.features.weighed import DOUBT_NAMES, SUM_NAMES, Weighing
from agent.features.windows import WINDOW_NS, Windowed, Windows
from agent.mounting import RestReference, Vector, across, nearest_axis
from agent.streams import StreamSpec, Unit
from calibration.gravity import STANDARD_GRAVITY_MPS2

LEAST_FORCE_MPS2 = 4.9  # half of gravity: with less, the load floats
MOTION, LOAD = "accel", "load"
LEARN_WINDOWS = 10
GRAVITY_WINDOWS = 120.0
GRAVITY_PRIOR = 10.0  # windows: a second of a rough road is off by more than a bad accelerometer
GRAVITY_WITHIN = 0.01  # gravity itself differs by 0.003 on Earth; braking and slopes leave as much again
FOUR_CELLS = 4
XYZ = 3

LAG_PRIORS = (0.03, 0.001, 0.00003)  # of c1 in s, c2 in s², c3 in s³
LEVER_PRIORS = (0.5, 0.5)  # height of the load over its cells, in half widths of the platform
OTHER_LOAD = 0.05  # a mass that changed by more is another load, of another height
ORDERS = len(LAG_PRIORS)


class Weigher:
    """Weighs by one stream of cells and one accelerometer.

    ``up``: the box's up in the accelerometer's axes, a unit vector; None: learned from the first rest, or, on
    a road without one, from the mean force of `LEARN_WINDOWS`: gravity, most of the time.
    ``accel_uncertainty_mps2``, ``load_uncertainty_kg``: standard, of a corrected reading, of the cells' sum.
    An accelerometer without a certificate (None) is held against gravity itself. ``gravity_mps2``: that by
    which the accelerometer was calibrated. The cells were taught the kilogram under the same, in one van on
    one day, and so it drops out, whatever it was held to be. ``dead_load_kg``: what stands on the cells
    while they show zero.
    """

    def __init__(
        self,
        up: Vector | None,
        *,
        accel_uncertainty_mps2: float | None = None,
        load_uncertainty_kg: float = 0.0,
        gravity_mps2: float = STANDARD_GRAVITY_MPS2,
        dead_load_kg: float = 0.0,
        motion: str = MOTION,
        load: str = LOAD,
    ) -> None:
        self.cells_stream, self.motion_stream = load, motion
        self._up = up
        self._reference = RestReference()
        self._means: list[list[float]] = []
        self._accel_u_mps2 = accel_uncertainty_mps2
        self._gravity = [GRAVITY_PRIOR * STANDARD_GRAVITY_MPS2, GRAVITY_PRIOR]
        self._standard = STANDARD_GRAVITY_MPS2 / gravity_mps2
        self._zero_u_kg = load_uncertainty_kg
        self._dead_kg = dead_load_kg
        self._held = {name: Windows() for name in (load, motion)}
        self._lag = Pooled(LAG_PRIORS)
        self._levers = [Pooled(LEVER_PRIORS) for _ in range(2)]
        self._per_force = 0.0
        self._scatter = Scatter()

    def feed(self, block: SiBlock) -> None:
        """Take the next samples of either stream, for `advance`."""
        self._held[block.stream].feed(block)

    def advance(self, horizon_ns: int) -> dict[int, Weighing]:
        """Return the sums of the windows, by index, that end at or before `horizon_ns` and can be weighed."""
        cells, motion = (held.take(horizon_ns // WINDOW_NS) for held in self._held.values())
        index, weighing = self.weigh(cells, motion)
        return {k: weighing.row(i) for i, k in enumerate(index.tolist())}

    def weigh(self, cells: Windowed | None, motion: Windowed | None) -> tuple[I64, Weighing]:
        """Return which of the next windows of both streams can be weighed, (m,), and their sums."""
        nothing = np.empty(0, np.int64), Weighing.none()
        if cells is None or motion is None:
            return nothing
        place = np.minimum(np.searchsorted(motion.index, cells.index), len(motion.index) - 1)
        mine = np.flatnonzero(motion.index[place] == cells.index)
        index, its = cells.index[mine], place[mine]
        good = whole(cells)[mine] & whole(motion)[its]
        index, mine, its = index[good], mine[good], its[good]
        if not len(index):
            return nothing
        felt = thinned(motion, its)
        smooth, *derivatives = lowpassed(
            len(index), felt.step, felt.times_s, felt.counts, felt.values, orders=ORDERS
        )
        unseen = self._learn(smooth)
        if self._up is None or unseen == len(index):
            return nothing
        axes = [self._turned(signals) for signals in (smooth, *derivatives)]
        enough = axes[0][0].min(axis=1) >= LEAST_FORCE_MPS2
        enough[:unseen] = False
        if not enough.any():
            return nothing
        stood = thinned(cells, mine)
        (shares,) = lowpassed(len(index), stood.step, stood.times_s, stood.counts, stood.values)
        rows = np.flatnonzero(enough)
        chosen = [[signal[rows] for signal in signals] for signals in axes]
        return index[rows], self._weighed(index[rows], [share[rows] for share in shares], chosen)

    def _learn(self, smooth: list[F64]) -> int:
        """Look for what tells which way is up; return before which window it was not known."""
        if self._up is not None:
            return 0
        points = np.stack(smooth, axis=2).tolist()
        for k, window in enumerate(points):
            if len(self._means) >= LEARN_WINDOWS:
                break
            for point in window:
                if not self._reference.decided:
                    self._reference.step(point)
            self._means.append([float(np.add.reduce(signal[k])) / POINTS for signal in smooth])
            self._up = self._reference.up
            if self._up is None and len(self._means) == LEARN_WINDOWS:
                means = [sum(column) / LEARN_WINDOWS for column in zip(*self._means, strict=True)]
                self._up = nearest_axis(means)[0]
            if self._up is not None:
                return k
        return len(points)

    def _turned(self, signals: list[F64]) -> list[F64]:
        """Return the three signals of the sensor's axes along up and across it."""
        assert self._up is not None
        x, y, z = signals
        return [self._standard * (a * x + b * y + c * z) for a, b, c in (self._up, *across(self._up))]

    def _weighed(self, index: I64, shares: list[F64], axes: list[list[F64]]) -> Weighing:
        """Weigh windows; all signals are (windows, points)."""
        reading = shares[0].copy()
        for share in shares[1:]:
            reading += share
        reading += self._dead_kg
        smooth, *derivatives = axes
        slope = _slope(reading, smooth[0])
        found = products(reading, smooth[0], [d[0] for d in derivatives], slope)
        lag = np.array([self._lag.step(one, m) for one, m in zip(found, slope.tolist(), strict=True)])
        for i, derivative in enumerate(derivatives):
            for axis, its in enumerate(derivative):
                smooth[axis] += lag[:, i : i + 1] * its
        f, *sideways = smooth
        force, square = dot(reading, f), dot(f, f)
        variance = self._scatter.step(index, reading, f, force, square)
        force = force - self._dead_kg / STANDARD_GRAVITY_MPS2 * square
        sums = np.full((len(index), len(SUM_NAMES)), np.nan)
        for i, column in enumerate((np.ones(len(index)), force, square, force * force / square, variance)):
            sums[:, i] = column
        if len(shares) == FOUR_CELLS:
            fl, fr, rl, rr = shares
            turns = (fr + rr - fl - rl, fl + fr - rl - rr)
            sums[:, 5:] = self._turns(turns, f, sideways, force / square)
        doubts = np.empty((len(index), len(DOUBT_NAMES)))
        doubts[:] = 0.0, self._zero_u_kg, self._dead_kg
        doubts[:, 0] = self._scale_uncertainty(smooth)
        return Weighing(sums, doubts)

    def _scale_uncertainty(self, axes: list[F64]) -> list[float]:
        """Return by what part the specific force may be wrong, k = 1: by the certificate, or by gravity.

        Over minutes a box feels gravity and nothing else. An accelerometer that sees another is wrong, by
        as much at least; how much of it along up, and whether it stays so, nobody knows.
        """
        if self._accel_u_mps2 is not None:
            return [self._accel_u_mps2 / STANDARD_GRAVITY_MPS2] * len(axes[0])
        out = []
        for mean in np.stack([np.add.reduce(a, axis=1) / POINTS for a in axes], axis=1).tolist():
            decay(self._gravity, 1 - 1 / GRAVITY_WINDOWS, [math.hypot(*mean), 1.0])
            wrong = abs(self._gravity[0] / self._gravity[1] / STANDARD_GRAVITY_MPS2 - 1)
            out.append(wrong if wrong > GRAVITY_WITHIN else 0.0)
        return out

    def _turns(self, turns: tuple[F64, F64], f: F64, sideways: list[F64], per_force: F64) -> F64:
        """Return ΣD·f to the right and to the front: (windows, 2).

        Force across the box acts at the load's height and moves what the cells see; how much, is seen
        while the road shakes, and taken out as long as the same load stands there.
        """
        found: list[list[Products]] = [products(turn, f, sideways, per_force) for turn in turns]
        heights = np.empty((2, len(f), len(sideways)))
        for k, m in enumerate(per_force.tolist()):
            if abs(m - self._per_force) > OTHER_LOAD * abs(self._per_force):
                for lever in self._levers:
                    lever.forget()
            self._per_force = m
            for i, lever in enumerate(self._levers):
                heights[i, k] = lever.step(found[i][k], m)
        sums = []
        for turn, height in zip(turns, heights, strict=True):
            upright = turn.copy()
            for i, q in enumerate(sideways):
                upright -= (per_force * height[:, i])[:, None] * q
            sums.append(dot(upright, f))
        return np.stack(sums, axis=1)


def make_weigher(
    specs: Iterable[StreamSpec],
    up: Vector | None,
    uncertainties: Mapping[str, float],
    gravity_mps2: float | None = None,
    dead_load_kg: float | None = None,
) -> Weigher | None:
    """Build the weigher that these streams allow; None without cells in kg or an accelerometer of three axes.

    ``uncertainties``: standard, of a corrected reading, by the certificate of each stream that has one.
    ``gravity_mps2``: by which the accelerometer was calibrated, where its certificate tells.
    ``dead_load_kg``: by the certificate of the cells. It takes an accelerometer with a certificate, too: one
    that is 5 % off would make of a plate of 20 kg a load of 1 kg, where a slope makes one of 0.1 kg.
    """
    given = {spec.name: spec for spec in specs if spec.watch}
    motion, cells = given.get(MOTION), given.get(LOAD)
    if motion is None or cells is None or not cells.summarise:
        return None
    if len(motion.axes) != XYZ or motion.unit is not Unit.MPS2 or cells.unit is not Unit.KG:
        return None
    return Weigher(
        up,
        accel_uncertainty_mps2=uncertainties.get(MOTION),
        load_uncertainty_kg=uncertainties.get(LOAD, 0.0),
        gravity_mps2=gravity_mps2 or STANDARD_GRAVITY_MPS2,
        dead_load_kg=dead_load_kg or 0.0 if MOTION in uncertainties else 0.0,
    )


def _slope(reading: F64, f: F64) -> F64:
    """Least-squares slope of `reading` over `f`, through the origin."""
    return dot(reading, f) / dot(f, f)
