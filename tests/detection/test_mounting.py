"""Directions in a sensor's own axes: what is level, and what is square to it."""

from __future__ import annotations

import numpy as np
import pytest

from agent.mounting import Vector, across, levelled

UPS: list[Vector] = [(0.0, 0.0, 1.0), (0.0, -1.0, 0.0), (1.0, 0.0, 0.0), (0.6, 0.0, -0.8)]


@pytest.mark.parametrize("up", UPS)
@pytest.mark.parametrize("axis", [None, 0, 1, 2])
def test_across_is_level_and_square(up: Vector, axis: int | None) -> None:
    if axis is not None and abs(up[axis]) == 1.0:
        with pytest.raises(ValueError, match="another axis than up"):
            across(up, axis)
        return
    table = np.array([*across(up, axis), up])
    assert table @ table.T == pytest.approx(np.eye(3), abs=1e-12), table
    assert np.linalg.det(table) == pytest.approx(1.0), "the second is to the left of the first"


def test_levelled_takes_away_what_is_along_up() -> None:
    assert levelled((3.0, 4.0, 12.0), (0.0, 0.0, 1.0)) == pytest.approx((0.6, 0.8, 0.0))
    assert levelled((0.0, 0.0, 2.0), (0.0, 0.0, 1.0)) is None
