"""How far a window's mass may be off by chance: by what its fit leaves, and by how much neighbours differ.

The points of a window are alike as the low-pass makes them, and count for as many as are independent
(G. E. P. Box, Ann. Math. Stat. 25 (1954) 290); what that says is put right by how much the masses of
neighbouring windows really differ (J. von Neumann, Ann. Math. Stat. 12 (1941) 153).
"""

from __future__ import annotations

import math

import numpy as np

from agent.features.lowpass import LIKENESS, POINTS
from agent.features.pooled import QUIET_MPS2, Noise, decay, dot
from agent.features.table import F64, I64

SCATTER_WINDOWS = 60.0
SCATTER_PRIOR = 1.0  # windows for which the regression's own word of its scatter counts
SURPRISE = 4.0  # a step of the mass counts for no more than 4 σ: it is loading, not noise
MEAN_MAGNITUDE = math.sqrt(2 / math.pi)  # of a normal variable of variance 1
OWN_PART = 1 / 3  # of a window's own residual, which its uncertainty never falls under


class Scatter:
    """How far a window's mass may be off by chance."""

    def __init__(self) -> None:
        self._noise = Noise()
        self._step = [SCATTER_PRIOR, SCATTER_PRIOR]
        self._before: tuple[int, float, float] | None = None

    def step(self, index: I64, reading: F64, f: F64, force: F64, square: F64) -> list[float]:
        """Take the points of windows, (windows, points); return the variance of `force` of each."""
        rest = reading - (force / square)[:, None] * f
        columns = (index, force, square, dot(rest, rest), _alike(f))
        return [self._one(*row) for row in zip(*(c.tolist() for c in columns), strict=True)]

    def _one(self, index: int, force: float, square: float, own: float, alike: float) -> float:
        slope = force / square
        independent = POINTS - alike / square  # in the sense of E[Σ rest²] = σ²·independent
        self._noise.weight(own, POINTS * (slope * QUIET_MPS2) ** 2, independent)
        noise = max(self._noise.mean, OWN_PART * own / independent)
        said = noise * alike / (square * square)
        if self._before is not None and self._before[0] == index - 1 and said > 0:
            _, slope_before, said_before = self._before
            ratio = abs(slope - slope_before) / math.sqrt(said + said_before) / MEAN_MAGNITUDE
            ratio = min(ratio, SURPRISE * self._step[0] / self._step[1])
            decay(self._step, 1 - 1 / SCATTER_WINDOWS, [ratio, 1.0])
        self._before = (index, slope, said)
        return noise * alike * (self._step[0] / self._step[1]) ** 2


def _alike(f: F64) -> F64:
    """f·C·f, with C the likeness of noise at two points."""
    rows = np.add.reduce(LIKENESS[None, :, :] * f[:, None, :], axis=2)
    return dot(f, rows)
