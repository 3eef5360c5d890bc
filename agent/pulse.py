"""A shock's main pulse: its peak, how long it lasts and by how much it changes the velocity.

The pulse lasts for as long as the acceleration along the direction of its peak stays above a tenth of the
peak (ASTM D6537 and D3332 measure packages so); the velocity change is its integral over that time. Between
samples the acceleration is taken to go straight.

Plain arithmetic on arrays, in whatever unit of acceleration; of m/s² the velocity change is in m/s.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from agent.hops import F64

EDGE = 0.10  # of the peak

Axes = npt.NDArray[np.floating]


@dataclass(frozen=True, slots=True)
class Pulse:
    """``first``, ``peak``, ``last``: samples (inside the pulse). ``velocity_change``: an axis each, a second.

    ``cut``: the record begins or ends within the pulse, which lasted longer than is told here.
    """

    first: int
    peak: int
    last: int
    peak_size: float
    duration_s: float
    velocity_change: tuple[float, ...]
    cut: bool

    @property
    def speed_change(self) -> float:
        """Size of the velocity change."""
        return math.hypot(*self.velocity_change)


def main_pulse(values: Axes, rate_hz: float, *, edge: float = EDGE) -> Pulse:
    """Return the pulse around the largest sample of `values` (n, axes), evenly spaced, beyond rest.

    One that is no number counts as rest. Raises ValueError where there is no sample.
    """
    if not len(values):
        raise ValueError("the main pulse of no samples: expected at least one")
    force: F64 = np.nan_to_num(values.astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    square = np.zeros(len(force))
    for axis in range(force.shape[1]):
        square += force[:, axis] * force[:, axis]
    top = int(square.argmax())
    size = math.sqrt(float(square[top]))
    if size == 0.0:
        return Pulse(top, top, top, 0.0, 0.0, (0.0,) * force.shape[1], cut=False)
    along = np.zeros(len(force))
    for axis, part in enumerate((force[top] / size).tolist()):
        along += part * force[:, axis]
    below = np.flatnonzero(along < edge * size)
    place = int(np.searchsorted(below, top))
    before = int(below[place - 1]) if place else None
    after = int(below[place]) if place < len(below) else None
    first = 0 if before is None else before + 1
    last = len(force) - 1 if after is None else after - 1
    left = 0.0 if before is None else _reach(along, first, before, edge * size)
    right = 0.0 if after is None else _reach(along, last, after, edge * size)
    inside = force[first : last + 1]
    area = inside.sum(axis=0) - (inside[0] + inside[-1]) / 2
    if before is not None:
        area = area + left * (force[first] + (force[before] - force[first]) * (left / 2))
    if after is not None:
        area = area + right * (force[last] + (force[after] - force[last]) * (right / 2))
    return Pulse(
        first,
        top,
        last,
        size,
        (last - first + left + right) / rate_hz,
        tuple((area / rate_hz).tolist()),
        cut=before is None or after is None,
    )


def _reach(along: F64, inside: int, outside: int, level: float) -> float:
    """Return how far from `inside` towards `outside`, in samples, the level is crossed."""
    high, low = float(along[inside]), float(along[outside])
    return (high - level) / (high - low)
