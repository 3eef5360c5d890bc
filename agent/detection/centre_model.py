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
        self._at = (0.0, 0.0, 0.0)
        self._weights = [row[0] for row in self._p]

    @property
    def seen(self) -> int:
        """How many hops it has learned from."""
        return self._seen

    def predict(self, force_g: Sequence[float]) -> tuple[float, float, float]:
        """Return right, front, and the standard deviation of each, of what should be seen."""
        x, y, z = (f - o for f, o in zip(force_g, self._force_g, strict=True)) if force_g else (0.0, 0.0, 0.0)
        a, b = self._right, self._front
        self._at = x, y, z
        self._weights = w = [row[0] + x * row[1] + y * row[2] + z * row[3] for row in self._p]
        return (
            a[0] + x * a[1] + y * a[2] + z * a[3],
            b[0] + x * b[1] + y * b[2] + z * b[3],
            math.sqrt(max(0.0, w[0] + x * w[1] + y * w[2] + z * w[3])),
        )

    def learn(self, centre: Sequence[float], predicted: Sequence[float]) -> None:
        """Take what was seen in the place of what was `predicted` last."""
        self._seen += 1
        x, y, z = self._at
        w, p = self._weights, self._p
        p[0][0] += self._creep
        w[0] += self._creep
        variance = w[0] + x * w[1] + y * w[2] + z * w[3] + NOISE * NOISE
        g = [v / variance for v in w]
        right, front = centre[0] - predicted[0], centre[1] - predicted[1]
        self._right = [v + k * right for v, k in zip(self._right, g, strict=True)]
        self._front = [v + k * front for v, k in zip(self._front, g, strict=True)]
        for row, share in zip(p, g, strict=True):
            row[0] -= share * w[0]
            row[1] -= share * w[1]
            row[2] -= share * w[2]
            row[3] -= share * w[3]
