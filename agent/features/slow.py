"""What is slow, one value a sample: its mean over the window, and what of its extremes tells more.

Climate: the mean, in °C or %. Pressure: the mean, and the swing within the window. A contact, such as the
lid's: the part of the window for which it was closed. Voltage, such as a leak rope's: the mean, and the
smallest, since water may pull it down only briefly.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from agent.features import moments
from agent.features.moments import Columns
from agent.features.table import F64, Names, Part
from agent.features.windows import Windowed
from agent.streams import StreamSpec


class Slow:
    """Of one slow value. ``figures``: what is told, by the end of its name: of what, to which decimal."""

    def __init__(
        self, spec: StreamSpec, figures: dict[str, tuple[Callable[[Part], F64], int]], *, extremes: bool
    ) -> None:
        self._told = {f"{spec.name}_{end}": figure for end, figure in figures.items()}
        self._extremes = extremes
        self.names: Names = moments.names(len(spec.axes), extremes=extremes)

    def accumulate(self, window: Windowed) -> dict[str, F64]:
        """Sum windows up."""
        return moments.accumulated(window, extremes=self._extremes)

    def columns(self, part: Part) -> Columns:
        """Return each figure."""
        return {name: moments.told(of(part), decimals) for name, (of, decimals) in self._told.items()}


def climate(spec: StreamSpec) -> Slow:
    """Tell the mean in the stream's unit (°C or %)."""
    return Slow(spec, {spec.unit.value.lower(): (_mean, 2)}, extremes=False)


def contact(spec: StreamSpec) -> Slow:
    """Tell the part closed, 0 to 1, of what is 1 closed and 0 open: without a unit."""
    return Slow(spec, {"closed": (_mean, 2)}, extremes=False)


def pressure(spec: StreamSpec) -> Slow:
    """Tell the mean, and the largest less the smallest, in Pa."""
    return Slow(spec, {"mean_pa": (_mean, 0), "swing_pa": (_swing, 0)}, extremes=True)


def voltage(spec: StreamSpec) -> Slow:
    """Tell the mean and the smallest, in V."""
    return Slow(spec, {"mean_v": (_mean, 3), "min_v": (_least, 3)}, extremes=True)


def _mean(part: Part) -> F64:
    return moments.mean(part)[:, 0]


def _least(part: Part) -> F64:
    return part["low"][:, 0]


def _swing(part: Part) -> F64:
    with np.errstate(invalid="ignore"):
        return part["high"][:, 0] - part["low"][:, 0]
