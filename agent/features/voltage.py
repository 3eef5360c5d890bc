"""Voltage, such as a leak rope's: the mean, and the smallest, since water may pull it down only briefly."""

from __future__ import annotations

from collections.abc import Mapping

from agent.features.moments import Moments
from agent.streams import StreamSpec


def columns(spec: StreamSpec, moments: Moments) -> Mapping[str, float | list[float] | None]:
    """Return the mean and the smallest, in V."""
    return {
        f"{spec.name}_mean_v": round(moments.mean()[0], 3),
        f"{spec.name}_min_v": round(moments.low[0], 3),
    }
