"""The cable and the buses, as the sources count them since they were begun."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any


class Wires:
    """One `part` of what the sources count: ``cable`` or ``buses``."""

    def __init__(self, part: str, counts: Callable[[], Mapping[str, Any]]) -> None:
        self.name = part
        self._counts = counts

    def look(self, _now_s: float) -> Mapping[str, Any]:
        """Return its figures; nothing where there is no such source."""
        told: Mapping[str, Any] = self._counts().get(self.name, {})
        return told
