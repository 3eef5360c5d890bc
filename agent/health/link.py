"""The connection to the broker, as the uplink counts it since the agent's start."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from agent.uplink.sender import UplinkStats


class Link:
    """Asked of the uplink."""

    name = "link"

    def __init__(self, stats: Callable[[], UplinkStats]) -> None:
        self._stats = stats

    def look(self, _now_s: float) -> Mapping[str, Any]:
        """Return whether it stands, how often it had to be made anew, and what was acknowledged."""
        stats = self._stats()
        return {
            "connected": stats.state == "connected",
            "reconnects": stats.reconnects,
            "published": stats.published,
            "acknowledged": stats.acknowledged,
            "refused": stats.refused,
        }
