"""Climate: the mean over the window."""

from __future__ import annotations

from collections.abc import Mapping

from agent.features.moments import Moments
from agent.streams import StreamSpec


def columns(spec: StreamSpec, moments: Moments) -> Mapping[str, float | list[float] | None]:
    """Return the mean in the stream's unit (°C or %)."""
    return {f"{spec.name}_{spec.unit.value.lower()}": round(moments.mean()[0], 2)}
