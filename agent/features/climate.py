"""Climate: the mean over the window."""

from __future__ import annotations

from agent.features import moments
from agent.features.moments import Columns
from agent.features.table import F64, Names, Part
from agent.features.windows import Windowed
from agent.streams import StreamSpec


class Climate:
    """Of one slow value."""

    def __init__(self, spec: StreamSpec) -> None:
        self._spec = spec
        self.names: Names = moments.names(len(spec.axes))

    def accumulate(self, window: Windowed) -> dict[str, F64]:
        """Sum windows up."""
        return moments.accumulated(window)

    def columns(self, part: Part) -> Columns:
        """Return the mean in the stream's unit (°C or %)."""
        key = f"{self._spec.name}_{self._spec.unit.value.lower()}"
        return {key: moments.told(moments.mean(part)[:, 0], 2)}
