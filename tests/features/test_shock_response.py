"""A shock's spectrum is right from 1 kHz on, however the samples fall and in whatever pieces they come."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import signal

from agent.hops import F64
from agent.shock_response import FREQUENCIES_HZ, ShockResponse, response

REFERENCE_G = (10.216, 20.259, 39.156, 68.077, 82.571, 79.570, 75.068)  # 100 kHz, at FREQUENCIES_HZ
PEAK_G, LENGTH_S = 50.0, 0.011


def half_sine(rate_hz: float, late: float, seconds: float = 0.06) -> F64:
    """50 g for 11 ms from 10 ms on, and `late` samples later."""
    t = np.arange(round(seconds * rate_hz)) / rate_hz - 0.01 - late / rate_hz
    return np.where((t >= 0) & (t <= LENGTH_S), PEAK_G * np.sin(np.pi * t / LENGTH_S), 0.0)


def smallwood(values: F64, rate_hz: float, frequency_hz: float, quality: float) -> float:
    """The filter as its author wrote it down, run by scipy; two more cycles of rest behind."""
    natural = 2 * np.pi * frequency_hz
    damping, step = 1 / (2 * quality), 1 / rate_hz
    damped = natural * np.sqrt(1 - damping**2)
    e = np.exp(-damping * natural * step)
    c, s = e * np.cos(damped * step), e * np.sin(damped * step)
    s1 = s / (damped * step)
    padded = np.concatenate((values, np.zeros(round(2 * rate_hz / frequency_hz))))
    answer = signal.lfilter([1 - s1, 2 * (s1 - c), e * e - s1], [1, -2 * c, e * e], padded)
    return float(np.abs(answer).max())


@pytest.mark.parametrize(
    ("rate_hz", "within"), [(1000, 0.01), (1600, 0.005), (3200, 0.002), (1003.7, 0.01), (20_000, 0.0005)]
)
def test_a_half_sine_at_any_phase_is_within_one_per_cent(rate_hz: float, within: float) -> None:
    apart = [response(half_sine(rate_hz, late), rate_hz) / REFERENCE_G - 1 for late in np.arange(0, 1, 0.05)]
    worst = np.abs(apart).max(axis=0)
    assert (worst < within).all(), dict(zip(FREQUENCIES_HZ, worst.round(5).tolist(), strict=True))


@pytest.mark.parametrize("quality", [0.8, 10.0, 50.0])
def test_it_is_smallwoods_filter(quality: float) -> None:
    """On a signal that is interpolated alike by both: noise under a tenth of the rate."""
    rate_hz, up = 1000.0, 40
    noise = np.random.default_rng(1).normal(size=300)
    wide = signal.sosfiltfilt(signal.butter(8, 100, fs=rate_hz, output="sos"), noise) * np.hanning(300)
    fine = signal.resample(wide, 300 * up)
    frequencies_hz = (7.0, 31.0, 80.0, 160.0)
    ours = response(wide, rate_hz, frequencies_hz, quality=quality)
    theirs = [smallwood(fine, rate_hz * up, f, quality) for f in frequencies_hz]
    apart = np.abs(ours / theirs - 1)
    assert (apart < 0.003).all(), apart.tolist()


@settings(max_examples=20)
@given(cuts=st.lists(st.integers(0, 700), max_size=12))
def test_pieces_give_the_same_to_the_last_bit(cuts: list[int]) -> None:
    values = np.random.default_rng(2).normal(size=(700, 3))
    shock = ShockResponse(1000.0)
    for piece in np.split(values, sorted(cuts)):
        shock.feed(piece)
        shock.peaks()  # asking changes nothing
    assert (shock.peaks() == response(values, 1000.0)).all()


def test_low_frequencies_alone_are_as_right() -> None:
    """Between so few samples the pulse does not go straight, even where every oscillator is slow."""
    apart = [
        response(half_sine(1000.0, late), 1000.0, (5.0, 10.0)) / REFERENCE_G[:2] - 1
        for late in np.arange(0, 1, 0.05)
    ]
    assert np.abs(apart).max() < 0.007, np.abs(apart).max(axis=0).tolist()


def test_the_slowest_peaks_a_second_after_the_pulse() -> None:
    push = half_sine(1000.0, 0.0)
    (got,) = response(push, 1000.0, (0.4,)).tolist()
    expected = smallwood(push, 1000.0, 0.4, 10.0)
    assert got == pytest.approx(expected, rel=0.01), (got, expected)


def test_an_axis_each_and_either_way() -> None:
    push = half_sine(1000.0, 0.3)
    got = response(np.stack([push, -2 * push, 0 * push], axis=1), 1000.0)
    assert np.allclose(got[:, 1], 2 * got[:, 0]), got.tolist()
    assert np.allclose(got[:, 0], response(push, 1000.0)), got.tolist()
    assert not got[:, 2].any(), got.tolist()


def test_what_rings_on_after_the_record_counts() -> None:
    """At 5 Hz the mass is at its highest 50 ms after the pulse is over."""
    short = half_sine(1000.0, 0.0, seconds=0.0215)
    assert np.allclose(response(short, 1000.0), response(half_sine(1000.0, 0.0), 1000.0), rtol=1e-3)


def test_a_sample_that_is_no_number_spoils_nothing() -> None:
    push = half_sine(1000.0, 0.0)
    push[50], push[3] = np.nan, np.inf
    assert np.allclose(response(push, 1000.0), response(half_sine(1000.0, 0.0), 1000.0))


@pytest.mark.parametrize(
    ("rate_hz", "frequencies_hz", "quality"),
    [(0.0, (5.0,), 10.0), (1000.0, (), 10.0), (1000.0, (0.0, 5.0), 10.0), (1000.0, (5.0,), 0.5)],
)
def test_settings_that_mean_nothing_are_refused(
    rate_hz: float, frequencies_hz: tuple[float, ...], quality: float
) -> None:
    with pytest.raises(ValueError, match="expected positive numbers"):
        response(np.zeros(5), rate_hz, frequencies_hz, quality=quality)


@pytest.mark.parametrize(
    ("begin", "end", "cut"), [(0, 60, False), (15, 60, True), (0, 16, True), (0, 0, False)]
)
def test_a_pulse_that_the_record_cuts_says_so(begin: int, end: int, cut: bool) -> None:
    shock = ShockResponse(1000.0, axes=1)
    for value in half_sine(1000.0, 0.0)[begin:end]:
        shock.feed(np.array([[value]]))
        shock.peaks()
    assert shock.cut is cut
