"""The temperature of a sensor behind its thermometer."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from calibration.thermal import LaggedTemperature
from calibration.thermal_lag import lagged_temperature

LAG_S = 900.0


def test_after_one_lag_it_has_followed_by_63_per_cent() -> None:
    sensor = LaggedTemperature(LAG_S)
    sensor.step(0.0, 10.0)
    sensor.step(1.0, 30.0)
    lagged_degc, rate = sensor.step(LAG_S, 30.0)
    assert lagged_degc == pytest.approx(30.0 - 20.0 * np.exp(-1.0)), lagged_degc
    assert rate == pytest.approx((30.0 - lagged_degc) / LAG_S), rate


def test_without_a_lag_it_is_the_temperature_and_has_no_rate() -> None:
    sensor = LaggedTemperature(0.0)
    assert [sensor.step(1.0, t) for t in (5.0, 7.0)] == [(5.0, 0.0), (7.0, 0.0)]


@given(st.lists(st.floats(0.001, 5000.0), min_size=1, max_size=20), st.floats(10.0, 1e5))
def test_how_a_held_temperature_is_cut_into_steps_changes_nothing(steps_s: list[float], lag_s: float) -> None:
    once, often = LaggedTemperature(lag_s), LaggedTemperature(lag_s)
    for sensor in (once, often):
        sensor.step(0.0, -20.0)
        sensor.step(0.0, 60.0)
    whole, _ = once.step(sum(steps_s), 60.0)
    parts = [often.step(step, 60.0)[0] for step in steps_s]
    assert parts[-1] == pytest.approx(whole, abs=1e-9), (parts[-1], whole)


def test_a_whole_record_gives_what_sample_by_sample_gives() -> None:
    t_s = np.cumsum(np.array([0.0, 60.0, 61.0, 3400.0, 5.0]))
    degc = np.array([1.0, 2.0, 8.0, 3.0, 3.5])
    sensor = LaggedTemperature(LAG_S)
    single = [sensor.step(float(dt), float(t)) for dt, t in zip(np.diff(t_s, prepend=0.0), degc, strict=True)]
    lagged_degc, rate = lagged_temperature(t_s, degc, LAG_S)
    assert list(zip(lagged_degc, rate, strict=True)) == single


def test_the_rate_is_the_slope_of_the_lagged_temperature() -> None:
    t_s = np.arange(0.0, 7200.0, 1.0)
    degc = 20.0 + 5.0 * np.sin(t_s / 600.0)
    lagged_degc, rate = lagged_temperature(t_s, degc, LAG_S)
    slope = np.gradient(lagged_degc, t_s)
    worst = float(np.abs(rate - slope)[10:-10].max())
    assert worst < 2e-5, f"{worst} °C/s beside slopes of {np.abs(slope).max()} °C/s"
