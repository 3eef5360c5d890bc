"""A simulated cell with hidden creep, hysteresis and lag, judged over a cycle that the fit has not seen."""

from __future__ import annotations

import numpy as np
import pytest

from calibration.thermal import fit_thermal, thermal_bias
from tests.calibration.thermal_cell import HiddenCell, chamber, hysteresis_kg, soak

CELLS = {
    "all errors at once": HiddenCell(),
    "a heavy one that lags by two hours": HiddenCell(air_lag_s=7200.0),
    "a light one in a draught": HiddenCell(air_lag_s=600.0, rate_kg_s=60.0),
    "a rate against the slope": HiddenCell(rate_kg_s=-60.0),
    "creep five times as large": HiddenCell(creep_kg=0.25),
    "friction": HiddenCell(play_degc=2.0),
}
TRAINING = chamber(
    [20.0, 50.0, 20.0, -10.0, 20.0, 55.0, 0.0, -15.0, 20.0], hold_s=7200.0, ramp_degc_per_s=0.5 / 60.0
)
UNSEEN = chamber([-20.0, 60.0, -20.0], hold_s=10800.0, ramp_degc_per_s=0.3 / 60.0)


@pytest.mark.parametrize("name", CELLS)
def test_zero_drift_and_hysteresis_over_an_unseen_cycle(name: str) -> None:
    cell = CELLS[name]
    session = soak(cell, TRAINING, seed=11)
    fit = fit_thermal(session.t_s, session.temperature_degc, session.reading_kg)
    assert fit.term is not None, fit.reason

    # the cell has carried its load for long when the cycle begins: creep is over, and not judged here
    cycle = soak(
        HiddenCell(**{f: getattr(cell, f) for f in cell.__slots__} | {"creep_kg": 0.0}), UNSEEN, seed=12
    )
    corrected = cycle.reading_kg - thermal_bias(fit.term, cycle.t_s, cycle.temperature_degc)[:, 0]
    drift = float(np.ptp(cycle.reading_kg) / np.ptp(corrected))
    sigma = float(cycle.reading_kg.std() / corrected.std())
    before = hysteresis_kg(cycle.temperature_degc, cycle.reading_kg)
    after = hysteresis_kg(cycle.temperature_degc, corrected)
    assert min(drift, sigma) >= 8.0, f"zero drift ÷ {drift:.1f}, its σ ÷ {sigma:.1f}"
    assert after <= 0.37 * before, f"hysteresis {before:.3f} to {after:.3f} kg, by {1 - after / before:.0%}"


def test_creep_goes_on_during_the_cycle_as_well() -> None:
    session = soak(HiddenCell(), TRAINING, seed=21)
    fit = fit_thermal(session.t_s, session.temperature_degc, session.reading_kg)
    assert fit.term is not None, fit.reason
    cycle = soak(HiddenCell(), UNSEEN, seed=22)
    corrected = cycle.reading_kg - thermal_bias(fit.term, cycle.t_s, cycle.temperature_degc)[:, 0]
    drift = float(np.ptp(cycle.reading_kg) / np.ptp(corrected))
    assert drift >= 8.0, f"zero drift with creep ÷ {drift:.1f}"


def test_a_soak_of_some_days_is_known_for_one() -> None:
    session = soak(HiddenCell(), np.tile(TRAINING, 4), seed=31, every_s=120.0)
    fit = fit_thermal(session.t_s, session.temperature_degc, session.reading_kg)
    assert fit.term is not None, fit.reason
    error = abs(fit.term.bias_per_degc[0] / HiddenCell().slope_kg - 1.0)
    assert error < 0.03, f"slope off by {error:.1%}"


def test_a_plain_straight_line_would_not_do() -> None:
    session, cycle = soak(HiddenCell(), TRAINING, seed=41), soak(HiddenCell(), UNSEEN, seed=42)
    line = np.polyfit(session.temperature_degc, session.reading_kg, 1)
    corrected = cycle.reading_kg - np.polyval(line, cycle.temperature_degc)
    before = hysteresis_kg(cycle.temperature_degc, cycle.reading_kg)
    after = hysteresis_kg(cycle.temperature_degc, corrected)
    assert after > 0.9 * before, (
        f"a line alone takes {1 - after / before:.0%} of the hysteresis: nothing is shown"
    )


def test_a_short_soak_that_begins_with_much_creep() -> None:
    short = chamber([20.0, 60.0, -20.0, 20.0], hold_s=3600.0, ramp_degc_per_s=1.0 / 60.0)
    session = soak(HiddenCell(creep_kg=0.3), short, seed=51)
    fit = fit_thermal(session.t_s, session.temperature_degc, session.reading_kg)
    assert fit.term is not None, fit.reason
    cycle = soak(HiddenCell(creep_kg=0.0), UNSEEN, seed=52)
    corrected = cycle.reading_kg - thermal_bias(fit.term, cycle.t_s, cycle.temperature_degc)[:, 0]
    drift = float(np.ptp(cycle.reading_kg) / np.ptp(corrected))
    assert drift >= 8.0, f"zero drift ÷ {drift:.1f}"
