"""A plate on load cells, seen from above: where the cells stand, and what statics says of a mass on it.

Statics gives three sums: the cells carry the mass, and its moments about two axes. What four cells can do
beside that, two opposite ones pressing while the other two yield (the *warp*), depends on how stiff plate
and feet are, which nobody knows: a soft plate gives the whole mass to the cell that it stands on, a stiff
one on equal springs has no warp at all. `loads_at` gives the shares of a soft plate; the fit finds how
stiff this one is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from calibration.errors import CalibrationRefused

F64 = npt.NDArray[np.float64]
CENTRE = "centre"
# To the right and to the front, in half distances between cells.
_NAMED = {"fl": (-1.0, 1.0), "fr": (1.0, 1.0), "rl": (-1.0, -1.0), "rr": (1.0, -1.0)}
_WORDS = {
    "fl": "front left", "fr": "front right", "rl": "rear left", "rr": "rear right", CENTRE: "the centre",
}  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Plate:
    """The cells' names and places (n, 2) in half distances between them, and how a mass is put there.

    ``corner_at``: how far out a mass "over a cell" stands, 1.0 exactly over it, 0.5 halfway from the
    centre. ``placement``: standard uncertainty of where it stands, same unit.
    """

    cells: tuple[str, ...]
    positions: F64
    corner_at: float = 1.0
    placement: float = 0.03

    @property
    def count(self) -> int:
        """Number of cells."""
        return len(self.cells)

    @property
    def places(self) -> tuple[str, ...]:
        """Where a mass may stand."""
        return (CENTRE, *self.cells) if self.count > 1 else (CENTRE,)

    @property
    def statics(self) -> F64:
        """Rows that statics knows, (k, n): the sum, and the moments that there are."""
        rows = [np.ones(self.count)]
        rows += [axis for axis in self.positions.T if np.abs(axis).max() > 1e-9]
        return np.array(rows)

    @property
    def warps(self) -> F64:
        """Rows that statics does not know, (n − k, n), orthogonal to it, each as long as the sum's."""
        known = self.statics
        _, _, right = np.linalg.svd(known)
        rows: F64 = right[np.linalg.matrix_rank(known) :] * math.sqrt(self.count)
        return rows

    def position_of(self, place: str) -> F64:
        """Where a mass stands: (2,). Raises CalibrationRefused for a place that the plate has not."""
        if place == CENTRE or self.count == 1:
            return np.zeros(2)
        if place not in self.cells:
            raise CalibrationRefused(
                "finding the place of the mass",
                got=f"{place!r}",
                expected=", ".join(self.places),
                remedy="Put the mass in the centre, or over one of the cells.",
            )
        out: F64 = self.positions[self.cells.index(place)] * self.corner_at
        return out

    def warp_of(self, place: str) -> F64:
        """Warp of a soft plate under a mass of 1 at a place: (n − k,)."""
        if place not in self.cells or self.count == 1:
            return np.zeros(len(self.warps))
        out: F64 = self.warps[:, self.cells.index(place)] * self.corner_at**2
        return out

    def loads_at(self, place: str, softness: float = 1.0) -> F64:
        """Share of each cell of a mass of 1 at a place: (n,). ``softness`` 1: soft plate, 0: stiff."""
        statics, warps = self.statics, self.warps
        axes = [i for i in range(2) if np.abs(self.positions[:, i]).max() > 1e-9]
        known = np.concatenate(([1.0], self.position_of(place)[axes]))
        rows = np.concatenate((statics, warps))
        sums = np.concatenate((known, softness * self.warp_of(place)))
        out: F64 = np.linalg.solve(rows, sums)
        return out

    @property
    def leverage(self) -> float:
        """How far off the centre the cells stand, root mean square; 0 with one cell."""
        return float(np.sqrt((self.positions**2).sum(axis=1).mean()))


def make_plate(
    cells: tuple[str, ...],
    positions: tuple[tuple[float, float], ...] | None = None,
    *,
    corner_at: float = 1.0,
    placement: float = 0.03,
) -> Plate:
    """Lay out a plate; without ``positions`` fl, fr, rl, rr stand at the corners, others on a circle.

    Positions may be in any unit (metres, …): they are brought to half distances. Raises
    CalibrationRefused when they are not one each, or on one spot.
    """
    doing = "laying out the load cells"
    remedy = "Name each cell once, and give one place (right, front) for each of one to eight cells."
    if not 1 <= len(cells) <= 8 or len(set(cells)) != len(cells) or CENTRE in cells:
        raise CalibrationRefused(
            doing, got=f"cells {', '.join(cells) or 'none'}", expected="1 to 8 names, all different",
            remedy=remedy,
        )  # fmt: skip
    if not (0.2 <= corner_at <= 1.5 and 0.0 <= placement <= 0.5):
        raise CalibrationRefused(
            doing, got=f"corner_at {corner_at}, placement {placement}",
            expected="corner_at 0.2 to 1.5, placement 0 to 0.5", remedy="Leave them out, or measure again.",
        )  # fmt: skip
    if positions is None:
        if set(cells) <= set(_NAMED) and len(cells) == 4:
            positions = tuple(_NAMED[c] for c in cells)
        else:
            angles = [2 * math.pi * i / len(cells) for i in range(len(cells))]
            positions = tuple((-math.cos(a), math.sin(a)) for a in angles)
    places = np.array(positions, float).reshape(-1, 2)
    if len(places) != len(cells) or not np.isfinite(places).all():
        raise CalibrationRefused(
            doing, got=f"{len(places)} places for {len(cells)} cells", expected="one each", remedy=remedy
        )
    places = places - places.mean(axis=0)
    spread = np.abs(places).max(axis=0)
    apart = np.abs(places[:, None] - places[None]).max(axis=2) + np.eye(len(cells))
    if len(cells) > 1 and (apart.min() < 1e-6 or (len(cells) > 2 and spread.min() < 1e-6)):
        raise CalibrationRefused(
            doing, got="cells on one spot or in one line", expected="cells that hold a plate", remedy=remedy
        )
    places = np.where(spread > 1e-9, places / np.where(spread > 1e-9, spread, 1.0), 0.0)
    return Plate(cells, places, corner_at, placement)


def place_words(place: str) -> str:
    """Say a place as one would in the van."""
    words = _WORDS.get(place, place)
    return words if place == CENTRE else f"the cell {words} ({place})" if words != place else f"cell {place}"
