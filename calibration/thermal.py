"""How a bias follows temperature: fitted from a soak or from ordinary days, refused where it does not help.

The model is that of `calibration.thermal_regression`; for a load cell its lag removed seven eighths of the
zero drift and its rate term two thirds of the hysteresis in published trials (Hiveeyes forum 4391; Sensors
2025, 25, 6131). But what follows temperature is not always drift: bees fly when it is warm, tanks breathe,
and a slope that fitted last month can spoil the next. So every fit has to prove itself on blocks of time that
it did not see, above all on the newest; where it does not, there is no temperature term, and the reason is
kept.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from calibration.certificate import TemperatureTerm
from calibration.thermal_faults import find_fault
from calibration.thermal_lag import LaggedTemperature, lagged_temperature
from calibration.thermal_regression import (
    HeldOut,
    Model,
    Problem,
    held_out,
    make_problem,
    robust_fit,
    without_creep,
)
from calibration.thermal_series import DAY_S, F64, Series, clean_series, robust_sigma, thin

__all__ = ["LaggedTemperature", "ThermalFit", "fit_thermal", "thermal_bias"]

LEAST_ROWS = 48
LEAST_RANGE_DEGC = 3.0  # below it the noise of a thermometer and of a room decide
DAYS_FOR_DAYS = 3.0  # a record of so many days is one of ordinary days, a shorter one a soak
BLOCKS = 6
MUST_HELP = 0.85  # scatter left, at most, of blocks not seen in a soak
MUST_HELP_DAYS = 0.7  # of ordinary days: blocks of one season share what the next one need not have
MUST_HELP_NEWEST = 0.85  # of the newest block, which is nearest to what will come
NO_WORSE = 1.01  # what counts as no worse than before
MAY_WORSEN = 1.15  # one block, by so much: a day of rain
WORTH_A_TERM = 0.95  # what another coefficient must bring
CONSTANT = 0.15  # scatter about ONE level that the terms leave at most, where the true value is constant
MAY_BE_CONSTANT = 3.0 * CONSTANT  # after a rough look
AS_GOOD = 1.01  # fits that differ by less are equally good
LAGS = 12


@dataclass(frozen=True, slots=True)
class ThermalFit:
    """What came of a fit. ``term`` is None where none helped; ``reason`` says why, or what was gained.

    ``before``, ``after``: scatter (σ) of blocks that the fit did not see, without and with it, an axis each,
    in the values' unit; where it is refused, ``after`` is ``before``, since nothing is subtracted.
    Lag and terms were chosen by these same blocks, so ``after`` is a little too good: a record that had no
    part in it is the judge. On the other hand it holds what the true value did by itself, and noise.
    ``tried``: the scatter that the best fit left, refused or not.
    ``faulty``: it is the sensor that is wrong, and not the fit.
    ``rows``: how many were used; ``repeated``, ``missing``: how many were not, and why.
    ``interval_s``: what really lies between two rows.
    """

    term: TemperatureTerm | None
    before: tuple[float, ...]
    after: tuple[float, ...]
    reason: str
    faulty: bool = False
    tried: tuple[float, ...] = ()
    rows: int = 0
    repeated: int = 0
    missing: int = 0
    interval_s: float = 0.0


def fit_thermal(
    t_s: npt.ArrayLike,
    temperature_degc: npt.ArrayLike,
    values: npt.ArrayLike,
    *,
    still: npt.ArrayLike | None = None,
    value_moves: bool | None = None,
    limits: tuple[float, float] | None = None,
    cells: npt.ArrayLike | None = None,
) -> ThermalFit:
    """Fit the temperature term of a sensor at rest; never raises for what a record holds.

    `t_s`: (n,) s, any order, repeated or irregular; `temperature_degc`: (n,) of the thermometer beside it;
    `values`: (n,) or (n, axes), in the unit that the term shall have, before any thermal correction.
    `still`: (n,) whether the sensor was left alone; None: always. `value_moves`: whether the true value
    changes by itself from day to day; None: yes in a record of three days or more, no in a shorter one, which
    then is a soak. `limits`: lowest and highest reading that is possible. `cells`: (n, cells) of the platform
    whose sum `values` is, if at hand: tells a faulty cell from a visitor.
    """
    series = clean_series(t_s, temperature_degc, values, still=still)
    alone = None if cells is None else clean_series(t_s, temperature_degc, cells, still=still)
    same = alone is not None and len(alone) == len(series)
    fault = find_fault(series, limits=limits, cells=alone.values if alone is not None and same else None)
    used = thin(series)
    why = fault or _too_little(used)
    if why:
        return _refused(series, why, faulty=bool(fault))
    days = used.span_s >= DAYS_FOR_DAYS * DAY_S
    if value_moves is None and days:
        # a soak of some days: a level that holds from block to block is none that moves
        constant = _solve(used, value_moves=False) if _may_be_constant(used) else None
        if constant and all(
            trial.score <= CONSTANT and not trial.judged.stepped() for trial in constant.trials
        ):
            return _verdict(series, constant)
    return _verdict(series, _solve(used, value_moves=days if value_moves is None else value_moves))


def thermal_bias(term: TemperatureTerm, t_s: F64, temperature_degc: F64) -> F64:
    """Return what the term says is to be subtracted: (n, axes), for times in order, (n,) s and (n,) °C."""
    lagged_degc, rate = lagged_temperature(t_s, temperature_degc, term.lag_s)
    delta = lagged_degc - term.reference_degc
    out = delta[:, None] * np.array(term.bias_per_degc)
    if term.bias_per_degc2:
        out = out + (delta**2)[:, None] * np.array(term.bias_per_degc2)
    if term.bias_per_degc_per_s:
        out = out + rate[:, None] * np.array(term.bias_per_degc_per_s)
    return np.asarray(out, np.float64)


@dataclass(frozen=True, slots=True)
class _Solved:
    problem: Problem
    trials: list[_Trial]


def _solve(series: Series, *, value_moves: bool) -> _Solved:
    problem = make_problem(series, value_moves=value_moves, blocks=BLOCKS)
    return _Solved(problem, [_best_trial(problem, axis) for axis in range(series.values.shape[1])])


def _may_be_constant(series: Series) -> bool:
    """A rough look, since the thorough one takes its time: every third lag, all terms."""
    problem = make_problem(series, value_moves=False, blocks=BLOCKS)
    models = [Model(lag, squared=True, rate=True) for lag in _lags_s(series)[1::3]]
    axes = range(series.values.shape[1])
    return bool(models) and all(
        min(_try(problem, axis, model).score for model in models) <= MAY_BE_CONSTANT for axis in axes
    )


@dataclass(frozen=True, slots=True)
class _Trial:
    model: Model
    judged: HeldOut
    score: float
    slope: float


def _too_little(series: Series) -> str:
    if int(series.still.sum()) < LEAST_ROWS:
        return f"only {int(series.still.sum())} readings at rest, fewer than {LEAST_ROWS}"
    if series.span_s <= 0.0:
        return "the record lasts no time"
    reach = float(np.ptp(np.percentile(series.temperature_degc, (1.0, 99.0))))
    if reach < LEAST_RANGE_DEGC:
        return f"the temperature moved by {reach:.1f} °C only, less than {LEAST_RANGE_DEGC:g}"
    return ""


def _lags_s(series: Series) -> list[float]:
    """A grid of equal ratios, from what the rows can resolve to what the record can tell from a drift."""
    least = max(2.0 * series.interval_s, 60.0)
    most = min(DAY_S / 2.0, series.span_s / 4.0)
    return [] if most <= least else [round(float(lag)) for lag in np.geomspace(least, most, LAGS)]


def _between(lags: list[float], best_s: float) -> list[float]:
    """Return the lags of a grid four times as fine, around the best of the coarse one."""
    if best_s <= 0.0 or len(lags) < 2:
        return []
    step = (lags[1] / lags[0]) ** 0.25
    return [round(best_s * step**power, 1) for power in (-3, -2, -1, 1, 2, 3)]


def _best_trial(problem: Problem, axis: int) -> _Trial:
    """Return the simplest model that leaves about the least of what it did not see.

    The true value's own slow changes hide the slope from a record of days: only a day's swing is seen, and
    a slope with a short lag explains it as well as a rate with a long one. Of such equals the one with the
    least slope says least of seasons that it has not seen.
    """
    lags = _lags_s(problem.series)
    kinds = ((False, False), (False, True), (True, False), (True, True))
    chosen: _Trial | None = None
    for squared, rate in kinds:
        trials = [_try(problem, axis, Model(lag, squared, rate)) for lag in ([] if rate else [0.0]) + lags]
        if not trials:
            continue
        top = min(trials, key=_score)
        trials += [_try(problem, axis, Model(lag, squared, rate)) for lag in _between(lags, top.model.lag_s)]
        least = min(trial.score for trial in trials)
        equals = [trial for trial in trials if trial.score <= AS_GOOD * least]
        best = min(equals, key=lambda trial: abs(trial.slope)) if problem.slow_s else min(trials, key=_score)
        if chosen is None or best.score < WORTH_A_TERM * chosen.score:
            chosen = best
    assert chosen is not None  # the first kind always has a lag of 0
    return chosen


def _score(trial: _Trial) -> float:
    return trial.score


def _try(problem: Problem, axis: int, model: Model) -> _Trial:
    columns = problem.columns(model)
    still = problem.series.still
    value = without_creep(problem, columns, problem.readings[:, axis])
    judged = held_out(problem, columns, value)
    slope = float(robust_fit(columns[still], value[still], level=problem.level)[int(problem.level)])
    return _Trial(model, judged, judged.ratio() if len(judged.before) else np.inf, slope)


def _objection(trial: _Trial, *, level: bool) -> str:
    """Return why a fit is not to be used, in words; nothing when it helped."""
    if not np.isfinite(trial.score):
        return "the record is too short to keep some of it for judging"
    most = MUST_HELP if level else MUST_HELP_DAYS
    if trial.score > most:
        return f"it leaves {trial.score:.0%} of the scatter of what it did not see, more than {most:.0%}"
    if level and trial.judged.stepped():
        return "the value stepped by itself: a soak wants a load that is left alone"
    ratios = trial.judged.block_ratios()
    if ratios[-1] > MUST_HELP_NEWEST:
        return f"it does not hold for the newest part of the record, where it leaves {ratios[-1]:.0%}"
    worse = [ratio for ratio in ratios if ratio > NO_WORSE]
    if len(worse) > 1 or (worse and worse[0] > MAY_WORSEN):
        return f"it makes {len(worse)} of {len(ratios)} parts of the record worse, one to {max(worse):.0%}"
    return ""


def _verdict(series: Series, solved: _Solved) -> ThermalFit:
    problem, trials = solved.problem, solved.trials
    objections = [_objection(trial, level=problem.level) for trial in trials]
    helped = [axis for axis, objection in enumerate(objections) if not objection]
    before = tuple(robust_sigma(trial.judged.before) for trial in trials)
    tried = tuple(robust_sigma(trial.judged.after) for trial in trials)
    if not helped:
        said = "; ".join(dict.fromkeys(objections))
        return _refused(series, f"no temperature term helps: {said}", before=before, tried=tried)
    # one lag for the sensor: that of the axis which the term helps most
    leader = trials[min(helped, key=lambda axis: trials[axis].score)].model
    model = Model(
        leader.lag_s,
        squared=any(trials[axis].model.squared for axis in helped),
        rate=leader.lag_s > 0.0 and any(trials[axis].model.rate for axis in helped),
    )
    if len(trials) > 1:
        trials = [_try(problem, axis, model) for axis in range(len(trials))]
        objections = [_objection(trial, level=problem.level) for trial in trials]
        helped = [axis for axis in helped if not objections[axis]]
        tried = tuple(robust_sigma(trial.judged.after) for trial in trials)
        if not helped:
            said = "; ".join(dict.fromkeys(o for o in objections if o))
            return _refused(series, f"no one lag helps: {said}", before=before, tried=tried)
    after = tuple(tried[axis] if axis in helped else before[axis] for axis in range(len(trials)))
    gains = ", ".join(f"{before[axis]:.4g} to {after[axis]:.4g}" for axis in helped)
    reason = f"scatter of what it did not see: {gains}"
    if len(helped) < len(trials):
        reason += f"; refused for {len(trials) - len(helped)} of {len(trials)} axes"
    term = _term(problem, model, helped)
    return ThermalFit(term, before, after, reason, False, tried, *_counts(series))


def _term(problem: Problem, model: Model, helped: list[int]) -> TemperatureTerm:
    columns = problem.columns(model)
    still = problem.series.still
    rows = np.zeros((columns.shape[1], problem.readings.shape[1]))
    for axis in helped:
        value = without_creep(problem, columns, problem.readings[:, axis])
        rows[:, axis] = robust_fit(columns[still], value[still], level=problem.level)[int(problem.level) :]
    low, high = np.percentile(problem.series.temperature_degc, (0.5, 99.5))
    return TemperatureTerm(
        reference_degc=problem.reference_degc,
        bias_per_degc=tuple(rows[0].tolist()),
        bias_per_degc2=tuple(rows[1].tolist()) if model.squared else (),
        bias_per_degc_per_s=tuple(rows[-1].tolist()) if model.rate else (),
        lag_s=model.lag_s,
        low_degc=round(float(low), 1),
        high_degc=round(float(high), 1),
    )


def _refused(
    series: Series,
    reason: str,
    *,
    faulty: bool = False,
    before: tuple[float, ...] = (),
    tried: tuple[float, ...] = (),
) -> ThermalFit:
    return ThermalFit(None, before, before, reason, faulty, tried, *_counts(series))


def _counts(series: Series) -> tuple[int, int, int, float]:
    return len(series), series.repeated, series.missing, series.interval_s
