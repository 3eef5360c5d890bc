"""Pressure: mean, and swing within the window."""

from __future__ import annotations

from collections.abc import Mapping

from agent.features.moments import Moments
from agent.streams import StreamSpec


def columns(spec: StreamSpec, moments: Moments) -> Mapping[str, float | list[float] | None]:
    """Return the mean and the largest less the smallest, in Pa."""
    return {
        f"{spec.name}_mean_pa": round(moments.mean()[0]),
        f"{spec.name}_swing_pa": round(moments.high[0] - moments.low[0]),
    }
