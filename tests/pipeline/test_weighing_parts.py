"""Parts of the weighing by themselves: the low-pass, what windows teach it, and what they do not."""

from __future__ import annotations

import itertools

import numpy as np

from agent.features.lowpass import LIKENESS, POINTS, POINTS_S, STEP_S, lowpassed
from agent.features.pooled import Pooled, dot, products
from agent.features.scatter import Scatter
from agent.features.table import F64
from calibration.gravity import STANDARD_GRAVITY_MPS2


def one_window(times_s: F64, values: list[F64], *, orders: int = 0) -> list[list[F64]]:
    """Return a window's values at the points, then their derivatives: an array (points,) a signal."""
    step = np.floor(times_s / STEP_S + 1e-9).astype(np.int64)
    found = lowpassed(1, step, times_s, np.ones(len(times_s)), values, orders=orders)
    return [[signal[0] for signal in order] for order in found]


def test_derivatives_are_those_of_the_low_passed_signal() -> None:
    times_s = np.arange(0, 1, 0.001)
    omega = 2 * np.pi * 1.5
    (smooth,), *derivatives = one_window(times_s, [np.sin(omega * times_s)], orders=3)
    passed = smooth[0] / np.sin(omega * POINTS_S[0])
    assert 0.5 < passed < 1, f"{passed:.3f} of 1.5 Hz pass"
    phase = omega * POINTS_S
    waves = (np.cos(phase), -np.sin(phase), -np.cos(phase))
    for n, (got, wave) in enumerate(zip(derivatives, waves, strict=True), 1):
        expected = passed * omega**n * wave
        assert np.abs(got[0] - expected).max() < 0.01 * omega**n, f"derivative {n}"


def test_white_noise_is_as_alike_at_two_points_as_it_is_said_to_be() -> None:
    rng = np.random.default_rng(5)
    times_s = np.arange(0.00625, 1, 0.0125)
    (smooth,) = one_window(times_s, list(rng.standard_normal((4000, 80))))
    seen = np.corrcoef(np.array(smooth).T)
    off = np.abs(seen - LIKENESS).max()
    assert off < 0.06, f"{off:.3f} apart"
    assert POINTS == len(POINTS_S) == 11
    assert all(b < a for a, b in itertools.pairwise(LIKENESS[0, :8].tolist()))


def test_masses_that_differ_by_more_than_a_window_shows_make_it_less_certain() -> None:
    """What is the same within a window and another in the next: 1 % from one second to the next."""
    rng = np.random.default_rng(3)
    f = np.full(POINTS, STANDARD_GRAVITY_MPS2)
    said = {}
    for apart in (0.0, 0.6):
        scatter = Scatter()
        for k in range(200):
            reading = (60 + apart * rng.normal()) / STANDARD_GRAVITY_MPS2 * f + 1e-3 * rng.normal(size=POINTS)
            one = reading[None, :], f[None, :]
            force, square = dot(*one), dot(one[1], one[1])
            (variance,) = scatter.step(np.array([k]), *one, force, square)
        said[apart] = STANDARD_GRAVITY_MPS2 * np.sqrt(variance) / float(square[0])
    assert said[0.0] < 0.01, f"{said[0.0]:.4f} kg"
    assert 0.4 < said[0.6] < 0.9, f"{said[0.6]:.3f} kg where masses scatter by 0.6"


def test_at_rest_nothing_is_learnt_of_delay_and_height() -> None:
    """Signals that hold nothing but noise: c stays within what it was thought to be."""
    rng = np.random.default_rng(5)
    pooled = Pooled((0.03, 0.5))
    for _ in range(300):
        f = STANDARD_GRAVITY_MPS2 + 1e-3 * rng.normal(size=POINTS)
        reading = 60 / STANDARD_GRAVITY_MPS2 * f + 1e-3 * rng.normal(size=POINTS)
        more = [1e-4 * rng.normal(size=(1, POINTS)) for _ in range(2)]
        (window,) = products(reading[None, :], f[None, :], more, np.array([6.1]))
        found = pooled.step(window, 6.1)
        assert abs(found[0]) < 0.03 and abs(found[1]) < 0.5, f"{found}"
