"""Where the load's centre should be seen, whatever pushes it: learned while driving, with how sure it is.

The moment about the cells tips the centre that they show by the height of the load's own centre above
them, for each g sideways: c = c0 + k·(f - f0)/g, linear in the specific force f, whichever way the
accelerometer is mounted. A Kalman filter holds c0 (right, front), which creeps, and k for each axis of the
accelerometer, which stays (T. Söderström and P. Stoica, System Identification, 1989, section 9.2:
recursive least squares). Both directions have the same regressors and so the same covariance. What the
model cannot know yet makes its prediction wide and not wrong: a first hard braking is no shift.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

TERMS = 4  # c0 and three axes
NOISE = 0.02  # of a smoothed centre on the road, in parts of half the platform


class CentreModel:
    """Predicts (right, front) from the specific force in g, relative to that of its first sight.

    ``per_g``: standard deviation of what a g may do before it was seen; ``creep``: of c0 in a step.
    """

    def __init__(self, centre: Sequence[float], force_g: Sequence[float], per_g: float, creep: float) -> None:
        self._force_g = list(force_g)
        self._right = [centre[0], 0.0, 0.0, 0.0]
        self._front = [centre[1], 0.0, 0.0, 0.0]
        first = NOISE * NOISE
        self._p = [[first if i == j == 0 else 0.0 for j in range(TERMS)] for i in range(TERMS)]
        for i in range(1, TERMS):
            self._p[i][i] = per_g * per_g
        self._creep = creep * creep
        self._seen = 1

    @property
    def seen(self) -> int:
        """How many hops it has learned from."""
        return self._seen

    def predict(self, force_g: Sequence[float]) -> tuple[float, float, float]:
        """Return right, front, and the standard deviation of each, of what should be seen."""
        if len(force_g) < TERMS - 1:
            return self._right[0], self._front[0], math.sqrt(self._p[0][0])
        x, y, z = (f - o for f, o in zip(force_g, self._force_g, strict=True))
        a, b = self._right, self._front
        w = self._weights(x, y, z)
        variance = w[0] + x * w[1] + y * w[2] + z * w[3]
        return (
            a[0] + x * a[1] + y * a[2] + z * a[3],
            b[0] + x * b[1] + y * b[2] + z * b[3],
            math.sqrt(max(0.0, variance)),
        )

    def learn(self, centre: Sequence[float], force_g: Sequence[float]) -> None:
        """Take what was seen under that force."""
        self._seen += 1
        has = len(force_g) == TERMS - 1
        x, y, z = (f - o for f, o in zip(force_g, self._force_g, strict=True)) if has else (0.0, 0.0, 0.0)
        p = self._p
        p[0][0] += self._creep
        w = self._weights(x, y, z)
        variance = w[0] + x * w[1] + y * w[2] + z * w[3] + NOISE * NOISE
        for state, value in ((self._right, centre[0]), (self._front, centre[1])):
            error = (value - state[0] - x * state[1] - y * state[2] - z * state[3]) / variance
            for i in range(TERMS):
                state[i] += w[i] * error
        for i in range(TERMS):
            row, share = p[i], w[i] / variance
            for j in range(i, TERMS):
                row[j] -= share * w[j]
                p[j][i] = row[j]

    def _weights(self, x: float, y: float, z: float) -> list[float]:
        return [row[0] + x * row[1] + y * row[2] + z * row[3] for row in self._p]
