"""Load: what stands on the cells, and where its centre is; in motion, too, where an accelerometer says so."""

from __future__ import annotations

import math

import numpy as np

from agent.features import moments
from agent.features.moments import Cells, Columns, told
from agent.features.table import F64, Names, Part
from agent.features.weighed import WEIGHED, Weighing
from agent.features.windows import Windowed
from agent.streams import StreamSpec

FOUR_CELLS = 4
LEAST_LOAD_KG = 0.5  # the centre of nothing is noise
MOST_DECIMALS = 4


class Load:
    """Of a platform on load cells. Who weighs in motion writes the columns of `WEIGHED`."""

    def __init__(self, spec: StreamSpec) -> None:
        self._spec = spec
        self.names: Names = {**moments.names(len(spec.axes)), **WEIGHED}

    def accumulate(self, window: Windowed) -> dict[str, F64]:
        """Sum windows up."""
        return moments.accumulated(window)

    def columns(self, part: Part) -> Columns:
        """Return the plain mean in kg and, for four cells, the centre to the right and to the front (−1…1).

        Where it was weighed against the motion, the mass with its expanded uncertainty (k = 2), too, and the
        centre free of what braking, turning and a slope do to it.
        """
        name = self._spec.name
        cells = moments.mean(part)
        # one after another: the sum of a row does not depend on how many there are
        total_kg = cells[:, 0].copy()
        for i in range(1, cells.shape[1]):
            total_kg += cells[:, i]
        out: dict[str, Cells | dict[str, Cells]] = {f"{name}_total_kg": told(total_kg, 2)}
        weighing = Weighing.of(part)
        stands_kg = total_kg
        if weighing.known.any():
            mass_kg, expanded_kg = weighing.mass_kg, weighing.expanded_uncertainty_kg
            decimals = _decimals(expanded_kg)
            out[f"{name}_mass_kg"] = _told_each(mass_kg, decimals)
            out[f"{name}_mass_u95_kg"] = _told_each(expanded_kg, decimals)
            stands_kg = np.where(weighing.known, mass_kg, total_kg)
        if cells.shape[1] == FOUR_CELLS:
            fl, fr, rl, rr = cells.T
            enough = stands_kg >= LEAST_LOAD_KG
            with np.errstate(invalid="ignore", divide="ignore"):
                plain = (fr + rr - fl - rl) / total_kg, (fl + fr - rl - rr) / total_kg
            for side, driven, still in zip(("right", "front"), weighing.centres(), plain, strict=True):
                centre = np.where(np.isfinite(driven), driven, still)
                out[f"{name}_centre_{side}"] = told(np.where(enough, centre, np.nan), 3)
        return out


def _told_each(values: F64, decimals: F64) -> Cells:
    """Round each number to its own place."""
    cells = zip(values.tolist(), decimals.tolist(), strict=True)
    return [round(v, int(d)) if math.isfinite(d) else None for v, d in cells]


def _decimals(uncertainty: F64) -> F64:
    """Two digits of the uncertainty are worth telling, and the value to the same place (JCGM 100, 7.2.6)."""
    with np.errstate(invalid="ignore", divide="ignore"):
        places = 1 - np.floor(np.log10(uncertainty))
    return np.where(
        uncertainty > 0, np.clip(places, 0, MOST_DECIMALS), np.where(uncertainty == 0, MOST_DECIMALS, np.nan)
    )
