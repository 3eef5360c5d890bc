"""The nine-parameter fit: it finds what is hidden, says how well, and refuses what it cannot know."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import least_squares
from scipy.stats import t as student

from calibration.accel_model import apply, design, gain_of, rms, upper_triangular
from calibration.accelerometer import CROSS_AXIS_RAD, fit_accelerometer, sphere, student_95
from calibration.errors import CalibrationRefused
from calibration.gravity import ANYWHERE_STANDARD_MPS2, STANDARD_GRAVITY_MPS2, local_gravity
from calibration.poses import missing_poses
from tests.calibration.accel_bench import MG_MPS2, all_around, hidden, reading_of, units

F64 = npt.NDArray[np.float64]

RING = np.linspace(0, 2 * np.pi, 14, endpoint=False)
FACES = np.vstack((np.eye(3), -np.eye(3)))


def within(errors: F64, standard: F64) -> npt.NDArray[np.bool_]:
    return np.asarray(np.abs(errors) <= 1.96 * standard)


@pytest.mark.parametrize("known", [True, False], ids=["noise known", "noise unknown"])
@pytest.mark.parametrize("count", [10, 16])
def test_what_is_hidden_lies_within_the_stated_uncertainty(count: int, known: bool) -> None:
    rng = np.random.default_rng(count)
    inside, readings = [], []
    for _ in range(160):
        truth, noise = hidden(rng), 10 ** rng.uniform(-2, 0) * MG_MPS2
        gravity = STANDARD_GRAVITY_MPS2 + rng.normal() * ANYWHERE_STANDARD_MPS2
        ups = all_around(rng, count)
        means = reading_of(truth, ups * gravity) + rng.normal(size=ups.shape) * noise
        errors = np.full_like(means, noise) if known else None
        try:
            fit = fit_accelerometer(means, standard_errors_mps2=errors)
        except CalibrationRefused:
            continue
        inside.append(within(fit.parameters - truth, np.sqrt(np.diag(fit.covariance))))
        up = units(rng.normal(size=(1, 3))) * STANDARD_GRAVITY_MPS2
        error = float(np.abs(fit.correct(reading_of(truth, up)) - up).max())
        readings.append(error <= 1.96 * fit.standard_uncertainty_mps2)
    coverage = np.mean(inside, axis=0)
    assert len(inside) >= 150, f"{160 - len(inside)} of 160 were refused"
    # 160 trials of 95 % scatter by 1.7 %
    assert coverage.min() > 0.89, coverage
    assert coverage.mean() > 0.935, coverage
    assert np.mean(readings) > 0.94, f"a corrected reading: {np.mean(readings)}"


@settings(max_examples=60)
@given(
    skew=st.tuples(*[st.floats(-0.05, 0.05)] * 3),
    scale=st.tuples(*[st.floats(0.9, 1.1)] * 3),
    bias_mg=st.tuples(*[st.floats(-150, 150)] * 3),
    seed=st.integers(0, 2**31),
)
def test_without_noise_the_truth_is_found(
    skew: tuple[float, ...], scale: tuple[float, ...], bias_mg: tuple[float, ...], seed: int
) -> None:
    truth = np.array([*skew, *scale, *(b * MG_MPS2 for b in bias_mg)])
    rng = np.random.default_rng(seed)
    ups = units(np.array([pose.up for pose in missing_poses((), 12)]) + rng.normal(size=(12, 3)) * 0.1)
    means = reading_of(truth, ups * STANDARD_GRAVITY_MPS2)
    fit = fit_accelerometer(means, standard_errors_mps2=np.full_like(means, 1e-3))
    assert np.abs(fit.parameters - truth).max() < 1e-7, fit.parameters - truth
    assert np.abs(fit.gain - gain_of(truth)).max() < 1e-7
    assert fit.undetermined == ()


DEGENERATE = {
    "one position": np.tile([[0.0, 0.0, 1.0]], (12, 1)),
    "a plane": np.column_stack((np.cos(RING), np.sin(RING), 0 * RING)),
    "a plane that leans": np.column_stack((np.cos(RING), 0.7 * np.sin(RING), 0.7 * np.sin(RING))),
    "a cone": units(np.column_stack((np.cos(RING), np.sin(RING), 0 * RING + 1))),
    "two cones": units(np.column_stack((np.cos(RING), np.sin(RING), np.where(RING < 3, 1.0, -1.0)))),
    "faces only": np.vstack((FACES, FACES)),
    "two planes": np.vstack(
        (
            np.column_stack((np.cos(RING), np.sin(RING), 0 * RING)),
            np.column_stack((0 * RING, np.cos(RING), np.sin(RING))),
        )
    ),
    "nearly upright": units(np.column_stack((0.2 * np.cos(3 * RING), 0.2 * np.sin(2 * RING), 0 * RING + 1))),
    "a circle of six, twice": units(
        np.tile(np.column_stack((np.cos(RING), np.sin(RING), 0 * RING + 0.3)), (2, 1))
    ),
}


@pytest.mark.parametrize("known", [True, False], ids=["noise known", "noise unknown"])
@pytest.mark.parametrize("name", DEGENERATE)
def test_degenerate_poses_are_refused_and_said_why(name: str, known: bool) -> None:
    rng = np.random.default_rng(7)
    for noise_mg in (0.01, 0.3, 3.0):
        means = reading_of(hidden(rng), DEGENERATE[name] * STANDARD_GRAVITY_MPS2)
        means += rng.normal(size=means.shape) * noise_mg * MG_MPS2
        errors = np.full_like(means, noise_mg * MG_MPS2) if known else None
        with pytest.raises(CalibrationRefused, match="no pose shows") as refused:
            fit_accelerometer(means, standard_errors_mps2=errors)
        assert "edge" in refused.value.remedy


def test_too_few_poses_or_nonsense_are_refused() -> None:
    rng = np.random.default_rng(1)
    means = reading_of(hidden(rng), all_around(rng, 10) * STANDARD_GRAVITY_MPS2)
    with pytest.raises(CalibrationRefused, match="at least 9 poses"):
        fit_accelerometer(means[:8], standard_errors_mps2=np.full((8, 3), 1e-3))
    with pytest.raises(CalibrationRefused, match="at least 10 poses"):
        fit_accelerometer(means[:9])
    with pytest.raises(CalibrationRefused, match="some without a number"):
        fit_accelerometer(np.where(np.arange(30).reshape(10, 3) == 4, np.nan, means))
    with pytest.raises(CalibrationRefused, match="unit and the range"):
        fit_accelerometer(means * 2)


def test_it_agrees_with_scipy() -> None:
    rng = np.random.default_rng(3)
    truth = hidden(rng)
    means = reading_of(truth, all_around(rng, 14) * STANDARD_GRAVITY_MPS2) + rng.normal(size=(14, 3)) * 2e-3
    errors = rng.uniform(1e-3, 3e-3, size=(14, 3))
    fit = fit_accelerometer(means, standard_errors_mps2=errors)
    sigma = np.hypot(
        np.sqrt(((design(fit.parameters, means)[2] * errors) ** 2).sum(axis=1)), fit.pose_standard_mps2
    )

    def residuals(parameters: F64) -> F64:
        out: F64 = (np.linalg.norm(apply(parameters, means), axis=1) - STANDARD_GRAVITY_MPS2) / sigma
        return out

    oracle = least_squares(residuals, truth, xtol=1e-15, ftol=1e-15, gtol=1e-15)
    assert np.abs(oracle.x - fit.parameters).max() < 1e-6, oracle.x - fit.parameters
    numeric = np.linalg.inv(oracle.jac.T @ oracle.jac)
    gravity = np.concatenate((np.zeros(3), oracle.x[3:6], np.zeros(3))) / STANDARD_GRAVITY_MPS2
    numeric += ANYWHERE_STANDARD_MPS2**2 * np.outer(gravity, gravity)
    assert np.allclose(np.sqrt(np.diag(numeric)), np.sqrt(np.diag(fit.covariance)), rtol=1e-4)


def test_a_full_matrix_is_compared_by_what_differs_from_a_turn() -> None:
    rng = np.random.default_rng(4)
    truth = hidden(rng)
    turned = np.linalg.qr(rng.normal(size=(3, 3)))[0] @ gain_of(truth)
    assert np.abs(upper_triangular(turned) - gain_of(truth)).max() < 1e-12


def test_gravity_is_in_the_budget_and_only_scales() -> None:
    rng = np.random.default_rng(5)
    truth = hidden(rng)
    means = reading_of(truth, all_around(rng, 12) * STANDARD_GRAVITY_MPS2)
    errors = np.full_like(means, 1e-4)
    known = fit_accelerometer(means, standard_errors_mps2=errors, gravity_standard_mps2=5e-4)
    anywhere = fit_accelerometer(means, standard_errors_mps2=errors)
    assert [(term.name, term.kind) for term in anywhere.budget] == [("poses", "A"), ("local gravity", "B")]
    assert anywhere.budget[1].standard == ANYWHERE_STANDARD_MPS2
    assert known.standard_uncertainty_mps2 < anywhere.standard_uncertainty_mps2 / 10
    assert np.allclose(np.diag(known.covariance)[6:], np.diag(anywhere.covariance)[6:])


def test_an_angle_that_no_pose_shows_may_be_held_to_a_data_sheet_but_not_two() -> None:
    rng = np.random.default_rng(6)
    edges = units(np.array([[0, 1, 1], [0, -1, 1], [-1, 0, 1], [1, 0, 1]], dtype=np.float64))
    inside = []
    for _ in range(100):
        truth = hidden(rng)
        truth[:3] = rng.normal(size=3) * CROSS_AXIS_RAD
        ups = units(np.vstack((FACES, edges)) + rng.normal(size=(10, 3)) * 0.002)
        means = reading_of(truth, ups * STANDARD_GRAVITY_MPS2) + rng.normal(size=ups.shape) * 2e-3
        errors = np.full_like(means, 2e-3)
        fit = fit_accelerometer(means, standard_errors_mps2=errors, cross_axis_rad=CROSS_AXIS_RAD)
        assert fit.undetermined == ("x and y",)
        inside.append(within(fit.parameters - truth, np.sqrt(np.diag(fit.covariance))))
    coverage = np.mean(inside, axis=0)
    assert coverage.min() > 0.88, coverage
    with pytest.raises(CalibrationRefused, match=r"no pose shows the angle"):
        fit_accelerometer(
            np.delete(means, (8, 9), axis=0).repeat(2, axis=0),
            standard_errors_mps2=np.delete(errors, (8, 9), axis=0).repeat(2, axis=0),
            cross_axis_rad=CROSS_AXIS_RAD,
        )


def test_one_bad_pose_shows_in_what_is_held_out_and_in_the_uncertainty() -> None:
    rng = np.random.default_rng(8)
    truth = hidden(rng)
    means = reading_of(truth, all_around(rng, 14) * STANDARD_GRAVITY_MPS2) + rng.normal(size=(14, 3)) * 1e-3
    errors = np.full_like(means, 1e-3)
    good = fit_accelerometer(means, standard_errors_mps2=errors)
    means[5] *= 1.01
    bad = fit_accelerometer(means, standard_errors_mps2=errors)
    assert bad.held_out_rms_mps2 is not None
    assert good.held_out_rms_mps2 is not None
    assert bad.held_out_rms_mps2 > 10 * good.held_out_rms_mps2
    assert bad.fit_standard_mps2 > 5 * good.fit_standard_mps2


def test_ten_guided_poses_predict_the_others_as_well_as_they_were_read() -> None:
    rng = np.random.default_rng(9)
    ups = np.array([pose.up for pose in missing_poses(())])
    noise, left = 0.1 * MG_MPS2, []
    for _ in range(30):
        truth = hidden(rng)
        means = reading_of(truth, ups * STANDARD_GRAVITY_MPS2) + rng.normal(size=ups.shape) * noise
        fit = fit_accelerometer(means, standard_errors_mps2=np.full_like(means, noise))
        seen = fit.correct(reading_of(truth, sphere(200) * STANDARD_GRAVITY_MPS2))
        left.append(rms(np.linalg.norm(seen, axis=1) - STANDARD_GRAVITY_MPS2))
    assert len(ups) == 10
    assert rms(np.array(left)) < 1.2 * noise, f"{rms(np.array(left)) / noise:.2f} of the noise of a pose"


@pytest.mark.parametrize("freedom", [1, 2, 5, 10, 11, 30, 200])
def test_students_t(freedom: int) -> None:
    assert student_95(freedom) == pytest.approx(student.ppf(0.975, freedom), rel=1e-3)


@pytest.mark.parametrize(
    ("latitude_deg", "height_m", "mps2"),
    # Published normal gravity: equator, 45°, pole; Mexico City and Denver as measured, of any anomaly.
    [(0, 0, 9.78033), (45, 0, 9.80620), (90, 0, 9.83219), (19.43, 2240, 9.7793), (39.75, 1640, 9.7961)],
)
def test_local_gravity(latitude_deg: float, height_m: float, mps2: float) -> None:
    gravity = local_gravity(latitude_deg, height_m)
    assert gravity.mps2 == pytest.approx(mps2, abs=1.5e-3)
    assert gravity.standard_mps2 < 1e-3
    assert math.isclose(local_gravity(-latitude_deg, height_m).mps2, gravity.mps2)


def test_no_gravity_off_the_earth() -> None:
    with pytest.raises(ValueError, match="no place on the ground"):
        local_gravity(91)
