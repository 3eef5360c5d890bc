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

The uncertainty (JCGM 100:2008): from what the regression leaves, whose neighbours are alike as the
low-pass makes them, so that the points count for as many as are independent (G. E. P. Box, Ann. Math.
Stat. 25 (1954) 290); put right by how much the masses of neighbouring windows really differ
(J. von Neumann, Ann. Math. Stat. 12 (1941) 153); and the certificates' own, which no mean makes smaller.

What stands on the cells while they show zero, the bare plate, is felt like the load; but zero was taken from
it as a constant, upright and under gravity alone. So it is added to the reading before the fit, and taken
from the mass afterwards. Where it is not known it is left out: on a slope of θ it shows as −dead·(1 − cos θ).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from agent.blocks import SiBlock
from agent.features.lowpass import LIKENESS, POINTS, lowpassed_windows
from agent.features.pooled import QUIET_MPS2, Noise, Pooled, Products, decay, dot, products
from agent.features.table import F64, I64, Merge, Names, Part
from agent.features.thinned import thinned, whole
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

SCATTER_WINDOWS = 60.0
SCATTER_PRIOR = 1.0  # windows for which the regression's own word of its scatter counts
SURPRISE = 4.0  # a step of the mass counts for no more than 4 σ: it is loading, not noise
MEAN_MAGNITUDE = math.sqrt(2 / math.pi)  # of a normal variable of variance 1
OWN_PART = 1 / 3  # of a window's own residual, which its uncertainty never falls under

LAG_PRIORS = (0.03, 0.001, 0.00003)  # of c1 in s, c2 in s², c3 in s³
LEVER_PRIORS = (0.5, 0.5)  # height of the load over its cells, in half widths of the platform
OTHER_LOAD = 0.05  # a mass that changed by more is another load, of another height
ORDERS = len(LAG_PRIORS)


_SUMS = ("windows", "force", "square", "spread", "variance", "right", "front")
_DOUBTS = ("scale", "zero_kg", "dead_kg")
SUMS, DOUBTS = "weighed", "weighed_doubt"
WEIGHED: Names = {SUMS: (Merge.SUM, len(_SUMS)), DOUBTS: (Merge.MAX, len(_DOUBTS))}


