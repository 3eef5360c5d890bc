"""Pressure: mean, and swing within the window."""

from __future__ import annotations

import numpy as np

from agent.features import moments
from agent.features.moments import Columns
from agent.features.table import F64, Names, Part
from agent.features.windows import Windowed
from agent.streams import StreamSpec


class Pressure:
    """Of one pressure sensor."""

    def __init__(self, spec: StreamSpec) -> None:
        self._spec = spec
        self.names: Names = moments.names(len(spec.axes), extremes=True)

    def accumulate(self, window: Windowed) -> dict[str, F64]:
        """Sum windows up."""
        return moments.accumulated(window, extremes=True)

    def columns(self, part: Part) -> Columns:
        """Return the mean and the largest less the smallest, in Pa."""
        with np.errstate(invalid="ignore"):
            swing = part["high"][:, 0] - part["low"][:, 0]
        return {
            f"{self._spec.name}_mean_pa": moments.told(moments.mean(part)[:, 0], 0),
            f"{self._spec.name}_swing_pa": moments.told(swing, 0),
        }
