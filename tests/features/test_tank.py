"""A tank sloshes as the linear theory says."""

from __future__ import annotations

import pytest

from agent.tank import slosh_frequencies_hz


def test_the_tank_of_the_mission() -> None:
    got = slosh_frequencies_hz(0.4, 0.2)
    assert got == pytest.approx((1.338, 1.972, 2.419), abs=5e-4), got


def test_shallow_water_moves_like_a_wave_of_its_depth() -> None:
    """Where h is small beside L, c = √(g·h) and f = c/(2·L)."""
    (got,) = slosh_frequencies_hz(2.0, 0.01, (1,))
    assert got == pytest.approx((9.80665 * 0.01) ** 0.5 / 4.0, rel=1e-3), got


@pytest.mark.parametrize(
    ("length_m", "depth_m", "modes"), [(0.0, 0.2, (1,)), (0.4, -0.2, (1,)), (0.4, 0.2, (0,))]
)
def test_a_tank_that_cannot_be_is_refused(length_m: float, depth_m: float, modes: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="expected positive numbers"):
        slosh_frequencies_hz(length_m, depth_m, modes)
