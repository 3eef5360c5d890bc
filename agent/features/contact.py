"""A contact, such as the lid's: the part of the window for which it was closed."""

from __future__ import annotations

from collections.abc import Mapping

from agent.features.moments import Moments
from agent.streams import StreamSpec


def columns(spec: StreamSpec, moments: Moments) -> Mapping[str, float | list[float] | None]:
    """Return the part closed, 0 to 1: without a unit."""
    return {f"{spec.name}_closed": round(moments.mean()[0], 2)}
