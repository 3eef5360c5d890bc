"""Weighing while driving: the mass on the cells, whatever the road does, and how well it is known.

The cells feel force, the accelerometer the specific force along the box's up: F = m·f, in motion, on a
slope and at rest alike. Both go through the same low-pass, far below the platform's own resonance, and
the mass is the least-squares slope through the origin, Σ F·f / Σ f²; never a mean of F/f. Every window of a
second is solved by itself, by sums that can be merged into those of longer windows.

Cells and accelerometer do not look at the same moment: a converter's mean ends when it is told, a filter
lags, a platform follows with its resonance. To second order in frequency all of that is
F = m·(f + c1·f' + c2·f''), c1 = −delay, so c1 and c2 are regressed from what the windows of the last
minutes hold of each, a mass of its own to every window (R. Frisch, F. V. Waugh, Econometrica 1 (1933) 387).

The uncertainty (JCGM 100:2008): from what the regression leaves, whose neighbours are alike as the
low-pass makes them, so that the points count for as many as are independent (G. E. P. Box, Ann. Math.
Stat. 25 (1954) 290); put right by how much the masses of neighbouring windows really differ
(J. von Neumann, Ann. Math. Stat. 12 (1941) 153); and the certificates' own, which no mean makes smaller.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from agent.blocks import NS_PER_S, Quality, SiBlock, TimesNs
from agent.features.lowpass import LIKENESS, POINTS, WINDOW_S, lowpassed
from agent.hops import F64
from agent.mounting import RestReference, Vector
from agent.streams import StreamSpec, Unit

WINDOW_NS = round(WINDOW_S * NS_PER_S)
GRAVITY_MPS2 = 9.80665  # standard gravity, CGPM 1901: the cells' kilogram
LEAST_FORCE_MPS2 = 4.9  # half of gravity: with less, the load floats
MOTION, LOAD = "accel", "load"
FOUR_CELLS = 4
XYZ = 3

BIN_NS = 5_000_000  # faster samples are averaged to this first: 0.1 % at 5 Hz
HOLE_NS = 30_000_000  # of missing samples, which the low-pass bridges
MOST_HOLE_NS = 150_000_000

LAG_WINDOWS = 120.0  # for so long, in windows, what is known of delay and resonance counts
NOISE_WINDOWS = 8.0  # the road changes
SCATTER_WINDOWS = 60.0
SCATTER_PRIOR = 3.0  # windows for which the regression's own word of its scatter counts
SURPRISE = 4.0  # a step of the mass counts for no more than 4 σ: it is loading, not noise
MEAN_MAGNITUDE = math.sqrt(2 / math.pi)  # of a normal variable of variance 1
OWN_PART = 1 / 3  # of a window's own residual, which its uncertainty never falls under

# What is taken for delay and resonance while nothing is known: 0 ± these, against a noise of the force.
LAG_PRIORS = (0.03, 0.001, 0.00003)  # of c1 in s, c2 in s², c3 in s³
ORDERS = len(LAG_PRIORS)
QUIET_MPS2 = 0.003
LEVER_PRIOR = 0.5  # height of the load over its cells, in half widths of the platform

Six = tuple[float, float, float, float, float, float]


@dataclass(frozen=True, slots=True)
class Weighing:
    """Sums of one window or more; f, p, q: specific force along up and across, R: reading of all cells.

    ``force``: ΣR·f, ``square``: Σf², ``spread``: of (ΣR·f)²/Σf² of each window, ``variance``: of `force`, of
    what is random. ``gram``: Σ of ff, fp, fq, pp, pq, qq; ``moments``: Σ of D·f, D·p, D·q, with D right minus
    left, then front minus rear. ``scale_uncertainty``, ``zero_uncertainty_kg``: by the certificates, k = 1.
    """

    windows: int
    force: float
    square: float
    spread: float
    variance: float
    gram: Six
    moments: Six | None
    scale_uncertainty: float
    zero_uncertainty_kg: float

    @property
    def mass_kg(self) -> float:
        """Mass on the cells; of several windows, their mean."""
        return GRAVITY_MPS2 * self.force / self.square

    @property
    def expanded_uncertainty_kg(self) -> float:
        """Of the mass, k = 2: 95 of 100 lie within."""
        random = GRAVITY_MPS2**2 * self.variance / self.square**2
        certified = (self.mass_kg * self.scale_uncertainty) ** 2 + self.zero_uncertainty_kg**2
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
        """Return the load's centre to the right and to the front (−1…1), or None without four cells.

        Force across the box acts at the load's height and moves what the cells see; it is regressed
        along with the force that is along up, and taken out.
        """
        if self.moments is None or self.force <= 0:
            return None
        ff, fp, fq, pp, pq, qq = self.gram
        prior = POINTS * self.windows * (QUIET_MPS2 / LEVER_PRIOR) ** 2
        pp, qq = pp + prior, qq + prior
        # the three normal equations, the two of the levers eliminated first
        det = pp * qq - pq * pq
        to_p, to_q = (fp * qq - fq * pq) / det, (fq * pp - fp * pq) / det
        left = ff - to_p * fp - to_q * fq
        df, dp, dq, ef, ep, eq = self.moments
        slope = self.force / self.square
        right = (df - to_p * dp - to_q * dq) / left
        front = (ef - to_p * ep - to_q * eq) / left
        return right / slope, front / slope

    def merged(self, other: Weighing) -> Weighing:
        """Return the sums of both together."""
        both = self.moments is not None and other.moments is not None
        return Weighing(
            self.windows + other.windows,
            self.force + other.force,
            self.square + other.square,
            self.spread + other.spread,
            self.variance + other.variance,
            _added(self.gram, other.gram),
            _added(self.moments, other.moments) if both and self.moments and other.moments else None,
            max(self.scale_uncertainty, other.scale_uncertainty),
            max(self.zero_uncertainty_kg, other.zero_uncertainty_kg),
        )


class Weigher:
    """Weighs by one stream of cells and one accelerometer.

    ``up``: the box's up in the accelerometer's axes, a unit vector; None: learned from the first rest.
    ``accel_uncertainty_mps2``, ``load_uncertainty_kg``: standard, of a corrected reading (of one cell).
    """

    def __init__(
        self,
        up: Vector | None,
        *,
        accel_uncertainty_mps2: float = 0.0,
        load_uncertainty_kg: float = 0.0,
        motion: str = MOTION,
        load: str = LOAD,
    ) -> None:
        self.streams = (load, motion)
        self._up = up
        self._reference = RestReference()
        self._scale_u = accel_uncertainty_mps2 / GRAVITY_MPS2
        self._zero_u_kg = load_uncertainty_kg
        self._held = {name: _Held() for name in self.streams}
        self._lag = _Lag()
        self._scatter = _Scatter()

    def feed(self, block: SiBlock) -> None:
        """Take the next samples of either stream."""
        self._held[block.stream].feed(block)

    def advance(self, horizon_ns: int) -> list[tuple[int, Weighing]]:
        """Return (index, sums) of the windows that end at or before `horizon_ns` and can be weighed."""
        cells, motion = (self._held[name].take(horizon_ns // WINDOW_NS) for name in self.streams)
        found = ((k, self._window(k, cells[k], motion[k])) for k in cells if k in motion)
        return [(k, weighing) for k, weighing in found if weighing is not None]

    def _learn(self, motion: _Samples) -> Vector | None:
        """Look for a rest that tells which way is up."""
        if not self._reference.decided:
            (smooth,) = lowpassed(motion.times_s, motion.counts, motion.values)
            for point in smooth.T.tolist():
                if not self._reference.decided:
                    self._reference.step(point)
        return self._reference.up

    def _window(self, index: int, cells: _Samples, motion: _Samples) -> Weighing | None:
        if not (cells.whole and motion.whole):
            return None
        up = self._up or self._learn(motion)
        if up is None:
            return None
        shares = cells.values
        count = len(shares)
        total = shares[0].copy()
        for row in shares[1:]:
            total += row
        signals = [total]
        if count == FOUR_CELLS:
            fl, fr, rl, rr = shares
            signals += [fr + rr - fl - rl, fl + fr - rl - rr]
        (readings,) = lowpassed(cells.times_s, cells.counts, np.stack(signals))
        x, y, z = motion.values
        axes = np.stack([a * x + b * y + c * z for a, b, c in (up, *across(up))])
        smooth, *derivatives = lowpassed(motion.times_s, motion.counts, axes, orders=ORDERS)
        if float(smooth[0].min()) < LEAST_FORCE_MPS2:
            return None
        reading = readings[0]
        lag = self._lag.step(reading, smooth[0], [d[0] for d in derivatives])
        for c, derivative in zip(lag, derivatives, strict=True):
            smooth += c * derivative
        f, p, q = smooth
        force, square = _dot(reading, f), _dot(f, f)
        variance = self._scatter.step(index, reading, f, force, square)
        turns = [_dot(turn, axis) for turn in readings[1:] for axis in (f, p, q)]
        return Weighing(
            1,
            force,
            square,
            force * force / square,
            variance,
            _six([square, _dot(f, p), _dot(f, q), _dot(p, p), _dot(p, q), _dot(q, q)]),
            _six(turns) if turns else None,
            self._scale_u,
            self._zero_u_kg * math.sqrt(count),
        )


def make_weigher(
    specs: Iterable[StreamSpec], up: Vector | None, uncertainties: Mapping[str, float]
) -> Weigher | None:
    """Build the weigher that these streams allow; None without cells in kg or an accelerometer of three axes.

    ``uncertainties``: standard, of a corrected reading, by the certificate of each stream that has one.
    """
    given = {spec.name: spec for spec in specs if spec.watch}
    motion, cells = given.get(MOTION), given.get(LOAD)
    if motion is None or cells is None or not cells.summarise:
        return None
    if len(motion.axes) != XYZ or motion.unit is not Unit.MPS2 or cells.unit is not Unit.KG:
        return None
    return Weigher(
        up,
        accel_uncertainty_mps2=uncertainties.get(MOTION, 0.0),
        load_uncertainty_kg=uncertainties.get(LOAD, 0.0),
    )


class _Lag:
    """c of F = m·(f + Σ c_i · i-th derivative of f), from the windows of the last minutes."""

    def __init__(self) -> None:
        self._gram = [[0.0] * ORDERS for _ in range(ORDERS)]
        self._right = [0.0] * ORDERS

    def step(self, reading: F64, f: F64, derivatives: Sequence[F64]) -> list[float]:
        """Take a window's points; return c, in s, s², s³."""
        square = _dot(f, f)
        per_force = _dot(reading, f) / square
        rest = reading - per_force * f
        parts = [per_force * (d - _dot(d, f) / square * f) for d in derivatives]
        keep = 1 - 1 / LAG_WINDOWS
        quiet = POINTS * (per_force * QUIET_MPS2) ** 2
        for i, part in enumerate(parts):
            _decay(self._gram[i], keep, [_dot(part, other) for other in parts])
            self._gram[i][i] += quiet / LAG_PRIORS[i] ** 2
        _decay(self._right, keep, [_dot(part, rest) for part in parts])
        return _solved(self._gram, self._right)


