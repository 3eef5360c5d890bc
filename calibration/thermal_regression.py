"""The lagged-temperature model as a regression: its columns, a robust fit, and blocks that it does not see.

The model::

    bias = b0 + b1·ΔT_c + b2·ΔT_c² + k·dT_c/dt

with T_c' = (T − T_c)/lag. The lag is not linear in anything and comes from a grid; the rest is least squares
with Huber's weights (Huber & Ronchetti, *Robust Statistics*, 2009, chapter 7). Where the true value moves by
itself, from day to day, both sides of the equation lose what is slower than a day before they are compared.
Judged as forecasts are: blocks of time are left out, one after the other, with a margin around them, since
neighbouring readings are no independent witnesses (Roberts et al., *Ecography* 40, 2017: blocked
cross-validation).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from calibration.thermal_lag import lagged_temperature
from calibration.thermal_series import (
    DAY_S,
    F64,
    NORMAL_FROM_MAD,
    Mask,
    Series,
    robust_sigma,
    running_median,
)

HUBER = 1.345  # 95 % efficient on normal noise (Huber & Ronchetti, section 4.5)
ROUNDS = 20
RIDGE = 1e-10  # of the diagonal: columns that say the same are then shared, not divided by nothing
STEP_SIGMAS = 10.0  # of what lies between two rows
STEP_SHARE = 0.25  # of the scatter without any correction
CREEPS_S = (600.0, 1800.0, 5400.0)
NO_CREEP = 0.9  # of the scatter that remains without: less is no creep to be seen


@dataclass(frozen=True, slots=True)
class Model:
    """Which terms: with a lag of 0 there is no rate, since a thermometer's differences are mostly noise."""

    lag_s: float
    squared: bool = False
    rate: bool = False

    @property
    def terms(self) -> int:
        """Number of coefficients besides b0."""
        return 1 + self.squared + self.rate


@dataclass(frozen=True, slots=True)
class Problem:
    """A series, which of its rows count, and how it is judged.

    ``slow_s``: window of what is taken for changes of the true value; 0: the true value is constant.
    ``blocks``: number of each row's block in time. ``readings``: (n, axes), without what the true value does
    by itself. ``known``: columns that were computed before.
    """

    series: Series
    reference_degc: float
    slow_s: float
    blocks: F64
    readings: F64
    known: dict[Model, F64] = field(default_factory=dict)

    @property
    def level(self) -> bool:
        """Whether the true value is constant, so that b0 can be fitted."""
        return self.slow_s == 0.0

    def columns(self, model: Model) -> F64:
        """(n, terms): ΔT_c, ΔT_c² if wanted, dT_c/dt if wanted; without what is slow, as the readings."""
        if model in self.known:
            return self.known[model]
        lagged_degc, rate = lagged_temperature(self.series.t_s, self.series.temperature_degc, model.lag_s)
        delta = lagged_degc - self.reference_degc
        parts = [delta]
        if model.squared:
            parts.append(delta**2)
        if model.rate:
            parts.append(rate)
        self.known[model] = without_slow(self.series, np.stack(parts, axis=1), self.slow_s)
        return self.known[model]


def make_problem(series: Series, *, value_moves: bool, blocks: int) -> Problem:
    """Cut a series into blocks of equal time, and take its median temperature for the reference."""
    edges = np.linspace(series.t_s[0], series.t_s[-1], blocks + 1)[1:-1]
    number = np.searchsorted(edges, series.t_s, side="right").astype(np.float64)
    reference = round(float(np.median(series.temperature_degc)), 1)
    slow_s = DAY_S if value_moves else 0.0
    return Problem(series, reference, slow_s, number, without_slow(series, series.values, slow_s))


def without_slow(series: Series, columns: F64, slow_s: float) -> F64:
    """Subtract what is slower than `slow_s`; the same way for readings and for columns."""
    return columns - running_median(series.t_s, columns, slow_s) if slow_s else columns


def without_creep(problem: Problem, columns: F64, values: F64) -> F64:
    """Return `values` (n,) without what a load put on at the start goes on to do, where it shows.

    A share of the load that comes by and by (OIML R 60-1, 2017, 5.5.1, watches it for 30 min) is no effect of
    warmth, but a soak begins with it and would have it explained by the first ramp. Fitted together with the
    terms, and only where the true value is constant.
    """
    if not problem.level:
        return values
    still = problem.series.still
    elapsed_s = problem.series.t_s - problem.series.t_s[0]
    least = NO_CREEP * robust_sigma(_left(columns[still], values[still]))
    best = values
    for lasting_s in CREEPS_S:
        creep = -np.expm1(-elapsed_s / lasting_s)
        both = np.column_stack((columns, creep))
        scatter = robust_sigma(_left(both[still], values[still]))
        if scatter < least:
            least = scatter
            best = values - creep * robust_fit(both[still], values[still], level=True)[-1]
    return best


