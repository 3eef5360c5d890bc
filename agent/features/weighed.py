"""What was weighed: sums of windows that can be merged, and the mass, the centre and the uncertainty in them.

How they are found, and from what the uncertainty is known, is in `weighing.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from agent.features.table import F64, Merge, Names, Part
from calibration.gravity import STANDARD_GRAVITY_MPS2

SUM_NAMES = ("windows", "force", "square", "spread", "variance", "right", "front")
DOUBT_NAMES = ("scale", "zero_kg", "dead_kg")
SUMS, DOUBTS = "weighed", "weighed_doubt"
WEIGHED: Names = {SUMS: (Merge.SUM, len(SUM_NAMES)), DOUBTS: (Merge.MAX, len(DOUBT_NAMES))}


@dataclass(frozen=True, slots=True, eq=False)
class Weighing:
    """Sums of windows, a row each; f, p, q: specific force along up and across, R: reading of all cells.

    ``sums``: (…, 7): how many windows; ``force``: ΣR·f; ``square``: Σf²; ``spread``: Σ of (ΣR·f)²/Σf² of each
    window; ``variance``: of `force`, of what is random; ``right``, ``front``: ΣD·f, with D right minus left,
    front minus rear, both without what force across does to them, NaN where there are not four cells.
    ``doubts``: (…, 3): by the certificates, k = 1: uncertainty of the scale as a part, of the zero in kg;
    what R holds besides the load, in kg: `force` is free of it, but what is wrong with f is wrong with it.
    All that is told of it is (…,) float64, and NaN where nothing was weighed.
    """

    sums: F64
    doubts: F64

    @classmethod
    def of(cls, part: Part) -> Weighing:
        """Return what the load's columns hold."""
        return cls(part[SUMS], part[DOUBTS])

    @classmethod
    def none(cls) -> Weighing:
        """Return no row."""
        return cls(np.empty((0, len(SUM_NAMES))), np.empty((0, len(DOUBT_NAMES))))

    def row(self, i: int) -> Weighing:
        """Return one row of them."""
        return Weighing(self.sums[i], self.doubts[i])

    def _sum(self, name: str) -> F64:
        return self.sums[..., SUM_NAMES.index(name)]

    def _doubt(self, name: str) -> F64:
        return self.doubts[..., DOUBT_NAMES.index(name)]

    @property
    def windows(self) -> F64:
        """How many windows were weighed."""
        return self._sum("windows")

    @property
    def known(self) -> npt.NDArray[np.bool_]:
        """Whether any was."""
        return np.asarray(self.windows > 0)

    @property
    def mass_kg(self) -> F64:
        """Mass on the cells; of several windows, their mean."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return STANDARD_GRAVITY_MPS2 * self._sum("force") / self._sum("square")

    @property
    def expanded_uncertainty_kg(self) -> F64:
        """Of the mass, k = 2: 95 of 100 lie within."""
        with np.errstate(invalid="ignore", divide="ignore"):
            random = STANDARD_GRAVITY_MPS2**2 * self._sum("variance") / self._sum("square") ** 2
            felt_kg = self.mass_kg + self._doubt("dead_kg")
            certified = (felt_kg * self._doubt("scale")) ** 2 + self._doubt("zero_kg") ** 2
            return 2 * np.sqrt(random + self._unlike_kg2(random) + certified)

    def _unlike_kg2(self, random: F64) -> F64:
        """By how much the windows differ more than by chance: loading, or an error that comes and goes.

        Three standard deviations of a variance of so many windows pass for chance; and what is beyond
        does not become less by a mean.
        """
        count, square = self.windows, self._sum("square")
        among = self._sum("spread") - self._sum("force") ** 2 / square
        each = STANDARD_GRAVITY_MPS2**2 * among / (count - 1) / (square / count)
        by_chance = count * random * (1 + 3 * np.sqrt(2 / (count - 1)))
        return np.where(count > 1, np.maximum(0.0, each - by_chance), 0.0)[()]

    def centres(self) -> tuple[F64, F64]:
        """Return the load's centre to the right and to the front (−1…1); NaN without four cells."""
        force = self._sum("force")
        with np.errstate(invalid="ignore", divide="ignore"):
            right, front = (
                np.where(force > 0, self._sum(side) / force, np.nan) for side in ("right", "front")
            )
        return right[()], front[()]
