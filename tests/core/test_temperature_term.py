"""The whole temperature term of a certificate: lag, square and rate, each for itself and together."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pytest

from agent.blocks import NS_PER_S, Block, ListedClock, RegularClock
from agent.correction import Correction
from agent.streams import TABLE
from calibration.certificate import Certificate, TemperatureTerm

RATE_HZ = 10
REFERENCE_DEGC = 20.0


def certificate(term: TemperatureTerm, stream: str = "pressure") -> Certificate:
    axes = len(TABLE[stream].axes)
    return Certificate(
        stream=stream,
        gain=tuple(tuple(2.0 * (i == j) for j in range(axes)) for i in range(axes)),
        bias=(1.0,) * axes,
        temperature=term,
        method="m",
        made_at="2026-01-01T00:00:00Z",
    )


def corrected(term: TemperatureTerm, degc: Sequence[float], seconds: int) -> npt.NDArray[np.float64]:
    """Correct a reading of 100 while it is `degc`, one a second; return the bias that was subtracted."""
    correction = Correction([TABLE["temperature"], TABLE["pressure"]], [certificate(term)])
    warm = Block("temperature", 0, RegularClock.of_rate(1), np.array(degc, np.float32)[:, None])
    correction.apply(warm)
    values = np.full((seconds * RATE_HZ, 1), 100, np.float32)
    out = correction.apply(Block("pressure", 0, RegularClock.of_rate(RATE_HZ), values)).values[:, 0]
    return 100 - out[::RATE_HZ].astype(np.float64) / 2 - 1.0


def test_slope_and_square() -> None:
    term = TemperatureTerm(reference_degc=REFERENCE_DEGC, bias_per_degc=(0.5,), bias_per_degc2=(0.25,))
    biases = corrected(term, [20, 22, 16], 3)
    assert biases == pytest.approx([0.0, 0.5 * 2 + 0.25 * 4, 0.5 * -4 + 0.25 * 16])


def test_the_sensor_follows_with_its_lag() -> None:
    lag_s = 20.0
    term = TemperatureTerm(reference_degc=REFERENCE_DEGC, bias_per_degc=(1.0,), lag_s=lag_s)
    biases = corrected(term, [20.0] * 5 + [30.0] * 95, 100)
    wanted = [10 * (1 - math.exp(-max(0, t - 5) / lag_s)) for t in range(100)]
    assert biases == pytest.approx(wanted, abs=2e-5), f"off by {np.abs(biases - wanted).max():.2g}"


def test_the_rate_is_that_of_the_lagged_temperature() -> None:
    lag_s = 20.0
    term = TemperatureTerm(
        reference_degc=REFERENCE_DEGC, bias_per_degc=(0.0,), bias_per_degc_per_s=(40.0,), lag_s=lag_s
    )
    biases = corrected(term, [20.0] * 5 + [30.0] * 95, 100)
    wanted = [0.0] * 5 + [40 * 10 / lag_s * math.exp(-(t - 5) / lag_s) for t in range(5, 100)]
    assert biases == pytest.approx(wanted, abs=2e-5), f"off by {np.abs(biases - wanted).max():.2g}"


def test_between_two_measurements_it_goes_on() -> None:
    """A thermometer that is read every 30 s; what it said last holds, and the sensor approaches it."""
    lag_s = 20.0
    term = TemperatureTerm(reference_degc=0.0, bias_per_degc=(1.0,), lag_s=lag_s)
    correction = Correction([TABLE["temperature"], TABLE["pressure"]], [certificate(term)])
    times_ns = np.array([0, 30, 60], np.int64) * NS_PER_S
    clock = ListedClock(0, times_ns, 30 * 10**12)
    correction.apply(Block("temperature", 0, clock, np.array([[0.0], [10.0], [10.0]], np.float32)))
    values = np.zeros((61, 1), np.float32)
    out = correction.apply(Block("pressure", 0, RegularClock.of_rate(1), values)).values[:, 0]
    wanted = [0.0] * 31 + [10 * (1 - math.exp(-(t - 30) / lag_s)) for t in range(31, 61)]
    assert -1 - out / 2 == pytest.approx(wanted, abs=1e-5)


def test_what_is_forgotten_is_never_what_a_second_that_has_begun_still_needs() -> None:
    """The horizon is in the middle of a second, and its bias is that of its beginning."""
    term = TemperatureTerm(reference_degc=0.0, bias_per_degc=(1.0,))
    correction = Correction([TABLE["temperature"], TABLE["pressure"]], [certificate(term)])
    times_ns = np.array([200, 1300], np.int64) * (NS_PER_S // 1000)
    degc = np.array([[7.0], [9.0]], np.float32)
    correction.apply(Block("temperature", 0, ListedClock(0, times_ns, NS_PER_S), degc))
    correction.forget_before(1_500_000_000)
    clock = ListedClock(0, np.array([1_600_000_000], np.int64), NS_PER_S)
    out = correction.apply(Block("pressure", 0, clock, np.array([[100.0]], np.float32))).values
    assert out.tolist() == [[2 * (100.0 - 1.0 - 7.0)]]


def test_before_the_first_temperature_it_is_taken_for_that_of_the_reference() -> None:
    term = TemperatureTerm(reference_degc=REFERENCE_DEGC, bias_per_degc=(1.0,), bias_per_degc2=(1.0,))
    assert corrected(term, [], 3).tolist() == [0.0, 0.0, 0.0]


def test_a_temperature_that_is_no_number_is_passed_over() -> None:
    term = TemperatureTerm(reference_degc=REFERENCE_DEGC, bias_per_degc=(1.0,))
    assert corrected(term, [21, float("nan"), 23], 3) == pytest.approx([1.0, 1.0, 3.0])


@pytest.mark.parametrize("degc", [-127.0, 1e30, 3e38, -math.inf])
def test_what_an_unplugged_thermometer_says_is_passed_over(degc: float) -> None:
    term = TemperatureTerm(reference_degc=REFERENCE_DEGC, bias_per_degc=(1.0,), bias_per_degc2=(1.0,))
    assert corrected(term, [21, degc, degc, 21], 4).tolist() == [2.0] * 4


def test_the_axes_keep_their_own() -> None:
    term = TemperatureTerm(
        reference_degc=REFERENCE_DEGC, bias_per_degc=(1.0, 0.0, -1.0), bias_per_degc2=(0.0, 0.5, 0.0)
    )
    correction = Correction([TABLE["temperature"], TABLE["accel"]], [certificate(term, "accel")])
    correction.apply(Block("temperature", 0, RegularClock.of_rate(1), np.array([[22.0]], np.float32)))
    values = np.full((1, 3), 50, np.float32)
    out = correction.apply(Block("accel", 0, RegularClock.of_rate(1), values)).values
    assert out.tolist() == [[2 * (49.0 - 2.0), 2 * (49.0 - 2.0), 2 * (49.0 + 2.0)]]


def test_a_thermometer_does_not_correct_itself() -> None:
    """It would have to know the temperature before it measures it, and blocks would change the answer."""
    term = TemperatureTerm(reference_degc=REFERENCE_DEGC, bias_per_degc=(1.0,))
    correction = Correction([TABLE["temperature"]], [certificate(term, "temperature")])
    values = np.full((3, 1), 30, np.float32)
    out = correction.apply(Block("temperature", 0, RegularClock.of_rate(1), values)).values
    assert out[:, 0].tolist() == [58.0, 58.0, 58.0]
    assert any("for the thermometer itself" in note for note in correction.notes()), correction.notes()


def test_beyond_what_the_fit_has_seen_it_holds_what_it_said_last() -> None:
    term = TemperatureTerm(
        reference_degc=REFERENCE_DEGC,
        bias_per_degc=(1.0,),
        bias_per_degc2=(1.0,),
        low_degc=18.0,
        high_degc=22.0,
    )
    assert corrected(term, [22, 40, 18, -20], 4) == pytest.approx([6.0, 6.0, 2.0, 2.0])