def _left(columns: F64, values: F64) -> F64:
    found = robust_fit(columns, values, level=True)
    return np.asarray(values - found[0] - columns @ found[1:])


def robust_fit(columns: F64, values: F64, *, level: bool) -> F64:
    """Return the coefficients of `values` (n,) on `columns` (n, terms): (terms,), or b0 and them if `level`.

    Columns are brought to like size first: per °C and per °C/s differ by thousands.
    """
    size = np.maximum(np.std(columns, axis=0), 1e-12)
    a = columns / size
    if level:
        a = np.column_stack((np.ones(len(a)), a))
    weights = np.ones(len(a))
    ridge = RIDGE * len(a) * np.eye(a.shape[1])
    found = np.zeros(a.shape[1])
    for _ in range(ROUNDS):
        last = found
        weighed = a.T * weights
        found = np.linalg.solve(weighed @ a + ridge, weighed @ values)
        left = values - a @ found
        scale = robust_sigma(left)
        if scale <= 0.0 or np.abs(found - last).max() <= 1e-5 * max(np.abs(found).max(), 1e-300):
            break
        weights = np.minimum(1.0, HUBER * scale / np.maximum(np.abs(left), 1e-300))
    found[int(level) :] /= size
    return np.asarray(found, np.float64)


@dataclass(frozen=True, slots=True)
class HeldOut:
    """One axis judged on blocks that the fit did not see: (n,) of before and after, and their blocks."""

    before: F64
    after: F64
    block: F64

    def ratio(self, rows: Mask | None = None) -> float:
        """Scatter after ÷ before; the larger of a robust one and of the plain one without its tails.

        Two, since what helps on most days may ruin some, and one that only calms the tails helps nobody.
        """
        before, after = (self.before, self.after) if rows is None else (self.before[rows], self.after[rows])
        worst = 0.0
        for sigma in (_about_zero, _tailless):
            least = 1e-9 + 1e-6 * float(np.abs(before).max(initial=0.0))
            worst = max(worst, (sigma(after) + least) / (sigma(before) + least))
        return worst

    def stepped(self) -> bool:
        """Whether what is left leaps, from one row to the next, as no warmth makes a sensor do."""
        leaps = np.abs(np.diff(self.after))
        least = max(STEP_SIGMAS * robust_sigma(leaps), STEP_SHARE * _about_zero(self.before))
        return bool(len(leaps)) and float(leaps.max()) > least

    def block_ratios(self) -> list[float]:
        """`ratio` of each block, in time."""
        return [self.ratio(self.block == number) for number in np.unique(self.block)]


def _about_zero(values: F64) -> float:
    return NORMAL_FROM_MAD * float(np.median(np.abs(values))) if len(values) else 0.0


def _tailless(values: F64) -> float:
    """Root mean square with the outermost 2 % drawn in: hive work and open doors are no noise."""
    if not len(values):
        return 0.0
    low, high = np.percentile(values, (1.0, 99.0))
    return float(np.sqrt(np.mean(np.clip(values, low, high) ** 2)))


def held_out(problem: Problem, columns: F64, value: F64) -> HeldOut:
    """Leave out each block, fit the others, and judge on the one left out.

    `value` (n,) and `columns` (n, terms) both without what is slow.
    """
    still = problem.series.still
    level = problem.level
    before, after, block = [], [], []
    margin_s = problem.slow_s / 2.0
    t_s = problem.series.t_s
    for number in np.unique(problem.blocks):
        test = problem.blocks == number
        begin_s, end_s = t_s[test][0] - margin_s, t_s[test][-1] + margin_s
        train = still & ((t_s < begin_s) | (t_s > end_s))
        test &= still
        if train.sum() < 4 * (columns.shape[1] + 1) or not test.any():
            continue
        found = robust_fit(columns[train], value[train], level=level)
        guess = columns[test] @ found[int(level) :] + (found[0] if level else 0.0)
        before.append(value[test] - (np.median(value[train]) if level else 0.0))
        after.append(value[test] - guess)
        block.append(problem.blocks[test])
    if not before:
        return HeldOut(np.zeros(0), np.zeros(0), np.zeros(0))
    return HeldOut(np.concatenate(before), np.concatenate(after), np.concatenate(block))
