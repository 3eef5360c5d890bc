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
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from agent.blocks import SiBlock
from agent.features.held_windows import WINDOW_NS, HeldWindows, Samples
from agent.features.lowpass import LIKENESS, POINTS, lowpassed
from agent.features.pooled import QUIET_MPS2, Noise, Pooled, decay, dot
from agent.hops import F64
from agent.mounting import RestReference, Vector, nearest_axis
from agent.streams import StreamSpec, Unit

GRAVITY_MPS2 = 9.80665  # standard gravity, CGPM 1901: what accelerometers are held against, unless told
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


@dataclass(frozen=True, slots=True)
class Weighing:
    """Sums of one window or more; f, p, q: specific force along up and across, R: reading of all cells.

    ``force``: ΣR·f; ``square``: Σf²; ``spread``: Σ of (ΣR·f)²/Σf² of each window; ``variance``: of `force`,
    of what is random. ``right``, ``front``: ΣD·f, with D right minus left, front minus rear, both without
    what force across does to them; None where there are not four cells. ``scale_uncertainty``,
    ``zero_uncertainty_kg``: by the certificates, k = 1. ``dead_load_kg``: what R holds besides, of which
    `force` is free; what is wrong with f is wrong with it, too.
    """

    windows: int
    force: float
    square: float
    spread: float
    variance: float
    right: float | None
    front: float | None
    scale_uncertainty: float
    zero_uncertainty_kg: float
    dead_load_kg: float = 0.0

    @property
    def mass_kg(self) -> float:
        """Mass on the cells; of several windows, their mean."""
        return GRAVITY_MPS2 * self.force / self.square

    @property
    def expanded_uncertainty_kg(self) -> float:
        """Of the mass, k = 2: 95 of 100 lie within."""
        random = GRAVITY_MPS2**2 * self.variance / self.square**2
        felt_kg = self.mass_kg + self.dead_load_kg
        certified = (felt_kg * self.scale_uncertainty) ** 2 + self.zero_uncertainty_kg**2
        return 2 * math.sqrt(random + self._unlike_kg2(random) + certified)

    def _unlike_kg2(self, random: float) -> float:
        """By how much the windows differ more than by chance: loading, or an error that comes and goes.

        Three standard deviations of a variance of so many windows pass for chance; and what is beyond
        does not become less by a mean.
        """
        if self.windows == 1:
            return 0.0
        among = self.spread - self.force**2 / self.square
        each = GRAVITY_MPS2**2 * among / (self.windows - 1) / (self.square / self.windows)
        by_chance = self.windows * random * (1 + 3 * math.sqrt(2 / (self.windows - 1)))
        return max(0.0, each - by_chance)

    def centre(self) -> tuple[float, float] | None:
        """Return the load's centre to the right and to the front (−1…1), or None without four cells."""
        if self.right is None or self.front is None or self.force <= 0:
            return None
        return self.right / self.force, self.front / self.force

    def merged(self, other: Weighing) -> Weighing:
        """Return the sums of both together."""
        return Weighing(
            self.windows + other.windows,
            self.force + other.force,
            self.square + other.square,
            self.spread + other.spread,
            self.variance + other.variance,
            _sum(self.right, other.right),
            _sum(self.front, other.front),
            max(self.scale_uncertainty, other.scale_uncertainty),
            max(self.zero_uncertainty_kg, other.zero_uncertainty_kg),
            max(self.dead_load_kg, other.dead_load_kg),
        )


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
        gravity_mps2: float = GRAVITY_MPS2,
        dead_load_kg: float = 0.0,
        motion: str = MOTION,
        load: str = LOAD,
    ) -> None:
        self.streams = (load, motion)
        self._up = up
        self._reference = RestReference()
        self._means: list[list[float]] = []
        self._accel_u_mps2 = accel_uncertainty_mps2
        self._gravity = [GRAVITY_PRIOR * GRAVITY_MPS2, GRAVITY_PRIOR]
        self._standard = GRAVITY_MPS2 / gravity_mps2
        self._zero_u_kg = load_uncertainty_kg
        self._dead_kg = dead_load_kg
        self._held = {name: HeldWindows() for name in self.streams}
        self._lag = Pooled(LAG_PRIORS)
        self._levers = [Pooled(LEVER_PRIORS) for _ in range(2)]
        self._per_force = 0.0
        self._scatter = _Scatter()

    def feed(self, block: SiBlock) -> None:
        """Take the next samples of either stream."""
        self._held[block.stream].feed(block)

    def advance(self, horizon_ns: int) -> list[tuple[int, Weighing]]:
        """Return (index, sums) of the windows that end at or before `horizon_ns` and can be weighed."""
        cells, motion = (self._held[name].take(horizon_ns // WINDOW_NS) for name in self.streams)
        found = ((k, self._window(k, cells[k], motion[k])) for k in cells if k in motion)
        return [(k, weighing) for k, weighing in found if weighing is not None]

    def _learn(self, motion: Samples) -> Vector | None:
        """Look for what tells which way is up."""
        if self._reference.up is None and len(self._means) < LEARN_WINDOWS:
            (smooth,) = lowpassed(motion.times_s, motion.counts, motion.values)
            for point in smooth.T.tolist():
                if not self._reference.decided:
                    self._reference.step(point)
            self._means.append((np.add.reduce(smooth, axis=1) / POINTS).tolist())
        if self._reference.up is not None or len(self._means) < LEARN_WINDOWS:
            return self._reference.up
        return nearest_axis([sum(column) / LEARN_WINDOWS for column in zip(*self._means, strict=True)])[0]

    def _window(self, index: int, cells: Samples, motion: Samples) -> Weighing | None:
        if not (cells.whole and motion.whole):
            return None
        up = self._up or self._learn(motion)
        if up is None:
            return None
        shares = cells.values
        total = shares[0].copy()
        for row in shares[1:]:
            total += row
        signals = [total]
        if len(shares) == FOUR_CELLS:
            fl, fr, rl, rr = shares
            signals += [fr + rr - fl - rl, fl + fr - rl - rr]
        ((reading, *turns),) = lowpassed(cells.times_s, cells.counts, np.stack(signals))
        reading = reading + self._dead_kg
        x, y, z = motion.values
        axes = self._standard * np.stack([a * x + b * y + c * z for a, b, c in (up, *across(up))])
        smooth, *derivatives = lowpassed(motion.times_s, motion.counts, axes, orders=ORDERS)
        if float(smooth[0].min()) < LEAST_FORCE_MPS2:
            return None
        lag = self._lag.step(reading, smooth[0], [d[0] for d in derivatives], _slope(reading, smooth[0]))
        for c, derivative in zip(lag, derivatives, strict=True):
            smooth += c * derivative
        f, *sideways = smooth
        force, square = dot(reading, f), dot(f, f)
        variance = self._scatter.step(index, reading, f, force, square)
        force -= self._dead_kg / GRAVITY_MPS2 * square
        right, front = self._turns(turns, f, sideways, force / square) if turns else (None, None)
        return Weighing(
            1,
            force,
            square,
            force * force / square,
            variance,
            right,
            front,
            self._scale_uncertainty(smooth),
            self._zero_u_kg,
            self._dead_kg,
        )

    def _scale_uncertainty(self, axes: F64) -> float:
        """Return by what part the specific force may be wrong, k = 1: by the certificate, or by gravity.

        Over minutes a box feels gravity and nothing else. An accelerometer that sees another is wrong, by
        as much at least; how much of it along up, and whether it stays so, nobody knows.
        """
        if self._accel_u_mps2 is not None:
            return self._accel_u_mps2 / GRAVITY_MPS2
        felt_mps2 = math.hypot(*(np.add.reduce(axes, axis=1) / POINTS).tolist())
        decay(self._gravity, 1 - 1 / GRAVITY_WINDOWS, [felt_mps2, 1.0])
        wrong = abs(self._gravity[0] / self._gravity[1] / GRAVITY_MPS2 - 1)
        return wrong if wrong > GRAVITY_WITHIN else 0.0

    def _turns(
        self, turns: Sequence[F64], f: F64, sideways: Sequence[F64], per_force: float
    ) -> tuple[float, float]:
        """Return ΣD·f to the right and to the front.

        Force across the box acts at the load's height and moves what the cells see; how much, is seen
        while the road shakes, and taken out as long as the same load stands there.
        """
        if abs(per_force - self._per_force) > OTHER_LOAD * abs(self._per_force):
            for lever in self._levers:
                lever.forget()
        self._per_force = per_force
        sums = []
        for turn, lever in zip(turns, self._levers, strict=True):
            heights = lever.step(turn, f, sideways, per_force)
            upright = turn.copy()
            for height, q in zip(heights, sideways, strict=True):
                upright -= per_force * height * q
            sums.append(dot(upright, f))
        right, front = sums
        return right, front


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
        gravity_mps2=gravity_mps2 or GRAVITY_MPS2,
        dead_load_kg=dead_load_kg or 0.0 if MOTION in uncertainties else 0.0,
    )


class _Scatter:
    """How far a window's mass may be off by chance."""

    def __init__(self) -> None:
        self._noise = Noise()
        self._step = [SCATTER_PRIOR, SCATTER_PRIOR]
        self._before: tuple[int, float, float] | None = None

    def step(self, index: int, reading: F64, f: F64, force: float, square: float) -> float:
        """Take a window's points; return the variance of `force`."""
        rest = reading - force / square * f
        alike = _alike(f)
        independent = POINTS - alike / square  # in the sense of E[Σ rest²] = σ²·independent
        own = dot(rest, rest)
        self._noise.weight(own, POINTS * (force / square * QUIET_MPS2) ** 2, independent)
        noise = max(self._noise.mean, OWN_PART * own / independent)
        said = noise * alike / (square * square)
        slope = force / square
        if self._before is not None and self._before[0] == index - 1 and said > 0:
            _, slope_before, said_before = self._before
            ratio = abs(slope - slope_before) / math.sqrt(said + said_before) / MEAN_MAGNITUDE
            ratio = min(ratio, SURPRISE * self._step[0] / self._step[1])
            decay(self._step, 1 - 1 / SCATTER_WINDOWS, [ratio, 1.0])
        self._before = (index, slope, said)
        return noise * alike * (self._step[0] / self._step[1]) ** 2


def across(up: Vector) -> tuple[Vector, Vector]:
    """Return two directions that stand square to `up` and to each other."""
    least = min(range(XYZ), key=lambda i: abs(up[i]))
    axis = [float(i == least) for i in range(XYZ)]
    first = [a - up[least] * u for a, u in zip(axis, up, strict=True)]
    length = math.hypot(*first)
    x, y, z = (v / length for v in first)
    second = (up[1] * z - up[2] * y, up[2] * x - up[0] * z, up[0] * y - up[1] * x)
    return (x, y, z), second


def _slope(reading: F64, f: F64) -> float:
    """Least-squares slope of `reading` over `f`, through the origin."""
    return dot(reading, f) / dot(f, f)


def _alike(f: F64) -> float:
    """f·C·f, with C the likeness of noise at two points."""
    rows = np.add.reduce(LIKENESS * f[None, :], axis=1)
    return dot(f, rows)


def _sum(a: float | None, b: float | None) -> float | None:
    return None if a is None or b is None else a + b
