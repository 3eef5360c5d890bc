"""Parts of the weighing by themselves: what its windows teach it, and what they do not."""

from __future__ import annotations

import numpy as np

from agent.features.lowpass import POINTS
from agent.features.pooled import Pooled, dot, products
from agent.features.weighing import _Scatter
from calibration.gravity import STANDARD_GRAVITY_MPS2


def test_masses_that_differ_by_more_than_a_window_shows_make_it_less_certain() -> None:
    """What is the same within a window and another in the next: 1 % from one second to the next."""
    rng = np.random.default_rng(3)
    f = np.full(POINTS, STANDARD_GRAVITY_MPS2)
    said = {}
    for apart in (0.0, 0.6):
        scatter = _Scatter()
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
