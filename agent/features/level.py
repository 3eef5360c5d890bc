"""Level of motion: RMS, peak and crest about the mean, and the mean itself, which is where gravity points."""

from __future__ import annotations

import numpy as np

from agent.features import moments
from agent.features.moments import Columns
from agent.features.table import F64, Names, Part
from agent.features.windows import Windowed
from agent.streams import StreamSpec


class Level:
    """Of a motion stream, an axis each."""

    def __init__(self, spec: StreamSpec) -> None:
        self._spec = spec
        self.names: Names = moments.names(len(spec.axes), squares=True, extremes=True)

    def accumulate(self, window: Windowed) -> dict[str, F64]:
        """Sum windows up."""
        return moments.accumulated(window, squares=True, extremes=True)

    def columns(self, part: Part) -> Columns:
        """Return rms, peak, mean in the stream's unit, and the crest factor, peak over rms."""
        name, unit, axes = self._spec.name, self._spec.unit.value, self._spec.axes
        rms, peak = moments.rms_about_mean(part), moments.peak_about_mean(part)
        with np.errstate(invalid="ignore", divide="ignore"):
            crest = peak / rms
        return {
            f"{name}_rms_{unit}": moments.by_axis(rms, axes, 3),
            f"{name}_peak_{unit}": moments.by_axis(peak, axes, 2),
            f"{name}_mean_{unit}": moments.by_axis(moments.mean(part), axes, 3),
            f"{name}_crest": moments.by_axis(crest, axes, 1),
        }