class _Scatter:
    """How far a window's mass may be off by chance."""

    def __init__(self) -> None:
        self._noise = [0.0, 0.0]
        self._step = [SCATTER_PRIOR, SCATTER_PRIOR]
        self._before: tuple[int, float, float] | None = None

    def step(self, index: int, reading: F64, f: F64, force: float, square: float) -> float:
        """Take a window's points; return the variance of `force`."""
        rest = reading - force / square * f
        alike = _alike(f)
        independent = POINTS - alike / square  # in the sense of E[Σ rest²] = σ²·independent
        own = _dot(rest, rest)
        _decay(self._noise, 1 - 1 / NOISE_WINDOWS, [own, independent])
        noise = max(self._noise[0] / self._noise[1], OWN_PART * own / independent)
        said = noise * alike / (square * square)
        slope = force / square
        if self._before is not None and self._before[0] == index - 1 and said > 0:
            _, slope_before, said_before = self._before
            ratio = abs(slope - slope_before) / math.sqrt(said + said_before) / MEAN_MAGNITUDE
            ratio = min(ratio, SURPRISE * self._step[0] / self._step[1])
            _decay(self._step, 1 - 1 / SCATTER_WINDOWS, [ratio, 1.0])
        self._before = (index, slope, said)
        return noise * alike * (self._step[0] / self._step[1]) ** 2