@dataclass(frozen=True, slots=True, eq=False)
class Weighing:
    """Sums of windows, a row each; f, p, q: specific force along up and across, R: reading of all cells.

    ``sums``: (…, 7): how many windows; ``force``: ΣR·f; ``square``: Σf²; ``spread``: Σ of (ΣR·f)²/Σf² of each
    window; ``variance``: of `force`, of what is random; ``right``, ``front``: ΣD·f, with D right minus left,
    front minus rear, both without what force across does to them, NaN where there are not four cells.
    ``doubts``: (…, 3): by the certificates, k = 1: uncertainty of the scale as a part, of the zero in kg;
    what R holds besides the load, in kg: `force` is free of it, but what is wrong with f is wrong with it.
    All that is told of it is (…,) float64, and NaN where nothing was weighed.
    """

    sums: F64
    doubts: F64

    @classmethod
    def of(cls, part: Part) -> Weighing:
        """Return what the load's columns hold."""
        return cls(part[SUMS], part[DOUBTS])

    def row(self, i: int) -> Weighing:
        """Return one row of them."""
        return Weighing(self.sums[i], self.doubts[i])

    def _sum(self, name: str) -> F64:
        return self.sums[..., _SUMS.index(name)]

    def _doubt(self, name: str) -> F64:
        return self.doubts[..., _DOUBTS.index(name)]

    @property
    def windows(self) -> F64:
        """How many windows were weighed."""
        return self._sum("windows")

    @property
    def known(self) -> npt.NDArray[np.bool_]:
        """Whether any was."""
        return np.asarray(self.windows > 0)

    @property
    def mass_kg(self) -> F64:
        """Mass on the cells; of several windows, their mean."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return STANDARD_GRAVITY_MPS2 * self._sum("force") / self._sum("square")

    @property
    def expanded_uncertainty_kg(self) -> F64:
        """Of the mass, k = 2: 95 of 100 lie within."""
        with np.errstate(invalid="ignore", divide="ignore"):
            random = STANDARD_GRAVITY_MPS2**2 * self._sum("variance") / self._sum("square") ** 2
            felt_kg = self.mass_kg + self._doubt("dead_kg")
            certified = (felt_kg * self._doubt("scale")) ** 2 + self._doubt("zero_kg") ** 2
            return 2 * np.sqrt(random + self._unlike_kg2(random) + certified)

    def _unlike_kg2(self, random: F64) -> F64:
        """By how much the windows differ more than by chance: loading, or an error that comes and goes.

        Three standard deviations of a variance of so many windows pass for chance; and what is beyond
        does not become less by a mean.
        """
        count, square = self.windows, self._sum("square")
        among = self._sum("spread") - self._sum("force") ** 2 / square
        each = STANDARD_GRAVITY_MPS2**2 * among / (count - 1) / (square / count)
        by_chance = count * random * (1 + 3 * np.sqrt(2 / (count - 1)))
        return np.where(count > 1, np.maximum(0.0, each - by_chance), 0.0)[()]

    def centres(self) -> tuple[F64, F64]:
        """Return the load's centre to the right and to the front (−1…1); NaN without four cells."""
        force = self._sum("force")
        with np.errstate(invalid="ignore", divide="ignore"):
            right, front = (
                np.where(force > 0, self._sum(side) / force, np.nan) for side in ("right", "front")
            )
        return right[()], front[()]

    def merged(self, other: Weighing) -> Weighing:
        """Return the sums of both together."""
        return Weighing(self.sums + other.sums, np.maximum(self.doubts, other.doubts))


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
        self._scatter = _Scatter()

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
        nothing = np.empty(0, np.int64), Weighing(np.empty((0, len(_SUMS))), np.empty((0, len(_DOUBTS))))
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
        smooth, *derivatives = lowpassed_windows(
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
        (shares,) = lowpassed_windows(len(index), stood.step, stood.times_s, stood.counts, stood.values)
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
        sums = np.full((len(index), len(_SUMS)), np.nan)
        for i, column in enumerate((np.ones(len(index)), force, square, force * force / square, variance)):
            sums[:, i] = column
        if len(shares) == FOUR_CELLS:
            fl, fr, rl, rr = shares
            turns = (fr + rr - fl - rl, fl + fr - rl - rr)
            sums[:, 5:] = self._turns(turns, f, sideways, force / square)
        doubts = np.empty((len(index), len(_DOUBTS)))
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


class _Scatter:
    """How far a window's mass may be off by chance."""

    def __init__(self) -> None:
        self._noise = Noise()
        self._step = [SCATTER_PRIOR, SCATTER_PRIOR]
        self._before: tuple[int, float, float] | None = None

    def step(self, index: I64, reading: F64, f: F64, force: F64, square: F64) -> list[float]:
        """Take the points of windows, (windows, points); return the variance of `force` of each."""
        rest = reading - (force / square)[:, None] * f
        columns = (index, force, square, dot(rest, rest), _alike(f))
        return [self._one(*row) for row in zip(*(c.tolist() for c in columns), strict=True)]

    def _one(self, index: int, force: float, square: float, own: float, alike: float) -> float:
        slope = force / square
        independent = POINTS - alike / square  # in the sense of E[Σ rest²] = σ²·independent
        self._noise.weight(own, POINTS * (slope * QUIET_MPS2) ** 2, independent)
        noise = max(self._noise.mean, OWN_PART * own / independent)
        said = noise * alike / (square * square)
        if self._before is not None and self._before[0] == index - 1 and said > 0:
            _, slope_before, said_before = self._before
            ratio = abs(slope - slope_before) / math.sqrt(said + said_before) / MEAN_MAGNITUDE
            ratio = min(ratio, SURPRISE * self._step[0] / self._step[1])
            decay(self._step, 1 - 1 / SCATTER_WINDOWS, [ratio, 1.0])
        self._before = (index, slope, said)
        return noise * alike * (self._step[0] / self._step[1]) ** 2


def _slope(reading: F64, f: F64) -> F64:
    """Least-squares slope of `reading` over `f`, through the origin."""
    return dot(reading, f) / dot(f, f)


def _alike(f: F64) -> F64:
    """f·C·f, with C the likeness of noise at two points."""
    rows = np.add.reduce(LIKENESS[None, :, :] * f[:, None, :], axis=2)
    return dot(f, rows)
