"""Steps that a guided session of load cells refuses, in plain words, and of which nothing is left behind."""

from __future__ import annotations

import numpy as np
import pytest

from calibration.errors import CalibrationRefused
from tests.calibration.load_bench import hidden_bench
from tests.calibration.load_sessions import ready, refused, session_of


def test_a_saturated_cell_is_refused() -> None:
    session, bench = ready(full_scale_kg=20.0)
    words = refused(session, "corner", bench.shows(30.0, "fr"), mass_kg=30.0, place="fr")
    assert "front right (fr) at the end of its range: saturated" in words
    one = bench.shows(0.0)
    one[7, 2] = -20.0
    assert "rear left (rl)" in refused(session, "zero", one)


def test_a_zero_over_two_percent_is_refused() -> None:
    bench = hidden_bench(2)
    bench.offset_kg = np.array([0.0, 1.2, 0.0, 0.0])
    words = refused(session_of(), "zero", bench.shows(0.0))
    assert "front right (fr) far from zero: +1.2" in words
    assert "2.4 % of its capacity, expected at most 2 % (1 kg)" in words
    bench.offset_kg = np.full(4, 1.2)  # the plate weighs 4.8 kg, and says so
    assert session_of(dead_load_kg=4.8).step("zero", bench.shows(0.0), t_s=0.0).accepted


def test_a_span_under_one_percent_is_refused() -> None:
    session, bench = ready()
    words = refused(session, "span up", bench.shows(1.5), mass_kg=1.5)
    assert "of a cell's capacity, expected at least 1 %. Use a larger mass" in words
    assert session.step("span up", bench.shows(3.0), mass_kg=3.0, t_s=9.0).accepted


@pytest.mark.parametrize("how", ["drift", "knock", "noise", "rock"])
def test_unsteady_readings_are_refused(how: str) -> None:
    session, bench = ready()
    readings = bench.shows(20.0)
    if how == "drift":
        readings += np.linspace(0, 0.01, len(readings))[:, None]
    elif how == "knock":
        readings[40:44, 1] += 2.0
    elif how == "rock":  # the sum stays
        readings += np.linspace(-0.03, 0.03, len(readings))[:, None] * np.array([1, -1, -1, 1])
    else:
        readings += np.random.default_rng(1).normal(0, 0.2, readings.shape)
    words = refused(session, "span up", readings, mass_kg=20.0)
    assert "unsteady readings" in words
    assert ("It is noise" in words) == (how == "noise"), words
    meter = session.steadiness(readings)
    assert not meter.steady
    assert meter.wander_kg > meter.limit_kg == pytest.approx(0.01)


def test_holes_and_too_few_readings_are_refused() -> None:
    session, bench = ready()
    readings = bench.shows(20.0)
    assert "only 19 readings, expected at least 20" in refused(
        session, "span up", readings[:19], mass_kg=20.0
    )
    assert "shape (100, 3)" in refused(session, "span up", readings[:, :3], mass_kg=20.0)
    assert "only 0 readings" in refused(session, "zero", readings[:0])
    readings[5, 0] = np.nan
    assert "1 readings without a value" in refused(session, "span up", readings, mass_kg=20.0)


def test_what_cannot_be_is_refused() -> None:
    session, bench = ready()
    readings = bench.shows(20.0)
    for mass in (0.0, -1.0, float("nan")):
        assert "expected the known mass" in refused(session, "span up", readings, mass_kg=mass)
    assert "at most 200 kg" in refused(session, "span up", readings, mass_kg=201.0)
    assert "'tilt'" in refused(session, "tilt", readings, mass_kg=20.0)
    assert "'middle'" in refused(session, "corner", readings, mass_kg=20.0, place="middle")
    assert "step 'corner' at the centre" in refused(session, "corner", readings, mass_kg=20.0)
    assert "step 'repeat' at the cell" in refused(session, "repeat", readings, mass_kg=20.0, place="fl")
    assert "the empty plate first" in refused(session_of(), "span up", readings, mass_kg=20.0)
    with pytest.raises(CalibrationRefused, match="0 readings of the empty plate"):
        session_of().fit()
    with pytest.raises(CalibrationRefused, match="capacity_kg of 0"):
        session_of(capacity_kg=0.0)


def test_a_cell_that_counts_backwards_is_refused() -> None:
    bench = hidden_bench(2)
    bench.mixing[2] *= -1
    session, _ = ready(bench)
    words = refused(session, "span up", bench.shows(20.0), mass_kg=20.0)
    assert "rear left (rl) counting backwards" in words
    assert "A+ and A−" in words


def test_a_cell_that_carries_nothing_is_refused() -> None:
    bench = hidden_bench(2, cross_talk=0.0)
    bench.mixing[1] = 0.0
    session, _ = ready(bench)
    words = refused(session, "span up", bench.shows(20.0), mass_kg=20.0)
    assert "front right (fr) carrying nothing" in words


def test_a_mass_over_another_cell_is_refused() -> None:
    session, bench = ready()
    words = refused(session, "corner", bench.shows(20.0, "rr"), mass_kg=20.0, place="fl")
    assert "the cell rear right (rr) feeling it most" in words
    assert "swap them" in words


def test_a_mass_that_is_another_than_was_said_is_refused() -> None:
    session, bench = ready()
    assert session.step("span up", bench.shows(20.0), mass_kg=20.0, t_s=9.0).accepted
    words = refused(session, "repeat", bench.shows(10.0), mass_kg=20.0)
    assert "readings as of 10.0" in words
    words = refused(session, "zero", bench.shows(10.0))
    assert "expected at most 2 %" in words or "more than when it was empty" in words


@pytest.mark.parametrize("said_kg", [10.0, 44.1])
def test_a_first_mass_that_is_another_than_was_said_is_refused_by_the_nominal_scale(said_kg: float) -> None:
    """Nothing before it contradicts: half of it, or pounds for kilograms, gave a good certificate once."""
    session, bench = ready()
    words = refused(session, "span up", bench.shows(20.0), mass_kg=said_kg)
    assert "by the nominal scale" in words
    assert "put `scale` of this stream right" in words


def test_a_mass_left_on_the_plate_is_no_zero() -> None:
    session, bench = ready()
    assert session.step("span up", bench.shows(10.0), mass_kg=10.0, t_s=9.0).accepted
    words = refused(session, "zero", bench.shows(2.5))
    assert "more than when it was empty before" in words
