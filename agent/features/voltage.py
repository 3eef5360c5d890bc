"""Voltage, such as a leak rope's: the mean, and the smallest, since water may pull it down only briefly."""

from __future__ import annotations

from agent.features import moments
from agent.features.moments import Columns
from agent.features.table import F64, Names, Part
from agent.features.windows import Windowed
from agent.streams import StreamSpec


class Voltage:
    """Of one voltage."""

    def __init__(self, spec: StreamSpec) -> None:
        self._spec = spec
        self.names: Names = moments.names(len(spec.axes), extremes=True)

    def accumulate(self, window: Windowed) -> dict[str, F64]:
        """Sum windows up."""
        return moments.accumulated(window, extremes=True)

    def columns(self, part: Part) -> Columns:
        """Return the mean and the smallest, in V."""
        return {
            f"{self._spec.name}_mean_v": moments.told(moments.mean(part)[:, 0], 3),
            f"{self._spec.name}_min_v": moments.told(part["low"][:, 0], 3),
        }
