"""The load: four cells under a cradle share its weight by the centre of gravity and the specific force.

Statics of a rigid body on four equal springs: the sum of the forces is m·f_z, and their moments about
the two horizontal axes balance those of the load. Each cell gives its force in kilograms at standard
gravity.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from firmware_bridge.virtual.streams import GRAVITY_MPS2

LOAD_RATE_HZ = 80
# Signs of x (forward) and y (left) of the cells, in the order fl, fr, rl, rr.
CELL_SIGNS = ((1, 1), (1, -1), (-1, 1), (-1, -1))
_MOTION_RATE_HZ = 1000
CONVERSION_S = 1 / LOAD_RATE_HZ  # a sigma-delta converter (HX711) gives the mean over its period


@dataclass(frozen=True, slots=True)
class Cradle:
    """Where the cells stand and what lies on them."""

    mass_kg: float = 60.0
    half_length_m: float = 0.35  # x of the front cells
    half_width_m: float = 0.45  # y of the left cells
    centre_x_m: float = 0.02
    # The cradle hangs from its cells, so that the load's centre is little above them and braking or a
    # slope moves the apparent centre little.
    centre_above_cells_m: float = 0.05
    moved_mass_kg: float = 12.0  # what slides when the load shifts ...
    slide_m: float = 0.5  # ... and how far across the box

    @property
    def shift_m(self) -> float:
        """How far the whole load's centre moves when that part of it slides."""
        return self.moved_mass_kg * self.slide_m / self.mass_kg


def cell_readings_kg(
    cradle: Cradle, force_mps2: NDArray[np.float64], centre_y_m: NDArray[np.float64]
) -> NDArray[np.float64]:
    """What the cells show: (n, 4) kg from specific force (n, 3) and the centre's place across (n,)."""
    f_x, f_y, f_z = force_mps2[:, 0], force_mps2[:, 1], force_mps2[:, 2]
    along = (f_z * cradle.centre_x_m - f_x * cradle.centre_above_cells_m) / cradle.half_length_m
    across = (f_z * centre_y_m - f_y * cradle.centre_above_cells_m) / cradle.half_width_m
    share = cradle.mass_kg / len(CELL_SIGNS) / GRAVITY_MPS2
    return np.stack([share * (f_z + sx * along + sy * across) for sx, sy in CELL_SIGNS], axis=1)


def converter_means(series: NDArray[np.float64], lead_samples: int) -> NDArray[np.float64]:
    """Means over each conversion period that ends at a sample instant of the last second.

    `series`: (lead_samples + 1000, axes) at 1000 Hz, `lead_samples` of them before the second and at
    least 13. Returns (80, axes). Periods of 12.5 samples end between two samples, hence the running
    sum is read off by interpolation.
    """
    running = np.concatenate([np.zeros((1, series.shape[1])), np.cumsum(series, axis=0)])
    ends = lead_samples + np.arange(LOAD_RATE_HZ) * (_MOTION_RATE_HZ / LOAD_RATE_HZ)
    starts = ends - CONVERSION_S * _MOTION_RATE_HZ
    grid = np.arange(running.shape[0])
    columns = [np.interp(ends, grid, column) - np.interp(starts, grid, column) for column in running.T]
    return np.stack(columns, axis=1) / (CONVERSION_S * _MOTION_RATE_HZ)
