"""The ring of raw recordings: whether it records, how much there is, and what it does to the card."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any


class Recorder:
    """`ask`: the ring, which counts for itself; nothing where there is none."""

    name = "recorder"

    def __init__(self, ask: Callable[[], Mapping[str, Any]]) -> None:
        self._ask = ask

    def look(self, _now_s: float) -> Mapping[str, Any]:
        """Return its figures."""
        return self._ask()
