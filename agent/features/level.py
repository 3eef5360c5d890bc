"""Level of motion: RMS and peak about the mean, and the mean itself, which is where gravity points."""

from __future__ import annotations

from collections.abc import Mapping

from agent.features.moments import Moments
from agent.streams import StreamSpec


def columns(spec: StreamSpec, moments: Moments) -> Mapping[str, float | list[float] | None]:
    """Return an axis each, in the stream's unit: rms, peak, mean."""
    unit = spec.unit.value
    return {
        f"{spec.name}_rms_{unit}": [round(v, 3) for v in moments.rms_about_mean()],
        f"{spec.name}_peak_{unit}": [round(v, 2) for v in moments.peak_about_mean()],
        f"{spec.name}_mean_{unit}": [round(v, 3) for v in moments.mean()],
    }
