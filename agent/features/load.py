"""Load: what stands on the cells, and where its centre is."""

from __future__ import annotations

from collections.abc import Mapping

from agent.features.moments import Moments
from agent.streams import StreamSpec

FOUR_CELLS = 4
LEAST_LOAD_KG = 0.5  # the centre of nothing is noise


def columns(spec: StreamSpec, moments: Moments) -> Mapping[str, float | list[float] | None]:
    """Return the total in kg and, for four cells, the centre to the right and to the front (−1…1)."""
    cells = moments.mean()
    total_kg = sum(cells)
    out: dict[str, float | list[float] | None] = {f"{spec.name}_total_kg": round(total_kg, 2)}
    if len(cells) == FOUR_CELLS:
        fl, fr, rl, rr = cells
        loaded = total_kg >= LEAST_LOAD_KG
        out[f"{spec.name}_centre_right"] = round((fr + rr - fl - rl) / total_kg, 3) if loaded else None
        out[f"{spec.name}_centre_front"] = round((fl + fr - rl - rr) / total_kg, 3) if loaded else None
    return out
