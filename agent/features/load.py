"""Load: what stands on the cells, and where its centre is; in motion, too, where an accelerometer says so."""

from __future__ import annotations

import math
from collections.abc import Mapping

from agent.features.moments import Moments
from agent.streams import StreamSpec

FOUR_CELLS = 4
LEAST_LOAD_KG = 0.5  # the centre of nothing is noise
MOST_DECIMALS = 4

Columns = dict[str, float | list[float] | None]


def columns(spec: StreamSpec, moments: Moments) -> Mapping[str, float | list[float] | None]:
    """Return the plain mean in kg and, for four cells, the centre to the right and to the front (−1…1).

    Where it was weighed against the motion, the mass with its expanded uncertainty (k = 2), too, and the
    centre free of what braking, turning and a slope do to it.
    """
    cells = moments.mean()
    total_kg = sum(cells)
    out: Columns = {f"{spec.name}_total_kg": round(total_kg, 2)}
    weighing = moments.weighing
    if weighing is not None:
        mass_kg, expanded_kg = weighing.mass_kg, weighing.expanded_uncertainty_kg
        decimals = _decimals(expanded_kg)
        out[f"{spec.name}_mass_kg"] = round(mass_kg, decimals)
        out[f"{spec.name}_mass_u95_kg"] = round(expanded_kg, decimals)
        total_kg = mass_kg
    if len(cells) == FOUR_CELLS:
        centre = weighing.centre() if weighing is not None else None
        if centre is None and total_kg >= LEAST_LOAD_KG:
            fl, fr, rl, rr = cells
            centre = (fr + rr - fl - rl) / sum(cells), (fl + fr - rl - rr) / sum(cells)
        right, front = centre if centre is not None and total_kg >= LEAST_LOAD_KG else (None, None)
        out[f"{spec.name}_centre_right"] = None if right is None else round(right, 3)
        out[f"{spec.name}_centre_front"] = None if front is None else round(front, 3)
    return out


def _decimals(uncertainty: float) -> int:
    """Two digits of the uncertainty are worth telling, and the value to the same place (JCGM 100, 7.2.6)."""
    if uncertainty <= 0:
        return MOST_DECIMALS
    return min(MOST_DECIMALS, max(0, 1 - math.floor(math.log10(uncertainty))))
