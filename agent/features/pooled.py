"""Regression over the windows of the last minutes, each with a slope of its own; and what noise is in it.

No matrix products: the library behind them may round otherwise for another length.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from agent.features.lowpass import POINTS
from agent.features.table import F64

POOLED_WINDOWS = 120.0  # for so long, in windows, what is known of delay, resonance and height counts
NOISE_WINDOWS = 8.0  # the road changes
STRANGE = 10.0  # times the mean square of the noise: a window of this or more is not of the same kind
TWO = 2
QUIET_MPS2 = 0.003  # a good accelerometer's noise, after the low-pass


@dataclass(frozen=True, slots=True)
class Products:
    """What a regression needs of one window: of what f leaves of R and of the signals times m.

    ``square``: of the rest of R with itself; ``right``: of each part with it; ``gram``: of the parts.
    """

    square: float
    right: Sequence[float]
    gram: Sequence[Sequence[float]]


def products(reading: F64, f: F64, more: Sequence[F64], per_force: F64) -> list[Products]:
    """Return the products of each window. All are (windows, points), ``per_force`` (windows,)."""
    square = dot(f, f)
    rest = reading - (dot(reading, f) / square)[:, None] * f
    parts = [per_force[:, None] * (g - (dot(g, f) / square)[:, None] * f) for g in more]
    n = len(parts)
    gram = np.empty((len(f), n, n))
    for i in range(n):
        for j in range(i, n):
            gram[:, i, j] = gram[:, j, i] = dot(parts[i], parts[j])
    right = np.stack([dot(part, rest) for part in parts], axis=1)
    rows = zip(dot(rest, rest).tolist(), right.tolist(), gram.tolist(), strict=True)
    return [Products(*row) for row in rows]


class Pooled:
    """c of R = m·(f + Σ c·g) for some more signals g, from the windows of the last minutes.

    ``priors``: while nothing is known, each c is 0 ± this, against a noise of the force of `QUIET_MPS2`.
    """

    def __init__(self, priors: Sequence[float]) -> None:
        self._priors = priors
        self.forget()

    def forget(self) -> None:
        """Another load stands there."""
        n = len(self._priors)
        self._gram = [[0.0] * n for _ in range(n)]
        self._right = [0.0] * n
        self._found = [0.0] * n
        self._noise = Noise()

    def step(self, window: Products, per_force: float) -> list[float]:
        """Take a window's products and its m; return c."""
        found, gram = self._found, window.gram
        unlike = window.square
        for c, right, row in zip(found, window.right, gram, strict=True):
            slope = -2 * right
            for d, g in zip(found, row, strict=True):
                slope += d * g
            unlike += c * slope
        quiet = POINTS * (per_force * QUIET_MPS2) ** 2
        weight = self._noise.weight(max(0.0, unlike), quiet)
        keep = 1 - 1 / POOLED_WINDOWS
        for i, row in enumerate(gram):
            mine = self._gram[i]
            mine[:] = [old * keep + weight * new for old, new in zip(mine, row, strict=True)]
            mine[i] += quiet / self._priors[i] ** 2
        self._right = [old * keep + weight * new for old, new in zip(self._right, window.right, strict=True)]
        self._found = _solved(self._gram, self._right)
        return self._found


class Noise:
    """Mean square of what a regression leaves, over the last windows; loading does not count as noise."""

    def __init__(self) -> None:
        self._sum = self._count = 0.0

    def weight(self, square: float, quiet: float, count: float = 1.0) -> float:
        """Take the sum of squares of a window, of so many values; return for how much it counts, up to 1.

        It counts for no more than `STRANGE` times the mean so far, nor is `quiet` too little for that: so a
        rougher road is believed within seconds, and a load that is put on among two seconds forgotten.
        """
        weight = 1.0
        if self._count:
            most = STRANGE * max(self.mean * count, quiet)
            weight = min(1.0, most / square) if square > 0 else 1.0
        keep = 1 - 1 / NOISE_WINDOWS
        self._sum = self._sum * keep + weight * square
        self._count = self._count * keep + count
        return weight

    @property
    def mean(self) -> float:
        """Mean square."""
        return self._sum / self._count


def dot(a: F64, b: F64) -> F64:
    """Sum of products of each row, in an order that no library may choose: of (m, points), (m,)."""
    return np.asarray(np.add.reduce(a * b, axis=-1))


def decay(sums: list[float], keep: float, more: Sequence[float]) -> None:
    """Let what was summed fade, and add more, in place."""
    for i, value in enumerate(more):
        sums[i] = sums[i] * keep + value


def _solved(matrix: Sequence[Sequence[float]], right: Sequence[float]) -> list[float]:
    """Solve matrix · x = right for a positive definite matrix, by elimination; zeros where it is none."""
    n = len(right)
    if n == TWO:
        (a, b), (_, d), (r, s) = *matrix, right
        part = b / a if a > 0 else 0.0
        if a <= 0 or d - part * b <= 0:
            return [0.0] * n
        second = (s - part * r) / (d - part * b)
        return [(r - b * second) / a, second]
    rows = [[*row, value] for row, value in zip(matrix, right, strict=True)]
    for i in range(n):
        if rows[i][i] <= 0:
            return [0.0] * n
        for below in rows[i + 1 :]:
            part = below[i] / rows[i][i]
            below[:] = [b - part * a for a, b in zip(rows[i], below, strict=True)]
    out = [0.0] * n
    for i in reversed(range(n)):
        known = sum(rows[i][j] * out[j] for j in range(i + 1, n))
        out[i] = (rows[i][n] - known) / rows[i][i]
    return out
