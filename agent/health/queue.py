"""What waits on the card, how old it is, and what the outbox does to the card."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from agent.outbox import OutboxStats
from agent.timebase import EARLIEST_PLAUSIBLE_S, wall_ns_of

SAID = ("waiting", "waiting_urgent", "bytes", "dropped", "thinned", "set_aside", "in_memory", "damaged")
MAY_BE_UNKNOWN = ("written_bytes_a_day", "card_life_years")


class Queue:
    """`wall_ns`: the wall clock, to say how old the oldest is by the time that it carries."""

    name = "queue"

    def __init__(self, stats: Callable[[], OutboxStats], wall_ns: Callable[[], int]) -> None:
        self._stats, self._wall_ns = stats, wall_ns

    def look(self, _now_s: float) -> Mapping[str, Any]:
        """Return counts, sizes, the age of the oldest, and whether the card refuses writes."""
        stats = self._stats()
        told: dict[str, Any] = {key: getattr(stats, key) for key in SAID}
        for key in MAY_BE_UNKNOWN:
            if (figure := getattr(stats, key)) is not None:
                told[key] = float(f"{figure:.4g}")
        if stats.oldest_t is not None:
            made_s = wall_ns_of(stats.oldest_t) // 1_000_000_000
            if made_s >= EARLIEST_PLAUSIBLE_S:  # what was made in 1970 has no age
                told["oldest_s"] = max(0, self._wall_ns() // 1_000_000_000 - made_s)
        told["card_refuses"] = stats.trouble is not None
        return told