@dataclass(frozen=True, slots=True, eq=False)
class _Samples:
    """One stream in one window, faster ones as means of `counts` samples; whether none is missing.

    ``times_s``: (n,) from the window's start; ``counts``: (n,); ``values``: (axes, n).
    """

    times_s: F64
    counts: F64
    values: F64
    whole: bool


class _Held:
    """Samples of one stream, until their window is over."""

    def __init__(self) -> None:
        self._times: list[TimesNs] = []
        self._values: list[npt.NDArray[np.float32]] = []
        self._beyond: list[npt.NDArray[np.bool_]] = []

    def feed(self, block: SiBlock) -> None:
        self._times.append(block.times_ns)
        self._values.append(block.values)
        flags = block.quality
        beyond = np.zeros(len(block), bool) if flags is None else (flags & Quality.SATURATED) != 0
        self._beyond.append(beyond)

    def take(self, limit: int) -> dict[int, _Samples]:
        """Return the windows before `limit`, by index."""
        if not self._times or int(self._times[0][0]) >= limit * WINDOW_NS:
            return {}
        times, values = np.concatenate(self._times), np.concatenate(self._values)
        beyond = np.concatenate(self._beyond)
        count = int(np.searchsorted(times, limit * WINDOW_NS, side="left"))
        rest = slice(count, None)
        self._times, self._values, self._beyond = (
            ([times[rest]], [values[rest]], [beyond[rest]]) if count < len(times) else ([], [], [])
        )
        window = times[:count] // WINDOW_NS
        edges = [0, *(np.flatnonzero(window[1:] != window[:-1]) + 1).tolist(), count]
        out = {}
        for begin, end in itertools.pairwise(edges):
            k = int(window[begin])
            part = slice(begin, end)
            out[k] = _sampled(k, times[part], values[part], bool(beyond[part].any()))
        return out


