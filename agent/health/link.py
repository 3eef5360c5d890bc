"""The connection to the broker, as the uplink counts it since the agent's start."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from agent.uplink.sender import UplinkStats


class Link:
    """Asked of the uplink."""

    name = "link"

    def __init__(
        self, stats: Callable[[], UplinkStats], days_left: Callable[[], Mapping[str, float]] = dict
    ) -> None:
        self._stats = stats
        self._days_left = days_left

    def look(self, _now_s: float) -> Mapping[str, Any]:
        """Return whether it stands, why not, how often it was made anew, and what was acknowledged."""
        stats = self._stats()
        # what was sent and neither answered nor waits for it: a connection ended before the answer came
        unanswered = stats.published - stats.acknowledged - stats.refused - stats.inflight
        told: dict[str, Any] = {
            "connected": stats.state == "connected",
            "reconnects": stats.reconnects,
            "published": stats.published,
            "acknowledged": stats.acknowledged,
            "refused": stats.refused,
            "maybe_twice": max(0, unanswered),
        }
        if stats.state != "connected" and stats.last_error is not None:
            told["last_error"] = stats.last_error
        if stats.taken_over:
            told["taken_over"] = stats.taken_over
        if days := self._days_left():
            told["certificate_days"] = math.floor(min(days.values()))
        return told
