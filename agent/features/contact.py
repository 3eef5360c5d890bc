"""A contact, such as the lid's: the part of the window for which it was closed."""

from __future__ import annotations

from agent.features import moments
from agent.features.moments import Columns
from agent.features.table import F64, Names, Part
from agent.features.windows import Windowed
from agent.streams import StreamSpec


class Contact:
    """Of one contact: 1 closed, 0 open."""

    def __init__(self, spec: StreamSpec) -> None:
        self._spec = spec
        self.names: Names = moments.names(len(spec.axes))

    def accumulate(self, window: Windowed) -> dict[str, F64]:
        """Sum windows up."""
        return moments.accumulated(window)

    def columns(self, part: Part) -> Columns:
        """Return the part closed, 0 to 1: without a unit."""
        return {f"{self._spec.name}_closed": moments.told(moments.mean(part)[:, 0], 2)}
