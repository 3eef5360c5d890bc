"""Which way is up in the sensor's own axes: told, or seen while the box rests upright."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from agent.hops import F64

Vector = tuple[float, float, float]

REST_HOPS = 20
REST_SPREAD_MPS2 = 0.35  # hop means of a box that nobody moves stay together this closely
SQUARE_WITHIN_DEG = 15.0
LEAST_FORCE_MPS2 = 4.9  # half of gravity: with less, it floats or gives zeros, and points nowhere


class RestReference:
    """Learns "up" from the first second of rest, if the sensor then stands square to gravity.

    A sensor is mounted square to its box. When it rests at an odd angle, the box is leaning or the
    sensor is not mounted yet, and to take that for upright would invent tilts for ever after; then
    ``up`` stays None and ``odd_deg`` says how far off it was.
    """

    def __init__(self) -> None:
        self.up: Vector | None = None
        self.odd_deg: float | None = None
        self.force_mps2: Vector | None = None
        """The mean specific force of the rest that decided."""
        self._recent: list[list[float]] = []

    @property
    def decided(self) -> bool:
        """Whether it has seen a rest."""
        return self.up is not None or self.odd_deg is not None

    def step(self, mean_mps2: Sequence[float]) -> None:
        """Take the mean specific force of one hop: three axes."""
        if self._recent and any(
            abs(m - before) > REST_SPREAD_MPS2 for m, before in zip(mean_mps2, self._recent[-1], strict=True)
        ):
            self._recent.clear()  # no window with both of them is a rest
        self._recent.append(list(mean_mps2))
        if len(self._recent) < REST_HOPS:
            return
        recent: F64 = np.array(self._recent)
        del self._recent[0]
        if float((recent.max(axis=0) - recent.min(axis=0)).max()) > REST_SPREAD_MPS2:
            return
        force = recent.mean(axis=0)
        up, angle_deg = nearest_axis(force.tolist())
        if angle_deg is None:
            return
        self.up, self.odd_deg = up, angle_deg if up is None else None
        self.force_mps2 = (float(force[0]), float(force[1]), float(force[2]))


def nearest_axis(force_mps2: Sequence[float]) -> tuple[Vector | None, float | None]:
    """Return the axis along which a specific force points, None if it is too odd; and how far off it is.

    No angle, either, where there is too little force to point anywhere.
    """
    magnitude_mps2 = math.hypot(*force_mps2)
    if magnitude_mps2 < LEAST_FORCE_MPS2:
        return None, None
    axis = max(range(len(force_mps2)), key=lambda i: abs(force_mps2[i]))
    angle_deg = math.degrees(math.acos(min(1.0, abs(force_mps2[axis]) / magnitude_mps2)))
    if angle_deg > SQUARE_WITHIN_DEG:
        return None, angle_deg
    up = [0.0, 0.0, 0.0]
    up[axis] = math.copysign(1.0, force_mps2[axis])
    return (up[0], up[1], up[2]), angle_deg


def levelled(vector: Sequence[float], up: Vector) -> Vector | None:
    """Return where what of a vector is square to `up`, a unit vector, points; None where nothing is."""
    along = sum(v * u for v, u in zip(vector, up, strict=True))
    x, y, z = (v - along * u for v, u in zip(vector, up, strict=True))
    size = math.hypot(x, y, z)
    return (x / size, y / size, z / size) if size > 0.0 else None


def across(up: Vector, axis: int | None = None) -> tuple[Vector, Vector]:
    """Return two directions square to `up`, a unit vector, and to each other: an axis made level, its left.

    ``axis``: which; None: the one that is farthest from up. Raises ValueError where it is up itself.
    """
    which = min(range(3), key=lambda i: abs(up[i])) if axis is None else axis
    first = levelled([float(i == which) for i in range(3)], up)
    if first is None:
        raise ValueError(f"the level part of axis {which}, where up is {up}: expected another axis than up")
    (x, y, z), (u, v, w) = first, up
    return first, (v * z - w * y, w * x - u * z, u * y - v * x)


def angle_between_deg(a: Sequence[float], b: Sequence[float]) -> float:
    """Return the angle between two vectors of three components."""
    dot = a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
    norm = math.sqrt((a[0] ** 2 + a[1] ** 2 + a[2] ** 2) * (b[0] ** 2 + b[1] ** 2 + b[2] ** 2))
    return math.degrees(math.acos(max(-1.0, min(1.0, dot / norm)))) if norm else 0.0
