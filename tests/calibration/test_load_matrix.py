"""The matrix of four load cells is recovered within its stated uncertainty; what was not seen is said."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calibration.errors import CalibrationRefused
from calibration.load_cell import LoadObservations, MatrixFit, fit_load_cells, held_out_errors_kg
from calibration.load_plate import CENTRE, F64, make_plate
from tests.calibration.load_bench import FOUR, Bench, hidden_bench

PLACES = (CENTRE, CENTRE, CENTRE, CENTRE, *FOUR, CENTRE, CENTRE, CENTRE)
SHARES = (0.0, 0.5, 1.0, 0.0, 1.0, 1.0, 1.0, 1.0, 0.0, 1.0, 0.0)


def observe(
    bench: Bench, places: tuple[str, ...] = PLACES, shares: tuple[float, ...] = SHARES
) -> LoadObservations:
    masses: F64 = np.array(shares) * 20.0
    shown = [bench.shows(m, p) for m, p in zip(masses, places, strict=True)]
    means = np.array([s.mean(axis=0) for s in shown])
    errors = np.full_like(means, bench.noise_kg / np.sqrt(len(shown[0])))
    return LoadObservations(means, errors, masses, places, np.arange(len(masses), dtype=float) * 20)


def total_errors(
    bench: Bench, fit: MatrixFit, dice: np.random.Generator, loads: int
) -> list[tuple[float, float]]:
    """Errors of the sum for new loads anywhere on the plate, each with its stated standard uncertainty."""
    out = []
    for _ in range(loads):
        forces = bench.forces(15.0, dice.uniform(-1, 1, 2))
        readings = bench.mixing @ forces
        error_kg = float((fit.gain @ readings).sum() - 15.0)
        out.append((error_kg, 15.0 * fit.sum_standard))
    return out


def test_hidden_matrices_are_within_the_stated_uncertainty_in_95_of_100_cases() -> None:
    """Over soft and stiff plates, with and without cross-talk, with masses put down to ±3 %."""
    dice = np.random.default_rng(11)
    entries, sums = [], []
    for seed in range(150):
        bench = hidden_bench(
            seed, cross_talk=float(dice.uniform(0, 0.05)), softness=float(dice.uniform(0, 1)), placing=0.03,
            scatter_kg=0.003,
        )  # fmt: skip
        fit = fit_load_cells(observe(bench), bench.plate, expected_repeatability_kg=0.003)
        entries.append((fit.gain - np.linalg.inv(bench.mixing)) / fit.standard_errors)
        sums += total_errors(bench, fit, dice, 4)
    within = float((np.abs(np.array(entries)) <= 2).mean())
    sums_within = float(np.mean([abs(error) <= 2 * standard for error, standard in sums]))
    assert 0.93 <= within <= 0.99, f"{within:.3f} of the matrices' entries within 2 standard uncertainties"
    assert sums_within >= 0.93, f"{sums_within:.3f} of the sums within 2 standard uncertainties"


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 2**32),
    softness=st.floats(0, 1),
    cross_talk=st.floats(0, 0.05),
    span=st.floats(0, 0.12),
    noise_kg=st.floats(0, 0.01),
    scatter_kg=st.floats(0, 0.005),
    placing=st.floats(0, 0.03),
    nominal=st.floats(0.2, 5),
)
def test_any_plausible_plate_weighs_new_loads_within_its_uncertainty(
    seed: int, softness: float, cross_talk: float, span: float, noise_kg: float, scatter_kg: float,
    placing: float, nominal: float,
) -> None:  # fmt: skip
    """Even where the nominal scale is wrong by a factor of five."""
    bench = hidden_bench(
        seed, cross_talk=cross_talk, span=span, softness=softness, noise_kg=noise_kg, scatter_kg=scatter_kg,
        placing=placing,
    )  # fmt: skip
    bench.mixing, bench.noise_kg = bench.mixing * nominal, bench.noise_kg * nominal
    fit = fit_load_cells(observe(bench), bench.plate, expected_repeatability_kg=0.003)
    for error_kg, standard_kg in total_errors(bench, fit, np.random.default_rng(seed), 3):
        assert abs(error_kg) <= 4.5 * standard_kg + 1e-6, f"{error_kg:.5f} kg, stated {standard_kg:.5f} kg"
        assert abs(error_kg) < 0.15, f"{error_kg:.4f} kg of 15 kg, stated {standard_kg:.5f} kg"


def test_masses_halfway_to_the_corners_will_do_when_it_is_said() -> None:
    """The sum is as good as over the cells; the entries know that they have less of a lever."""
    near: list[float] = []
    far: list[float] = []
    for seed in range(20):
        for corner_at, standards in ((0.6, near), (1.0, far)):
            bench = hidden_bench(seed, cross_talk=0.02, placing=0.03)
            bench.plate = make_plate(FOUR, corner_at=corner_at)
            fit = fit_load_cells(observe(bench), bench.plate, expected_repeatability_kg=0.003)
            z = (fit.gain - np.linalg.inv(bench.mixing)) / fit.standard_errors
            assert np.abs(z).max() < 5, f"{np.abs(z).max():.1f} standard uncertainties off"
            standards.append(float(fit.standard_errors.mean()))
    assert np.mean(near) > 1.1 * np.mean(far), (
        f"{np.mean(near):.4f} at 0.6, {np.mean(far):.4f} over the cells"
    )


def test_the_cells_are_told_apart_better_than_by_four_scales() -> None:
    """With 3 % of cross-talk the centre of gravity is nearer than with one scale a cell."""
    dice = np.random.default_rng(5)
    by_matrix, by_scales = [], []
    for seed in range(40):
        bench = hidden_bench(seed, cross_talk=0.03, placing=0.01)
        plate = make_plate(FOUR, placement=0.01)
        seen = observe(bench)
        gain = fit_load_cells(seen, plate, expected_repeatability_kg=0.002).gain
        rise = seen.readings_kg[4:8] - seen.readings_kg[3]
        scales = np.linalg.lstsq(rise, np.full(4, 20.0), rcond=None)[0]
        for _ in range(5):
            where = dice.uniform(-1, 1, 2)
            readings = bench.mixing @ bench.forces(1.0, where)
            by_matrix.append(np.hypot(*(plate.positions.T @ (gain @ readings) - where)))
            by_scales.append(np.hypot(*(plate.positions.T @ (scales * readings) - where)))
    matrix, four = float(np.median(by_matrix)), float(np.median(by_scales))
    assert matrix < 0.5 * four, f"centre off by {matrix:.4f} with the matrix, {four:.4f} with four scales"


@pytest.mark.parametrize("softness", [0.0, 1.0])
def test_without_noise_and_cross_talk_it_is_exact(softness: float) -> None:
    bench = hidden_bench(2, cross_talk=0.0, softness=softness, noise_kg=0.0)
    fit = fit_load_cells(observe(bench), bench.plate)
    error = float(np.abs(fit.errors_kg).max())
    assert error < 1e-6, f"sums off by {error} kg"
    if softness == 1.0:
        off = float(np.abs(fit.gain - np.linalg.inv(bench.mixing)).max())
        assert off < 0.01, f"entries off by {off}"
    assert abs(fit.softness - softness) < 0.02, f"softness {fit.softness}"


def test_without_corners_the_uncertainty_says_that_the_cells_are_not_known() -> None:
    bench = hidden_bench(4)
    seen = observe(bench, (CENTRE, CENTRE, CENTRE), (0.0, 1.0, 0.0))
    fit = fit_load_cells(seen, bench.plate)
    assert not fit.separated
    assert fit.sum_standard > 0.05, f"a load at a corner is said to be known to {fit.sum_standard:.4f}"
    forces = bench.forces(1.0, np.array([1.0, 1.0]))
    error = abs(float((fit.gain @ bench.mixing @ forces).sum()) - 1.0)
    assert error <= 3 * fit.sum_standard, f"corner off by {error:.3f}, stated {fit.sum_standard:.3f}"


def test_what_the_masses_are_off_by_together_is_in_the_covariance() -> None:
    """All weigh 0.1 % too much: no reading shows it, and the sum is known no better."""
    bench = hidden_bench(4, scatter_kg=0.001)
    seen = observe(bench)
    exact, stamped = (fit_load_cells(seen, bench.plate, mass_standard=m) for m in (0.0, 1e-3))
    assert exact.sum_standard < 5e-4, f"{exact.sum_standard:.1e}"
    assert stamped.sum_standard == pytest.approx(np.hypot(exact.sum_standard, 1e-3), rel=0.05)


def test_held_out_loads_are_as_good_as_the_scatter() -> None:
    bench = hidden_bench(6, scatter_kg=0.003)
    errors = held_out_errors_kg(observe(bench), bench.plate, expected_repeatability_kg=0.003)
    rms = float(np.sqrt(np.mean(errors**2)))
    assert len(errors) == 3, "the loads of the centre, which was loaded three times"
    assert rms < 0.012, f"{rms:.4f} kg"


def test_a_drifting_zero_is_taken_between_its_neighbours() -> None:
    bench = hidden_bench(8, noise_kg=1e-5)
    seen = observe(bench)
    drift: F64 = 1e-4 * seen.times_s[:, None] * np.ones(4)
    moved = LoadObservations(
        seen.readings_kg + drift, seen.standard_errors_kg, seen.masses_kg, seen.places, seen.times_s
    )
    still, drifting = fit_load_cells(seen, bench.plate), fit_load_cells(moved, bench.plate)
    apart = float(np.abs(still.gain - drifting.gain).max())
    assert apart < 1e-6, f"80 mg a step of drift in the sum changed the gain by {apart}"


@pytest.mark.parametrize(
    ("cells", "positions"),
    [(("load",), None), (("left", "right"), None), (("a", "b", "c"), ((0, 1), (-1, -1), (1, -1)))],
)
def test_one_two_or_three_cells(
    cells: tuple[str, ...], positions: tuple[tuple[float, float], ...] | None
) -> None:
    plate = make_plate(cells, positions)
    n = len(cells)
    mixing = np.diag(np.linspace(0.95, 1.05, n))
    places = (CENTRE, *cells, CENTRE)
    masses = np.array([0.0, *([10.0] * n), 5.0])
    forces = [m * (plate.loads_at(p) if n > 1 else np.ones(1)) for m, p in zip(masses, places, strict=True)]
    readings: F64 = np.array(forces) @ mixing.T + 0.1
    fit = fit_load_cells(
        LoadObservations(readings, np.full_like(readings, 1e-5), masses, places, np.arange(n + 2.0)), plate
    )
    off = float(np.abs(fit.errors_kg).max())
    assert fit.separated
    assert off < 1e-4, f"sums off by {off} kg"
    assert np.allclose(fit.gain, np.linalg.inv(mixing), atol=0.01), fit.gain


def test_nothing_to_fit_is_refused() -> None:
    bench = hidden_bench(1)
    seen = observe(bench, (CENTRE, CENTRE), (0.0, 0.0))
    with pytest.raises(CalibrationRefused, match="0 with a known mass"):
        fit_load_cells(seen, bench.plate)
    seen = observe(bench, (CENTRE, CENTRE), (0.0, 1.0))
    upside_down = LoadObservations(
        -seen.readings_kg, seen.standard_errors_kg, seen.masses_kg, seen.places, seen.times_s
    )
    with pytest.raises(CalibrationRefused, match="do not rise"):
        fit_load_cells(upside_down, bench.plate)


@pytest.mark.parametrize(
    ("cells", "positions", "words"),
    [
        ((), None, "none"),
        (("fl", "fl"), None, "all different"),
        (("a", "b"), ((0, 0), (0, 0)), "one spot"),
        (("a", "b", "c"), ((0, 0), (1, 0), (2, 0)), "one line"),
        (("a", "b"), ((0, 0),), "one each"),
        (("centre", "b"), None, "all different"),
    ],
)
def test_a_plate_that_cannot_be(
    cells: tuple[str, ...], positions: tuple[tuple[float, float], ...] | None, words: str
) -> None:
    with pytest.raises(CalibrationRefused, match=words):
        make_plate(cells, positions)
