"""When a temperature term is fitted, and when it is refused."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from calibration import thermal_regression
from calibration.thermal import ThermalFit, fit_thermal, thermal_bias
from calibration.thermal_lag import lagged_temperature
from calibration.thermal_regression import held_out, make_problem, robust_fit
from calibration.thermal_series import clean_series, running_median

F64 = npt.NDArray[np.float64]
HOUR_S = 3600.0
DAY_S = 86400.0
SLOPE = 0.08
RATE = 900.0
LAG_S = 7200.0


def weather(days: float, *, seed: int, every_s: float = 3450.0) -> tuple[F64, F64]:
    """Times and temperatures outdoors: no day like the other."""
    rng = np.random.default_rng(seed)
    t_s = np.arange(0.0, days * DAY_S, every_s)
    day = (t_s / DAY_S).astype(int)
    swing = rng.uniform(3.0, 10.0, int(days) + 2)[day]
    level = np.cumsum(rng.normal(0.0, 2.0, int(days) + 2))[day] + 15.0
    return t_s, level + swing * np.sin(2 * np.pi * t_s / DAY_S) + rng.normal(0.0, 0.3, len(t_s))


def true_mass(t_s: F64, seed: int) -> F64:
    """Slow growth, steps and visitors: what a load does by itself."""
    rng = np.random.default_rng(seed)
    mass = 30.0 + np.cumsum(rng.normal(0.0, 0.02, len(t_s)))
    for at in rng.integers(20, len(t_s) - 20, 4):
        mass[at:] += rng.uniform(-8.0, 8.0)
    mass[len(t_s) // 3] += 15.0
    return mass


def drift(t_s: F64, degc: F64) -> F64:
    """What warmth adds."""
    lagged_degc, rate = lagged_temperature(t_s, degc, LAG_S)
    return SLOPE * (lagged_degc - 20.0) + RATE * rate


def outdoors(days: float = 30.0, seed: int = 1) -> tuple[F64, F64, F64]:
    """A scale that drifts, under a load that moves."""
    t_s, degc = weather(days, seed=seed)
    return t_s, degc, true_mass(t_s, seed) + drift(t_s, degc)


def left_of_drift(fit: ThermalFit, t_s: F64, degc: F64) -> tuple[float, float]:
    """Shares of the drift that the term leaves in weather it has not seen: within a day, and of all."""
    assert fit.term is not None, fit.reason
    truth = drift(t_s, degc)
    error = truth - thermal_bias(fit.term, t_s, degc)[:, 0]
    days = np.std(error - running_median(t_s, error, DAY_S)) / np.std(
        truth - running_median(t_s, truth, DAY_S)
    )
    return float(days), float(np.std(error) / np.std(truth))


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_ordinary_days_with_a_load_that_moves_are_enough(seed: int) -> None:
    fit = fit_thermal(*outdoors(seed=seed))
    within_a_day, of_all = left_of_drift(fit, *weather(30.0, seed=seed + 100))
    assert within_a_day < 0.1, f"{within_a_day:.0%} of a day's drift is left, {fit.reason}"
    # a slope over weeks cannot be told from a load that moves, and is rather taken too small than too large
    assert of_all < 0.75, f"{of_all:.0%} of the drift is left, {fit.reason}"
    assert fit.after[0] < fit.before[0], fit.reason


def test_rows_twice_in_disorder_and_without_a_number_change_nothing() -> None:
    t_s, degc, values = outdoors()
    rng = np.random.default_rng(9)
    order = np.concatenate((rng.permutation(len(t_s)), rng.integers(0, len(t_s), 100)))
    t2, d2, v2 = (np.append(x[order], x[:3]) for x in (t_s, degc, values))
    v2 = v2.copy()
    t2 = np.append(t2, [1.0, 2.0, np.nan])
    d2, v2 = np.append(d2, [np.nan, 10.0, 10.0]), np.append(v2, [30.0, np.nan, 30.0])
    clean, untidy = fit_thermal(t_s, degc, values), fit_thermal(t2, d2, v2)
    assert untidy.term == clean.term
    assert (untidy.repeated, untidy.missing) == (103, 3), untidy
    assert untidy.interval_s == pytest.approx(3450.0)


def test_a_scale_that_does_not_drift_is_left_alone() -> None:
    t_s, degc = weather(30.0, seed=4)
    fit = fit_thermal(t_s, degc, true_mass(t_s, 4))
    assert fit.term is None
    assert fit.after == fit.before
    assert "it leaves" in fit.reason, fit.reason
    assert not fit.faulty


def test_what_held_last_month_and_does_no_more_is_refused() -> None:
    t_s, degc = weather(60.0, seed=5)
    lagged_degc, _ = lagged_temperature(t_s, degc, LAG_S)
    bees = np.where(t_s < 51 * DAY_S, -0.1, 0.0) * (lagged_degc - 15.0)
    fit = fit_thermal(t_s, degc, true_mass(t_s, 5) + bees)
    assert fit.term is None, fit.term
    assert "newest" in fit.reason, fit.reason


def test_a_few_per_cent_are_not_worth_a_term() -> None:
    t_s, degc = weather(60.0, seed=8)
    slight = 0.08 * (degc - 20.0) + np.random.default_rng(8).normal(0.0, 1.0, len(t_s))
    fit = fit_thermal(t_s, degc, slight)
    assert fit.term is None, fit
    assert "of the scatter of what it did not see" in fit.reason, fit.reason
    gain = 1.0 - fit.tried[0] / fit.before[0]
    assert 0.0 < gain < 0.15, f"a gain of {gain:.1%}: this test is of a small one"


@pytest.mark.parametrize("seed", range(4))
def test_chance_is_not_fitted(seed: int) -> None:
    rng = np.random.default_rng(seed)
    t_s, degc = weather(20.0, seed=seed)
    fit = fit_thermal(t_s, degc, rng.normal(0.0, 1.0, (len(t_s), 2)))
    assert fit.term is None, fit


def test_each_axis_is_judged_for_itself() -> None:
    t_s, degc, values = outdoors()
    other = np.random.default_rng(6).normal(0.0, 0.1, len(t_s))
    fit = fit_thermal(t_s, degc, np.stack((other, values), axis=1))
    assert fit.term is not None
    assert fit.term.bias_per_degc[0] == 0.0, fit.term
    assert fit.term.bias_per_degc[1] != 0.0, fit.term
    assert fit.after[0] == fit.before[0], fit
    assert "refused for 1 of 2 axes" in fit.reason, fit.reason


def test_rows_that_moved_are_not_looked_at() -> None:
    t_s, degc, values = outdoors()
    still = (np.arange(len(t_s)) // 30) % 3 != 0
    wild = np.where(still, values, 500.0 * degc)
    fit = fit_thermal(t_s, degc, wild, still=still, value_moves=False)
    quiet = fit_thermal(t_s, degc, np.where(still, values, 30.0), still=still, value_moves=False)
    assert fit.term == quiet.term
    assert fit.before == quiet.before


def test_too_little_warmth_or_too_few_rows_are_refused_in_words() -> None:
    t_s = np.arange(0.0, 4 * HOUR_S, 30.0)
    flat = fit_thermal(t_s, np.full(len(t_s), 20.0), 0.1 * t_s)
    assert flat.term is None
    assert "°C only" in flat.reason, flat.reason
    few = fit_thermal([1.0, 2.0], [10.0, 30.0], [1.0, 2.0])
    assert few.term is None
    assert "only 2 readings" in few.reason, few.reason
    none = fit_thermal([], [], [])
    assert none.term is None


def test_a_soak_whose_load_was_touched_is_refused() -> None:
    t_s = np.arange(0.0, 10 * HOUR_S, 30.0)
    degc = 20.0 + 15.0 * np.sin(2 * np.pi * t_s / (10 * HOUR_S))
    values = 0.02 * degc + np.where(t_s > 4 * HOUR_S, 0.3, 0.0)
    values += np.random.default_rng(3).normal(0.0, 0.003, len(t_s))
    fit = fit_thermal(t_s, degc, values)
    assert fit.term is None, fit.reason


def test_a_scale_that_leaps_to_both_sides_is_flagged() -> None:
    t_s, degc, values = outdoors()
    for at, leap in ((100, 160.0), (200, -170.0), (300, 150.0), (400, -160.0)):
        values[at] += leap
    fit = fit_thermal(t_s, degc, values)
    assert fit.faulty, fit.reason
    assert fit.term is None
    assert "leapt 2 times up and 2 times down" in fit.reason, fit.reason


def test_a_load_put_on_at_the_beginning_and_another_at_the_end_is_no_leap() -> None:
    t_s, degc, values = outdoors()
    values[:4] -= 160.0
    values[-3:] += 170.0
    fit = fit_thermal(t_s, degc, values)
    assert not fit.faulty, fit.reason


def test_a_cell_that_leaps_alone_is_flagged_and_a_visitor_is_not() -> None:
    t_s, degc, values = outdoors()
    half = values / 2.0
    cells = np.stack((half, half), axis=1)
    visited, broken = cells.copy(), cells.copy()
    for at in (100, 200, 300, 400):
        visited[at] += 80.0
        broken[at, 0] += 160.0
    assert not fit_thermal(t_s, degc, visited.sum(axis=1), cells=visited).faulty
    flagged = fit_thermal(t_s, degc, broken.sum(axis=1), cells=broken)
    assert flagged.faulty
    assert "cell 1" in flagged.reason, flagged.reason


def test_other_faults_have_words() -> None:
    t_s, degc, values = outdoors()
    stuck = fit_thermal(t_s, degc, np.full(len(t_s), 3.0))
    assert stuck.faulty
    assert "throughout" in stuck.reason, stuck.reason
    loose = fit_thermal(t_s, degc, np.where(np.arange(len(t_s)) % 3 == 0, np.nan, values))
    assert loose.faulty
    assert "hold no reading" in loose.reason, loose.reason
    beyond = fit_thermal(
        t_s, degc, np.where(np.arange(len(t_s)) % 200 == 7, -20.0, values), limits=(0.0, 90.0)
    )
    assert beyond.faulty
    assert "beyond 0 to 90" in beyond.reason, beyond.reason


def test_rows_beside_a_block_that_the_running_median_saw_with_it_do_not_teach(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Within half its window of a row, the median of a day holds that row: half a day is left out."""
    t_s, degc, values = outdoors(days=12.0)
    problem = make_problem(clean_series(t_s, degc, values), value_moves=True, blocks=6)
    taught: list[F64] = []

    def seen(columns: F64, value: F64, *, level: bool) -> F64:
        taught.append(columns[:, 0])
        return robust_fit(columns, value, level=level)

    monkeypatch.setattr(thermal_regression, "robust_fit", seen)
    held_out(problem, problem.series.t_s[:, None], problem.readings[:, 0])
    assert len(taught) == 6
    for number, times_s in enumerate(taught):
        block_s = problem.series.t_s[problem.blocks == number]
        nearest_s = float(np.abs(times_s[:, None] - block_s).min())
        assert nearest_s > DAY_S / 2, f"block {number}: {nearest_s / HOUR_S:.1f} h"