def _sampled(index: int, times_ns: TimesNs, values: npt.NDArray[np.float32], beyond: bool) -> _Samples:
    start_ns, period_ns = index * WINDOW_NS, WINDOW_NS // len(times_ns)
    holes = np.diff(times_ns, prepend=start_ns, append=start_ns + WINDOW_NS)
    allowed_ns = min(max(HOLE_NS, period_ns * 3 // 2), MOST_HOLE_NS)
    whole = not beyond and int(holes.max()) <= allowed_ns
    since_ns = times_ns - start_ns
    times_s = since_ns / NS_PER_S
    columns = [np.ascontiguousarray(values[:, i], dtype=np.float64) for i in range(values.shape[1])]
    counts = np.ones(len(times_s))
    if period_ns < BIN_NS:
        bins = since_ns // BIN_NS
        starts = np.concatenate(([0], np.flatnonzero(bins[1:] != bins[:-1]) + 1))
        counts = np.diff(np.concatenate((starts, [len(bins)]))).astype(np.float64)
        times_s, *columns = [np.add.reduceat(c, starts) / counts for c in (times_s, *columns)]
    return _Samples(times_s, counts, np.stack(columns), whole)


def across(up: Vector) -> tuple[Vector, Vector]:
    """Return two directions that stand square to `up` and to each other."""
    least = min(range(XYZ), key=lambda i: abs(up[i]))
    axis = [float(i == least) for i in range(XYZ)]
    first = [a - up[least] * u for a, u in zip(axis, up, strict=True)]
    length = math.hypot(*first)
    x, y, z = (v / length for v in first)
    second = (up[1] * z - up[2] * y, up[2] * x - up[0] * z, up[0] * y - up[1] * x)
    return (x, y, z), second


def _dot(a: F64, b: F64) -> float:
    """Sum of products, in an order that no library may choose."""
    return float(np.add.reduce(a * b))


def _alike(f: F64) -> float:
    """f·C·f, with C the likeness of noise at two points."""
    rows = np.add.reduce(LIKENESS * f[None, :], axis=1)
    return _dot(f, rows)


def _decay(sums: list[float], keep: float, more: Sequence[float]) -> None:
    for i, value in enumerate(more):
        sums[i] = sums[i] * keep + value


def _solved(matrix: Sequence[Sequence[float]], right: Sequence[float]) -> list[float]:
    """Solve matrix · x = right for a positive definite matrix, by elimination; zeros where it is none."""
    n = len(right)
    rows = [[*row, value] for row, value in zip(matrix, right, strict=True)]
    for i in range(n):
        if rows[i][i] <= 0:
            return [0.0] * n
        for below in rows[i + 1 :]:
            part = below[i] / rows[i][i]
            below[:] = [b - part * a for a, b in zip(rows[i], below, strict=True)]
    out = [0.0] * n
    for i in reversed(range(n)):
        known = sum(rows[i][j] * out[j] for j in range(i + 1, n))
        out[i] = (rows[i][n] - known) / rows[i][i]
    return out


def _six(values: Sequence[float]) -> Six:
    a, b, c, d, e, f = values
    return a, b, c, d, e, f


def _added(a: Six, b: Six) -> Six:
    return _six([x + y for x, y in zip(a, b, strict=True)])
